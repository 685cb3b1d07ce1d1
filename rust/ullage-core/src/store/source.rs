//! The bytes of a model's tensors, mapped.

use std::borrow::Cow;
use std::path::Path;

use super::map::Map;
use super::strided::{self, Missing};
use crate::error::{Error, Result};
use crate::model::{Dtype, Fault, Format, Layout, Model, Tensor};
use crate::units::clip;

/// The files of a model, and its tensors' places in them.
#[derive(Debug)]
pub(super) struct Source<'a> {
    model: &'a Model,
    /// For each file, the place behind its last tensor.
    files: Vec<(usize, Map)>,
}

/// What of which file a tensor views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Viewed<'a> {
    file: usize,
    offset: u64,
    dtype: Dtype,
    shape: &'a [u64],
    strides: Option<&'a [u64]>,
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
            let reason = format!(
                "{} is {what}; weights are taken from safetensors, PyTorch and GGUF",
                clip(&model.name)
            );
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

    /// The bytes of the tensor at `place`, without what a file fills up behind them; a copy where elements do not follow one
    /// another in the file.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if the file no longer holds them, or does not hold numbers.
    pub(super) fn bytes(&self, place: usize) -> Result<Cow<'_, [u8]>> {
        let number = self.files.partition_point(|(end, _)| *end <= place);
        let (Some((_, map)), Some(tensor)) = (self.files.get(number), self.tensor(place)) else {
            return Ok(Cow::Borrowed(&[]));
        };
        let fault =
            |reason: String| Fault::new(reason).offset(tensor.offset).field(&tensor.name).at(map.path());
        let all = map.checked()?;
        let behind = usize::try_from(tensor.offset).ok().and_then(|start| all.get(start..));
        let strides = match self.model.layouts.get(&place) {
            Some(Layout::Unread(reason)) => return Err(fault(format!("not read as numbers: {reason}"))),
            Some(Layout::Strided(strides)) => strides,
            None => {
                let held = tensor.dtype.bytes_of(tensor.elements());
                let held = held.filter(|bytes| self.has_views() || *bytes <= tensor.bytes);
                let size = held.and_then(|bytes| usize::try_from(bytes.get()).ok());
                let found = size.zip(behind).and_then(|(size, behind)| behind.get(..size));
                return found.map(Cow::Borrowed).ok_or_else(|| {
                    fault(format!("its {} are not in the file as its header says", tensor.bytes))
                });
            }
        };
        let (1, bits) = tensor.dtype.block() else {
            return Err(fault(format!("{} is read in one piece alone", tensor.dtype)));
        };
        let width = if bits.is_multiple_of(8) { usize::try_from(bits / 8).ok() } else { None };
        let Some((width, behind)) = width.zip(behind) else {
            return Err(fault(format!("{} is read in one piece alone", tensor.dtype)));
        };
        let found = strided::gathered(behind, &tensor.shape, strides, width);
        found.map(Cow::Owned).map_err(|missing| {
            fault(
                match missing {
                    Missing::Beyond => "it does not lie in the file as its header says",
                    Missing::Repeated => "so large a view repeats a few bytes",
                    Missing::Memory => "the system has no memory for a copy of it",
                }
                .to_owned(),
            )
        })
    }

    /// Whether tensors are views of storages, so that their bytes say what they add to the file and not what they hold.
    fn has_views(&self) -> bool {
        self.model.format == Some(Format::Pytorch)
    }

    /// Which bytes of which file the tensor at `place` views, and the tensor with its own size; `None` where tensors are no
    /// views. What is equal is one tensor under two names.
    ///
    /// # Errors
    /// [`Error::Overflow`] beyond 2^64 − 1 bytes.
    pub(super) fn viewed(&self, place: usize) -> Result<Option<(Viewed<'a>, Tensor)>> {
        let Some(tensor) = self.tensor(place).filter(|_| self.has_views()) else { return Ok(None) };
        let file = self.files.partition_point(|(end, _)| *end <= place);
        let size = tensor.dtype.bytes_of(tensor.elements()).ok_or(Error::Overflow { what: "a tensor" })?;
        // Where nothing lies, everything does.
        let file = if size.is_zero() { usize::MAX.saturating_sub(place) } else { file };
        let strides = self.model.layouts.get(&place).and_then(|layout| match layout {
            Layout::Strided(strides) => Some(strides.as_slice()),
            Layout::Unread(_) => None,
        });
        let viewed =
            Viewed { file, offset: tensor.offset, dtype: tensor.dtype, shape: &tensor.shape, strides };
        Ok(Some((viewed, Tensor { bytes: size, ..tensor.clone() })))
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
