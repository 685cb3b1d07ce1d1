//! [`Model`]: one independent part of a problem, as the exact search sees it.
//!
//! Time is cut into *sections*: the largest sets of spans that are alive at once. An instant whose set is contained in a
//! neighbour's constrains nothing more and has no section of its own. Offsets and sizes count in cells of the greatest
//! common divisor of all alignments, which sizes are rounded up to.

use std::ops::Range;

use crate::arena::bound::divisor;
use crate::arena::spans::Spans;

/// The most spans of a part.
const MOST_SPANS: usize = 1 << 11;
/// The most pairs of a span and a section that it is alive in.
const MOST_MEMBERS: usize = 1 << 20;
/// The offset of a span that has none given.
pub(super) const FREE: u64 = u64::MAX;

pub(super) struct Model {
    pub(super) cell: u64,
    /// In cells.
    pub(super) sizes: Vec<u64>,
    /// In bytes.
    pub(super) bytes: Vec<u64>,
    /// In cells.
    pub(super) alignments: Vec<u64>,
    /// In cells, [`FREE`] for none.
    pub(super) fixed: Vec<u64>,
    /// The sections of each span.
    pub(super) sections: Vec<Vec<Range<usize>>>,
    /// The spans of each section.
    pub(super) members: Vec<Vec<u32>>,
    /// The spans that share a section with each.
    pub(super) neighbours: Vec<Vec<u32>>,
    /// The load of each section, in cells.
    pub(super) loads: Vec<u64>,
}

/// Parts of the spans that have no instant in common.
pub(super) fn parts(spans: &Spans) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut first, mut end) = (0, 0);
    for (index, span) in spans.all.iter().enumerate() {
        if span.lower >= end && index > first {
            parts.push(first..index);
            first = index;
        }
        end = end.max(span.upper);
    }
    if first < spans.all.len() {
        parts.push(first..spans.all.len());
    }
    parts
}

impl Model {
    /// `None` where there are too many spans.
    pub(super) fn of(spans: &Spans, part: Range<usize>) -> Option<Self> {
        let all = spans.all.get(part.clone()).filter(|all| all.len() <= MOST_SPANS)?;
        let cell = all.iter().fold(0, |cell, span| divisor(cell, span.alignment)).max(1);
        let in_cells = |bytes: u64| bytes.checked_div(cell).unwrap_or(bytes);
        let kept = sections(spans, part.clone());
        let sections: Vec<Vec<Range<usize>>> =
            part.clone().map(|index| ranges(spans.lives(index), &kept)).collect();
        let pairs = sections.iter().flatten().map(ExactSizeIterator::len);
        if pairs.fold(0_usize, usize::saturating_add) > MOST_MEMBERS {
            return None;
        }
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); kept.len()];
        for (index, own) in (0_u32..).zip(&sections) {
            for section in own.iter().cloned().flatten() {
                members.get_mut(section)?.push(index);
            }
        }
        let sizes: Vec<u64> = all.iter().map(|span| span.size.div_ceil(cell)).collect();
        let load = |of: &Vec<u32>| of.iter().filter_map(|&index| sizes.get(index as usize)).sum();
        Some(Self {
            cell,
            bytes: all.iter().map(|span| span.size).collect(),
            alignments: all.iter().map(|span| in_cells(span.alignment).max(1)).collect(),
            fixed: all.iter().map(|span| span.fixed.map_or(FREE, in_cells)).collect(),
            neighbours: neighbours(&sections, &members),
            loads: members.iter().map(load).collect(),
            sizes,
            sections,
            members,
        })
    }
}

/// The instants that are kept as sections: the last before somebody ends, of those since somebody began.
fn sections(spans: &Spans, part: Range<usize>) -> Vec<u32> {
    let lives = || part.clone().flat_map(|index| spans.lives(index));
    let mut events: Vec<(u32, bool)> =
        lives().flat_map(|&(lower, upper)| [(lower, true), (upper, false)]).collect();
    events.sort_unstable();
    let mut kept = Vec::new();
    let mut begun = None;
    // Ends come before beginnings of the same instant.
    for (instant, begins) in events {
        if begins {
            begun = Some(instant);
        } else if let Some(begun) = begun.take() {
            kept.push(begun);
        }
    }
    kept
}

/// The sections that lie within the lives of a span.
fn ranges(lives: &[(u32, u32)], kept: &[u32]) -> Vec<Range<usize>> {
    let at = |instant: u32| kept.partition_point(|&section| section < instant);
    lives.iter().map(|&(lower, upper)| at(lower)..at(upper)).filter(|range| !range.is_empty()).collect()
}

fn neighbours(sections: &[Vec<Range<usize>>], members: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut seen = vec![u32::MAX; sections.len()];
    let mut all = Vec::with_capacity(sections.len());
    for (index, own) in (0_u32..).zip(sections) {
        let mut near = Vec::new();
        for &other in own.iter().cloned().flatten().filter_map(|section| members.get(section)).flatten() {
            if let Some(mark) = seen.get_mut(other as usize)
                && *mark != index
                && other != index
            {
                *mark = index;
                near.push(other);
            }
        }
        all.push(near);
    }
    all
}
