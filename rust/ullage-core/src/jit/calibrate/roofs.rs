//! Rates of single resources: what memory, arithmetic, decoding and storage allow by themselves.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use super::rate;
use crate::codec::Scheme;
use crate::codec::kernel::{Isa, Matrix, Out, Store};
use crate::error::{Error, Result};
use crate::jit::execute::{self, Conduct};
use crate::jit::figure::{Figure, Unit};
use crate::jit::{Layer, Policy, float};
use crate::units::Bytes;

const CHUNK: usize = 4 << 20;
const TIME: Duration = Duration::from_millis(250);

pub(super) struct Roofs {
    pub(super) read: Figure,
    pub(super) write: Figure,
    pub(super) copy: Figure,
}

/// Reading, writing and copying memory beyond the caches, by all threads at once.
pub(super) fn memory(threads: u32, last_cache: u64, available: Bytes) -> Result<Roofs> {
    let most = (available.get() >> 3).max(8 << 20);
    let each = last_cache.saturating_mul(2).min(most).checked_div(u64::from(threads.max(1))).unwrap_or(0);
    let words = usize::try_from(each >> 3).unwrap_or(usize::MAX).max(CHUNK >> 2);
    let read = together(threads, words, |_, chunk| {
        // Eight sums, so that additions wait for memory and not for one another.
        let mut sums = [0_u64; 8];
        for words in chunk.chunks_exact(8) {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = sum.wrapping_add(*word);
            }
        }
        std::hint::black_box(sums);
    })?;
    let write = together(threads, words, |pass, chunk| {
        let byte = u64::from(pass.to_le_bytes()[0]);
        chunk.fill(byte.wrapping_mul(0x0101_0101_0101_0101));
        std::hint::black_box(&chunk[0]);
    })?;
    let copy = together(threads, words, |_, chunk| {
        let (from, to) = chunk.split_at_mut(chunk.len() >> 1);
        to[..from.len()].copy_from_slice(from);
        std::hint::black_box(&to[0]);
    })?;
    let all = float(u64::try_from(CHUNK).unwrap_or(0)) * f64::from(threads);
    Ok(Roofs {
        read: rate(&read, all, Unit::BytesPerSecond),
        write: rate(&write, all, Unit::BytesPerSecond),
        copy: rate(&copy, all / 2.0, Unit::BytesPerSecond),
    })
}

/// Seconds of each chunk on every thread, all at work.
fn together(threads: u32, words: usize, work: impl Fn(usize, &mut [u64]) + Sync) -> Result<Vec<f64>> {
    let work = &work;
    let one = move || -> Result<Vec<f64>> {
        let mut block: Vec<u64> = Vec::new();
        block.try_reserve_exact(words).map_err(|_| Error::Overflow { what: "the memory to be timed" })?;
        block.resize(words, 1);
        let (mut seconds, begun, mut pass) = (Vec::new(), Instant::now(), 0_usize);
        while begun.elapsed() < TIME || pass < 2 {
            for chunk in block.chunks_exact_mut(CHUNK >> 3) {
                let start = Instant::now();
                work(pass, chunk);
                seconds.push(start.elapsed().as_secs_f64());
            }
            pass = pass.saturating_add(1);
        }
        Ok(seconds)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut all = one()?;
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// Weights of a tile that any second cache holds, stored and decoded: 128 rows of 1024.
const TILE: [u64; 2] = [128, 1024];

/// Decoding from and to the caches beside a core, times the threads.
pub(super) fn decompression(scheme: Scheme, threads: u32) -> Result<Figure> {
    let layer = Layer::new("tile", &TILE, scheme)?;
    let pieces = execute::made(&layer)?;
    let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let matrix = Matrix::new(scheme, &TILE, &borrowed)?;
    let mut out = vec![0_u16; usize::try_from(layer.elements()).unwrap_or(0)];
    let isa = Isa::detect();
    let seconds = repeat(|| matrix.decode_rows(0..matrix.rows(), Out::F16(&mut out), isa, Store::Cached))?;
    Ok(rate(&seconds, float(layer.dense.get()) * f64::from(threads), Unit::BytesPerSecond))
}

/// Multiplying plain numbers from the caches beside a core, times the threads.
pub(super) fn compute(threads: u32) -> Result<Figure> {
    let layer = Layer::new("tile", &TILE, Scheme::F16)?;
    let pieces = execute::made(&layer)?;
    let matrix = Matrix::new(Scheme::F16, &TILE, &[&pieces[0]])?;
    let (x, mut y) = (vec![0.5_f32; matrix.cols()], vec![0.0_f32; matrix.rows()]);
    let isa = Isa::detect();
    let seconds = repeat(|| matrix.gemv(0..matrix.rows(), &x, 1, &mut y, isa))?;
    Ok(rate(&seconds, float(layer.flops_per_token) * f64::from(threads), Unit::FlopsPerSecond))
}

fn repeat(mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let (mut seconds, begun) = (Vec::new(), Instant::now());
    work()?;
    while seconds.len() < 16 || begun.elapsed() < Duration::from_millis(60) {
        let start = Instant::now();
        work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// Seconds of a layer with next to nothing in it.
pub(super) fn dispatch(threads: u32) -> Result<Figure> {
    let layers: Vec<Layer> =
        (0..64).map(|_| Layer::new("small", &[16, 16], Scheme::F16)).collect::<Result<_>>()?;
    let policies = vec![Policy::Fused; layers.len()];
    let conduct = Conduct { threads, passes: 16, time: Duration::from_millis(60), ..Conduct::default() };
    let run = execute::measure(&layers, &policies, None, &conduct, false)?;
    let seconds: Vec<f64> = run.samples.whole.iter().flatten().copied().collect();
    let per_layer = execute::low(&seconds);
    let spread = Some(execute::spread(&seconds));
    Ok(Figure { spread, ..Figure::new(per_layer, Unit::Seconds, crate::jit::figure::Origin::Measured) })
}

/// Reading a file that was just written and dropped from the page cache, where the system does that.
pub(super) fn storage() -> Result<Figure> {
    let failed = |source| Error::Io { path: std::env::temp_dir(), source };
    let mut file = execute::nameless()?;
    let mut chunk = vec![0_u8; CHUNK];
    for (place, byte) in chunk.iter_mut().enumerate() {
        *byte = place.wrapping_mul(0x9e37_79b1).to_le_bytes()[3];
    }
    for _ in 0..16 {
        file.write_all(&chunk).map_err(failed)?;
    }
    file.sync_data().map_err(failed)?;
    let mut seconds = Vec::new();
    for _ in 0..2 {
        forget(&file);
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        for _ in 0..16 {
            let start = Instant::now();
            file.read_exact(&mut chunk).map_err(failed)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    // Chunks that were read ahead come from memory: all of them together count, not the fastest.
    let whole: f64 = seconds.iter().sum();
    let chunks = float(u64::try_from(seconds.len()).unwrap_or(1));
    let bytes = float(u64::try_from(CHUNK).unwrap_or(0));
    let found = rate(&seconds, bytes, Unit::BytesPerSecond);
    Ok(Figure { value: bytes * chunks / whole.max(1e-9), ..found })
}

#[cfg(target_os = "linux")]
fn forget(file: &File) {
    // Where the system does not, the rate is that of the page cache.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File) {}
