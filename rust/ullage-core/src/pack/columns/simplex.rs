//! [`Program`]: a linear program in rows of equations, solved by the revised simplex method, primal and dual.
//!
//! Minimise c x subject to A x = b, x >= 0. Columns may be added and taken out, and the right-hand side may change, in
//! between. Every row has an artificial column of a high price, so that the program is always feasible; inequalities
//! have slack columns of price zero. The rows of packing programs are equal up to a permutation and their vertices
//! degenerate: the right-hand side is raised by small amounts, unlike in every row, against stalling. Prices are
//! therefore only as good as the caller checks: a bound is claimed from prices in whole numbers alone.

use crate::pack::columns::clock::Clock;
use crate::pack::columns::factor::{Factor, Lists};

const REDUCED: f64 = 1e-9;
const PIVOT: f64 = 1e-7;
const FEASIBLE: f64 = 1e-9;
/// Updates of the factors until they are computed anew.
const UPDATES: usize = 64;
/// The largest raise of a right-hand side.
const NOISE: f64 = 1e-5;
const OUTSIDE: u32 = u32::MAX;

/// How a run of the simplex method ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Optimal,
    Stopped,
    /// The numbers went astray, or the iterations ran out.
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    columns: Lists,
    cost: Vec<f64>,
    /// The position in the basis, or `OUTSIDE`.
    place: Vec<u32>,
    /// Taken out: fixed at zero.
    removed: Vec<bool>,
    /// Never enters; leaves when its cost makes it.
    banned: Vec<bool>,
    rhs: Vec<f64>,
    noise: Vec<f64>,
    basis: Vec<usize>,
    x: Vec<f64>,
    y: Vec<f64>,
    factor: Factor,
    stale: bool,
    iterations: usize,
}

