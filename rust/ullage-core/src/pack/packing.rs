//! [`Packing`]: what a solver found, and its translation into the bins of a plan.

use crate::pack::decreasing::Decreasing;
use crate::pack::plan::PlannedBin;
use crate::pack::problem::Problem;
use crate::pack::supply::Supply;
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
        let opened = bins.len();
        let mut used = vec![false; problem.kinds().len()];
        for bin in &bins {
            if let Some(used) = used.get_mut(bin.kind) {
                *used = true;
            }
        }
        for (kind, _) in used.iter().enumerate().filter(|(_, used)| !**used) {
            if let Some(lone) = problem.kinds().get(kind).filter(|kind| kind.count == Some(1)) {
                bins.push(PlannedBin { kind, copy: 0, capacity: lone.capacity, load: Bytes::ZERO });
            }
        }
        let mut listed: Vec<usize> = (0..bins.len()).collect();
        listed.sort_unstable_by_key(|&index| bins.get(index).map(|bin| (bin.kind, bin.copy)));
        let mut place_of = vec![0; bins.len()];
        for (place, &index) in listed.iter().enumerate() {
            if let Some(slot) = place_of.get_mut(index) {
                *slot = place;
            }
        }
        place_of.truncate(opened);
        let mut bins: Vec<PlannedBin> = listed.iter().filter_map(|&index| bins.get(index).copied()).collect();
        let mut assignment = vec![None; problem.sizes().len()];
        for ((&bin, &item), &size) in self.bin_of.iter().zip(&order.items).zip(&order.sizes) {
            let place = usize::try_from(bin).ok().and_then(|bin| place_of.get(bin)).copied();
            let Some(bin) = place.and_then(|place| bins.get_mut(place)) else { continue };
            bin.load = bin.load.saturating_add(Bytes::new(size));
            if let Some(slot) = assignment.get_mut(item as usize) {
                *slot = place;
            }
        }
        (bins, assignment)
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
