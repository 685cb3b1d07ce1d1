//! [`State`]: what the decisions so far leave open, and what follows from them.
//!
//! Each span has the lowest offset that it can still have: aligned, and above all neighbours that lie already. For each
//! section, those not yet placed are jobs for one machine: none begins before its lowest offset, each takes its size.
//! The earliest end of all is found by taking them in the order of their lowest offsets. Where it is above the capacity,
//! there is no layout, and the decisions that raised the last uninterrupted run of jobs are to blame.

use crate::arena::exact::conflict::{self, Conflicts, Set};
use crate::arena::exact::model::{FREE, Model};

/// The floor of a section of which all is placed.
const DONE: u64 = u64::MAX;

/// Which decisions raised a span to its lowest offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Nothing,
    /// The one at this depth.
    One(u32),
    /// A set of [`Conflicts`].
    Many(u32),
}

/// Where to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    lows: usize,
    sections: usize,
    sets: usize,
}

pub(super) struct State<'a> {
    pub(super) model: &'a Model,
    capacity: u64,
    /// The highest offset of each, in cells.
    latest: Vec<u64>,
    /// The lowest offset that each can have; of those placed, their offset.
    pub(super) lows: Vec<u64>,
    why: Vec<Why>,
    /// The depth at which each was placed; [`State::OPEN`] for the others.
    placed: Vec<u32>,
    pub(super) left: usize,
    /// The lowest offset in each section.
    pub(super) floors: Vec<u64>,
    /// The earliest end of what is not placed in each section.
    pub(super) ends: Vec<u64>,
    open: Vec<u32>,
    /// The members of each section, nearly in the order of their lowest offsets.
    orders: Vec<Vec<u32>>,
    /// How often each section left no layout.
    pub(super) weights: Vec<u64>,
    dirty: Vec<bool>,
    dirty_sections: Vec<u32>,
    old_lows: Vec<(u32, u64, Why)>,
    old_sections: Vec<(u32, u64, u64)>,
    sets: Conflicts,
    /// The decisions to blame for the last failure.
    pub(super) blamed: Set,
    /// Members looked at, as a measure of the time spent.
    pub(super) work: usize,
}

impl<'a> State<'a> {
    const OPEN: u32 = u32::MAX;

    pub(super) fn new(model: &'a Model) -> Self {
        let (spans, sections) = (model.sizes.len(), model.members.len());
        let sets = Conflicts::new(spans);
        Self {
            model,
            capacity: 0,
            latest: Vec::new(),
            lows: Vec::new(),
            why: Vec::new(),
            placed: Vec::new(),
            left: spans,
            floors: Vec::new(),
            ends: Vec::new(),
            open: Vec::new(),
            orders: model.members.clone(),
            weights: vec![1; sections],
            dirty: vec![false; sections],
            dirty_sections: Vec::new(),
            old_lows: Vec::new(),
            old_sections: Vec::new(),
            blamed: sets.empty(),
            sets,
            work: 0,
        }
    }

    /// Goes back to the beginning, for a capacity in bytes. Whether anything is possible.
    pub(super) fn reset(&mut self, capacity: u64) -> bool {
        let model = self.model;
        let (spans, sections) = (model.sizes.len(), model.members.len());
        self.capacity = capacity.div_ceil(model.cell);
        let latest =
            |&size: &u64| capacity.checked_sub(size).map(|room| room.checked_div(model.cell).unwrap_or(0));
        let Some(latest) = model.bytes.iter().map(latest).collect() else { return false };
        self.latest = latest;
        self.lows = model.fixed.iter().map(|&offset| if offset == FREE { 0 } else { offset }).collect();
        self.why = vec![Why::Nothing; spans];
        self.placed = vec![Self::OPEN; spans];
        self.left = spans;
        (self.floors, self.ends) = (vec![0; sections], vec![0; sections]);
        self.open = model.members.iter().map(|members| u32::try_from(members.len()).unwrap_or(0)).collect();
        self.old_lows.clear();
        self.old_sections.clear();
        self.sets.truncate(0);
        self.blamed.fill(0);
        self.dirty.fill(false);
        self.dirty_sections.clear();
        (0..sections).for_each(|section| self.touch(section));
        let is_possible = self.lows.iter().zip(&self.latest).all(|(low, latest)| low <= latest);
        let is_possible = self.settle() && is_possible;
        self.old_sections.clear();
        is_possible
    }

