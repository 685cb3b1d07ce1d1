//! A decoder of one family, and what every kind of its layers shares.

use super::families::{Bias, Family, Feed};
use super::plan::Plan;
use crate::model::settings::Settings;

/// One family as one file sets it up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder<'a> {
    pub(super) text: Settings<'a>,
    /// The family's name: its row may serve several.
    pub(super) name: &'a str,
    pub(super) family: &'static Family,
    pub(super) hidden: u64,
}

impl Decoder<'_> {
    /// A dense feed-forward part of `width`, at the plan's place.
    pub(super) fn add_feed(self, plan: &mut Plan, width: u64) {
        let bias = self.has(self.family.feed_bias);
        match self.family.feed {
            Feed::Gated(gate, up, down) => {
                plan.linear(gate, width, self.hidden, bias);
                plan.linear(up, width, self.hidden, bias);
                plan.linear(down, self.hidden, width, bias);
            }
            Feed::Fused(both, down) => {
                plan.linear(both, width.saturating_mul(2), self.hidden, bias);
                plan.linear(down, self.hidden, width, bias);
            }
            Feed::Plain(up, down) => {
                plan.linear(up, width, self.hidden, bias);
                plan.linear(down, self.hidden, width, bias);
            }
        }
    }

    pub(super) fn has(self, bias: Bias) -> bool {
        match bias {
            Bias::Never => false,
            Bias::Always => true,
            Bias::Key(key, default) => self.text.flag(key).unwrap_or(default),
        }
    }
}
