//! Which files make up a model: one file, an index of shards, or a directory that holds either.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::Contents;
use crate::error::{Error, Result};
use crate::units::clip;

/// How the weight files of a directory are named.
struct Naming {
    index: &'static str,
    single: &'static str,
    /// What a file beside no index begins with; optimiser states and the like are `.bin` files too.
    start: &'static str,
    end: &'static str,
}

/// Safetensors first: where both stand, they hold the same weights.
const NAMINGS: [Naming; 2] = [
    Naming {
        index: "model.safetensors.index.json",
        single: "model.safetensors",
        start: "",
        end: ".safetensors",
    },
    Naming {
        index: "pytorch_model.bin.index.json",
        single: "pytorch_model.bin",
        start: "pytorch_model",
        end: ".bin",
    },
];

/// An index maps each tensor to a shard; one of 1 GB would name ten million tensors.
const LARGEST_JSON: u64 = 1 << 30;

pub(super) const CONFIG: &str = "config.json";

/// The weight files of one model.
#[derive(Debug)]
pub(super) struct WeightFiles {
    /// What to call the model.
    pub(super) name: String,
    /// Where a configuration would lie.
    pub(super) directory: PathBuf,
    /// Every file, each once.
    pub(super) files: Vec<PathBuf>,
    index: Option<Index>,
}

#[derive(Debug)]
struct Index {
    path: PathBuf,
    weight_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// Whether an index says which file holds which tensor.
    pub(super) const fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    /// Checks the tensors found against what the index promised.
    ///
    /// # Errors
    /// [`Error::ModelFile`] naming the first tensor that stands twice or not at all.
    pub(super) fn check(&self, headers: &[(&Path, Contents)]) -> Result<()> {
        let mut found: HashMap<&str, &Path> = HashMap::new();
        for (file, header) in headers {
            for tensor in &header.tensors {
                if found.insert(&tensor.name, file).is_some() {
                    return Err(fault(&self.directory, Some(&tensor.name), "the tensor stands in two files"));
                }
            }
        }
        let Some(index) = &self.index else { return Ok(()) };
        let is_astray = |(name, shard): &(&String, &String)| {
            found
                .get(name.as_str())
                .and_then(|file| file.file_name())
                .is_none_or(|file| file != shard.as_str())
        };
        match index.weight_map.iter().find(is_astray) {
            None => Ok(()),
            Some((name, shard)) => {
                Err(fault(&index.path, Some(name), format!("the tensor is not in its shard {shard:?}")))
            }
        }
    }
}

/// The files that make up the model at `path`.
///
/// # Errors
/// [`Error::Io`] for an unreadable path, [`Error::ModelFile`] for a directory without weights or an index that cannot
/// be followed.
pub(super) fn weight_files(path: &Path) -> Result<WeightFiles> {
    let metadata = fs::metadata(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    if metadata.is_dir() {
        return in_directory(path);
    }
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    if path.to_string_lossy().ends_with(".index.json") {
        return indexed(path, directory);
    }
    let name = model_name(path);
    Ok(WeightFiles { name, directory, files: vec![path.to_owned()], index: None })
}

/// What to call the model in the file at `path`: its stem, or the directory's name where that says nothing.
pub(super) fn model_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if stem != "model" && stem != "pytorch_model" {
        return stem;
    }
    // These are what every checkpoint's file is called; its directory says which one it is.
    directory_name(path.parent().unwrap_or(Path::new(""))).unwrap_or(stem)
}

/// Whether a file of weights lies in the directory, whatever its format.
pub(super) fn holds_weights(directory: &Path) -> bool {
    const WEIGHTS: [&str; 8] = ["safetensors", "bin", "gguf", "h5", "onnx", "pt", "pth", "msgpack"];
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(std::result::Result::ok);
    let is_weights = |path: &Path| {
        path.extension().is_some_and(|extension| WEIGHTS.iter().any(|known| extension == *known))
    };
    entries.map(|entry| entry.path()).any(|path| is_weights(&path))
}

fn in_directory(directory: &Path) -> Result<WeightFiles> {
    for naming in &NAMINGS {
        let index = directory.join(naming.index);
        if index.is_file() {
            return indexed(&index, directory.to_owned());
        }
        let single = directory.join(naming.single);
        let files = if single.is_file() { vec![single] } else { unindexed(directory, naming)? };
        if !files.is_empty() {
            let name = directory_name(directory).unwrap_or_else(|| "model".to_owned());
            return Ok(WeightFiles { name, directory: directory.to_owned(), files, index: None });
        }
    }
    let reason = "a directory without weights: no .safetensors file in it and no pytorch_model.bin";
    Err(fault(directory, None, reason))
}