    pub(super) fn is_open(&self, span: usize) -> bool {
        self.placed[span] == Self::OPEN
    }

    pub(super) fn no_decisions(&self) -> Set {
        self.sets.empty()
    }

    /// Whether two spans can be exchanged in any layout.
    pub(super) fn are_alike(&self, one: usize, other: usize) -> bool {
        let model = self.model;
        model.bytes[one] == model.bytes[other]
            && model.alignments[one] == model.alignments[other]
            && model.fixed[one] == model.fixed[other]
            && model.sections[one] == model.sections[other]
    }

    /// The spans that can lie on the floor of a section.
    pub(super) fn candidates(&self, section: usize) -> impl Iterator<Item = u32> {
        let floor = self.floors[section];
        let members = self.model.members[section].iter().copied();
        members.filter(move |&span| self.lows[span as usize] == floor && self.is_open(span as usize))
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { lows: self.old_lows.len(), sections: self.old_sections.len(), sets: self.sets.len() }
    }

    /// Takes back all since `mark`, but for what was placed.
    pub(super) fn back(&mut self, mark: Mark) {
        for (span, low, why) in self.old_lows.drain(mark.lows..).rev() {
            self.lows[span as usize] = low;
            self.why[span as usize] = why;
        }
        for (section, floor, end) in self.old_sections.drain(mark.sections..).rev() {
            self.floors[section as usize] = floor;
            self.ends[section as usize] = end;
        }
        self.sets.truncate(mark.sets);
    }

    /// Places a span at its lowest offset; whether that leaves a chance. If not, `blamed` says why.
    pub(super) fn place(&mut self, span: usize, depth: u32) -> bool {
        let model = self.model;
        self.placed[span] = depth;
        self.left = self.left.saturating_sub(1);
        for section in model.sections[span].iter().cloned().flatten() {
            self.open[section] = self.open[section].saturating_sub(1);
            self.touch(section);
        }
        let top = self.lows[span].saturating_add(model.sizes[span]);
        let mut is_possible = true;
        for &other in &model.neighbours[span] {
            let other = other as usize;
            if self.is_open(other) && self.lows[other] < top {
                is_possible = self.raise(other, top, Why::One(depth)) && is_possible;
            }
        }
        self.settle_if(is_possible)
    }

    pub(super) fn take_up(&mut self, span: usize) {
        self.placed[span] = Self::OPEN;
        self.left = self.left.saturating_add(1);
        for section in self.model.sections[span].iter().cloned().flatten() {
            self.open[section] = self.open[section].saturating_add(1);
        }
    }

    /// None of `spans` lies at its lowest offset, and so each on some neighbour that is not placed yet.
    pub(super) fn lift(&mut self, spans: &[u32], depth: u32) -> bool {
        let model = self.model;
        let mut raised = Vec::with_capacity(spans.len());
        for &span in spans {
            let index = span as usize;
            let near = &model.neighbours[index];
            self.work = self.work.saturating_add(near.len());
            let open = near.iter().map(|&other| other as usize).filter(|&other| self.is_open(other));
            let top = open.map(|other| self.lows[other].saturating_add(model.sizes[other])).min();
            let mut set = self.sets.empty();
            conflict::insert(&mut set, depth);
            // Also of one that is fixed: its neighbours lie above it only because these decisions keep them from below.
            for &other in near {
                match self.placed[other as usize] {
                    Self::OPEN => self.blame(other as usize, &mut set),
                    placed => conflict::insert(&mut set, placed),
                }
            }
            let Some(top) = top.filter(|_| model.fixed[index] == FREE) else {
                self.blame(index, &mut set);
                self.blamed = set;
                return false;
            };
            raised.push((index, top, self.sets.len()));
            self.sets.push(&set);
        }
        let mut is_possible = true;
        for (span, top, set) in raised {
            let why = Why::Many(u32::try_from(set).unwrap_or(u32::MAX));
            is_possible = self.raise(span, top, why) && is_possible;
        }
        self.settle_if(is_possible)
    }

