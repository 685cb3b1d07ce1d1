//! [`Groups`]: items that a node of the tree keeps together, as one item each.

/// The partition of the items by what must share a bin, and the pairs of groups that must not.
pub(super) struct Groups {
    /// Size and items of each, by decreasing size.
    pub(super) of: Vec<(u64, Vec<u32>)>,
    /// The group of each item.
    group: Vec<u32>,
    /// Ascending pairs of groups, without repetition.
    pub(super) apart: Vec<(u32, u32)>,
    /// Items of each group in the column at hand.
    count: Vec<u32>,
}

impl Groups {
    /// `None` where the decisions contradict each other or a group is larger than `capacity`.
    pub(super) fn new(
        sizes: &[u64],
        capacity: u64,
        together: &[(u32, u32)],
        apart: &[(u32, u32)],
    ) -> Option<Self> {
        let root = roots(sizes.len(), together);
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); sizes.len()];
        for (item, &root) in (0..).zip(&root) {
            members[root as usize].push(item);
        }
        members.retain(|items| !items.is_empty());
        let whole = members.into_iter().map(|items| {
            let size: u128 = items.iter().map(|&item| u128::from(sizes[item as usize])).sum();
            u64::try_from(size).ok().filter(|&size| size <= capacity).map(|size| (size, items))
        });
        let mut of = whole.collect::<Option<Vec<(u64, Vec<u32>)>>>()?;
        of.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut group = vec![0; sizes.len()];
        for (index, (_, items)) in (0..).zip(&of) {
            for &item in items {
                group[item as usize] = index;
            }
        }
        let pair = |&(a, b): &(u32, u32)| {
            let (a, b) = (group[a as usize], group[b as usize]);
            (a.min(b), a.max(b))
        };
        let mut apart: Vec<(u32, u32)> = apart.iter().map(pair).collect();
        apart.sort_unstable();
        apart.dedup();
        let contradicts = apart.iter().any(|&(a, b)| a == b);
        (!contradicts).then(|| Self { count: vec![0; of.len()], of, group, apart })
    }

    /// Whether a bin may hold just these items.
    pub(super) fn allow(&mut self, items: &[u32]) -> bool {
        for &item in items {
            self.count[self.group[item as usize] as usize] += 1;
        }
        let whole = items.iter().all(|&item| {
            let group = self.group[item as usize] as usize;
            self.count[group] as usize == self.of[group].1.len()
        });
        let allowed = whole
            && !self.apart.iter().any(|&(a, b)| self.count[a as usize] > 0 && self.count[b as usize] > 0);
        for &item in items {
            self.count[self.group[item as usize] as usize] = 0;
        }
        allowed
    }

    /// Whether two items are known to be together or apart.
    pub(super) fn decided(&self, (a, b): (u32, u32)) -> bool {
        let (a, b) = (self.group[a as usize], self.group[b as usize]);
        a == b || self.apart.binary_search(&(a.min(b), a.max(b))).is_ok()
    }

    /// What each group is worth at the prices `y` of items.
    pub(super) fn prices(&self, y: &[f64]) -> Vec<f64> {
        self.of.iter().map(|(_, items)| items.iter().map(|&item| y[item as usize]).sum()).collect()
    }

    /// The items of a pattern of groups, ascending.
    pub(super) fn items(&self, pattern: &[(u32, u32)]) -> Box<[u32]> {
        let mut items: Vec<u32> =
            pattern.iter().flat_map(|&(group, _)| self.of[group as usize].1.iter().copied()).collect();
        items.sort_unstable();
        items.into()
    }
}

/// For each item the least item that it is connected with by `pairs`.
fn roots(items: usize, pairs: &[(u32, u32)]) -> Vec<u32> {
    let mut root: Vec<u32> = (0..items as u32).collect();
    for &(a, b) in pairs {
        let (a, b) = (root[a as usize], root[b as usize]);
        let (least, other) = (a.min(b), a.max(b));
        if least != other {
            root.iter_mut().filter(|root| **root == other).for_each(|root| *root = least);
        }
    }
    root
}
