//! Reading the arguments of opcodes.

use std::ops::Range;

use super::Fault;

/// Why a pickle could not be followed to its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// It passes the end of its bytes.
    Truncated(usize),
    /// It breaks the format at this place.
    Broken(usize, String),
}

impl Halt {
    pub(super) fn is_truncation(&self) -> bool {
        matches!(self, Self::Truncated(_))
    }

    /// As a fault of a file in which the pickle begins at `start`.
    pub(super) fn fault(self, start: u64) -> Fault {
        let (place, reason) = match self {
            Self::Truncated(place) => (place, "the pickle is cut off".to_owned()),
            Self::Broken(place, reason) => (place, reason),
        };
        Fault::new(reason).offset(start.saturating_add(u64::try_from(place).unwrap_or(u64::MAX)))
    }
}

/// A place in the bytes of a pickle.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// A halt at the opcode or argument just read.
    pub(super) fn broken(&self, reason: impl Into<String>) -> Halt {
        Halt::Broken(self.place, reason.into())
    }

    pub(super) fn byte(&mut self) -> Result<u8, Halt> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Halt> {
        let range = self.take(N)?;
        self.bytes.get(range).and_then(|bytes| bytes.try_into().ok()).ok_or(Halt::Truncated(self.place))
    }

    /// A count of one, two, four or eight bytes.
    pub(super) fn count<const N: usize>(&mut self) -> Result<usize, Halt> {
        let number = little_endian(&self.array::<N>()?);
        usize::try_from(number).map_err(|_| Halt::Truncated(self.place))
    }

    /// The range of the next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<Range<usize>, Halt> {
        let start = self.place;
        let end = start.checked_add(count).filter(|&end| end <= self.bytes.len());
        self.place = end.ok_or(Halt::Truncated(start))?;
        Ok(start..self.place)
    }

    /// The range of bytes counted by a number of `N` bytes before them.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<Range<usize>, Halt> {
        let count = self.count::<N>()?;
        self.take(count)
    }

    /// The range of the rest of the line, without its end.
    pub(super) fn line(&mut self) -> Result<Range<usize>, Halt> {
        let start = self.place;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(Halt::Truncated(start))?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(line)
    }

    /// The number on the rest of the line, as protocols 0 and 1 write it; `None` where it is larger than 64 bits.
    pub(super) fn decimal(&mut self) -> Result<Option<i64>, Halt> {
        let line = self.line()?;
        let text = self.bytes.get(line).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default().trim_end_matches('L');
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) if text.len() > 18 => Ok(None),
            Err(_) => Err(self.broken("a line that is no number")),
        }
    }

    /// The signed number in `range`; `None` where it is larger than 64 bits.
    pub(super) fn signed(&self, range: Range<usize>) -> Option<i64> {
        let bytes = self.bytes.get(range)?;
        if bytes.len() > 8 {
            return None;
        }
        let unused = 64_u32.saturating_sub(u32::try_from(bytes.len()).ok()?.saturating_mul(8));
        if unused == 64 {
            return Some(0);
        }
        Some(little_endian(bytes).cast_signed() << unused >> unused)
    }

    /// The text on the rest of the line within its quotes, as protocol 0 writes it.
    pub(super) fn quoted(&mut self) -> Result<Range<usize>, Halt> {
        let line = self.line()?;
        match self.bytes.get(line.clone()) {
            Some([b'\'', .., b'\''] | [b'"', .., b'"']) => {
                Ok(line.start.saturating_add(1)..line.end.saturating_sub(1))
            }
            _ => Err(self.broken("a text without its quotes")),
        }
    }
}

/// A number of at most eight bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, &byte| (number << 8) | u64::from(byte))
}
