//! What `torch.save` writes, read without running any of it.
//!
//! Since PyTorch 1.6 that is a zip archive: `…/data.pkl` describes the object saved, `…/data/N` are the storages its
//! tensors view. Before, it was a row of pickles followed by the storages. A pickle is a program; here it is followed
//! symbolically: calls become values that say what would have been called, and nothing is.
//!
//! Storages are counted, not tensors: tied weights and views of one storage cost what they cost in memory, once.

mod legacy;
mod pickle;
mod rebuild;
mod tree;
mod zip;

use std::io::{Read, Seek};
use std::path::Path;

use super::fault::{Failure, Fault};
use super::{Contents, Layout, Source};
use crate::error::Result;
use crate::units::{Bytes, clip};
use pickle::Pickle;
use tree::{Place, Storages};
use zip::Archive;

/// The largest description of a model; real ones stay below 10 MB.
const LARGEST_PICKLE: u64 = 1 << 30;

/// What an archive's storages lie in, by the pickle that refers to them; the second pickle is TorchScript's.
const PICKLES: [(&str, &str); 2] = [("data.pkl", "data/"), ("constants.pkl", "constants/")];

/// Reads the tensors of the file at `path`.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read, [`crate::Error::ModelFile`] with offset and tensor if it is not what it
/// says.
pub fn open(path: &Path) -> Result<Contents> {
    let mut source = Source::open(path)?;
    read(&mut source).map_err(|failure| failure.at(path))
}

/// Reads the tensors of a file in `source`: its directory, its pickle, and the header of each storage.
///
/// # Errors
/// [`Failure::Fault`] for what no valid file holds, [`Failure::Io`] for what `source` itself reports.
pub fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    let length = source.length();
    let start = source.bytes(0, length.min(512), "the first bytes")?;
    match Container::of(start) {
        Some(Container::Zip) => archive(source),
        Some(Container::Legacy) => legacy::read(source),
        Some(Container::Tar) => {
            Err(Fault::new("a tar archive of PyTorch 0.1, which no later version writes").offset(0).into())
        }
        Some(Container::Pickle) => {
            let reason =
                "a bare pickle and not a file of torch.save: its tensors cannot be told from other bytes";
            Err(Fault::new(reason).offset(0).into())
        }
        None => Err(Fault::new("not a file of torch.save").offset(0).into()),
    }
}

/// Whether a file that begins so belongs to this reader.
pub(super) fn is_start(start: &[u8]) -> bool {
    Container::of(start).is_some()
}

/// What the objects of a file are wrapped in.
enum Container {
    Zip,
    Legacy,
    Tar,
    Pickle,
}

impl Container {
    fn of(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            return Some(Self::Zip);
        }
        if start.starts_with(&legacy::MAGIC) {
            return Some(Self::Legacy);
        }
        if start.get(257..262) == Some(b"ustar") {
            return Some(Self::Tar);
        }
        // The length of a safetensors header may begin with the same two bytes; its header then follows.
        let is_pickle = matches!(start, [0x80, 2..=5, ..]) && start.get(8) != Some(&b'{');
        is_pickle.then_some(Self::Pickle)
    }
}

fn archive<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    let archive = Archive::read(source)?;
    let root = root_of(&archive)?.to_owned();
    let mut storages = Storages::default();
    for (pickle, folder) in PICKLES {
        let Some(entry) = archive.get(&format!("{root}{pickle}")) else { continue };
        let start = entry.data_start(source)?;
        if entry.size > LARGEST_PICKLE {
            let reason = format!("{} bytes, more than {LARGEST_PICKLE}", entry.size);
            return Err(Fault::new(reason).offset(start).field(&entry.name).into());
        }
        let bytes = source.bytes(start, entry.size, "the pickle")?.to_vec();
        let parsed = Pickle::read(bytes, start)?;
        storages.gather(&parsed, &mut |key, _| {
            let name = format!("{root}{folder}{key}");
            let Some(entry) = archive.get(&name) else {
                return Err(Fault::new("the archive has no such storage").field(&name).into());
            };
            Ok(Place { start: entry.data_start(source)?, bytes: entry.size })
        })?;
    }
    let mut contents = storages.into_contents(Bytes::new(source.length()));
    note_order(source, &archive, &root, &mut contents)?;
    note_untouched(&archive, &root, &mut contents);
    Ok(contents)
}

/// The folder of the archive that holds `data.pkl`, with its slash; empty where that stands outside any folder.
fn root_of(archive: &Archive) -> Result<&str, Failure> {
    let roots = archive.entries().iter().filter_map(|entry| entry.name.strip_suffix("data.pkl"));
    let root = roots.filter(|root| root.is_empty() || root.ends_with('/')).min_by_key(|root| root.len());
    root.ok_or_else(|| {
        let holds = |end: &str| archive.entries().iter().any(|entry| entry.name.ends_with(end));
        let kind = if holds(".npy") {
            "a NumPy archive (.npz), which no reader here reads"
        } else if holds("serialized_exported_program.json") || holds("models/model.json") {
            "an exported PyTorch program (.pt2): give the file of weights it was made from"
        } else {
            "a zip archive without data.pkl, which torch.save would have written"
        };
        Fault::new(kind).offset(0).into()
    })
}

fn note_order<R: Read + Seek>(
    source: &mut Source<R>,
    archive: &Archive,
    root: &str,
    contents: &mut Contents,
) -> Result<(), Failure> {
    let Some(entry) = archive.get(&format!("{root}byteorder")).filter(|entry| entry.size == 3) else {
        return Ok(());
    };
    let start = entry.data_start(source)?;
    if source.bytes(start, 3, "the byte order")? == b"big" {
        turn(contents);
    }
    Ok(())
}

/// What a machine of the other byte order wrote.
fn turn(contents: &mut Contents) {
    contents.notes.push("Its storages are big-endian, as the machine was that wrote it.".to_owned());
    let all = (0..contents.tensors.len()).map(|place| (place, Layout::Unread("it is big-endian")));
    contents.layouts = all.collect();
}

/// Storages that no tensor views still fill the file.
fn note_untouched(archive: &Archive, root: &str, contents: &mut Contents) {
    let folders = PICKLES.map(|(_, folder)| format!("{root}{folder}"));
    let is_storage = |name: &str| folders.iter().any(|folder| name.starts_with(folder.as_str()));
    let stored: Vec<_> = archive.entries().iter().filter(|entry| is_storage(&entry.name)).collect();
    let held = stored.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.size));
    let viewed = contents.tensors.iter().fold(0, |sum: u64, tensor| sum.saturating_add(tensor.bytes.get()));
    let left = held.saturating_sub(viewed);
    if left > 0 {
        let count =
            stored.len().saturating_sub(contents.tensors.iter().filter(|one| !one.bytes.is_zero()).count());
        contents
            .notes
            .push(format!("{} in {count} storage(s) of the archive belong to no tensor.", Bytes::new(left)));
    }
}

/// A name from a file, as text for a message.
fn shown(name: &str) -> String {
    format!("{:?}", clip(name))
}

#[cfg(test)]
mod tests;
