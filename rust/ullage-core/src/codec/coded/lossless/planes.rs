//! Bytes of equal place in their elements, side by side, each chunk of them in LZ4 or as it is.
//!
//! A float of 16 bits or more is first turned left by one bit, so that its exponent fills the last byte. The index has an
//! entry for each plane of each chunk: in how many bytes it is stored, and how.
//!
//! ```text
//!  entry, 32 bits:  bytes (28) | kind (4): 0 as they are, 1 one byte for all, 2 LZ4
//! ```

use std::ops::Range;

use lz4_flex::block;

use super::super::super::lossless::CHUNK_ELEMENTS as CHUNK;
use super::super::super::piece::{Part, Piece};
use super::super::super::weight::OVERFLOW;
use super::super::damaged;
use super::encode::Parts;
use super::work;
use crate::error::{Error, Result};
use crate::model::Dtype;

const STORED: u32 = 0;
const REPEATED: u32 = 1;
const LZ4: u32 = 2;
/// Bits of an entry that say how many bytes.
const SIZE_BITS: u32 = 28;

/// How elements lie in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements {
    /// Bytes of one.
    pub(super) width: usize,
    is_turned: bool,
}

impl Elements {
    /// `None` for what is not made of whole bytes, sixteen at most.
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        let (elements, bits) = dtype.block();
        let is_plain = elements == 1 && bits > 0 && bits.is_multiple_of(8) && bits <= 128;
        let is_turned = matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
        let width = usize::try_from(bits / 8).ok()?;
        is_plain.then_some(Self { width, is_turned })
    }

    const fn chunk_bytes(self) -> usize {
        CHUNK.saturating_mul(self.width)
    }

    /// Bytes of `chunk` plane by plane.
    fn split(self, chunk: &[u8], planes: &mut [u8]) {
        match (self.width, self.is_turned) {
            (2, true) => {
                split::<2>(chunk, planes, |word| u16::from_le_bytes(word).rotate_left(1).to_le_bytes());
            }
            (4, true) => {
                split::<4>(chunk, planes, |word| u32::from_le_bytes(word).rotate_left(1).to_le_bytes());
            }
            (8, true) => {
                split::<8>(chunk, planes, |word| u64::from_le_bytes(word).rotate_left(1).to_le_bytes());
            }
            (2, false) => split::<2>(chunk, planes, |word| word),
            (4, false) => split::<4>(chunk, planes, |word| word),
            (8, false) => split::<8>(chunk, planes, |word| word),
            (16, false) => split::<16>(chunk, planes, |word| word),
            _ => planes.copy_from_slice(chunk),
        }
    }

    /// The inverse of [`Elements::split`].
    fn join(self, planes: &[u8], chunk: &mut [u8]) {
        match (self.width, self.is_turned) {
            (2, true) => {
                join::<2>(planes, chunk, |word| u16::from_le_bytes(word).rotate_right(1).to_le_bytes());
            }
            (4, true) => {
                join::<4>(planes, chunk, |word| u32::from_le_bytes(word).rotate_right(1).to_le_bytes());
            }
            (8, true) => {
                join::<8>(planes, chunk, |word| u64::from_le_bytes(word).rotate_right(1).to_le_bytes());
            }
            (2, false) => join::<2>(planes, chunk, |word| word),
            (4, false) => join::<4>(planes, chunk, |word| word),
            (8, false) => join::<8>(planes, chunk, |word| word),
            (16, false) => join::<16>(planes, chunk, |word| word),
            _ => chunk.copy_from_slice(planes),
        }
    }
}

fn split<const N: usize>(chunk: &[u8], planes: &mut [u8], turn: impl Fn([u8; N]) -> [u8; N]) {
    let words = chunk.as_chunks::<N>().0;
    let count = words.len().max(1);
    for (place, plane) in planes.chunks_mut(count).enumerate().take(N) {
        plane.iter_mut().zip(words).for_each(|(to, &word)| *to = turn(word)[place]);
    }
}

fn join<const N: usize>(planes: &[u8], chunk: &mut [u8], turn: impl Fn([u8; N]) -> [u8; N]) {
    let words = chunk.as_chunks_mut::<N>().0;
    let count = words.len();
    for (place, word) in words.iter_mut().enumerate() {
        let mut own = [0; N];
        for (plane, byte) in own.iter_mut().enumerate() {
            *byte = planes[plane.wrapping_mul(count).wrapping_add(place)];
        }
        *word = turn(own);
    }
}

/// Encodes whole elements of `kind`.
pub(super) fn encode(kind: Elements, bytes: &[u8], threads: usize) -> Result<Parts> {
    let chunks: Vec<&[u8]> = bytes.chunks(kind.chunk_bytes()).collect();
    let found = work::each(threads, chunks, |chunk| {
        let mut planes = vec![0; chunk.len()];
        kind.split(chunk, &mut planes);
        let count = chunk.len().checked_div(kind.width).unwrap_or(0).max(1);
        let (mut codes, mut entries) = (Vec::new(), Vec::new());
        for plane in planes.chunks(count) {
            entries.push(write(plane, &mut codes));
        }
        (codes, entries)
    });
    let size = found.iter().fold(0_usize, |sum, (codes, _)| sum.saturating_add(codes.len()));
    let (mut codes, mut index) = (Vec::with_capacity(size), Vec::new());
    for (own, entries) in found {
        codes.extend_from_slice(&own);
        index.extend(entries.into_iter().flat_map(u32::to_le_bytes));
    }
    let number = |count: usize| u64::try_from(count).map_err(|_| OVERFLOW);
    Ok(vec![
        (Piece::new(Part::Codes, number(codes.len())?, 8), codes),
        (Piece::new(Part::Index, number(index.len() / 4)?, 32), index),
    ])
}

