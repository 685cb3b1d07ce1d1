//! The directory of a zip archive whose entries are stored as they are, as PyTorch's are.
//!
//! Layout: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5. Only what finds an entry is read: the end record, the central
//! directory, and one local header for each entry that is asked for. Nothing is decompressed.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::{Failure, Fault, Source, shown};

const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const DIRECTORY: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

const END_SIZE: u64 = 22;
const LOCATOR64_SIZE: u64 = 20;
const DIRECTORY_SIZE: u64 = 46;
const LOCAL_SIZE: u64 = 30;

/// A comment may follow the end record.
const LONGEST_COMMENT: u64 = 0xffff;

/// The directory of an archive.
#[derive(Debug)]
pub(super) struct Archive {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

/// One file of an archive.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Bytes of its content.
    pub(super) size: u64,
    header: u64,
    stored: u64,
    is_plain: bool,
}

/// Where the directory lies, and how many entries it lists.
struct Extent {
    start: u64,
    end: u64,
    count: u64,
}

impl Archive {
    /// Reads the directory of the archive in `source`.
    pub(super) fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Self, Failure> {
        let extent = extent(source)?;
        let mut archive = Self { entries: Vec::new(), places: HashMap::new() };
        let (mut place, mut held) = (extent.start, 0_u64);
        for _ in 0..extent.count {
            let (entry, next) = entry(source, place, extent.end)?;
            held = held.saturating_add(entry.stored);
            let end = entry.header.checked_add(LOCAL_SIZE).and_then(|start| start.checked_add(entry.stored));
            if end.is_none_or(|end| end > extent.start) || held > extent.start {
                let reason = format!("an entry of {} bytes that lies outside the archive", entry.stored);
                return Err(Fault::new(reason).offset(place).field(&entry.name).into());
            }
            if archive.places.insert(entry.name.clone(), archive.entries.len()).is_some() {
                return Err(Fault::new("the entry stands twice").offset(place).field(&entry.name).into());
            }
            archive.entries.push(entry);
            place = next;
        }
        Ok(archive)
    }

    /// Every entry, in the order of the directory.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(*self.places.get(name)?)
    }
}

impl Entry {
    /// Where its content begins: behind a header that pads it to a boundary.
    pub(super) fn data_start<R: Read + Seek>(&self, source: &mut Source<R>) -> Result<u64, Failure> {
        let fault = |reason: &str| Failure::from(Fault::new(reason).offset(self.header).field(&self.name));
        if !self.is_plain {
            return Err(fault("the entry is compressed or encrypted, which PyTorch never writes"));
        }
        let header: [u8; 30] = source.lone(self.header, "a local file header")?;
        if header[..4] != LOCAL {
            return Err(fault("no local file header where the directory says"));
        }
        let lengths = u64::from(u16_at(&header, 26)).saturating_add(u16_at(&header, 28).into());
        let start = self.header.saturating_add(LOCAL_SIZE).saturating_add(lengths);
        if start.checked_add(self.size).is_none_or(|end| end > source.length()) {
            return Err(fault("the entry passes the end of the file"));
        }
        Ok(start)
    }
}

/// Finds the directory by the record at the end of the file, or by the 64-bit one before it.
fn extent<R: Read + Seek>(source: &mut Source<R>) -> Result<Extent, Failure> {
    let length = source.length();
    let tail_start = length.saturating_sub(END_SIZE.saturating_add(LONGEST_COMMENT));
    let tail = source.bytes(tail_start, length.saturating_sub(tail_start), "the end of the archive")?;
    let is_end = |window: &[u8], behind: usize| {
        window.starts_with(&END) && usize::from(u16_at(window, 20)).checked_add(22) == Some(behind)
    };
    let found = tail
        .windows(22)
        .enumerate()
        .rev()
        .find(|(place, window)| is_end(window, tail.len().saturating_sub(*place)));
    let Some((place, record)) = found else {
        let reason =
            "a zip archive without the record that ends it: the file is cut off, or something was added";
        return Err(Fault::new(reason).offset(length).into());
    };
    let end_at = tail_start.saturating_add(u64::try_from(place).unwrap_or(u64::MAX));
    let short = (u16_at(record, 10), u32_at(record, 12), u32_at(record, 16));
    let extent = match short {
        (u16::MAX, ..) | (_, u32::MAX, _) | (.., u32::MAX) => extent64(source, end_at)?,
        (count, size, start) => {
            let start = u64::from(start);
            Extent { start, end: start.saturating_add(size.into()), count: count.into() }
        }
    };
    let size = extent.end.saturating_sub(extent.start);
    if extent.end > end_at || extent.count.checked_mul(DIRECTORY_SIZE).is_none_or(|least| least > size) {
        let reason = format!(
            "the end record claims a directory of {} entries in {size} bytes from {} on",
            extent.count, extent.start
        );
        return Err(Fault::new(reason).offset(end_at).into());
    }
    Ok(extent)
}

