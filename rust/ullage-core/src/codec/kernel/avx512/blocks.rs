//! GGML blocks, 16 elements in a register. Products are rounded before they are joined, as `kernel/blocks.rs` has it.

use std::arch::x86_64::*;

use super::super::blocks as plain;
use super::super::dot::Sums;
use super::super::format::Format;
use super::super::layout::Block;
use super::lanes::{ask, fuse, of_wide};
use super::pen::Pen;

/// Levels of four bits: 0 to 15.
const LEVELS: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(block: Block, data: &[u8], start: usize, count: usize, pen: &mut Pen<'_, F>) {
    let elements = block.elements();
    let lead = (elements - start % elements).rem_euclid(elements).min(count);
    pen.plain(lead, |done, out| plain::decode::<F>(block, data, start + done, out));
    let (start, count) = (start + lead, count - lead);
    let blocks = data.get(start / elements * block.bytes()..).unwrap_or_default();
    // Blocks of 32 go two at a time.
    let steps = steps(block, blocks, count / elements.max(64) * elements.max(64));
    // SAFETY: of all steps there are all bytes.
    unsafe {
        match block {
            Block::Q4_0 => pen.steps(steps, |step| of_wide::<F>(q4_0(blocks.as_ptr().add(36 * step)))),
            Block::Q8_0 => pen.steps(steps, |step| of_wide::<F>(q8_0(blocks.as_ptr().add(68 * step)))),
            Block::Q4K => {
                let mut scales = FourBits::default();
                pen.steps(steps, |step| of_wide::<F>(scales.quarter(blocks.as_ptr(), step)));
            }
            Block::Q6K => {
                let mut scales = SixBits::default();
                pen.steps(steps, |step| of_wide::<F>(scales.quarter(blocks.as_ptr(), step)));
            }
        }
    }
    let done = steps * 64;
    pen.plain(count - done, |more, out| plain::decode::<F>(block, data, start + done + more, out));
}

/// Adds the products of `x` and a row, which begins a block, and returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn fused(block: Block, data: &[u8], start: usize, x: &[f32], sums: &mut Sums) -> usize {
    let (elements, bytes) = (block.elements(), block.bytes());
    if !start.is_multiple_of(elements) || !x.len().is_multiple_of(64) {
        return 0;
    }
    let blocks = data.get(start / elements * bytes..).unwrap_or_default();
    let steps = steps(block, blocks, x.len());
    // SAFETY: of all steps there are all bytes.
    unsafe {
        match block {
            Block::Q4_0 => fuse(sums, x, steps, |step| q4_0(blocks.as_ptr().add(36 * step))),
            Block::Q8_0 => fuse(sums, x, steps, |step| q8_0(blocks.as_ptr().add(68 * step))),
            Block::Q4K => {
                let mut scales = FourBits::default();
                fuse(sums, x, steps, |step| scales.quarter(blocks.as_ptr(), step))
            }
            Block::Q6K => {
                let mut scales = SixBits::default();
                fuse(sums, x, steps, |step| scales.quarter(blocks.as_ptr(), step))
            }
        }
    }
}

/// Steps of 64 within `count` elements, of which `blocks` has all bytes.
fn steps(block: Block, blocks: &[u8], count: usize) -> usize {
    (blocks.len() / block.bytes() * block.elements() / 64).min(count / 64)
}

/// Two blocks.
///
/// # Safety
/// 36 bytes may be read.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn q4_0(data: *const u8) -> [__m512; 4] {
    ask(data);
    // SAFETY: 16 numbers.
    let levels = unsafe { _mm512_sub_ps(_mm512_loadu_ps(LEVELS.as_ptr()), _mm512_set1_ps(8.0)) };
    // SAFETY: a block is 18 bytes.
    let parts = [0, 18].map(|at| unsafe {
        (_mm512_mul_ps(half(data.add(at)), levels), _mm_loadu_si128(data.add(at + 2).cast()))
    });
    let [(first, a), (second, b)] = parts;
    let [a, b] = [_mm512_cvtepu8_epi32(a), _mm512_cvtepu8_epi32(b)];
    // Of a place only the four lowest bits count.
    [
        _mm512_permutexvar_ps(a, first),
        _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(a), first),
        _mm512_permutexvar_ps(b, second),
        _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(b), second),
    ]
}

