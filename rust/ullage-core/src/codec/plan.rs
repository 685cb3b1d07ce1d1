//! Which scheme for which weight, in which container, and what comes of it.

use std::fmt;
use std::str::FromStr;

use super::core_ml::{self, Network, Norms, Program, Target};
use super::scheme::Scheme;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::units::{Bytes, clip};

/// What lies around compressed weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Container {
    /// Nothing: packed pieces end to end.
    #[default]
    Raw,
    /// A Core ML package.
    CoreMl(Target),
}

/// Schemes by the names of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The scheme of every weight that no override names.
    pub scheme: Scheme,
    /// Patterns of names with their schemes; the first that matches counts. `*` stands for any characters, `?` for one.
    pub overrides: Vec<(String, Scheme)>,
    /// Weights of so many elements or fewer stay as they are; matters in a Core ML package alone.
    pub threshold: u64,
    /// What becomes of batch norms in a Core ML package.
    pub norms: Norms,
}

/// Sizes of a model with its weights compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Bytes without compression: as stored, or the `weight.bin` of 16-bit numbers.
    pub dense: Bytes,
    /// Bytes with it: of the tensors, or of `weight.bin`.
    pub compressed: Bytes,
    /// The program beside the weights, in a Core ML package.
    pub program: Option<Program>,
    /// Tensor by tensor.
    pub rows: Vec<Row>,
}

/// One tensor, compressed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// How it is stored; `None` as it was.
    pub scheme: Option<Scheme>,
    /// Bytes without compression.
    pub dense: Bytes,
    /// Bytes of its data: none where an equal constant is stored already.
    pub bytes: Bytes,
}

impl Plan {
    /// Elements that a weight must have more than, unless said otherwise (coremltools' `weight_threshold`).
    pub const THRESHOLD: u64 = 2048;

    /// One scheme for all.
    #[must_use]
    pub const fn new(scheme: Scheme) -> Self {
        Self { scheme, overrides: Vec::new(), threshold: Self::THRESHOLD, norms: Norms::Folded }
    }

    /// The scheme of the weight called `name`.
    #[must_use]
    pub fn scheme_of(&self, name: &str) -> Scheme {
        let named = self.overrides.iter().find(|(pattern, _)| matches(pattern, name));
        named.map_or(self.scheme, |&(_, scheme)| scheme)
    }

    /// # Errors
    /// [`Error::Argument`] for a pattern that none of `names` matches: it is not what was meant.
    pub(super) fn check<'a>(&self, names: &(impl Iterator<Item = &'a str> + Clone)) -> Result<()> {
        for (pattern, _) in &self.overrides {
            if !names.clone().any(|name| matches(pattern, name)) {
                let reason = format!("no weight has a name such as {:?}", clip(pattern));
                return Err(Error::Argument { name: "overrides", reason });
            }
        }
        Ok(())
    }

    /// Every scheme that it names.
    pub fn schemes(&self) -> impl Iterator<Item = Scheme> {
        std::iter::once(self.scheme).chain(self.overrides.iter().map(|&(_, scheme)| scheme))
    }
}

/// Sizes of `model` with the schemes of `plan` in `container`.
///
/// # Errors
/// [`Error::Argument`] for a model of which no tensor is known, a scheme that the container does not know or an override
/// that no tensor has the name for,
/// [`Error::Overflow`] beyond 2^64 − 1 bytes.
pub fn compress(model: &Model, plan: &Plan, container: Container) -> Result<Compressed> {
    match container {
        Container::CoreMl(target) => core_ml::compress(&Network::of(model)?, plan, target),
        Container::Raw => raw(model, plan),
    }
}

fn raw(model: &Model, plan: &Plan) -> Result<Compressed> {
    if model.tensors.is_empty() {
        let reason = format!("no weights of {} are known that could be compressed", clip(&model.name));
        return Err(Error::Argument { name: "model", reason });
    }
    plan.check(&model.tensors.iter().map(|tensor| tensor.name.as_str()))?;
    let mut rows = Vec::with_capacity(model.tensors.len());
    for tensor in &model.tensors {
        let scheme = plan.scheme_of(&tensor.name);
        let bytes = scheme.tensor_bytes(tensor)?;
        rows.push(Row {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            scheme: (bytes < tensor.bytes).then_some(scheme),
            dense: tensor.bytes,
            bytes,
        });
    }
    let dense = Bytes::sum(rows.iter().map(|row| row.dense), "the weights")?;
    let compressed = Bytes::sum(rows.iter().map(|row| row.bytes), "the compressed weights")?;
    Ok(Compressed { dense, compressed, program: None, rows })
}

/// Whether `name` is what `pattern` describes: with one place to go back to, so that no pattern takes long.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut place, mut at) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(place) {
            Some('*') => {
                star = Some((place, at));
                place = place.saturating_add(1);
            }
            Some(&letter) if letter == '?' || letter == name[at] => {
                place = place.saturating_add(1);
                at = at.saturating_add(1);
            }
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from.saturating_add(1)));
                (place, at) = (back.saturating_add(1), from.saturating_add(1));
            }
        }
    }
    pattern[place..].iter().all(|&letter| letter == '*')
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str("raw"),
            Self::CoreMl(target) => target.fmt(f),
        }
    }
}

impl FromStr for Container {
    type Err = Error;

    /// Reads `raw`, `coreml:ios16` or `coreml:ios18`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "raw" => Ok(Self::Raw),
            "coreml:ios16" | "coreml:ios17" => Ok(Self::CoreMl(Target::Ios16)),
            "coreml:ios18" => Ok(Self::CoreMl(Target::Ios18)),
            other => {
                let reason = format!("{:?} is none of raw, coreml:ios16 and coreml:ios18", clip(other));
                Err(Error::Argument { name: "container", reason })
            }
        }
    }
}