fn extent64<R: Read + Seek>(source: &mut Source<R>, end_at: u64) -> Result<Extent, Failure> {
    let fault = |reason: &str, offset| Failure::from(Fault::new(reason).offset(offset));
    let Some(locator_at) = end_at.checked_sub(LOCATOR64_SIZE) else {
        return Err(fault("a 64-bit archive without its locator", end_at));
    };
    let locator: [u8; 20] = source.array(locator_at, "the locator of the 64-bit end record")?;
    if locator[..4] != LOCATOR64 {
        return Err(fault("a 64-bit archive without its locator", locator_at));
    }
    let record_at = u64_at(&locator, 8);
    let record: [u8; 56] = source.array(record_at, "the 64-bit end record")?;
    if record[..4] != END64 {
        return Err(fault("no 64-bit end record where the locator says", record_at));
    }
    let start = u64_at(&record, 48);
    let Some(end) = start.checked_add(u64_at(&record, 40)).filter(|&end| end <= record_at) else {
        return Err(fault("the directory passes the record that ends it", record_at));
    };
    Ok(Extent { start, end, count: u64_at(&record, 32) })
}

/// The entry at `place` of the directory, and where the next one stands.
fn entry<R: Read + Seek>(source: &mut Source<R>, place: u64, end: u64) -> Result<(Entry, u64), Failure> {
    let fixed: [u8; 46] = source.array(place, "an entry of the directory")?;
    if fixed[..4] != DIRECTORY {
        return Err(Fault::new("no directory entry where one must stand").offset(place).into());
    }
    let lengths = [28, 30, 32].map(|at| u64::from(u16_at(&fixed, at)));
    let [name_length, extra_length, _] = lengths;
    let name_at = place.saturating_add(DIRECTORY_SIZE);
    let next = lengths.into_iter().fold(name_at, u64::saturating_add);
    if next > end {
        return Err(Fault::new("an entry passes the end of the directory").offset(place).into());
    }
    let name = source.bytes(name_at, name_length, "the name of an entry")?;
    let Ok(name) = String::from_utf8(name.to_vec()) else {
        return Err(Fault::new("the name of an entry is not UTF-8").offset(name_at).into());
    };
    let extra = source.bytes(name_at.saturating_add(name_length), extra_length, "an entry's extra fields")?;
    let mut wide = Wide::of(extra);
    let mut number = |at| match u32_at(&fixed, at) {
        u32::MAX => wide.next(),
        number => Some(number.into()),
    };
    // In this order, whichever of them are there.
    let (Some(size), Some(stored), Some(header)) = (number(24), number(20), number(42)) else {
        let reason = format!("the entry {} lacks its 64-bit sizes", shown(&name));
        return Err(Fault::new(reason).offset(place).into());
    };
    let is_plain = u16_at(&fixed, 10) == 0 && u16_at(&fixed, 8) & 1 == 0 && size == stored;
    Ok((Entry { name, size, header, stored, is_plain }, next))
}

/// The numbers of the extra field that holds those too large for 32 bits.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    const ID: u16 = 1;

    fn of(mut extra: &'a [u8]) -> Self {
        while let Some((head, rest)) = extra.split_at_checked(4) {
            let length = usize::from(u16_at(head, 2)).min(rest.len());
            let (field, rest) = rest.split_at(length);
            if u16_at(head, 0) == Self::ID {
                return Self(field);
            }
            extra = rest;
        }
        Self(&[])
    }

    fn next(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }
}

/// The little-endian number at `at`, which every caller has made sure of; zero behind the end.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
