//! Rates of single resources: what memory, arithmetic, decoding and storage allow by themselves.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rate;
use crate::codec::Scheme;
use crate::codec::kernel::{self, Course, Isa, Matrix, Store, Work};
use crate::error::{Error, Result};
use crate::jit::execute::{self, Conduct, Source, Wanted};
use crate::jit::figure::{Figure, Unit};
use crate::jit::{Layer, Policy, float};
use crate::units::Bytes;

const CHUNK: usize = 4 << 20;
/// Times that memory is gone through, and a tile.
const ROUNDS: usize = 6;
const REPEATS: usize = 512;

pub(super) struct Roofs {
    pub(super) read: Figure,
    pub(super) write: Figure,
    pub(super) copy: Figure,
}

/// Reading, writing and copying memory beyond the caches, by all threads at once.
pub(super) fn memory(threads: u32, last_cache: u64, available: Bytes) -> Result<Roofs> {
    let most = (available.get() >> 3).max(8 << 20);
    let all = usize::try_from(last_cache.saturating_mul(2).min(most)).unwrap_or(usize::MAX).max(CHUNK << 1);
    let course = Course {
        chunk: CHUNK,
        rounds: ROUNDS,
        threads: usize::try_from(threads.max(1)).unwrap_or(1),
        isa: Isa::detect(),
        store: Store::Streamed,
    };
    let together = float(u64::try_from(CHUNK).unwrap_or(0)) * f64::from(threads);
    let unit = Unit::BytesPerSecond;
    Ok(Roofs {
        read: rate(&kernel::read_times(all, course)?, together, unit),
        write: rate(&kernel::fill_times(all, course)?, together, unit),
        copy: rate(&copy_times(all, course)?, together, unit),
    })
}

/// Seconds that copying each chunk takes, on every thread, all at work.
fn copy_times(bytes: usize, course: Course) -> Result<Vec<f64>> {
    let found = Mutex::new(Vec::new());
    kernel::parallel(course.threads, course.threads, |range| {
        let words = bytes.checked_div(course.threads.saturating_mul(8)).unwrap_or(0).max(CHUNK >> 3);
        let (from, mut to) = (vec![1_u64; words], vec![0_u64; words]);
        let mut seconds = Vec::new();
        for _ in range.flat_map(|_| 0..course.rounds) {
            for (from, to) in from.chunks_exact(CHUNK >> 3).zip(to.chunks_exact_mut(CHUNK >> 3)) {
                let start = Instant::now();
                to.copy_from_slice(from);
                std::hint::black_box(&to[0]);
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        found.lock().unwrap_or_else(PoisonError::into_inner).extend(seconds);
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Weights of a tile that any second cache holds, stored and decoded: 128 rows of 1024.
const TILE: [u64; 2] = [128, 1024];

/// Decoding from and to the caches beside a core, times the threads.
pub(super) fn decompression(scheme: Scheme, threads: u32) -> Result<Figure> {
    let seconds = of_tile(scheme, Work::F16)?;
    Ok(rate(&seconds, 2.0 * weights() * f64::from(threads), Unit::BytesPerSecond))
}

/// Multiplying plain numbers from the caches beside a core, times the threads.
pub(super) fn compute(threads: u32) -> Result<Figure> {
    let x = vec![0.5_f32; usize::try_from(TILE[1]).unwrap_or(0)];
    let seconds = of_tile(Scheme::F16, Work::Multiply(&x, 1))?;
    Ok(rate(&seconds, 2.0 * weights() * f64::from(threads), Unit::FlopsPerSecond))
}

fn weights() -> f64 {
    float(TILE[0]) * float(TILE[1])
}

/// Seconds of a tile over and over, on one thread.
fn of_tile(scheme: Scheme, work: Work<'_>) -> Result<Vec<f64>> {
    let pieces = execute::made(&Layer::new("tile", &TILE, scheme)?)?;
    let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let matrix = Matrix::new(scheme, &TILE, &borrowed)?;
    let (chunk, isa, store) = (matrix.rows(), Isa::detect(), Store::Cached);
    let course = Course { chunk, rounds: REPEATS, threads: 1, isa, store };
    matrix.times(work, course)
}

/// Seconds of a layer with next to nothing in it.
pub(super) fn dispatch(threads: u32) -> Result<Figure> {
    let layers: Vec<Layer> =
        (0..64).map(|_| Layer::new("small", &[16, 16], Scheme::F16)).collect::<Result<_>>()?;
    let policies = vec![Policy::Fused; layers.len()];
    let conduct = Conduct { threads, passes: 16, time: Duration::from_millis(60), ..Conduct::default() };
    let run = execute::measure(&layers, &policies, Source::Made, &conduct, Wanted::default())?;
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
