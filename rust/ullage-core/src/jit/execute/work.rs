//! A thread's share of a layer: its rows, its scratch, and what it does with them.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::BytesMut;

use super::step::{Step, index};
use super::team::{Team, lock};
use crate::codec::Scheme;
use crate::codec::kernel::{Matrix, Out, Store, splits};
use crate::error::{Error, Result};

impl Team<'_> {
    /// Gives each thread its share of the scratch of a layer: as many bytes as it decodes at a time.
    pub(super) fn hand_out(&self, place: usize) -> Result<()> {
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

    /// Takes the shares back.
    pub(super) fn collect(&self, place: usize) {
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
    pub(super) fn work(&self, place: usize, thread: usize, y: &mut [f32]) -> Result<f64> {
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

    pub(super) fn decode(&self, matrix: &Matrix<'_>, rows: Range<usize>, scratch: &mut [u8]) -> Result<()> {
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

    pub(super) fn read(&self, offset: u64, place: usize, piece: &mut [u8]) -> Result<()> {
        let failed = |source| Error::Io { path: std::env::temp_dir(), source };
        let Some(file) = &self.stage.file else { return Ok(()) };
        let bytes = self.stage.places[place].end();
        let mut file = lock(file);
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut piece[..bytes])).map_err(failed)
    }

    /// Room for the outputs of one thread.
    pub(super) fn outputs_of_one(&self) -> Vec<f32> {
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
