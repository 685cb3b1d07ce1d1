//! Files of PyTorch 0.2 to 1.5, and of later ones on request: four pickles, the keys of the storages, the storages.
//!
//! Layout: `_legacy_save` in `torch/serialization.py`. The pickles are a magic number, a version, the sizes of the
//! writer's integers, and the object; the keys are a fifth. Each storage is its number of elements in eight bytes and
//! the elements themselves.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::pickle::{Pickle, Value};
use super::tree::{Place, Storages};
use super::{Contents, Failure, Fault, LARGEST_PICKLE, Source};
use crate::units::Bytes;

/// The pickle of the magic number `0x1950a86a20f9469cfc6c`.
pub(super) const MAGIC: [u8; 15] =
    [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// Bytes tried first for a pickle of which only the end tells its length.
const FIRST_TRY: u64 = 1 << 16;

pub(super) fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    let mut place = u64::try_from(MAGIC.len()).unwrap_or(u64::MAX);
    let mut is_big_endian = false;
    for _ in ["the version", "the sizes of integers"] {
        let pickle = pickle_at(source, place)?;
        is_big_endian |= says_big_endian(&pickle);
        place = place.saturating_add(pickle.length());
    }
    let object = pickle_at(source, place)?;
    place = place.saturating_add(object.length());
    let keys = pickle_at(source, place)?;
    let data = place.saturating_add(keys.length());

    let sizes = sizes(&object);
    let mut places = HashMap::new();
    let mut next = data;
    for key in keys.items(keys.root()) {
        let Some(key) = keys.text(*key) else {
            return Err(Fault::new("a key of a storage that is no text").offset(keys.start()).into());
        };
        let Some(&(elements, bytes)) = sizes.get(key) else {
            return Err(Fault::new("no tensor says how large the storage is").offset(next).field(key).into());
        };
        let stated = u64::from_le_bytes(source.lone(next, "the length of a storage")?);
        let start = next.saturating_add(8);
        let end = start.checked_add(bytes).filter(|&end| end <= source.length());
        let Some(end) = end.filter(|_| stated == elements) else {
            let reason =
                format!("a storage of {stated} elements where the pickle says {elements}, of {bytes} bytes");
            return Err(Fault::new(reason).offset(next).field(key).into());
        };
        if places.insert(key.to_owned(), Place { start, bytes }).is_some() {
            return Err(Fault::new("the storage stands twice").offset(next).field(key).into());
        }
        next = end;
    }
    let mut storages = Storages::default();
    storages.gather(&object, &mut |key, _| {
        let fault = || Fault::new("the file has no such storage").offset(keys.start()).field(key);
        places.get(key).copied().ok_or_else(|| fault().into())
    })?;
    let mut contents = storages.into_contents(Bytes::new(source.length()));
    if is_big_endian {
        super::turn(&mut contents);
    }
    let left = source.length().saturating_sub(next);
    if left > 0 {
        contents.notes.push(format!("{} behind the last storage were passed over.", Bytes::new(left)));
    }
    Ok(contents)
}

/// Whether the writer's byte order, beside the sizes of its integers, is not that of nearly all machines.
fn says_big_endian(pickle: &Pickle) -> bool {
    let Value::Dict(pairs) = pickle.value(pickle.root()) else { return false };
    pairs
        .iter()
        .any(|(key, value)| pickle.text(*key) == Some("little_endian") && pickle.count(*value) == Some(0))
}

/// Elements and bytes of each storage that the pickle refers to.
fn sizes(object: &Pickle) -> HashMap<&str, (u64, u64)> {
    let mut sizes = HashMap::new();
    for value in object.values() {
        let Value::Persistent(reference) = value else { continue };
        let (Some(key), Some((elements, bytes))) = (
            object.items(*reference).get(2).and_then(|key| object.text(*key)),
            super::rebuild::size(object, *reference),
        ) else {
            continue;
        };
        sizes.insert(key, (elements, bytes));
    }
    sizes
}

/// The pickle that begins at `place` and ends where it says so.
fn pickle_at<R: Read + Seek>(source: &mut Source<R>, place: u64) -> Result<Pickle, Failure> {
    let left = source.length().saturating_sub(place);
    let mut count = FIRST_TRY.min(left);
    loop {
        let bytes = source.bytes(place, count, "a pickle")?.to_vec();
        if let Some(pickle) = Pickle::prefix(bytes, place)? {
            return Ok(pickle);
        }
        if count >= left.min(LARGEST_PICKLE) {
            return Err(Fault::new("a pickle without an end").offset(place).into());
        }
        count = count.saturating_mul(2).min(left).min(LARGEST_PICKLE);
    }
}
