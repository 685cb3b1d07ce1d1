//! The best table for numbers on a line: clusters are runs of the sorted numbers, so a table over prefix sums finds them.
//!
//! Squared distances of runs satisfy the quadrangle inequality, so that the least cost of `k` runs is convex in `k`: with a
//! price for each run, the runs of least cost and price together are the best of their number, and the price that buys `k`
//! is found by search (Aggarwal, Schieber and Tokuyama, 1994). For one price, the best last run of every end begins the
//! later the later the end, so that a queue of beginnings finds all in `n · log n` for `n` distinct numbers. More of them
//! than [`EXACT`] are joined first, into that many bins of equal width; the root of the mean squared error is then at most
//! the width of one bin above the least, and a few passes of Lloyd's over the numbers themselves take most of that back.

#![expect(clippy::arithmetic_side_effects, reason = "places among numbers that lie in memory")]

use std::cmp::Ordering;

/// Distinct numbers among which the best runs are searched.
const EXACT: usize = 1 << 14;
const PASSES: usize = 8;
/// Bins for each entry, and at least, among which a price is first searched.
const BINS: usize = 16;
const FEWEST: usize = 1024;
/// Prices that are tried at most, and how near two are that are taken for one.
const PRICES: u32 = 200;
const NEAR: f64 = 1e-13;

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
    let is_joined = points.len() > EXACT;
    let coarse = if is_joined { joined(&points, EXACT) } else { points.clone() };
    let sums = Sums::of(&coarse);
    let edges = edges(&sums, coarse.len(), count.min(coarse.len()), rough(&coarse, count)).0;
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

/// About the price that buys `count` runs: that for a few bins of the points, which takes a fraction of the time.
fn rough(points: &[(f64, f64)], count: usize) -> Option<f64> {
    let bins = (count * BINS).max(FEWEST);
    if points.len() < bins * 2 {
        return None;
    }
    let bins = joined(points, bins);
    let (_, price) = edges(&Sums::of(&bins), bins.len(), count.min(bins.len()), None);
    Some(price).filter(|price| price.is_normal())
}

/// Where the best `count` runs of `points` begin and end, and the price for which they are cheapest; the search for that
/// begins at `price`.
fn edges(sums: &Sums, points: usize, count: usize, price: Option<f64>) -> (Vec<usize>, f64) {
    let whole = sums.cost(0, points);
    if count >= points || whole <= 0.0 {
        return ((0..count).chain([points]).collect(), 0.0);
    }
    // Prices for which there are fewer runs, and more, with those runs.
    let (mut high, mut few) = (f64::INFINITY, vec![0, points]);
    let (mut low, mut many): (f64, Vec<usize>) = (0.0, (0..=points).collect());
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let wanted = count as f64;
    // Of numbers that lie evenly.
    let mut price = price.unwrap_or(2.0 * whole / wanted.powi(3));
    for round in 0..PRICES {
        if few.len() == count + 1 {
            return (few, price);
        }
        let found = cheapest(sums, points, price);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let ratio = (found.len() as f64 - 0.5) / (wanted + 0.5);
        match (found.len() - 1).cmp(&count) {
            Ordering::Equal => return (found, price),
            Ordering::Less => (high, few) = (price, found),
            Ordering::Greater => (low, many) = (price, found),
        }
        // Costs fall with the square of the number of runs, and prices with its cube.
        let guess = price * ratio.powi(3);
        let is_within = guess > low && guess < high && round < 16;
        price = match (is_within, low > 0.0, high.is_finite()) {
            (true, _, _) => guess,
            (false, true, true) => low.midpoint(high),
            (false, _, true) => high / 16.0,
            (false, _, false) => low * 16.0,
        };
        if high.is_finite() && high - low <= NEAR * high || price <= 0.0 {
            break;
        }
    }
    (spliced(&few, &many, count), price)
}

