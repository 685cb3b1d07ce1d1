//! What memory allows: a fill and a read with the widest instructions there are, that kernels are measured against.

use super::Store;
use super::isa::Isa;

/// Fills `out` with `value`, past the caches where it is [`Store::Streamed`] and the processor can.
pub fn fill(out: &mut [f32], value: f32, isa: Isa, store: Store) {
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable
        && store == Store::Streamed
        && let Some(avx512) = super::avx512::Avx512::new()
    {
        return avx512.fill(out, value);
    }
    let _ = (isa, store);
    out.fill(value);
}

/// The sum of all bits of `data`, read once: as fast as memory gives them.
#[must_use]
pub fn read(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<64>();
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = super::avx512::Avx512::new() {
        return rest.iter().fold(avx512.read(words), |sum, &byte| sum.wrapping_add(u64::from(byte)));
    }
    let mut lanes = [0_u64; 8];
    for line in words {
        for (lane, word) in lanes.iter_mut().zip(line.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    let rest: u64 = rest.iter().map(|&byte| u64::from(byte)).fold(0, u64::wrapping_add);
    lanes.into_iter().fold(rest, u64::wrapping_add)
}
