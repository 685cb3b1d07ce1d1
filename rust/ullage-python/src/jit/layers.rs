//! Layers as rows, simulated and executed.

use pyo3::prelude::*;
use ullage_core::codec::Scheme;
use ullage_core::jit::{self, Conduct, Layer, Options, Policy};
use ullage_core::units::duration_from_secs;
use ullage_core::{Bytes, Error};

use super::{Profile, Simulation};
use crate::codec::Compression;
use crate::error::Outcome;
use crate::units::{ByteCount, WholeNumber};

/// Name, shape, scheme and, where they are known, bytes as stored, operations for a token and bytes of activations.
type LayerRow = (String, Vec<u64>, String, Option<u64>, Option<u64>, Option<u64>);

/// Name, shape, scheme and bytes as stored.
type StoredRow = (String, Vec<u64>, String, u64);

/// A layer of a row; schemes are read once for rows in which they are the same.
fn layer(row: LayerRow, last: &mut Option<(String, Scheme)>) -> Outcome<Layer> {
    let (name, shape, text, stored, flops, activations) = row;
    let known = last.as_ref().filter(|(known, _)| *known == text).map(|&(_, scheme)| scheme);
    let scheme = known.map_or_else(|| text.parse(), Ok)?;
    *last = Some((text, scheme));
    let mut layer = Layer::new(&name, &shape, scheme)?;
    if let Some(stored) = stored {
        layer.compressed = Bytes::new(stored);
    }
    if let Some(flops) = flops {
        layer.flops_per_token = flops;
    }
    if let Some(activations) = activations {
        layer.activations = Bytes::new(activations);
    }
    Ok(layer)
}

fn plan(layers: Vec<LayerRow>, policies: &[String]) -> Outcome<(Vec<Layer>, Vec<Policy>)> {
    let mut last = None;
    let layers: Vec<Layer> = layers.into_iter().map(|row| layer(row, &mut last)).collect::<Outcome<_>>()?;
    let mut read: Vec<Policy> = policies.iter().map(|policy| policy.parse()).collect::<Result<_, Error>>()?;
    if let ([policy], true) = (read.as_slice(), layers.len() != 1) {
        read = vec![*policy; layers.len()];
    }
    Ok((layers, read))
}

fn small(number: WholeNumber, name: &'static str) -> Outcome<u32> {
    let count = number.count(name)?;
    let reason = || format!("{count} is not between 1 and 1024");
    let fits = u32::try_from(count).ok().filter(|count| (1..=1024).contains(count));
    fits.ok_or_else(|| Error::Argument { name, reason: reason() }.into())
}

/// Layers of a compressed model, as rows for `simulate_layers`.
#[pyfunction]
pub(crate) fn layers_of(compression: &Compression) -> Outcome<Vec<StoredRow>> {
    let layers = Layer::of_compressed(compression.found())?;
    let row = |layer: Layer| (layer.name, layer.shape, layer.scheme.to_string(), layer.compressed.get());
    Ok(layers.into_iter().map(row).collect())
}

/// Simulate a pass of layers under policies, one for all or one for each.
#[pyfunction]
#[pyo3(signature = (layers, policies, profile, *, threads = None, batch = None, memory_limit = None, from_storage = false))]
#[expect(clippy::needless_pass_by_value, clippy::too_many_arguments, reason = "PyO3 extracts owned lists")]
pub(crate) fn simulate_layers(
    py: Python<'_>,
    layers: Vec<LayerRow>,
    policies: Vec<String>,
    profile: &Profile,
    threads: Option<WholeNumber>,
    batch: Option<WholeNumber>,
    memory_limit: Option<ByteCount>,
    from_storage: bool,
) -> Outcome<Simulation> {
    let (layers, policies) = plan(layers, &policies)?;
    let options = Options {
        threads: threads.map(|count| small(count, "threads")).transpose()?,
        batch: batch.map_or(Ok(1), |count| small(count, "batch").map(u64::from))?,
        memory_limit: memory_limit.map(|limit| limit.0),
        from_storage,
    };
    let profile = &profile.0;
    Ok(py.detach(|| jit::simulate(&layers, &policies, profile, &options))?.into())
}

/// Execute a pass of layers under policies on this processor, with weights made up.
#[pyfunction]
#[pyo3(signature = (layers, policies, *, threads, batch = None, seconds = 0.5, passes = None))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
pub(crate) fn execute_layers(
    py: Python<'_>,
    layers: Vec<LayerRow>,
    policies: Vec<String>,
    threads: WholeNumber,
    batch: Option<WholeNumber>,
    seconds: f64,
    passes: Option<WholeNumber>,
) -> Outcome<Simulation> {
    let (layers, policies) = plan(layers, &policies)?;
    let caches = jit::caches();
    let last = caches.iter().max_by_key(|cache| cache.level).map_or(32 << 20, |cache| cache.bytes);
    let conduct = Conduct {
        threads: small(threads, "threads")?,
        batch: batch.map_or(Ok(1), |count| small(count, "batch").map(|count| count as usize))?,
        passes: passes.map_or(Ok(5), |count| small(count, "passes"))?,
        time: duration_from_secs(seconds, "seconds")?,
        last_cache: last,
    };
    Ok(py.detach(|| jit::execute(&layers, &policies, None, &conduct))?.into())
}
