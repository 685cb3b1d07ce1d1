//! The threads of a run: those that go through the layers together, and those that make layers ready ahead of them.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use bytes::BytesMut;

use super::crew::{Barrier, wait_until};
use super::prepare::{Home, Stage};
use super::{Conduct, Samples};
use crate::codec::Scheme;
use crate::codec::kernel::{BATCH, Isa, Matrix, Out, Store, splits};
use crate::error::{Error, Result};
use crate::jit::engine::{Event, Resource};
use crate::jit::{Layer, Policy, Scratch};

/// What the threads do with one layer.
enum Step<'a> {
    /// Multiply from where it lies.
    Direct(Matrix<'a>),
    /// Decode so many rows at a time into a share of scratch memory, and multiply from there.
    Tiled(Matrix<'a>, usize),
    /// Multiply what another thread decoded.
    Decoded(Matrix<'a>),
    /// Multiply what was read from the file at this byte, by another thread or on the spot.
    Read(u64, bool),
}

/// A layer made ready by another thread, from when until when.
struct Ready {
    layer: usize,
    piece: BytesMut,
    start: Instant,
    end: Instant,
}

pub(super) struct Ran {
    pub(super) samples: Samples,
    pub(super) first_s: f64,
    pub(super) outputs: Vec<Vec<f32>>,
}

/// All that the threads share.
struct Team<'a> {
    stage: &'a Stage,
    layers: &'a [Layer],
    steps: Vec<Step<'a>>,
    threads: usize,
    batch: usize,
    last_cache: u64,
    isa: Isa,
    x: Vec<f32>,
    barrier: Barrier,
    /// Passes that have begun.
    begun: AtomicUsize,
    /// Layers of this pass that are done.
    done: AtomicUsize,
    is_over: AtomicBool,
    /// Scratch of each thread, for the layer at hand.
    shares: Vec<Mutex<Option<BytesMut>>>,
    /// What all threads multiply from, for the layer at hand.
    published: RwLock<Option<BytesMut>>,
    fault: Mutex<Option<Error>>,
    outputs: Option<Vec<Mutex<Vec<f32>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Runs passes until there are enough of them.
pub(super) fn run(
    stage: &mut Stage,
    layers: &[Layer],
    policies: &[Policy],
    conduct: &Conduct,
    keeps_outputs: bool,
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
        outputs: keeps_outputs.then(|| layers.iter().map(|_| Mutex::new(Vec::new())).collect()),
    };
    let (samples, first_s) = team.go(conduct);
    if let Some(fault) = lock(&team.fault).take() {
        return Err(fault);
    }
    let outputs = team.outputs.unwrap_or_default();
    let outputs = outputs.into_iter().map(|outputs| outputs.into_inner().unwrap_or_default()).collect();
    Ok(Ran { samples, first_s, outputs })
}

fn steps<'a>(stage: &'a Stage, layers: &[Layer], policies: &[Policy]) -> Result<Vec<Step<'a>>> {
    let of = |(place, (layer, policy)): (usize, (&Layer, &Policy))| {
        let stored =
            || Matrix::new(layer.scheme, &layer.shape, &stage.places[place].of(stage.stored.bytes(), 0));
        Ok(match (stage.homes[place], *policy) {
            (Home::File(start), policy) => Step::Read(start, policy.prefetch() > 0),
            (Home::Dense(start), _) => {
                let bytes = &stage.dense.bytes()[start..start.saturating_add(index(layer.dense.get()))];
                Step::Direct(Matrix::new(Scheme::F16, &layer.shape, &[bytes])?)
            }
            (Home::Stored, Policy::JustInTime { scratch, prefetch }) if !layer.is_dense() => match scratch {
                Scratch::Layer if prefetch > 0 => Step::Decoded(stored()?),
                Scratch::Layer => Step::Tiled(stored()?, usize::MAX),
                Scratch::Tile(bytes) => {
                    let row = layer.row().saturating_mul(2).max(1);
                    Step::Tiled(stored()?, index(bytes.get().checked_div(row).unwrap_or(1).max(1)))
                }
            },
            (Home::Stored, _) => Step::Direct(stored()?),
        })
    };
    layers.iter().zip(policies).enumerate().map(of).collect()
}

