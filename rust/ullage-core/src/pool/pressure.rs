//! Pressure: from what the machine says of its memory to how much the pool has to give back.
//!
//! The ledger knows what the pool booked. It does not know of neighbours that grow, of models that take more than they
//! said, of a limit that an operator lowers. A [`Gauge`] watches one memory domain for that: it takes [`Reading`]s and
//! answers with a [`Verdict`]. Like everything here it does no I/O and reads no clock.
//!
//! ```text
//!   used / limit
//!     1.00 ┤
//!     0.95 ┤─ hard ───────────────  loads are refused, hits are served; memory is shed
//!     0.90 ┤─ soft ───────────────  memory is shed down to the goal
//!     0.85 ┤─ goal = soft - slack ─ a level that was reached is left a slack below where it was reached
//! ```
//!
//! What was asked for is not asked for twice: until `patience` has passed, bytes that are on their way count as given
//! back, and only what others took since comes on top. A domain whose work stalls for want of memory (PSI) is at the
//! soft level whatever its figures say, and gives one slack back each `patience`.

use std::time::Duration;

use super::event::Level;
use crate::error::{Error, Result};
use crate::units::{Bytes, Time};

/// Where the levels begin and end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watermarks {
    /// The share of the limit where the soft level begins.
    pub soft: f64,
    /// The share of the limit where the hard level begins.
    pub hard: f64,
    /// How far below its mark a level ends, as a share of the limit.
    pub slack: f64,
    /// The percentage of the latest ten seconds in which some task waited for memory, where the soft level begins; it
    /// ends at a quarter of that.
    pub stall: f64,
    /// How long bytes that were asked for may be on their way.
    pub patience: Duration,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self { soft: 0.90, hard: 0.95, slack: 0.05, stall: 20.0, patience: Duration::from_secs(2) }
    }
}

impl Watermarks {
    /// These marks with others for the levels.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `0 < soft <= hard <= 1`.
    pub fn at(self, soft: f64, hard: f64) -> Result<Self> {
        if !(soft > 0.0 && soft <= hard && hard <= 1.0) {
            let reason = format!("{soft} and {hard} are not two shares of a limit, the lower first");
            return Err(Error::Argument { name: "watermarks", reason });
        }
        Ok(Self { soft, hard, slack: self.slack.min(soft / 2.0), ..self })
    }
}

/// What the machine says of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// What may be used in all.
    pub limit: Bytes,
    /// What is used, by whomever.
    pub used: Bytes,
    /// The percentage of the latest ten seconds in which some task waited for memory, where that is known.
    pub stalled: Option<f64>,
    /// What the ledger would still give out, were it not for [`Verdict::taken`]; `None` without a limit there.
    pub offered: Option<Bytes>,
    /// What is booked for loads under way, and so may not be used yet.
    pub coming: Bytes,
}

/// What a reading means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The level now.
    pub level: Level,
    /// What is to be given back beyond what was asked for before.
    pub shed: Bytes,
    /// What the ledger offers and the machine does not have: others have taken it. Meant to be booked for them.
    pub taken: Bytes,
}

/// Watches one memory domain. See the [module](self).
#[derive(Clone, Debug)]
pub struct Gauge {
    marks: Watermarks,
    level: Level,
    is_stalled: bool,
    asked: Option<Asked>,
}

/// Bytes that were asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    bytes: Bytes,
    /// What was used when they were asked for.
    used: Bytes,
    until: Time,
}

impl Asked {
    /// How many of them are still to come, `used` bytes being used now.
    fn pending(self, used: Bytes, now: Time) -> Bytes {
        if now >= self.until {
            return Bytes::ZERO;
        }
        self.bytes.saturating_sub(self.used.saturating_sub(used))
    }
}

impl Gauge {
    /// A gauge that has seen nothing yet.
    #[must_use]
    pub const fn new(marks: Watermarks) -> Self {
        Self { marks, level: Level::None, is_stalled: false, asked: None }
    }

