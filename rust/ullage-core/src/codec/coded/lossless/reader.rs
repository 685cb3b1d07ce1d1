//! From pieces to bytes: the whole, or any range.

use std::ops::Range;

use super::super::super::lossless::{Lossless, Method};
use super::super::super::piece::Part;
use super::super::damaged;
use super::fixed::Fixed;
use super::form::Form;
use super::kernel::Kernel;
use super::packed::measure;
use super::planes::{Elements, Planes};
use super::{BLOCK, Fault, Isa, entry, fixed, huffman, work};
use crate::error::{Error, Result};
use crate::model::Dtype;

/// Elements that one thread decodes at a time: whole blocks, and whole chunks of LZ4.
const SHARE: usize = 64 * BLOCK;

/// A weight that was stored without loss, made ready to be read: tables are made and lengths compared once, after which any
/// range can be decoded, on any number of threads.
pub struct RawReader<'a> {
    elements: usize,
    width: usize,
    stored: Stored<'a>,
}

enum Stored<'a> {
    Floats(Floats<'a>),
    Planes(Planes<'a>),
}

/// Exponents in codes, and what stands beside them.
pub(super) struct Floats<'a> {
    pub(super) form: Form,
    pub(super) elements: usize,
    pub(super) values: &'a [u8],
    pub(super) coded: Exponents<'a>,
}

pub(super) enum Exponents<'a> {
    Fixed(Fixed<'a>),
    Huffman {
        decoder: Box<huffman::Decoder>,
        codes: &'a [u8],
        index: &'a [u8],
    },
    /// All are this one.
    Alone(u8),
}

/// How to decode.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Instructions to use; those that the processor does not have are not.
    pub isa: Isa,
    /// Threads to use, this one among them.
    pub threads: usize,
    /// Whether to write past the caches.
    pub streamed: bool,
}

/// Outputs from this size on are written past the caches: they would leave nothing else in them.
const STREAMED: usize = 4 << 20;

impl Reading {
    /// The best for an output of so many bytes, on so many threads.
    #[must_use]
    pub fn of(bytes: usize, threads: usize) -> Self {
        Self { isa: Isa::detect(), threads, streamed: bytes >= STREAMED }
    }
}

/// Where blocks are decoded to: kept in the first cache.
struct Scratch {
    exponents: [[u8; huffman::ROOM]; huffman::LANES],
    numbers: [u8; BLOCK * 4],
}

impl Scratch {
    #[expect(clippy::large_stack_arrays, reason = "made where it stays, but for builds that nobody measures")]
    fn new() -> Box<Self> {
        Box::new(Self { exponents: [[0; huffman::ROOM]; huffman::LANES], numbers: [0; BLOCK * 4] })
    }
}

impl<'a> RawReader<'a> {
    /// Of a weight of `shape` in `dtype` that was stored as `parts`, in the order of [`Packed::parts`](super::Packed::parts).
    ///
    /// # Errors
    /// [`Error::Damaged`] for another number of pieces or bytes than the scheme stores, or tables and an index that
    /// contradict themselves; [`Error::Argument`] for a dtype that the scheme does not encode; [`Error::Overflow`] for a
    /// shape beyond 2^64 − 1.
    pub fn new(scheme: Lossless, dtype: Dtype, shape: &[u64], parts: &[&'a [u8]]) -> Result<Self> {
        let (elements, width) = measure(dtype, shape, scheme)?;
        let expected = match scheme.method {
            Method::Entropy => 4,
            Method::Fixed => 5,
            Method::Lz4 => 2,
        };
        let stored = match (scheme.method, Form::of(dtype), Elements::of(dtype), parts) {
            (Method::Lz4, _, Some(kind), &[codes, index]) => {
                Stored::Planes(Planes::new(kind, elements, [codes, index])?)
            }
            (Method::Fixed, Some(form), _, &[values, codes, index, escapes, table]) => {
                let exponents = read_fixed(elements, [codes, index, escapes, table])?;
                Stored::Floats(Floats::new(form, elements, values, exponents)?)
            }
            (Method::Entropy, Some(form), _, &[values, codes, index, table]) => {
                let exponents = read_huffman(form, elements, [codes, index, table])?;
                Stored::Floats(Floats::new(form, elements, values, exponents)?)
            }
            _ => {
                let reason = format!("there are {}, not {expected}", parts.len());
                return Err(Error::Damaged { piece: "pieces", reason });
            }
        };
        Ok(Self { elements, width, stored })
    }

    /// Number of elements.
    #[must_use]
    pub const fn elements(&self) -> usize {
        self.elements
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Writes the bytes of the elements in `range` to `out`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a range beyond the elements, or for `out` of another size; [`Error::Damaged`] for codes that
    /// contradict themselves, of which `out` may then hold anything.
    pub fn read(&self, range: Range<usize>, out: &mut [u8], reading: Reading) -> Result<()> {
        if range.start > range.end || range.end > self.elements {
            let reason = format!("{range:?} is not within {} elements", self.elements);
            return Err(Error::Argument { name: "range", reason });
        }
        let count = range.end.saturating_sub(range.start);
        if Some(out.len()) != count.checked_mul(self.width()) {
            let reason = format!("{} bytes, not {count} times {}", out.len(), self.width());
            return Err(Error::Argument { name: "out", reason });
        }
        let kernel = Kernel::new(reading.isa);
        let is_streamed = reading.streamed && kernel.streams();
        let shares = self.shares(range, out, reading.threads);
        let done = work::each(reading.threads, shares, |(range, out)| match &self.stored {
            Stored::Floats(floats) => {
                let done = floats.read_share(range, out, kernel, is_streamed);
                if is_streamed {
                    kernel.drain();
                }
                done.map_err(|(fault, block)| fault.at(block))
            }
            Stored::Planes(planes) => planes.read_share(range, out),
        });
        done.into_iter().collect()
    }

    /// Ranges that end with blocks, and where each is written; one if there is one thread.
    fn shares<'o>(
        &self,
        range: Range<usize>,
        mut out: &'o mut [u8],
        threads: usize,
    ) -> Vec<(Range<usize>, &'o mut [u8])> {
        if threads < 2 {
            return vec![(range, out)];
        }
        let mut shares = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = (start / SHARE).saturating_add(1).saturating_mul(SHARE).min(range.end);
            let own;
            (own, out) = out.split_at_mut(end.saturating_sub(start).saturating_mul(self.width));
            shares.push((start..end, own));
            start = end;
        }
        shares
    }
}

