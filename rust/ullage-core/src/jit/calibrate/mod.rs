//! [`calibrate`]: this processor measured as the executor uses it, and [`verify`]: its predictions held against execution.
//!
//! What is timed is the executor itself, on stacks of layers of a few sizes that are too large together for the caches:
//! every policy, scheme and number of threads by itself. So nothing has to be composed from separate rates for what was
//! calibrated. Trials are gone through in rounds, so that a disturbance of some seconds spoils one visit and not all of a
//! trial; the statistic, a low percentile of each layer over the passes, is that of [`super::execute()`]. A verification
//! that calibrates goes through its cases in the same rounds, each beside the trial that predicts it: what it finds is how
//! well the model carries over to other shapes, and not how the machine has changed meanwhile.

mod hardware;
mod roofs;
mod rounds;
mod stack;
mod trial;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::figure::{Figure, Origin, Unit};
use super::profile::Profile;
use crate::codec::Scheme;
use crate::error::{Error, Result};
use crate::units::Bytes;
pub use hardware::caches;
use rounds::Visit;
use trial::Trial;
pub use verdict::{Case, Summary, Verdict};

/// What is calibrated, and how long that may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Schemes that are timed, beside plain 16-bit numbers.
    pub schemes: Vec<Scheme>,
    /// Threads that compute, each timed by itself.
    pub threads: Vec<u32>,
    /// Threads that run at once without taking turns; those that decode ahead are among them.
    pub cores: u32,
    /// Rounds are gone through as long as another one fits in so much time, but two at least.
    pub time: Duration,
    /// The memory that weights may take; what is too much for it is timed smaller.
    pub memory: Bytes,
    /// Whether storage is timed, with a temporary file.
    pub storage: bool,
    /// Name of the profile.
    pub name: String,
}

impl Request {
    /// Schemes of each kind that kernels know.
    pub const SCHEMES: [&'static str; 5] =
        ["palettized:4", "linear:8", "linear:4,block=32", "sparse:0.5", "gguf:q4_k"];
}

/// How far long work is, and what it is at.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Share that is done, from 0 to 1.
    pub done: f64,
    /// What is worked on.
    pub what: String,
}

/// Whoever is told of steps; `false` ends the work.
pub type Listener<'a> = &'a (dyn Fn(Step) -> bool + 'a);

pub(super) const INTERRUPTED: &str = "it was interrupted";

/// Tells of a step.
fn tell(listener: Listener<'_>, done: f64, what: String) -> Result<()> {
    let goes_on = listener(Step { done: done.clamp(0.0, 1.0), what });
    let fault = Error::Argument { name: "progress", reason: INTERRUPTED.to_owned() };
    if goes_on { Ok(()) } else { Err(fault) }
}

/// Measures this processor.
///
/// # Errors
/// [`Error::Argument`] for no threads or schemes that cannot be executed, or where the listener ended the work;
/// [`Error::Io`] where storage is timed and no file can be written.
pub fn calibrate(request: &Request, listener: Listener<'_>) -> Result<Profile> {
    let begun = Instant::now();
    let base = base(request, listener)?;
    let mut trials = trial::all(request, &base.caches, listener)?;
    let visits = trials.iter_mut().map(|trial| trial as &mut dyn Visit).collect();
    let rounds = rounds::run(visits, request.time, begun, listener)?;
    timed(base, &trials, rounds, begun.elapsed())
}

/// Simulates and executes a grid of models, schemes, policies and threads, with a profile of this processor or, in
/// alternation, with what a calibration finds.
///
/// # Errors
/// Those of [`calibrate`] and [`super::simulate()`].
pub fn verify(profile: Option<&Profile>, request: &Request, listener: Listener<'_>) -> Result<Verdict> {
    let begun = Instant::now();
    let (base, mut trials) = if let Some(known) = profile {
        (known.clone(), Vec::new())
    } else {
        let base = base(request, listener)?;
        let trials = trial::all(request, &base.caches, listener)?;
        (base, trials)
    };
    let mut cases = verdict::grid(request, &base.caches, listener)?;
    let calibrating = trials.iter_mut().map(|trial| trial as &mut dyn Visit);
    let visits = calibrating.chain(cases.iter_mut().map(|case| case as &mut dyn Visit)).collect();
    let rounds = rounds::run(visits, request.time, begun, listener)?;
    let found = if profile.is_some() { base } else { timed(base, &trials, rounds, begun.elapsed())? };
    verdict::conclude(cases, found, rounds)
}

/// What single resources allow.
fn base(request: &Request, listener: Listener<'_>) -> Result<Profile> {
    if request.threads.is_empty() || request.threads.contains(&0) {
        return Err(Error::Argument { name: "threads", reason: "there are none to calibrate".to_owned() });
    }
    let caches = caches();
    let most = request.threads.iter().copied().max().unwrap_or(1);
    tell(listener, 0.0, "memory".to_owned())?;
    let roofs = roofs::memory(most, trial::last_cache(&caches), request.memory)?;
    let mut decompression = BTreeMap::new();
    for &scheme in &request.schemes {
        tell(listener, 0.0, format!("decoding {scheme}"))?;
        decompression.insert(scheme.to_string(), roofs::decompression(scheme, most)?);
    }
    Ok(Profile {
        name: request.name.clone(),
        threads: most,
        read: Some(roofs.read),
        write: Some(roofs.write),
        copy: Some(roofs.copy),
        caches,
        compute: BTreeMap::from([("f16".to_owned(), roofs::compute(most)?)]),
        storage: if request.storage { Some(roofs::storage()?) } else { None },
        dispatch: Some(roofs::dispatch(most)?),
        decompression,
        ..Profile::default()
    })
}

/// The profile with what trials have found.
fn timed(base: Profile, trials: &[Trial], rounds: u32, took: Duration) -> Result<Profile> {
    let timings = trials.iter().flat_map(Trial::timings).collect();
    let mut profile = Profile { timings, ..base };
    profile.note = note(&profile, rounds, took);
    profile.check().map(|()| profile)
}

fn note(profile: &Profile, rounds: u32, took: Duration) -> String {
    let points: Vec<_> = profile.timings.iter().flat_map(|timing| &timing.points).collect();
    let unstable = points.iter().filter(|point| point.spread.is_some_and(|spread| !spread.is_stable)).count();
    format!(
        "calibrated in {rounds} rounds over {:.0} s; of {} timings, {unstable} differed by more than a twentieth \
         between the halves of their passes",
        took.as_secs_f64(),
        points.len()
    )
}

/// A measured rate from seconds for so many units of it, sorted or not.
fn rate(seconds: &[f64], units: f64, unit: Unit) -> Figure {
    let rates: Vec<f64> = seconds.iter().map(|seconds| units / seconds.max(1e-12)).collect();
    let value = units / super::execute::low(seconds).max(1e-12);
    let spread = Some(super::execute::spread(&rates));
    Figure { value, unit, origin: Origin::Measured, spread }
}
