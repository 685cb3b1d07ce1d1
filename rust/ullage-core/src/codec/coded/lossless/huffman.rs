//! Exponents as Huffman codes: one table for all, a stream for each block, four streams decoded at a time.
//!
//! A look-up takes 11 bits and gives every symbol that they hold whole, six at most: some three and a half for the
//! exponents of weights. Streams are independent, so that the latency of one look-up hides behind those of the others.

#![expect(
    clippy::inline_always,
    reason = "the innermost loops, to be compiled for the instructions of each caller"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "counts of a few bits, and bits of which the lowest are looked at"
)]

use super::lengths::{self, LIMIT};
use super::{BLOCK, Fault};

const ENTRIES: usize = 1 << LIMIT;
/// Symbols that one look-up gives at most.
const MOST: usize = 6;
/// Look-ups between two refills: 55 of the 56 bits that a refill leaves at least.
const BATCH: usize = 5;
/// Streams that are decoded at once.
pub(super) const LANES: usize = 4;
/// A look-up writes eight bytes, whatever it gives.
pub(super) const ROOM: usize = BLOCK.saturating_add(64);
/// Bytes behind the last code: a refill reads eight, from up to eight beyond what is decoded.
pub(super) const PADDING: usize = 16;

/// The length that marks a symbol which stands alone, and takes no code.
pub(super) const ALONE: u8 = 15;

/// How symbols are written.
pub(super) struct Encoder {
    codes: [u16; 256],
    lengths: [u8; 256],
}

impl Encoder {
    /// `None` for no symbol, or one alone, which take no code.
    pub(super) fn of_counts(counts: &[u64; 256]) -> Option<Self> {
        let lengths = lengths::of_counts(counts);
        lengths::codes(&lengths).map(|codes| Self { codes, lengths })
    }

    pub(super) const fn lengths(&self) -> &[u8; 256] {
        &self.lengths
    }

    /// Writes one block, which begins and ends with a byte.
    pub(super) fn write(&self, symbols: &[u8], out: &mut Vec<u8>) {
        let (mut held, mut count) = (0_u64, 0_u32);
        let put = |symbol: u8, held: &mut u64, count: &mut u32| {
            *held |= u64::from(self.codes[usize::from(symbol)]) << *count;
            *count = count.wrapping_add(u32::from(self.lengths[usize::from(symbol)]));
        };
        let (quads, rest) = symbols.as_chunks::<4>();
        for quad in quads {
            for &symbol in quad {
                put(symbol, &mut held, &mut count);
            }
            out.extend_from_slice(&held.to_le_bytes());
            let whole = count >> 3;
            let surplus = 8_usize.wrapping_sub(whole as usize);
            out.truncate(out.len().wrapping_sub(surplus));
            held >>= whole.wrapping_mul(8) & 0x3F;
            count &= 7;
        }
        for &symbol in rest {
            put(symbol, &mut held, &mut count);
        }
        let bytes = (count as usize).div_ceil(8);
        out.extend_from_slice(&held.to_le_bytes()[..bytes]);
    }
}

/// How symbols are read.
///
/// ```text
///  entry, 64 bits:  symbols 0 to 5 | bits of all of them | how many
///  byte             0 ...        5 |          6          |    7
/// ```
pub(super) struct Decoder {
    table: Box<[u64; ENTRIES]>,
    lengths: [u8; 256],
}

#[derive(Clone, Copy)]
struct Stream<'a> {
    /// From the block's first byte to the end of all.
    data: &'a [u8],
    /// Bytes taken into `bits`.
    at: usize,
    bits: u64,
    /// How many of `bits` are valid; those above are the next ones or zero.
    held: u32,
    /// Symbols written.
    count: usize,
}

impl Stream<'_> {
    #[inline(always)]
    fn refill(&mut self) -> Option<()> {
        let next = self.data.get(self.at..)?.first_chunk::<8>()?;
        self.bits |= u64::from_le_bytes(*next).wrapping_shl(self.held);
        self.at = self.at.wrapping_add((63_u32.wrapping_sub(self.held) >> 3) as usize);
        self.held |= 0x38; // 56 to 63 are left
        Some(())
    }

    /// Bits that were decoded.
    const fn used(&self) -> usize {
        self.at.saturating_mul(8).saturating_sub(self.held as usize)
    }
}

