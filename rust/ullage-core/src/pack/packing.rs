//! [`Packing`]: what a solver found, and its translation into the bins of a plan.

use crate::pack::decreasing::Decreasing;
use crate::pack::plan::PlannedBin;
use crate::pack::problem::{BinKind, Problem};
use crate::pack::supply::{Stock, Supply};
use crate::units::Bytes;

/// Opened bins and who is in them, in the solver's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packing {
    /// For each position of [`Decreasing`] the opened bin, or [`Packing::NOWHERE`].
    pub(crate) bin_of: Vec<u32>,
    /// For each opened bin its class in [`Supply`].
    pub(crate) class_of: Vec<u32>,
    /// Positions without a bin.
    pub(crate) unplaced: usize,
}

impl Packing {
    /// In place of a bin: the item is unplaced.
    pub(crate) const NOWHERE: u32 = u32::MAX;

    pub(crate) fn with_capacity(items: usize) -> Self {
        Self { bin_of: Vec::with_capacity(items), class_of: Vec::new(), unplaced: 0 }
    }

    /// Opens a bin of `stock` for an item of `size`: its room, and its number.
    pub(crate) fn open(&mut self, stock: &mut Stock<'_>, size: u64) -> Option<(u64, u32)> {
        let (class, capacity) = stock.open(size)?;
        let bin = u32::try_from(self.class_of.len()).ok()?;
        self.class_of.push(u32::try_from(class).ok()?);
        Some((capacity, bin))
    }

    /// Leaves the next item without a bin.
    pub(crate) fn leave_out(&mut self) {
        self.bin_of.push(Self::NOWHERE);
        self.unplaced = self.unplaced.saturating_add(1);
    }

    /// Fills up with unplaced items, for a solver that was stopped.
    pub(crate) fn give_up_at(&mut self, items: usize) {
        self.unplaced = self.unplaced.saturating_add(items.saturating_sub(self.bin_of.len()));
        self.bin_of.resize(items, Self::NOWHERE);
    }

    /// Whether this is the better plan: fewer items left over, then fewer bins.
    pub(crate) fn beats(&self, other: &Self) -> bool {
        (self.unplaced, self.class_of.len()) < (other.unplaced, other.class_of.len())
    }

    /// The bins of the plan and the assignment by item.
    ///
    /// Within a class the kinds are used in the order given and their copies from zero, in the order of opening.
    pub(crate) fn into_plan(
        self,
        problem: &Problem,
        order: &Decreasing,
        supply: &Supply,
    ) -> (Vec<PlannedBin>, Vec<Option<usize>>) {
        let mut bins = self.copies(problem, supply);
        self.add_loads(order, &mut bins);
        let opened = bins.len();
        list_lone_bins(problem, &mut bins);
        let place_of = sort_bins(&mut bins);
        let place_of = place_of.get(..opened).unwrap_or_default();
        let mut assignment = vec![None; problem.sizes().len()];
        for (&bin, &item) in self.bin_of.iter().zip(&order.items) {
            if let Some(slot) = assignment.get_mut(item as usize) {
                *slot = place_of.get(bin as usize).map(|&place| place as usize);
            }
        }
        (bins, assignment)
    }

    fn add_loads(&self, order: &Decreasing, bins: &mut [PlannedBin]) {
        let mut loads = vec![0_u64; bins.len()];
        for (&bin, &size) in self.bin_of.iter().zip(&order.sizes) {
            if let Some(load) = loads.get_mut(bin as usize) {
                *load = load.saturating_add(size);
            }
        }
        for (bin, load) in bins.iter_mut().zip(loads) {
            bin.load = Bytes::new(load);
        }
    }

    /// The kind and copy of every opened bin.
    fn copies(&self, problem: &Problem, supply: &Supply) -> Vec<PlannedBin> {
        let mut next: Vec<(usize, u64)> =
            supply.classes.iter().map(|class| (class.members.start, 0)).collect();
        let mut bins = Vec::with_capacity(self.class_of.len());
        for &class in &self.class_of {
            let Some((member, copy)) = next.get_mut(class as usize) else { continue };
            let Some((kind, bin)) =
                supply.kinds.get(*member).and_then(|&k| Some((k, problem.kinds().get(k)?)))
            else {
                continue;
            };
            bins.push(PlannedBin { kind, copy: *copy, capacity: bin.capacity, load: Bytes::ZERO });
            *copy = copy.saturating_add(1);
            if bin.count.is_some_and(|count| *copy >= count) {
                (*member, *copy) = (member.saturating_add(1), 0);
            }
        }
        bins
    }
}

/// Adds the bins that are the only copy of their kind and not among `bins`.
fn list_lone_bins(problem: &Problem, bins: &mut Vec<PlannedBin>) {
    let mut used = vec![false; problem.kinds().len()];
    for bin in bins.iter() {
        if let Some(used) = used.get_mut(bin.kind) {
            *used = true;
        }
    }
    let unused = problem.kinds().iter().zip(used).enumerate().filter(|(_, (_, used))| !used);
    let lone = unused.filter(|(_, (kind, _))| kind.count == Some(1));
    bins.extend(lone.map(|(kind, (BinKind { capacity, .. }, _))| PlannedBin {
        kind,
        copy: 0,
        capacity: *capacity,
        load: Bytes::ZERO,
    }));
}

/// Sorts `bins` by kind and copy. Returns where each went.
fn sort_bins(bins: &mut Vec<PlannedBin>) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(bins.len()).collect();
    order.sort_unstable_by_key(|&bin| bins.get(bin as usize).map(|bin| (bin.kind, bin.copy)));
    let mut place_of = vec![0; bins.len()];
    for (place, &bin) in (0..).zip(&order) {
        if let Some(slot) = place_of.get_mut(bin as usize) {
            *slot = place;
        }
    }
    *bins = order.iter().filter_map(|&bin| bins.get(bin as usize).copied()).collect();
    place_of
}