impl<'a> Floats<'a> {
    fn new(form: Form, elements: usize, values: &'a [u8], coded: Exponents<'a>) -> Result<Self> {
        let values = sized(Part::Values, values, form.plain(elements))?;
        Ok(Self { form, elements, values, coded })
    }

    fn read_share(
        &self,
        range: Range<usize>,
        mut out: &mut [u8],
        kernel: Kernel,
        is_streamed: bool,
    ) -> Result<(), (Fault, usize)> {
        #[cfg(target_arch = "x86_64")]
        if let Some(done) = self.read_brain(range.clone(), out, kernel, is_streamed) {
            return done;
        }
        let mut scratch = Scratch::new();
        let Scratch { exponents, numbers } = &mut *scratch;
        let mut start = range.start;
        while start < range.end {
            let block = start / BLOCK;
            let blocks = range.end.div_ceil(BLOCK).saturating_sub(block);
            let decoded =
                self.exponents_of(block, blocks, kernel, exponents).map_err(|fault| (fault, block))?;
            for (block, exponents) in (block..).zip(&*exponents).take(decoded) {
                let first = block.saturating_mul(BLOCK);
                let count = self.count_of(block);
                let end = range.end.min(first.saturating_add(count));
                let own;
                (own, out) = out.split_at_mut(end.saturating_sub(start).saturating_mul(self.form.width()));
                let plain = self
                    .form
                    .planes(self.values, self.elements, first, count)
                    .ok_or((Fault::Short, block))?;
                self.prefetch(block.saturating_add(1), kernel);
                let is_whole = own.len() == count.saturating_mul(self.form.width());
                if is_whole && !is_streamed {
                    kernel.merge(self.form, &exponents[..count], plain, own);
                } else {
                    let numbers = &mut numbers[..count.saturating_mul(self.form.width())];
                    kernel.merge(self.form, &exponents[..count], plain, numbers);
                    let skipped = start.saturating_sub(first).saturating_mul(self.form.width());
                    let wanted = &numbers[skipped..skipped.saturating_add(own.len())];
                    if is_streamed { kernel.stream(wanted, own) } else { own.copy_from_slice(wanted) }
                }
                start = end;
            }
        }
        Ok(())
    }

    /// Asks for what a block is decoded from.
    fn prefetch(&self, block: usize, kernel: Kernel) {
        let first = block.saturating_mul(BLOCK);
        kernel.prefetch(self.values.get(first..first.saturating_add(BLOCK)).unwrap_or_default());
        if let Exponents::Fixed(fixed) = &self.coded {
            kernel.prefetch(fixed.codes_of(block, self.count_of(block)).unwrap_or_default());
        }
    }

    /// Elements of a block.
    pub(super) fn count_of(&self, block: usize) -> usize {
        self.elements.saturating_sub(block.saturating_mul(BLOCK)).min(BLOCK)
    }

