//! Floats without loss: exponents in fewer bits, everything else as it is. Bytes in, the same bytes out.
//!
//! ```text
//!  lossless:fixed   values | codes, four bits each | index: where each block's escapes end | escapes | table of 15
//!  lossless         values | Huffman codes, a stream for each block | index: where it begins | code lengths
//!  lossless:lz4     planes of bytes in LZ4, of any dtype | index: how each is stored
//! ```
//!
//! A block is 4096 elements and can be decoded alone; [`form`] says how `values` lie. Whatever the bytes are, they come
//! back: infinities, the payloads of NaNs, subnormals, and what was never a number.

#[cfg(target_arch = "x86_64")]
mod brain;
mod encode;
mod fixed;
mod form;
mod huffman;
mod kernel;
mod lengths;
mod packed;
mod planes;
mod reader;
#[cfg(test)]
mod tests;
mod work;

use super::super::kernel::Isa;
use super::super::lossless::BLOCK_ELEMENTS as BLOCK;
use super::super::piece::Part;
use super::damaged;
use crate::error::Error;

pub use packed::Packed;
pub use reader::{RawReader, Reading};

/// Why data was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Codes end before the elements do.
    Short,
    /// A block's codes end elsewhere than the index says.
    Length,
    /// The index runs backwards, or past the end.
    Index,
    /// Other escapes than there are codes for them.
    Escapes,
}

impl Fault {
    fn at(self, block: usize) -> Error {
        match self {
            Self::Short => damaged(Part::Codes, format!("block {block} has fewer codes than elements")),
            Self::Length => damaged(Part::Codes, format!("block {block} ends elsewhere than the index says")),
            Self::Index => {
                damaged(Part::Index, format!("the entry of block {block} does not follow the one before"))
            }
            Self::Escapes => damaged(Part::Escapes, format!("block {block} has another number of escapes")),
        }
    }
}

/// Entry `place` of an index.
fn entry(index: &[u8], place: usize) -> Result<usize, Fault> {
    let entry = index.as_chunks::<4>().0.get(place).ok_or(Fault::Index)?;
    usize::try_from(u32::from_le_bytes(*entry)).map_err(|_| Fault::Index)
}
