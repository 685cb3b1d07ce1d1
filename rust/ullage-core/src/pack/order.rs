//! [`Order`]: the items in the order in which a solver takes them.

use std::ops::Range;

use crate::pack::problem::Problem;
use crate::units::Bytes;

/// The items in some order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The size at each position.
    pub(crate) sizes: Vec<u64>,
    /// The item that stands at each position.
    pub(crate) items: Vec<u32>,
}

/// Below, comparing is faster than counting.
const FEW: usize = 1 << 7;
/// Words that stay in a near cache while they are sorted.
const NEAR: usize = 1 << 14;
/// Digits that are counted at once: few enough for the places that words go to to stay in a near cache.
const DIGIT_BITS: u32 = 9;

impl Order {
    /// As the problem lists them.
    pub(crate) fn given(problem: &Problem) -> Self {
        let sizes: Vec<u64> = problem.sizes().iter().map(|size| size.get()).collect();
        Self { items: (0..).take(sizes.len()).collect(), sizes }
    }

    /// From the largest to the smallest, equal ones in the order given.
    ///
    /// What is sorted are words that hold the difference to the largest size above the position of the item. Of
    /// differences too wide for that the low bits are left out, and made good where the others are equal.
    #[expect(clippy::cast_possible_truncation, reason = "items are fewer than 2^32, which a problem sees to")]
    #[expect(clippy::arithmetic_side_effects, reason = "no size is above the highest; shifts are below 64")]
    pub(crate) fn decreasing(problem: &Problem) -> Self {
        let sizes = problem.sizes();
        let (mut lowest, mut highest) = (u64::MAX, 0);
        for size in sizes {
            lowest = lowest.min(size.get());
            highest = highest.max(size.get());
        }
        let item_bits = (usize::BITS - sizes.len().leading_zeros()).max(1);
        let key_bits = u64::BITS - highest.saturating_sub(lowest).leading_zeros();
        let left_out = key_bits.saturating_sub(u64::BITS - item_bits);
        let mut words: Vec<u64> = Vec::with_capacity(sizes.len());
        let key = |size: &Bytes| (highest - size.get()) >> left_out;
        words.extend((0..).zip(sizes).map(|(item, size)| (key(size) << item_bits) | item));
        let mut scratch = vec![0; if words.len() < FEW { 0 } else { words.len() }];
        sort_words(&mut words, &mut scratch, item_bits..item_bits + key_bits - left_out);
        let item_mask = (1_u64 << item_bits) - 1;
        let item_of = |word: u64| (word & item_mask) as usize;
        let size_of = |word: u64| sizes.get(item_of(word)).map_or(0, |size| size.get());
        if left_out > 0 {
            for run in words.chunk_by_mut(|&a, &b| a >> item_bits == b >> item_bits) {
                run.sort_unstable_by_key(|&word| (!size_of(word), word));
            }
            return Self {
                sizes: words.iter().map(|&word| size_of(word)).collect(),
                items: words.iter().map(|&word| item_of(word) as u32).collect(),
            };
        }
        let items = words.iter().map(|&word| item_of(word) as u32).collect();
        for word in &mut words {
            *word = highest - (*word >> item_bits);
        }
        Self { sizes: words, items }
    }

    pub(crate) fn total(&self) -> u128 {
        self.sizes.iter().map(|&size| u128::from(size)).sum()
    }
}

