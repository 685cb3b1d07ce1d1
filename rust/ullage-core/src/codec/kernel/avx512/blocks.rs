//! GGML blocks, 16 elements in a register. Products are rounded before they are joined, as `kernel/blocks.rs` has it.

use std::arch::x86_64::*;

use super::super::blocks as plain;
use super::super::dot::Sums;
use super::super::format::{Format, from_half, word};
use super::super::layout::Block;
use super::lanes::{fuse, put_wide};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(block: Block, data: &[u8], start: usize, out: &mut [F::Word]) {
    let elements = block.elements();
    // Blocks of 32 go two at a time.
    let (step, bytes) = if elements < 64 { (64, 2 * block.bytes()) } else { (elements, block.bytes()) };
    let lead = (elements - start % elements).rem_euclid(elements).min(out.len());
    let (first, rest) = out.split_at_mut(lead);
    plain::decode::<F>(block, data, start, first);
    let start = start + lead;
    let blocks = data.get(start / elements * block.bytes()..).unwrap_or_default();
    let steps = (rest.len() / step).min(blocks.len() / bytes);
    let (whole, rest) = rest.split_at_mut(steps * step);
    for (blocks, out) in blocks.chunks_exact(bytes).zip(whole.chunks_exact_mut(step)) {
        _mm_prefetch::<_MM_HINT_T0>(blocks.as_ptr().wrapping_add(1024).cast());
        // SAFETY: `blocks` is so many bytes as the blocks have, and `out` so many elements.
        unsafe {
            match block {
                Block::Q4_0 => put_wide::<F>(q4_0(blocks.as_ptr()), out.as_mut_ptr()),
                Block::Q8_0 => put_wide::<F>(q8_0(blocks.as_ptr()), out.as_mut_ptr()),
                Block::Q4K => {
                    (0..4)
                        .for_each(|pair| put_wide::<F>(q4_k(blocks, pair), out.as_mut_ptr().add(64 * pair)));
                }
                Block::Q6K => {
                    (0..4)
                        .for_each(|pair| put_wide::<F>(q6_k(blocks, pair), out.as_mut_ptr().add(64 * pair)));
                }
            }
        }
    }
    plain::decode::<F>(block, data, start + steps * step, rest);
}

/// Adds the products of `x` and a row, which begins a block, and returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn fused(block: Block, data: &[u8], start: usize, x: &[f32], sums: &mut Sums) -> usize {
    let (elements, bytes) = (block.elements(), block.bytes());
    if !start.is_multiple_of(elements) || !x.len().is_multiple_of(64) {
        return 0;
    }
    let blocks = data.get(start / elements * bytes..).unwrap_or_default();
    // A step is two blocks of 32, or a quarter of one of 256.
    let steps = (blocks.len() / bytes * elements / 64).min(x.len() / 64);
    let ask = |at: usize| _mm_prefetch::<_MM_HINT_T0>(blocks.as_ptr().wrapping_add(at + 1024).cast());
    let of = |step: usize| blocks.get(step / 4 * bytes..).unwrap_or_default();
    // SAFETY: of all steps there are all bytes.
    unsafe {
        match block {
            Block::Q4_0 => fuse(sums, x, steps, |step| {
                ask(2 * bytes * step);
                q4_0(blocks.as_ptr().add(2 * bytes * step))
            }),
            Block::Q8_0 => fuse(sums, x, steps, |step| {
                ask(2 * bytes * step);
                q8_0(blocks.as_ptr().add(2 * bytes * step))
            }),
            Block::Q4K => fuse(sums, x, steps, |step| {
                ask(bytes * step / 4);
                q4_k(of(step), step % 4)
            }),
            Block::Q6K => fuse(sums, x, steps, |step| {
                ask(bytes * step / 4);
                q6_k(of(step), step % 4)
            }),
        }
    }
}

/// # Safety
/// 36 bytes may be read.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn q4_0(data: *const u8) -> [__m512; 4] {
    let mut wide = [_mm512_setzero_ps(); 4];
    for (number, wide) in wide.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        // SAFETY: the block is 18 bytes.
        let (scale, codes) = unsafe {
            let block = data.add(18 * number);
            (half(block), _mm_loadu_si128(block.add(2).cast()))
        };
        let mask = _mm_set1_epi8(15);
        let parts = [_mm_and_si128(codes, mask), _mm_and_si128(_mm_srli_epi16::<4>(codes), mask)];
        *wide = parts.map(|part| {
            let level = _mm512_sub_epi32(_mm512_cvtepu8_epi32(part), _mm512_set1_epi32(8));
            _mm512_mul_ps(scale, _mm512_cvtepi32_ps(level))
        });
    }
    wide
}

