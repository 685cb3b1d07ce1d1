//! The keys of a `config.json`, asked for one by one; what is amiss is a fault that names the key.

use serde_json::{Map, Value};

use super::fault::Fault;

/// Far above any model, far below what could overflow a product of two.
const LARGEST: u64 = 1 << 31;

/// Lists count layers, of which there are fewer.
const LONGEST_LIST: usize = 1 << 13;

/// Where a multimodal file keeps the settings of its language half.
const LANGUAGE: [&str; 5] = ["text_config", "llm_config", "language_config", "thinker_config", "text_cfg"];

/// What a class takes where its file leaves a key out (transformers, `configuration_*.py`): the published files of
/// these classes do leave some out.
const DEFAULTS: [(&str, &[(&str, u64)]); 13] = [
    ("clip_text_model", &CLIP_TEXT),
    ("clip_vision_model", &CLIP_VISION),
    ("gemma", &[("head_dim", 256)]),
    ("gemma2", &[("head_dim", 256)]),
    ("gemma3", &GEMMA3),
    ("gemma3n", &GEMMA3N),
    ("gemma4", &[("head_dim", 256), ("global_head_dim", 512)]),
    ("glm", &[("head_dim", 128)]),
    ("glm4", &[("head_dim", 128)]),
    ("gpt_oss", &[("head_dim", 64)]),
    ("qwen3", &[("head_dim", 128)]),
    ("siglip_text_model", &SIGLIP),
    ("siglip_vision_model", &SIGLIP),
];

const GEMMA3: [(&str, u64); 4] =
    [("head_dim", 256), ("num_attention_heads", 8), ("num_key_value_heads", 4), ("vocab_size", 262_208)];

const GEMMA3N: [(&str, u64); 8] = [
    ("head_dim", 256),
    ("num_attention_heads", 8),
    ("num_key_value_heads", 2),
    ("vocab_size", 262_400),
    ("vocab_size_per_layer_input", 262_144),
    ("hidden_size_per_layer_input", 256),
    ("altup_num_inputs", 4),
    ("laurel_rank", 64),
];

const CLIP_TEXT: [(&str, u64); 7] = [
    ("vocab_size", 49_408),
    ("hidden_size", 512),
    ("intermediate_size", 2048),
    ("projection_dim", 512),
    ("num_hidden_layers", 12),
    ("num_attention_heads", 8),
    ("max_position_embeddings", 77),
];

const CLIP_VISION: [(&str, u64); 8] = [
    ("hidden_size", 768),
    ("intermediate_size", 3072),
    ("projection_dim", 512),
    ("num_hidden_layers", 12),
    ("num_attention_heads", 12),
    ("num_channels", 3),
    ("image_size", 224),
    ("patch_size", 32),
];

const SIGLIP: [(&str, u64); 9] = [
    ("vocab_size", 32_000),
    ("hidden_size", 768),
    ("intermediate_size", 3072),
    ("num_hidden_layers", 12),
    ("num_attention_heads", 12),
    ("max_position_embeddings", 64),
    ("num_channels", 3),
    ("image_size", 224),
    ("patch_size", 16),
];

/// One object of a configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a> {
    given: &'a Map<String, Value>,
    defaults: &'static [(&'static str, u64)],
}

/// Parses a `config.json`.
///
/// # Errors
/// [`Fault`] saying where the text is no JSON object.
pub(super) fn parse(text: &[u8]) -> Result<Map<String, Value>, Fault> {
    let parsed = serde_json::from_slice(text).or_else(|error| {
        // Python writes numbers that JSON has not: `"time_step_limit": [0.0, Infinity]` of every Mamba-2.
        plain(text).map_or(Err(error), |plain| serde_json::from_slice(&plain))
    });
    match parsed {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err(Fault::new("not a JSON object")),
        Err(error) => Err(Fault::new(crate::units::clip(&error.to_string()))),
    }
}

/// The text with `NaN` and `Infinity` outside of strings made null; `None` where there are none.
fn plain(text: &[u8]) -> Option<Vec<u8>> {
    let mut found = Vec::with_capacity(text.len());
    let (mut is_text, mut is_escaped, mut has_any) = (false, false, false);
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let word =
            [b"-Infinity".as_slice(), b"Infinity", b"NaN"].into_iter().find(|word| rest.starts_with(word));
        if let (false, Some(word)) = (is_text, word) {
            found.extend(b"null");
            has_any = true;
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        is_text ^= byte == b'"' && !is_escaped;
        is_escaped = is_text && byte == b'\\' && !is_escaped;
        found.push(byte);
        rest = after;
    }
    has_any.then_some(found)
}

impl<'a> Settings<'a> {
    /// The settings of a parsed file.
    pub(super) fn of(root: &'a Map<String, Value>) -> Self {
        Self { given: root, defaults: &[] }.classed()
    }

    /// The same, with what its own `model_type` takes for granted.
    fn classed(self) -> Self {
        self.text("model_type").map_or(self, |class| self.of_class(class))
    }

