//! GGML blocks, 32 elements at a time. Products are rounded before they are joined, as `kernel/blocks.rs` has it.

use std::arch::x86_64::*;

use super::super::blocks as plain;
use super::super::dot::Sums;
use super::super::format::Format;
use super::super::layout::Block;
use super::lanes::{STEP, ask, fuse, scaled, signed, write_steps};

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn decode<F: Format>(
    block: Block,
    data: &[u8],
    start: usize,
    out: &mut [F::Word],
    is_streamed: bool,
) {
    if (start + out.len()).div_ceil(STEP) > steps(block, data) {
        return plain::decode::<F>(block, data, start, out);
    }
    let data = data.as_ptr();
    // SAFETY: of all steps there are all bytes.
    unsafe {
        match block {
            Block::Q4_0 => write_steps::<F>(start, out, is_streamed, |step| q4_0(data, step)),
            Block::Q8_0 => write_steps::<F>(start, out, is_streamed, |step| q8_0(data, step)),
            Block::Q4K => {
                let mut scales = FourBits::default();
                write_steps::<F>(start, out, is_streamed, |step| scales.eighth(data, step));
            }
            Block::Q6K => write_steps::<F>(start, out, is_streamed, |step| q6_k(data, step)),
        }
    }
}

/// Adds the products of `x` and a row, which begins a block, and returns how many.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn fused(block: Block, data: &[u8], start: usize, x: &[f32], sums: &mut Sums) -> usize {
    if !start.is_multiple_of(block.elements()) {
        return 0;
    }
    let data = data.get(start / block.elements() * block.bytes()..).unwrap_or_default();
    let (steps, data) = (steps(block, data), data.as_ptr());
    // SAFETY: of all steps there are all bytes.
    unsafe {
        match block {
            Block::Q4_0 => fuse(sums, x, steps, |step| q4_0(data, step)),
            Block::Q8_0 => fuse(sums, x, steps, |step| q8_0(data, step)),
            Block::Q4K => {
                let mut scales = FourBits::default();
                fuse(sums, x, steps, |step| scales.eighth(data, step))
            }
            Block::Q6K => fuse(sums, x, steps, |step| q6_k(data, step)),
        }
    }
}

/// Steps of 32 of which `data` has all bytes.
fn steps(block: Block, data: &[u8]) -> usize {
    data.len() / block.bytes() * (block.elements() / STEP)
}

/// Block `step`.
///
/// # Safety
/// `data` is valid for reads of that block, 18 bytes.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
unsafe fn q4_0(data: *const u8, step: usize) -> [__m256; 4] {
    let block = data.wrapping_add(18 * step);
    ask(block);
    // SAFETY: by the caller.
    let (scale, codes) = unsafe { (half(block), _mm_loadu_si128(block.wrapping_add(2).cast())) };
    let mask = _mm_set1_epi8(15);
    let (low, high) = (_mm_and_si128(codes, mask), _mm_and_si128(_mm_srli_epi16::<4>(codes), mask));
    scaled(_mm256_sub_epi8(_mm256_set_m128i(high, low), _mm256_set1_epi8(8)), scale)
}

/// Block `step`.
///
/// # Safety
/// `data` is valid for reads of that block, 34 bytes.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
unsafe fn q8_0(data: *const u8, step: usize) -> [__m256; 4] {
    let block = data.wrapping_add(34 * step);
    ask(block);
    // SAFETY: by the caller.
    let (scale, codes) = unsafe { (half(block), _mm256_loadu_si256(block.wrapping_add(2).cast())) };
    scaled(codes, scale)
}

/// Scales of a block of `Q4_K`: what the eight runs of 32 are multiplied with, and what is then taken off.
struct FourBits {
    block: usize,
    scales: [f32; 16],
}

impl Default for FourBits {
    fn default() -> Self {
        Self { block: usize::MAX, scales: [0.0; 16] }
    }
}

