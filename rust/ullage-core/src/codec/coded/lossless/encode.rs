//! From bytes to pieces.

use super::super::super::piece::{Part, Piece};
use super::super::super::weight::OVERFLOW;
use super::form::Form;
use super::{BLOCK, fixed, huffman, work};
use crate::error::Result;

/// What is stored, piece by piece.
pub(super) type Parts = Vec<(Piece, Vec<u8>)>;

/// Blocks that are encoded by one thread at a time: 256 Ki elements.
const SHARE: usize = 64;

/// Numbers taken apart.
struct Split {
    exponents: Vec<u8>,
    /// Both planes.
    values: Vec<u8>,
    counts: [u64; 256],
}

/// Encodes whole elements of `form`, exponents in codes of four bits or in Huffman codes.
pub(super) fn encode(form: Form, bytes: &[u8], is_fixed: bool, threads: usize) -> Result<Parts> {
    let elements = bytes.len().checked_div(form.width()).unwrap_or(0);
    let Split { exponents, values, counts } = split(form, bytes, elements, threads);
    let plain = Piece::new(Part::Values, number(elements)?, plain_bits(form));
    let mut parts = vec![(plain, values)];
    if is_fixed {
        encode_fixed(&exponents, &counts, threads, &mut parts)?;
    } else {
        encode_entropy(form, &exponents, &counts, threads, &mut parts)?;
    }
    Ok(parts)
}

const fn plain_bits(form: Form) -> u64 {
    match form {
        Form::Bf16 => 8,
        Form::F16 => 11,
        Form::F32 => 24,
    }
}

fn split(form: Form, bytes: &[u8], elements: usize, threads: usize) -> Split {
    let mut values = vec![0; form.plain(elements)];
    let mut exponents = vec![0; elements];
    let (near, mut far) = values.split_at_mut(elements);
    let step = SHARE.saturating_mul(BLOCK);
    let mut shares = Vec::new();
    let mut nears = near.chunks_mut(step);
    let numbers = bytes.chunks(step.saturating_mul(form.width()));
    for (numbers, exponents) in numbers.zip(exponents.chunks_mut(step)) {
        let own;
        (own, far) = far.split_at_mut(form.far(exponents.len()));
        shares.push((numbers, exponents, nears.next().unwrap_or_default(), own));
    }
    let all = work::each(threads, shares, |(numbers, exponents, near, far)| {
        form.split(numbers, exponents, near, far);
        counted(exponents)
    });
    let mut counts = [0_u64; 256];
    for own in &all {
        counts.iter_mut().zip(own).for_each(|(sum, &count)| *sum = sum.saturating_add(u64::from(count)));
    }
    Split { exponents, values, counts }
}

/// How often each exponent stands among those of one share. Four counters for each: neighbours are often equal, and would
/// wait for each other.
fn counted(exponents: &[u8]) -> [u32; 256] {
    let mut counts = [[0_u32; 256]; 4];
    let (quads, rest) = exponents.as_chunks::<4>();
    for quad in quads {
        for (counts, &exponent) in counts.iter_mut().zip(quad) {
            counts[usize::from(exponent)] = counts[usize::from(exponent)].wrapping_add(1);
        }
    }
    for &exponent in rest {
        counts[0][usize::from(exponent)] = counts[0][usize::from(exponent)].wrapping_add(1);
    }
    let [mut sums, others @ ..] = counts;
    for counts in &others {
        sums.iter_mut().zip(counts).for_each(|(sum, &count)| *sum = sum.wrapping_add(count));
    }
    sums
}

fn encode_fixed(exponents: &[u8], counts: &[u64; 256], threads: usize, parts: &mut Parts) -> Result<()> {
    let (table, code_of) = fixed::table(counts);
    let mut codes = vec![0; exponents.len().div_ceil(2)];
    let step = SHARE.saturating_mul(BLOCK);
    let shares = exponents.chunks(step).zip(codes.chunks_mut(step / 2)).collect();
    let found = work::each(threads, shares, |(exponents, codes)| {
        let (mut escapes, mut ends) = (Vec::new(), Vec::new());
        for (exponents, codes) in exponents.chunks(BLOCK).zip(codes.chunks_mut(BLOCK / 2)) {
            fixed::write(exponents, &code_of, codes, &mut escapes);
            ends.push(escapes.len());
        }
        (escapes, ends)
    });
    let (mut index, mut escapes) = (Vec::new(), Vec::new());
    for (own, ends) in found {
        let base = escapes.len();
        escapes.extend_from_slice(&own);
        for end in ends {
            index.extend_from_slice(&entry(base.saturating_add(end))?.to_le_bytes());
        }
    }
    parts.push((Piece::new(Part::Codes, number(exponents.len())?, 4), codes));
    push_index(index, parts)?;
    parts.push((Piece::new(Part::Escapes, number(escapes.len())?, 8), escapes));
    parts.push((Piece::new(Part::Tables, number(table.len())?, 8), table.to_vec()));
    Ok(())
}

fn encode_entropy(
    form: Form,
    exponents: &[u8],
    counts: &[u64; 256],
    threads: usize,
    parts: &mut Parts,
) -> Result<()> {
    let step = SHARE.saturating_mul(BLOCK);
    let encoder = huffman::Encoder::of_counts(counts);
    let (mut index, mut codes) = (Vec::new(), Vec::new());
    let mut lengths = [0_u8; 256];
    if let Some(encoder) = encoder {
        let shares: Vec<&[u8]> = exponents.chunks(step).collect();
        let found = work::each(threads, shares, |exponents| {
            // Most blocks take fewer than four bits an exponent.
            let (mut codes, mut starts) = (Vec::with_capacity(exponents.len() / 2), Vec::new());
            for exponents in exponents.chunks(BLOCK) {
                starts.push(codes.len());
                encoder.write(exponents, &mut codes);
            }
            (codes, starts)
        });
        let size = found.iter().fold(huffman::PADDING, |sum, (codes, _)| sum.saturating_add(codes.len()));
        codes.reserve_exact(size);
        for (own, starts) in found {
            for start in starts {
                index.extend_from_slice(&entry(codes.len().saturating_add(start))?.to_le_bytes());
            }
            codes.extend_from_slice(&own);
        }
        codes.resize(size, 0);
        lengths = *encoder.lengths();
    } else {
        // One exponent alone takes no codes.
        index.resize(exponents.len().div_ceil(BLOCK).saturating_mul(4), 0);
        if let Some(&alone) = exponents.first() {
            lengths[usize::from(alone)] = huffman::ALONE;
        }
    }
    parts.push((Piece::new(Part::Codes, number(codes.len())?, 8), codes));
    push_index(index, parts)?;
    let table: Vec<u8> = lengths[..form.alphabet()].chunks(2).map(|pair| pair[0] | pair[1] << 4).collect();
    parts.push((Piece::new(Part::Tables, number(form.alphabet())?, 4), table));
    Ok(())
}

fn push_index(index: Vec<u8>, parts: &mut Parts) -> Result<()> {
    parts.push((Piece::new(Part::Index, number(index.len() / 4)?, 32), index));
    Ok(())
}

fn entry(place: usize) -> Result<u32> {
    u32::try_from(place).map_err(|_| OVERFLOW)
}

fn number(count: usize) -> Result<u64> {
    u64::try_from(count).map_err(|_| OVERFLOW)
}
