//! Rounding to tables so that what a layer gives changes least, not its numbers (after GPTQ, arXiv 2210.17323).
//!
//! With `H` the moments of the inputs and `e` the errors of a row, the layer's output is off by `eᵀ H e = |U e|²`, where
//! `H = Uᵀ U` and `U` is upper triangular. From the last input to the first, each error is chosen to cancel what those
//! behind it left in its row of `U e`: what is rounded early is made good by what is rounded late. Inputs with large
//! moments go first, as they are worst made good. Then, by turns, tables are fitted by least squares in that norm and each
//! number is rounded anew with all others as they are (coordinate descent, after `QuantEase`, arXiv 2309.01885), until a
//! turn gains little.
//!
//! Rows are independent but for their tables. Sixteen of them are rounded side by side.

#![expect(clippy::arithmetic_side_effects, reason = "places among numbers that lie in memory")]

use super::inputs::Inputs;
use super::{clusters, palettized};

const LANES: usize = 16;
type Lane = [f32; LANES];

/// The share of the mean moment that every input has beside its own: rows that were not seen look a little otherwise.
const DAMPING: f64 = 0.01;
/// The same of a table's least squares.
const RIDGE: f64 = 1e-7;
/// A turn that takes less than this share of the error is the last.
const LEAST_GAIN: f64 = 0.01;
/// Turns at most.
const MOST_TURNS: usize = 16;

/// Moments in the order in which numbers are rounded, last to first, and their triangle.
#[derive(Debug)]
pub(super) struct Norm {
    size: usize,
    /// Which input stands at each place.
    order: Vec<usize>,
    moments: Vec<f32>,
    /// Rows of `U`, each from its diagonal on counted from 0.
    triangle: Vec<f32>,
}

impl Norm {
    /// The norm that `inputs` give, of numbers that are multiplied with `scales`; `None` where they are all 0.
    pub(super) fn new(inputs: &Inputs, scales: Option<&[f32]>) -> Option<Self> {
        let size = inputs.width();
        let scale = |place: usize| scales.map_or(1.0, |scales| f64::from(scales[place]));
        let of = |one: usize, other: usize| {
            f64::from(inputs.moments()[one * size + other]) * scale(one) * scale(other)
        };
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let mean = (0..size).map(|place| of(place, place)).sum::<f64>() / size as f64;
        if !(mean > 0.0 && mean.is_finite()) {
            return None;
        }
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|&one, &other| of(one, one).total_cmp(&of(other, other)));
        let mut whole = vec![0.0_f64; size * size];
        for (one, row) in whole.chunks_exact_mut(size).enumerate() {
            for (other, moment) in row.iter_mut().enumerate() {
                *moment = of(order[one], order[other]) / mean;
            }
            row[one] += DAMPING;
        }
        let moments = whole.iter().map(|&moment| narrow(moment)).collect();
        factor(&mut whole, size)?;
        let triangle = whole.iter().map(|&moment| narrow(moment)).collect();
        Some(Self { size, order, moments, triangle })
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    fn weight(&self, place: usize) -> f32 {
        self.moments[place * self.size + place]
    }
}

/// Turns a symmetric matrix into its upper triangle `U`, `H = Uᵀ U`; `None` if it is not positive.
fn factor(matrix: &mut [f64], size: usize) -> Option<()> {
    for pivot in 0..size {
        let (done, rest) = matrix.split_at_mut((pivot + 1) * size);
        let row = &mut done[pivot * size..];
        let root = row[pivot].sqrt();
        if !(root > 0.0 && root.is_finite()) {
            return None;
        }
        row[..pivot].fill(0.0);
        for value in &mut row[pivot..] {
            *value /= root;
        }
        for (place, below) in rest.chunks_exact_mut(size).enumerate() {
            let column = pivot + 1 + place;
            let share = row[column];
            for (value, above) in below[column..].iter_mut().zip(&row[column..]) {
                *value -= share * above;
            }
        }
    }
    Some(())
}

#[expect(clippy::cast_possible_truncation, reason = "what is rounded has 32 bits")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Up to sixteen rows side by side, in the order of a [`Norm`].
struct Block {
    rows: usize,
    /// The table of each row.
    tables: [usize; LANES],
    weights: Vec<Lane>,
    errors: Vec<Lane>,
    codes: Vec<[u8; LANES]>,
}

