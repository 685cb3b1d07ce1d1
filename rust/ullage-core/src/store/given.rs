//! A file that says what weights are multiplied with: rows of inputs under the names of the weights.

use std::path::{Path, PathBuf};

use super::file::StoreFile;
use super::numbers;
use crate::codec::Inputs;
use crate::error::{Error, Result};
use crate::model::{Fault, Kind, Model};
use crate::units::clip;

/// An open file of inputs.
#[derive(Debug)]
pub(super) struct Given {
    file: StoreFile,
    path: PathBuf,
}

impl Given {
    /// Opens the safetensors file at `path`, whose tensors are called as weights of `model` are.
    ///
    /// # Errors
    /// [`Error::ModelFile`] naming a tensor that is no rows of inputs of such a weight.
    pub(super) fn open(path: &Path, model: &Model) -> Result<Self> {
        let file = StoreFile::open(path)?;
        for entry in file.entries() {
            let fault = |reason: String| Err(Fault::new(reason).field(&entry.name).at(path));
            let Some(tensor) = model.tensors.iter().find(|tensor| tensor.name == entry.name) else {
                return fault(format!("{} has no such weight", clip(&model.name)));
            };
            if entry.scheme.is_some() || entry.dtype.kind() != Kind::Real {
                return fault("inputs are rows of floating-point numbers, as they are".to_owned());
            }
            let row =
                |shape: &[u64]| shape.iter().skip(1).try_fold(1_u64, |all, &size| all.checked_mul(size));
            if tensor.shape.len() < 2 || entry.shape.len() != 2 || row(&entry.shape) != row(&tensor.shape) {
                let reason =
                    format!("{:?} are no rows of inputs for a weight of {:?}", entry.shape, tensor.shape);
                return fault(reason);
            }
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// The inputs of the weight called `name`, if there are any.
    ///
    /// # Errors
    /// [`Error::ModelFile`] naming the weight, for numbers that are not finite.
    pub(super) fn of(&self, name: &str) -> Result<Option<Inputs>> {
        let Some((place, entry)) =
            self.file.place(name).and_then(|place| Some((place, self.file.entries().get(place)?)))
        else {
            return Ok(None);
        };
        self.file.checked()?;
        let width = usize::try_from(entry.shape.last().copied().unwrap_or(0)).unwrap_or(usize::MAX);
        let rows = numbers::read(self.file.plain(place), entry.dtype, &entry.shape)?;
        let inputs = Inputs::of(&rows, width).map_err(|error| match error {
            Error::Argument { reason, .. } => Fault::new(reason).field(name).at(&self.path),
            other => other,
        });
        inputs.map(Some)
    }
}
