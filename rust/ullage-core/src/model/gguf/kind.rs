//! The types of values, by their numbers in `gguf.h`.

/// Value types that are not of a fixed size.
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;

/// Bytes of a value of this type; `None` for strings, arrays and types that the format does not have.
pub(super) const fn size_of(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