    /// Raises the lowest offset of a span to `floor` or above; whether it still fits.
    fn raise(&mut self, span: usize, floor: u64, why: Why) -> bool {
        let alignment = self.model.alignments[span];
        let low =
            if alignment == 1 { floor } else { floor.checked_next_multiple_of(alignment).unwrap_or(FREE) };
        self.old_lows.push((u32::try_from(span).unwrap_or(0), self.lows[span], self.why[span]));
        self.lows[span] = low;
        self.why[span] = why;
        for section in self.model.sections[span].iter().cloned().flatten() {
            self.touch(section);
        }
        let fits = low <= self.latest[span] && low <= self.model.fixed[span];
        if !fits {
            let mut set = self.sets.empty();
            self.blame(span, &mut set);
            self.blamed = set;
        }
        fits
    }

    /// Adds the decisions that raised a span.
    pub(super) fn blame(&self, span: usize, into: &mut [u64]) {
        match self.why[span] {
            Why::Nothing => {}
            Why::One(depth) => conflict::insert(into, depth),
            Why::Many(set) => self.sets.join(set as usize, into),
        }
    }

    fn touch(&mut self, section: usize) {
        if !std::mem::replace(&mut self.dirty[section], true) {
            self.dirty_sections.push(u32::try_from(section).unwrap_or(0));
        }
    }

    fn settle_if(&mut self, is_possible: bool) -> bool {
        if is_possible {
            return self.settle();
        }
        for section in self.dirty_sections.drain(..) {
            self.dirty[section as usize] = false;
        }
        false
    }

    /// Looks at all sections that changed.
    fn settle(&mut self) -> bool {
        let mut is_possible = true;
        let sections = std::mem::take(&mut self.dirty_sections);
        for &section in &sections {
            let section = section as usize;
            self.dirty[section] = false;
            if is_possible && !self.look(section) {
                is_possible = false;
                self.weights[section] = self.weights[section].saturating_add(1);
            }
        }
        self.dirty_sections = sections;
        self.dirty_sections.clear();
        is_possible
    }

    /// Finds floor and earliest end of a section; whether that is within the capacity.
    fn look(&mut self, section: usize) -> bool {
        let entry = (u32::try_from(section).unwrap_or(0), self.floors[section], self.ends[section]);
        self.old_sections.push(entry);
        if self.open[section] == 0 {
            (self.floors[section], self.ends[section]) = (DONE, 0);
            return true;
        }
        self.sort(section);
        let order = &self.orders[section];
        self.work = self.work.saturating_add(order.len());
        let (mut floor, mut end, mut run) = (DONE, 0, 0);
        for (place, &span) in order.iter().enumerate() {
            let span = span as usize;
            if !self.is_open(span) {
                continue;
            }
            let low = self.lows[span];
            floor = floor.min(low);
            if low >= end {
                (end, run) = (low, place);
            }
            end = end.saturating_add(self.model.sizes[span]);
            if end > self.capacity {
                self.explain(section, run..place.saturating_add(1), end);
                return false;
            }
        }
        (self.floors[section], self.ends[section]) = (floor, end);
        true
    }

    /// Blames what raised a run of jobs that ends above the capacity. Who has many to blame is left out as far as the run
    /// is too long without.
    fn explain(&mut self, section: usize, run: std::ops::Range<usize>, end: u64) {
        let mut spare = end.saturating_sub(self.capacity).saturating_sub(1);
        let mut set = std::mem::take(&mut self.blamed);
        set.fill(0);
        for &span in &self.orders[section][run] {
            let span = span as usize;
            if !self.is_open(span) {
                continue;
            }
            let size = self.model.sizes[span];
            if matches!(self.why[span], Why::Many(_)) && size <= spare {
                spare = spare.saturating_sub(size);
            } else {
                self.blame(span, &mut set);
            }
        }
        self.blamed = set;
    }

    /// Sorts the members of a section by their lowest offsets: since the last time, little has changed.
    fn sort(&mut self, section: usize) {
        let lows = &self.lows;
        let order = &mut self.orders[section];
        for next in 1..order.len() {
            let span = order[next];
            let low = lows[span as usize];
            let mut place = next;
            while let Some(before) = place.checked_sub(1).filter(|&before| lows[order[before] as usize] > low)
            {
                order[place] = order[before];
                place = before;
            }
            order[place] = span;
        }
    }
}
