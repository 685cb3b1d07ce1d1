//! A cursor over Protocol Buffers that seeks past whatever is not asked for.
//!
//! The crates for this encoding (prost, protobuf) decode a message from a buffer that holds all of it, or read it
//! through to its end; a model of 2 GB with its weights inline would be read whole for the sake of its names and shapes.
//! Here a field is its number, its wire type and the range of bytes where its value lies, and nothing of that range is
//! read before it is asked for. Encoding: protobuf.dev/programming-guides/encoding.

use std::io::{Read, Seek};

use super::fault::{Failure, Fault};
use super::source::Source;

/// The longest varint: 64 bits, seven to a byte.
const LONGEST_VARINT: u64 = 10;

/// How deep messages may nest, as in the C++ and Java libraries of the format.
const DEEPEST: u8 = 100;

/// The bytes of a message, or of a string or a packed list: all three are length-delimited and look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its first byte.
    pub(super) start: u64,
    /// The byte after its last one.
    pub(super) end: u64,
    depth: u8,
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The number that the schema gives it.
    pub(super) number: u32,
    /// Where its tag stands.
    pub(super) offset: u64,
    /// Its value, or where that lies.
    pub(super) value: Value,
}

/// The value of a field, as far as the encoding tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// An integer, a truth value or a member of an enumeration; negative ones as their two's complement.
    Varint(u64),
    /// Four bytes, little-endian.
    Fixed32(u32),
    /// Eight bytes, little-endian.
    Fixed64(u64),
    /// A message, a string, bytes or a packed list.
    Bytes(Message),
}

/// A walk over the fields of a message. It holds a place and not the file, so that nested messages can be read on the
/// way.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    place: u64,
    end: u64,
    depth: u8,
}

impl Message {
    /// The message that fills the file.
    pub(super) fn whole<R: Read + Seek>(source: &Source<R>) -> Self {
        Self { start: 0, end: source.length(), depth: 0 }
    }

    /// Bytes in all.
    pub(super) fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Its fields, first to last.
    pub(super) fn fields(self) -> Fields {
        Fields { place: self.start, end: self.end, depth: self.depth }
    }

    /// Its bytes as text of at most `limit` bytes; `part` names it in a fault.
    ///
    /// # Errors
    /// [`Fault`] if it is longer or not UTF-8.
    pub(super) fn text<R: Read + Seek>(
        self,
        source: &mut Source<R>,
        limit: u64,
        part: &str,
    ) -> Result<String, Failure> {
        if self.length() > limit {
            let reason = format!("{part} of {} bytes, more than {limit}", self.length());
            return Err(Fault::new(reason).offset(self.start).into());
        }
        let bytes = source.bytes(self.start, self.length(), part)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Fault::new(format!("{part} is not UTF-8 text")).offset(self.start).into()),
        }
    }
}