/// The one file of a directory that is named so, or a complete set named `…-00001-of-0000N`; nothing where there is no
/// such file.
fn unindexed(directory: &Path, naming: &Naming) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(naming.start) && name.ends_with(naming.end) && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.len() < 2 || is_complete_set(&files, naming.end) {
        return Ok(files);
    }
    let reason = format!(
        "{} {} files and no {} that says how they belong together",
        files.len(),
        naming.end,
        naming.index
    );
    Err(fault(directory, None, reason))
}

/// Whether `files`, sorted, are all of `x-00001-of-0000N` to `x-0000N-of-0000N`, followed by `end`.
fn is_complete_set(files: &[PathBuf], end: &str) -> bool {
    let ending = |number: usize| format!("-{number:05}-of-{:05}{end}", files.len());
    let names: Vec<String> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
    let Some(stem) = names.first().and_then(|name| name.strip_suffix(&ending(1))) else { return false };
    (1..).zip(&names).all(|(number, name)| name.strip_suffix(&ending(number)) == Some(stem))
}

fn indexed(path: &Path, directory: PathBuf) -> Result<WeightFiles> {
    let parsed: IndexFile = read_json(path)?;
    if parsed.weight_map.is_empty() {
        return Err(fault(path, Some("weight_map"), "the index names no tensor"));
    }
    let shards: BTreeSet<&String> = parsed.weight_map.values().collect();
    let mut files = Vec::with_capacity(shards.len());
    for shard in shards {
        let is_plain =
            matches!(Path::new(shard).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        if !is_plain || shard.contains('\\') {
            let reason = format!("the shard {:?} is not a file name beside the index", clip(shard));
            return Err(fault(path, Some("weight_map"), reason));
        }
        let file = directory.join(shard);
        if !file.is_file() {
            return Err(fault(path, Some("weight_map"), format!("the shard {:?} is missing", clip(shard))));
        }
        files.push(file);
    }
    let name = directory_name(&directory).unwrap_or_else(|| "model".to_owned());
    let index = Some(Index { path: path.to_owned(), weight_map: parsed.weight_map });
    Ok(WeightFiles { name, directory, files, index })
}

pub(super) fn directory_name(directory: &Path) -> Option<String> {
    let full =
        fs::canonicalize(if directory.as_os_str().is_empty() { Path::new(".") } else { directory }).ok()?;
    full.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// Reads a JSON file of bounded size.
///
/// # Errors
/// [`Error::Io`] or [`Error::ModelFile`] naming the file and what serde found.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_text(path)?;
    serde_json::from_slice(&text).map_err(|error| fault(path, None, clip(&error.to_string())))
}

/// Reads a text of bounded size, such as JSON.
///
/// # Errors
/// [`Error::Io`], or [`Error::ModelFile`] for what is no file or too large a one.
pub(super) fn read_text(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(fault(path, None, "not a regular file"));
    }
    let length = metadata.len();
    if length > LARGEST_JSON {
        return Err(fault(path, None, format!("{length} bytes of JSON; nothing legitimate is that large")));
    }
    fs::read(path).map_err(io)
}

pub(super) fn fault(path: &Path, field: Option<&str>, reason: impl Into<String>) -> Error {
    Error::ModelFile { path: path.to_owned(), offset: None, field: field.map(clip), reason: reason.into() }
}

/// Bytes of JSON that a file may have and be asked whether it is a configuration.
const LARGEST_CONFIG: u64 = 1 << 24;

/// Whether the file is a configuration and not weights: a JSON object, and not an index of shards.
pub(super) fn is_config(path: &Path) -> bool {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let is_index = path.to_string_lossy().ends_with(".index.json");
    let is_small = path.metadata().is_ok_and(|metadata| metadata.len() <= LARGEST_CONFIG);
    is_json && !is_index && is_small
}

/// Whether the directory has a configuration and no weights.
pub(super) fn is_bare(directory: &Path) -> bool {
    directory.join(CONFIG).is_file() && !holds_weights(directory)
}