/// Writes a plane of a chunk in the fewest bytes; its entry.
fn write(plane: &[u8], codes: &mut Vec<u8>) -> u32 {
    let size = |count: usize| u32::try_from(count).unwrap_or(0); // 65536 at most
    if let [first, others @ ..] = plane
        && others.iter().all(|byte| byte == first)
    {
        codes.push(*first);
        return REPEATED << SIZE_BITS | 1;
    }
    let packed = block::compress(plane);
    if packed.len() < plane.len() {
        codes.extend_from_slice(&packed);
        LZ4 << SIZE_BITS | size(packed.len())
    } else {
        codes.extend_from_slice(plane);
        STORED << SIZE_BITS | size(plane.len())
    }
}

/// Planes, and where each begins.
pub(super) struct Planes<'a> {
    pub(super) kind: Elements,
    elements: usize,
    codes: &'a [u8],
    index: &'a [u8],
    /// Where each chunk's first plane begins.
    starts: Vec<usize>,
}

impl<'a> Planes<'a> {
    pub(super) fn new(kind: Elements, elements: usize, [codes, index]: [&'a [u8]; 2]) -> Result<Self> {
        let chunks = elements.div_ceil(CHUNK);
        let expected = chunks.saturating_mul(kind.width).saturating_mul(4);
        if index.len() != expected {
            return Err(damaged(Part::Index, format!("{} bytes, not {expected}", index.len())));
        }
        let (mut starts, mut next) = (Vec::with_capacity(chunks), 0_usize);
        for entries in index.chunks_exact(kind.width.saturating_mul(4)) {
            starts.push(next);
            for entry in entries.as_chunks::<4>().0 {
                let size = u32::from_le_bytes(*entry) & ((1 << SIZE_BITS) - 1);
                next = usize::try_from(size).ok().and_then(|size| next.checked_add(size)).ok_or(OVERFLOW)?;
            }
        }
        if next != codes.len() {
            return Err(damaged(Part::Codes, format!("{} bytes, where the index has {next}", codes.len())));
        }
        Ok(Self { kind, elements, codes, index, starts })
    }

    /// Writes the elements in `range` to `out`, which is as long.
    pub(super) fn read_share(&self, range: Range<usize>, mut out: &mut [u8]) -> Result<()> {
        let (mut planes, mut whole) = (Vec::new(), Vec::new());
        let width = self.kind.width;
        let mut start = range.start;
        while start < range.end {
            let chunk = start / CHUNK;
            let first = chunk.saturating_mul(CHUNK);
            let count = self.count_of(chunk);
            let end = range.end.min(first.saturating_add(count));
            let own;
            (own, out) = out.split_at_mut(end.saturating_sub(start).saturating_mul(width));
            if own.len() == count.saturating_mul(width) {
                self.read(chunk, &mut planes, own)?;
            } else {
                whole.resize(count.saturating_mul(width), 0);
                self.read(chunk, &mut planes, &mut whole)?;
                let skipped = start.saturating_sub(first).saturating_mul(width);
                own.copy_from_slice(&whole[skipped..skipped.saturating_add(own.len())]);
            }
            start = end;
        }
        Ok(())
    }

    /// Elements of a chunk.
    fn count_of(&self, chunk: usize) -> usize {
        self.elements.saturating_sub(chunk.saturating_mul(CHUNK)).min(CHUNK)
    }

    /// Decodes a whole chunk; `planes` is room for as much.
    fn read(&self, chunk: usize, planes: &mut Vec<u8>, out: &mut [u8]) -> Result<()> {
        let count = self.count_of(chunk);
        planes.clear();
        planes.resize(out.len(), 0);
        let mut at = self.starts.get(chunk).copied().unwrap_or(usize::MAX);
        let entries = self.index.as_chunks::<4>().0.chunks(self.kind.width).nth(chunk).unwrap_or_default();
        for (entry, plane) in entries.iter().zip(planes.chunks_mut(count.max(1))) {
            let entry = u32::from_le_bytes(*entry);
            let size = usize::try_from(entry & ((1 << SIZE_BITS) - 1)).map_err(|_| OVERFLOW)?;
            let end = at.saturating_add(size);
            let bytes = self.codes.get(at..end).ok_or_else(|| wrong(chunk, "lies beyond the end"))?;
            at = end;
            match (entry >> SIZE_BITS, bytes) {
                (STORED, _) if size == plane.len() => plane.copy_from_slice(bytes),
                (REPEATED, &[byte]) => plane.fill(byte),
                (LZ4, _) => match block::decompress_into(bytes, plane) {
                    Ok(written) if written == plane.len() => {}
                    Ok(written) => return Err(wrong(chunk, &format!("gives {written} bytes, not {count}"))),
                    Err(fault) => return Err(wrong(chunk, &fault.to_string())),
                },
                _ => return Err(wrong(chunk, &format!("has {size} bytes of kind {}", entry >> SIZE_BITS))),
            }
        }
        self.kind.join(planes, out);
        Ok(())
    }
}

fn wrong(chunk: usize, why: &str) -> Error {
    damaged(Part::Codes, format!("a plane of chunk {chunk} {why}"))
}
