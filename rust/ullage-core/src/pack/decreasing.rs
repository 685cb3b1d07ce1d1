//! [`Decreasing`]: the items in the order all solvers take them.

use crate::pack::problem::Problem;

/// The items from the largest to the smallest, equal ones in the order given.
pub(crate) struct Decreasing {
    /// Sizes, largest first.
    pub(crate) sizes: Vec<u64>,
    /// The item that stands at each position.
    pub(crate) items: Vec<u32>,
}

impl Decreasing {
    pub(crate) fn of(problem: &Problem) -> Self {
        let sizes = problem.sizes();
        let mut order: Vec<(u64, u32)> = Vec::with_capacity(sizes.len());
        order.extend((0_u32..).zip(sizes).map(|(index, size)| (u64::MAX ^ size.get(), index)));
        order.sort_unstable();
        Self {
            sizes: order.iter().map(|&(flipped, _)| u64::MAX ^ flipped).collect(),
            items: order.iter().map(|&(_, index)| index).collect(),
        }
    }

    pub(crate) fn total(&self) -> u128 {
        self.sizes.iter().map(|&size| u128::from(size)).sum()
    }
}
