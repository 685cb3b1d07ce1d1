//! What a model is: tensors with dtypes and shapes, layers, and the numbers of its architecture.
//!
//! Everything here is read from headers. No page of weights is touched, so a model of any size answers in
//! milliseconds, and a file that lies about itself is refused with the offset or tensor at fault.

mod config;
mod directory;
mod dtype;
pub mod safetensors;
mod tensor;

use std::path::{Path, PathBuf};

pub use config::{Attention, Config, LayerCache};
pub use dtype::Dtype;
pub use tensor::Tensor;

use crate::error::{Error, Result};
use crate::units::Bytes;

/// Where a model's numbers come from, which decides how far they can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The headers of its files: exact.
    Header,
    /// A bare size, taken as 16-bit weights and nothing else.
    Size,
    /// A published or measured total that names no parts.
    Published {
        /// The least figure published.
        lo: Bytes,
        /// The most likely.
        best: Bytes,
        /// The largest figure published.
        hi: Bytes,
        /// Whether the figures were measured rather than computed.
        is_measured: bool,
    },
}

/// A model as its headers describe it.
#[derive(Clone, Debug)]
pub struct Model {
    /// File stem, directory name or catalog key.
    pub name: String,
    /// The file or directory read; `None` for a model known by its size alone.
    pub path: Option<PathBuf>,
    /// Where the numbers come from.
    pub basis: Basis,
    /// Every tensor, in file order.
    pub tensors: Vec<Tensor>,
    /// Bytes of all weight files, headers included.
    pub file_bytes: Bytes,
    /// The neighbouring `config.json`, where there is one.
    pub config: Option<Config>,
}

impl Model {
    /// Reads the headers at `path`: a `.safetensors` file, a `model.safetensors.index.json`, or a directory that holds
    /// either. A `config.json` beside the weights is read too.
    ///
    /// # Errors
    /// - [`Error::Io`] for a path that cannot be read;
    /// - [`Error::ModelFile`] for a file of another format, a damaged or lying header, a missing shard, a directory
    ///   without weights or an unreadable configuration, naming file, offset and field.
    pub fn open(path: &Path) -> Result<Self> {
        let weights = directory::weight_files(path)?;
        let mut headers = Vec::with_capacity(weights.files.len());
        for file in &weights.files {
            headers.push((file.as_path(), safetensors::open(file)?));
        }
        weights.check(&headers)?;
        let file_bytes = Bytes::sum(headers.iter().map(|(_, header)| header.file_bytes), "the weight files")?;
        let tensors: Vec<Tensor> = headers.into_iter().flat_map(|(_, header)| header.tensors).collect();
        Bytes::sum(tensors.iter().map(|tensor| tensor.bytes), "the tensors")?;
        let config = Config::beside(&weights.directory)?;
        Ok(Self {
            name: weights.name,
            path: Some(path.to_owned()),
            basis: Basis::Header,
            tensors,
            file_bytes,
            config,
        })
    }

    /// A model of which nothing is known but a size: `size` bytes of 16-bit weights.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size of zero.
    pub fn of_size(name: &str, size: Bytes) -> Result<Self> {
        if size.is_zero() {
            return Err(Error::Argument { name: "size", reason: "a model of no bytes".to_owned() });
        }
        let tensor = Tensor {
            name: "weights".to_owned(),
            dtype: Dtype::F16,
            shape: vec![size.get().div_ceil(2)],
            offset: 0,
            bytes: size,
        };
        Ok(Self {
            name: name.to_owned(),
            path: None,
            basis: Basis::Size,
            tensors: vec![tensor],
            file_bytes: size,
            config: None,
        })
    }

    /// A model of which a total was published: between `lo` and `hi`, most likely `best`, all parts included.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `0 < lo <= best <= hi`.
    pub fn published(name: &str, lo: Bytes, best: Bytes, hi: Bytes, is_measured: bool) -> Result<Self> {
        if lo.is_zero() || lo > best || best > hi {
            let reason = format!("0 < {lo} <= {best} <= {hi} does not hold");
            return Err(Error::Argument { name: "published", reason });
        }
        Ok(Self {
            name: name.to_owned(),
            path: None,
            basis: Basis::Published { lo, best, hi, is_measured },
            tensors: Vec::new(),
            file_bytes: Bytes::ZERO,
            config: None,
        })
    }

    /// Bytes of all tensors, without headers.
    #[must_use]
    pub fn tensor_bytes(&self) -> Bytes {
        self.tensors.iter().fold(Bytes::ZERO, |sum, tensor| sum.saturating_add(tensor.bytes)) // checked by `open`
    }

    /// Elements of the tensors whose dtype is a number format for weights; `None` where no tensor is known. Integer
    /// tensors are counted as buffers: position tables, and the packed storage of quantised checkpoints, whose shapes
    /// do not count parameters.
    #[must_use]
    pub fn parameters(&self) -> Option<u64> {
        if self.tensors.is_empty() {
            return None;
        }
        let floats = self.tensors.iter().filter(|tensor| tensor.dtype.is_float());
        Some(floats.fold(0, |sum, tensor| sum.saturating_add(tensor.elements())))
    }

    /// The architecture's name as its configuration gives it, such as `bert`.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        self.config.as_ref().and_then(|config| config.architecture.as_deref())
    }

    /// Bytes by part, in file order: a stack of layers is one part (`encoder.layer`), anything else goes by its
    /// module (`embeddings.word_embeddings`).
    #[must_use]
    pub fn parts(&self) -> Vec<(String, Bytes)> {
        grouped(self.tensors.iter().map(|tensor| (tensor.part().to_owned(), tensor.bytes)))
    }

    /// Bytes by layer, in file order, for the tensors that belong to a numbered layer (`encoder.layer.0`).
    #[must_use]
    pub fn layers(&self) -> Vec<(String, Bytes)> {
        let numbered =
            self.tensors.iter().filter_map(|tensor| Some((tensor.layer()?.to_owned(), tensor.bytes)));
        grouped(numbered)
    }

    /// Bytes by dtype, in order of first appearance.
    #[must_use]
    pub fn dtypes(&self) -> Vec<(Dtype, Bytes)> {
        grouped(self.tensors.iter().map(|tensor| (tensor.dtype, tensor.bytes)))
    }
}

fn grouped<K: Clone + Eq + std::hash::Hash>(rows: impl Iterator<Item = (K, Bytes)>) -> Vec<(K, Bytes)> {
    let mut index = std::collections::HashMap::new();
    let mut groups: Vec<(K, Bytes)> = Vec::new();
    for (key, bytes) in rows {
        let place = *index.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Bytes::ZERO));
            groups.len().saturating_sub(1)
        });
        groups[place].1 = groups[place].1.saturating_add(bytes);
    }
    groups
}

#[cfg(test)]
mod tests;