/// # Safety
/// 68 bytes may be read.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
unsafe fn q8_0(data: *const u8) -> [__m512; 4] {
    ask(data);
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

/// Scales of a block of `Q4_K`: what the eight runs of 32 are multiplied with, and what is then taken off.
#[derive(Default)]
struct FourBits([f32; 16]);

impl FourBits {
    /// The 64 elements of a step, steps taken in turn from the first one of a block.
    ///
    /// # Safety
    /// `blocks` is valid for reads of the block of `step`, 144 bytes.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn quarter(&mut self, blocks: *const u8, step: usize) -> [__m512; 4] {
        let (block, pair) = (blocks.wrapping_add(step / 4 * 144), step % 4);
        if pair == 0 {
            // SAFETY: 16 bytes of 144.
            let scales = scales(unsafe { block.cast::<[u8; 16]>().read() });
            // SAFETY: 16 numbers.
            unsafe { _mm512_storeu_ps(self.0.as_mut_ptr(), scales) };
        }
        let codes = block.wrapping_add(16 + 32 * pair);
        ask(codes);
        // SAFETY: 16 numbers.
        let levels = unsafe { _mm512_loadu_ps(LEVELS.as_ptr()) };
        let tables = [0, 1].map(|run| {
            let (step, off) = (self.0[2 * pair + run], self.0[8 + 2 * pair + run]);
            _mm512_sub_ps(_mm512_mul_ps(_mm512_set1_ps(step), levels), _mm512_set1_ps(off))
        });
        // SAFETY: codes are the 128 bytes from 16 on.
        let [a, b] = [0, 16].map(|at| unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.add(at).cast())) });
        // Of a place only the four lowest bits count.
        [
            _mm512_permutexvar_ps(a, tables[0]),
            _mm512_permutexvar_ps(b, tables[0]),
            _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(a), tables[1]),
            _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(b), tables[1]),
        ]
    }
}

/// Two halves, and 16 numbers of six bits as `six_bits` of `kernel/blocks.rs` has them; the first eight times the first half,
/// the others times the second.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
#[inline]
pub(super) fn scales(head: [u8; 16]) -> __m512 {
    let [halves, first, second, last] =
        [0, 4, 8, 12].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let whole = |upper: u32, low: u32| {
        u64::from(upper & 0x3F3F_3F3F) | u64::from(low & 0x0F0F_0F0F | upper >> 2 & 0x3030_3030) << 32
    };
    let (steps, offs) = (whole(first, last), whole(second, last >> 4));
    let bytes = _mm_set_epi64x(offs.cast_signed(), steps.cast_signed());
    let levels = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
    let halves = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi32_si128(halves.cast_signed())));
    let places = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    _mm512_mul_ps(_mm512_permutexvar_ps(places, halves), levels)
}

/// Scales of a block of `Q6_K`, of 16 elements each.
#[derive(Default)]
struct SixBits([f32; 16]);

impl SixBits {
    /// The 64 elements of a step, steps taken in turn from the first one of a block.
    ///
    /// # Safety
    /// `blocks` is valid for reads of the block of `step`, 210 bytes.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn quarter(&mut self, blocks: *const u8, step: usize) -> [__m512; 4] {
        let (block, pair) = (blocks.wrapping_add(step / 4 * 210), step % 4);
        ask(block.wrapping_add(52 * pair));
        if pair == 0 {
            // SAFETY: 16 scales of eight bits, and theirs, end the block.
            unsafe {
                let levels = _mm512_cvtepi8_epi32(_mm_loadu_si128(block.add(192).cast()));
                let scales = _mm512_mul_ps(half(block.add(208)), _mm512_cvtepi32_ps(levels));
                _mm512_storeu_ps(self.0.as_mut_ptr(), scales);
            }
        }
        // Elements 64 * pair on: the lower halves of codes are the low or the high ones of 64 bytes, the upper bits a pair
        // for 32 elements and the next one for the others.
        let (part, is_high) = (pair / 2, pair % 2 == 1);
        // SAFETY: 128 bytes of lower halves, then 64 of upper bits.
        let (low, high) = unsafe {
            let high = _mm256_loadu_si256(block.add(128 + 32 * part).cast());
            (_mm512_loadu_si512(block.add(64 * part).cast()), _mm512_broadcast_i64x4(high))
        };
        let down = _mm512_set1_epi32(if is_high { 4 } else { 0 });
        let around = _mm512_inserti64x4::<1>(
            _mm512_set1_epi32(if is_high { 0 } else { 4 }),
            _mm256_set1_epi32(if is_high { 30 } else { 2 }),
        );
        let low = _mm512_and_si512(_mm512_srlv_epi32(low, down), _mm512_set1_epi8(0x0F));
        let high = _mm512_and_si512(_mm512_rolv_epi32(high, around), _mm512_set1_epi8(0x30));
        let codes = _mm512_sub_epi8(_mm512_or_si512(low, high), _mm512_set1_epi8(32));
        let parts = [
            _mm512_castsi512_si128(codes),
            _mm512_extracti32x4_epi32::<1>(codes),
            _mm512_extracti32x4_epi32::<2>(codes),
            _mm512_extracti32x4_epi32::<3>(codes),
        ];
        let mut wide = [_mm512_setzero_ps(); 4];
        for ((wide, codes), &scale) in wide.iter_mut().zip(parts).zip(&self.0[4 * pair..4 * pair + 4]) {
            *wide = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)));
        }
        wide
    }
}

/// The half at `data`, in all lanes.
///
/// # Safety
/// Two bytes may be read.
#[target_feature(enable = "avx512f,avx512vl,f16c")]
#[inline]
pub(super) unsafe fn half(data: *const u8) -> __m512 {
    // SAFETY: by the caller.
    let bits = unsafe { u16::from_le_bytes([data.read(), data.add(1).read()]) };
    _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}