impl Step<'_> {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Direct(matrix) | Self::Tiled(matrix, _) | Self::Decoded(matrix) => matrix.held_bytes(),
            Self::Read(..) => 0,
        }
    }

    /// Whether a thread of the given kind makes it ready.
    fn is_ahead(&self, resource: Resource) -> bool {
        match self {
            Self::Decoded(_) => resource == Resource::Decompressor,
            Self::Read(_, is_ahead) => *is_ahead && resource == Resource::Storage,
            Self::Direct(_) | Self::Tiled(..) => false,
        }
    }
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

    fn is_stopped(&self) -> bool {
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

    /// Makes layers ready, each as soon as there is room for it.
    fn make_ready(&self, resource: Resource, to: &Sender<Ready>) -> Result<()> {
        let mut pass = 0_usize;
        loop {
            wait_until(|| self.begun.load(Ordering::Acquire) > pass || self.is_stopped());
            if self.is_stopped() {
                return Ok(());
            }
            for (layer, step) in self.steps.iter().enumerate() {
                if !step.is_ahead(resource) {
                    continue;
                }
                if let Some(after) = self.stage.plan.after[layer] {
                    let after = after as usize;
                    wait_until(|| self.done.load(Ordering::Acquire) > after || self.is_stopped());
                }
                if self.is_stopped() {
                    return Ok(());
                }
                let mut piece = self.take(layer)?;
                let start = Instant::now();
                match step {
                    Step::Decoded(matrix) => self.decode(matrix, 0..matrix.rows(), &mut piece)?,
                    Step::Read(offset, _) => self.read(*offset, layer, &mut piece)?,
                    Step::Direct(_) | Step::Tiled(..) => {}
                }
                let ready = Ready { layer, piece, start, end: Instant::now() };
                if to.send(ready).is_err() {
                    return Ok(());
                }
            }
            pass = pass.saturating_add(1);
        }
    }

    fn receive(
        &self,
        ahead: &[(Resource, Receiver<Ready>)],
        resource: Resource,
        layer: usize,
    ) -> Result<Ready> {
        let gone = || Error::Violation { fact: format!("nobody made layer {layer} ready") };
        let from = ahead.iter().find(|(kind, _)| *kind == resource).map(|(_, from)| from).ok_or_else(gone)?;
        let mut found = None;
        let mut looks = 0_u32;
        while found.is_none() {
            match from.try_recv() {
                Ok(ready) => found = Some(ready),
                Err(TryRecvError::Empty) if !self.barrier.has_failed() => {
                    looks = looks.saturating_add(1);
                    if looks > 1 << 12 { thread::yield_now() } else { std::hint::spin_loop() }
                }
                Err(_) => return Err(gone()),
            }
        }
        found.filter(|ready| ready.layer == layer).ok_or_else(gone)
    }

    fn publish(&self, what: Option<BytesMut>) -> Option<BytesMut> {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *published, what)
    }

    fn offset(&self, place: usize) -> usize {
        self.stage.plan.places[place].map_or(0, |(offset, _)| index(offset))
    }

    fn take(&self, place: usize) -> Result<BytesMut> {
        let (offset, bytes) = self.stage.plan.places[place].unwrap_or((0, 0));
        self.stage.arena.take(index(offset), index(bytes))
    }

    /// Gives each thread its share of the scratch of a layer: as many bytes as it decodes at a time.
    fn hand_out(&self, place: usize) -> Result<()> {
        let mut rest = self.take(place)?;
        let shares = self.ranges(place).len();
        let each = match &self.steps[place] {
            Step::Tiled(matrix, rows) if *rows != usize::MAX => {
                Some(rest.len().checked_div(self.threads).unwrap_or(0)).filter(|_| matrix.rows() > 0)
            }
            _ => None,
        };
        for (thread, rows) in self.ranges(place).into_iter().enumerate() {
            let row = index(self.layers[place].row().saturating_mul(2));
            let bytes = each.unwrap_or_else(|| rows.len().saturating_mul(row));
            let bytes = if thread.saturating_add(1) == shares && each.is_none() { rest.len() } else { bytes };
            *lock(&self.shares[thread]) = Some(rest.split_to(bytes.min(rest.len())));
        }
        if !rest.is_empty() {
            // What the last thread has no use for stays with it.
            let last = shares.saturating_sub(1);
            if let Some(share) = lock(&self.shares[last]).as_mut() {
                share.unsplit(rest);
            }
        }
        Ok(())
    }

    fn collect(&self, place: usize) {
        let mut whole: Option<BytesMut> = None;
        for share in &self.shares {
            let Some(piece) = lock(share).take() else { continue };
            match &mut whole {
                Some(whole) => whole.unsplit(piece),
                None => whole = Some(piece),
            }
        }
        if let Some(whole) = whole {
            self.stage.arena.give(self.offset(place), whole);
        }
    }

    fn ranges(&self, place: usize) -> Vec<Range<usize>> {
        splits(self.threads, index(self.layers[place].rows()), 16)
    }

    /// A thread's share of a layer; gives the seconds of it that were decoding whole layers.
    fn work(&self, place: usize, thread: usize, y: &mut [f32]) -> Result<f64> {
        let Some(rows) = self.ranges(place).get(thread).cloned() else { return Ok(0.0) };
        let count = rows.len().saturating_mul(self.batch);
        let y = &mut y[..count];
        match &self.steps[place] {
            Step::Direct(matrix) => self.multiply(matrix, rows, y)?,
            Step::Tiled(matrix, tile) => return self.tiles(place, thread, (matrix, *tile), y),
            Step::Decoded(_) | Step::Read(..) => {
                let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
                let shared = published.as_deref().unwrap_or_default();
                let layer = &self.layers[place];
                let matrix = match &self.steps[place] {
                    Step::Read(..) => {
                        let pieces = &self.stage.places[place];
                        Matrix::new(layer.scheme, &layer.shape, &pieces.of(shared, 0))?
                    }
                    _ => Matrix::new(Scheme::F16, &layer.shape, &[shared])?,
                };
                self.multiply(&matrix, rows, y)?;
            }
        }
        self.keep(place, thread, y);
        Ok(0.0)
    }

    /// Decodes and multiplies a thread's rows, as many at a time as its scratch holds.
    fn tiles(
        &self,
        place: usize,
        thread: usize,
        (matrix, tile): (&Matrix<'_>, usize),
        y: &mut [f32],
    ) -> Result<f64> {
        let Some(rows) = self.ranges(place).get(thread).cloned() else { return Ok(0.0) };
        let Some(mut scratch) = lock(&self.shares[thread]).take() else { return Ok(0.0) };
        let row = index(self.layers[place].row());
        let most = scratch.len().checked_div(row.saturating_mul(2)).unwrap_or(1).clamp(1, tile.max(1));
        let mut decoding = 0.0;
        for start in rows.clone().step_by(most) {
            let part = start..start.saturating_add(most).min(rows.end);
            let bytes = part.len().saturating_mul(row).saturating_mul(2);
            let begun = Instant::now();
            self.decode(matrix, part.clone(), &mut scratch[..bytes])?;
            decoding += begun.elapsed().as_secs_f64();
            let shape = [part.len(), row].map(|size| u64::try_from(size).unwrap_or(0));
            let dense = Matrix::new(Scheme::F16, &shape, &[&scratch[..bytes]])?;
            self.multiply_into(&dense, &part, &rows, y)?;
        }
        *lock(&self.shares[thread]) = Some(scratch);
        self.keep(place, thread, y);
        Ok(if tile == usize::MAX { decoding } else { 0.0 })
    }

    fn decode(&self, matrix: &Matrix<'_>, rows: Range<usize>, scratch: &mut [u8]) -> Result<()> {
        let is_large = u64::try_from(scratch.len()).is_ok_and(|bytes| bytes > self.last_cache >> 1);
        let store = if is_large { Store::Streamed } else { Store::Cached };
        matrix.decode_rows(rows, Out::F16(bytemuck::cast_slice_mut(scratch)), self.isa, store)
    }

    fn multiply(&self, matrix: &Matrix<'_>, rows: Range<usize>, y: &mut [f32]) -> Result<()> {
        let x = &self.x[..matrix.cols().saturating_mul(self.batch)];
        matrix.gemv(rows, x, self.batch, y, self.isa)
    }

    /// Multiplies a tile, whose rows are `part` of `rows`, into the outputs of all `rows`.
    fn multiply_into(
        &self,
        tile: &Matrix<'_>,
        part: &Range<usize>,
        rows: &Range<usize>,
        y: &mut [f32],
    ) -> Result<()> {
        let from = part.start.saturating_sub(rows.start);
        if self.batch == 1 {
            return self.multiply(tile, 0..part.len(), &mut y[from..from.saturating_add(part.len())]);
        }
        let mut own = vec![0.0; part.len().saturating_mul(self.batch)];
        self.multiply(tile, 0..part.len(), &mut own)?;
        let vectors = own.chunks_exact(part.len()).zip(y.chunks_exact_mut(rows.len()));
        for (own, y) in vectors {
            y[from..from.saturating_add(own.len())].copy_from_slice(own);
        }
        Ok(())
    }

    fn read(&self, offset: u64, place: usize, piece: &mut [u8]) -> Result<()> {
        let failed = |source| Error::Io { path: std::env::temp_dir(), source };
        let Some(file) = &self.stage.file else { return Ok(()) };
        let bytes = self.stage.places[place].end();
        let mut file = lock(file);
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut piece[..bytes])).map_err(failed)
    }

    /// Room for the outputs of one thread.
    fn outputs_of_one(&self) -> Vec<f32> {
        let longest =
            (0..self.layers.len()).flat_map(|place| self.ranges(place)).map(|rows| rows.len()).max();
        vec![0.0; longest.unwrap_or(0).saturating_mul(self.batch)]
    }

    /// Keeps outputs of the first pass, where they were asked for.
    fn keep(&self, place: usize, thread: usize, y: &[f32]) {
        let Some(outputs) = &self.outputs else { return };
        if self.begun.load(Ordering::Acquire) > 1 || self.batch > 1 {
            return;
        }
        let start = self.ranges(place).get(thread).map_or(0, |rows| rows.start);
        let mut kept = lock(&outputs[place]);
        let needed = start.saturating_add(y.len());
        if kept.len() < needed {
            kept.resize(needed, 0.0);
        }
        kept[start..needed].copy_from_slice(y);
    }
}
