//! The best table for numbers on a line: clusters are runs of the sorted numbers, so a table over prefix sums finds them.

/// Numbers that are taken one by one; more are first joined to so many neighbourhoods.
const FINEST: usize = 512;
/// Neighbourhoods for each entry, if that is more.
const FOR_EACH: usize = 4;

/// Sums over the first so many points: of weights, values and squares.
struct Sums(Vec<[f64; 3]>);

impl Sums {
    fn of(points: &[(f64, f64)]) -> Self {
        let mut sums = vec![[0.0; 3]];
        for &(value, weight) in points {
            let [w, s, q] = sums.last().copied().unwrap_or_default();
            sums.push([w + weight, s + weight * value, q + weight * value * value]);
        }
        Self(sums)
    }

    fn mean(&self, start: usize, end: usize) -> f64 {
        let weight = self.0[end][0] - self.0[start][0];
        if weight > 0.0 { (self.0[end][1] - self.0[start][1]) / weight } else { 0.0 }
    }

    /// Squared distances of a run from its mean.
    fn cost(&self, start: usize, end: usize) -> f64 {
        let [w, s, q] = [0, 1, 2].map(|sum| self.0[end][sum] - self.0[start][sum]);
        if w > 0.0 { (q - s * s / w).max(0.0) } else { 0.0 }
    }
}

/// Means of the `count` runs of `sorted` whose squared distances are least: of all runs for at most [`FINEST`] numbers, else
/// of runs of neighbourhoods.
#[expect(clippy::cast_possible_truncation, reason = "a mean of numbers of 32 bits lies between two of them")]
pub(super) fn means(sorted: &[f32], count: usize) -> Vec<f32> {
    let points = neighbourhoods(sorted, FINEST.max(count.saturating_mul(FOR_EACH)));
    let sums = Sums::of(&points);
    let edges = edges(&sums, points.len(), count.min(points.len()));
    edges.windows(2).map(|edge| sums.mean(edge[0], edge[1]) as f32).collect()
}

/// At most `most` runs of equal length: means and lengths.
#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52")]
fn neighbourhoods(sorted: &[f32], most: usize) -> Vec<(f64, f64)> {
    let length = sorted.len().div_ceil(most).max(1);
    let run = |run: &[f32]| {
        let sum: f64 = run.iter().map(|&value| f64::from(value)).sum();
        (sum / run.len() as f64, run.len() as f64)
    };
    sorted.chunks(length).map(run).collect()
}

/// Where the best `count` runs of `points` begin and end.
fn edges(sums: &Sums, points: usize, count: usize) -> Vec<usize> {
    let mut costs: Vec<f64> = (0..=points).map(|end| sums.cost(0, end)).collect();
    let mut cuts: Vec<Vec<usize>> = vec![vec![0; points.saturating_add(1)]];
    for _ in 1..count {
        let mut layer =
            Layer { sums, before: &costs, costs: vec![0.0; costs.len()], cuts: vec![0; costs.len()] };
        layer.fill(0, points, 0, points);
        let Layer { costs: next, cuts: cut, .. } = layer;
        costs = next;
        cuts.push(cut);
    }
    let mut edges = vec![points];
    for cut in cuts.iter().rev() {
        let end = edges.last().copied().unwrap_or(0);
        edges.push(cut[end]);
    }
    edges.reverse();
    edges
}

/// Costs with one run more than `before`, and where that last run begins.
struct Layer<'a> {
    sums: &'a Sums,
    before: &'a [f64],
    costs: Vec<f64>,
    cuts: Vec<usize>,
}

impl Layer<'_> {
    /// Fills ends from `first` to `last`, whose runs begin between `from` and `until`: the later the end, the later the begin.
    fn fill(&mut self, first: usize, last: usize, from: usize, until: usize) {
        let end = first.midpoint(last);
        let (mut best, mut cut) = (f64::INFINITY, from);
        for start in from..=until.min(end) {
            let cost = self.before[start] + self.sums.cost(start, end);
            if cost < best {
                (best, cut) = (cost, start);
            }
        }
        self.costs[end] = best;
        self.cuts[end] = cut;
        if end > first {
            self.fill(first, end.saturating_sub(1), from, cut);
        }
        if end < last {
            self.fill(end.saturating_add(1), last, cut, until);
        }
    }
}
