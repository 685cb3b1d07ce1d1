//! Tables of vectors: so many neighbouring output channels of one position share an index. Tables are found by k-means
//! (Lloyd, 1982) from starting points that are spread out (Arthur and Vassilvitskii, 2007).

#![expect(clippy::arithmetic_side_effects, reason = "places within a weight that lies in memory")]

use super::super::palettized::Palettized;
use super::super::weight::Weight;
use super::choices::Choices;
use super::{bits, length};
use crate::error::Result;
use crate::solving::Random;

/// Vectors of each entry that a table is found from, where there are more.
const SAMPLES: usize = 128;
/// Passes over them at most.
const PASSES: usize = 24;

/// Where the vectors of a weight lie.
struct Layout {
    row: usize,
    channels: usize,
    vector: usize,
    group: usize,
}

impl Layout {
    fn of(scheme: Palettized, weight: &Weight) -> Result<Self> {
        let channels = length(weight.outputs())?;
        let group = length(scheme.group_size.unwrap_or(weight.outputs()))?.clamp(1, channels.max(1));
        // A group of a few channels is one of whole vectors, the last of which may be cut off.
        let vector = length(scheme.vector)?;
        Ok(Self { row: length(weight.row())?, channels, vector, group: group.div_ceil(vector) })
    }

    /// Vectors of channels.
    fn bands(&self) -> usize {
        self.channels.div_ceil(self.vector)
    }

    /// The elements of the vector that begins in `band` at `place` of a channel.
    fn elements(&self, band: usize, place: usize) -> impl Iterator<Item = usize> {
        let first = band * self.vector;
        let (row, end) = (self.row, (first + self.vector).min(self.channels));
        (first..end).map(move |channel| channel * row + place)
    }

    /// All vectors of `bands`, one after the other, cut-off ones filled with zeros.
    fn points(&self, values: &[f32], bands: std::ops::Range<usize>) -> Vec<f32> {
        let mut points = Vec::with_capacity(bands.len() * self.row * self.vector);
        for band in bands {
            for place in 0..self.row {
                let end = points.len() + self.vector;
                points.extend(self.elements(band, place).map(|element| values[element]));
                points.resize(end, 0.0);
            }
        }
        points
    }
}

pub(super) fn encode(
    scheme: Palettized,
    weight: &Weight,
    values: &[f32],
    tables: usize,
    choices: Choices,
) -> Result<Vec<Vec<u8>>> {
    let (layout, entries) = (Layout::of(scheme, weight)?, length(scheme.entries())?);
    let (mut indices, mut all) = (Vec::new(), Vec::new());
    for group in 0..tables {
        let first = (group * layout.group).min(layout.bands());
        let bands = first..(first + layout.group).min(layout.bands());
        let points = layout.points(values, bands);
        let table = table_of(&points, layout.vector, entries, choices.seed);
        let code = |point: &[f32]| u8::try_from(nearest(&table, point).0).unwrap_or(u8::MAX);
        indices.extend(points.chunks_exact(layout.vector).map(code));
        all.extend(table);
    }
    Ok(vec![bits::pack(&indices, scheme.bits), bits::halves(all.into_iter())])
}

pub(super) fn decode(
    scheme: Palettized,
    weight: &Weight,
    indices: &[u8],
    tables: &[u8],
    out: &mut [f32],
) -> Result<()> {
    let (layout, entries) = (Layout::of(scheme, weight)?, length(scheme.entries())?);
    for band in 0..layout.bands() {
        let table = band / layout.group * entries;
        for place in 0..layout.row {
            let index = usize::from(bits::code(indices, band * layout.row + place, scheme.bits));
            for (offset, element) in layout.elements(band, place).enumerate() {
                out[element] = bits::half(tables, (table + index) * layout.vector + offset);
            }
        }
    }
    Ok(())
}

fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other) * (one - other)).sum()
}

/// The nearest entry of a table, and its squared distance.
fn nearest(table: &[f32], point: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (place, entry) in table.chunks_exact(point.len()).enumerate() {
        let off = distance(entry, point);
        if off < best.1 {
            best = (place, off);
        }
    }
    best
}

/// So many entries for `points`, in 16 bits each.
fn table_of(points: &[f32], vector: usize, entries: usize, seed: u64) -> Vec<f32> {
    let count = points.len() / vector;
    let stride = count.div_ceil(entries * SAMPLES).max(1);
    let sample: Vec<&[f32]> = points.chunks_exact(vector).step_by(stride).collect();
    let mut table = spread(&sample, vector, entries, &mut Random(seed));
    for _ in 0..PASSES {
        if !moved(&sample, &mut table, vector) {
            break;
        }
    }
    for entry in &mut table {
        *entry =
            crate::codec::half::from_half(crate::codec::half::to_half(*entry)).clamp(-65_504.0, 65_504.0);
    }
    table
}

/// Starting points, each drawn with the squared distance from those before as its chance. Distinct ones that run out are
/// followed by repetitions.
fn spread(sample: &[&[f32]], vector: usize, entries: usize, random: &mut Random) -> Vec<f32> {
    let Some(first) = sample.first() else { return vec![0.0; entries * vector] };
    let mut table = first.to_vec();
    let mut away: Vec<f32> = sample.iter().map(|point| distance(point, first)).collect();
    for _ in 1..entries {
        let total: f64 = away.iter().map(|&off| f64::from(off)).sum();
        let mut left = random.fraction() * total;
        let mut chosen = away.iter().rposition(|&off| off > 0.0).unwrap_or(0);
        for (place, &off) in away.iter().enumerate() {
            left -= f64::from(off);
            if left < 0.0 && off > 0.0 {
                chosen = place;
                break;
            }
        }
        let point = sample[chosen];
        table.extend_from_slice(point);
        for (off, other) in away.iter_mut().zip(sample) {
            *off = off.min(distance(point, other));
        }
    }
    table
}

/// Moves each entry to the mean of the points it is nearest to, and says whether any moved.
fn moved(sample: &[&[f32]], table: &mut [f32], vector: usize) -> bool {
    let mut sums = vec![0.0_f64; table.len()];
    let mut counts = vec![0.0_f64; table.len() / vector];
    for point in sample {
        let (entry, _) = nearest(table, point);
        counts[entry] += 1.0;
        for (sum, &value) in sums[entry * vector..].iter_mut().zip(*point) {
            *sum += f64::from(value);
        }
    }
    let mut has_moved = false;
    for (place, (entry, sum)) in table.iter_mut().zip(sums).enumerate() {
        let count = counts[place / vector];
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a mean of numbers of 32 bits lies between two of them"
        )]
        let mean = (sum / count) as f32;
        if count > 0.0 && mean.to_bits() != entry.to_bits() {
            *entry = mean;
            has_moved = true;
        }
    }
    has_moved
}