    /// The same, with what the class of that `model_type` takes for granted.
    pub(super) fn of_class(self, class: &str) -> Self {
        let class = class.strip_suffix("_text").unwrap_or(class);
        let defaults = DEFAULTS.iter().find(|(name, _)| *name == class).map_or(&[] as &[_], |row| row.1);
        Self { defaults, ..self }
    }

    /// The language half of a multimodal file, else the whole.
    pub(super) fn language(self) -> Self {
        let Some(half) = LANGUAGE.iter().find_map(|key| self.section(key)) else { return self };
        let half = half.section("text_config").unwrap_or(half);
        // A half that does not name its class is of the whole's.
        if half.has("model_type") { half } else { half.of_class(self.text("model_type").unwrap_or_default()) }
    }

    /// An object within.
    pub(super) fn section(self, key: &str) -> Option<Self> {
        self.given.get(key).and_then(Value::as_object).map(Self::of)
    }

    /// How many keys there are.
    pub(super) fn count(self) -> u64 {
        u64::try_from(self.given.len()).unwrap_or(u64::MAX)
    }

    /// Whether the key is there and not null.
    pub(super) fn has(self, key: &str) -> bool {
        self.given.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether the key is there and says that there is none.
    pub(super) fn is_null(self, key: &str) -> bool {
        self.given.get(key).is_some_and(Value::is_null)
    }

    /// A text, where the key holds one.
    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.given.get(key).and_then(Value::as_str)
    }

    /// A list, where the key holds one.
    pub(super) fn list(self, key: &str) -> Option<&'a [Value]> {
        self.given.get(key).and_then(Value::as_array).map(Vec::as_slice)
    }

    /// A truth value, where the key holds one.
    pub(super) fn flag(self, key: &str) -> Option<bool> {
        self.given.get(key).and_then(Value::as_bool)
    }

    /// A count; `None` where the key is absent or null.
    pub(super) fn number(self, key: &str) -> Result<Option<u64>, Fault> {
        match self.given.get(key) {
            None => Ok(self.defaults.iter().find(|(name, _)| *name == key).map(|&(_, value)| value)),
            Some(Value::Null) => Ok(None),
            Some(value) => count(value).map(Some).map_err(|fault| fault.field(key)),
        }
    }

    /// The first of several names that is given.
    pub(super) fn first(self, keys: &[&str]) -> Result<Option<u64>, Fault> {
        for key in keys {
            if let Some(number) = self.number(key)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// A count, or what its class takes where the key is absent.
    pub(super) fn number_or(self, key: &str, default: u64) -> Result<u64, Fault> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    /// A count that nothing can stand in for, under the first of its names.
    pub(super) fn needed(self, keys: &[&str]) -> Result<u64, Fault> {
        let name = keys.first().copied().unwrap_or_default();
        self.first(keys)?.ok_or_else(|| Fault::missing(name))
    }

    /// A count of layer `layer` where the key holds one for each, or the one for all.
    pub(super) fn of_layer(self, key: &str, layer: u64) -> Result<Option<u64>, Fault> {
        let Some(values) = self.list(key) else { return self.number(key) };
        let entry = usize::try_from(layer).ok().and_then(|layer| values.get(layer));
        let entry = entry.ok_or_else(|| Fault::new(format!("no entry for layer {layer}")).field(key))?;
        count(entry).map(Some).map_err(|fault| fault.field(key))
    }

    /// The largest count of a list, or the one for all.
    pub(super) fn largest(self, keys: &[&str]) -> Result<Option<u64>, Fault> {
        for key in keys {
            if let Some(values) = self.list(key) {
                let counts: Result<Vec<u64>, Fault> = values.iter().map(count).collect();
                return Ok(counts.map_err(|fault| fault.field(key))?.into_iter().max());
            }
            if let Some(number) = self.number(key)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// A list of counts; `None` where the key is absent or null.
    pub(super) fn numbers(self, key: &str) -> Result<Option<Vec<u64>>, Fault> {
        let Some(values) = self.list(key) else { return Ok(None) };
        if values.len() > LONGEST_LIST {
            return Err(Fault::new(format!("a list of {} entries", values.len())).field(key));
        }
        let counts: Result<Vec<u64>, Fault> = values.iter().map(count).collect();
        counts.map(Some).map_err(|fault| fault.field(key))
    }

    /// A number with a fraction, as it stands.
    pub(super) fn fraction(self, key: &str) -> Option<f64> {
        self.given.get(key).and_then(Value::as_f64)
    }
}

fn count(value: &Value) -> Result<u64, Fault> {
    // Some exporters write counts as 4096.0.
    let whole = value.as_u64().or_else(|| value.as_f64().and_then(whole));
    whole
        .filter(|&number| number < LARGEST)
        .ok_or_else(|| Fault::new(format!("expected a count below 2^31, found {}", kind(value))))
}

fn whole(number: f64) -> Option<u64> {
    let text = (number.fract() == 0.0 && number >= 0.0).then(|| format!("{number:.0}"))?;
    text.parse().ok()
}

fn kind(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => crate::units::clip(&other.to_string()),
    }
}
