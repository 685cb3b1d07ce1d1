//! [`Prices`]: what the layers to come cost at least, by Lagrangian duality.
//!
//! A pass is over when storage link, decompressor, compute and bus are, so it takes no less than any mean of their
//! seconds. Let each layer take t such mean seconds and m bytes under a choice. For any price p of a byte and any choices
//! that together keep to R bytes, Σ t ≥ Σ t + p (Σ m − R) ≥ Σ min (t + p m) − p R. The best of many means and prices is close
//! to the linear relaxation; good prices are the slopes of the lower hulls of the layers' choices, and good means weigh
//! the resource most that the cheapest choices ask most of. Bytes are counted twice over: those that stay, and those
//! before the first pass.

use super::table::{Row, Table};

/// Prices that are tried for each mean.
const PRICES: usize = 12;
/// Means that are kept.
const MEANS: usize = 6;
/// Steps towards the best mean.
const STEPS: u32 = 24;

/// Shares of storage link, decompressor, compute and bus in a mean.
pub(super) type Shares = [f64; 4];

const COMPUTE: Shares = [0.0, 0.0, 1.0, 0.0];
/// Means to set out from.
const COMMON: [Shares; 8] = [
    [0.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 0.5, 0.5],
    [0.0, 0.5, 0.5, 0.0],
    [0.0, 0.25, 0.75, 0.0],
    [0.5, 0.0, 0.5, 0.0],
    [0.25, 0.0, 0.75, 0.0],
    [0.25, 0.25, 0.5, 0.0],
    [0.25, 0.25, 0.25, 0.25],
];

/// Bounds for the layers from each one on.
pub(super) struct Prices {
    priced: Vec<Priced>,
    /// The least of each sum by itself, for each layer and one past the last.
    pub(super) least: Vec<Least>,
}

/// The bound of one mean and one price.
struct Priced {
    shares: Shares,
    /// Seconds for a byte.
    price: f64,
    /// For each layer, and one past the last: Σ min (t + p m) over it and those after it, of what stays
    kept: Vec<f64>,
    /// and of what is loaded.
    load: Vec<f64>,
}

/// The least that the layers to come take of everything, one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Least {
    pub(super) tasks: [f64; 3],
    pub(super) bus: f64,
    pub(super) kept: u64,
    pub(super) load: u64,
    pub(super) noise: f64,
}

impl Prices {
    /// Bounds that are good where about `room` bytes may be taken.
    pub(super) fn new(table: &Table, room: f64) -> Self {
        let mut priced = Priced::all(table, COMPUTE);
        if table.is_overlapped {
            let mut means: Vec<(f64, Shares)> = COMMON
                .into_iter()
                .chain(better(table, room))
                .map(|shares| (Priced::best(table, shares, room).0, shares))
                .collect();
            means.sort_by(|a, b| b.0.total_cmp(&a.0));
            priced.extend(means.into_iter().take(MEANS).flat_map(|(_, shares)| Priced::all(table, shares)));
        }
        Self { priced, least: leasts(table) }
    }

    /// The least seconds of a pass of which the engines and the bus have worked `busy` on the layers before `from`, if
    /// what the others keep and load finds so much room.
    pub(super) fn seconds(&self, from: usize, busy: Shares, kept: f64, load: f64) -> f64 {
        let bound = |priced: &Priced| {
            let paid = |room: f64| if priced.price > 0.0 { priced.price * room } else { 0.0 };
            dot(priced.shares, busy) + (priced.kept[from] - paid(kept)).max(priced.load[from] - paid(load))
        };
        self.priced.iter().map(bound).fold(0.0, f64::max)
    }

    /// The least bytes that the layers from `from` on keep and load, if the pass takes no more than `seconds`.
    pub(super) fn bytes(&self, from: usize, busy: Shares, seconds: f64) -> (f64, f64) {
        let least = &self.least[from];
        let start = (crate::jit::float(least.kept), crate::jit::float(least.load));
        let priced = self.priced.iter().filter(|priced| priced.price > 0.0);
        priced.fold(start, |(kept, load), priced| {
            let left = seconds - dot(priced.shares, busy);
            (
                kept.max((priced.kept[from] - left) / priced.price),
                load.max((priced.load[from] - left) / priced.price),
            )
        })
    }
}

impl Priced {
    /// The bounds of one mean at several prices.
    fn all(table: &Table, shares: Shares) -> Vec<Self> {
        let of = |price: &f64| Self {
            shares,
            price: *price,
            kept: rests(table, shares, *price, kept),
            load: rests(table, shares, *price, load),
        };
        prices(table, shares).iter().map(of).collect()
    }

    /// The best bound of one mean for a whole pass in so many bytes, and its price.
    fn best(table: &Table, shares: Shares, room: f64) -> (f64, f64) {
        let at = |price: f64| {
            let all = table.rows.iter().map(|rows| cheapest(rows, shares, price, load).0);
            (all.sum::<f64>() - if price > 0.0 { price * room } else { 0.0 }, price)
        };
        let all = prices(table, shares).into_iter().map(at);
        all.fold((f64::NEG_INFINITY, 0.0), |best, next| if next.0 > best.0 { next } else { best })
    }
}

