//! Codes of four bits for products, in an order that costs one shift: of 16 weights, weight `k` in lane `2k` and weight
//! `8 + k` in lane `2k + 1`.
//!
//! Their eight bytes, read as two numbers of 32 bits and repeated, are shifted down by a multiple of four in each lane, on
//! another port than that which looks them up. In rising order that takes a permutation more, on the port that is busiest.
//! The vector is brought into this order once, the sums of a row before and after it.

use std::arch::x86_64::*;

use super::super::dot::{LANES, Sums};
use super::lanes::{STEP, ask, fuse};

/// Bytes of the codes of a step.
const BYTES: usize = STEP / 2;

/// `x` with each 16 of its numbers in the order of pairs.
pub(super) fn paired(x: &[f32]) -> Vec<f32> {
    let (whole, rest) = x.as_chunks::<LANES>();
    let lanes = whole.iter().flat_map(|lanes| std::array::from_fn::<_, LANES, _>(|lane| lanes[column(lane)]));
    lanes.chain(rest.iter().copied()).collect()
}

/// The column, of 16, that is in a lane.
const fn column(lane: usize) -> usize {
    lane / 2 + lane % 2 * (LANES / 2)
}

/// Adds the products of `x`, which is in the order of pairs, and of steps of codes, each 16 of which are looked up in the
/// table that `tables` gives for them; returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
pub(super) fn fuse_pairs(
    sums: &mut Sums,
    x: &[f32],
    codes: &[[u8; BYTES]],
    mut tables: impl FnMut(usize) -> [__m512; 4],
) -> usize {
    let mut own = sums.map(|sum| std::array::from_fn(|lane| sum[column(lane)]));
    let done = fuse(&mut own, x, codes.len(), |step| {
        let data = codes[step].as_ptr();
        ask(data);
        looked_up(tables(step), &codes[step])
    });
    for (sum, own) in sums.iter_mut().zip(own) {
        for (lane, value) in own.into_iter().enumerate() {
            sum[column(lane)] = value;
        }
    }
    done
}

/// 64 codes, each 16 looked up in a table of their own.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,f16c,popcnt")]
#[inline]
fn looked_up(tables: [__m512; 4], codes: &[u8; BYTES]) -> [__m512; 4] {
    let shifts = _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
    let mut lanes = tables;
    for (lanes, eight) in lanes.iter_mut().zip(codes.as_chunks::<8>().0) {
        let both = _mm512_set1_epi64(i64::from_le_bytes(*eight));
        // Of a place only the four lowest bits count.
        *lanes = _mm512_permutexvar_ps(_mm512_srlv_epi32(both, shifts), *lanes);
    }
    lanes
}
