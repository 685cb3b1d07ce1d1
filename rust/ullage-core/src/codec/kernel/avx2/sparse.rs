//! A mask, and halves that a shuffle puts where it has bits, eight at a time.

use std::arch::x86_64::*;

use super::super::format::{Format, Kind};
use super::super::portable;
use super::super::sparse::{SPREAD, Sparse};
use super::lanes::halved;

#[target_feature(enable = "avx2,fma,f16c,bmi2,popcnt")]
pub(super) fn decode<F: Format>(sparse: &Sparse<'_>, start: usize, out: &mut [F::Word]) {
    let mut next = sparse.before(start);
    let lead = (start.wrapping_neg() & 7).min(out.len());
    let (first, rest) = out.split_at_mut(lead);
    next = portable::expanded::<F>(sparse, start, next, first);
    let start = start.saturating_add(lead);
    let masks = sparse.mask.get(start / 8..).unwrap_or_default();
    let stored = sparse.values.len() / 2;
    let mut done = 0_usize;
    for (&mask, out) in masks.iter().zip(rest.as_chunks_mut::<8>().0) {
        // Whole registers are loaded: near the end, elements are taken one by one.
        if next.wrapping_add(8) > stored {
            break;
        }
        let values = sparse.values.as_ptr().wrapping_add(next.wrapping_mul(2));
        _mm_prefetch::<_MM_HINT_T0>(values.wrapping_add(1024).cast());
        // SAFETY: eight halves are left, `out` has eight numbers, and a row of `SPREAD` is 16 bytes.
        unsafe {
            let spread = _mm_loadu_si128(SPREAD[usize::from(mask)].as_ptr().cast());
            let words = _mm_shuffle_epi8(_mm_loadu_si128(values.cast()), spread);
            let out = out.as_mut_ptr();
            match F::KIND {
                Kind::F32 => {
                    let wide = _mm256_castps_si256(_mm256_cvtph_ps(words));
                    _mm256_storeu_si256(out.cast(), wide);
                }
                Kind::F16 => _mm_storeu_si128(out.cast(), words),
                Kind::Bf16 => _mm_storeu_si128(out.cast(), halved::<F>(_mm256_cvtph_ps(words))),
            }
        }
        next = next.wrapping_add(mask.count_ones() as usize);
        done = done.wrapping_add(8);
    }
    let rest = rest.get_mut(done..).unwrap_or_default();
    portable::expanded::<F>(sparse, start.saturating_add(done), next, rest);
}