impl Fields {
    /// The next field, `None` behind the last one.
    ///
    /// # Errors
    /// [`Fault`] for what is no field: a group, a number of zero, a value that passes the end of the message, messages
    /// nested too deep.
    pub(super) fn next<R: Read + Seek>(&mut self, source: &mut Source<R>) -> Result<Option<Field>, Failure> {
        if self.depth > DEEPEST {
            let reason = format!("messages are nested more than {DEEPEST} deep");
            return Err(Fault::new(reason).offset(self.place).into());
        }
        if self.place >= self.end {
            return Ok(None);
        }
        let offset = self.place;
        let tag = self.varint(source)?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number >= 1 << 29 {
            return Err(Fault::new("no protobuf field begins here: its number is out of range")
                .offset(offset)
                .into());
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint(source)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed(source)?)),
            2 => Value::Bytes(self.delimited(source)?),
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed(source)?)),
            wire => {
                let reason = format!("field {number} has the wire type {wire}, which is no longer in use");
                return Err(Fault::new(reason).offset(offset).into());
            }
        };
        Ok(Some(Field { number, offset, value }))
    }

    /// The varint at the current place, which moves behind it.
    fn varint<R: Read + Seek>(&mut self, source: &mut Source<R>) -> Result<u64, Failure> {
        let offset = self.place;
        let held = self.end.saturating_sub(offset).min(LONGEST_VARINT);
        let bytes = source.bytes(offset, held, "a varint")?;
        let mut value: u64 = 0;
        for (place, &byte) in (0_u32..).zip(bytes) {
            let bits = u64::from(byte & 0x7f);
            let shift = place.saturating_mul(7);
            if bits << shift >> shift != bits {
                return Err(Fault::new("a varint of more than 64 bits").offset(offset).into());
            }
            value |= bits << shift;
            if byte < 0x80 {
                self.place = offset.saturating_add(u64::from(place)).saturating_add(1);
                return Ok(value);
            }
        }
        let reason = if held < LONGEST_VARINT {
            "a varint passes the end of its message"
        } else {
            "a varint of more than 64 bits"
        };
        Err(Fault::new(reason).offset(offset).into())
    }

    fn fixed<const N: usize, R: Read + Seek>(&mut self, source: &mut Source<R>) -> Result<[u8; N], Failure> {
        let width = u64::try_from(N).unwrap_or(u64::MAX);
        let range = self.take(width)?;
        source.array(range.start, "a fixed-width number")
    }

    fn delimited<R: Read + Seek>(&mut self, source: &mut Source<R>) -> Result<Message, Failure> {
        let length = self.varint(source)?;
        self.take(length)
    }

    /// The next `length` bytes, which the place moves behind.
    fn take(&mut self, length: u64) -> Result<Message, Failure> {
        let start = self.place;
        let Some(end) = start.checked_add(length).filter(|&end| end <= self.end) else {
            let left = self.end.saturating_sub(start);
            let reason = format!("a value of {length} bytes where its message has {left} left");
            return Err(Fault::new(reason).offset(start).into());
        };
        self.place = end;
        Ok(Message { start, end, depth: self.depth.saturating_add(1) })
    }
}

impl Field {
    /// Its value as a message; `part` names the field in a fault, here and below.
    ///
    /// # Errors
    /// [`Fault`] if it has another wire type.
    pub(super) fn message(self, part: &str) -> Result<Message, Failure> {
        match self.value {
            Value::Bytes(message) => Ok(message),
            _ => Err(self.mistyped(part)),
        }
    }

    /// Its value as an unsigned integer.
    ///
    /// # Errors
    /// [`Fault`] if it has another wire type.
    pub(super) fn varint(self, part: &str) -> Result<u64, Failure> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.mistyped(part)),
        }
    }

    /// Its value as text of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Fault`] if it has another wire type, is longer, or is not UTF-8.
    pub(super) fn text<R: Read + Seek>(
        self,
        source: &mut Source<R>,
        limit: u64,
        part: &str,
    ) -> Result<String, Failure> {
        self.message(part)?.text(source, limit, part)
    }

    /// Adds its value to `list`, of at most `limit` integers: one, or several where the field is packed. Writers may do
    /// either, and both in turns.
    ///
    /// # Errors
    /// [`Fault`] if it has another wire type, a varint of it is damaged, or the list grows longer.
    pub(super) fn varints<R: Read + Seek>(
        self,
        source: &mut Source<R>,
        list: &mut Vec<u64>,
        limit: usize,
        part: &str,
    ) -> Result<(), Failure> {
        let mut packed = match self.value {
            Value::Varint(value) => return self.push(list, value, limit, part),
            Value::Bytes(range) => range.fields(),
            _ => return Err(self.mistyped(part)),
        };
        while packed.place < packed.end {
            let value = packed.varint(source)?;
            self.push(list, value, limit, part)?;
        }
        Ok(())
    }

    fn push(self, list: &mut Vec<u64>, value: u64, limit: usize, part: &str) -> Result<(), Failure> {
        if list.len() >= limit {
            let reason = format!("{part} has more than {limit} entries");
            return Err(Fault::new(reason).offset(self.offset).into());
        }
        list.push(value);
        Ok(())
    }

    fn mistyped(self, part: &str) -> Failure {
        let reason = format!("{part} (field {}) has the wrong wire type", self.number);
        Fault::new(reason).offset(self.offset).into()
    }
}

#[cfg(test)]
pub(super) mod tests;
