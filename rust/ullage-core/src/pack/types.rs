//! [`Types`]: items of one size are one type, for solvers that look at sizes rather than items.

use std::collections::HashMap;

use crate::pack::packing::Packing;
use crate::pack::supply::Supply;

/// How often each size occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Types {
    /// Strictly decreasing.
    pub(crate) sizes: Vec<u64>,
    /// Items of each size; solvers lower these to zero.
    pub(crate) counts: Vec<u32>,
}

/// The sizes of the items of each bin.
pub(crate) type Contents = Vec<Vec<u64>>;

impl Types {
    /// Of sizes that do not increase.
    pub(crate) fn of(sizes: &[u64]) -> Self {
        let runs = || sizes.chunk_by(|a, b| a == b);
        Self {
            sizes: runs().filter_map(|run| run.first().copied()).collect(),
            counts: runs().map(|run| u32::try_from(run.len()).unwrap_or(u32::MAX)).collect(),
        }
    }

    /// The number of sizes, those without items among them.
    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }

    pub(crate) fn size(&self, index: usize) -> u64 {
        self.sizes.get(index).copied().unwrap_or(0)
    }

    pub(crate) fn count(&self, index: usize) -> u32 {
        self.counts.get(index).copied().unwrap_or(0)
    }

    pub(crate) fn items(&self) -> usize {
        self.counts.iter().map(|&count| count as usize).sum()
    }

    pub(crate) fn total(&self) -> u128 {
        self.iter().map(|(size, count)| u128::from(size).saturating_mul(u128::from(count))).sum()
    }

    /// Sizes with their counts.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u32)> {
        self.sizes.iter().copied().zip(self.counts.iter().copied())
    }

    /// Without items of no size.
    pub(crate) fn positive(sizes: &[u64]) -> Self {
        Self::of(sizes.get(..sizes.partition_point(|&size| size > 0)).unwrap_or_default())
    }

    /// The sizes of all items, decreasing.
    pub(crate) fn expanded(&self) -> Vec<u64> {
        self.iter().flat_map(|(size, count)| std::iter::repeat_n(size, count as usize)).collect()
    }

    /// Forgets the sizes without items.
    pub(crate) fn drop_empty(&mut self) {
        let kept = self.iter().filter(|&(_, count)| count > 0);
        (self.sizes, self.counts) = kept.collect::<Vec<_>>().into_iter().unzip();
    }

    pub(crate) fn take(&mut self, index: usize) {
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn put(&mut self, index: usize) {
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
    }
}

impl Packing {
    /// The sizes in each bin, but for zeros.
    pub(crate) fn contents(&self, sizes: &[u64]) -> Contents {
        let mut contents = vec![Vec::new(); self.class_of.len()];
        for (&bin, &size) in self.bin_of.iter().zip(sizes).filter(|(_, size)| **size > 0) {
            if let Some(content) = contents.get_mut(bin as usize) {
                content.push(size);
            }
        }
        contents
    }

    /// The packing of `sizes`, which do not increase, whose bins, the largest of `supply` first, hold `contents`. Items of no
    /// size that stand in none join the first bin.
    pub(crate) fn of_contents(contents: &Contents, sizes: &[u64], supply: &Supply) -> Self {
        let mut next: HashMap<u64, usize> = HashMap::new();
        let mut position = 0_usize;
        for run in sizes.chunk_by(|a, b| a == b) {
            next.extend(run.first().map(|&size| (size, position)));
            position = position.saturating_add(run.len());
        }
        let mut bin_of = vec![Self::NOWHERE; sizes.len()];
        for (bin, held) in (0..).zip(contents) {
            for size in held {
                let Some(place) = next.get_mut(size) else { continue };
                if let Some(slot) = bin_of.get_mut(*place) {
                    *slot = bin;
                }
                *place = place.saturating_add(1);
            }
        }
        let sizeless = sizes.partition_point(|&size| size > 0);
        for slot in bin_of.iter_mut().skip(sizeless).filter(|slot| **slot == Self::NOWHERE) {
            *slot = 0;
        }
        let unplaced = bin_of.iter().filter(|&&bin| bin == Self::NOWHERE).count();
        // Items of no size alone still need a bin.
        let bins = contents.len().max(usize::from(!sizes.is_empty()));
        let classes = (0..)
            .zip(&supply.classes)
            .flat_map(|(class, members)| std::iter::repeat_n(class, members.copies));
        Self { bin_of, class_of: classes.take(bins).collect(), unplaced }
    }
}
