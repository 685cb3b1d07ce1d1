//! The bytes of a model's tensors, mapped.

use std::path::Path;

use super::map::Map;
use crate::error::{Error, Result};
use crate::model::{Fault, Model, Tensor};
use crate::units::clip;

/// The files of a model, and its tensors' places in them.
#[derive(Debug)]
pub(super) struct Source<'a> {
    model: &'a Model,
    /// For each file, the place behind its last tensor.
    files: Vec<(usize, Map)>,
}

impl<'a> Source<'a> {
    /// Maps the files of `model`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model without files, or in a format of which headers alone are read.
    pub(super) fn open(model: &'a Model) -> Result<Self> {
        if model.files.is_empty() {
            let what = model.format.map_or("not read from a file of weights".to_owned(), |format| {
                format!("in the format {}, of which headers alone are read", format.name())
            });
            let reason =
                format!("{} is {what}; weights are taken from safetensors and GGUF", clip(&model.name));
            return Err(Error::Argument { name: "model", reason });
        }
        let files = model.files.iter().map(|(end, path)| Ok((*end, Map::open(path)?)));
        Ok(Self { model, files: files.collect::<Result<_>>()? })
    }

    /// The files themselves.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(_, map)| map.path())
    }

    /// The tensor at `place` of the model.
    pub(super) fn tensor(&self, place: usize) -> Option<&'a Tensor> {
        self.model.tensors.get(place)
    }

    /// The bytes of the tensor at `place`, without what a file fills up behind them.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if the file no longer holds them.
    pub(super) fn bytes(&self, place: usize) -> Result<&[u8]> {
        let number = self.files.partition_point(|(end, _)| *end <= place);
        let (Some((_, map)), Some(tensor)) = (self.files.get(number), self.tensor(place)) else {
            return Ok(&[]);
        };
        let held = tensor.dtype.bytes_of(tensor.elements()).filter(|bytes| *bytes <= tensor.bytes);
        let range = held.and_then(|bytes| {
            let start = usize::try_from(tensor.offset).ok()?;
            Some(start..start.checked_add(usize::try_from(bytes.get()).ok()?)?)
        });
        range.and_then(|range| map.checked().ok()?.get(range)).ok_or_else(|| {
            map.checked().err().unwrap_or_else(|| {
                let reason = format!("its {} are not in the file as its header says", tensor.bytes);
                Fault::new(reason).offset(tensor.offset).field(&tensor.name).at(map.path())
            })
        })
    }

    /// `error` as what is wrong with the tensor at `place`.
    pub(super) fn blame(&self, place: usize, error: Error) -> Error {
        let number = self.files.partition_point(|(end, _)| *end <= place);
        let (Some((_, map)), Some(tensor)) = (self.files.get(number), self.tensor(place)) else {
            return error;
        };
        let reason = match error {
            Error::Argument { name, reason } => format!("{name}: {reason}"),
            Error::Damaged { piece, reason } => format!("{piece}: {reason}"),
            other => return other,
        };
        Fault::new(reason).offset(tensor.offset).field(&tensor.name).at(map.path())
    }
}
