//! [`CuttingStock`]: items of few sizes into equal bins, and the steps that make it smaller without losing a bin.

/// Copies of types in one bin, by ascending type.
pub(crate) type Pattern = Box<[(u32, u32)]>;

/// Bins of one capacity, and so many items of each size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CuttingStock {
    pub(crate) capacity: u64,
    /// Sizes and how many items have them: strictly decreasing sizes from the capacity down to one.
    pub(crate) types: Vec<(u64, u32)>,
}

/// Patterns and how often each is used.
pub(crate) type Patterns = Vec<(Pattern, u32)>;

impl CuttingStock {
    pub(crate) fn total(&self) -> u128 {
        self.types.iter().map(|&(size, demand)| u128::from(size) * u128::from(demand)).sum()
    }

    /// The fewest bins that the sum of sizes allows.
    pub(crate) fn area(&self) -> usize {
        usize::try_from(self.total().div_ceil(u128::from(self.capacity.max(1)))).unwrap_or(usize::MAX)
    }

    /// Items of all types.
    pub(crate) fn items(&self) -> usize {
        self.types.iter().map(|&(_, demand)| demand as usize).sum()
    }

    pub(crate) fn load(&self, pattern: &[(u32, u32)]) -> u128 {
        pattern
            .iter()
            .map(|&(kind, copies)| u128::from(self.types[kind as usize].0) * u128::from(copies))
            .sum()
    }

    /// First fit by decreasing size, for the `demand` of each type.
    pub(crate) fn first_fit(&self, demand: &[u32]) -> Patterns {
        let mut left = demand.to_vec();
        let mut patterns = Patterns::new();
        while let Some(first) = left.iter().position(|&demand| demand > 0) {
            let mut room = self.capacity;
            let mut pattern = Vec::new();
            for (kind, &(size, _)) in self.types.iter().enumerate().skip(first) {
                let copies = u64::from(left[kind]).min(room / size) as u32;
                if copies > 0 {
                    pattern.push((kind as u32, copies));
                    room -= u64::from(copies) * size;
                }
            }
            let times = pattern.iter().map(|&(kind, copies)| left[kind as usize] / copies).min().unwrap_or(1);
            for &(kind, copies) in &pattern {
                left[kind as usize] -= copies * times;
            }
            patterns.push((pattern.into(), times));
        }
        patterns
    }
}

/// Bins of all patterns.
pub(crate) fn bins(patterns: &[(Pattern, u32)]) -> usize {
    patterns.iter().map(|&(_, times)| times as usize).sum()
}
