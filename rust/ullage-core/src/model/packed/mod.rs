//! Quantised checkpoints: what is packed into the integers of their tensors.
//!
//! Safetensors and PyTorch files know no quantised weight. Each method stores integers of its own packing and, beside
//! them, scales, zero points and maps under names of its own. This module knows the names and shapes, so that
//! parameters are those of the unpacked weight, while scales and the like count as bytes alone.

mod files;
mod schemes;
mod settings;

use std::collections::{HashMap, HashSet};

pub(super) use files::Files;
pub(super) use settings::Settings;

use super::Tensor;

/// Reads the content of a tensor by its place in the list, where it is small; `None` if it cannot be had.
pub(super) type Peek<'a> = dyn FnMut(&Tensor, usize) -> Option<Vec<u8>> + 'a;

/// Schemes named at most; a checkpoint of more is described by those that hold most parameters.
const MOST_NAMED: usize = 3;

/// Names beside a quantised weight, in its module, that are no parameters.
const IN_MODULE: [&str; 19] = [
    "SCB",
    "_scale",
    "_shift",
    "activation_scale",
    "biases",
    "input_global_scale",
    "input_scale",
    "input_zero_point",
    "output_scale",
    "pre_quant_scale",
    "qzeros",
    "s",
    "scale",
    "scales",
    "weight_scale",
    "weight_scale_2",
    "weight_scales",
    "zero",
    "zeros",
];

/// What follows the name of a quantised weight in the names of its scales.
const AFTER_WEIGHT: [&str; 13] = [
    "_scale",
    "_scale_inv",
    "_scale_2",
    "_scales",
    "_global_scale",
    "_zero_point",
    "_shape",
    "_g_idx",
    "_zeros",
    ".absmax",
    ".quant_map",
    ".nested_absmax",
    ".nested_quant_map",
];

/// Scales of a quantised cache, which stand in the attention and not beside a weight.
const OF_CACHE: [&str; 4] = ["k_scale", "prob_scale", "q_scale", "v_scale"];

/// A packed weight, as its scheme tells it.
struct Found {
    /// The scheme, such as `gptq 4 bit, group 128`.
    scheme: String,
    /// Elements of the weight before it was packed.
    parameters: u64,
    /// The name its scales are built on, without what the packing appends.
    weight: String,
}

/// The tensors of a model by name.
struct Shelf<'a> {
    tensors: &'a [Tensor],
    places: HashMap<&'a str, usize>,
}

impl<'a> Shelf<'a> {
    fn of(tensors: &'a [Tensor]) -> Self {
        let places =
            tensors.iter().enumerate().map(|(place, tensor)| (tensor.name.as_str(), place)).collect();
        Self { tensors, places }
    }

    /// The tensor whose name is `start` followed by `end`.
    fn get(&self, start: &str, end: &str) -> Option<&'a Tensor> {
        self.tensors.get(self.place(start, end)?)
    }

    fn place(&self, start: &str, end: &str) -> Option<usize> {
        self.places.get([start, end].concat().as_str()).copied()
    }
}

/// Sets the parameters of packed weights to those of the weights unpacked, and those of their scales to none. The
/// scheme or schemes found, the one of most parameters first; `None` for a model that is not quantised.
pub(super) fn unpack(tensors: &mut [Tensor], settings: &Settings, peek: &mut Peek<'_>) -> Option<String> {
    if !tensors.iter().any(schemes::may_be_packed) {
        return None;
    }
    let mut found = Vec::new();
    let shelf = Shelf::of(tensors);
    for (place, tensor) in shelf.tensors.iter().enumerate() {
        if let Some(packed) = schemes::find(&shelf, tensor, settings, peek) {
            found.push((place, packed));
        }
    }
    if found.is_empty() {
        return None;
    }
    let companions = companions(&shelf, &found);
    for place in companions {
        tensors[place].parameters = 0;
    }
    for (place, packed) in &found {
        tensors[*place].parameters = packed.parameters;
    }
    in_order_of_parameters(found.iter().map(|(_, packed)| (packed.scheme.as_str(), packed.parameters)))
}

/// Where the scales and the like of the weights `found` stand.
fn companions(shelf: &Shelf<'_>, found: &[(usize, Found)]) -> Vec<usize> {
    let packed: HashSet<usize> = found.iter().map(|(place, _)| *place).collect();
    let weights: HashSet<&str> = found.iter().map(|(_, packed)| packed.weight.as_str()).collect();
    let modules: HashSet<&str> = weights.iter().map(|weight| schemes::split(weight).0).collect();
    let is_companion = |name: &str| {
        let (module, last) = schemes::split(name);
        OF_CACHE.contains(&last)
            || (IN_MODULE.contains(&last) && (modules.contains(module) || weights.contains(module)))
            || AFTER_WEIGHT
                .iter()
                .any(|end| name.strip_suffix(end).is_some_and(|weight| weights.contains(weight)))
    };
    let rows = shelf.tensors.iter().enumerate();
    rows.filter(|(place, tensor)| !packed.contains(place) && is_companion(&tensor.name))
        .map(|(place, _)| place)
        .collect()
}

/// The schemes of weights with so many parameters each, the one of most parameters first; `None` where there is none.
pub(super) fn in_order_of_parameters<'a>(rows: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let mut sums: HashMap<&str, u64> = HashMap::new();
    for (scheme, parameters) in rows {
        let sum = sums.entry(scheme).or_default();
        *sum = sum.saturating_add(parameters);
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let names: Vec<_> = rows.into_iter().take(MOST_NAMED).map(|(scheme, _)| scheme).collect();
    (!names.is_empty()).then(|| names.join(" + "))
}

#[cfg(test)]
mod tests;