    /// The level after the latest reading.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Takes a reading at `now`. A limit of zero says nothing: the gauge is then at rest.
    pub fn read(&mut self, now: Time, reading: Reading) -> Verdict {
        if reading.limit.is_zero() {
            (self.level, self.asked, self.is_stalled) = (Level::None, None, false);
            return Verdict::default();
        }
        let mark = |share: f64| part(reading.limit, share);
        let Watermarks { soft, hard, slack, stall, patience } = self.marks;
        let is_at = |level: Level, share: f64, used: Bytes| {
            used >= mark(share) || (self.level >= level && used >= mark(share).saturating_sub(mark(slack)))
        };
        let by_use = if is_at(Level::Hard, hard, reading.used) {
            Level::Hard
        } else if is_at(Level::Soft, soft, reading.used) {
            Level::Soft
        } else {
            Level::None
        };
        let stalled = reading.stalled.unwrap_or(0.0);
        self.is_stalled = stalled >= stall || (self.is_stalled && stalled >= stall / 4.0);
        self.level = if self.is_stalled { by_use.max(Level::Soft) } else { by_use };
        let over = match by_use {
            Level::None if self.is_stalled => mark(slack),
            Level::None => Bytes::ZERO,
            Level::Soft | Level::Hard => reading.used.saturating_sub(mark(soft).saturating_sub(mark(slack))),
        };
        let shed = self.ask(now, reading.used, over, patience);
        Verdict { level: self.level, shed, taken: taken(reading, mark(hard)) }
    }

    /// Asks for what of `over` is not on its way.
    fn ask(&mut self, now: Time, used: Bytes, over: Bytes, patience: Duration) -> Bytes {
        let pending = self.asked.map_or(Bytes::ZERO, |asked| asked.pending(used, now));
        if pending.is_zero() {
            self.asked = None;
        }
        let shed = over.saturating_sub(pending);
        if !shed.is_zero() {
            let until = now.saturating_add(patience);
            self.asked = Some(Asked { bytes: pending.saturating_add(shed), used, until });
        }
        shed
    }
}

/// What the ledger offers beyond what is left below the hard mark, in steps of a 128th of the limit: the books need not
/// follow every page.
fn taken(reading: Reading, hard: Bytes) -> Bytes {
    let Some(offered) = reading.offered else { return Bytes::ZERO };
    let left = hard.saturating_sub(reading.used).saturating_sub(reading.coming);
    let step = reading.limit.get().div_ceil(128).max(1);
    let missing = offered.saturating_sub(left).get();
    Bytes::new(missing.div_ceil(step).saturating_mul(step)).min(offered)
}

