//! The keys of a header: what depends on memory is kept, the rest is passed over.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read, Seek};

use super::cursor::Cursor;
use super::kind::{ARRAY, STRING, size_of};
use crate::model::fault::{Failure, Fault};
use crate::units::clip;

/// Real files have dozens of keys.
const MOST_KEYS: u64 = 1 << 16;
const LONGEST_KEY: u64 = (1 << 16) - 1; // the specification's
/// Longer strings are templates and licences.
const LONGEST_TEXT: u64 = 256;
/// Longer lists are vocabularies; what stands per layer is shorter.
const LONGEST_LIST: u64 = 1 << 12;
/// Far above any model, far below what could overflow a product of two.
const LARGEST: u64 = 1 << 31;

/// A value, as far as it is kept.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Text(String),
    /// Whole numbers or flags, one per layer as a rule.
    List(Vec<u64>),
    /// An array of which only the length is kept.
    Length(u64),
    /// A float, a negative number or a long text.
    Other,
}

/// The keys of one file.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Value>);

impl Keys {
    /// Reads the keys that stand at `cursor`.
    pub(super) fn read<R: Read + Seek>(cursor: &mut Cursor<'_, R>, count: u64) -> Result<Self, Failure> {
        if count > MOST_KEYS {
            let reason = format!("the header claims {count} keys; the limit is {MOST_KEYS}");
            return Err(Fault::new(reason).offset(cursor.at()).into());
        }
        let mut keys = HashMap::new();
        for _ in 0..count {
            let start = cursor.at();
            let key = cursor.text(LONGEST_KEY, "a key")?.to_owned();
            let value = Value::read(cursor, &key)?;
            match keys.entry(key) {
                Entry::Vacant(place) => place.insert(value),
                Entry::Occupied(place) => {
                    return Err(Fault::new("the key stands twice").field(place.key()).offset(start).into());
                }
            };
        }
        Ok(Self(keys))
    }

    /// Whether the key is there, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// A text of moderate length.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A count; `None` where the key is absent.
    ///
    /// # Errors
    /// [`Fault`] naming the key for anything but a whole number from 0 to 2^31.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Fault> {
        match self.0.get(key) {
            None => Ok(None),
            Some(&Value::Number(number)) => in_range(key, number).map(Some),
            Some(_) => Err(Fault::new("expected a count").field(key)),
        }
    }

    /// The value of a key that gives one number for all layers, or one for each of `layers`.
    ///
    /// # Errors
    /// [`Fault`] naming the key for another number of entries, or anything but counts.
    pub(crate) fn per_layer(&self, key: &str, layers: usize) -> Result<Option<Vec<u64>>, Fault> {
        match self.0.get(key) {
            Some(Value::List(list)) if list.len() == layers => {
                list.iter().map(|&number| in_range(key, number)).collect::<Result<_, _>>().map(Some)
            }
            Some(Value::List(list)) => {
                Err(Fault::new(format!("{} entries for {layers} layers", list.len())).field(key))
            }
            _ => Ok(self.number(key)?.map(|number| vec![number; layers])),
        }
    }

    /// The numbers or flags of an array.
    pub(crate) fn list(&self, key: &str) -> Option<&[u64]> {
        match self.0.get(key) {
            Some(Value::List(list)) => Some(list),
            _ => None,
        }
    }

    /// Entries of an array.
    pub(crate) fn length(&self, key: &str) -> Option<u64> {
        match self.0.get(key) {
            Some(Value::List(list)) => u64::try_from(list.len()).ok(),
            Some(&Value::Length(length)) => Some(length),
            _ => None,
        }
    }
}

fn in_range(key: &str, number: u64) -> Result<u64, Fault> {
    if number < LARGEST {
        return Ok(number);
    }
    Err(Fault::new(format!("expected a count below 2^31, found {number}")).field(key))
}

impl Value {
    fn read<R: Read + Seek>(cursor: &mut Cursor<'_, R>, key: &str) -> Result<Self, Failure> {
        let start = cursor.at();
        let part = "the value of a key";
        match cursor.u32(part)? {
            STRING => Self::text(cursor),
            ARRAY => Self::list(cursor, key),
            kind if size_of(kind).is_some() => Ok(scalar(cursor, kind)?.map_or(Self::Other, Self::Number)),
            kind => Err(Fault::new(format!("the unknown value type {kind}")).field(key).offset(start).into()),
        }
    }

    fn text<R: Read + Seek>(cursor: &mut Cursor<'_, R>) -> Result<Self, Failure> {
        let part = "a text";
        let length = cursor.count(part)?;
        if length > LONGEST_TEXT {
            cursor.skip(length, part)?;
            return Ok(Self::Other);
        }
        let text = cursor.bytes(length, part)?;
        Ok(std::str::from_utf8(text).map_or(Self::Other, |text| Self::Text(text.to_owned())))
    }

    fn list<R: Read + Seek>(cursor: &mut Cursor<'_, R>, key: &str) -> Result<Self, Failure> {
        let part = format!("the array {:?}", clip(key));
        let (kind, count) = cursor.array_head(&part)?;
        let is_kept = count <= LONGEST_LIST && size_of(kind).is_some() && !key.starts_with("tokenizer.");
        if !is_kept {
            cursor.skip_elements(kind, count, &part)?;
            return Ok(Self::Length(count));
        }
        let mut list = Vec::new();
        for _ in 0..count {
            list.extend(scalar(cursor, kind)?);
        }
        let is_whole = u64::try_from(list.len()) == Ok(count);
        Ok(if is_whole { Self::List(list) } else { Self::Length(count) })
    }
}

/// A value of fixed size; `None` for a float or a negative number.
fn scalar<R: Read + Seek>(cursor: &mut Cursor<'_, R>, kind: u32) -> Result<Option<u64>, Failure> {
    let part = "the value of a key";
    Ok(match kind {
        0 => Some(u8::from_le_bytes(cursor.array(part)?).into()),
        1 => u64::try_from(i8::from_le_bytes(cursor.array(part)?)).ok(),
        2 => Some(u16::from_le_bytes(cursor.array(part)?).into()),
        3 => u64::try_from(i16::from_le_bytes(cursor.array(part)?)).ok(),
        4 => Some(cursor.u32(part)?.into()),
        5 => u64::try_from(i32::from_le_bytes(cursor.array(part)?)).ok(),
        7 => Some(u64::from(u8::from_le_bytes(cursor.array(part)?) != 0)),
        10 => Some(cursor.u64(part)?),
        11 => u64::try_from(i64::from_le_bytes(cursor.array(part)?)).ok(),
        other => {
            cursor.skip(size_of(other).unwrap_or(0), part)?;
            None
        }
    })
}
