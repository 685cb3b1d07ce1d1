//! [`Strategy`]: how to pack, by name.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::error::Error;
use crate::pack::heuristics::Rule;
use crate::solving::strategy_named;

/// How to pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// First and best fit decreasing; where a gap is left the other bounds and the local search, for at most
    /// [`Strategy::PRICED_ITEMS`] items branch and price, and for at most [`Strategy::SEARCHED_ITEMS`] the other exact
    /// searches.
    #[default]
    Auto,
    /// In the order given, into the bin opened last.
    NextFit,
    /// In the order given, into the bin opened first.
    FirstFit,
    /// In the order given, into the bin with the least room.
    BestFit,
    /// In the order given, into the bin with the most room.
    WorstFit,
    /// In the order given, best fit among so many open bins; the fullest is closed to open another.
    BestKFit(NonZeroU32),
    /// Next fit on decreasing sizes.
    NextFitDecreasing,
    /// First fit on decreasing sizes.
    FirstFitDecreasing,
    /// Best fit on decreasing sizes.
    BestFitDecreasing,
    /// Worst fit on decreasing sizes.
    WorstFitDecreasing,
    /// Bin by bin, each as full as it can be: MBS of Gupta and Ho.
    MinimumBinSlack,
    /// The same, with the largest item left in each bin: MBS' of Fleszar and Hindi.
    MinimumBinSlackSeeded,
    /// MBS', then again and again on the items of a few bins, drawn at random.
    PerturbedBinSlack,
    /// The best of first and best fit decreasing and MBS', then a search among neighbours with fewer bins.
    LocalSearch,
    /// As [`Strategy::Auto`], with the exact search however many items there are.
    Exact,
}

impl Strategy {
    /// The open bins of `best_k_fit` without a number.
    pub const OPEN_BINS: NonZeroU32 = NonZeroU32::new(10).unwrap();

    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Auto,
        Self::NextFit,
        Self::FirstFit,
        Self::BestFit,
        Self::WorstFit,
        Self::BestKFit(Self::OPEN_BINS),
        Self::NextFitDecreasing,
        Self::FirstFitDecreasing,
        Self::BestFitDecreasing,
        Self::WorstFitDecreasing,
        Self::MinimumBinSlack,
        Self::MinimumBinSlackSeeded,
        Self::PerturbedBinSlack,
        Self::LocalSearch,
        Self::Exact,
    ];

    /// The most items for which [`Strategy::Auto`] searches exhaustively.
    pub const SEARCHED_ITEMS: usize = 200;

    /// The most items for which [`Strategy::Auto`] branches and prices.
    pub const PRICED_ITEMS: usize = 2_000;

    /// The most items for which [`Strategy::Auto`] goes on after the plain heuristics.
    pub const IMPROVED_ITEMS: usize = 20_000;

    /// The name as written by users, who may append `:k` to `best_k_fit`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::NextFit => "next_fit",
            Self::FirstFit => "first_fit",
            Self::BestFit => "best_fit",
            Self::WorstFit => "worst_fit",
            Self::BestKFit(_) => "best_k_fit",
            Self::NextFitDecreasing => "next_fit_decreasing",
            Self::FirstFitDecreasing => "first_fit_decreasing",
            Self::BestFitDecreasing => "best_fit_decreasing",
            Self::WorstFitDecreasing => "worst_fit_decreasing",
            Self::MinimumBinSlack => "minimum_bin_slack",
            Self::MinimumBinSlackSeeded => "minimum_bin_slack_seeded",
            Self::PerturbedBinSlack => "perturbed_bin_slack",
            Self::LocalSearch => "local_search",
            Self::Exact => "exact",
        }
    }

    /// The rule of a plain heuristic, and whether it takes the items by decreasing size.
    pub(crate) const fn rule(self) -> Option<(Rule, bool)> {
        Some(match self {
            Self::NextFit => (Rule::Next, false),
            Self::FirstFit => (Rule::First, false),
            Self::BestFit => (Rule::Best, false),
            Self::WorstFit => (Rule::Worst, false),
            Self::BestKFit(open) => (Rule::BestOf(open), false),
            Self::NextFitDecreasing => (Rule::Next, true),
            Self::FirstFitDecreasing => (Rule::First, true),
            Self::BestFitDecreasing => (Rule::Best, true),
            Self::WorstFitDecreasing => (Rule::Worst, true),
            _ => return None,
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestKFit(open) if *open != Self::OPEN_BINS => write!(f, "{}:{open}", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

impl FromStr for Strategy {
    type Err = Error;

    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Argument`] listing the names there are.
    fn from_str(text: &str) -> Result<Self, Error> {
        let open = text.strip_prefix("best_k_fit:").and_then(|open| open.parse().ok());
        open.map_or_else(|| strategy_named(Self::ALL, Self::name, text), |open| Ok(Self::BestKFit(open)))
    }
}
