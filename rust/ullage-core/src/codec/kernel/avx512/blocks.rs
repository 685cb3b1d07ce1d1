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
            Block::Q4_0 => {
                let mut scales = Halves::default();
                pen.steps(steps, |step| of_wide::<F>(scales.of_four_bits(blocks, step)));
            }
            Block::Q8_0 => {
                let mut scales = Halves::default();
                pen.steps(steps, |step| of_wide::<F>(scales.of_eight_bits(blocks, step)));
            }
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
            Block::Q4_0 => {
                let mut scales = Halves::default();
                fuse(sums, x, steps, |step| scales.of_four_bits(blocks, step))
            }
            Block::Q8_0 => {
                let mut scales = Halves::default();
                fuse(sums, x, steps, |step| scales.of_eight_bits(blocks, step))
            }
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

/// Scales of 16 blocks of 32, which are fetched and widened at once: one by one they would take as much as the weights.
#[derive(Default)]
struct Halves([f32; 16]);

impl Halves {
    /// Those from the first block of `step` on, of which each is `BYTES` long and begins with its scale.
    ///
    /// # Safety
    /// `blocks` has the block.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn fetch<const BYTES: usize>(&mut self, blocks: &[u8], step: usize) {
        let first = 2 * step * BYTES;
        let count = ((blocks.len() - first) / BYTES).min(16);
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let places = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((BYTES as u32).cast_signed()));
        let mask = (0xFFFF_u32 >> (16 - count)) as __mmask16;
        let zero = _mm512_setzero_si512();
        // SAFETY: a block is longer than the four bytes that are read where it begins; the mask leaves out what is none.
        let words = unsafe {
            let from = blocks.as_ptr().add(first);
            _mm512_mask_i32gather_epi32::<1>(zero, mask, places, from.cast())
        };
        let scales = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
        // SAFETY: 16 numbers.
        unsafe { _mm512_storeu_ps(self.0.as_mut_ptr(), scales) };
    }

    /// Two blocks of `Q4_0`, steps taken in turn from the first one.
    ///
    /// # Safety
    /// `blocks` has those of `step`.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn of_four_bits(&mut self, blocks: &[u8], step: usize) -> [__m512; 4] {
        let data = blocks.as_ptr().wrapping_add(36 * step);
        ask(data);
        if step.is_multiple_of(8) {
            // SAFETY: by the caller.
            unsafe { self.fetch::<18>(blocks, step) };
        }
        let place = step % 8 * 2;
        // SAFETY: two blocks are 36 bytes.
        let (a, b) = unsafe { (bytes(data.wrapping_add(2)), bytes(data.wrapping_add(20))) };
        let levels = _mm512_sub_ps(levels(), _mm512_set1_ps(8.0));
        let first = _mm512_mul_ps(_mm512_set1_ps(self.0[place]), levels);
        let second = _mm512_mul_ps(_mm512_set1_ps(self.0[place + 1]), levels);
        // Of a place only the four lowest bits count.
        [
            _mm512_permutexvar_ps(a, first),
            _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(a), first),
            _mm512_permutexvar_ps(b, second),
            _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(b), second),
        ]
    }

    /// Two blocks of `Q8_0`, steps taken in turn from the first one.
    ///
    /// # Safety
    /// `blocks` has those of `step`.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt"
    )]
    #[inline]
    unsafe fn of_eight_bits(&mut self, blocks: &[u8], step: usize) -> [__m512; 4] {
        let data = blocks.as_ptr().wrapping_add(68 * step);
        ask(data);
        if step.is_multiple_of(8) {
            // SAFETY: by the caller.
            unsafe { self.fetch::<34>(blocks, step) };
        }
        let place = step % 8 * 2;
        let first = _mm512_set1_ps(self.0[place]);
        let second = _mm512_set1_ps(self.0[place + 1]);
        // SAFETY: two blocks are 68 bytes.
        let (a, b, c, d) = unsafe {
            (
                signed(data.wrapping_add(2)),
                signed(data.wrapping_add(18)),
                signed(data.wrapping_add(36)),
                signed(data.wrapping_add(52)),
            )
        };
        [_mm512_mul_ps(a, first), _mm512_mul_ps(b, first), _mm512_mul_ps(c, second), _mm512_mul_ps(d, second)]
    }
}

