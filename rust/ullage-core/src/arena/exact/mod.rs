//! The exact search: whether a layout within a capacity exists, with a proof where there is none.
//!
//! Parts of a problem that have no instant in common are searched one after the other. Each search goes through rules of
//! which section to fill next and scores of which span to try first, with a limit of failures that grows from round to
//! round, and scores that vary after the first: searches of this kind are over soon or take forever, by luck (Gomes,
//! Selman and Kautz, "Boosting combinatorial search through randomization", AAAI 1998).

mod conflict;
mod model;
mod search;
mod state;

use model::Model;
use search::{Rule, Run, Search};

use crate::arena::bound::divisor;
use crate::arena::spans::Spans;
use crate::solving::{Random, Watch};

/// Failures allowed to a run of the first round.
const FIRST_LIMIT: u64 = 300;
/// How much scores vary after the first round, in hundredths.
const NOISE: u64 = 50;

/// Which span is tried first; more is earlier.
#[derive(Clone, Copy)]
enum Score {
    Length,
    Area,
    Size,
    Load,
    LongArea,
    TallArea,
}

impl Score {
    const ALL: [Self; 6] = [Self::Length, Self::Area, Self::Size, Self::Load, Self::LongArea, Self::TallArea];

    fn of(self, model: &Model, span: usize) -> u128 {
        let sections = || model.sections[span].iter().cloned().flatten();
        let (length, size) = (sections().count() as u128, u128::from(model.sizes[span]));
        let area = length.saturating_mul(size);
        match self {
            Self::Length => length,
            Self::Area => area,
            Self::Size => size,
            Self::Load => u128::from(sections().map(|section| model.loads[section]).max().unwrap_or(0)),
            Self::LongArea => area.saturating_mul(length),
            Self::TallArea => area.saturating_mul(size),
        }
    }
}

/// What the search says of a capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Offsets of the spans.
    Found(Vec<u64>),
    /// There is no such layout.
    Impossible,
    /// The effort allowed was used up, or the time.
    Unknown,
}

/// The parts of a problem, ready to be searched again and again.
pub(crate) struct Exact {
    models: Vec<Model>,
    seed: u64,
    /// All heights that a layout may need are multiples of this.
    unit: u64,
}

impl Exact {
    /// `None` where the problem is too large.
    pub(crate) fn of(spans: &Spans, seed: u64) -> Option<Self> {
        let models: Option<Vec<Model>> =
            model::parts(spans).into_iter().map(|part| Model::of(spans, part)).collect();
        let unit = spans.all.iter().fold(0, |unit, span| {
            let unit = divisor(divisor(unit, span.size), span.fixed.unwrap_or(0));
            if span.alignment == 1 { unit } else { divisor(unit, span.alignment) }
        });
        Some(Self { models: models?, seed, unit: unit.max(1) })
    }

    /// The least height above `height` that a layout may need.
    pub(crate) fn next_height(&self, height: u64) -> u64 {
        let above = height.saturating_add(1);
        above.checked_next_multiple_of(self.unit).unwrap_or(above)
    }

    /// Looks for a layout of at most `capacity` bytes, with at most about `effort` failures in each part.
    pub(crate) fn decide(
        &self,
        capacity: u64,
        effort: u64,
        steps: &mut u64,
        watch: &mut Watch<'_>,
    ) -> Answer {
        let mut offsets = Vec::new();
        let mut is_known = true;
        // A part that is impossible settles it, even where others are not known.
        for model in &self.models {
            match self.part(model, capacity, effort, steps, watch) {
                Answer::Found(found) => offsets.extend(found),
                Answer::Impossible => return Answer::Impossible,
                Answer::Unknown => is_known = false,
            }
        }
        if is_known { Answer::Found(offsets) } else { Answer::Unknown }
    }

    fn part(
        &self,
        model: &Model,
        capacity: u64,
        effort: u64,
        steps: &mut u64,
        watch: &mut Watch<'_>,
    ) -> Answer {
        let mut search = Search::new(model);
        let mut random = Random(self.seed);
        let (mut limit, mut spent, mut noise) = (FIRST_LIMIT, 0_u64, 0);
        while spent < effort {
            for (rule, score) in Rule::ALL.into_iter().flat_map(|rule| Score::ALL.map(|score| (rule, score)))
            {
                let scores = scores(model, score, noise, &mut random);
                let run = search.run(capacity, rule, &scores, limit, watch);
                *steps = steps.saturating_add(search.failures);
                spent = spent.saturating_add(search.failures.max(1));
                match run {
                    Run::Found => return Answer::Found(search.offsets()),
                    Run::Exhausted => return Answer::Impossible,
                    Run::Stopped => return Answer::Unknown,
                    Run::GivenUp if spent >= effort => return Answer::Unknown,
                    Run::GivenUp => {}
                }
            }
            limit = limit.saturating_add(limit >> 2);
            noise = NOISE;
        }
        Answer::Unknown
    }
}

/// The score of each span, up to `noise` hundredths higher by chance; equal ones by area.
fn scores(model: &Model, score: Score, noise: u64, random: &mut Random) -> Vec<u128> {
    let spans = 0..model.sizes.len();
    let mut vary =
        || u128::from(random.below(noise.saturating_mul(10).saturating_add(1)).saturating_add(1000));
    spans.map(|span| score.of(model, span).saturating_mul(vary())).collect()
}
