//! A cursor over FlatBuffers, every offset checked before it is followed.
//!
//! The crate for this encoding (flatbuffers) verifies and reads a buffer in memory; a model of 2 GB would be read whole
//! for its names and shapes. Here a table is where it stands in the file, and only the fields asked for are read.
//! Encoding: flatbuffers.dev/internals. Offsets to tables, vectors and strings point forward, so nothing can contain
//! itself; what can be done is to point at one thing many times, and a budget of look-ups puts an end to that.

use std::io::{Read, Seek};

use super::fault::{Failure, Fault};
use super::source::Source;
use crate::units::clip;

/// Elements and letters looked up in one file, however large it is.
const MOST_LOOKUPS: u64 = 1 << 26;

/// A file, or the start of one, that holds one buffer.
#[derive(Debug)]
pub(super) struct Flat<'a, R> {
    pub(super) source: &'a mut Source<R>,
    end: u64,
    budget: u64,
}

/// Where a table stands, and where its fields do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// Its first byte.
    pub(super) start: u64,
    length: u64,
    fields: u64,
    fields_length: u64,
}

/// Where the elements of a vector stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    /// The first byte of its first element.
    pub(super) start: u64,
    /// Its elements.
    pub(super) count: u64,
}

impl<'a, R: Read + Seek> Flat<'a, R> {
    /// The buffer in the first `end` bytes of `source`.
    ///
    /// # Errors
    /// [`Fault`] if there are fewer.
    pub(super) fn new(source: &'a mut Source<R>, end: u64) -> Result<Self, Failure> {
        let length = source.length();
        if end > length {
            let reason = format!("the header claims {end} bytes, the file has {length}");
            return Err(Fault::new(reason).offset(length).into());
        }
        // A sound file has a byte for every element, and four for every reference.
        Ok(Self { source, end, budget: end.min(MOST_LOOKUPS) })
    }

    /// The table that the buffer is about.
    ///
    /// # Errors
    /// [`Fault`] for an offset out of bounds, as in all that follows.
    pub(super) fn root(&mut self) -> Result<Table, Failure> {
        self.table_at(0, "the root")
    }

    /// The table in a field; `part` names it in a fault.
    pub(super) fn table(&mut self, table: Table, id: u16, part: &str) -> Result<Option<Table>, Failure> {
        match self.field(table, id, 4, part)? {
            Some(place) => self.table_at(place, part).map(Some),
            None => Ok(None),
        }
    }

    /// The tables in a field that is a vector of them, none where it is absent.
    pub(super) fn tables(&mut self, table: Table, id: u16, part: &str) -> Result<Vec<Table>, Failure> {
        let vector = self.vector(table, id, 4, part)?;
        self.charge(vector.count, vector.start)?;
        // Grown as tables are found: a vector may point at none.
        let mut tables = Vec::new();
        for index in 0..vector.count {
            tables.push(self.table_at(element(vector, index, 4), part)?);
        }
        Ok(tables)
    }

    /// The vector in a field, of elements this wide; empty where it is absent.
    pub(super) fn vector(
        &mut self,
        table: Table,
        id: u16,
        width: u64,
        part: &str,
    ) -> Result<Vector, Failure> {
        let Some(place) = self.field(table, id, 4, part)? else {
            return Ok(Vector { start: table.start, count: 0 });
        };
        let at = self.follow(place, part)?;
        let count = u64::from(u32::from_le_bytes(self.array(at, part)?));
        let start = at.saturating_add(4);
        let end = count.checked_mul(width).and_then(|bytes| start.checked_add(bytes));
        if end.is_none_or(|end| end > self.end) {
            let reason = format!("{part} would have {count} elements, more than the file has bytes for");
            return Err(Fault::new(reason).offset(at).into());
        }
        Ok(Vector { start, count })
    }

    /// The 32-bit integers in a field that is a vector of them.
    pub(super) fn integers(&mut self, table: Table, id: u16, part: &str) -> Result<Vec<i32>, Failure> {
        self.elements(table, id, part, i32::from_le_bytes)
    }

    /// The 64-bit integers in a field that is a vector of them.
    pub(super) fn longs(&mut self, table: Table, id: u16, part: &str) -> Result<Vec<u64>, Failure> {
        self.elements(table, id, part, u64::from_le_bytes)
    }

