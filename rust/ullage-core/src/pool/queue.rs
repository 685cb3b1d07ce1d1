//! Those who wait: a queue for each model, and an order over all.
//!
//! A request's *rank* is the time at which it came, less one `age_step` for each step of its priority: among equals the
//! older goes first, and whoever has waited a step longer stands where a priority one higher would have put them. Ranks
//! do not change with time, so nothing is ever sorted anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::time::Duration;

use super::event::{ModelId, RequestId};
use crate::units::{Bytes, Time};

/// Rank in nanoseconds, then the number of the request: who goes first.
pub(super) type Key = (i128, u64);

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestId,
    pub(super) model: ModelId,
    pub(super) since: Time,
    pub(super) deadline: Option<Time>,
    /// Bytes of workspace, if other than registered.
    pub(super) workspace: Option<Bytes>,
    key: Key,
}

/// The queues of all models.
#[derive(Debug, Default)]
pub(super) struct Queue {
    by_model: Vec<BTreeMap<Key, Waiting>>,
    /// The first of each queue.
    heads: BTreeSet<(Key, ModelId)>,
    requests: HashMap<RequestId, (ModelId, Key), BuildHasherDefault<NumberHasher>>,
    deadlines: BTreeSet<(Time, RequestId)>,
    /// Counts the requests that came.
    arrivals: u64,
}

impl Queue {
    pub(super) fn add_model(&mut self) {
        self.by_model.push(BTreeMap::new());
    }

    /// A request that comes now.
    pub(super) fn arrival(
        &mut self,
        (request, model): (RequestId, ModelId),
        (since, deadline): (Time, Option<Time>),
        (priority, age_step): (i32, Duration),
        workspace: Option<Bytes>,
    ) -> Waiting {
        self.arrivals = self.arrivals.saturating_add(1);
        let ahead = i128::from(priority)
            .saturating_mul(i128::try_from(age_step.as_nanos()).unwrap_or(i128::from(u64::MAX)));
        let key = (i128::from(since.as_nanos()).saturating_sub(ahead), self.arrivals);
        Waiting { request, model, since, deadline, workspace, key }
    }

    /// Puts a request into its model's queue; true if it is the first there.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        let Waiting { request, model, deadline, key, .. } = waiting;
        self.requests.insert(request, (model, key));
        self.deadlines.extend(deadline.map(|deadline| (deadline, request)));
        let queue = &mut self.by_model[model.0];
        let before = queue.first_key_value().map(|(&key, _)| key);
        queue.insert(key, waiting);
        let is_first = before.is_none_or(|before| key < before);
        if is_first {
            self.heads.extend([(key, model)]);
            if let Some(before) = before {
                self.heads.remove(&(before, model));
            }
        }
        is_first
    }

    /// Takes a request out, if it waits.
    pub(super) fn remove(&mut self, request: RequestId) -> Option<Waiting> {
        let (model, key) = self.requests.remove(&request)?;
        let queue = &mut self.by_model[model.0];
        let waiting = queue.remove(&key)?;
        if self.heads.remove(&(key, model)) {
            self.heads.extend(queue.first_key_value().map(|(&next, _)| (next, model)));
        }
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, request));
        }
        Some(waiting)
    }

    /// Takes out all who wait for `model`, the first first.
    pub(super) fn remove_all_of(&mut self, model: ModelId) -> Vec<Waiting> {
        let requests: Vec<RequestId> =
            self.by_model[model.0].values().map(|waiting| waiting.request).collect();
        requests.into_iter().filter_map(|request| self.remove(request)).collect()
    }

    /// Takes out everybody, the first first.
    pub(super) fn remove_all(&mut self) -> Vec<Waiting> {
        let mut all: Vec<Waiting> =
            self.by_model.iter_mut().flat_map(std::mem::take).map(|(_, w)| w).collect();
        all.sort_unstable_by_key(|waiting| waiting.key);
        self.heads.clear();
        self.requests.clear();
        self.deadlines.clear();
        all
    }

    /// Takes out one whose deadline is not after `now`.
    pub(super) fn pop_late(&mut self, now: Time) -> Option<Waiting> {
        let &(deadline, request) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.remove(request)
    }

    /// The first to give up.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// The model whose first request comes next after `key` in the order over all.
    pub(super) fn next_head(&self, after: Option<(Key, ModelId)>) -> Option<(Key, ModelId)> {
        match after {
            None => self.heads.first().copied(),
            Some(key) => self.heads.range((Bound::Excluded(key), Bound::Unbounded)).next().copied(),
        }
    }

    /// Who is first for `model`.
    pub(super) fn head(&self, model: ModelId) -> Option<&Waiting> {
        self.by_model[model.0].first_key_value().map(|(_, waiting)| waiting)
    }

    pub(super) fn contains(&self, request: RequestId) -> bool {
        self.requests.contains_key(&request)
    }

    pub(super) fn is_awaited(&self, model: ModelId) -> bool {
        !self.by_model[model.0].is_empty()
    }

    /// How many wait for `model`.
    pub(super) fn len_of(&self, model: ModelId) -> usize {
        self.by_model[model.0].len()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// Spreads numbers that count up over a table: one multiplication. Who chooses the numbers of requests is the body of
/// the pool, not its users.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio in 64 bits; the table looks at both ends of the product.
        let product = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_nanos(10);

    fn arrive(queue: &mut Queue, number: u64, model: usize, at: u64, priority: i32) -> bool {
        let times = (Time::from_nanos(at), Some(Time::from_nanos(at + 100)));
        let waiting = queue.arrival((RequestId(number), ModelId(model)), times, (priority, STEP), None);
        queue.push(waiting)
    }

    fn order(queue: &Queue) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = None;
        while let Some(next) = queue.next_head(at) {
            found.push(next.1.index());
            at = Some(next);
        }
        found
    }

    #[test]
    fn the_older_goes_first_and_a_step_of_priority_is_worth_a_step_of_age() {
        let mut queue = Queue::default();
        (0..3).for_each(|_| queue.add_model());
        assert!(arrive(&mut queue, 1, 0, 5, 0));
        assert!(arrive(&mut queue, 2, 1, 14, 1), "nine younger, ten ahead");
        assert!(arrive(&mut queue, 3, 2, 16, 1), "eleven younger, ten ahead");
        assert_eq!(order(&queue), [1, 0, 2]);
        assert!(!arrive(&mut queue, 4, 0, 17, 0));
        assert!(arrive(&mut queue, 5, 0, 18, 9), "the new first of its model");
        assert_eq!(order(&queue), [0, 1, 2]);
        assert_eq!(queue.remove(RequestId(5)).unwrap().request, RequestId(5));
        assert!(queue.remove(RequestId(5)).is_none());
        assert_eq!((order(&queue), queue.len_of(ModelId(0))), (vec![1, 0, 2], 2));
        assert_eq!(queue.pop_late(Time::from_nanos(105)).unwrap().request, RequestId(1));
        assert!(queue.pop_late(Time::from_nanos(105)).is_none());
        assert_eq!(queue.next_deadline(), Some(Time::from_nanos(114)));
        let all: Vec<u64> = queue.remove_all().into_iter().map(|waiting| waiting.request.0).collect();
        assert_eq!((all, queue.len(), order(&queue)), (vec![2, 3, 4], 0, vec![]));
        assert_eq!(queue.next_deadline(), None);
    }
}
