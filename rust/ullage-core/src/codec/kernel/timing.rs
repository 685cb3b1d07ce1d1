//! How long kernels take, chunk by chunk: on a machine that others use too, a low percentile of many short chunks says
//! what the kernel needs.

use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use super::parallel::run;
use super::{Isa, Matrix, Out, Store, fill, read, splits};
use crate::error::{Error, Result};

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work<'a> {
    /// Decoding to numbers of 32 bits.
    F32,
    /// Decoding to halves.
    F16,
    /// Decoding to bfloat16.
    Bf16,
    /// Multiplying with so many vectors, as [`Matrix::gemv`] takes them.
    Multiply(&'a [f32], usize),
    /// Multiplying with so many vectors that were rounded before, as [`Matrix::round`] takes them.
    Rounded(&'a [f32], usize),
}

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Rows, or for roofs bytes, of a chunk.
    pub chunk: usize,
    /// Times all rows are gone through; once more before, untimed.
    pub rounds: usize,
    /// Threads, each with rows of its own.
    pub threads: usize,
    /// Instructions.
    pub isa: Isa,
    /// Stores.
    pub store: Store,
}

impl Matrix<'_> {
    /// Seconds of every whole chunk, of one thread each.
    ///
    /// # Errors
    /// Those of [`Matrix::decode_rows`], [`Matrix::gemv`] and [`Matrix::gemv_rounded`].
    pub fn times(&self, work: Work<'_>, course: Course) -> Result<Vec<f64>> {
        spread(course, self.rows(), |rows| {
            let width = match work {
                Work::Multiply(_, batch) | Work::Rounded(_, batch) => batch,
                _ => self.cols(),
            };
            let rounded = match work {
                Work::Rounded(x, batch) => Some(self.round(x, batch)?),
                _ => None,
            };
            let count = rows.len().saturating_mul(width);
            let wide = if matches!(work, Work::F16 | Work::Bf16) { 0 } else { count };
            let (mut numbers, mut words) = (vec![0.0_f32; wide], vec![0_u16; count.saturating_sub(wide)]);
            chunks(course, rows.clone(), |chunk| {
                let first = chunk.start.saturating_sub(rows.start).saturating_mul(width);
                let place = first..first.saturating_add(chunk.len().saturating_mul(width));
                let (isa, store) = (course.isa, course.store);
                if let Some(x) = &rounded {
                    return self.gemv_rounded(chunk, x, &mut numbers[place], isa);
                }
                match work {
                    Work::F32 | Work::Rounded(..) => {
                        self.decode_rows(chunk, Out::F32(&mut numbers[place]), isa, store)
                    }
                    Work::F16 => self.decode_rows(chunk, Out::F16(&mut words[place]), isa, store),
                    Work::Bf16 => self.decode_rows(chunk, Out::Bf16(&mut words[place]), isa, store),
                    Work::Multiply(x, batch) => self.gemv(chunk, x, batch, &mut numbers[place], isa),
                }
            })
        })
    }
}

/// Seconds that filling each whole chunk of `bytes` takes.
///
/// # Errors
/// [`Error::Argument`] where a thread cannot be started.
pub fn fill_times(bytes: usize, course: Course) -> Result<Vec<f64>> {
    spread(course, bytes, |range| {
        let mut numbers = vec![0.0_f32; range.len() / 4];
        chunks(course, 0..range.len(), |chunk| {
            let place = chunk.start / 4..chunk.end / 4;
            fill(numbers.get_mut(place).unwrap_or_default(), 1.0, course.isa, course.store);
            Ok(())
        })
    })
}

/// Seconds that reading each whole chunk of `bytes` takes.
///
/// # Errors
/// [`Error::Argument`] where a thread cannot be started.
pub fn read_times(bytes: usize, course: Course) -> Result<Vec<f64>> {
    spread(course, bytes, |range| {
        let data = vec![1_u8; range.len()];
        chunks(course, 0..range.len(), |chunk| {
            black_box(read(data.get(chunk).unwrap_or_default()));
            Ok(())
        })
    })
}

fn spread<F>(course: Course, length: usize, work: F) -> Result<Vec<f64>>
where
    F: Fn(Range<usize>) -> Result<Vec<f64>> + Sync,
{
    if course.chunk == 0 {
        return Err(Error::Argument { name: "chunk", reason: "it is 0".to_owned() });
    }
    let ranges = splits(course.threads, length, course.chunk);
    let mut times: Vec<Vec<f64>> = ranges.iter().map(|_| Vec::new()).collect();
    let work = &work;
    let one = |(range, times): (Range<usize>, &mut Vec<f64>)| -> Result<()> {
        *times = work(range)?;
        Ok(())
    };
    run(ranges.into_iter().zip(&mut times).map(|pair| move || one(pair)).collect())?;
    Ok(times.concat())
}

fn chunks(
    course: Course,
    all: Range<usize>,
    mut work: impl FnMut(Range<usize>) -> Result<()>,
) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for round in 0..=course.rounds {
        for start in all.clone().step_by(course.chunk) {
            let chunk = start..start.saturating_add(course.chunk).min(all.end);
            let is_timed = round > 0 && chunk.len() == course.chunk;
            let begin = Instant::now();
            work(chunk)?;
            if is_timed {
                times.push(begin.elapsed().as_secs_f64());
            }
        }
    }
    Ok(times)
}
