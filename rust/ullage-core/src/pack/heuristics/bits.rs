//! [`Bits`]: a set of small numbers that tells its first at once.

/// A bit a number, and above every 64 words a word that tells which of them are not empty.
pub(super) struct Bits {
    /// The numbers first; the last is a single word.
    levels: Vec<Vec<u64>>,
    /// The smallest number, found again when it goes.
    first: Option<u32>,
}

impl Bits {
    /// An empty set of numbers below `count`.
    pub(super) fn of(count: usize) -> Self {
        let mut levels = vec![vec![0; count.div_ceil(64).max(1)]];
        while let Some(words) = levels.last().map(Vec::len)
            && words > 1
        {
            levels.push(vec![0; words.div_ceil(64)]);
        }
        Self { levels, first: None }
    }

    #[inline]
    pub(super) fn insert(&mut self, number: u32) {
        self.first = Some(self.first.map_or(number, |first| first.min(number)));
        let mut place = number as usize;
        for level in &mut self.levels {
            let Some(word) = level.get_mut(place / 64) else { return };
            let before = *word;
            *word |= 1 << (place % 64);
            if before != 0 {
                return;
            }
            place /= 64;
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, number: u32) {
        let mut place = number as usize;
        for level in &mut self.levels {
            let Some(word) = level.get_mut(place / 64) else { break };
            *word &= !(1 << (place % 64));
            if *word != 0 {
                break;
            }
            place /= 64;
        }
        if self.first == Some(number) {
            self.first = self.find();
        }
    }

    /// The smallest number.
    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        self.first
    }

    fn find(&self) -> Option<u32> {
        let mut place = 0_usize;
        for level in self.levels.iter().rev() {
            let word = *level.get(place)?;
            if word == 0 {
                return None;
            }
            place = place.saturating_mul(64).saturating_add(word.trailing_zeros() as usize);
        }
        u32::try_from(place).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0_u32..300_000), 0..200), count in 1_usize..300_000) {
            let (mut bits, mut set) = (Bits::of(count), BTreeSet::new());
            for (is_in, number) in steps.into_iter().filter(|step| (step.1 as usize) < count) {
                if is_in {
                    bits.insert(number);
                    set.insert(number);
                } else {
                    bits.remove(number);
                    set.remove(&number);
                }
                prop_assert_eq!(bits.first(), set.first().copied());
            }
        }
    }
}
