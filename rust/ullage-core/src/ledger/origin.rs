//! Where reservations were made: asked for as often as it costs next to nothing, kept once each.

use std::collections::HashMap;

use crate::sync::Arc;

/// Distinct origins a ledger keeps; later ones are not told apart.
const ORIGINS_MOST: usize = 65_536;

/// Sampled origins are asked for this often at most, on average; a look at the interpreter's frames costs about 1 µs,
/// so that this is 1 % of one core at worst.
const INTERVAL_NS: u64 = 100_000;

/// Origins that may be asked for in a burst after a quiet time.
const BURST: u64 = 10_000;

/// Which reservations are asked where they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginPolicy {
    /// None.
    Off,
    /// All, as long as they are fewer than some 10,000 a second, else some.
    Sampled,
    /// All.
    All,
}

/// A line of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// File, as the program names it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Function.
    pub function: Arc<str>,
}

/// Where a reservation was made, innermost frame first.
pub type Origin = Arc<[Frame]>;

#[derive(Debug)]
pub(super) struct Origins {
    policy: OriginPolicy,
    known: HashMap<Origin, u32>,
    list: Vec<Origin>,
    /// Theoretical arrival time of the next sample (the generic cell rate algorithm of ITU-T I.371).
    due: u64,
}

impl Origins {
    pub(super) fn new(policy: OriginPolicy) -> Self {
        Self { policy, known: HashMap::new(), list: Vec::new(), due: 0 }
    }

    /// Whether a reservation made at `now` is asked where it was made.
    #[inline]
    pub(super) fn wants(&mut self, now: u64) -> bool {
        match self.policy {
            OriginPolicy::Off => false,
            OriginPolicy::All => true,
            OriginPolicy::Sampled => {
                let due = self.due.max(now);
                let is_wanted = due.saturating_sub(now) <= INTERVAL_NS.saturating_mul(BURST);
                if is_wanted {
                    self.due = due.saturating_add(INTERVAL_NS);
                }
                is_wanted
            }
        }
    }

    /// Number of an origin, from 1; 0 once there are too many.
    pub(super) fn intern(&mut self, origin: Origin) -> u32 {
        if let Some(&known) = self.known.get(&origin) {
            return known;
        }
        if self.list.len() >= ORIGINS_MOST {
            return 0;
        }
        self.list.push(origin.clone());
        let number = u32::try_from(self.list.len()).unwrap_or(0);
        self.known.insert(origin, number);
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&Origin> {
        self.list.get((number as usize).checked_sub(1)?)
    }
}
