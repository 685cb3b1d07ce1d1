//! What a model is: tensors with dtypes and shapes, layers, and the numbers of its architecture.
//!
//! Everything here is read from headers. No page of weights is touched, so a model of any size answers in
//! milliseconds, and a file that lies about itself is refused with the offset or tensor at fault.

mod architecture;
mod blueprint;
mod component;
mod configured;
pub mod core_ml;
mod directory;
mod dtype;
pub mod executorch;
mod fault;
mod fingerprint;
mod flat;
mod format;
pub mod gguf;
mod graph;
#[cfg(test)]
mod hostile;
mod layout;
pub mod onnx;
mod packed;
pub mod pytorch;
pub mod safetensors;
mod settings;
mod source;
mod tensor;
pub mod tflite;
mod wire;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use architecture::{Architecture, Attention, Cache, Layer, Span, State};
pub use component::Role;
pub use dtype::{Dtype, Kind};
pub use fault::{Failure, Fault};
pub use format::Format;
pub use graph::{Buffer, Graph, Size, Symbol};
pub(crate) use layout::Layout;
pub use source::Source;
pub use tensor::Tensor;

use crate::codec::Scheme;
use crate::error::{Error, Result};
use crate::units::{Bytes, clip};

/// Where a model's numbers come from, which decides how far they can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The headers of its files: exact.
    Header,
    /// A configuration alone: shapes by definition, no weight was seen.
    Config,
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
    /// The format of its files; `None` for a model that was not read from a file of weights.
    pub format: Option<Format>,
    /// Bytes of all weight files, headers included.
    pub file_bytes: Bytes,
    /// The files that hold the bytes of its tensors, each with the place behind its last tensor; none where the bytes
    /// cannot be told, or lie in pieces.
    pub(crate) files: Vec<(usize, PathBuf)>,
    /// By place, how elements lie in those files where they do not simply follow one another.
    pub(crate) layouts: HashMap<usize, Layout>,
    /// The numbers of its architecture, where its files or a neighbouring `config.json` give them.
    pub architecture: Option<Architecture>,
    /// Its computation graph, where the format stores one.
    pub graph: Option<Graph>,
    /// How its weights are quantised, such as `gptq 4 bit, group 128`; `None` where they are not.
    pub quantization: Option<String>,
    /// What a reader had to assume or pass over, in sentences.
    pub notes: Vec<String>,
}

/// What the reader of one format finds in one file.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Every tensor, in file order.
    pub tensors: Vec<Tensor>,
    /// Bytes of the file, and of the files beside it that hold its weights.
    pub file_bytes: Bytes,
    /// The files that the offsets of its tensors count from, each with the place behind its last tensor.
    pub(crate) files: Vec<(usize, PathBuf)>,
    /// By place, how elements lie where they do not simply follow one another.
    pub(crate) layouts: HashMap<usize, Layout>,
    /// The numbers of its architecture, where it holds them.
    pub architecture: Option<Architecture>,
    /// Its computation graph, where it stores one.
    pub graph: Option<Graph>,
    /// How its weights are quantised, in a few words, where they are.
    pub quantization: Option<String>,
    /// What had to be assumed or passed over, in sentences.
    pub notes: Vec<String>,
}

impl Model {
    /// Reads the headers of the model at `path`, whatever its format: see [`Format`]. For safetensors and PyTorch, `path`
    /// may be a directory or an index of shards, and a `config.json` beside the weights is read too. A
    /// `config.json`, or a directory that holds one and no weights, gives the tensors that its weights would have.
    ///
    /// # Errors
    /// - [`Error::Io`] for a path that cannot be read;
    /// - [`Error::ModelFile`] for a file of an unknown format, a damaged or lying header, a missing shard, a directory
    ///   without weights or an unreadable configuration, naming file, offset and field.
    pub fn open(path: &Path) -> Result<Self> {
        match Format::of(path)? {
            Format::Config => Self::open_config(path),
            Format::Gguf => Self::of(gguf::name_of(path), path, Format::Gguf, gguf::open(path)?),
            Format::CoreMl => {
                Self::of(directory::model_name(path), path, Format::CoreMl, core_ml::open(path)?)
            }
            Format::ExecuTorch => {
                Self::of(directory::model_name(path), path, Format::ExecuTorch, executorch::open(path)?)
            }
            Format::Onnx => Self::of(directory::model_name(path), path, Format::Onnx, onnx::open(path)?),
            Format::Pytorch | Format::Safetensors => Self::open_weights(path),
            Format::Tflite => {
                Self::of(directory::model_name(path), path, Format::Tflite, tflite::open(path)?)
            }
        }
    }

