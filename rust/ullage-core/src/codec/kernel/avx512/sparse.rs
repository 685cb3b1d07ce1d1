//! A mask, and halves that are expanded to where it has bits.

use std::arch::x86_64::*;

use super::super::format::{Format, Kind};
use super::super::portable;
use super::super::sparse::Sparse;
use super::lanes::{STEP, narrowed, store, widened};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
pub(super) fn decode<F: Format>(sparse: &Sparse<'_>, start: usize, out: &mut [F::Word], is_streamed: bool) {
    let mut next = sparse.before(start);
    let lead = (start.wrapping_neg() & 7).min(out.len());
    let gap = (out.as_ptr().addr().wrapping_neg() & 63) / size_of::<F::Word>();
    let is_streamed = is_streamed && gap % 8 == lead && gap < out.len();
    let (first, rest) = out.split_at_mut(if is_streamed { gap } else { lead });
    next = portable::expanded::<F>(sparse, start, next, first);
    let start = start.saturating_add(first.len());
    let done = if is_streamed {
        steps::<F, true>(sparse, start, &mut next, rest)
    } else {
        steps::<F, false>(sparse, start, &mut next, rest)
    };
    let rest = rest.get_mut(done..).unwrap_or_default();
    portable::expanded::<F>(sparse, start.saturating_add(done), next, rest);
}

/// Writes elements from `start` on, 64 at a time as long as there are so many, and returns how many. `start` begins a byte
/// of the mask; `out` begins a cache line where it is streamed.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
fn steps<F: Format, const STREAMED: bool>(
    sparse: &Sparse<'_>,
    start: usize,
    next: &mut usize,
    out: &mut [F::Word],
) -> usize {
    let masks = sparse.mask.get(start / 8..).unwrap_or_default().as_chunks::<8>().0;
    let stored = sparse.values.len() / 2;
    let mut done = 0_usize;
    let mut place = *next;
    for (mask, out) in masks.iter().zip(out.as_chunks_mut::<STEP>().0) {
        // Whole registers are loaded: near the end, elements are taken one by one.
        if place.wrapping_add(STEP) > stored {
            break;
        }
        let mask = u64::from_le_bytes(*mask);
        let (low, high) = (mask & 0xFFFF_FFFF, mask >> 32);
        let values = sparse.values.as_ptr().wrapping_add(place.wrapping_mul(2));
        _mm_prefetch::<_MM_HINT_T0>(values.wrapping_add(1024).cast());
        // SAFETY: 64 halves are left, and the mask's lower half passes over at most 32 of them.
        let words = unsafe {
            let later = values.add(2 * low.count_ones() as usize);
            [
                _mm512_maskz_expand_epi16(low as u32, _mm512_loadu_si512(values.cast())),
                _mm512_maskz_expand_epi16(high as u32, _mm512_loadu_si512(later.cast())),
            ]
        };
        place = place.wrapping_add(mask.count_ones() as usize);
        let out = out.as_mut_ptr();
        // SAFETY: `out` has 64 numbers, and begins a cache line where it is streamed.
        unsafe {
            match F::KIND {
                Kind::F32 => {
                    for (lane, wide) in widened(words).into_iter().enumerate() {
                        store::<STREAMED>(out.cast::<__m512i>().add(lane), _mm512_castps_si512(wide));
                    }
                }
                Kind::F16 | Kind::Bf16 => {
                    let words =
                        if matches!(F::KIND, Kind::F16) { words } else { narrowed::<F>(widened(words)) };
                    for (lane, words) in words.into_iter().enumerate() {
                        store::<STREAMED>(out.cast::<__m512i>().add(lane), words);
                    }
                }
            }
        }
        done = done.wrapping_add(STEP);
    }
    *next = place;
    done
}
