//! A place in a header, moving forward over what the format is made of.

use std::io::{Read, Seek};

use super::kind;
use crate::model::fault::{Failure, Fault};
use crate::model::source::Source;

/// Strings passed over in arrays, of one file in all. The largest vocabularies have half a million, merges included.
const MOST_STRINGS: u64 = 1 << 24;

/// Arrays within arrays; no known writer nests any.
const DEEPEST: u32 = 4;

/// Reads little-endian values one after the other.
pub(super) struct Cursor<'a, R> {
    source: &'a mut Source<R>,
    at: u64,
    /// Whether counts take eight bytes, as they do since version 2.
    is_wide: bool,
    strings_left: u64,
}

impl<'a, R: Read + Seek> Cursor<'a, R> {
    pub(super) fn new(source: &'a mut Source<R>, at: u64, is_wide: bool) -> Self {
        Self { source, at, is_wide, strings_left: MOST_STRINGS }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn array<const N: usize>(&mut self, part: &str) -> Result<[u8; N], Failure> {
        let array = self.source.array(self.at, part)?;
        self.at = self.at.saturating_add(u64::try_from(N).unwrap_or(u64::MAX));
        Ok(array)
    }

    pub(super) fn u32(&mut self, part: &str) -> Result<u32, Failure> {
        Ok(u32::from_le_bytes(self.array(part)?))
    }

    pub(super) fn u64(&mut self, part: &str) -> Result<u64, Failure> {
        Ok(u64::from_le_bytes(self.array(part)?))
    }

    /// A length or dimension, as wide as the version has it.
    pub(super) fn count(&mut self, part: &str) -> Result<u64, Failure> {
        if self.is_wide { self.u64(part) } else { Ok(self.u32(part)?.into()) }
    }

    /// A length of things that take at least `each` bytes, checked against what is left of the file.
    pub(super) fn count_of(&mut self, each: u64, most: u64, part: &str) -> Result<u64, Failure> {
        let start = self.at;
        let count = self.count(part)?;
        let left = self.source.length().saturating_sub(self.at);
        let room = left.checked_div(each).unwrap_or(left);
        if count > room.min(most) {
            let reason = format!(
                "{part} claims {count} entries; the rest of the file holds {room}, the limit is {most}"
            );
            return Err(Fault::new(reason).offset(start).into());
        }
        Ok(count)
    }

    /// A string of at most `longest` bytes.
    pub(super) fn text(&mut self, longest: u64, part: &str) -> Result<&str, Failure> {
        let start = self.at;
        let length = self.count(part)?;
        if length > longest {
            let reason = format!("{part} is {length} bytes long; the limit is {longest}");
            return Err(Fault::new(reason).offset(start).into());
        }
        let from = self.at;
        let bytes = self.bytes(length, part)?;
        std::str::from_utf8(bytes).map_err(|_| Fault::new(format!("{part} is not UTF-8")).offset(from).into())
    }

    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: u64, part: &str) -> Result<&[u8], Failure> {
        let from = self.at;
        self.at = from.saturating_add(count);
        self.source.bytes(from, count, part)
    }

    /// Passes over `count` bytes without reading them.
    pub(super) fn skip(&mut self, count: u64, part: &str) -> Result<(), Failure> {
        if let Some(end) = self.at.checked_add(count).filter(|&end| end <= self.source.length()) {
            self.at = end;
            Ok(())
        } else {
            let reason = format!("the file ends within {part}, which claims {count} more bytes");
            Err(Fault::new(reason).offset(self.at).into())
        }
    }

    pub(super) fn skip_string(&mut self, part: &str) -> Result<(), Failure> {
        let length = self.count(part)?;
        self.skip(length, part)
    }

    /// Passes over the elements of an array.
    pub(super) fn skip_elements(&mut self, kind: u32, count: u64, part: &str) -> Result<(), Failure> {
        self.skip_nested(kind, count, part, 0)
    }

    fn skip_nested(&mut self, kind: u32, count: u64, part: &str, depth: u32) -> Result<(), Failure> {
        if let Some(size) = kind::size_of(kind) {
            return self.skip(count.saturating_mul(size), part);
        }
        let left = self.strings_left.checked_sub(count);
        self.strings_left = left.ok_or_else(|| {
            Fault::new(format!("{part} brings the strings in arrays above the limit of {MOST_STRINGS}"))
                .offset(self.at)
        })?;
        for _ in 0..count {
            match kind {
                kind::STRING => self.skip_string(part)?,
                kind::ARRAY if depth < DEEPEST => {
                    let (kind, count) = self.array_head(part)?;
                    self.skip_nested(kind, count, part, depth.saturating_add(1))?;
                }
                _ => return Err(Fault::new(format!("{part} nests arrays too deep")).offset(self.at).into()),
            }
        }
        Ok(())
    }

    /// The type and length of an array whose elements follow.
    pub(super) fn array_head(&mut self, part: &str) -> Result<(u32, u64), Failure> {
        let start = self.at;
        let kind = self.u32(part)?;
        let least = match kind {
            kind::STRING if self.is_wide => 8,
            kind::STRING => 4,
            kind::ARRAY => 8,
            other => kind::size_of(other).ok_or_else(|| {
                Fault::new(format!("{part} is an array of the unknown value type {other}")).offset(start)
            })?,
        };
        Ok((kind, self.count_of(least, u64::MAX, part)?))
    }
}
