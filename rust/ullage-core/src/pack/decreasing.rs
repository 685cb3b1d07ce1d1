//! [`Decreasing`]: the items in the order all solvers take them.

use crate::pack::problem::Problem;
use crate::units::Bytes;

/// The items from the largest to the smallest, equal ones in the order given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decreasing {
    /// Sizes, largest first.
    pub(crate) sizes: Vec<u64>,
    /// The item that stands at each position.
    pub(crate) items: Vec<u32>,
}

impl Decreasing {
    pub(crate) fn of(problem: &Problem) -> Self {
        let sizes = problem.sizes();
        let highest = sizes.iter().max().map_or(0, |size| size.get());
        let item_bits = usize::BITS.saturating_sub(sizes.len().leading_zeros());
        if item_bits <= highest.leading_zeros() {
            Self::by_words(sizes, highest, item_bits)
        } else {
            Self::by_pairs(sizes)
        }
    }

    /// Sorts single words that hold the size above the item: twice as fast as pairs, where both fit.
    #[expect(clippy::cast_possible_truncation, reason = "items are fewer than 2^32, which a problem sees to")]
    #[expect(clippy::arithmetic_side_effects, reason = "shifts below 64, and no size is above the highest")]
    fn by_words(sizes: &[Bytes], highest: u64, item_bits: u32) -> Self {
        let mut words: Vec<u64> = Vec::with_capacity(sizes.len());
        words.extend((0..).zip(sizes).map(|(item, size)| ((highest - size.get()) << item_bits) | item));
        words.sort_unstable();
        let item_mask = (1 << item_bits) - 1;
        let items = words.iter().map(|&word| (word & item_mask) as u32).collect();
        Self { sizes: words.into_iter().map(|word| highest - (word >> item_bits)).collect(), items }
    }

    fn by_pairs(sizes: &[Bytes]) -> Self {
        let mut pairs: Vec<(u64, u32)> = Vec::with_capacity(sizes.len());
        pairs.extend((0..).zip(sizes).map(|(item, size)| (!size.get(), item)));
        pairs.sort_unstable();
        Self {
            sizes: pairs.iter().map(|&(flipped, _)| !flipped).collect(),
            items: pairs.iter().map(|&(_, item)| item).collect(),
        }
    }

    pub(crate) fn total(&self) -> u128 {
        self.sizes.iter().map(|&size| u128::from(size)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_ways_to_sort_agree(counts in prop::collection::vec(prop_oneof![0_u64..5, 0..1_u64 << 50], 0..50)) {
            let sizes: Vec<Bytes> = counts.iter().copied().map(Bytes::new).collect();
            let highest = counts.iter().copied().max().unwrap_or(0);
            let words = Decreasing::by_words(&sizes, highest, 6);
            prop_assert!(words.sizes.is_sorted_by(|a, b| a >= b));
            prop_assert_eq!(words, Decreasing::by_pairs(&sizes));
        }
    }
}
