//! What is known of a device: figures for a roofline, and timings where it was calibrated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::figure::{Figure, Origin, Unit};
use super::timing::{Operation, Timing};
use crate::codec::Scheme;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// A cache of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Its level, 1 nearest to the core.
    pub level: u32,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where the size comes from.
    pub origin: Origin,
}

/// A device as the simulator sees it. Rates are of all its `threads` together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Where it comes from and what it must not be used for, in words.
    pub note: String,
    /// Threads that the rates are of, 1 for a device that is used as one; 0 reads as 1.
    pub threads: u32,
    /// Bytes that weights and scratch may take; `None` where no limit is known.
    pub memory_limit: Option<u64>,
    /// Reading memory.
    pub read: Option<Figure>,
    /// Writing memory; reading where absent.
    pub write: Option<Figure>,
    /// Copying memory: bytes copied, each read and written.
    pub copy: Option<Figure>,
    /// Reading and writing activations, where they have a path of their own; over the bus of the weights where absent.
    pub activations: Option<Figure>,
    /// Caches, by level.
    pub caches: Vec<Cache>,
    /// Operations in a second by format of number: `f16`, `f32`, `int8`, …
    pub compute: BTreeMap<String, Figure>,
    /// Operations in a second of depthwise convolutions; those of `f16` where absent.
    pub depthwise: Option<Figure>,
    /// Share of the operations on zeros that are left out, from 0 to 1, with sparse weights.
    pub zeros_skipped: Option<Figure>,
    /// Reading from storage.
    pub storage: Option<Figure>,
    /// Seconds before each layer in which nothing else is done.
    pub dispatch: Option<Figure>,
    /// Seconds of a pass that are independent of its layers.
    pub floor: Option<Figure>,
    /// Bytes of decoded 16-bit numbers in a second, by scheme or kind of scheme (`palettized`, `linear:8`, …).
    pub decompression: BTreeMap<String, Figure>,
    /// Whether a unit of its own decodes, so that decoding and computing overlap.
    pub has_decompressor: bool,
    /// Timings of whole operations, which count before all rates.
    pub timings: Vec<Timing>,
}

impl Profile {
    /// A profile with one figure for memory and one for compute, and everything else assumed from them: a first guess.
    #[must_use]
    pub fn roofline(name: &str, bytes_per_second: f64, flops_per_second: f64, origin: Origin) -> Self {
        let compute = Figure::new(flops_per_second, Unit::FlopsPerSecond, origin);
        Self {
            name: name.to_owned(),
            threads: 1,
            read: Some(Figure::new(bytes_per_second, Unit::BytesPerSecond, origin)),
            compute: BTreeMap::from([("f16".to_owned(), compute)]),
            ..Self::default()
        }
    }

    /// Reads a profile from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for what is no profile, naming the place, or holds figures that no device has.
    pub fn from_json(text: &str) -> Result<Self> {
        // A list would be read too, as the fields in their order.
        if !text.trim_start().starts_with('{') {
            let reason = "it is no JSON object".to_owned();
            return Err(Error::Argument { name: "profile", reason });
        }
        let read: Self = serde_json::from_str(text)
            .map_err(|error| Error::Argument { name: "profile", reason: error.to_string() })?;
        read.check().map(|()| read)
    }

    /// Writes it as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Every figure with its name.
    #[must_use]
    pub fn figures(&self) -> Vec<(String, Figure)> {
        let named = [
            ("read", self.read),
            ("write", self.write),
            ("copy", self.copy),
            ("activations", self.activations),
            ("depthwise", self.depthwise),
            ("zeros_skipped", self.zeros_skipped),
            ("storage", self.storage),
            ("dispatch", self.dispatch),
            ("floor", self.floor),
        ];
        let plain = named.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?)));
        let of = |what: &'static str, rates: &BTreeMap<String, Figure>| {
            let named = rates.iter().map(move |(name, &figure)| (format!("{what} {name}"), figure));
            named.collect::<Vec<_>>()
        };
        plain.chain(of("compute", &self.compute)).chain(of("decompression", &self.decompression)).collect()
    }

    /// # Errors
    /// [`Error::Argument`] for figures that no device has.
    pub fn check(&self) -> Result<()> {
        self.figures().iter().try_for_each(|(name, figure)| figure.check(name))?;
        self.timings.iter().try_for_each(Timing::check)
    }

    /// Threads that its rates are of.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.threads.max(1)
    }

    /// The limit of memory.
    #[must_use]
    pub fn limit(&self) -> Option<Bytes> {
        self.memory_limit.map(Bytes::new)
    }

    /// The rate at which `scheme` is decoded: its own, that of its kind and bits, or of its kind.
    pub(super) fn decompression_of(&self, scheme: Scheme) -> Option<f64> {
        let text = scheme.to_string();
        let bits = text.split(',').next().unwrap_or("");
        let kind = bits.split(':').next().unwrap_or("");
        [text.as_str(), bits, kind].iter().find_map(|&name| Some(self.decompression.get(name)?.value))
    }

    /// Seconds of an operation, interpolated in size of layer and working set, and whether the scheme itself was timed.
    ///
    /// `None` where nothing alike was timed with so many threads.
    pub(super) fn timed(&self, asked: &Asked) -> Option<(f64, bool)> {
        let alike = |timing: &&Timing| timing.operation == asked.operation && timing.threads == asked.threads;
        let exact: Vec<&Timing> =
            self.timings.iter().filter(alike).filter(|timing| timing.scheme == asked.scheme).collect();
        if !exact.is_empty() {
            return between(&exact, asked).map(|seconds| (seconds, true));
        }
        let near: Vec<&Timing> =
            self.timings.iter().filter(alike).filter(|timing| is_near(timing.scheme, asked.scheme)).collect();
        let first = near.first()?.scheme;
        let one: Vec<&Timing> = near.into_iter().filter(|timing| timing.scheme == first).collect();
        between(&one, asked).map(|seconds| (seconds, false))
    }
}

/// A layer of which the seconds of an operation are asked.
pub(super) struct Asked {
    pub(super) operation: Operation,
    pub(super) scheme: Scheme,
    pub(super) threads: u32,
    pub(super) weights: u64,
    pub(super) row: u64,
    pub(super) working_set: u64,
}

/// Whether two schemes are the same but for how weights are grouped.
fn is_near(a: Scheme, b: Scheme) -> bool {
    let head = |scheme: Scheme| scheme.to_string().split(',').next().map(str::to_owned);
    head(a) == head(b)
}

/// Interpolates in the logarithm of the working set.
fn between(timings: &[&Timing], asked: &Asked) -> Option<f64> {
    let at = |timing: &Timing| timing.seconds(asked.weights, asked.row);
    let mut sets: Vec<(f64, f64)> =
        timings.iter().map(|timing| (super::float(timing.working_set.max(1)).ln(), at(timing))).collect();
    sets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let set = super::float(asked.working_set.max(1)).ln();
    let (first, last) = (*sets.first()?, *sets.last()?);
    if set <= first.0 || sets.len() == 1 {
        return Some(first.1);
    }
    if set >= last.0 {
        return Some(last.1);
    }
    let after = sets.iter().position(|&(known, _)| known >= set)?;
    let (lower, upper) = (sets[after.saturating_sub(1)], sets[after]);
    let share = (set - lower.0) / (upper.0 - lower.0);
    Some(if share.is_finite() { lower.1 + (upper.1 - lower.1) * share } else { lower.1 })
}