/// # Safety
/// 68 bytes may be read.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn q8_0(data: *const u8) -> [__m512; 4] {
    let mut wide = [_mm512_setzero_ps(); 4];
    for (part, wide) in wide.iter_mut().enumerate() {
        // SAFETY: the block is 34 bytes.
        let (scale, codes) = unsafe {
            let block = data.add(34 * (part / 2));
            (half(block), _mm_loadu_si128(block.add(2 + 16 * (part % 2)).cast()))
        };
        *wide = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), scale);
    }
    wide
}

/// # Safety
/// `block` is 144 bytes, and `pair`, the 64 elements that are meant, below 4.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn q4_k(block: &[u8], pair: usize) -> [__m512; 4] {
    let (scale, least) = (from_half(word(block, 0)), from_half(word(block, 1)));
    let Some(packed) = block.get(4..).and_then(<[u8]>::first_chunk::<12>) else {
        return [_mm512_setzero_ps(); 4];
    };
    let mut wide = [_mm512_setzero_ps(); 4];
    for (part, wide) in wide.iter_mut().enumerate() {
        let (step, off) = plain::six_bits(packed, 2 * pair + part / 2);
        let step = _mm512_set1_ps(scale * f32::from(step));
        let off = _mm512_set1_ps(least * f32::from(off));
        // SAFETY: codes are the 128 bytes from 16 on.
        let codes = unsafe { _mm_loadu_si128(block.as_ptr().add(16 + 32 * pair + 16 * (part % 2)).cast()) };
        let shifted = if part < 2 { codes } else { _mm_srli_epi16::<4>(codes) };
        let level = _mm512_cvtepu8_epi32(_mm_and_si128(shifted, _mm_set1_epi8(15)));
        *wide = _mm512_sub_ps(_mm512_mul_ps(step, _mm512_cvtepi32_ps(level)), off);
    }
    wide
}

/// # Safety
/// `block` is 210 bytes, and `pair`, the 64 elements that are meant, below 4.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn q6_k(block: &[u8], pair: usize) -> [__m512; 4] {
    let scale = from_half(word(block, 104));
    // Elements 64 * pair on: the lower halves of codes are the low or the high ones of 64 bytes, the upper bits a pair.
    let (half, is_high) = (pair / 2, pair % 2 == 1);
    let mut wide = [_mm512_setzero_ps(); 4];
    for (part, wide) in wide.iter_mut().enumerate() {
        // SAFETY: 128 bytes of lower halves, then 64 of upper bits.
        let (low, high) = unsafe {
            let low = block.as_ptr().add(64 * half + 16 * part);
            let high = block.as_ptr().add(128 + 32 * half + 16 * (part % 2));
            (_mm_loadu_si128(low.cast()), _mm_loadu_si128(high.cast()))
        };
        let low = if is_high { _mm_srli_epi16::<4>(low) } else { low };
        let shift = _mm_cvtsi64_si128(4 * i64::from(is_high) + 2 * i64::from(part > 1));
        let high = _mm_and_si128(_mm_srl_epi16(high, shift), _mm_set1_epi8(3));
        let code = _mm_or_si128(_mm_and_si128(low, _mm_set1_epi8(15)), _mm_slli_epi16::<4>(high));
        let level = _mm512_cvtepi8_epi32(_mm_sub_epi8(code, _mm_set1_epi8(32)));
        let step = scale * f32::from(block[192 + 4 * pair + part].cast_signed());
        *wide = _mm512_mul_ps(_mm512_set1_ps(step), _mm512_cvtepi32_ps(level));
    }
    wide
}

/// The half at `data`, in all lanes.
///
/// # Safety
/// Two bytes may be read.
#[target_feature(enable = "avx512f,avx512vl,f16c")]
#[inline]
unsafe fn half(data: *const u8) -> __m512 {
    // SAFETY: by the caller.
    let bits = unsafe { u16::from_le_bytes([data.read(), data.add(1).read()]) };
    _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}
