//! A figure of a device: its value, unit, where it comes from and how far it was seen to vary.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes in a second; for decompression, those of the decoded 16-bit numbers.
    BytesPerSecond,
    /// Floating-point operations in a second, a multiplication and an addition counted as two.
    FlopsPerSecond,
    /// Seconds.
    Seconds,
    /// A plain number.
    Factor,
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Measured on the device itself.
    Measured,
    /// Stated by its maker or a table.
    Published,
    /// Chosen so that published latencies come out.
    Fitted,
    /// A guess that stands until something better is known.
    Assumed,
}

/// How repeated measurements lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// A quarter is below.
    pub q1: f64,
    /// A half is below.
    pub median: f64,
    /// Three quarters are below.
    pub q3: f64,
    /// How many were taken.
    pub samples: u32,
    /// Whether independent rounds agreed.
    pub is_stable: bool,
}

/// One figure of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The value that is computed with.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
    /// Where it comes from.
    pub origin: Origin,
    /// How the measurements lie, where it was measured.
    #[serde(default)]
    pub spread: Option<Spread>,
}

impl Figure {
    /// A figure without measurements behind it.
    #[must_use]
    pub const fn new(value: f64, unit: Unit, origin: Origin) -> Self {
        Self { value, unit, origin, spread: None }
    }

    /// # Errors
    /// [`Error::Argument`] for a value that no device can have.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let is_rate = matches!(self.unit, Unit::BytesPerSecond | Unit::FlopsPerSecond);
        if self.value.is_finite() && (self.value > 0.0 || !is_rate && self.value >= 0.0) {
            return Ok(());
        }
        let reason = format!("{name} of {} is no figure of a device", self.value);
        Err(Error::Argument { name: "profile", reason })
    }
}