impl Program {
    /// A program with the right-hand side `rhs`, whose artificial columns, numbered as the rows, cost `penalty`.
    pub(super) fn new(rhs: Vec<f64>, penalty: f64) -> Self {
        let rows = rhs.len();
        let mut columns = Lists::default();
        for row in 0..rows {
            columns.push([(row as u32, 1.0)]);
        }
        Self {
            columns,
            cost: vec![penalty; rows],
            place: (0..rows as u32).collect(),
            removed: vec![false; rows],
            banned: vec![false; rows],
            noise: (0..rows as u64).map(|row| NOISE * share(row)).collect(),
            rhs,
            basis: (0..rows).collect(),
            x: vec![0.0; rows],
            y: vec![0.0; rows],
            factor: Factor::default(),
            stale: true,
            iterations: 0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rhs.len()
    }

    pub(super) fn columns(&self) -> usize {
        self.cost.len()
    }

    /// Adds a column and returns its number.
    pub(super) fn add(&mut self, cost: f64, entries: impl IntoIterator<Item = (u32, f64)>) -> usize {
        self.columns.push(entries);
        self.cost.push(cost);
        self.place.push(OUTSIDE);
        self.removed.push(false);
        self.banned.push(false);
        self.cost.len() - 1
    }

    /// Puts `column` into the basis at position `row`, before the first run.
    pub(super) fn start_with(&mut self, row: usize, column: usize) {
        self.place[self.basis[row]] = OUTSIDE;
        self.basis[row] = column;
        self.place[column] = row as u32;
        self.stale = true;
    }

    fn may_enter(&self, column: usize) -> bool {
        self.place[column] == OUTSIDE && !self.removed[column] && !self.banned[column]
    }

    /// Lets a column enter at `cost`, or never.
    pub(super) fn set_banned(&mut self, column: usize, banned: bool, cost: f64) {
        self.stale |= self.place[column] != OUTSIDE;
        self.banned[column] = banned;
        self.cost[column] = cost;
    }

    pub(super) fn is_banned(&self, column: usize) -> bool {
        self.banned[column]
    }

    pub(super) fn set_removed(&mut self, column: usize, removed: bool) {
        self.removed[column] = removed;
    }

    pub(super) fn set_rhs(&mut self, row: usize, value: f64) {
        self.rhs[row] = value;
        self.stale = true;
    }

    /// Raises and lowers the right-hand side by other small amounts, so that other prices are the best.
    pub(super) fn shake(&mut self, seed: u64) {
        for (row, noise) in (0..).zip(&mut self.noise) {
            *noise = 10.0 * NOISE * (4.0 * share((seed << 32) + row) - 3.0);
        }
        self.stale = true;
    }

    pub(super) fn prices(&self) -> &[f64] {
        &self.y
    }

    pub(super) fn value(&self, column: usize) -> f64 {
        match self.place[column] {
            OUTSIDE => 0.0,
            place => self.x[place as usize].max(0.0),
        }
    }

    pub(super) fn entries_of(&self, column: usize) -> usize {
        self.columns.length(column)
    }

    pub(super) fn is_basic(&self, column: usize) -> bool {
        self.place[column] != OUTSIDE
    }

    pub(super) fn basis(&self) -> &[usize] {
        &self.basis
    }

    pub(super) fn objective(&self) -> f64 {
        self.basis.iter().zip(&self.x).map(|(&column, &x)| self.cost[column] * x).sum()
    }

    pub(super) fn reduced_cost(&self, column: usize) -> f64 {
        let priced: f64 = self.columns.entries(column).map(|(row, value)| self.y[row] * value).sum();
        self.cost[column] - priced
    }

    /// Keeps the columns that are basic or that `keep` names. Returns the old number of each.
    pub(super) fn retain(&mut self, keep: impl Fn(&Self, usize) -> bool) -> Vec<usize> {
        let kept: Vec<usize> =
            (0..self.columns()).filter(|&column| self.is_basic(column) || keep(self, column)).collect();
        let mut columns = Lists::default();
        for &column in &kept {
            columns.push(self.columns.entries(column).map(|(row, value)| (row as u32, value)));
        }
        self.columns = columns;
        self.cost = kept.iter().map(|&column| self.cost[column]).collect();
        self.place = kept.iter().map(|&column| self.place[column]).collect();
        self.removed = kept.iter().map(|&column| self.removed[column]).collect();
        self.banned = kept.iter().map(|&column| self.banned[column]).collect();
        for (column, &place) in self.place.iter().enumerate() {
            if place != OUTSIDE {
                self.basis[place as usize] = column;
            }
        }
        kept
    }

    /// Factors the basis and computes values and prices from it.
    fn refresh(&mut self) -> bool {
        for _ in 0..3 {
            match Factor::of(&self.columns, &self.basis) {
                Ok(factor) => {
                    self.factor = factor;
                    self.x = self.rhs.iter().zip(&self.noise).map(|(b, noise)| b + noise).collect();
                    self.factor.solve(&mut self.x);
                    self.y = self.basis.iter().map(|&column| self.cost[column]).collect();
                    self.factor.solve_transposed(&mut self.y);
                    self.stale = false;
                    return true;
                }
                Err(dependent) => {
                    for fault in dependent {
                        self.place[self.basis[fault.position]] = OUTSIDE;
                        self.basis[fault.position] = fault.row;
                        self.place[fault.row] = fault.position as u32;
                    }
                }
            }
        }
        false
    }

    fn due(&self) -> bool {
        self.stale || self.factor.updates() >= UPDATES
    }

    fn direction(&mut self, column: usize) -> Vec<f64> {
        let mut direction = vec![0.0; self.rows()];
        for (row, value) in self.columns.entries(column) {
            direction[row] = value;
        }
        self.factor.solve(&mut direction);
        direction
    }

    fn inverse_row(&mut self, position: usize) -> Vec<f64> {
        let mut row = vec![0.0; self.rows()];
        row[position] = 1.0;
        self.factor.solve_transposed(&mut row);
        row
    }

    /// The reduced costs of all columns that may enter; zero for the others.
    fn reduced_costs(&self, reduced: &mut Vec<f64>) {
        reduced.clear();
        reduced.extend(
            (0..self.columns()).map(
                |column| {
                    if self.may_enter(column) { self.reduced_cost(column) } else { 0.0 }
                },
            ),
        );
    }

    /// Minimises from a feasible basis. Slightly negative values are taken for zero.
    pub(super) fn primal(&mut self, clock: &Clock<'_, '_>) -> End {
        let limit = self.iterations + 200 * self.rows() + 20_000;
        let mut weights = vec![1.0; self.columns()];
        let mut reduced = Vec::new();
        let mut fresh = false;
        loop {
            if self.due() {
                if !self.refresh() {
                    return End::Failed;
                }
                fresh = false;
            }
            if !fresh {
                self.reduced_costs(&mut reduced);
            }
            if self.iterations >= limit {
                return End::Failed;
            }
            if self.iterations.is_multiple_of(16) && clock.stopped() {
                return End::Stopped;
            }
            self.iterations += 1;
            let Some(entering) = steepest(&reduced, &weights) else {
                if fresh {
                    fresh = false;
                    continue;
                }
                return End::Optimal;
            };
            fresh = true;
            let direction = self.direction(entering);
            let Some(leaving) = self.ratio_test(&direction) else {
                self.removed[entering] = true;
                reduced[entering] = 0.0;
                continue;
            };
            if direction[leaving].abs() < 1e-5 && self.factor.updates() > 0 {
                self.stale = true;
                continue;
            }
            let row = self.inverse_row(leaving);
            self.price_out(&row, entering, direction[leaving], &mut reduced, &mut weights);
            let left = self.basis[leaving];
            let slope = self.reduced_cost(entering);
            self.pivot(entering, leaving, &direction, &row, slope);
            reduced[left] = if self.may_enter(left) { self.reduced_cost(left) } else { 0.0 };
            weights[left] = (weights[entering] / (direction[leaving] * direction[leaving])).max(1.0);
            reduced[entering] = 0.0;
        }
    }

    /// Brings reduced costs and weights up to date with a pivot.
    fn price_out(&self, row: &[f64], entering: usize, pivot: f64, reduced: &mut [f64], weights: &mut [f64]) {
        let step = reduced[entering] / pivot;
        let frame = weights[entering] / (pivot * pivot);
        for column in 0..reduced.len() {
            if !self.may_enter(column) {
                continue;
            }
            let rate: f64 = self.columns.entries(column).map(|(at, value)| row[at] * value).sum();
            if rate != 0.0 {
                reduced[column] -= step * rate;
                weights[column] = weights[column].max(rate * rate * frame);
            }
        }
    }

    /// The position that blocks first; of almost equal ones that of the largest pivot (Harris).
    fn ratio_test(&self, direction: &[f64]) -> Option<usize> {
        let fixed = |position: usize| self.removed[self.basis[position]];
        let mut limit = f64::INFINITY;
        for (position, &rate) in direction.iter().enumerate() {
            if rate > PIVOT {
                limit = limit.min((self.x[position].max(0.0) + FEASIBLE) / rate);
            } else if rate < -PIVOT && fixed(position) {
                limit = limit.min(FEASIBLE / -rate);
            }
        }
        let mut best: Option<(f64, usize)> = None;
        for (position, &rate) in direction.iter().enumerate() {
            let blocks = if rate > PIVOT {
                self.x[position].max(0.0) / rate <= limit
            } else {
                rate < -PIVOT && fixed(position)
            };
            if blocks && best.is_none_or(|(pivot, _)| rate.abs() > pivot) {
                best = Some((rate.abs(), position));
            }
        }
        best.map(|(_, position)| position)
    }

    fn pivot(&mut self, entering: usize, leaving: usize, direction: &[f64], row: &[f64], reduced: f64) {
        let pivot = direction[leaving];
        let step = self.x[leaving] / pivot;
        let slope = reduced / pivot;
        for (price, entry) in self.y.iter_mut().zip(row) {
            *price += slope * entry;
        }
        for (x, rate) in self.x.iter_mut().zip(direction) {
            *x -= step * rate;
        }
        self.x[leaving] = step;
        self.factor.replace(leaving, direction);
        self.place[self.basis[leaving]] = OUTSIDE;
        self.basis[leaving] = entering;
        self.place[entering] = leaving as u32;
    }

    /// Makes the basis feasible while prices stay about feasible; the primal method completes what is left.
    pub(super) fn dual(&mut self, clock: &Clock<'_, '_>) -> End {
        let limit = self.iterations + 3 * self.rows() + 100;
        loop {
            if self.due() && !self.refresh() {
                return End::Failed;
            }
            if self.iterations.is_multiple_of(16) && clock.stopped() {
                return End::Stopped;
            }
            if self.iterations >= limit {
                return End::Failed;
            }
            self.iterations += 1;
            let Some((leaving, below)) = self.most_infeasible() else { return End::Optimal };
            let row = self.inverse_row(leaving);
            let Some(entering) = self.dual_ratio_test(&row, below) else { return End::Failed };
            let reduced = self.reduced_cost(entering).max(0.0);
            let direction = self.direction(entering);
            if direction[leaving].abs() < PIVOT {
                if self.factor.updates() == 0 {
                    return End::Failed;
                }
                self.stale = true;
                continue;
            }
            self.pivot(entering, leaving, &direction, &row, reduced);
        }
    }

    /// The position whose value is most below zero, or above zero where the column is taken out.
    fn most_infeasible(&self) -> Option<(usize, bool)> {
        let mut worst: Option<(f64, usize, bool)> = None;
        for (position, &x) in self.x.iter().enumerate() {
            let below = x < 0.0;
            let excess = if below || self.removed[self.basis[position]] { x.abs() } else { 0.0 };
            if excess > 1e-7 && worst.is_none_or(|(most, _, _)| excess > most) {
                worst = Some((excess, position, below));
            }
        }
        worst.map(|(_, position, below)| (position, below))
    }

    fn dual_ratio_test(&self, row: &[f64], below: bool) -> Option<usize> {
        let mut limit = f64::INFINITY;
        let mut rates: Vec<(usize, f64, f64)> = Vec::new();
        for column in 0..self.columns() {
            if !self.may_enter(column) {
                continue;
            }
            let rate: f64 = self.columns.entries(column).map(|(at, value)| row[at] * value).sum();
            let rate = if below { -rate } else { rate };
            if rate > PIVOT {
                let reduced = self.reduced_cost(column).max(0.0);
                limit = limit.min((reduced + REDUCED) / rate);
                rates.push((column, rate, reduced));
            }
        }
        let within = rates.into_iter().filter(|&(_, rate, reduced)| reduced / rate <= limit);
        within.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(column, _, _)| column)
    }
}

/// The column of the steepest descent in the reference frame of `weights` (Devex of Harris).
fn steepest(reduced: &[f64], weights: &[f64]) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for (column, (&reduced, &weight)) in reduced.iter().zip(weights).enumerate() {
        if reduced < -REDUCED && reduced * reduced > best.map_or(0.0, |(steepness, _)| steepness) * weight {
            best = Some((reduced * reduced / weight, column));
        }
    }
    best.map(|(_, column)| column)
}

/// A number between 1/2 and 1 that looks random (`splitmix64` of Steele, Lea and Flood).
fn share(seed: u64) -> f64 {
    let mut word = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    0.5 + ((word ^ (word >> 31)) >> 12) as f64 / (1_u64 << 53) as f64
}