/// 16 bytes in 32 bits.
///
/// # Safety
/// 16 bytes may be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn bytes(data: *const u8) -> __m512i {
    // SAFETY: by the caller.
    _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(data.cast()) })
}

/// 16 signed bytes as numbers.
///
/// # Safety
/// 16 bytes may be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn signed(data: *const u8) -> __m512 {
    // SAFETY: by the caller.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(data.cast()) }))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn levels() -> __m512 {
    // SAFETY: 16 numbers.
    unsafe { _mm512_loadu_ps(LEVELS.as_ptr()) }
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
            self.0 = scales(unsafe { _mm_loadu_si128(block.cast()) });
        }
        let codes = block.wrapping_add(16 + 32 * pair);
        ask(codes);
        let [first, second] = [2 * pair, 2 * pair + 1];
        let low = _mm512_mul_ps(_mm512_set1_ps(self.0[first]), levels());
        let low = _mm512_sub_ps(low, _mm512_set1_ps(self.0[8 + first]));
        let high = _mm512_mul_ps(_mm512_set1_ps(self.0[second]), levels());
        let high = _mm512_sub_ps(high, _mm512_set1_ps(self.0[8 + second]));
        // SAFETY: codes are the 128 bytes from 16 on.
        let (a, b) = unsafe { (bytes(codes), bytes(codes.wrapping_add(16))) };
        // Of a place only the four lowest bits count.
        [
            _mm512_permutexvar_ps(a, low),
            _mm512_permutexvar_ps(b, low),
            _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(a), high),
            _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(b), high),
        ]
    }
}

/// Two halves, and 16 numbers of six bits as `six_bits` of `kernel/blocks.rs` has them; the first eight times the first half,
/// the others times the second.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
#[inline]
fn scales(head: __m128i) -> [f32; 16] {
    // Words of 32 bits: halves, four scales, four least values, and the lower halves of four more of each, whose upper bits
    // are those of the words before.
    let words = _mm_srlv_epi32(_mm_shuffle_epi32::<0b10_10_01_01>(head), _mm_setr_epi32(0, 2, 0, 2));
    let words = _mm_and_si128(words, _mm_setr_epi32(0x3F3F_3F3F, 0x3030_3030, 0x3F3F_3F3F, 0x3030_3030));
    let later = _mm_srlv_epi32(_mm_shuffle_epi32::<0b11_11_11_11>(head), _mm_setr_epi32(0, 0, 0, 4));
    let later = _mm_and_si128(later, _mm_setr_epi32(0, 0x0F0F_0F0F, 0, 0x0F0F_0F0F));
    let levels = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_or_si128(words, later)));
    let halves = _mm512_castps128_ps512(_mm_cvtph_ps(head));
    let places = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let mut scales = [0.0; 16];
    // SAFETY: 16 numbers.
    unsafe {
        _mm512_storeu_ps(scales.as_mut_ptr(), _mm512_mul_ps(_mm512_permutexvar_ps(places, halves), levels));
    }
    scales
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
        let mut bytes = [0_u8; 64];
        // SAFETY: 64 bytes. Read back as they are widened, which spares taking them apart in registers.
        let (a, b, c, d) = unsafe {
            _mm512_storeu_si512(bytes.as_mut_ptr().cast(), codes);
            let bytes = bytes.as_ptr();
            (signed(bytes), signed(bytes.add(16)), signed(bytes.add(32)), signed(bytes.add(48)))
        };
        [
            _mm512_mul_ps(_mm512_set1_ps(self.0[4 * pair]), a),
            _mm512_mul_ps(_mm512_set1_ps(self.0[4 * pair + 1]), b),
            _mm512_mul_ps(_mm512_set1_ps(self.0[4 * pair + 2]), c),
            _mm512_mul_ps(_mm512_set1_ps(self.0[4 * pair + 3]), d),
        ]
    }
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
