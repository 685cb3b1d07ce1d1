//! [`Packing`]: what a solver found, and its translation into the bins of a plan.

use crate::pack::order::Order;
use crate::pack::plan::PlannedBin;
use crate::pack::problem::{BinKind, Problem};
use crate::pack::supply::{Opening, Stock, Supply};
use crate::units::Bytes;

/// Opened bins and who is in them, in the solver's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packing {
    /// For each position of [`Order`] the opened bin, or [`Packing::NOWHERE`].
    pub(crate) bin_of: Vec<u32>,
    /// For each opened bin its class in [`Supply`].
    pub(crate) class_of: Vec<u32>,
    /// Positions without a bin.
    pub(crate) unplaced: usize,
}

impl Packing {
    /// In place of a bin: the item is unplaced.
    pub(crate) const NOWHERE: u32 = u32::MAX;

    /// Whether this is the better plan: fewer items left over, then fewer bins.
    pub(crate) fn beats(&self, other: &Self) -> bool {
        (self.unplaced, self.class_of.len()) < (other.unplaced, other.class_of.len())
    }

    /// Bins that hold something.
    pub(crate) fn bins(&self) -> usize {
        self.class_of.len()
    }

    /// The bins of the plan and the assignment by item.
    ///
    /// Within a class the kinds are used in the order given and their copies from zero, in the order of opening.
    pub(crate) fn into_plan(
        self,
        problem: &Problem,
        order: &Order,
        supply: &Supply,
    ) -> (Vec<PlannedBin>, Vec<Option<usize>>) {
        let mut bins = self.copies(problem, supply);
        self.add_loads(order, &mut bins);
        let opened = bins.len();
        list_lone_bins(problem, &mut bins);
        let place_of = sort_bins(&mut bins);
        let place_of = place_of.get(..opened).unwrap_or_default();
        // Scattered in the short form, which takes a quarter of the memory, and made long in order.
        let mut places = vec![Self::NOWHERE; problem.sizes().len()];
        for (&bin, &item) in self.bin_of.iter().zip(&order.items) {
            if let (Some(slot), Some(&place)) = (places.get_mut(item as usize), place_of.get(bin as usize)) {
                *slot = place;
            }
        }
        let place = |place: u32| (place != Self::NOWHERE).then_some(place as usize);
        (bins, places.into_iter().map(place).collect())
    }

    fn add_loads(&self, order: &Order, bins: &mut [PlannedBin]) {
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

/// A packing in the making: items are placed one after the other, in the order of the solver.
pub(crate) struct Filling<'a> {
    packing: Packing,
    rooms: Vec<u64>,
    stock: Stock<'a>,
    items: usize,
}

impl<'a> Filling<'a> {
    pub(crate) fn new(items: usize, supply: &'a Supply, opening: Opening) -> Self {
        let packing = Packing { bin_of: Vec::with_capacity(items), class_of: Vec::new(), unplaced: 0 };
        Self { packing, rooms: Vec::new(), stock: Stock::new(supply, opening), items }
    }

    /// Opens a bin for an item of `size`, if one is left that holds it.
    pub(crate) fn open(&mut self, size: u64) -> Option<u32> {
        let (class, capacity) = self.stock.open(size)?;
        let bin = u32::try_from(self.rooms.len()).ok()?;
        self.packing.class_of.push(u32::try_from(class).ok()?);
        self.rooms.push(capacity);
        Some(bin)
    }

    pub(crate) fn room(&self, bin: u32) -> u64 {
        self.rooms.get(bin as usize).copied().unwrap_or(0)
    }

    /// Places the next items, all of `size`, into `bin`: one, which must fit, and of `most` as many more as do. Returns their
    /// number and the room left.
    #[inline]
    pub(crate) fn place(&mut self, bin: u32, size: u64, most: usize) -> (usize, u64) {
        let Some(room) = self.rooms.get_mut(bin as usize) else { return (0, 0) };
        if most == 1 {
            *room = room.saturating_sub(size);
            self.packing.bin_of.push(bin);
            return (1, *room);
        }
        let count =
            room.checked_div(size).map_or(most, |count| usize::try_from(count).unwrap_or(most).min(most));
        *room = room.saturating_sub(size.saturating_mul(count as u64));
        self.packing.bin_of.extend(std::iter::repeat_n(bin, count));
        (count, *room)
    }

    /// Leaves the next `count` items without a bin.
    pub(crate) fn leave_out(&mut self, count: usize) {
        self.packing.bin_of.extend(std::iter::repeat_n(Packing::NOWHERE, count));
        self.packing.unplaced = self.packing.unplaced.saturating_add(count);
    }

    /// The packing; items that were not placed have no bin.
    pub(crate) fn into_packing(mut self) -> Packing {
        self.leave_out(self.items.saturating_sub(self.packing.bin_of.len()));
        self.packing
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
    if bins.is_sorted_by_key(|bin| (bin.kind, bin.copy)) {
        return (0..).take(bins.len()).collect();
    }
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
