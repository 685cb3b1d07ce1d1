//! One pass as events: three engines with queues in order, on one memory bus.

use super::cost::Task;

/// What an event keeps busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// The storage link.
    Storage,
    /// The thread or unit that decodes ahead.
    Decompressor,
    /// The threads or unit that multiply, and decode where nobody does it for them.
    Compute,
}

impl Resource {
    /// All of them, in the order in which a layer takes them.
    pub const ALL: [Self; 3] = [Self::Storage, Self::Decompressor, Self::Compute];

    /// As written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Decompressor => "decompressor",
            Self::Compute => "compute",
        }
    }
}

/// A layer on a resource, from when until when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Seconds since the pass began.
    pub start_s: f64,
    /// Seconds since the pass began.
    pub end_s: f64,
    /// What was busy.
    pub resource: Resource,
    /// The layer's place.
    pub layer: u32,
}

/// What one layer asks of the engines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Job {
    /// Its tasks, in the order of [`Resource::ALL`].
    pub(super) tasks: [Task; 3],
    /// What has a buffer made for it: the first layer whose computing must be over before its first task begins.
    pub(super) after: Option<u32>,
}

const ENGINES: usize = 3;
const COMPUTE: usize = 2;

struct Engine {
    /// The layer it is at.
    at: usize,
    /// Seconds that are left of it, alone.
    left: f64,
    /// When it began; `None` while it waits.
    begun: Option<f64>,
}

/// Runs all jobs; gives the events in order of their ends, and the end.
///
/// Each engine takes layers in order, and a layer's task begins when its previous one is over. Tasks that want more of
/// the bus together than there is get equal shares of it, but none more than it wants.
pub(super) fn run(jobs: &[Job]) -> (Vec<Event>, f64) {
    let mut engines: [Engine; ENGINES] =
        std::array::from_fn(|kind| Engine { at: next(jobs, kind, 0), left: 0.0, begun: None });
    let mut events = Vec::with_capacity(jobs.len().saturating_mul(2));
    let mut now = 0.0_f64;
    loop {
        for kind in 0..ENGINES {
            begin(jobs, &mut engines, kind, now);
        }
        let speeds = speeds(jobs, &engines);
        let remaining = |(engine, speed): (&Engine, &f64)| engine.begun.map(|_| engine.left / speed);
        let Some(step) = engines.iter().zip(&speeds).filter_map(remaining).reduce(f64::min) else {
            return (events, now);
        };
        now += step;
        for kind in 0..ENGINES {
            let engine = &mut engines[kind];
            let Some(start_s) = engine.begun else { continue };
            let is_over = engine.left / speeds[kind] <= step;
            engine.left = (engine.left - step * speeds[kind]).max(0.0);
            if is_over {
                let layer = u32::try_from(engine.at).unwrap_or(u32::MAX);
                events.push(Event { start_s, end_s: now, resource: Resource::ALL[kind], layer });
                engine.begun = None;
                engine.at = next(jobs, kind, engine.at.saturating_add(1));
            }
        }
    }
}

/// The first layer from `from` on that has something for an engine.
fn next(jobs: &[Job], kind: usize, from: usize) -> usize {
    let has_work = |job: &Job| kind == COMPUTE || job.tasks[kind].seconds > 0.0;
    let found = jobs.get(from..).and_then(|rest| rest.iter().position(has_work));
    found.map_or(jobs.len(), |place| from.saturating_add(place))
}

/// Begins the next task of an engine if it may.
fn begin(jobs: &[Job], engines: &mut [Engine; ENGINES], kind: usize, now: f64) {
    let at = engines[kind].at;
    let Some(job) = jobs.get(at) else { return };
    if engines[kind].begun.is_some() {
        return;
    }
    let is_behind = |earlier: usize| job.tasks[earlier].seconds > 0.0 && engines[earlier].at <= at;
    let waits_for_buffer = job.after.is_some_and(|layer| engines[COMPUTE].at <= layer as usize);
    if (0..kind).any(is_behind) || waits_for_buffer {
        return;
    }
    engines[kind].begun = Some(now);
    engines[kind].left = job.tasks[kind].seconds;
}

/// How fast each engine works, of its speed alone: the bus is shared max-min fairly.
fn speeds(jobs: &[Job], engines: &[Engine; ENGINES]) -> [f64; ENGINES] {
    let wish = |kind: usize| match engines[kind].begun {
        Some(_) => jobs[engines[kind].at].tasks[kind].bus,
        None => 0.0,
    };
    let wishes: [f64; ENGINES] = std::array::from_fn(wish);
    if wishes.iter().sum::<f64>() <= 1.0 {
        return [1.0; ENGINES];
    }
    let mut order = [0, 1, 2];
    order.sort_by(|&a: &usize, &b: &usize| wishes[a].total_cmp(&wishes[b]));
    let (mut speeds, mut left) = ([1.0; ENGINES], 1.0);
    for (kind, sharers) in order.into_iter().zip([3.0, 2.0, 1.0]) {
        let granted = wishes[kind].min(left / sharers);
        if wishes[kind] > 0.0 {
            speeds[kind] = granted / wishes[kind];
        }
        left -= granted;
    }
    speeds
}