impl Decoder {
    /// `None` where `lengths` are of no complete code.
    pub(super) fn new(lengths: [u8; 256]) -> Option<Self> {
        let codes = lengths::codes(&lengths)?;
        let mut single = vec![0_u8; ENTRIES];
        for (symbol, &code) in (0..=255_u8).zip(&codes) {
            let length = lengths[usize::from(symbol)];
            if length > 0 {
                let step = 1_usize << length;
                (usize::from(code)..ENTRIES).step_by(step).for_each(|place| single[place] = symbol);
            }
        }
        let mut table = Box::new([0_u64; ENTRIES]);
        for (place, entry) in table.iter_mut().enumerate() {
            let (mut bytes, mut used, mut count) = ([0_u8; 8], 0_usize, 0_usize);
            while count < MOST {
                let symbol = single[place >> used];
                let length = usize::from(lengths[usize::from(symbol)]);
                if used.saturating_add(length) > LIMIT {
                    break;
                }
                bytes[count] = symbol;
                used = used.saturating_add(length);
                count = count.saturating_add(1);
            }
            // Both are 11 at most.
            bytes[6] = u8::try_from(used).unwrap_or(0);
            bytes[7] = u8::try_from(count).unwrap_or(0);
            *entry = u64::from_le_bytes(bytes);
        }
        Some(Self { table, lengths })
    }

    #[inline(always)]
    fn step(&self, stream: &mut Stream<'_>, used: &mut u64, out: &mut [u8; ROOM]) -> Option<()> {
        let entry = self.table[stream.bits as usize & (ENTRIES - 1)];
        let tail = entry >> 48;
        out.get_mut(stream.count..)?.first_chunk_mut::<8>()?.copy_from_slice(&entry.to_le_bytes());
        stream.bits = stream.bits.wrapping_shr(tail as u32);
        *used = used.wrapping_add(tail);
        stream.count = stream.count.wrapping_add((entry >> 56) as usize);
        Some(())
    }

    #[inline(always)]
    fn batch(&self, stream: &mut Stream<'_>, out: &mut [u8; ROOM]) -> Option<()> {
        stream.refill()?;
        let mut used = 0_u64;
        for _ in 0..BATCH {
            self.step(stream, &mut used, out)?;
        }
        stream.held = stream.held.wrapping_sub(used as u32 & 0xFF);
        Some(())
    }

    /// Decodes whole blocks that begin at `starts` of `data`, each of which ends where its neighbour in `ends` says.
    pub(super) fn read_many(
        &self,
        data: &[u8],
        blocks: [(usize, usize); LANES],
        out: &mut [[u8; ROOM]; LANES],
    ) -> Result<(), Fault> {
        let mut streams = [Stream { data: &[], at: 0, bits: 0, held: 0, count: 0 }; LANES];
        for (stream, (start, _)) in streams.iter_mut().zip(blocks) {
            stream.data = data.get(start..).ok_or(Fault::Short)?;
        }
        let last = BLOCK - BATCH * MOST;
        let [first, second, third, fourth] = &mut streams;
        let [a, b, c, d] = out;
        while first.count.max(second.count).max(third.count.max(fourth.count)) <= last {
            let done =
                (self.batch(first, a), self.batch(second, b), self.batch(third, c), self.batch(fourth, d));
            let (Some(()), Some(()), Some(()), Some(())) = done else { return Err(Fault::Short) };
        }
        for ((stream, (start, end)), out) in streams.iter_mut().zip(blocks).zip(out) {
            self.finish(stream, BLOCK, end.saturating_sub(start), out)?;
        }
        Ok(())
    }

    /// Decodes one block of `count` symbols from all of `data` but the padding.
    pub(super) fn read(
        &self,
        data: &[u8],
        length: usize,
        count: usize,
        out: &mut [u8; ROOM],
    ) -> Result<(), Fault> {
        let mut stream = Stream { data, at: 0, bits: 0, held: 0, count: 0 };
        self.finish(&mut stream, count, length, out)
    }

    fn finish(
        &self,
        stream: &mut Stream<'_>,
        count: usize,
        length: usize,
        out: &mut [u8; ROOM],
    ) -> Result<(), Fault> {
        while stream.count.saturating_add(BATCH * MOST) <= count {
            self.batch(stream, out).ok_or(Fault::Short)?;
        }
        while stream.count < count {
            stream.refill().ok_or(Fault::Short)?;
            let symbol = self.table[stream.bits as usize & (ENTRIES - 1)].to_le_bytes()[0];
            let length = u32::from(self.lengths[usize::from(symbol)]);
            out[stream.count] = symbol;
            stream.bits >>= length;
            stream.held = stream.held.wrapping_sub(length);
            stream.count = stream.count.wrapping_add(1);
        }
        // A block that was changed seldom ends where it did.
        if stream.used().div_ceil(8) == length { Ok(()) } else { Err(Fault::Length) }
    }
}
