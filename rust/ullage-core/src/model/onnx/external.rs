//! Weights in files beside the model.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{Read, Seek};
use std::path::{Component, Path};

use super::super::fault::{Failure, Fault};
use super::super::source::Source;
use super::super::wire::Message;
use super::LONGEST_NAME;
use crate::units::{Bytes, clip};

/// Files of weights that one model may name.
const MOST_FILES: usize = 1 << 16;

/// Where a tensor lies outside the model: `external_data` of `TensorProto`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The file, relative to the model.
    pub(super) location: String,
    /// Its first byte there.
    pub(super) offset: u64,
    /// Its bytes, where they are stated.
    pub(super) length: Option<u64>,
}

impl Place {
    /// Takes one `StringStringEntryProto` of it; other keys, such as `checksum`, say nothing here.
    pub(super) fn entry<R: Read + Seek>(
        &mut self,
        source: &mut Source<R>,
        entry: Message,
    ) -> Result<(), Failure> {
        let (mut key, mut value) = (String::new(), String::new());
        let mut fields = entry.fields();
        while let Some(field) = fields.next(source)? {
            match field.number {
                1 => key = field.text(source, LONGEST_NAME, "a key of external_data")?,
                2 => value = field.text(source, LONGEST_NAME, "a value of external_data")?,
                _ => {}
            }
        }
        let number = || {
            let reason = || format!("the {key} {:?} of external_data is not a number", clip(&value));
            value.parse::<u64>().map_err(|_| Fault::new(reason()).offset(entry.start))
        };
        match key.as_str() {
            "offset" => self.offset = number()?,
            "length" => self.length = Some(number()?),
            "location" => self.location = value,
            _ => {}
        }
        Ok(())
    }
}

/// The files beside a model, and what of them was counted.
pub(super) struct Neighbours<'a> {
    length_of: &'a mut dyn FnMut(&str) -> Result<u64, Failure>,
    lengths: BTreeMap<String, u64>,
    counted: HashSet<(String, u64, u64)>,
}

impl<'a> Neighbours<'a> {
    pub(super) fn new(length_of: &'a mut dyn FnMut(&str) -> Result<u64, Failure>) -> Self {
        Self { length_of, lengths: BTreeMap::new(), counted: HashSet::new() }
    }

    /// Checks that `place` holds `bytes`, and tells whether they were counted before.
    ///
    /// # Errors
    /// [`Fault`] for another length, a file that is missing or lies elsewhere, or a range past its end.
    pub(super) fn is_shared(&mut self, place: Place, bytes: Bytes) -> Result<bool, Failure> {
        let Place { location, offset, length } = place;
        if let Some(length) = length.filter(|&length| length != bytes.get()) {
            let reason =
                format!("external_data of {length} bytes, where type and shape ask for {}", bytes.get());
            return Err(Fault::new(reason).into());
        }
        let held = self.length(&location)?;
        if offset.checked_add(bytes.get()).is_none_or(|end| end > held) {
            let reason = format!(
                "{} bytes from {offset} on pass the end of {:?}, which has {held}",
                bytes.get(),
                clip(&location)
            );
            return Err(Fault::new(reason).into());
        }
        Ok(!self.counted.insert((location, offset, bytes.get())))
    }

    /// Bytes of all the files named.
    pub(super) fn bytes(&self) -> impl Iterator<Item = Bytes> {
        self.lengths.values().copied().map(Bytes::new)
    }

    fn length(&mut self, location: &str) -> Result<u64, Failure> {
        if let Some(&length) = self.lengths.get(location) {
            return Ok(length);
        }
        if self.lengths.len() >= MOST_FILES {
            return Err(Fault::new(format!("external_data in more than {MOST_FILES} files")).into());
        }
        let length = (self.length_of)(location)?;
        self.lengths.insert(location.to_owned(), length);
        Ok(length)
    }
}

/// Bytes of the file at `location` below `directory`.
///
/// # Errors
/// [`Fault`] if it is missing, is not a regular file, or would lie outside `directory`.
pub(super) fn length_beside(directory: &Path, location: &str) -> Result<u64, Failure> {
    let path = Path::new(location);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !is_below || location.contains(['\\', '\0']) {
        let reason = format!("external_data in {:?}, which is not a file beside the model", clip(location));
        return Err(Fault::new(reason).into());
    }
    match fs::metadata(directory.join(path)) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => {
            Err(Fault::new(format!("external_data in {:?}, which is not a regular file", clip(location)))
                .into())
        }
        Err(_) => {
            Err(Fault::new(format!("the file {:?} with external_data is missing", clip(location))).into())
        }
    }
}