/// Sorts by `bits` of every word; words equal there keep their order, which must be that of the bits below.
///
/// Many words are first split by their leading digit, so that each part can be sorted near by, digit by digit from the
/// lowest. `scratch` is as long as `words`, or empty for few.
#[expect(clippy::arithmetic_side_effects, reason = "bits of a word")]
fn sort_words(words: &mut [u64], scratch: &mut [u64], bits: Range<u32>) {
    if words.len() < FEW {
        words.sort_unstable();
    } else if words.len() <= NEAR {
        let mut is_swapped = false;
        let digits = bits.len().div_ceil(DIGIT_BITS as usize).max(1);
        for digit in bits.clone().step_by(bits.len().div_ceil(digits).max(1)) {
            let width = bits.len().div_ceil(digits);
            let digit = digit..bits.end.min(digit + u32::try_from(width).unwrap_or(0));
            let (from, to) =
                if is_swapped { (&mut *scratch, &mut *words) } else { (&mut *words, &mut *scratch) };
            is_swapped ^= distribute(from, to, digit).is_some();
        }
        if is_swapped {
            words.copy_from_slice(scratch);
        }
    } else if !bits.is_empty() {
        let middle = bits.end.saturating_sub(DIGIT_BITS).max(bits.start);
        let Some(ends) = distribute(words, scratch, middle..bits.end) else {
            return sort_words(words, scratch, bits.start..middle);
        };
        let mut start = 0;
        for end in ends.map(|end| end as usize) {
            if let (Some(part), Some(other)) = (scratch.get_mut(start..end), words.get_mut(start..end)) {
                if end > start {
                    sort_words(part, other, bits.start..middle);
                    other.copy_from_slice(part);
                }
                start = end;
            }
        }
    }
}

/// Writes `from` into `to`, sorted by a digit, and gives the end of each; `None`, with nothing written, if all agree.
#[expect(clippy::arithmetic_side_effects, reason = "counts of words; bits of a word")]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a digit is far below 2^32, and so is the number of words"
)]
fn distribute(from: &[u64], to: &mut [u64], digit: Range<u32>) -> Option<[u32; 1 << DIGIT_BITS]> {
    let mask = (1_u64 << (digit.end - digit.start)) - 1;
    let digit_of = |word: u64| ((word >> digit.start) & mask) as usize;
    let mut places = [0_u32; 1 << DIGIT_BITS];
    for &word in from {
        places[digit_of(word)] += 1;
    }
    if from.first().is_none_or(|&word| places[digit_of(word)] as usize == from.len()) {
        return None;
    }
    let mut start = 0;
    for count in &mut places {
        start += std::mem::replace(count, start);
    }
    for &word in from {
        let place = &mut places[digit_of(word)];
        to[*place as usize] = word;
        *place += 1;
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;
    use crate::pack::problem::BinKind;

    fn problem(sizes: &[u64]) -> Problem {
        let bin = BinKind { name: "bin".into(), capacity: Bytes::new(1), count: None };
        Problem::from_sizes(sizes.iter().copied().map(Bytes::new).collect(), vec![bin]).unwrap()
    }

    /// The order by its definition.
    fn stable(sizes: &[u64]) -> Vec<u32> {
        let mut items: Vec<u32> = (0..u32::try_from(sizes.len()).unwrap()).collect();
        items.sort_by_key(|&item| Reverse(sizes[item as usize]));
        items
    }

    fn agrees(sizes: &[u64]) {
        let order = Order::decreasing(&problem(sizes));
        assert_eq!(order.items, stable(sizes));
        assert_eq!(order.sizes, order.items.iter().map(|&item| sizes[item as usize]).collect::<Vec<_>>());
        assert_eq!(Order::given(&problem(sizes)).sizes, sizes);
    }

    proptest! {
        #[test]
        fn few_items_are_in_order(
            sizes in prop::collection::vec(prop_oneof![0_u64..5, 0..1_u64 << 50, any::<u64>()], 0..50),
        ) {
            agrees(&sizes);
        }

        #[test]
        fn many_items_are_in_order(seed in any::<u64>(), bits in 0_u32..64, count in prop_oneof![FEW..3 * FEW, NEAR..2 * NEAR]) {
            let mut random = crate::solving::Random(seed);
            let sizes: Vec<u64> = (0..count).map(|_| random.next() >> bits).collect();
            agrees(&sizes);
            // Sizes that differ in their low bits alone, and a few that differ in the highest.
            let near: Vec<u64> = sizes.iter().map(|size| if size % 64 == 0 { *size } else { size % 1024 }).collect();
            agrees(&near);
        }
    }
}