impl FourBits {
    /// The 32 elements of a step.
    ///
    /// # Safety
    /// `data` is valid for reads of the block of `step`, 144 bytes.
    #[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
    #[inline]
    unsafe fn eighth(&mut self, data: *const u8, step: usize) -> [__m256; 4] {
        let (number, run) = (step / 8, step % 8);
        let block = data.wrapping_add(144 * number);
        if number != self.block {
            // SAFETY: 16 bytes of 144.
            *self = Self { block: number, scales: scales(unsafe { _mm_loadu_si128(block.cast()) }) };
        }
        let codes = block.wrapping_add(16 + 32 * (run / 2));
        ask(codes);
        // SAFETY: codes are the 128 bytes from 16 on.
        let codes = unsafe { _mm256_loadu_si256(codes.cast()) };
        let codes = if run.is_multiple_of(2) { codes } else { _mm256_srli_epi16::<4>(codes) };
        let off = _mm256_set1_ps(self.scales[8 + run]);
        let codes = _mm256_and_si256(codes, _mm256_set1_epi8(15));
        let [a, b, c, d] = scaled(codes, _mm256_set1_ps(self.scales[run]));
        [_mm256_sub_ps(a, off), _mm256_sub_ps(b, off), _mm256_sub_ps(c, off), _mm256_sub_ps(d, off)]
    }
}

/// Two halves, and 16 numbers of six bits as `six_bits` of `kernel/blocks.rs` has them; the first eight times the first half,
/// the others times the second.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
fn scales(head: __m128i) -> [f32; 16] {
    // Words of 32 bits: halves, four scales, four least values, and the lower halves of four more of each, whose upper bits
    // are those of the words before.
    let words = _mm_srlv_epi32(_mm_shuffle_epi32::<0b10_10_01_01>(head), _mm_setr_epi32(0, 2, 0, 2));
    let words = _mm_and_si128(words, _mm_setr_epi32(0x3F3F_3F3F, 0x3030_3030, 0x3F3F_3F3F, 0x3030_3030));
    let later = _mm_srlv_epi32(_mm_shuffle_epi32::<0b11_11_11_11>(head), _mm_setr_epi32(0, 0, 0, 4));
    let later = _mm_and_si128(later, _mm_setr_epi32(0, 0x0F0F_0F0F, 0, 0x0F0F_0F0F));
    let levels = _mm_or_si128(words, later);
    let halves = _mm_cvtph_ps(head);
    let (scale, least) = (_mm256_broadcastss_ps(halves), _mm256_broadcastss_ps(_mm_movehdup_ps(halves)));
    let first = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(levels));
    let second = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(levels)));
    let mut scales = [0.0; 16];
    // SAFETY: 16 numbers.
    unsafe {
        _mm256_storeu_ps(scales.as_mut_ptr(), _mm256_mul_ps(scale, first));
        _mm256_storeu_ps(scales.as_mut_ptr().add(8), _mm256_mul_ps(least, second));
    }
    scales
}

/// The 32 elements of a step.
///
/// # Safety
/// `data` is valid for reads of the block of `step`, 210 bytes.
#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
#[inline]
unsafe fn q6_k(data: *const u8, step: usize) -> [__m256; 4] {
    let (block, part, quarter) = (data.wrapping_add(210 * (step / 8)), step % 8 / 4, step % 4);
    ask(block.wrapping_add(26 * (step % 8)));
    // SAFETY: 128 bytes of lower halves, 64 of upper pairs of bits, 16 scales of eight bits, and theirs.
    let (low, high, scale, levels) = unsafe {
        (
            _mm256_loadu_si256(block.wrapping_add(64 * part + quarter % 2 * 32).cast()),
            _mm256_loadu_si256(block.wrapping_add(128 + 32 * part).cast()),
            half(block.wrapping_add(208)),
            block.wrapping_add(192 + 2 * (step % 8)).cast::<[i8; 2]>().read(),
        )
    };
    let low = if quarter < 2 { low } else { _mm256_srli_epi16::<4>(low) };
    let high = match quarter {
        0 => _mm256_slli_epi16::<4>(high),
        1 => _mm256_slli_epi16::<2>(high),
        2 => high,
        _ => _mm256_srli_epi16::<2>(high),
    };
    let low = _mm256_and_si256(low, _mm256_set1_epi8(0x0F));
    let high = _mm256_and_si256(high, _mm256_set1_epi8(0x30));
    let [a, b, c, d] = signed(_mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32)));
    let first = _mm256_mul_ps(scale, _mm256_set1_ps(f32::from(levels[0])));
    let second = _mm256_mul_ps(scale, _mm256_set1_ps(f32::from(levels[1])));
    [_mm256_mul_ps(first, a), _mm256_mul_ps(first, b), _mm256_mul_ps(second, c), _mm256_mul_ps(second, d)]
}

/// The half at `data`, in all lanes.
///
/// # Safety
/// Two bytes may be read.
#[target_feature(enable = "avx2,f16c")]
#[inline]
unsafe fn half(data: *const u8) -> __m256 {
    // SAFETY: by the caller.
    let bits = u16::from_le_bytes(unsafe { data.cast::<[u8; 2]>().read() });
    _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}
