//! What some rules do beside choosing victims.

use std::time::Duration;

use crate::units::Bytes;

/// What a rule does beside choosing victims.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// The most models resident at once, however small.
    pub most_models: Option<usize>,
    /// Idle models go after so long, though nobody needs their memory.
    pub idle_for: Option<Duration>,
    /// While more than this share of the limit is booked, idle models go, the least worth first.
    pub fill: f64,
    /// A load beside others asks that its size be at most this share of what is free ...
    pub share_of_free: f64,
    /// ... beside so many bytes.
    pub margin: Bytes,
}

impl Habits {
    /// No habit: a model stays until its memory is needed.
    pub const NONE: Self =
        Self { most_models: None, idle_for: None, fill: 1.0, share_of_free: 1.0, margin: Bytes::ZERO };

    /// What a load of `needed` bytes beside other models asks to be free; at most `limit`, so that it can be had.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to an integer saturates; both factors are positive"
    )]
    pub fn asks(&self, needed: Bytes, limit: Bytes) -> Bytes {
        if self.share_of_free >= 1.0 && self.margin.is_zero() {
            return needed;
        }
        let share = Bytes::new((super::count(needed) / self.share_of_free).ceil() as u64);
        share.saturating_add(self.margin).max(needed).min(limit.max(needed))
    }
}
