//! A compressed file that was opened: every tensor and every piece checked, none decoded.

use std::collections::HashMap;
use std::path::Path;

use super::buffer::Buffer;
use super::decode::Stored;
use super::entry::{Entry, StoredPiece};
use super::manifest::{self, Row};
use super::map::Map;
use super::numbers;
use super::output::{Element, Form};
use crate::codec::{RawReader, Scheme, Weight};
use crate::error::{Error, Result};
use crate::model::{Dtype, Fault, Tensor, safetensors};
use crate::units::{Bytes, clip};

/// A file of tensors, compressed or not, open for reading.
#[derive(Debug)]
pub struct StoreFile {
    map: Map,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

/// Opens what `bytes` hold as if they were a file, and decodes all of it whose numbers take at most `most` bytes.
///
/// # Errors
/// As [`StoreFile::open`], and for what cannot be decoded.
pub fn check(bytes: Vec<u8>, most: Bytes) -> Result<()> {
    let file = StoreFile::of(Map::held(Path::new("memory"), bytes))?;
    for (place, entry) in file.entries.iter().enumerate() {
        let element = Element::of(entry, Form::Native)?;
        if element.bytes <= most && !file.is_plain(place, &element) {
            let mut buffer = Buffer::new(usize::try_from(element.bytes.get()).unwrap_or(0))?;
            file.decode(place, &element, &mut buffer, 1)?;
        }
    }
    Ok(())
}

impl StoreFile {
    /// Maps the file at `path` and reads its header: one that [`super::write()`] wrote, or any other of safetensors, whose
    /// tensors are then all as they were.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::ModelFile`] naming tensor or piece if it is not what it says.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Map::open(path)?)
    }

    pub(super) fn of(map: Map) -> Result<Self> {
        let bytes = map.bytes();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let header = safetensors::read_header(bytes, length).map_err(|failure| failure.at(map.path()))?;
        let rows = manifest::read(&header.metadata).map_err(|fault| fault.at(map.path()))?;
        let mut entries =
            entries(rows.unwrap_or_default(), header.tensors, bytes).map_err(|fault| fault.at(map.path()))?;
        let mut by_name: HashMap<String, usize> =
            entries.iter().enumerate().map(|(place, entry)| (entry.name.clone(), place)).collect();
        let tied = manifest::tied(&header.metadata).map_err(|fault| fault.at(map.path()))?;
        for (name, holder) in tied {
            let tied = tie(&name, &holder, &mut entries, &mut by_name);
            tied.map_err(|fault| fault.at(map.path()))?;
        }
        Ok(Self { map, entries, by_name })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// Every tensor, in file order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The place of the tensor called `name`: for one that shares the bytes of another, of that one.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes::new(u64::try_from(self.map.bytes().len()).unwrap_or(u64::MAX))
    }

    /// Whether the file holds what is asked for as it is.
    pub(super) fn is_plain(&self, place: usize, element: &Element) -> bool {
        self.entries.get(place).is_some_and(|entry| {
            let is_raw = element.dtype == Dtype::U8 && element.bytes == entry.bytes;
            entry.scheme.is_none() && (entry.dtype == element.dtype || is_raw)
        })
    }

    /// The bytes of a tensor that is stored as it was, however long the file is by now.
    pub(super) fn plain(&self, place: usize) -> &[u8] {
        let piece = self.entries.get(place).and_then(|entry| entry.pieces.first());
        piece.and_then(|piece| self.map.bytes().get(piece.place.clone())).unwrap_or_default()
    }

    /// That the file is as long as it was.
    pub(super) fn checked(&self) -> Result<()> {
        self.map.checked().map(drop)
    }

    /// Decodes the tensor at `place` into `buffer`, which is as long as `element` says.
    ///
    /// # Errors
    /// [`Error::ModelFile`] naming the tensor, or the piece, that contradicts itself.
    pub(super) fn decode(
        &self,
        place: usize,
        element: &Element,
        buffer: &mut Buffer,
        threads: usize,
    ) -> Result<()> {
        self.with_stored(place, |stored| stored.decode(element, buffer, threads))
    }

