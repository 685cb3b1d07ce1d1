//! The definition, a column at a time: what all other forms equal, bit for bit.
//!
//! Where a row has one scale, a block's products of integers are summed in the lane of their column; each lane is then
//! joined, as a number of 32 bits times the block's scale, by a fused multiply-add, and the result multiplied with the
//! weight's scale at the end. Elsewhere the columns that a block and a run of weights have in common are one sum, which is
//! joined times the product of both scales, sum `n` of a row in lane `n mod 16`; `Q4_K` then takes off the sum of the
//! integers of `x` times the product of its least value and the scale. Lanes are joined by halves: 8 apart, 4, 2, 1.
//!
//! No sum overflows: a lane of 256 columns adds 16 products, a block 32, of at most 255 times 127.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "divisions by sizes of blocks, spans and groups, none of which is 0"
)]

use std::ops::Range;

use super::super::blocks::six_bits;
use super::super::dot;
use super::super::format::{code, from_half, word};
use super::super::layout::{Block, Integers, Layout};
use super::super::portable;
use super::super::runs::Run;
use super::{BLOCK, Form, LANES, Plan, Rounded, Vector};

/// Multiplies `rows` of as many columns as the vectors have.
pub(in crate::codec::kernel) fn multiply(
    layout: &Layout<'_>,
    plan: Plan,
    rows: Range<usize>,
    x: &Rounded,
    y: &mut [f32],
) {
    let count = rows.len();
    for (place, row) in rows.enumerate() {
        let start = row.saturating_mul(x.cols());
        for (vector, y) in y.chunks_exact_mut(count).enumerate() {
            y[place] = product(layout, plan, start, x.cols(), x.vector(vector));
        }
    }
}

/// The product of a vector and the row of `cols` columns whose first element is `start`.
pub(in crate::codec::kernel) fn product(
    layout: &Layout<'_>,
    plan: Plan,
    start: usize,
    cols: usize,
    x: Vector<'_>,
) -> f32 {
    match (layout, plan.form) {
        (Layout::Integers(integers), Form::Row { .. }) => one_scale(integers, plan, start, cols, x),
        (Layout::Integers(integers), Form::Blocks { .. }) => {
            runs(integers, plan, start..start.saturating_add(cols), x)
        }
        (Layout::Blocks { block, data }, _) => blocks(*block, data, plan, start, cols, x),
        _ => 0.0,
    }
}

/// The integer that a code stands for.
fn level(integers: &Integers<'_>, element: usize, zero: i32) -> i32 {
    let code = code(integers.codes, element, integers.bits);
    match (integers.is_affine, integers.bits) {
        (true, _) => i32::from(code).wrapping_sub(zero),
        (false, 4) => i32::from((code ^ 8).wrapping_sub(8).cast_signed()),
        (false, _) => i32::from(code.cast_signed()),
    }
}

/// What is the same for the elements of a run: scale and zero point.
pub(in crate::codec::kernel) fn shared(integers: &Integers<'_>, run: Option<Run>) -> (f32, i32) {
    let (scale, zero) = portable::scale(integers, run.map_or(0, |run| run.place));
    (scale, i32::from(zero))
}

/// The product of a vector and a row that has one scale.
pub(in crate::codec::kernel) fn one_scale(
    integers: &Integers<'_>,
    plan: Plan,
    start: usize,
    cols: usize,
    x: Vector<'_>,
) -> f32 {
    let Form::Row { group } = plan.form else { return 0.0 };
    let (scale, zero) = shared(integers, integers.sharing.of(start..start.saturating_add(cols)).next());
    let mut lanes = [0.0_f32; LANES];
    for (block, &step) in (0..cols).step_by(plan.block()).zip(x.scales) {
        let mut sums = [0_i32; LANES];
        for column in block..block.saturating_add(plan.block()).min(cols) {
            let level = level(integers, start.saturating_add(column), zero);
            let product = level.wrapping_mul(i32::from(x.codes[plan.order.place(column)]));
            let sum = &mut sums[column / group % LANES];
            *sum = sum.wrapping_add(product);
        }
        for (lane, sum) in lanes.iter_mut().zip(sums) {
            *lane = number(sum).mul_add(step, *lane);
        }
    }
    dot::joined(lanes) * scale
}

fn runs(integers: &Integers<'_>, plan: Plan, elements: Range<usize>, x: Vector<'_>) -> f32 {
    let mut joins = Joins::default();
    for run in integers.sharing.of(elements.clone()) {
        let (scale, zero) = shared(integers, Some(run));
        let first = run.start.saturating_sub(elements.start);
        let end = first.saturating_add(run.length);
        let mut column = first;
        while column < end {
            let next = (column / BLOCK).saturating_add(1).saturating_mul(BLOCK).min(end);
            let mut sum = 0_i32;
            for column in column..next {
                let level = level(integers, elements.start.saturating_add(column), zero);
                sum = sum.wrapping_add(level.wrapping_mul(i32::from(x.codes[plan.order.place(column)])));
            }
            joins.add(sum, scale * x.scales[column / BLOCK]);
            column = next;
        }
    }
    dot::joined(joins.lanes)
}

