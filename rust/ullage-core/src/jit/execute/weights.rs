//! Stored weights in one block: given, or made up so that they take as long as real ones.

use std::ops::Range;

use super::arena::MAPPED;
use crate::codec::{Coded, Part, Piece, Scheme, Sparse, Weight, Zeros};
use crate::error::{Error, Result};
use crate::jit::Layer;
use crate::model::Dtype;

const LINE: usize = 64;
const OVERFLOW: Error = Error::Overflow { what: "the weights" };

/// Bytes that begin with a cache line.
#[derive(Debug, Default)]
pub(super) struct Block {
    data: Vec<u8>,
    start: usize,
    length: usize,
}

impl Block {
    /// A block of zeros.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is no such memory.
    pub(super) fn new(length: usize) -> Result<Self> {
        let all = length.checked_add(LINE).ok_or(OVERFLOW)?;
        let mut data: Vec<u8> = Vec::new();
        data.try_reserve_exact(all.max(MAPPED)).map_err(|_| {
            let reason = format!("{all} bytes of weights are more than there is memory for");
            Error::Argument { name: "layers", reason }
        })?;
        let start = data.as_ptr().align_offset(LINE).min(LINE);
        data.resize(all, 0);
        Ok(Self { data, start, length })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.start.saturating_add(self.length)]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data[self.start..self.start.saturating_add(self.length)]
    }

    /// Bytes that it takes of memory.
    pub(super) fn size(&self) -> usize {
        self.data.len()
    }
}

/// Where a layer's pieces lie in a block.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) pieces: Vec<Range<usize>>,
}

impl Place {
    /// Where its last piece ends.
    pub(super) fn end(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// The pieces in `bytes`, of which the first is that at `base`.
    pub(super) fn of<'a>(&self, bytes: &'a [u8], base: usize) -> Vec<&'a [u8]> {
        let shifted = |range: &Range<usize>| range.start.saturating_sub(base)..range.end.saturating_sub(base);
        self.pieces.iter().map(|range| &bytes[shifted(range)]).collect()
    }
}

/// Lays pieces of all layers end to end, each at a cache line; gives the bytes of all.
pub(super) fn places(layers: &[Layer]) -> Result<(Vec<Place>, usize)> {
    let mut end = 0_usize;
    let mut all = Vec::with_capacity(layers.len());
    for layer in layers {
        let mut ranges = Vec::new();
        for piece in pieces(layer)? {
            let bytes = usize::try_from(piece.bytes()?.get()).map_err(|_| OVERFLOW)?;
            let start = end.checked_next_multiple_of(LINE).ok_or(OVERFLOW)?;
            end = start.checked_add(bytes).ok_or(OVERFLOW)?;
            ranges.push(start..end);
        }
        end = end.checked_next_multiple_of(LINE).ok_or(OVERFLOW)?;
        all.push(Place { pieces: ranges });
    }
    Ok((all, end))
}

fn pieces(layer: &Layer) -> Result<Vec<Piece>> {
    let stored = layer.scheme.stored(&Weight::new(&layer.shape)?, Dtype::F32)?;
    stored.ok_or_else(|| {
        let reason = format!("{:?} cannot be stored as {}", layer.name, layer.scheme);
        Error::Argument { name: "layers", reason }
    })
}

/// Fills the pieces of `layer` with numbers that take as long as real ones do.
pub(super) fn make(layer: &Layer, place: &Place, block: &mut [u8], seed: u64) -> Result<()> {
    let pieces = pieces(layer)?;
    let is_pattern = matches!(layer.scheme, Scheme::Sparse(Sparse { zeros: Zeros::Pattern { .. }, .. }));
    if is_pattern || pieces.iter().any(|piece| piece.part == Part::Codes) {
        return encode(layer, place, block);
    }
    let mut noise = Noise(seed | 1);
    for (piece, range) in pieces.iter().zip(&place.pieces) {
        let bytes = &mut block[range.clone()];
        match piece.part {
            Part::Mask => mask(layer, bytes, &mut noise),
            Part::Indices | Part::Integers | Part::ZeroPoints => noise.fill(bytes, u64::MAX),
            // Every two bytes are a finite number of 16 bits, every four one of 32.
            _ => noise.fill(bytes, 0x3b7f_3b7f_3b7f_3b7f),
        }
    }
    Ok(())
}

/// What only an encoder can make is encoded from numbers like those of trained weights.
fn encode(layer: &Layer, place: &Place, block: &mut [u8]) -> Result<()> {
    let count = usize::try_from(layer.elements()).map_err(|_| OVERFLOW)?;
    let mut noise = Noise(0x9e37_79b9);
    let values: Vec<f32> = (0..count).map(|_| noise.normal()).collect();
    let coded = Coded::encode(&values, &layer.shape, layer.scheme)?;
    for ((_, bytes), range) in coded.parts().iter().zip(&place.pieces) {
        if bytes.len() != range.len() {
            let reason = format!("{} made up takes {} bytes, not {}", layer.scheme, bytes.len(), range.len());
            return Err(Error::Argument { name: "layers", reason });
        }
        block[range.clone()].copy_from_slice(bytes);
    }
    Ok(())
}

/// A mask of as many bits as there are numbers stored, spread evenly and in no order.
fn mask(layer: &Layer, bytes: &mut [u8], noise: &mut Noise) {
    let Scheme::Sparse(sparse) = layer.scheme else { return };
    let elements = layer.elements();
    let Zeros::Share(millionths) = sparse.zeros else { return };
    let wide = |count: u128| u64::try_from(count).unwrap_or(0);
    let zeros = u128::from(elements).saturating_mul(u128::from(millionths)).div_euclid(1_000_000);
    let mut left = elements.saturating_sub(wide(zeros));
    // Of every eight bits so many are ones, and of what is over one more whenever it comes to a whole one.
    let eight = u128::from(left).saturating_mul(8);
    let base = wide(eight.checked_div(u128::from(elements)).unwrap_or(0));
    let over = wide(eight.checked_rem(u128::from(elements)).unwrap_or(0));
    let mut due = 0_u64;
    for (place, byte) in bytes.iter_mut().enumerate() {
        let start = u64::try_from(place).unwrap_or(0).saturating_mul(8);
        let width = elements.saturating_sub(start).min(8);
        due = due.saturating_add(over);
        let is_due = due >= elements;
        due = if is_due { due.saturating_sub(elements) } else { due };
        let ones =
            if width == 8 { base.saturating_add(u64::from(is_due)).min(left) } else { left.min(width) };
        left = left.saturating_sub(ones);
        *byte = some_bits(ones, width, noise);
    }
}

/// `ones` of the lowest `width` bits.
fn some_bits(ones: u64, width: u64, noise: &mut Noise) -> u8 {
    let ones = u32::try_from(ones).unwrap_or(0);
    let lowest = u8::MAX.checked_shr(8_u32.saturating_sub(ones)).unwrap_or(0);
    let turn = noise.next();
    if width == 8 { lowest.rotate_left(u32::from(turn.to_le_bytes()[5])) } else { lowest }
}

/// Numbers in no order (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, bytes: &mut [u8], mask: u64) {
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (self.next() & mask).to_le_bytes();
        }
        let word = (self.next() & mask).to_le_bytes();
        rest.copy_from_slice(&word[..rest.len()]);
    }

    /// A sum of a few even numbers: near enough to a normal one.
    fn normal(&mut self) -> f32 {
        let bits = self.next().to_le_bytes();
        let sum: f32 = bits.iter().map(|&byte| f32::from(byte) - 127.5).sum();
        sum * 1e-4
    }
}
