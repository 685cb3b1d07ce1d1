//! BF16 of codes of four bits, from codes to numbers in registers.

use std::ops::Range;

use super::form::Form;
use super::kernel::Kernel;
use super::reader::{Exponents, Floats};
use super::{BLOCK, Fault};
use crate::codec::kernel::avx512::pen::BrainPen;

impl Floats<'_> {
    /// Reads `range`, where weights, the processor and the address of `out` are such that it is done so.
    pub(super) fn read_brain(
        &self,
        range: Range<usize>,
        out: &mut [u8],
        kernel: Kernel,
        is_streamed: bool,
    ) -> Option<Result<(), (Fault, usize)>> {
        let is_such =
            self.form == Form::Bf16 && matches!(self.coded, Exponents::Fixed(_)) && kernel.is_fused();
        let words = bytemuck::try_cast_slice_mut(out).ok().filter(|_| is_such)?;
        let mut pen = BrainPen::new(words, is_streamed);
        let mut start = range.start;
        while start < range.end {
            let block = start / BLOCK;
            let end = block.saturating_add(1).saturating_mul(BLOCK).min(range.end);
            if let Err(fault) = self.read_brain_block(block, start..end, kernel, &mut pen) {
                return Some(Err((fault, block)));
            }
            start = end;
        }
        pen.finish();
        Some(Ok(()))
    }

    /// Reads `range`, elements of one block.
    fn read_brain_block(
        &self,
        block: usize,
        range: Range<usize>,
        kernel: Kernel,
        pen: &mut BrainPen<'_>,
    ) -> Result<(), Fault> {
        let Exponents::Fixed(fixed) = &self.coded else { return Ok(()) };
        let (first, count) = (block.saturating_mul(BLOCK), self.count_of(block));
        let plain = self.form.planes(self.values, self.elements, first, count).ok_or(Fault::Short)?;
        let stored = (fixed.codes_of(block, count)?, &fixed.table, fixed.escapes_of(block)?);
        let is_all = if range.len() == count {
            kernel.fused(stored, plain.near, pen)
        } else {
            let mut words = [0; BLOCK];
            let mut whole = BrainPen::new(&mut words[..count], false);
            let is_all = kernel.fused(stored, plain.near, &mut whole);
            whole.finish();
            let wanted = &words[range.start.saturating_sub(first)..range.end.saturating_sub(first)];
            pen.plain(wanted.len(), |done, out| {
                let end = done.saturating_add(out.len());
                out.copy_from_slice(&wanted[done..end]);
            });
            is_all
        };
        if is_all { Ok(()) } else { Err(Fault::Escapes) }
    }
}
