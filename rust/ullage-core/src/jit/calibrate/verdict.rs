//! Predicted against measured, on models whose layers have shapes that were not calibrated.

use std::rc::Rc;

use super::rounds::{Key, PASSES, Visit};
use super::stack::{Crew, Stack};
use super::trial::{beyond, last_cache};
use super::{Listener, Request, tell};
use crate::codec::Scheme;
use crate::error::Result;
use crate::jit::execute::{Samples, percentile};
use crate::jit::profile::Cache;
use crate::jit::{Options, Policy, Profile, float, simulate};
use crate::units::Bytes;

/// Shapes of the layers of small decoders and of one with long rows, none of them calibrated.
const MODELS: [(&str, &[[u64; 2]]); 3] = [
    ("narrow", &[[1408, 1408], [3840, 1408], [1408, 3840]]),
    ("wide", &[[2048, 2048], [512, 2048], [1792, 2048], [768, 5632]]),
    ("even", &[[1536, 3072], [768, 3072]]),
];
const POLICIES: [Policy; 5] =
    [Policy::LoadTime, Policy::BY_LAYER, Policy::PREFETCHED, Policy::TILED, Policy::Fused];
/// Measured latencies that differ by more than this share must be ranked right.
const APART: f64 = 0.15;

/// One plan, simulated and executed.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The model's name.
    pub model: &'static str,
    /// Number of its layers.
    pub layers: usize,
    /// The scheme of all its weights.
    pub scheme: Scheme,
    /// The policy of all its layers.
    pub policy: Policy,
    /// Threads that computed.
    pub threads: u32,
    /// Seconds of a pass as simulated.
    pub predicted_s: f64,
    /// Seconds of a pass as executed.
    pub measured_s: f64,
    /// The most bytes as simulated.
    pub predicted_peak: Bytes,
    /// By how much the process grew; as booked where the operating system does not say.
    pub measured_peak: Bytes,
    /// The most bytes as booked when they were allocated.
    pub booked_peak: Bytes,
}

impl Case {
    /// Predicted over measured seconds, less one.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.predicted_s / self.measured_s.max(1e-12) - 1.0
    }

    /// Predicted over measured bytes, less one.
    #[must_use]
    pub fn peak_error(&self) -> f64 {
        float(self.predicted_peak.get()) / float(self.measured_peak.get().max(1)) - 1.0
    }
}

/// All cases in a few figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Mean absolute error of seconds, as a share.
    pub latency_mape: f64,
    /// The error of seconds that one case in twenty is above.
    pub latency_p95: f64,
    /// The largest error of seconds.
    pub latency_worst: f64,
    /// Mean absolute error of the peak.
    pub peak_mape: f64,
    /// The largest error of the peak.
    pub peak_worst: f64,
    /// Pairs of policies for one model, scheme and number of threads that differ by more than 15 % as measured.
    pub pairs: usize,
    /// Those that were predicted in the right order.
    pub pairs_right: usize,
}

/// Cases and what they come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What predicted them.
    pub profile: Profile,
    /// Rounds in which each of them was measured.
    pub rounds: u32,
    /// One by one.
    pub cases: Vec<Case>,
    /// All together.
    pub summary: Summary,
}

/// A case that is being measured.
pub(super) struct Pending {
    model: &'static str,
    stack: Rc<Stack>,
    scheme: Scheme,
    crew: Crew,
    samples: Option<Samples>,
    peak: Bytes,
    booked: Bytes,
}