/// GGML blocks, of which a row is a whole number.
fn blocks(block: Block, data: &[u8], plan: Plan, start: usize, cols: usize, x: Vector<'_>) -> f32 {
    let (elements, bytes) = (block.elements(), block.bytes());
    let Form::Blocks { span } = plan.form else { return 0.0 };
    let first = (start / elements).saturating_mul(bytes);
    let mut joins = Joins::default();
    let blocks = data.get(first..).unwrap_or_default().chunks_exact(bytes);
    for (number, block_data) in (0..cols / elements).zip(blocks) {
        let stored = Stored::of(block, block_data);
        for run in 0..elements / span {
            let from = number.saturating_mul(elements).saturating_add(run.saturating_mul(span));
            let mut sum = 0_i32;
            for (level, column) in stored.levels[run.saturating_mul(span)..][..span].iter().zip(from..) {
                let code = x.codes[plan.order.place(column)];
                sum = sum.wrapping_add(i32::from(*level).wrapping_mul(i32::from(code)));
            }
            let (step, of_codes) = (x.scales[from / span], x.sums[from / span]);
            if block == Block::Q4K {
                joins.add_less(sum, stored.scales[run] * step, of_codes, stored.leasts[run] * step);
            } else {
                joins.add(sum, stored.scales[run] * step);
            }
        }
    }
    dot::joined(joins.lanes)
}

/// A sum as a number of 32 bits; with less than 2^24 products exact, else the nearest, ties to even.
#[expect(clippy::cast_precision_loss, reason = "that is the definition")]
const fn number(sum: i32) -> f32 {
    sum as f32
}

/// Sums that go to lanes in turn.
#[derive(Default)]
struct Joins {
    lanes: [f32; LANES],
    next: usize,
}

impl Joins {
    fn add(&mut self, sum: i32, scale: f32) {
        let lane = &mut self.lanes[self.next];
        *lane = number(sum).mul_add(scale, *lane);
        self.next = self.next.saturating_add(1) % LANES;
    }

    fn add_less(&mut self, sum: i32, scale: f32, of_codes: i32, least: f32) {
        let lane = &mut self.lanes[self.next];
        *lane = (-number(of_codes)).mul_add(least, number(sum).mul_add(scale, *lane));
        self.next = self.next.saturating_add(1) % LANES;
    }
}

/// A GGML block as integers with scales, one for each run.
struct Stored {
    levels: [i8; 256],
    scales: [f32; LANES],
    leasts: [f32; 8],
}

impl Stored {
    fn of(block: Block, data: &[u8]) -> Self {
        let mut stored = Self { levels: [0; 256], scales: [0.0; LANES], leasts: [0.0; 8] };
        match block {
            Block::Q4_0 => {
                stored.scales[0] = half(data, 0);
                for (place, byte) in data[2..18].iter().enumerate() {
                    stored.levels[place] = (byte & 15).cast_signed().wrapping_sub(8);
                    stored.levels[place | 16] = (byte >> 4).cast_signed().wrapping_sub(8);
                }
            }
            Block::Q8_0 => {
                stored.scales[0] = half(data, 0);
                let codes = stored.levels.iter_mut().zip(&data[2..34]);
                codes.for_each(|(level, byte)| *level = byte.cast_signed());
            }
            Block::Q4K => stored.four_bits(data),
            Block::Q6K => stored.six_bits(data),
        }
        stored
    }

    fn four_bits(&mut self, data: &[u8]) {
        let (scale, least) = (half(data, 0), half(data, 2));
        let packed: [u8; 12] = std::array::from_fn(|place| data[place.wrapping_add(4)]);
        for run in 0..8 {
            let (step, off) = six_bits(&packed, run);
            self.scales[run] = scale * f32::from(step);
            self.leasts[run] = least * f32::from(off);
        }
        for (codes, levels) in data[16..144].chunks_exact(32).zip(self.levels.chunks_exact_mut(64)) {
            for (place, byte) in codes.iter().enumerate() {
                levels[place] = (byte & 15).cast_signed();
                levels[place | 32] = (byte >> 4).cast_signed();
            }
        }
    }

    fn six_bits(&mut self, data: &[u8]) {
        let scale = half(data, 208);
        let scales = self.scales.iter_mut().zip(&data[192..208]);
        scales.for_each(|(found, step)| *found = scale * f32::from(step.cast_signed()));
        for (place, level) in self.levels.iter_mut().enumerate() {
            let (part, quarter, at) = (place >> 7, place >> 5 & 3, place & 31);
            let low = data[part << 6 | (quarter & 1) << 5 | at] >> ((quarter & 2) << 1) & 15;
            let high = data[128 | part << 5 | at] >> (quarter << 1) & 3;
            *level = (low | high << 4).cast_signed().wrapping_sub(32);
        }
    }
}

fn half(data: &[u8], at: usize) -> f32 {
    from_half(word(data, at / 2))
}
