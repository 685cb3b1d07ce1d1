//! The threads of a run: those that go through the layers together, and those that make layers ready ahead of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use bytes::BytesMut;

use super::ahead::Ready;
use super::crew::{Barrier, wait_until};
use super::prepare::Stage;
use super::step::{Step, index, steps};
use super::{Conduct, Samples, Wanted};
use crate::codec::kernel::{BATCH, Isa};
use crate::error::{Error, Result};
use crate::jit::engine::{Event, Resource};
use crate::jit::{Layer, Policy};

pub(super) struct Ran {
    pub(super) samples: Samples,
    pub(super) first_s: f64,
    pub(super) outputs: Vec<Vec<f32>>,
}

/// All that the threads share.
pub(super) struct Team<'a> {
    pub(super) stage: &'a Stage,
    pub(super) layers: &'a [Layer],
    pub(super) steps: Vec<Step<'a>>,
    pub(super) threads: usize,
    pub(super) batch: usize,
    pub(super) last_cache: u64,
    pub(super) isa: Isa,
    pub(super) x: Vec<f32>,
    pub(super) barrier: Barrier,
    /// Passes that have begun.
    pub(super) begun: AtomicUsize,
    /// Layers of this pass that are done.
    pub(super) done: AtomicUsize,
    pub(super) is_over: AtomicBool,
    /// Scratch of each thread, for the layer at hand.
    pub(super) shares: Vec<Mutex<Option<BytesMut>>>,
    /// What all threads multiply from, for the layer at hand.
    pub(super) published: RwLock<Option<BytesMut>>,
    pub(super) fault: Mutex<Option<Error>>,
    pub(super) outputs: Option<Vec<Mutex<Vec<f32>>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs passes until there are enough of them.
pub(super) fn run(
    stage: &mut Stage,
    layers: &[Layer],
    policies: &[Policy],
    conduct: &Conduct,
    wanted: Wanted,
) -> Result<Ran> {
    if !(1..=BATCH).contains(&conduct.batch) {
        let reason = format!("{} vectors are not from 1 to {BATCH}", conduct.batch);
        return Err(Error::Argument { name: "batch", reason });
    }
    let held: usize = steps(stage, layers, policies)?.iter().map(Step::held_bytes).sum();
    stage.book_held(held)?;
    let stage = &*stage;
    let threads = usize::try_from(conduct.threads.max(1)).unwrap_or(1);
    let columns = layers.iter().map(|layer| index(layer.row())).max().unwrap_or(0);
    let cycle = [0.25_f32, -0.5, 0.125, 1.0, -0.75, 0.375, -0.0625];
    let team = Team {
        stage,
        layers,
        steps: steps(stage, layers, policies)?,
        threads,
        batch: conduct.batch,
        last_cache: conduct.last_cache,
        isa: Isa::detect(),
        x: cycle.into_iter().cycle().take(columns.saturating_mul(conduct.batch)).collect(),
        barrier: Barrier::new(threads),
        begun: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        shares: (0..threads).map(|_| Mutex::new(None)).collect(),
        published: RwLock::new(None),
        fault: Mutex::new(None),
        outputs: wanted.outputs.then(|| layers.iter().map(|_| Mutex::new(Vec::new())).collect()),
    };
    let (samples, first_s) = team.go(conduct);
    if let Some(fault) = lock(&team.fault).take() {
        return Err(fault);
    }
    let outputs = team.outputs.unwrap_or_default();
    let outputs = outputs.into_iter().map(|outputs| outputs.into_inner().unwrap_or_default()).collect();
    Ok(Ran { samples, first_s, outputs })
}

/// Lets nobody wait for a thread that panicked.
struct Alarm<'a>(&'a Barrier);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail();
        }
    }
}