/// The grid of models, schemes, policies and threads.
///
/// # Errors
/// [`crate::Error::Argument`] where the listener ended the work or there is no memory for the weights.
pub(super) fn grid(request: &Request, caches: &[Cache], listener: Listener<'_>) -> Result<Vec<Pending>> {
    let last_cache = last_cache(caches);
    let stored = beyond(last_cache, request);
    // As many cases with one processor as with several, where prefetch has nowhere to run.
    let models = if request.threads.len() > 1 { 2 } else { MODELS.len() };
    let mut pending = Vec::new();
    for &scheme in &request.schemes {
        for &(model, shapes) in &MODELS[..models] {
            tell(listener, 0.0, format!("making weights, {scheme}, {model}"))?;
            let stack = Stack::model(shapes, scheme, stored)?;
            for policy in POLICIES {
                for &threads in &request.threads {
                    if policy.prefetch() > 0 && threads >= request.cores {
                        continue;
                    }
                    let (stack, samples) = (Rc::clone(&stack), None);
                    let (peak, booked) = (Bytes::ZERO, Bytes::ZERO);
                    let crew = Crew { policy, threads, last_cache };
                    pending.push(Pending { model, stack, scheme, crew, samples, peak, booked });
                }
            }
        }
    }
    Ok(pending)
}

/// Predicts what was measured.
pub(super) fn conclude(pending: Vec<Pending>, profile: Profile, rounds: u32) -> Result<Verdict> {
    let cases = pending.into_iter().map(|case| case.conclude(&profile)).collect::<Result<Vec<_>>>()?;
    let summary = summary(&cases);
    Ok(Verdict { profile, rounds, cases, summary })
}

impl Visit for Pending {
    fn key(&self) -> Key {
        Key::new(self.crew.policy, self.crew.threads, self.scheme.to_string())
    }

    fn visit(&mut self) -> Result<()> {
        // The first time with weights of its own, so that all of its memory is seen to be taken.
        let is_fresh = self.samples.is_none();
        let run = self.stack.run(self.crew, PASSES, is_fresh)?;
        if is_fresh {
            (self.booked, self.peak) = (run.peak, run.process_peak.unwrap_or(run.peak));
        }
        match &mut self.samples {
            Some(samples) => samples.join(run.samples),
            None => self.samples = Some(run.samples),
        }
        Ok(())
    }
}

impl Pending {
    fn conclude(self, profile: &Profile) -> Result<Case> {
        let layers = &self.stack.layers;
        let options = Options { threads: Some(self.crew.threads), ..Options::default() };
        let said = simulate(layers, &vec![self.crew.policy; layers.len()], profile, &options)?;
        Ok(Case {
            model: self.model,
            layers: layers.len(),
            scheme: self.scheme,
            policy: self.crew.policy,
            threads: self.crew.threads,
            predicted_s: said.latency_s,
            measured_s: self.samples.map_or(0.0, |samples| samples.latency_s()),
            predicted_peak: said.peak,
            measured_peak: self.peak,
            booked_peak: self.booked,
        })
    }
}

fn summary(cases: &[Case]) -> Summary {
    let sorted = |of: &dyn Fn(&Case) -> f64| {
        let mut errors: Vec<f64> = cases.iter().map(|case| of(case).abs()).collect();
        errors.sort_by(f64::total_cmp);
        errors
    };
    let mean =
        |errors: &[f64]| errors.iter().sum::<f64>() / float(u64::try_from(errors.len().max(1)).unwrap_or(1));
    let (latency, peak) = (sorted(&Case::error), sorted(&Case::peak_error));
    let (mut pairs, mut pairs_right) = (0_usize, 0_usize);
    for (place, a) in cases.iter().enumerate() {
        for b in &cases[..place] {
            let is_alike = (a.model, a.scheme, a.threads) == (b.model, b.scheme, b.threads);
            let ratio = a.measured_s / b.measured_s.max(1e-12);
            if is_alike && ratio.max(1.0 / ratio) > 1.0 + APART {
                pairs = pairs.saturating_add(1);
                let is_right = (a.predicted_s > b.predicted_s) == (ratio > 1.0);
                pairs_right = pairs_right.saturating_add(usize::from(is_right));
            }
        }
    }
    Summary {
        latency_mape: mean(&latency),
        latency_p95: percentile(&latency, 0.95),
        latency_worst: latency.last().copied().unwrap_or(0.0),
        peak_mape: mean(&peak),
        peak_worst: peak.last().copied().unwrap_or(0.0),
        pairs,
        pairs_right,
    }
}
