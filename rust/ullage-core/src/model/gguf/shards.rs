//! Models in several files: `x-00001-of-0000N.gguf` to `x-0000N-of-0000N.gguf`, the first with the keys.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Header;
use crate::error::{Error, Result};
use crate::model::Contents;
use crate::model::directory::{directory_name, fault};
use crate::units::{Bytes, clip};

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";

/// What to call the model at `path`: its file's stem without the number of a shard, or its directory's name.
pub(in crate::model) fn name_of(path: &Path) -> String {
    if path.is_dir() {
        return directory_name(path).unwrap_or_else(|| "model".to_owned());
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match Place::of(path) {
        Some(place) => place.stem.to_owned(),
        None if stem == "model" => path.parent().and_then(directory_name).unwrap_or(stem),
        None => stem,
    }
}

/// Whether `directory` holds models of this format and none of the other that comes in directories.
pub(in crate::model) fn is_directory_of(directory: &Path) -> bool {
    let has = |suffix: &str| !with_suffix(directory, suffix).unwrap_or_default().is_empty();
    has("gguf") && !has("safetensors") && !directory.join("model.safetensors.index.json").exists()
}

pub(super) fn open(path: &Path) -> Result<Contents> {
    let path = &if path.is_dir() { only_model(path)? } else { path.to_owned() };
    let header = Header::open(path)?;
    let count = header.keys.number(COUNT).map_err(|fault| fault.at(path))?.unwrap_or(1);
    if count <= 1 {
        let contents = header.contents().map_err(|fault| fault.at(path))?;
        return Ok(Contents { files: vec![(contents.tensors.len(), path.clone())], ..contents });
    }
    let Some(place) = Place::of(path).filter(|place| place.count == count) else {
        let reason = format!("a shard of {count}, but its name does not end as {:?}", ending(1, count));
        return Err(fault(path, Some(COUNT), reason));
    };
    let mut headers = Vec::new();
    for number in 1..=count {
        let shard = place.sibling(number);
        if !shard.is_file() {
            let name = shard.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(fault(path, Some(COUNT), format!("the shard {:?} is missing", clip(&name))));
        }
        let header = Header::open(&shard)?;
        check(&shard, &header, number, count)?;
        headers.push((shard, header));
    }
    join(headers)
}

/// That a shard is the one its name says it is.
fn check(path: &Path, header: &Header, number: u64, count: u64) -> Result<()> {
    for (key, expected) in [(COUNT, count), (NUMBER, number.saturating_sub(1))] {
        let found = header.keys.number(key).map_err(|fault| fault.at(path))?;
        if found != Some(expected) {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
            return Err(fault(path, Some(key), format!("it says {found}, its name says {expected}")));
        }
    }
    Ok(())
}

fn join(headers: Vec<(PathBuf, Header)>) -> Result<Contents> {
    let mut end: usize = 0;
    let files: Vec<(usize, PathBuf)> = headers
        .iter()
        .map(|(path, header)| {
            end = end.saturating_add(header.tensors.len());
            (end, path.clone())
        })
        .collect();
    let mut shards = headers.into_iter();
    let Some((first, Header { keys, mut tensors, mut notes, mut file_bytes })) = shards.next() else {
        return Ok(Contents::default());
    };
    let promised = keys.number(TENSORS).map_err(|fault| fault.at(&first))?;
    for (_, shard) in shards {
        tensors.extend(shard.tensors);
        notes.extend(shard.notes);
        file_bytes = Bytes::sum([file_bytes, shard.file_bytes], "the shards")?;
    }
    let found = u64::try_from(tensors.len()).unwrap_or(u64::MAX);
    if promised.is_some_and(|promised| promised != found) {
        return Err(fault(&first, Some(TENSORS), format!("the shards hold {found} tensors")));
    }
    let mut names = HashSet::with_capacity(tensors.len());
    if let Some(tensor) = tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        return Err(fault(&first, Some(&tensor.name), "the tensor stands in two shards"));
    }
    notes.dedup();
    let header = Header { keys, tensors, notes, file_bytes };
    header.contents().map(|contents| Contents { files, ..contents }).map_err(|fault| fault.at(&first))
}

/// A file's place in a set, by its name.
struct Place<'a> {
    directory: PathBuf,
    stem: &'a str,
    count: u64,
}

impl<'a> Place<'a> {
    fn of(path: &'a Path) -> Option<Self> {
        let (rest, count) = path.file_name()?.to_str()?.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let read = |digits: &str| if digits.len() == 5 { digits.parse::<u64>().ok() } else { None };
        read(number)?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        Some(Self { directory, stem, count: read(count)? })
    }

    fn sibling(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{}{}", self.stem, ending(number, self.count)))
    }
}

fn ending(number: u64, count: u64) -> String {
    format!("-{number:05}-of-{count:05}.gguf")
}

/// The one model of a directory: its only file, or the first of its only set.
fn only_model(directory: &Path) -> Result<PathBuf> {
    let files = with_suffix(directory, "gguf")?;
    let Some(first) = files.first() else {
        return Err(fault(directory, None, "a directory without weights: no .gguf file in it"));
    };
    let is_of_one_set = |file: &PathBuf| match (Place::of(first), Place::of(file)) {
        (Some(one), Some(other)) => one.stem == other.stem && one.count == other.count,
        _ => file == first,
    };
    if files.iter().all(is_of_one_set) {
        return Ok(first.clone());
    }
    let reason =
        format!("{} .gguf files that are not one set of shards: name the one that is meant", files.len());
    Err(fault(directory, None, reason))
}

/// The files of a directory with this suffix, sorted.
fn with_suffix(directory: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == suffix) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