impl Team<'_> {
    fn go(&self, conduct: &Conduct) -> (Samples, f64) {
        thread::scope(|scope| {
            let mut ahead = Vec::new();
            for resource in [Resource::Storage, Resource::Decompressor] {
                if self.steps.iter().any(|step| step.is_ahead(resource)) {
                    let (to, from) = channel();
                    scope.spawn(move || self.guarded(|| self.make_ready(resource, &to)));
                    ahead.push((resource, from));
                }
            }
            for thread in 1..self.threads {
                scope.spawn(move || self.guarded(|| self.follow(thread)));
            }
            let mut samples = Samples::new(self.layers.len());
            let mut first_s = 0.0;
            self.guarded(|| self.lead(&ahead, conduct, &mut samples, &mut first_s));
            self.is_over.store(true, Ordering::Release);
            self.begun.fetch_add(1, Ordering::AcqRel);
            (samples, first_s)
        })
    }

    /// Keeps the first fault, and lets nobody wait after it.
    fn guarded(&self, work: impl FnOnce() -> Result<()>) {
        let _alarm = Alarm(&self.barrier);
        if let Err(fault) = work() {
            lock(&self.fault).get_or_insert(fault);
            self.barrier.fail();
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_over.load(Ordering::Acquire) || self.barrier.has_failed()
    }

    fn lead(
        &self,
        ahead: &[(Resource, Receiver<Ready>)],
        conduct: &Conduct,
        samples: &mut Samples,
        first_s: &mut f64,
    ) -> Result<()> {
        let mut y = self.outputs_of_one();
        let mut since = Instant::now();
        loop {
            self.done.store(0, Ordering::Release);
            let begun = Instant::now();
            self.begun.fetch_add(1, Ordering::AcqRel);
            let mut events = Vec::with_capacity(self.layers.len().saturating_mul(2));
            for place in 0..self.layers.len() {
                self.lead_layer(place, ahead, begun, &mut y, &mut events)?;
            }
            if self.barrier.has_failed() {
                return Ok(());
            }
            if self.begun.load(Ordering::Acquire) == 1 {
                *first_s = begun.elapsed().as_secs_f64();
                since = Instant::now();
                continue;
            }
            events.sort_by(|a, b| a.end_s.total_cmp(&b.end_s));
            samples.add(events);
            if samples.passes >= conduct.passes.max(1) && since.elapsed() >= conduct.time {
                return Ok(());
            }
        }
    }

    /// A layer as the first thread sees it: it hands memory out, takes it back, and looks at the clock.
    fn lead_layer(
        &self,
        place: usize,
        ahead: &[(Resource, Receiver<Ready>)],
        begun: Instant,
        y: &mut [f32],
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let at = |instant: Instant| instant.saturating_duration_since(begun).as_secs_f64();
        let layer = u32::try_from(place).unwrap_or(u32::MAX);
        let step = &self.steps[place];
        let mut start = Instant::now();
        if let Some(resource) =
            [Resource::Storage, Resource::Decompressor].into_iter().find(|&kind| step.is_ahead(kind))
        {
            let ready = self.receive(ahead, resource, place)?;
            events.push(Event { start_s: at(ready.start), end_s: at(ready.end), resource, layer });
            start = Instant::now();
            self.publish(Some(ready.piece));
        } else if let Step::Read(offset, _) = step {
            let mut piece = self.take(place)?;
            self.read(*offset, place, &mut piece)?;
            let end = Instant::now();
            events.push(Event { start_s: at(start), end_s: at(end), resource: Resource::Storage, layer });
            start = end;
            self.publish(Some(piece));
        } else if let Step::Tiled(..) = step {
            self.hand_out(place)?;
        }
        self.barrier.wait();
        let decoding = self.work(place, 0, y)?;
        self.barrier.wait();
        match step {
            Step::Direct(_) => {}
            Step::Tiled(..) => self.collect(place),
            Step::Decoded(_) | Step::Read(..) => {
                if let Some(piece) = self.publish(None) {
                    self.stage.arena.give(self.offset(place), piece);
                }
            }
        }
        self.done.store(place.saturating_add(1), Ordering::Release);
        let end_s = at(Instant::now());
        if decoding > 0.0 {
            let from = at(start);
            events.push(Event {
                start_s: from,
                end_s: from + decoding,
                resource: Resource::Decompressor,
                layer,
            });
            start = start.checked_add(std::time::Duration::from_secs_f64(decoding)).unwrap_or(start);
        }
        events.push(Event { start_s: at(start), end_s, resource: Resource::Compute, layer });
        Ok(())
    }

    fn follow(&self, thread: usize) -> Result<()> {
        let mut y = self.outputs_of_one();
        let mut pass = 0_usize;
        loop {
            wait_until(|| self.begun.load(Ordering::Acquire) > pass || self.is_stopped());
            if self.is_stopped() {
                return Ok(());
            }
            for place in 0..self.layers.len() {
                if !self.barrier.wait() {
                    return Ok(());
                }
                self.work(place, thread, &mut y)?;
                if !self.barrier.wait() {
                    return Ok(());
                }
            }
            pass = pass.saturating_add(1);
        }
    }

    fn publish(&self, what: Option<BytesMut>) -> Option<BytesMut> {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *published, what)
    }

    pub(super) fn offset(&self, place: usize) -> usize {
        self.stage.plan.places[place].map_or(0, |(offset, _)| index(offset))
    }

    /// The scratch of a layer.
    pub(super) fn take(&self, place: usize) -> Result<BytesMut> {
        let (offset, bytes) = self.stage.plan.places[place].unwrap_or((0, 0));
        self.stage.arena.take(index(offset), index(bytes))
    }
}