/// Sums of `shares` times the lanes they stand for.
fn dot(shares: &[f32], lanes: &[Lane]) -> Lane {
    let mut sums = [[0.0_f32; LANES]; 4];
    let (shares, rest) = shares.as_chunks::<4>();
    let (lanes, left) = lanes.as_chunks::<4>();
    for (shares, lanes) in shares.iter().zip(lanes) {
        for ((sum, share), lane) in sums.iter_mut().zip(shares).zip(lanes) {
            for (sum, value) in sum.iter_mut().zip(lane) {
                *sum += share * value;
            }
        }
    }
    for (share, lane) in rest.iter().zip(left) {
        for (sum, value) in sums[0].iter_mut().zip(lane) {
            *sum += share * value;
        }
    }
    let [one, two, three, four] = sums;
    std::array::from_fn(|lane| (one[lane] + two[lane]) + (three[lane] + four[lane]))
}

impl Block {
    /// Rows of which the first has the number `first`; every `rows_per_table` share a table.
    fn new(rows: &[f32], norm: &Norm, first: usize, rows_per_table: usize) -> Self {
        let count = rows.len() / norm.size;
        let lane = |place: &usize| {
            std::array::from_fn(|row| if row < count { rows[row * norm.size + place] } else { 0.0 })
        };
        let weights: Vec<Lane> = norm.order.iter().map(lane).collect();
        let (errors, codes) = (vec![[0.0; LANES]; norm.size], vec![[0; LANES]; norm.size]);
        let tables = std::array::from_fn(|row| (first + row) / rows_per_table);
        Self { rows: count, tables, weights, errors, codes }
    }

    /// Rounds the numbers at `place` to entries near `targets`.
    fn settle(&mut self, place: usize, targets: Lane, tables: &[Vec<f32>]) {
        for (row, target) in targets.into_iter().enumerate().take(self.rows) {
            let table = &tables[self.tables[row]];
            let code = palettized::closest(table, target);
            self.codes[place][row] = code;
            self.errors[place][row] = self.weights[place][row] - table[usize::from(code)];
        }
    }

    /// Rounds every number, each to make good what those before it left.
    fn round(&mut self, norm: &Norm, tables: &[Vec<f32>]) {
        for place in (0..norm.size).rev() {
            let shares = &norm.triangle[place * norm.size..][place..norm.size];
            let left = dot(&shares[1..], &self.errors[place + 1..]);
            let targets = std::array::from_fn(|row| self.weights[place][row] + left[row] / shares[0]);
            self.settle(place, targets, tables);
        }
    }

    /// Rounds every number anew with all others as they are, which never makes it worse.
    fn improve(&mut self, norm: &Norm, tables: &[Vec<f32>]) {
        for place in (0..norm.size).rev() {
            let pulls = dot(&norm.moments[place * norm.size..][..norm.size], &self.errors);
            let weight = norm.weight(place);
            let targets = std::array::from_fn(|row| {
                self.weights[place][row] - self.errors[place][row] + pulls[row] / weight
            });
            self.settle(place, targets, tables);
        }
    }

    /// Adds to the equations of the tables what least squares of their entries ask; returns the error as it is.
    fn ask(&self, norm: &Norm, equations: &mut [Equations]) -> f64 {
        let entries = equations.first().map_or(0, |table| table.wanted.len());
        let mut row_sums = vec![0.0_f32; entries * LANES];
        let mut error = 0.0;
        for (place, moments) in norm.moments.chunks_exact(norm.size).enumerate() {
            let pulls = dot(moments, &self.errors);
            row_sums.fill(0.0);
            for (moment, codes) in moments.iter().zip(&self.codes) {
                for (row, code) in codes.iter().enumerate() {
                    row_sums[usize::from(*code) * LANES + row] += moment;
                }
            }
            for row in 0..self.rows {
                let code = usize::from(self.codes[place][row]);
                let table = &mut equations[self.tables[row]];
                error += f64::from(pulls[row]) * f64::from(self.errors[place][row]);
                table.wanted[code] += f64::from(pulls[row]);
                for (entry, sum) in table.matrix[code * entries..][..entries].iter_mut().enumerate() {
                    *sum += f64::from(row_sums[entry * LANES + row]);
                }
            }
        }
        error
    }

    /// Errors by tables whose entries moved, to where `moved` says.
    fn follow(&mut self, tables: &[Vec<f32>], moved: &[Vec<u8>]) {
        for place in 0..self.weights.len() {
            for row in 0..self.rows {
                let code = moved[self.tables[row]][usize::from(self.codes[place][row])];
                self.codes[place][row] = code;
                self.errors[place][row] =
                    self.weights[place][row] - tables[self.tables[row]][usize::from(code)];
            }
        }
    }

    /// Codes row by row, in the order of the weight.
    fn write(&self, norm: &Norm, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.rows * norm.size, 0);
        for (codes, place) in self.codes.iter().zip(&norm.order) {
            for (row, code) in codes.iter().enumerate().take(self.rows) {
                out[start + row * norm.size + place] = *code;
            }
        }
    }
}

/// Least squares of the entries of a table: how far each is to be moved.
struct Equations {
    matrix: Vec<f64>,
    wanted: Vec<f64>,
}