/// The runs whose costs, with `price` for each run, are least: where they begin and end.
fn cheapest(sums: &Sums, points: usize, price: f64) -> Vec<usize> {
    let mut costs = vec![0.0_f64; points + 1];
    let mut begins = vec![0_usize; points + 1];
    // Beginnings, each with the first end that it is best for.
    let mut queue: Vec<(usize, usize)> = vec![(0, 1)];
    let mut front = 0;
    for end in 1..=points {
        while queue.get(front + 1).is_some_and(|&(_, from)| from <= end) {
            front += 1;
        }
        let begin = queue[front].0;
        costs[end] = costs[begin] + sums.cost(begin, end) + price;
        begins[end] = begin;
        let gain = |before: usize, later: usize| {
            costs[before] + sums.cost(before, later) - costs[end] - sums.cost(end, later)
        };
        // A later beginning is better from some end on, if from any.
        while queue.len() > front + 1 && queue.last().is_some_and(|&(before, from)| gain(before, from) > 0.0)
        {
            queue.pop();
        }
        let (before, from) = queue.last().copied().unwrap_or((begin, end));
        let (mut worse, mut better) = (from.max(end), points + 1);
        while worse + 1 < better {
            let later = worse.midpoint(better);
            if gain(before, later) > 0.0 { better = later } else { worse = later }
        }
        if better <= points {
            queue.push((end, better));
        }
    }
    let mut edges = vec![points];
    while let Some(&end) = edges.last()
        && end > 0
    {
        edges.push(begins[end]);
    }
    edges.reverse();
    edges
}

/// So many runs, more than `few` and fewer than `many`, both of which are cheapest for the same price: those of `many` up to
/// one that lies within one of `few`, and what follows that one. By the quadrangle inequality they cost no more.
fn spliced(few: &[usize], many: &[usize], count: usize) -> Vec<usize> {
    let more = (count + 1).saturating_sub(few.len());
    let places = 0..few.len().saturating_sub(1);
    let place = places.into_iter().find(|&place| many[place + more + 1] <= few[place + 1]).unwrap_or(0);
    let (first, rest) = (&many[..=place + more], &few[place + 1..]);
    first.iter().chain(rest).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least cost of so many runs, tried one by one.
    fn least(sums: &Sums, end: usize, count: usize) -> f64 {
        if count == 1 {
            return sums.cost(0, end);
        }
        let costs = (count - 1..end).map(|cut| least(sums, cut, count - 1) + sums.cost(cut, end));
        costs.fold(f64::INFINITY, f64::min)
    }

    fn cost(sums: &Sums, edges: &[usize]) -> f64 {
        edges.windows(2).map(|pair| sums.cost(pair[0], pair[1])).sum()
    }

    fn check(points: &[(f64, f64)]) {
        let sums = Sums::of(points);
        for count in 1..=points.len().min(5) {
            let (found, _) = edges(&sums, points.len(), count, None);
            assert_eq!(found.len(), count + 1, "{points:?} {found:?}");
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
            let (best, whole) = (least(&sums, points.len(), count), sums.cost(0, points.len()));
            assert!(cost(&sums, &found) <= best + 1e-9 * whole, "{points:?} {count}: {found:?} {best}");
        }
    }

    #[test]
    fn even_numbers_have_many_best_runs_for_one_price() {
        for length in 1..14 {
            check(&(0..length).map(|place| (f64::from(place), 1.0)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn many_runs_of_many_numbers_are_found() {
        // Every other run must lie within one of two neighbours: no run can be moved for the better.
        let points: Vec<(f64, f64)> =
            (0..5000_u32).map(|place| (f64::from(place).sqrt().sin() * 3.0, 1.0)).collect();
        let mut points = points;
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        let sums = Sums::of(&points);
        for count in [2, 16, 255, 256, 4999] {
            let (found, _) = edges(&sums, points.len(), count, None);
            assert_eq!(found.len(), count + 1);
            let best = cost(&sums, &found);
            for place in 1..count {
                for moved in [found[place] - 1, found[place] + 1] {
                    if moved > found[place - 1] && moved < found[place + 1] {
                        let mut other = found.clone();
                        other[place] = moved;
                        assert!(cost(&sums, &other) >= best - 1e-9 * best.abs());
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn runs_are_the_best_there_are(mut points in proptest::collection::vec((-100..100_i32, 0..4_i32), 1..12)) {
            points.sort_unstable();
            let points: Vec<(f64, f64)> =
                points.iter().map(|&(value, weight)| (f64::from(value) / 8.0, f64::from(weight))).collect();
            check(&points);
        }
    }
}
