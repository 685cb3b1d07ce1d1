//! What was measured comes back: a footprint gives way to it, and so do the estimates of its remedies.

use super::interval::{Interval, Origin};
use super::{Footprint, finish};
use crate::error::Result;
use crate::units::Bytes;

/// What a measurement covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A run of the workload: every part.
    Run,
    /// A load without a run: weights and overhead. Cache, state and activations came after it, if at all.
    Load,
}

/// One of the three figures of an interval.
type Figure = fn(&Interval) -> Bytes;

/// In which parts and up to which of their bounds a measured total is laid, the surest first: what is least sure
/// gives way first. What goes beyond all of them is overhead.
const ORDER: [(Part, Figure); 15] = [
    (Part::KvCache, |part| part.lo),
    (Part::State, |part| part.lo),
    (Part::Weights, |part| part.lo),
    (Part::Activations, |part| part.lo),
    (Part::Overhead, |part| part.lo),
    (Part::KvCache, |part| part.best),
    (Part::State, |part| part.best),
    (Part::Weights, |part| part.best),
    (Part::Activations, |part| part.best),
    (Part::Overhead, |part| part.best),
    (Part::Overhead, |part| part.hi),
    (Part::Activations, |part| part.hi),
    (Part::Weights, |part| part.hi),
    (Part::State, |part| part.hi),
    (Part::KvCache, |part| part.hi),
];

/// The components, as [`Footprint::parts`] orders them.
#[derive(Clone, Copy)]
enum Part {
    Weights,
    KvCache,
    State,
    Activations,
    Overhead,
}

impl Extent {
    const fn covers(self, part: Part) -> bool {
        matches!((self, part), (Self::Run, _) | (Self::Load, Part::Weights | Part::Overhead))
    }
}

impl Footprint {
    /// The footprint narrowed to what was measured: between `lo` and `hi` bytes, most likely `best`, of what `extent`
    /// covers; `how` says by how many runs, of what and when.
    ///
    /// What is exact stays as long as the measured bytes suffice for it; activations and overhead give way, and the
    /// overhead takes what is left over. Where even the weights were not all seen (mapped pages that nobody touched) they
    /// go down, and their formula says so. The parts add up to the total in each of its three figures.
    ///
    /// # Errors
    /// [`crate::Error::Overflow`] where the sum with what was not measured passes 2^64 − 1 bytes.
    pub fn measured(self, lo: Bytes, best: Bytes, hi: Bytes, extent: Extent, how: &str) -> Result<Self> {
        let seen = Interval::new(lo, best, hi, Origin::Measured, how.to_owned());
        let laid = [seen.lo, seen.best, seen.hi].map(|total| self.lay(total, extent));
        let part = |part: Part, estimated: Interval| {
            if extent.covers(part) {
                narrowed(estimated, laid.map(|parts| parts[part as usize]))
            } else {
                estimated
            }
        };
        let Self { weights, kv_cache, state, activations, overhead, .. } = self;
        let narrowed = finish(
            part(Part::Weights, weights),
            part(Part::KvCache, kv_cache),
            part(Part::State, state),
            part(Part::Activations, activations),
            part(Part::Overhead, overhead),
        )?;
        let total = match extent {
            Extent::Run => seen,
            Extent::Load => Interval { formula: format!("sum of parts, {how}").into(), ..narrowed.total },
        };
        Ok(Self { total, ..narrowed })
    }

    /// `total` laid into the parts that `extent` covers. Every part grows with `total` or stays, so that three totals in
    /// order give three figures in order.
    fn lay(&self, total: Bytes, extent: Extent) -> [Bytes; 5] {
        let parts = self.parts();
        let mut laid = [Bytes::ZERO; 5];
        let mut left = total;
        for (part, bound) in ORDER.into_iter().filter(|(part, _)| extent.covers(*part)) {
            let here = part as usize;
            let more = bound(parts[here].1).saturating_sub(laid[here]).min(left);
            laid[here] = laid[here].saturating_add(more);
            left = left.saturating_sub(more);
        }
        let overhead = Part::Overhead as usize;
        laid[overhead] = laid[overhead].saturating_add(left);
        laid
    }
}

/// `estimated` with the figures that the measured total leaves it.
fn narrowed(estimated: Interval, [lo, best, hi]: [Bytes; 3]) -> Interval {
    if (lo, best, hi) == (estimated.lo, estimated.best, estimated.hi) {
        return estimated;
    }
    let remark = if lo < estimated.lo {
        "less was seen: not all of it was touched, or the process held it before"
    } else if hi > estimated.hi {
        "more was seen: what no other part accounts for"
    } else {
        "narrowed to the measured total"
    };
    let formula = format!("{}; {remark}", estimated.formula);
    Interval::new(lo, best, hi, Origin::Measured, formula)
}

/// How a measured total differs from the estimate: what a changed workload's estimate is corrected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Correction {
    estimated: Interval,
    measured: Interval,
}

impl Correction {
    pub(super) const fn new(estimated: Interval, measured: Interval) -> Self {
        Self { estimated, measured }
    }

    /// What `changed`, an estimate after a change, becomes: the measured total less what the change saves, which lies
    /// between the least and the most that it saves by the three figures of the estimates. Nothing goes below the least of
    /// `changed`, except by as much as the measurement stayed below the least of the estimate.
    pub(super) fn apply(&self, changed: &Interval) -> Interval {
        let saved = |figure: Figure| {
            i128::from(figure(&self.estimated).get()).saturating_sub(i128::from(figure(changed).get()))
        };
        let [lo, best, hi] = [saved(|it| it.lo), saved(|it| it.best), saved(|it| it.hi)];
        let (least, most) = (lo.min(best).min(hi), lo.max(best).max(hi));
        let unseen = self.estimated.lo.saturating_sub(self.measured.lo);
        let floor = changed.lo.saturating_sub(unseen);
        let less = |measured: Bytes, saving: i128| floor.max(reduced(measured, saving));
        Interval::new(
            less(self.measured.lo, most),
            less(self.measured.best, best),
            less(self.measured.hi, least),
            Origin::Measured.max(changed.origin),
            format!("{}, less what the change saves", self.measured.formula),
        )
    }
}

/// `bytes` less `saving`, which may be negative; between 0 and 2^64 − 1.
fn reduced(bytes: Bytes, saving: i128) -> Bytes {
    let left = i128::from(bytes.get()).saturating_sub(saving).max(0);
    Bytes::new(u64::try_from(left).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