/// `share` of `bytes`; shares lie between 0 and 1.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mark, not a count: the nearest float will do, and none is negative or above the limit"
)]
fn part(bytes: Bytes, share: f64) -> Bytes {
    Bytes::new((bytes.get() as f64 * share.clamp(0.0, 1.0)) as u64)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gauge() -> Gauge {
        Gauge::new(Watermarks::default())
    }

    fn used(used: u64) -> Reading {
        Reading { limit: Bytes::new(1000), used: Bytes::new(used), ..Reading::default() }
    }

    fn at(seconds: f64) -> Time {
        Time::from_secs_f64(seconds).unwrap()
    }

    fn verdict(gauge: &mut Gauge, seconds: f64, reading: Reading) -> (&'static str, u64) {
        let Verdict { level, shed, .. } = gauge.read(at(seconds), reading);
        (level.name(), shed.get())
    }

    #[test]
    fn a_level_is_left_a_slack_below_where_it_was_reached() {
        let mut gauge = gauge();
        let seen = [899, 900, 899, 851, 950, 949, 900, 899, 850, 849, 899];
        let levels = seen.map(|bytes| gauge.read(Time::ZERO, used(bytes)).level.name());
        let (none, soft, hard) = ("none", "soft", "hard");
        assert_eq!(levels, [none, soft, soft, soft, hard, hard, hard, soft, soft, none, none]);
    }

    #[test]
    fn nothing_is_asked_for_twice() {
        let mut gauge = gauge();
        assert_eq!(verdict(&mut gauge, 0.0, used(930)), ("soft", 80));
        assert_eq!(verdict(&mut gauge, 0.2, used(930)), ("soft", 0), "it is on its way");
        assert_eq!(verdict(&mut gauge, 0.4, used(900)), ("soft", 0), "some of it came");
        assert_eq!(verdict(&mut gauge, 0.6, used(950)), ("hard", 20), "a neighbour grew");
        assert_eq!(verdict(&mut gauge, 2.7, used(940)), ("hard", 90), "nothing comes: asked again");
        assert_eq!(verdict(&mut gauge, 2.8, used(849)), ("none", 0));
    }

    #[test]
    fn stalls_ask_for_one_slack_at_a_time() {
        let mut gauge = gauge();
        let stalled = |percent| Reading { stalled: Some(percent), ..used(500) };
        assert_eq!(verdict(&mut gauge, 0.0, stalled(19.9)), ("none", 0));
        assert_eq!(verdict(&mut gauge, 0.1, stalled(20.0)), ("soft", 50));
        assert_eq!(verdict(&mut gauge, 0.2, stalled(6.0)), ("soft", 0));
        assert_eq!(verdict(&mut gauge, 2.2, stalled(6.0)), ("soft", 50));
        assert_eq!(verdict(&mut gauge, 2.3, stalled(4.9)), ("none", 0));
    }

    #[test]
    fn what_others_took_is_not_offered() {
        let mut gauge = gauge();
        let reading = |used_now, offered, coming| Reading {
            offered: Some(Bytes::new(offered)),
            coming: Bytes::new(coming),
            ..used(used_now)
        };
        let mut taken = |reading| gauge.read(Time::ZERO, reading).taken.get();
        assert_eq!(taken(reading(200, 700, 0)), 0);
        assert_eq!(taken(reading(600, 700, 0)), 352, "350 are left of 700, in steps of 8");
        assert_eq!(taken(reading(600, 700, 300)), 656);
        assert_eq!(taken(reading(990, 700, 0)), 700, "no more than there is");
        assert_eq!(taken(used(990)), 0, "a ledger without a limit offers nothing in particular");
    }

    #[test]
    fn marks_are_shares_in_order() {
        let marks = Watermarks::default();
        for (soft, hard) in [(0.0, 0.5), (0.9, 0.8), (0.5, 1.1), (f64::NAN, 0.9), (0.5, f64::NAN)] {
            assert!(marks.at(soft, hard).is_err(), "{soft} {hard}");
        }
        assert!(marks.at(0.04, 1.0).unwrap().slack < 0.03);
    }

    #[test]
    fn a_limit_of_nothing_says_nothing() {
        let mut gauge = gauge();
        gauge.read(Time::ZERO, used(990));
        assert_eq!(gauge.read(Time::ZERO, Reading::default()), Verdict::default());
    }

    proptest! {
        /// Whatever a neighbour does: what is asked for brings the use down to the goal if it is given, never below it,
        /// and a gauge that saw less than the goal is at rest.
        #[test]
        fn shedding_ends_at_the_goal(moves in prop::collection::vec((0_u64..=1000, any::<bool>()), 1..80)) {
            let mut gauge = gauge();
            let (mut now, mut own) = (0.0, 500_u64);
            for (others, gives) in moves {
                let all = own.saturating_add(others).min(1200);
                let found = gauge.read(at(now), used(all));
                now += 0.25;
                prop_assert!(found.shed.get() <= all.saturating_sub(850));
                if all < 850 {
                    prop_assert_eq!(found.level, Level::None);
                }
                if all >= 950 {
                    prop_assert_eq!(found.level, Level::Hard);
                }
                if gives {
                    own = own.saturating_sub(found.shed.get());
                }
            }
        }

        /// A domain that stays over its mark is asked again for all of it, however little it gave.
        #[test]
        fn what_does_not_come_is_asked_for_again(over in 900_u64..=1000, waits in 9_u32..40) {
            let mut gauge = gauge();
            let mut asked = 0_u64;
            for step in 0..waits {
                asked += gauge.read(at(f64::from(step) * 0.25), used(over)).shed.get();
            }
            let times = u64::from(waits.div_ceil(8));
            prop_assert_eq!(asked, (over - 850) * times);
        }

        /// Numbers of any size are read.
        #[test]
        fn no_reading_is_too_odd(
            rows in prop::collection::vec((any::<u64>(), any::<u64>(), any::<f64>(), any::<u64>(), any::<u64>()), 1..50),
        ) {
            let mut gauge = gauge();
            for (limit, used, stalled, offered, coming) in rows {
                let reading = Reading {
                    limit: Bytes::new(limit),
                    used: Bytes::new(used),
                    stalled: Some(stalled),
                    offered: Some(Bytes::new(offered)),
                    coming: Bytes::new(coming),
                };
                let found = gauge.read(Time::ZERO, reading);
                prop_assert!(found.shed <= reading.used.max(reading.limit));
                prop_assert!(found.taken.get() <= offered);
            }
        }
    }
}
