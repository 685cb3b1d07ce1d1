//! [`Label`]: a choice for the first layers, by all that matters to those that follow.

use super::table::Row;

/// The most layers whose scratch matters: the deepest prefetch and one.
pub(super) const RING: usize = 4;

/// What the first layers come to. Of two labels, one that is no worse in any field can stand for the other whatever
/// follows: later ends only come of later beginnings, and nothing takes less room beside more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    /// When storage link, decompressor and compute are done with them; seconds that only sharing of the bus could add
    /// are left out.
    pub(super) ends: [f64; 3],
    /// Seconds that the bus was busy.
    pub(super) bus: f64,
    /// Power of their errors.
    pub(super) noise: f64,
    /// Bytes that stay.
    pub(super) kept: u64,
    /// Bytes before the first pass.
    pub(super) load: u64,
    /// The most scratch at a time so far, if it lies as close as can be.
    pub(super) scratch: u64,
    /// Of the last layers with scratch, the last first: when they are multiplied,
    freed: [f64; RING],
    /// how many bytes they have,
    sizes: [u64; RING],
    /// and how many layers ahead they are filled.
    depths: [u8; RING],
    /// The label of one layer less that it comes from.
    pub(super) from: u32,
    /// The place of the choice for the last layer.
    pub(super) row: u32,
}

impl Label {
    pub(super) const START: Self = Self {
        ends: [0.0; 3],
        bus: 0.0,
        noise: 0.0,
        kept: 0,
        load: 0,
        scratch: 0,
        freed: [0.0; RING],
        sizes: [0; RING],
        depths: [0; RING],
        from: 0,
        row: 0,
    };

    /// This with one layer more. Without overlap, when a buffer is free is never waited for and need not be known.
    pub(super) fn then(&self, row: &Row, is_overlapped: bool) -> Self {
        let mut next = *self;
        next.bus += row.bus;
        next.noise += row.noise;
        next.kept = next.kept.saturating_add(row.kept);
        next.load = next.load.saturating_add(row.load);
        let mut ready = row.scratch.map_or(0.0, |_| self.freed[row.depth.min(RING - 1)]);
        for (end, &seconds) in next.ends.iter_mut().zip(&row.tasks).take(2) {
            if seconds > 0.0 {
                ready = end.max(ready) + seconds;
                *end = ready;
            }
        }
        next.ends[2] = next.ends[2].max(ready) + row.tasks[2];
        if let Some(bytes) = row.scratch {
            next.fill(bytes, row.depth, is_overlapped);
        }
        next
    }

    /// Takes a buffer into the last ones.
    fn fill(&mut self, bytes: u64, depth: usize, is_overlapped: bool) {
        self.sizes.rotate_right(1);
        self.depths.rotate_right(1);
        self.freed.rotate_right(1);
        self.sizes[0] = bytes;
        self.depths[0] = u8::try_from(depth).unwrap_or(u8::MAX);
        self.freed[0] = if is_overlapped { self.ends[2] } else { 0.0 };
        // While the one `back` buffers ago is multiplied, those after it that are filled so far ahead lie beside it.
        for back in 0..=depth.min(RING - 1) {
            let beside =
                (0..=back).filter(|&place| usize::from(self.depths[place]).saturating_add(place) >= back);
            let together = beside.fold(0, |sum: u64, place| sum.saturating_add(self.sizes[place]));
            self.scratch = self.scratch.max(together);
        }
    }

    /// What is no worse than this and `other` in anything; it comes from where this does.
    pub(super) fn or(&self, other: &Self) -> Self {
        let least = |a: &[f64], b: &[f64], place: usize| a[place].min(b[place]);
        Self {
            ends: std::array::from_fn(|kind| least(&self.ends, &other.ends, kind)),
            bus: self.bus.min(other.bus),
            noise: self.noise.min(other.noise),
            kept: self.kept.min(other.kept),
            load: self.load.min(other.load),
            scratch: self.scratch.min(other.scratch),
            freed: std::array::from_fn(|place| least(&self.freed, &other.freed, place)),
            sizes: std::array::from_fn(|place| self.sizes[place].min(other.sizes[place])),
            depths: std::array::from_fn(|place| self.depths[place].min(other.depths[place])),
            ..*self
        }
    }

    /// Forgets buffers that no later one lies beside or waits for.
    pub(super) fn forget(&mut self, deepest: usize) {
        for place in deepest..RING {
            (self.sizes[place], self.depths[place]) = (0, 0);
        }
        for place in deepest.saturating_add(1)..RING {
            self.freed[place] = 0.0;
        }
    }

    /// Bytes at any time at least.
    pub(super) fn peak(&self) -> u64 {
        self.kept.saturating_add(self.scratch).max(self.load)
    }

    /// Seconds at least.
    pub(super) fn seconds(&self) -> f64 {
        self.ends[2].max(self.bus)
    }

    /// Whether this is no worse than `other` in anything.
    pub(super) fn is_as_good(&self, other: &Self) -> bool {
        self.kept <= other.kept
            && self.load <= other.load
            && self.scratch <= other.scratch
            && self.ends[2] <= other.ends[2]
            && self.bus <= other.bus
            && self.noise <= other.noise
            && self.ends[0] <= other.ends[0]
            && self.ends[1] <= other.ends[1]
            && (0..RING).all(|place| {
                self.freed[place] <= other.freed[place]
                    && self.sizes[place] <= other.sizes[place]
                    && self.depths[place] <= other.depths[place]
            })
    }
}