    /// Reads weights that may be spread over several files, with a `config.json` beside them.
    fn open_weights(path: &Path) -> Result<Self> {
        let weights = directory::weight_files(path)?;
        let mut headers = Vec::with_capacity(weights.files.len());
        let mut format = Format::Safetensors;
        for file in &weights.files {
            format = Format::of(file)?;
            let contents = match format {
                Format::Pytorch => pytorch::open(file)?,
                _ => safetensors::open(file)?.into(),
            };
            headers.push((file.as_path(), contents));
        }
        // One file of safetensors has been checked already, and there is nothing to check it against.
        if weights.files.len() > 1 || weights.is_indexed() || format != Format::Safetensors {
            weights.check(&headers)?;
        }
        let file_bytes = Bytes::sum(headers.iter().map(|(_, header)| header.file_bytes), "the weight files")?;
        let mut contents = Contents {
            file_bytes,
            architecture: architecture::beside(&weights.directory)?,
            ..Contents::default()
        };
        let mut files = packed::Files::default();
        for (file, mut header) in headers {
            let before = contents.tensors.len();
            let layouts =
                header.layouts.drain().map(|(place, layout)| (place.saturating_add(before), layout));
            contents.layouts.extend(layouts);
            contents.tensors.append(&mut header.tensors);
            contents.notes.append(&mut header.notes);
            files.push(contents.tensors.len(), file);
            contents.files.push((contents.tensors.len(), file.to_owned()));
        }
        let settings = packed::Settings::beside(&weights.directory)?;
        contents.quantization =
            packed::unpack(&mut contents.tensors, &settings, &mut |tensor, place| files.read(tensor, place));
        Self::of(weights.name, path, format, contents)
    }

    fn of(name: String, path: &Path, format: Format, contents: Contents) -> Result<Self> {
        let Contents { tensors, file_bytes, files, layouts, architecture, graph, quantization, notes } =
            contents;
        Bytes::sum(tensors.iter().map(|tensor| tensor.bytes), "the tensors")?;
        Ok(Self {
            name,
            path: Some(path.to_owned()),
            basis: Basis::Header,
            format: Some(format),
            tensors,
            file_bytes,
            files,
            layouts,
            architecture,
            graph,
            quantization,
            notes,
        })
    }

    fn without_file(name: &str, basis: Basis, tensors: Vec<Tensor>, file_bytes: Bytes) -> Self {
        Self {
            name: name.to_owned(),
            path: None,
            basis,
            format: None,
            tensors,
            file_bytes,
            files: Vec::new(),
            layouts: HashMap::new(),
            architecture: None,
            graph: None,
            quantization: None,
            notes: Vec::new(),
        }
    }

    /// A model of which nothing is known but a size: `size` bytes of 16-bit weights.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size of zero.
    pub fn of_size(name: &str, size: Bytes) -> Result<Self> {
        if size.is_zero() {
            return Err(Error::Argument { name: "size", reason: "a model of no bytes".to_owned() });
        }
        let shape = vec![size.get().div_ceil(2)];
        let tensor = Tensor::plain(Tensor::LUMP.to_owned(), Dtype::F16, shape, 0, size);
        let note =
            "Only a size is known: no KV cache and no state is counted, whatever the context and batch.";
        let model = Self::without_file(name, Basis::Size, vec![tensor], size);
        Ok(Self { notes: vec![note.to_owned()], ..model })
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
        let basis = Basis::Published { lo, best, hi, is_measured };
        let note = "A published total: context, batch, KV cache and runtime change nothing of it.";
        let model = Self::without_file(name, basis, Vec::new(), Bytes::ZERO);
        Ok(Self { notes: vec![note.to_owned()], ..model })
    }

