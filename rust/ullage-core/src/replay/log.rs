//! What happened in a replay, in order.

use std::fmt::Write as _;

use crate::units::Time;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A request found its model resident, or came to have it; its number in the trace.
    Grant(usize),
    /// A request was refused; its number in the trace.
    Refuse(usize),
    /// A load began; the model's number.
    Load(usize),
    /// A model was sent away; its number.
    Evict(usize),
}

/// What happened in a replay, in order. The same trace under the same conditions gives the same log, bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log(pub Vec<(Time, Move)>);

impl Log {
    pub(super) fn note(log: &mut Option<&mut Self>, at: Time, what: Move) {
        if let Some(log) = log {
            log.0.push((at, what));
        }
    }

    /// A line for each: nanoseconds, what happened, and the number it happened to.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut text = String::from("time_ns,event,number\n");
        for (at, what) in &self.0 {
            let (name, number) = match what {
                Move::Grant(number) => ("grant", number),
                Move::Refuse(number) => ("refuse", number),
                Move::Load(number) => ("load", number),
                Move::Evict(number) => ("evict", number),
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{},{name},{number}", at.as_nanos());
        }
        text
    }
}