/// Means that weigh what is asked most of more and more.
fn better(table: &Table, room: f64) -> Vec<Shares> {
    let mut shares: Shares = [0.25; 4];
    let mut found: Vec<(f64, Shares)> = Vec::new();
    for step in 0..STEPS {
        let (bound, price) = Priced::best(table, shares, room);
        found.push((bound, shares));
        let mut asked = [0.0; 4];
        for rows in &table.rows {
            let row = cheapest(rows, shares, price, load).1;
            asked = std::array::from_fn(|kind| asked[kind] + seconds_of(row)[kind]);
        }
        let most = asked.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let pace = 2.0 / f64::from(step.saturating_add(1)).sqrt();
        let raised: Shares = std::array::from_fn(|kind| shares[kind] * (pace * asked[kind] / most).exp());
        let sum: f64 = raised.iter().sum();
        shares = raised.map(|share| share / sum);
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(3).map(|(_, shares)| shares).collect()
}

/// Prices worth trying for a mean: none, and a sample of the slopes of the layers' lower hulls.
fn prices(table: &Table, shares: Shares) -> Vec<f64> {
    let mut slopes: Vec<f64> = table.rows.iter().flat_map(|rows| slopes(rows, shares)).collect();
    slopes.sort_by(f64::total_cmp);
    slopes.dedup();
    let step = slopes.len().div_ceil(PRICES).max(1);
    let mut found = vec![0.0];
    found.extend(slopes.iter().step_by(step));
    found.extend(slopes.last());
    found
}

fn rests(table: &Table, shares: Shares, price: f64, bytes: fn(&Row) -> f64) -> Vec<f64> {
    let mut rests = vec![0.0];
    let mut rest = 0.0;
    for rows in table.rows.iter().rev() {
        rest += cheapest(rows, shares, price, bytes).0;
        rests.push(rest);
    }
    rests.reverse();
    rests
}

/// The choice of least mean seconds with its bytes paid for.
fn cheapest(rows: &[Row], shares: Shares, price: f64, bytes: fn(&Row) -> f64) -> (f64, &Row) {
    let mut best = (f64::INFINITY, &rows[0]);
    for row in rows {
        let cost = dot(shares, seconds_of(row)) + price * bytes(row);
        if cost < best.0 {
            best = (cost, row);
        }
    }
    best
}

/// The least of each sum by itself, for each layer and one past the last.
pub(super) fn leasts(table: &Table) -> Vec<Least> {
    let mut least = vec![Least::default()];
    let mut behind = Least::default();
    for rows in table.rows.iter().rev() {
        behind = behind.before(rows);
        least.push(behind);
    }
    least.reverse();
    least
}

impl Least {
    fn before(self, rows: &[Row]) -> Self {
        let of = |what: &dyn Fn(&Row) -> f64| rows.iter().map(what).fold(f64::INFINITY, f64::min);
        let bytes = |what: &dyn Fn(&Row) -> u64| rows.iter().map(what).min().unwrap_or(0);
        Self {
            tasks: std::array::from_fn(|kind| self.tasks[kind] + of(&|row: &Row| row.tasks[kind])),
            bus: self.bus + of(&|row: &Row| row.bus),
            kept: self.kept.saturating_add(bytes(&|row: &Row| row.kept)),
            load: self.load.saturating_add(bytes(&|row: &Row| row.load)),
            noise: self.noise + of(&|row: &Row| row.noise),
        }
    }
}

/// Mean seconds saved for each byte more, along the lower hull of a layer's choices.
fn slopes(rows: &[Row], shares: Shares) -> Vec<f64> {
    let mut points: Vec<(f64, f64)> =
        rows.iter().map(|row| (load(row), dot(shares, seconds_of(row)))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if hull.last().is_some_and(|last| point.1 >= last.1) {
            continue;
        }
        while let [.., a, b] = hull[..]
            && (b.1 - a.1) * (point.0 - a.0) >= (point.1 - a.1) * (b.0 - a.0)
        {
            hull.pop();
        }
        hull.push(point);
    }
    let steps = hull.windows(2).map(|pair| (pair[0].1 - pair[1].1) / (pair[1].0 - pair[0].0));
    steps.filter(|slope| slope.is_finite() && *slope > 0.0).collect()
}

/// Seconds of storage link, decompressor, compute and bus.
fn seconds_of(row: &Row) -> Shares {
    let [storage, decode, compute] = row.tasks;
    [storage, decode, compute, row.bus]
}

fn dot(shares: Shares, seconds: Shares) -> f64 {
    shares.iter().zip(seconds).map(|(share, seconds)| share * seconds).sum()
}

fn kept(row: &Row) -> f64 {
    crate::jit::float(row.kept)
}

fn load(row: &Row) -> f64 {
    crate::jit::float(row.load)
}