    /// The same model with its matrices in `scheme`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model of which no tensor is known, [`Error::Overflow`] where they pass 2^64 − 1 bytes.
    pub fn encoded(mut self, scheme: Scheme) -> Result<Self> {
        if self.tensors.is_empty() {
            let reason = format!("no weights of {} are known that could be {scheme}", clip(&self.name));
            return Err(Error::Argument { name: "weights", reason });
        }
        let before = self.tensor_bytes();
        for tensor in &mut self.tensors {
            tensor.bytes = scheme.tensor_bytes(tensor)?;
            tensor.expanded = None;
        }
        self.scale_rest(before)?;
        self.notes.push(format!("weights as {scheme}, not as stored"));
        self.quantization = None;
        Ok(self)
    }

    /// The same model with weights of `size` bytes in all, for a file that is known by its size alone: every tensor grows
    /// or shrinks in proportion.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size of zero, or a model of which no tensor is known.
    pub fn sized(mut self, size: Bytes) -> Result<Self> {
        let before = self.tensor_bytes();
        if size.is_zero() || before.is_zero() {
            let reason = format!("{before} of weights cannot be made {size}");
            return Err(Error::Argument { name: "weights", reason });
        }
        let (mut seen, mut given) = (Bytes::ZERO, Bytes::ZERO);
        for tensor in &mut self.tensors {
            seen = seen.saturating_add(tensor.bytes);
            let until = size.scaled(seen.get(), before.get(), "the weights")?;
            tensor.bytes = until.saturating_sub(given);
            tensor.expanded = None;
            given = until;
        }
        self.notes.push(format!("weights of {size}, as stated"));
        self.scale_rest(before)?;
        self.file_bytes = size;
        Ok(self)
    }

    /// Makes what is made of weights follow them, which were `before` bytes.
    fn scale_rest(&mut self, before: Bytes) -> Result<()> {
        let now = self.tensor_bytes().get();
        let scaled = |part: Bytes| {
            if before.is_zero() { Ok(part) } else { part.scaled(now, before.get(), "the weights") }
        };
        self.file_bytes = scaled(self.file_bytes)?;
        if let Some(architecture) = &mut self.architecture {
            architecture.tied = scaled(architecture.tied)?;
            architecture.copied = scaled(architecture.copied)?;
            architecture.unloaded = scaled(architecture.unloaded)?;
        }
        Ok(())
    }

    /// Bytes of all tensors, without headers.
    #[must_use]
    pub fn tensor_bytes(&self) -> Bytes {
        self.tensors.iter().fold(Bytes::ZERO, |sum, tensor| sum.saturating_add(tensor.bytes)) // checked by `open`
    }

    /// Parameters of all tensors, unpacked where a quantised checkpoint packs them; `None` where no tensor is known.
    #[must_use]
    pub fn parameters(&self) -> Option<u64> {
        if self.tensors.is_empty() {
            return None;
        }
        Some(self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.parameters)))
    }

    /// Bytes of all tensors once expanded, for a runtime that expands compressed storage whole.
    #[must_use]
    pub fn expanded_bytes(&self) -> Bytes {
        let expanded = self.tensors.iter().map(|tensor| tensor.expanded.unwrap_or(tensor.bytes));
        expanded.fold(Bytes::ZERO, Bytes::saturating_add)
    }

    /// The architecture's name as its files give it, such as `bert`.
    #[must_use]
    pub fn architecture_name(&self) -> Option<&str> {
        self.architecture.as_ref().and_then(|architecture| architecture.name.as_deref())
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
