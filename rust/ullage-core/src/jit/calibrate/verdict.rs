//! Predicted against measured, on models whose layers have shapes that were not calibrated.

use std::time::Duration;

use super::trial::{PASSES, ROUNDS, beyond, last_cache, stack};
use super::{Listener, Request, tell};
use crate::codec::Scheme;
use crate::error::Result;
use crate::jit::execute::{self, Conduct, Samples, percentile};
use crate::jit::{Layer, Options, Policy, Profile, Simulation, float, simulate};
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
    /// One by one.
    pub cases: Vec<Case>,
    /// All together.
    pub summary: Summary,
}

struct Pending {
    model: &'static str,
    layers: Vec<Layer>,
    policy: Policy,
    threads: u32,
    said: Simulation,
    samples: Option<Samples>,
    peaks: Vec<Bytes>,
    booked: Bytes,
}

/// Simulates and executes a grid of models, schemes, policies and threads.
///
/// # Errors
/// Those of [`super::calibrate()`] and [`simulate()`].
pub fn verify(profile: &Profile, request: &Request, listener: Listener<'_>) -> Result<Verdict> {
    let mut pending = grid(profile, request)?;
    let last_cache = last_cache(&profile.caches);
    let all = float(u64::try_from(pending.len()).unwrap_or(1)) * f64::from(ROUNDS);
    let mut done = 0.0;
    for _ in 0..ROUNDS {
        for case in &mut pending {
            let scheme = case.layers.first().map_or(Scheme::F16, |layer| layer.scheme);
            tell(
                listener,
                done / all,
                format!("{} {scheme}, {}, {} threads", case.model, case.policy, case.threads),
            )?;
            case.round(last_cache)?;
            done += 1.0;
        }
    }
    let cases: Vec<Case> = pending.into_iter().map(Pending::conclude).collect();
    let summary = summary(&cases);
    Ok(Verdict { cases, summary })
}

fn grid(profile: &Profile, request: &Request) -> Result<Vec<Pending>> {
    let stored = beyond(last_cache(&profile.caches), request);
    let mut pending = Vec::new();
    for &scheme in &request.schemes {
        // As many cases with one processor as with several, where prefetch has nowhere to run.
        let models = if request.threads.len() > 1 { 2 } else { MODELS.len() };
        for &(model, shapes) in &MODELS[..models] {
            let layers = stack(shapes, scheme, stored)?;
            for policy in POLICIES {
                for &threads in &request.threads {
                    if policy.prefetch() > 0 && threads >= request.cores {
                        continue;
                    }
                    let options = Options { threads: Some(threads), ..Options::default() };
                    let said = simulate(&layers, &vec![policy; layers.len()], profile, &options)?;
                    let (layers, booked) = (layers.clone(), Bytes::ZERO);
                    pending.push(Pending {
                        model,
                        layers,
                        policy,
                        threads,
                        said,
                        samples: None,
                        peaks: Vec::new(),
                        booked,
                    });
                }
            }
        }
    }
    Ok(pending)
}

impl Pending {
    fn round(&mut self, last_cache: u64) -> Result<()> {
        let (threads, time) = (self.threads, Duration::ZERO);
        let conduct = Conduct { threads, passes: PASSES, time, last_cache, ..Conduct::default() };
        let policies = vec![self.policy; self.layers.len()];
        let run = execute::measure(&self.layers, &policies, None, &conduct, false)?;
        self.booked = run.peak;
        self.peaks.push(run.process_peak.unwrap_or(run.peak));
        match &mut self.samples {
            Some(samples) => samples.join(run.samples),
            None => self.samples = Some(run.samples),
        }
        Ok(())
    }

    fn conclude(mut self) -> Case {
        // What else the process allocates meanwhile can only add to a peak.
        self.peaks.sort();
        Case {
            model: self.model,
            layers: self.layers.len(),
            scheme: self.layers.first().map_or(Scheme::F16, |layer| layer.scheme),
            policy: self.policy,
            threads: self.threads,
            predicted_s: self.said.latency_s,
            measured_s: self.samples.map_or(0.0, |samples| samples.latency_s()),
            predicted_peak: self.said.peak,
            measured_peak: self.peaks.first().copied().unwrap_or(self.booked),
            booked_peak: self.booked,
        }
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