    /// Decodes exponents of the first of `blocks` blocks from `block` on; how many blocks were decoded, one at least.
    fn exponents_of(
        &self,
        block: usize,
        blocks: usize,
        kernel: Kernel,
        out: &mut [[u8; huffman::ROOM]; huffman::LANES],
    ) -> Result<usize, Fault> {
        let count = self.count_of(block);
        match &self.coded {
            Exponents::Alone(exponent) => out[0][..count].fill(*exponent),
            Exponents::Fixed(fixed) => {
                let codes = fixed.codes_of(block, count)?;
                let escapes = fixed.escapes_of(block)?;
                let exponents = &mut out[0][..count];
                if !kernel.expand(codes, &fixed.table, escapes, exponents) {
                    return Err(Fault::Escapes);
                }
            }
            Exponents::Huffman { decoder, codes, index } => {
                let end = codes.len().saturating_sub(huffman::PADDING);
                let bounds = |block: usize| -> Result<(usize, usize), Fault> {
                    let next = block.saturating_add(1);
                    let end = if next.saturating_mul(4) < index.len() { entry(index, next)? } else { end };
                    Ok((entry(index, block)?, end))
                };
                let last = block.saturating_add(huffman::LANES - 1);
                if blocks >= huffman::LANES && self.count_of(last) == BLOCK {
                    let mut all = [(0, 0); huffman::LANES];
                    for (bound, block) in all.iter_mut().zip(block..) {
                        *bound = bounds(block)?;
                    }
                    decoder.read_many(codes, all, out)?;
                    return Ok(huffman::LANES);
                }
                let (start, end) = bounds(block)?;
                let data = codes.get(start..).ok_or(Fault::Index)?;
                decoder.read(data, end.saturating_sub(start), count, &mut out[0])?;
            }
        }
        Ok(1)
    }
}

fn sized(part: Part, bytes: &[u8], expected: usize) -> Result<&[u8]> {
    if bytes.len() == expected {
        return Ok(bytes);
    }
    Err(damaged(part, format!("{} bytes, not {expected}", bytes.len())))
}

fn index_of(elements: usize, index: &[u8]) -> Result<&[u8]> {
    sized(Part::Index, index, elements.div_ceil(BLOCK).saturating_mul(4))
}

fn read_fixed(elements: usize, [codes, index, escapes, common]: [&[u8]; 4]) -> Result<Exponents<'_>> {
    let common = sized(Part::Tables, common, fixed::COMMON)?;
    let mut table = [0; 16];
    table.iter_mut().zip(common).for_each(|(to, &from)| *to = from);
    let codes = sized(Part::Codes, codes, elements.div_ceil(2))?;
    let fixed = Fixed { codes, index: index_of(elements, index)?, escapes, table };
    fixed
        .check()
        .map_err(|_| damaged(Part::Index, format!("it does not end with all {} escapes", escapes.len())))?;
    Ok(Exponents::Fixed(fixed))
}

fn read_huffman(form: Form, elements: usize, [codes, index, table]: [&[u8]; 3]) -> Result<Exponents<'_>> {
    let table = sized(Part::Tables, table, form.alphabet() / 2)?;
    let index = index_of(elements, index)?;
    let mut lengths = [0_u8; 256];
    for (pair, &byte) in lengths.chunks_mut(2).zip(table) {
        pair.iter_mut().zip([byte & 15, byte >> 4]).for_each(|(to, length)| *to = length);
    }
    let used: Vec<(u8, u8)> = (0..=255).zip(lengths).filter(|&(_, length)| length > 0).collect();
    match used[..] {
        [] if elements == 0 => {
            sized(Part::Codes, codes, 0)?;
            return Ok(Exponents::Alone(0));
        }
        [(alone, huffman::ALONE)] => {
            sized(Part::Codes, codes, 0)?;
            return Ok(Exponents::Alone(alone));
        }
        _ => {}
    }
    let decoder = huffman::Decoder::new(lengths)
        .ok_or_else(|| damaged(Part::Tables, "code lengths that make no complete code of eleven bits"))?;
    let end = codes.len().checked_sub(huffman::PADDING);
    let end =
        end.ok_or_else(|| damaged(Part::Codes, format!("{} bytes, and no padding behind", codes.len())))?;
    let mut before = 0;
    for block in 0..index.len() / 4 {
        let start = entry(index, block).map_err(|fault| fault.at(block))?;
        if start < before || start > end || (block == 0 && start > 0) {
            return Err(Fault::Index.at(block));
        }
        before = start;
    }
    Ok(Exponents::Huffman { decoder: Box::new(decoder), codes, index })
}
