//! Policies as their files write them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::bounds::{Bounds, Written};
use super::expression::{Expression, Terms};
use super::own::wrong;
use super::{ByKind, KvLayout, LatentForm, Policy, Residency, StateLayout, WeightLayout};
use crate::error::{Error, Result};
use crate::units::clip;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policy: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    runtime: String,
    version: String,
    #[serde(default)]
    aliases: Vec<String>,
    source: String,
    date: String,
    residency: Residency,
    schemes: Vec<String>,
    kv_dtypes: Vec<String>,
    #[serde(default)]
    offload: bool,
    on_ios: Option<String>,
    kv_cache: KvCache,
    state: StateLayout,
    weights: Weights,
    #[serde(default)]
    terms: BTreeMap<String, String>,
    activations: Kinds,
    overhead: Kinds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KvCache {
    latent: LatentForm,
    cells: String,
    window: String,
    chunk: String,
    #[serde(default)]
    encoders: Vec<String>,
    #[serde(default)]
    pads_values: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    bytes: Written,
    encoder: Option<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kinds {
    decoder: Written,
    decoder_unfused: Option<Written>,
    encoder: Written,
    graph: Written,
    unknown: Written,
}

/// The policies of a TOML file.
///
/// # Errors
/// [`Error::Argument`] with the place and reason for a text that is no such file.
pub(super) fn read(text: &str) -> Result<Vec<Policy>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line =
            error.span().and_then(|span| text.get(..span.start)).map_or(0, |before| before.lines().count());
        let reason = format!("line {}: {}", line.max(1), clip(error.message()));
        Error::Argument { name: "policy", reason }
    })?;
    file.policy.into_iter().map(policy).collect()
}

/// The policy of one table, as JSON.
///
/// # Errors
/// [`Error::Argument`] with the key and reason for what is no such table.
pub(super) fn own(table: Map<String, Value>) -> Result<Policy> {
    type Check = fn(&Value) -> std::result::Result<(), String>;
    // First part by part, for an error in a whole table does not say in which.
    let parts: [(&str, Check); 6] = [
        ("kv_cache", is_a::<KvCache>),
        ("state", is_a::<StateLayout>),
        ("weights", is_a::<Weights>),
        ("terms", is_a::<BTreeMap<String, String>>),
        ("activations", is_a::<Kinds>),
        ("overhead", is_a::<Kinds>),
    ];
    for (key, check) in parts {
        if let Some(part) = table.get(key) {
            check(part).map_err(|reason| wrong(format!("{key}: {}", clip(&reason))))?;
        }
    }
    let table: Table =
        serde_json::from_value(Value::Object(table)).map_err(|error| wrong(clip(&error.to_string())))?;
    policy(table)
}

fn is_a<T: DeserializeOwned>(part: &Value) -> std::result::Result<(), String> {
    T::deserialize(part).map(drop).map_err(|error| error.to_string())
}

fn policy(table: Table) -> Result<Policy> {
    let terms = terms(&table.terms)?;
    let parse = |text: &str| Expression::parse(text, &terms);
    Ok(Policy {
        runtime: table.runtime,
        version: table.version,
        aliases: table.aliases,
        source: table.source,
        date: table.date,
        residency: table.residency,
        schemes: table.schemes.iter().map(|text| text.parse()).collect::<Result<_>>()?,
        kv_dtypes: table.kv_dtypes.iter().map(|text| text.parse()).collect::<Result<_>>()?,
        offload: table.offload,
        on_ios: table.on_ios,
        kv_cache: KvLayout {
            latent: table.kv_cache.latent,
            cells: parse(&table.kv_cache.cells)?,
            window: parse(&table.kv_cache.window)?,
            chunk: parse(&table.kv_cache.chunk)?,
            encoders: table.kv_cache.encoders,
            pads_values: table.kv_cache.pads_values,
        },
        state: table.state,
        weights: WeightLayout {
            bytes: Bounds::parse(&table.weights.bytes, &terms)?,
            encoder: table.weights.encoder.map(|written| Bounds::parse(&written, &terms)).transpose()?,
        },
        activations: by_kind(&table.activations, &terms)?,
        overhead: by_kind(&table.overhead, &terms)?,
    })
}

/// Terms speak of variables alone, so that their order does not matter.
fn terms(written: &BTreeMap<String, String>) -> Result<Terms> {
    written.iter().map(|(name, text)| Ok((name.clone(), text.parse()?))).collect()
}

fn by_kind(kinds: &Kinds, terms: &Terms) -> Result<ByKind> {
    let parse = |written: &Written| Bounds::parse(written, terms);
    Ok(ByKind {
        decoder: parse(&kinds.decoder)?,
        decoder_unfused: kinds.decoder_unfused.as_ref().map(parse).transpose()?,
        encoder: parse(&kinds.encoder)?,
        graph: parse(&kinds.graph)?,
        unknown: parse(&kinds.unknown)?,
    })
}
