//! Measured seconds of one operation at several sizes, and what they say of sizes between.

use serde::{Deserialize, Serialize};

use super::figure::Spread;
use crate::codec::Scheme;
use crate::error::{Error, Result};

/// Something that is done with a layer and was timed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Multiplied from what is stored; of plain numbers, just multiplied.
    Fused,
    /// Decoded and multiplied tile by tile.
    Tile,
    /// Decoded into scratch memory as large as the layer.
    Decode,
    /// Multiplied from scratch memory that was just written.
    Scratch,
    /// As `Decode`, while another thread multiplies.
    DecodeBeside,
    /// As `Scratch`, while another thread decodes.
    ScratchBeside,
    /// Decoded into memory that was never touched before.
    Load,
}

/// Seconds for one size of layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Weights of the layer.
    pub weights: u64,
    /// Weights of a row.
    pub row: u64,
    /// Seconds: a low percentile over many passes.
    pub seconds: f64,
    /// How the passes lie.
    #[serde(default)]
    pub spread: Option<Spread>,
}

/// Seconds of one operation, by size of layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// What was done.
    pub operation: Operation,
    /// The scheme of the weights.
    #[serde(with = "text")]
    pub scheme: Scheme,
    /// Threads that did it.
    pub threads: u32,
    /// Bytes that one pass goes through: a cache that holds them serves them.
    pub working_set: u64,
    /// The sizes, in any order.
    pub points: Vec<Point>,
}

impl Timing {
    /// Seconds for a layer of so many weights in rows of so many.
    ///
    /// Between sizes, seconds are taken to follow a power of the size; below the smallest, the smallest's weights cost
    /// what they do and half of its time is taken to be the floor that does not shrink; above the largest, time is
    /// proportional. Rows shorter or longer than those measured cost in proportion to their number, where points of
    /// two lengths of row and one size say how much.
    #[must_use]
    pub fn seconds(&self, weights: u64, row: u64) -> f64 {
        let (usual, others) = self.by_row();
        let base = along(&usual, super::float(weights));
        let Some(other) = others.first() else { return base };
        let same = along(&usual, super::float(other.weights));
        let rows = |weights: f64, row: f64| weights / row.max(1.0);
        let usual_row = super::float(usual.first().map_or(1, |point| point.row));
        let (size, other_row) = (super::float(other.weights), super::float(other.row));
        let more = rows(size, other_row) - rows(size, usual_row);
        if more.abs() < 1.0 {
            return base;
        }
        let by_row = ((other.seconds - same) / more).max(0.0);
        let size = super::float(weights);
        let extra = by_row * (rows(size, super::float(row)) - rows(size, usual_row));
        (base + extra).max(base / 2.0)
    }

    /// Points with the row length that most have, by size, and the others.
    fn by_row(&self) -> (Vec<Point>, Vec<Point>) {
        let count = |row: u64| self.points.iter().filter(|point| point.row == row).count();
        let usual = self.points.iter().map(|point| point.row).max_by_key(|&row| (count(row), row));
        let (mut usual, others): (Vec<Point>, Vec<Point>) =
            self.points.iter().partition(|point| Some(point.row) == usual);
        usual.sort_by_key(|point| point.weights);
        (usual, others)
    }

    /// # Errors
    /// [`Error::Argument`] for timings that say nothing.
    pub(super) fn check(&self) -> Result<()> {
        let is_fine = |point: &Point| point.seconds.is_finite() && point.seconds > 0.0 && point.weights > 0;
        if !self.points.is_empty() && self.threads > 0 && self.points.iter().all(is_fine) {
            return Ok(());
        }
        let reason = format!("its timings of {:?} with {} are no measurement", self.operation, self.scheme);
        Err(Error::Argument { name: "profile", reason })
    }
}

/// Seconds at `size`, between points by size.
fn along(points: &[Point], size: f64) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let at = |point: &Point| (super::float(point.weights), point.seconds);
    let (lowest, highest) = (at(first), at(last));
    if size <= lowest.0 {
        return if points.len() == 1 { lowest.1 * size / lowest.0 } else { below(points, size) };
    }
    if size >= highest.0 {
        return highest.1 * size / highest.0;
    }
    let after = points.iter().position(|point| super::float(point.weights) >= size).unwrap_or(0);
    let (lower, upper) = (at(&points[after.saturating_sub(1)]), at(&points[after]));
    let share = (size / lower.0).ln() / (upper.0 / lower.0).ln();
    if share.is_finite() { lower.1 * (upper.1 / lower.1).powf(share) } else { lower.1 }
}

/// Seconds below the smallest size: the floor and the rate that the two smallest sizes agree on.
fn below(points: &[Point], size: f64) -> f64 {
    let (first, second) = (&points[0], &points[1]);
    let (a, b) = (super::float(first.weights), super::float(second.weights));
    let rate = ((second.seconds - first.seconds) / (b - a)).clamp(0.0, first.seconds / a);
    (first.seconds - rate * (a - size)).max(0.0)
}

mod text {
    //! Schemes as the texts that they are read from.
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::codec::Scheme;

    pub(super) fn serialize<S: Serializer>(scheme: &Scheme, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(scheme)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scheme, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
