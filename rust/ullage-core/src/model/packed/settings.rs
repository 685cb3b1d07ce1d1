//! What the files beside a checkpoint say of its quantisation.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Result;
use crate::model::directory::read_json;

/// Where older tools wrote what now stands in `config.json`: AutoGPTQ and AutoAWQ.
const OLDER: [&str; 2] = ["quantize_config.json", "quant_config.json"];

/// Above any group or width in use; what a file gives beyond is passed over.
const LARGEST: u64 = 1 << 20;

/// The settings of a quantised checkpoint; empty where its files give none.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Settings {
    root: Map<String, Value>,
}

impl Settings {
    /// Reads the `quantization_config` of `config.json` in `directory`, MLX's `quantization`, or an older file.
    ///
    /// # Errors
    /// [`crate::Error::ModelFile`] for a file that is not JSON.
    pub(in crate::model) fn beside(directory: &Path) -> Result<Self> {
        let path = directory.join("config.json");
        if path.is_file() {
            let config: Value = read_json(&path)?;
            let places = [
                "/quantization_config",
                "/text_config/quantization_config",
                "/compression_config",
                "/quantization",
            ];
            if let Some(root) = places.iter().find_map(|place| config.pointer(place)?.as_object()) {
                return Ok(Self { root: root.clone() });
            }
        }
        for name in OLDER {
            let path = directory.join(name);
            if path.is_file()
                && let Value::Object(root) = read_json(&path)?
            {
                return Ok(Self { root });
            }
        }
        Ok(Self::default())
    }

    /// Settings as they stand in a file.
    #[cfg(test)]
    pub(super) fn of(value: &Value) -> Self {
        Self { root: value.as_object().cloned().unwrap_or_default() }
    }

    /// The method that wrote the checkpoint, such as `gptq`.
    pub(super) fn method(&self) -> Option<&str> {
        self.root.get("quant_method").and_then(Value::as_str)
    }

    /// Bits of one weight.
    pub(super) fn bits(&self) -> Option<u64> {
        let direct =
            ["bits", "w_bit", "nbits", "weight_bits"].iter().find_map(|key| number(self.root.get(*key)?));
        direct
            .or_else(|| self.pointed(&["weights", "num_bits"]))
            .or_else(|| self.pointed(&["quant_config", "weight_quant_params", "nbits"]))
            .or_else(|| self.root.get("weights")?.as_str()?.trim_start_matches("int").parse().ok())
            .filter(|bits| (1..=16).contains(bits))
    }

    /// Weights under one scale, for the module of this name where the file tells modules apart.
    pub(super) fn group(&self, module: &str) -> Option<u64> {
        let of = |map: &Map<String, Value>| {
            ["group_size", "q_group_size"].iter().find_map(|key| number(map.get(*key)?))
        };
        let own = self.root.get(module).and_then(Value::as_object).and_then(of);
        own.or_else(|| of(&self.root))
            .or_else(|| self.pointed(&["weights", "group_size"]))
            .or_else(|| self.pointed(&["quant_config", "weight_quant_params", "group_size"]))
    }

    /// A number under these keys, in the root or in the first of the `config_groups` of compressed-tensors.
    fn pointed(&self, keys: &[&str]) -> Option<u64> {
        let follow = |mut map: &Map<String, Value>| -> Option<u64> {
            let (last, path) = keys.split_last()?;
            for key in path {
                map = map.get(*key)?.as_object()?;
            }
            number(map.get(*last)?)
        };
        follow(&self.root).or_else(|| {
            let groups = self.root.get("config_groups")?.as_object()?;
            groups.values().filter_map(Value::as_object).find_map(follow)
        })
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().filter(|&number| number > 0 && number <= LARGEST)
}