    /// Multiplies the tensor at `place`, a matrix of a row for each output channel, with `batch` vectors, decoded on the
    /// fly.
    ///
    /// # Errors
    /// As [`Self::decode`], and [`Error::Argument`] for an `x` or `y` of another length.
    pub(super) fn multiply(
        &self,
        place: usize,
        x: &[f32],
        batch: usize,
        y: &mut [f32],
        threads: usize,
    ) -> Result<()> {
        self.with_stored(place, |stored| stored.multiply(x, batch, y, threads))
    }

    /// The same with vectors that are rounded to integers of eight bits.
    ///
    /// # Errors
    /// As [`Self::multiply`], and [`Error::Argument`] for a scheme that takes none, or an `x` that is not finite.
    pub(super) fn multiply_rounded(
        &self,
        place: usize,
        x: &[f32],
        batch: usize,
        y: &mut [f32],
        threads: usize,
    ) -> Result<()> {
        self.with_stored(place, |stored| stored.multiply_rounded(x, batch, y, threads))
    }

    /// Calls `act` with the tensor at `place` as it is stored; what is wrong with it is said of the tensor.
    fn with_stored<T>(&self, place: usize, act: impl FnOnce(Stored<'_>) -> Result<T>) -> Result<T> {
        let bytes = self.map.checked()?;
        let entry = self.entries.get(place).ok_or(Error::Overflow { what: "a tensor's place" })?;
        let act = || {
            let scheme = entry.scheme.or_else(|| numbers::own_scheme(entry.dtype)).ok_or_else(|| {
                let reason = format!("{} is not read as numbers", entry.dtype);
                Error::Argument { name: "dtype", reason }
            })?;
            let part = |piece: &StoredPiece| bytes.get(piece.place.clone()).unwrap_or_default();
            let parts: Vec<&[u8]> = entry.pieces.iter().map(part).collect();
            act(Stored { scheme, dtype: entry.dtype, shape: &entry.shape, parts: &parts })
        };
        act().map_err(|error| self.blame(entry, error))
    }

    /// `error` as what is wrong with the tensor `entry`. What was asked of it wrongly stays what it is.
    fn blame(&self, entry: &Entry, error: Error) -> Error {
        let (field, reason) = match error {
            Error::Damaged { piece, reason } => (format!("{}.{piece}", entry.name), reason),
            Error::Argument { name, reason } if !["activations", "dtype", "x", "y"].contains(&name) => {
                (entry.name.clone(), format!("{name}: {reason}"))
            }
            other => return other,
        };
        let offset = entry.pieces.first().map_or(0, |piece| piece.place.start);
        Fault::new(reason).offset(u64::try_from(offset).unwrap_or(0)).field(&field).at(self.map.path())
    }
}

/// What a header and the list in its metadata describe, in the order in which it lies in the file.
fn entries(rows: Vec<Row>, tensors: Vec<Tensor>, bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
    let places: HashMap<String, usize> =
        tensors.iter().enumerate().map(|(place, tensor)| (tensor.name.clone(), place)).collect();
    let mut is_piece = vec![false; tensors.len()];
    let mut found: Vec<(usize, Entry)> = Vec::with_capacity(tensors.len());
    let mut names = std::collections::HashSet::new();
    for row in rows {
        if !names.insert(row.name.clone()) {
            return Err(Fault::new("it is described twice").field(&row.name));
        }
        let (first, entry) = coded(row, &tensors, &places, &mut is_piece, bytes)?;
        found.push((first, entry));
    }
    for (place, tensor) in tensors.into_iter().enumerate().filter(|(place, _)| !is_piece[*place]) {
        if names.contains(&tensor.name) {
            return Err(Fault::new("it is stored both compressed and as it was").field(&tensor.name));
        }
        let piece = StoredPiece { name: tensor.name.clone(), place: range_of(&tensor)? };
        let Tensor { name, dtype, shape, bytes, .. } = tensor;
        found.push((place, Entry { name, dtype, shape, scheme: None, bytes, pieces: vec![piece] }));
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

/// Adds a tensor called `name` that shares the bytes of the one called `holder`, and its decoded ones too.
fn tie(
    name: &str,
    holder: &str,
    entries: &mut Vec<Entry>,
    by_name: &mut HashMap<String, usize>,
) -> Result<(), Fault> {
    let found = by_name.get(holder).and_then(|&place| Some((place, entries.get(place)?)));
    let Some((place, entry)) = found else {
        return Err(
            Fault::new(format!("it shares the bytes of {:?}, which is missing", clip(holder))).field(name)
        );
    };
    let tied = Entry { name: name.to_owned(), ..entry.clone() };
    if by_name.insert(name.to_owned(), place).is_some() {
        return Err(Fault::new("it has bytes of its own, and is said to share another's").field(name));
    }
    entries.push(tied);
    Ok(())
}

/// A compressed tensor, its pieces found and measured, and the place of the first of them.
fn coded(
    row: Row,
    tensors: &[Tensor],
    places: &HashMap<String, usize>,
    is_piece: &mut [bool],
    bytes: &[u8],
) -> Result<(usize, Entry), Fault> {
    let fault = |reason: String| Fault::new(reason).field(&row.name);
    let scheme: Scheme = row.scheme.parse().map_err(|error: Error| fault(clip(&error.to_string())))?;
    let known = Dtype::ALL.iter().find(|dtype| dtype.to_string() == row.dtype);
    let Some(&dtype) = known.filter(|dtype| dtype.is_weight()) else {
        return Err(fault(format!("{:?} is no format of weights", clip(&row.dtype))));
    };
    let mut pieces = Vec::with_capacity(row.pieces.len().min(16));
    let mut lengths: Vec<u64> = Vec::new();
    let mut first = usize::MAX;
    for name in &row.pieces {
        let Some(&place) = places.get(name) else {
            return Err(fault(format!("its piece {:?} is missing", clip(name))));
        };
        if std::mem::replace(&mut is_piece[place], true) {
            return Err(fault(format!("its piece {:?} is a piece of another tensor too", clip(name))));
        }
        first = first.min(place);
        lengths.push(tensors[place].bytes.get());
        pieces.push(StoredPiece { name: name.clone(), place: range_of(&tensors[place])? });
    }
    match scheme {
        // What lossless pieces take is in them.
        Scheme::Lossless(lossless) => {
            let parts: Vec<&[u8]> =
                pieces.iter().map(|piece| bytes.get(piece.place.clone()).unwrap_or_default()).collect();
            let reader = RawReader::new(lossless, dtype, &row.shape, &parts);
            reader.map_err(|error| fault(clip(&error.to_string())))?;
        }
        _ => measure(scheme, dtype, &row, &lengths)?,
    }
    let size = Bytes::sum(lengths.into_iter().map(Bytes::new), "the pieces")
        .map_err(|error| fault(Error::from(error).to_string()))?;
    let Row { name, shape, .. } = row;
    Ok((first, Entry { name, dtype, shape, scheme: Some(scheme), bytes: size, pieces }))
}

/// That the pieces are those of the scheme, each as long as it says.
fn measure(scheme: Scheme, dtype: Dtype, row: &Row, lengths: &[u64]) -> Result<(), Fault> {
    let fault = |reason: String| Fault::new(reason).field(&row.name);
    let plain = |error: Error| fault(clip(&error.to_string()));
    let stored = Weight::new(&row.shape).and_then(|weight| scheme.stored(&weight, dtype)).map_err(plain)?;
    let Some(stored) = stored else { return Err(fault(format!("{scheme} does not store such a shape"))) };
    if stored.len() != lengths.len() {
        return Err(fault(format!("{} pieces, where {scheme} has {}", lengths.len(), stored.len())));
    }
    for ((piece, &found), name) in stored.iter().zip(lengths).zip(&row.pieces) {
        let expected = piece.bytes().map_err(plain)?.get();
        if found != expected {
            let reason = format!("the {} have {found} bytes, not {expected}", piece.part.name());
            return Err(Fault::new(reason).field(name));
        }
    }
    Ok(())
}

fn range_of(tensor: &Tensor) -> Result<std::ops::Range<usize>, Fault> {
    let start = usize::try_from(tensor.offset).ok();
    let end = tensor.offset.checked_add(tensor.bytes.get()).and_then(|end| usize::try_from(end).ok());
    match (start, end) {
        (Some(start), Some(end)) => Ok(start..end),
        _ => Err(Fault::new("it lies beyond what this machine can map").field(&tensor.name)),
    }
}
