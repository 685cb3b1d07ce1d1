//! Which format a file is of, by its content and not its name.

use std::fs;
use std::path::Path;

use super::directory;
use super::gguf;
use super::source::Source;
use super::{core_ml, executorch, onnx, pytorch, tflite};
use crate::error::{Error, Result};

/// A file format of models that there is a reader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A `config.json` without weights, or a directory that holds no more than that.
    Config,
    /// `.mlpackage` directories and `.mlmodel` files.
    CoreMl,
    /// `.pte` programs and `.ptd` weights.
    ExecuTorch,
    /// `.gguf`, or a set of shards.
    Gguf,
    /// `.onnx`, with its external weights.
    Onnx,
    /// What `torch.save` writes (`.bin`, `.pt`, `.pth`, `.ckpt`), TorchScript included, or an index of shards of it.
    Pytorch,
    /// `.safetensors`, a directory of shards, or an index of them.
    Safetensors,
    /// `.tflite`.
    Tflite,
}

/// Bytes that tell a format; a tar archive says what it is at byte 257.
const LONGEST_START: usize = 512;

impl Format {
    /// The name used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::CoreMl => "coreml",
            Self::ExecuTorch => "executorch",
            Self::Gguf => "gguf",
            Self::Onnx => "onnx",
            Self::Pytorch => "pytorch",
            Self::Safetensors => "safetensors",
            Self::Tflite => "tflite",
        }
    }

    /// The format of what lies at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] for a path that cannot be read, [`Error::ModelFile`] for a file of no known format.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        if metadata.is_dir() {
            return Ok(of_directory(path));
        }
        if directory::is_config(path) {
            return Ok(Self::Config);
        }
        let mut source = Source::open(path)?;
        let start = source.start(LONGEST_START).map_err(|failure| failure.at(path))?;
        if start.starts_with(gguf::MAGIC) {
            return Ok(Self::Gguf);
        }
        if is_safetensors(start) {
            return Ok(Self::Safetensors);
        }
        let identifier = start.get(4..8).unwrap_or_default();
        if identifier == tflite::IDENTIFIER {
            return Ok(Self::Tflite);
        }
        if identifier == executorch::PROGRAM || identifier == executorch::WEIGHTS {
            return Ok(Self::ExecuTorch);
        }
        if core_ml::is_start(start) {
            return Ok(Self::CoreMl);
        }
        if pytorch::is_start(start) {
            return Ok(Self::Pytorch);
        }
        Ok(if onnx::is_model(&mut source) { Self::Onnx } else { Self::Safetensors })
    }
}

fn of_directory(path: &Path) -> Format {
    if core_ml::is_package(path) {
        return Format::CoreMl;
    }
    if gguf::is_directory_of(path) {
        return Format::Gguf;
    }
    if directory::is_bare(path) { Format::Config } else { Format::Safetensors }
}

/// A length of the header that the format allows, and the brace that the header begins with.
fn is_safetensors(start: &[u8]) -> bool {
    let length = start.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length <= 1 << 27) && start.get(8) == Some(&b'{')
}
