//! [`Supply`]: the bins that a plan may need, and [`Stock`]: those not opened yet.

use std::cmp::Reverse;
use std::ops::Range;

use crate::pack::problem::Problem;

/// The kinds of a problem grouped by capacity, largest first, and cut off once there is a bin for every item.
///
/// The cut loses nothing: a plan never uses more bins than items, and moving what a dropped bin holds into an
/// unused larger one keeps the plan valid and its number of bins.
pub(crate) struct Supply {
    /// Strictly decreasing in capacity; copies of all classes together are at most the number of items.
    pub(crate) classes: Vec<Class>,
    /// Kinds by decreasing capacity, equal ones in the order given.
    pub(crate) kinds: Vec<usize>,
}

/// All bins of one capacity.
pub(crate) struct Class {
    pub(crate) capacity: u64,
    /// At least one.
    pub(crate) copies: usize,
    /// Its kinds: a range of [`Supply::kinds`].
    pub(crate) members: Range<usize>,
}

impl Supply {
    pub(crate) fn of(problem: &Problem) -> Self {
        let items = problem.sizes().len();
        let capacity_of = |kind: usize| problem.kinds().get(kind).map_or(0, |kind| kind.capacity.get());
        let mut kinds: Vec<usize> = (0..problem.kinds().len()).collect();
        kinds.sort_by_key(|&kind| Reverse(capacity_of(kind)));
        let mut classes = Vec::new();
        let (mut left, mut start) = (items, 0);
        for group in kinds.chunk_by(|&a, &b| capacity_of(a) == capacity_of(b)) {
            if left == 0 {
                break;
            }
            let counts = group.iter().filter_map(|&kind| problem.kinds().get(kind)).map(|kind| kind.count);
            let copies = counts.fold(0_usize, |sum, count| {
                let count = count.map_or(items, |count| usize::try_from(count).unwrap_or(items));
                sum.saturating_add(count).min(left)
            });
            let members = start..group.len().saturating_add(start);
            start = members.end;
            left = left.saturating_sub(copies);
            classes.push(Class {
                capacity: group.first().map_or(0, |&kind| capacity_of(kind)),
                copies,
                members,
            });
        }
        Self { classes, kinds }
    }

    /// The largest capacity; zero when there are no items.
    pub(crate) fn largest(&self) -> u64 {
        self.classes.first().map_or(0, |class| class.capacity)
    }

    /// Bins of all classes.
    pub(crate) fn bins(&self) -> usize {
        self.classes.iter().map(|class| class.copies).sum()
    }
}

/// Which bin to open for an item that fits into no open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The largest: leaves most room for what follows, and so tends to need the fewest bins.
    Largest,
    /// The smallest that holds the item: keeps the large bins for the large items, and so places more where bins
    /// are scarce.
    Tightest,
}

/// The bins of a supply that are not open yet.
pub(crate) struct Stock<'a> {
    classes: &'a [Class],
    left: Vec<usize>,
    /// For a class without copies left, a larger class to ask instead.
    larger: Vec<usize>,
    /// The first class that may have copies left.
    first: usize,
    opening: Opening,
}

impl<'a> Stock<'a> {
    pub(crate) fn new(supply: &'a Supply, opening: Opening) -> Self {
        let classes = supply.classes.as_slice();
        Self {
            classes,
            left: classes.iter().map(|class| class.copies).collect(),
            larger: (0..classes.len()).collect(),
            first: 0,
            opening,
        }
    }

    /// Opens a bin that holds `size`: its class and capacity. `None` when no such bin is left.
    pub(crate) fn open(&mut self, size: u64) -> Option<(usize, u64)> {
        let class = match self.opening {
            Opening::Largest => self.largest()?,
            Opening::Tightest => self.tightest(size)?,
        };
        let capacity = self.classes.get(class)?.capacity;
        let left = self.left.get_mut(class)?;
        *left = if capacity < size { return None } else { left.checked_sub(1)? };
        Some((class, capacity))
    }

    fn largest(&mut self) -> Option<usize> {
        while *self.left.get(self.first)? == 0 {
            self.first = self.first.saturating_add(1);
        }
        Some(self.first)
    }

    /// The last class that holds `size` and has copies left, found by way of the skips, which are halved on the way.
    fn tightest(&mut self, size: u64) -> Option<usize> {
        let mut class = self.classes.partition_point(|class| class.capacity >= size).checked_sub(1)?;
        while *self.left.get(class)? == 0 {
            let skip = *self.larger.get(class)?;
            let next = if skip == class { class.checked_sub(1)? } else { skip };
            let beyond = *self.larger.get(next)?;
            *self.larger.get_mut(class)? = beyond;
            class = next;
        }
        Some(class)
    }
}
