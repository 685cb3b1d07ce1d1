//! The gaps of all models on two clocks, and what waiting for a model's next use is worth by both of them.

use std::cell::Cell;

use super::gaps::Gaps;

/// The index of a model as it was last worked out, and until when on either clock it stays that, unless the model is asked
/// for meanwhile: two ghosts and the pool ask for the same, again and again.
#[derive(Clone, Copy, Debug)]
struct Index {
    known: f64,
    until_s: f64,
    until_requests: f64,
}

impl Index {
    const UNKNOWN: Self = Self { known: 0.0, until_s: f64::NEG_INFINITY, until_requests: f64::NEG_INFINITY };
}

/// Gaps in seconds, on which timers tick, and in requests of the whole pool, on which nights and rushes do not show.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    by_time: Gaps,
    by_request: Gaps,
    /// Requests so far: the second clock.
    requests: f64,
    indices: Vec<Cell<Index>>,
}

impl Clocks {
    pub(super) fn add(&mut self) {
        self.by_time.add();
        self.by_request.add();
        self.indices.push(Cell::new(Index::UNKNOWN));
    }

    /// `model` is asked for.
    pub(super) fn request(&mut self, model: usize, now_s: f64) {
        self.requests += 1.0;
        let is_refreshed =
            [self.by_time.request(model, now_s), self.by_request.request(model, self.requests)];
        if is_refreshed.contains(&true) {
            self.indices.fill(Cell::new(Index::UNKNOWN));
        }
        self.indices[model].set(Index::UNKNOWN);
    }

    /// Works out now what somebody may soon ask for, after a request for `model`.
    pub(super) fn prepare(&mut self, model: usize) {
        self.by_time.prepare(model);
        self.by_request.prepare(model);
    }

    /// What waiting for the next request of `model` is worth: the geometric mean of both clocks.
    #[inline]
    pub(super) fn index(&self, model: usize, now_s: f64) -> f64 {
        let kept = self.indices[model].get();
        if now_s < kept.until_s && self.requests < kept.until_requests {
            #[cfg(test)]
            assert_eq!(
                kept.known.to_bits(),
                self.work_out(model, now_s).known.to_bits(),
                "it stays until then"
            );
            return kept.known;
        }
        let index = self.work_out(model, now_s);
        self.indices[model].set(index);
        index.known
    }

    #[cold]
    fn work_out(&self, model: usize, now_s: f64) -> Index {
        let (by_time, until_s) = self.by_time.root_index(model, now_s);
        let (by_request, until_requests) = self.by_request.root_index(model, self.requests);
        Index { known: by_time * by_request, until_s, until_requests }
    }
}