impl Equations {
    fn new(entries: usize) -> Self {
        Self { matrix: vec![0.0; entries * entries], wanted: vec![0.0; entries] }
    }

    /// How far to move each entry; `None` where that is not to be told.
    fn solved(mut self) -> Option<Vec<f64>> {
        let entries = self.wanted.len();
        let trace: f64 = (0..entries).map(|place| self.matrix[place * entries + place]).sum();
        for one in 0..entries {
            for other in 0..one {
                // Both halves say the same, but for what 32 bits rounded.
                self.matrix[one * entries + other] = self.matrix[other * entries + one];
            }
            #[expect(clippy::cast_precision_loss, reason = "256 at most")]
            let ridge = RIDGE * trace / entries as f64;
            self.matrix[one * entries + one] += ridge;
        }
        factor(&mut self.matrix, entries)?;
        let mut moved = self.wanted;
        for place in 0..entries {
            let row = &self.matrix[place * entries..][..entries];
            let value = moved[place] / row[place];
            moved[place] = value;
            for (later, share) in moved.iter_mut().zip(row).skip(place + 1) {
                *later -= share * value;
            }
        }
        for place in (0..entries).rev() {
            let row = &self.matrix[place * entries..][..entries];
            let later: f64 = row.iter().zip(&moved).skip(place + 1).map(|(share, value)| share * value).sum();
            moved[place] = (moved[place] - later) / row[place];
        }
        moved.iter().all(|value| value.is_finite()).then_some(moved)
    }
}

/// A sorted table for rows that share it: means of clusters in which numbers count as their inputs' moments do.
pub(super) fn table(rows: &[f32], norm: &Norm, entries: usize) -> Vec<f32> {
    let mut weights = vec![0.0_f64; norm.size];
    for (place, &input) in norm.order.iter().enumerate() {
        weights[input] = f64::from(norm.weight(place));
    }
    let numbers = rows.chunks_exact(norm.size).flat_map(|row| row.iter().zip(&weights));
    let mut points: Vec<(f32, f64)> = numbers.map(|(&value, &weight)| (value + 0.0, weight)).collect();
    points.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    clusters::weighted_means(&points, entries)
}

/// How many tables are best rounded together, so that no lane is idle, where `rows` rows share one.
pub(super) const fn together(rows: usize) -> usize {
    if rows == 0 { 1 } else { LANES.div_ceil(rows) }
}

/// Rounds `rows`, of which every `rows_per_table` share one of `tables`, to its entries, sorted 16-bit numbers, and gives
/// the place of each number's entry. With `is_free` entries are moved to where they serve those numbers best.
pub(super) fn round(
    rows: &[f32],
    norm: &Norm,
    tables: &mut [Vec<f32>],
    rows_per_table: usize,
    is_free: bool,
) -> Vec<u8> {
    let mut blocks: Vec<Block> = (rows.chunks(norm.size * LANES).enumerate())
        .map(|(place, rows)| Block::new(rows, norm, place * LANES, rows_per_table))
        .collect();
    for block in &mut blocks {
        block.round(norm, tables);
    }
    let mut error = f64::INFINITY;
    for _ in 0..MOST_TURNS {
        let mut equations: Vec<Equations> = tables.iter().map(|table| Equations::new(table.len())).collect();
        let now: f64 = blocks.iter().map(|block| block.ask(norm, &mut equations)).sum();
        if now.is_nan() || now >= error * (1.0 - LEAST_GAIN) {
            break;
        }
        error = now;
        if is_free {
            let moved: Vec<Vec<u8>> =
                tables.iter_mut().zip(equations).map(|(table, asked)| shift(table, asked.solved())).collect();
            for block in &mut blocks {
                block.follow(tables, &moved);
            }
        }
        for block in &mut blocks {
            block.improve(norm, tables);
        }
    }
    let mut out = Vec::with_capacity(rows.len());
    for block in &blocks {
        block.write(norm, &mut out);
    }
    out
}

/// Moves the entries of `table`, if it is known by how much, sorts them, and says where each went.
fn shift(table: &mut Vec<f32>, moved: Option<Vec<f64>>) -> Vec<u8> {
    let moved = moved.unwrap_or_else(|| vec![0.0; table.len()]);
    let mut entries: Vec<(f32, usize)> = (table.iter().zip(moved).enumerate())
        .map(|(place, (&entry, moved))| (palettized::entry(narrow(f64::from(entry) + moved)), place))
        .collect();
    entries.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut codes = vec![0_u8; entries.len()];
    for (place, &(_, before)) in entries.iter().enumerate() {
        codes[before] = u8::try_from(place).unwrap_or(u8::MAX);
    }
    *table = entries.into_iter().map(|(entry, _)| entry).collect();
    codes
}
