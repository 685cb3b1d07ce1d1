//! Lengths of the codes of a Huffman code, none longer than [`LIMIT`]: package-merge (Larmore and Hirschberg, 1990).

/// The longest code, in bits: what one look-up takes in.
pub(super) const LIMIT: usize = 11;

/// Code lengths of least total for symbols that occur so often; 0 for those that never do, and for one that is alone.
pub(super) fn of_counts(counts: &[u64; 256]) -> [u8; 256] {
    let mut symbols: Vec<(u64, usize)> = counts
        .iter()
        .enumerate()
        .filter(|&(_, &count)| count > 0)
        .map(|(symbol, &count)| (count, symbol))
        .collect();
    symbols.sort_unstable();
    let mut lengths = [0_u8; 256];
    if symbols.len() < 2 {
        return lengths;
    }
    // Each level holds the symbols and the pairs of the level below, by weight: whether an entry is a symbol is what counts.
    let mut levels: Vec<Vec<bool>> = Vec::with_capacity(LIMIT);
    let mut pairs: Vec<u64> = Vec::new();
    for _ in 0..LIMIT {
        let (weights, kinds) = merged(&symbols, &pairs);
        pairs = weights.chunks_exact(2).map(|pair| pair[0].saturating_add(pair[1])).collect();
        levels.push(kinds);
    }
    let mut taken = symbols.len().saturating_mul(2).saturating_sub(2);
    for kinds in levels.iter().rev() {
        let chosen = kinds.iter().take(taken).filter(|&&is_symbol| is_symbol).count();
        for &(_, symbol) in symbols.iter().take(chosen) {
            lengths[symbol] = lengths[symbol].saturating_add(1);
        }
        taken = taken.saturating_sub(chosen).saturating_mul(2);
    }
    lengths
}

fn merged(symbols: &[(u64, usize)], pairs: &[u64]) -> (Vec<u64>, Vec<bool>) {
    let (mut weights, mut kinds) = (Vec::new(), Vec::new());
    let mut pairs = pairs.iter().copied().peekable();
    for &(weight, _) in symbols {
        while let Some(pair) = pairs.next_if(|&pair| pair < weight) {
            weights.push(pair);
            kinds.push(false);
        }
        weights.push(weight);
        kinds.push(true);
    }
    for pair in pairs {
        weights.push(pair);
        kinds.push(false);
    }
    (weights, kinds)
}

/// Codes of such lengths, in the order of lengths and then of symbols, their first bit lowest; `None` unless every sequence of
/// bits is made of codes.
pub(super) fn codes(lengths: &[u8; 256]) -> Option<[u16; 256]> {
    if lengths.iter().any(|&length| usize::from(length) > LIMIT) {
        return None;
    }
    let mut codes = [0_u16; 256];
    let mut next = 0_u32;
    for length in 1..=LIMIT {
        for (symbol, _) in lengths.iter().enumerate().filter(|&(_, &own)| usize::from(own) == length) {
            let shift = 16_usize.saturating_sub(length);
            codes[symbol] = (u16::try_from(next).ok()? << shift).reverse_bits();
            next = next.checked_add(1)?;
            if next > 1 << length {
                return None;
            }
        }
        next = next.checked_mul(2)?;
    }
    (next == 2 << LIMIT).then_some(codes)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "numbers of tests, all small")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The length of each symbol in a Huffman tree without a limit.
    fn unlimited(counts: &[u64]) -> u64 {
        let mut heap: Vec<u64> = counts.iter().copied().filter(|&count| count > 0).collect();
        let mut total = 0;
        while heap.len() > 1 {
            heap.sort_unstable_by(|a, b| b.cmp(a));
            let both = heap.pop().unwrap() + heap.pop().unwrap();
            total += both;
            heap.push(both);
        }
        total
    }

    proptest! {
        #[test]
        fn lengths_make_a_complete_code_no_longer_than_the_limit(
            counts in prop::collection::vec(prop_oneof![0..3_u64, 0..1_000_000_u64, Just(1 << 40)], 256)
        ) {
            let counts: [u64; 256] = counts.try_into().unwrap();
            let used = counts.iter().filter(|&&count| count > 0).count();
            let lengths = of_counts(&counts);
            prop_assert!(lengths.iter().all(|&length| usize::from(length) <= LIMIT));
            prop_assert!(counts.iter().zip(lengths).all(|(&count, length)| (count > 0) == (length > 0) || used < 2));
            prop_assert_eq!(codes(&lengths).is_some(), used > 1);
        }

        #[test]
        fn lengths_are_those_of_huffman_where_the_limit_does_not_bind(counts in prop::collection::vec(1..20_u64, 2..12)) {
            let mut all = [0; 256];
            all[..counts.len()].copy_from_slice(&counts);
            let total: u64 = of_counts(&all).iter().zip(all).map(|(&length, count)| u64::from(length) * count).sum();
            prop_assert_eq!(total, unlimited(&counts));
        }
    }

    #[test]
    fn a_code_that_is_not_complete_is_none() {
        let mut lengths = [0; 256];
        lengths[3] = 1;
        assert!(codes(&lengths).is_none());
        lengths[4] = 1;
        assert!(codes(&lengths).is_some());
        lengths[5] = 7;
        assert!(codes(&lengths).is_none());
    }
}