    /// The string in a field, empty where it is absent.
    pub(super) fn text(&mut self, table: Table, id: u16, part: &str) -> Result<String, Failure> {
        let Vector { start, count } = self.vector(table, id, 1, part)?;
        self.charge(count, start)?;
        let bytes = self.source.bytes(start, count, part)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Fault::new(format!("{part} is not UTF-8 text")).offset(start).into()),
        }
    }

    /// The byte in a field, or `default` where it is absent.
    pub(super) fn byte(&mut self, table: Table, id: u16, part: &str) -> Result<u8, Failure> {
        Ok(self.scalar(table, id, part)?.map_or(0, u8::from_le_bytes))
    }

    /// The unsigned 32-bit integer in a field, 0 where it is absent.
    pub(super) fn word(&mut self, table: Table, id: u16, part: &str) -> Result<u32, Failure> {
        Ok(self.scalar(table, id, part)?.map_or(0, u32::from_le_bytes))
    }

    /// The unsigned 64-bit integer in a field, 0 where it is absent.
    pub(super) fn long(&mut self, table: Table, id: u16, part: &str) -> Result<u64, Failure> {
        Ok(self.scalar(table, id, part)?.map_or(0, u64::from_le_bytes))
    }

    fn scalar<const N: usize>(
        &mut self,
        table: Table,
        id: u16,
        part: &str,
    ) -> Result<Option<[u8; N]>, Failure> {
        match self.field(table, id, u64::try_from(N).unwrap_or(u64::MAX), part)? {
            Some(place) => self.array(place, part).map(Some),
            None => Ok(None),
        }
    }

    fn elements<const N: usize, T>(
        &mut self,
        table: Table,
        id: u16,
        part: &str,
        of: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Failure> {
        let width = u64::try_from(N).unwrap_or(u64::MAX);
        let vector = self.vector(table, id, width, part)?;
        self.charge(vector.count, vector.start)?;
        let bytes = self.source.bytes(vector.start, vector.count.saturating_mul(width), part)?;
        let (elements, _) = bytes.as_chunks();
        Ok(elements.iter().map(|&element| of(element)).collect())
    }

    /// Where a field of `width` bytes stands; `None` where the table leaves it out.
    fn field(&mut self, table: Table, id: u16, width: u64, part: &str) -> Result<Option<u64>, Failure> {
        let place = u64::from(id).saturating_mul(2).saturating_add(4);
        if place.saturating_add(2) > table.fields_length {
            return Ok(None);
        }
        let offset = u64::from(u16::from_le_bytes(self.array(table.fields.saturating_add(place), part)?));
        if offset == 0 {
            return Ok(None);
        }
        if offset < 4 || offset.saturating_add(width) > table.length {
            let reason = format!("{part} stands outside its table of {} bytes", table.length);
            return Err(Fault::new(reason).offset(table.start).into());
        }
        Ok(Some(table.start.saturating_add(offset)))
    }

    /// The table that the offset at `place` points to.
    fn table_at(&mut self, place: u64, part: &str) -> Result<Table, Failure> {
        let start = self.follow(place, part)?;
        let back = i64::from(i32::from_le_bytes(self.array(start, part)?));
        let fields = i64::try_from(start).ok().and_then(|start| start.checked_sub(back));
        let Some(fields) = fields.and_then(|fields| u64::try_from(fields).ok()) else {
            return Err(Fault::new(format!("{part} has no table of fields")).offset(start).into());
        };
        let fields_length = u64::from(u16::from_le_bytes(self.array(fields, part)?));
        let length = u64::from(u16::from_le_bytes(self.array(fields.saturating_add(2), part)?));
        let is_whole = |start: u64, length| start.checked_add(length).is_some_and(|end| end <= self.end);
        if fields_length < 4 || !is_whole(fields, fields_length) || length < 4 || !is_whole(start, length) {
            return Err(Fault::new(format!("{part} passes the end of the file")).offset(start).into());
        }
        Ok(Table { start, length, fields, fields_length })
    }

    /// Where the offset at `place` points.
    fn follow(&mut self, place: u64, part: &str) -> Result<u64, Failure> {
        let offset = u64::from(u32::from_le_bytes(self.array(place, part)?));
        let target = place.saturating_add(offset);
        if offset < 4 || target >= self.end {
            let reason = format!("the offset of {part} leads to byte {target}");
            return Err(Fault::new(reason).offset(place).into());
        }
        Ok(target)
    }

    fn array<const N: usize>(&mut self, offset: u64, part: &str) -> Result<[u8; N], Failure> {
        let width = u64::try_from(N).unwrap_or(u64::MAX);
        if offset.checked_add(width).is_none_or(|end| end > self.end) {
            return Err(Fault::new(format!("the file ends within {part}"))
                .offset(offset.min(self.end))
                .into());
        }
        self.source.array(offset, part)
    }

    fn charge(&mut self, lookups: u64, offset: u64) -> Result<(), Failure> {
        let left = self.budget.checked_sub(lookups);
        self.budget =
            left.ok_or_else(|| Fault::new("the file points at the same bytes over and over").offset(offset))?;
        Ok(())
    }
}

fn element(vector: Vector, index: u64, width: u64) -> u64 {
    vector.start.saturating_add(index.saturating_mul(width))
}

/// The dimensions of a shape as the runtimes store them, 32-bit and signed.
///
/// # Errors
/// [`Fault`] for a negative one, naming the tensor.
pub(super) fn shape(dimensions: &[i32], name: &str) -> Result<Vec<u64>, Failure> {
    let dimension = |&size: &i32| {
        u64::try_from(size)
            .map_err(|_| Fault::new(format!("a dimension of {size}")).field(&clip(name)).into())
    };
    dimensions.iter().map(dimension).collect()
}

#[cfg(test)]
pub(super) mod tests;
