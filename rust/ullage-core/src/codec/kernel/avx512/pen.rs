//! Numbers on their way from registers to memory, past the caches where that is wanted, by whole lines alone.
//!
//! A line that is written in part has first to be read, and all stores behind it wait: rows seldom begin lines, and a line
//! that two rows share is put together here before it is written. While rows have steps of 64, what belongs to the next
//! line stays in a register:
//!
//! ```text
//!  step    | a a a a a a a a | b b b b b b b b |
//!  lines  h h h a a a a a | a a a b b b b b | b b b          h: held from before
//! ```

use std::arch::x86_64::*;

use super::super::format::{Bf16, Format, Kind};
use super::lanes::STEP;

/// Bytes of a line.
const LINE: usize = 64;
/// Numbers of 16 bits in a line.
const FRONT: usize = 32;

/// Room before the line, so that a register whose last numbers are held can be kept, the line, and a step.
#[derive(Clone)]
#[repr(align(64))]
struct Line<W>([W; FRONT + 32 + STEP]);

/// Where numbers are written, run by run.
pub(in crate::codec) struct Pen<'a, F: Format> {
    out: &'a mut [F::Word],
    /// Numbers that are in `out`.
    at: usize,
    /// Numbers behind them, fewer than a line has; where there are any, `out[at]` begins a line.
    held: usize,
    line: Line<F::Word>,
    is_streamed: bool,
}

/// The same for numbers of bfloat16.
pub(in crate::codec) type BrainPen<'a> = Pen<'a, Bf16>;

/// 64 numbers of the registers that [`Pen::steps`] takes.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn numbers<F: Format>(registers: [__m512i; 4]) -> [F::Word; STEP] {
    let mut numbers = [F::Word::default(); STEP];
    let to: *mut __m512i = numbers.as_mut_ptr().cast();
    for (place, register) in registers.into_iter().take(count::<F>()).enumerate() {
        // SAFETY: 64 numbers are so many registers.
        unsafe { _mm512_storeu_si512(to.add(place), register) };
    }
    numbers
}

/// Registers of 64 numbers.
const fn count<F: Format>() -> usize {
    if matches!(F::KIND, Kind::F32) { 4 } else { 2 }
}

impl<'a, F: Format> Pen<'a, F> {
    /// Numbers of a line.
    const LENGTH: usize = LINE / size_of::<F::Word>();

    /// Writes to `out`, past the caches where it is streamed.
    #[inline]
    pub(in crate::codec) fn new(out: &'a mut [F::Word], is_streamed: bool) -> Self {
        let is_streamed = is_streamed && out.as_ptr().addr().is_multiple_of(4);
        Self { out, at: 0, held: 0, line: Line([F::Word::default(); FRONT + 32 + STEP]), is_streamed }
    }

    /// Numbers before the next line begins.
    fn room(&self) -> usize {
        let place = self.out.as_ptr().wrapping_add(self.at).addr();
        (place.wrapping_neg() % LINE) / size_of::<F::Word>()
    }

    /// Writes what `plain` gives, a few numbers at a time, with how many it has given before.
    pub(in crate::codec) fn plain(&mut self, count: usize, mut plain: impl FnMut(usize, &mut [F::Word])) {
        let mut numbers = [F::Word::default(); STEP];
        for done in (0..count).step_by(STEP) {
            let some = STEP.min(count - done);
            plain(done, &mut numbers[..some]);
            self.put(&numbers, some);
        }
    }

    /// Writes the first `count` of `numbers`.
    pub(in crate::codec) fn put(&mut self, numbers: &[F::Word; STEP], count: usize) {
        let mut numbers = &numbers[..count];
        if !self.is_streamed || self.held == 0 {
            let now = if self.is_streamed { self.room().min(count) } else { count };
            let (first, rest) = numbers.split_at(now);
            self.out[self.at..self.at + now].copy_from_slice(first);
            self.at += now;
            numbers = rest;
        }
        let end = FRONT + self.held + numbers.len();
        self.line.0[FRONT + self.held..end].copy_from_slice(numbers);
        let lines = (end - FRONT) / Self::LENGTH;
        for line in 0..lines {
            let from = FRONT + line * Self::LENGTH;
            self.out[self.at..self.at + Self::LENGTH]
                .copy_from_slice(&self.line.0[from..from + Self::LENGTH]);
            self.at += Self::LENGTH;
        }
        self.line.0.copy_within(FRONT + lines * Self::LENGTH..end, FRONT);
        self.held = end - FRONT - lines * Self::LENGTH;
    }

    /// Writes so many times 64 numbers, for which there must be room, those of each step in the first registers that `of`
    /// gives.
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(in crate::codec) fn steps(&mut self, steps: usize, mut of: impl FnMut(usize) -> [__m512i; 4]) {
        assert!(steps * STEP <= self.out.len() - self.at - self.held, "there is room");
        if !self.is_streamed {
            // SAFETY: there is room.
            let to: *mut __m512i = unsafe { self.out.as_mut_ptr().add(self.at).cast() };
            for step in 0..steps {
                for (place, register) in of(step).into_iter().take(count::<F>()).enumerate() {
                    // SAFETY: as above.
                    unsafe { _mm512_storeu_si512(to.add(step * count::<F>() + place), register) };
                }
            }
            self.at += steps * STEP;
            return;
        }
        let mut step = 0;
        // Up to where a line begins; all, where the numbers that are held do not fill lanes of 32 bits.
        while step < steps && !self.is_ready() {
            let numbers = numbers::<F>(of(step));
            self.put(&numbers, STEP);
            step += 1;
        }
        if step == steps {
            return;
        }
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        // 16 lanes less those that are held.
        let later = (LINE - self.held * size_of::<F::Word>()) as u32 / 4;
        let places = _mm512_add_epi32(lanes, _mm512_set1_epi32(later.cast_signed()));
        let kept = &mut self.line.0[FRONT + self.held - Self::LENGTH..][..Self::LENGTH];
        // SAFETY: a line is 64 bytes.
        let mut before = unsafe { _mm512_loadu_si512(kept.as_ptr().cast()) };
        // SAFETY: there is room.
        let mut to: *mut __m512i = unsafe { self.out.as_mut_ptr().add(self.at).cast() };
        self.at += (steps - step) * STEP;
        while step < steps {
            for register in of(step).into_iter().take(count::<F>()) {
                let line = _mm512_permutex2var_epi32(before, places, register);
                // SAFETY: there is room, and a line begins here.
                unsafe {
                    _mm512_stream_si512(to, line);
                    to = to.add(1);
                }
                before = register;
            }
            step += 1;
        }
        // SAFETY: a line is 64 bytes.
        unsafe { _mm512_storeu_si512(kept.as_mut_ptr().cast(), before) };
    }

    /// Whether what is held, and what follows, can be written by whole registers.
    fn is_ready(&self) -> bool {
        (self.held > 0 || self.room() == 0) && (self.held * size_of::<F::Word>()).is_multiple_of(4)
    }

    /// Writes what is held.
    pub(in crate::codec) fn finish(self) {
        self.out[self.at..self.at + self.held].copy_from_slice(&self.line.0[FRONT..FRONT + self.held]);
    }
}
