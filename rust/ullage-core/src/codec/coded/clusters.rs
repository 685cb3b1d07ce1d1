//! The best table for numbers on a line: clusters are runs of the sorted numbers, so a table over prefix sums finds them.
//!
//! Layer by layer, the best last run is found for every end by divide and conquer, since the later the end, the later that
//! run begins (Wu, 1991): `k · n · log n` for `k` entries and `n` distinct numbers. More distinct numbers than
//! [`EXACT`] are joined first, into that many bins of equal width; the root of the mean squared error is then at most the
//! width of one bin above the least, and a few passes of Lloyd's over the numbers themselves take most of that back.

#![expect(clippy::arithmetic_side_effects, reason = "places among numbers that lie in memory")]

/// Steps of the search that are worth it: distinct numbers times entries.
const EXACT: usize = 1 << 17;
/// Bins that are never too many.
const FEWEST: usize = 2048;
const PASSES: usize = 8;

/// Sums over the first so many points: of weights, values and squares, values counted from the middle.
struct Sums(Vec<[f64; 3]>);

impl Sums {
    fn of(points: &[(f64, f64)]) -> Self {
        let mut sums = Vec::with_capacity(points.len() + 1);
        let mut all = [0.0; 3];
        sums.push(all);
        for &(value, weight) in points {
            all = [all[0] + weight, all[1] + weight * value, all[2] + weight * value * value];
            sums.push(all);
        }
        Self(sums)
    }

    fn mean(&self, start: usize, end: usize) -> Option<f64> {
        let weight = self.0[end][0] - self.0[start][0];
        (weight > 0.0).then(|| (self.0[end][1] - self.0[start][1]) / weight)
    }

    /// Squared distances of a run from its mean.
    #[inline]
    fn cost(&self, start: usize, end: usize) -> f64 {
        let ([w, s, q], [w0, s0, q0]) = (self.0[end], self.0[start]);
        let (w, s, q) = (w - w0, s - s0, q - q0);
        if w > 0.0 { (q - s * s / w).max(0.0) } else { 0.0 }
    }
}

/// Means of the `count` runs of `sorted` whose squared distances are least; all distinct numbers where they are no more.
pub(super) fn means(sorted: &[f32], count: usize) -> Vec<f32> {
    means_of(&distinct(sorted.iter().map(|&value| (value, 1.0))), count)
}

/// The same for numbers that count as much as is said beside them; what counts nothing has no say.
pub(super) fn weighted_means(sorted: &[(f32, f64)], count: usize) -> Vec<f32> {
    means_of(&distinct(sorted.iter().copied()), count)
}

fn means_of(points: &[(f64, f64)], count: usize) -> Vec<f32> {
    if points.len() <= count {
        return points.iter().map(|&(value, _)| narrow(value)).collect();
    }
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let middle = f64::midpoint(first.0, last.0);
    let points: Vec<(f64, f64)> = points.iter().map(|&(value, weight)| (value - middle, weight)).collect();
    let most = (EXACT / count.max(1)).max(FEWEST);
    let is_joined = points.len() > most;
    let coarse = if is_joined { joined(&points, most) } else { points.clone() };
    let sums = Sums::of(&coarse);
    let edges = edges(&sums, coarse.len(), count.min(coarse.len()));
    let mut means: Vec<f64> = edges.windows(2).filter_map(|edge| sums.mean(edge[0], edge[1])).collect();
    if is_joined {
        polish(&points, &mut means);
    }
    means.iter().map(|mean| narrow(mean + middle)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a mean of numbers of 32 bits lies between two of them")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Distinct numbers, and what each counts in all.
fn distinct(sorted: impl ExactSizeIterator<Item = (f32, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(sorted.len());
    for (value, weight) in sorted {
        let value = f64::from(value);
        match points.last_mut() {
            Some(last) if last.0.to_bits() == value.to_bits() => last.1 += weight,
            _ => points.push((value, weight)),
        }
    }
    points
}

/// Sorted points in at most so many bins of equal width: means and weights.
fn joined(points: &[(f64, f64)], bins: usize) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let width = (last.0 - first.0) / bins as f64;
    let mut found: Vec<(f64, f64)> = Vec::with_capacity(bins);
    let mut end = f64::NEG_INFINITY;
    for &(value, weight) in points {
        match found.last_mut() {
            Some(bin) if value < end => *bin = (bin.0 + value * weight, bin.1 + weight),
            _ => {
                found.push((value * weight, weight));
                end = first.0 + (((value - first.0) / width).floor() + 1.0) * width;
            }
        }
    }
    found.iter().map(|&(sum, weight)| (sum / weight, weight)).collect()
}

/// Moves means to those of the points nearest to them, a few times.
fn polish(points: &[(f64, f64)], means: &mut [f64]) {
    let sums = Sums::of(points);
    for _ in 0..PASSES {
        let cuts: Vec<usize> = means
            .windows(2)
            .map(|pair| points.partition_point(|&(value, _)| value < f64::midpoint(pair[0], pair[1])))
            .collect();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain(std::iter::once(points.len()));
        for (mean, (start, end)) in means.iter_mut().zip(starts.zip(ends)) {
            *mean = sums.mean(start, end).unwrap_or(*mean);
        }
    }
}

/// Where the best `count` runs of `points` begin and end.
fn edges(sums: &Sums, points: usize, count: usize) -> Vec<usize> {
    let mut costs: Vec<f64> = (0..=points).map(|end| sums.cost(0, end)).collect();
    let mut cuts: Vec<Vec<u32>> = vec![vec![0; points + 1]];
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
        edges.push(usize::try_from(cut[end]).unwrap_or(0));
    }
    edges.reverse();
    edges
}

/// Costs with one run more than `before`, and where that last run begins.
struct Layer<'a> {
    sums: &'a Sums,
    before: &'a [f64],
    costs: Vec<f64>,
    cuts: Vec<u32>,
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
        self.cuts[end] = u32::try_from(cut).unwrap_or(u32::MAX);
        if end > first {
            self.fill(first, end - 1, from, cut);
        }
        if end < last {
            self.fill(end + 1, last, cut, until);
        }
    }
}
