//! [`Prices`]: what the layers to come cost at least, by Lagrangian duality.
//!
//! Let layer j take c_j seconds of compute and m_j bytes under a choice. For any price p >= 0 of a byte and any choices
//! that together keep to R bytes, Σ c_j >= Σ c_j + p (Σ m_j - R) >= Σ min (c_j + p m_j) - p R. The best of many prices is
//! close to the linear relaxation of the knapsack; that relaxation's own prices are the slopes of the lower hulls of the
//! layers' choices, of which a sample is taken.

use super::table::{Row, Table};

/// Prices that are tried.
const MOST: usize = 48;

/// Bounds for the layers from each one on.
pub(super) struct Prices {
    /// Seconds for a byte, ascending; the first is 0.
    prices: Vec<f64>,
    /// For each layer, and one past the last: by price, Σ min (c + p m) over it and the layers after it.
    rests: Vec<Vec<f64>>,
    /// Likewise, the least of each sum by itself.
    pub(super) least: Vec<Least>,
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
    pub(super) fn new(table: &Table) -> Self {
        let mut slopes: Vec<f64> = table.rows.iter().flat_map(|rows| slopes(rows)).collect();
        slopes.sort_by(f64::total_cmp);
        slopes.dedup();
        let step = slopes.len().div_ceil(MOST).max(1);
        let mut prices = vec![0.0];
        prices.extend(slopes.iter().step_by(step));
        prices.extend(slopes.last());
        let mut rests = vec![vec![0.0; prices.len()]];
        let mut least = vec![Least::default()];
        for rows in table.rows.iter().rev() {
            let (after, behind) = (&rests[rests.len() - 1], least[least.len() - 1]);
            let cheapest = |price: f64| rows.iter().map(|row| row.tasks[2] + price * float(row.kept)).fold(f64::INFINITY, f64::min);
            let rest = prices.iter().zip(after).map(|(&price, &rest)| rest + cheapest(price)).collect();
            rests.push(rest);
            least.push(behind.before(rows));
        }
        rests.reverse();
        least.reverse();
        Self { prices, rests, least }
    }

    /// The least seconds of compute of the layers from `from` on, if these keep no more than `room` bytes.
    pub(super) fn seconds(&self, from: usize, room: f64) -> f64 {
        let rests = self.prices.iter().zip(&self.rests[from]);
        rests.map(|(&price, &rest)| rest - price * room).fold(0.0, f64::max)
    }

    /// The least bytes that the layers from `from` on keep, if their compute takes no more than `seconds`.
    pub(super) fn bytes(&self, from: usize, seconds: f64) -> f64 {
        let rests = self.prices.iter().zip(&self.rests[from]).skip(1);
        rests.map(|(&price, &rest)| (rest - seconds) / price).fold(float(self.least[from].kept), f64::max)
    }
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

/// Seconds saved for each byte more, along the lower hull of a layer's choices.
fn slopes(rows: &[Row]) -> Vec<f64> {
    let mut points: Vec<(f64, f64)> = rows.iter().map(|row| (float(row.kept), row.tasks[2])).collect();
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

fn float(count: u64) -> f64 {
    crate::jit::float(count)
}
