//! The numbers of an architecture, from the `config.json` that Hugging Face puts beside the weights.

use std::path::Path;

use serde_json::{Map, Value};

use super::directory::{fault, read_json};
use crate::error::Result;

/// What one layer keeps per sequence while it generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerCache {
    /// Keys and values of every token.
    Full,
    /// Keys and values of the last so many tokens.
    Window(u64),
    /// A state that this version has no formula for (recurrent, convolutional, shared with another layer).
    Unknown,
}

/// What one token costs in a layer that caches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Multi-head, grouped-query and multi-query attention.
    Heads {
        /// Heads that keys and values are stored for.
        kv_heads: u64,
        /// Elements of a key, and of a value.
        head_dim: u64,
    },
    /// Multi-head latent attention: one latent and one rotary key per token.
    Latent {
        /// `kv_lora_rank + qk_rope_head_dim`, what a runtime that caches the latent stores.
        latent: u64,
        /// `heads · (key + value elements)`, what a runtime that caches the expanded form stores.
        expanded: u64,
    },
}

/// The numbers of an architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `model_type`.
    pub architecture: Option<String>,
    /// Whether it generates token by token and so keeps a cache; `None` where the file does not say.
    pub is_decoder: Option<bool>,
    /// `hidden_size`.
    pub hidden: u64,
    /// `intermediate_size`; four times `hidden` where absent, as in GPT-2.
    pub intermediate: u64,
    /// `num_attention_heads`.
    pub heads: u64,
    /// `vocab_size`, where given.
    pub vocabulary: Option<u64>,
    /// `max_position_embeddings`, where given.
    pub max_context: Option<u64>,
    /// One entry a layer.
    pub caches: Vec<LayerCache>,
    /// Cost of a token in a layer that caches it.
    pub attention: Attention,
}

/// Far above any model, far below what could overflow a product of two.
const LARGEST: u64 = 1 << 31;
const MOST_LAYERS: u64 = 1 << 16;

/// Keys that tell of a state or a sharing of caches which [`LayerCache`] does not model.
const UNMODELLED: [&str; 9] = [
    "linear_num_key_heads",
    "mamba_d_state",
    "mamba_d_conv",
    "ssm_state_size",
    "conv_L_cache",
    "full_attention_interval",
    "attn_layer_period",
    "num_kv_shared_layers",
    "attention_chunk_size",
];

/// Architectures that read a whole text at once and keep no cache.
const ENCODERS: [&str; 10] = [
    "albert",
    "bert",
    "deberta-v2",
    "distilbert",
    "electra",
    "modernbert",
    "mpnet",
    "nomic_bert",
    "roberta",
    "xlm-roberta",
];

/// Architectures in which a window, where one is given without a pattern, holds for every layer.
const ALL_WINDOWED: [&str; 4] = ["mistral", "mixtral", "phi3", "starcoder2"];

impl Config {
    /// Reads `config.json` in `directory`; `None` where there is none or where it describes no transformer.
    ///
    /// # Errors
    /// [`crate::Error::ModelFile`] naming the key for a file that is not JSON or holds impossible numbers.
    pub(super) fn beside(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join("config.json");
        if !path.is_file() {
            return Ok(None);
        }
        let Value::Object(root) = read_json(&path)? else {
            return Err(fault(&path, None, "not a JSON object"));
        };
        let text = match root.get("text_config") {
            Some(Value::Object(text)) => text,
            _ => &root,
        };
        Reader { path: &path, root: &root, text }.config()
    }
}

struct Reader<'a> {
    path: &'a Path,
    root: &'a Map<String, Value>,
    /// The language half of a multimodal file, else the same as `root`.
    text: &'a Map<String, Value>,
}

impl Reader<'_> {
    fn config(&self) -> Result<Option<Config>> {
        let hidden = self.first_number(&["hidden_size", "n_embd", "d_model"])?;
        let layers = self.first_number(&["num_hidden_layers", "n_layer", "num_layers"])?;
        let heads = self.first_number(&["num_attention_heads", "n_head", "num_heads"])?;
        let (Some(hidden), Some(layers), Some(heads)) = (hidden, layers, heads) else {
            return Ok(None);
        };
        if layers > MOST_LAYERS {
            return Err(fault(self.path, Some("num_hidden_layers"), format!("{layers} layers")));
        }
        let intermediate = self.first_number(&["intermediate_size", "n_inner", "ffn_dim"])?;
        Ok(Some(Config {
            architecture: self.architecture(),
            is_decoder: self.is_decoder(),
            hidden,
            intermediate: intermediate.unwrap_or(hidden.saturating_mul(4)),
            heads,
            vocabulary: self.number("vocab_size")?,
            max_context: self.first_number(&["max_position_embeddings", "n_positions"])?,
            caches: self.caches(layers)?,
            attention: self.attention(hidden, heads)?,
        }))
    }

    fn architecture(&self) -> Option<String> {
        let name = self.root.get("model_type").or_else(|| self.text.get("model_type"));
        name.and_then(Value::as_str).map(str::to_owned)
    }

    /// A causal language model says so in the name of its class; an encoder is one of the known kinds.
    fn is_decoder(&self) -> Option<bool> {
        if self.flag("is_encoder_decoder") == Some(true) || self.flag("is_decoder") == Some(true) {
            return Some(true);
        }
        let classes: Vec<&str> = match self.root.get("architectures") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if classes
            .iter()
            .any(|class| class.ends_with("ForCausalLM") || class.ends_with("ForConditionalGeneration"))
        {
            return Some(true);
        }
        let architecture = self.architecture()?;
        ENCODERS.contains(&architecture.as_str()).then_some(false)
    }

    fn attention(&self, hidden: u64, heads: u64) -> Result<Attention> {
        if heads == 0 {
            return Err(fault(self.path, Some("num_attention_heads"), "no attention head"));
        }
        if let Some(rank) = self.number("kv_lora_rank")? {
            let rope = self.number("qk_rope_head_dim")?.unwrap_or(0);
            let key = self.number("qk_nope_head_dim")?.unwrap_or(0).saturating_add(rope);
            let value = self.number("v_head_dim")?.unwrap_or(key);
            return Ok(Attention::Latent {
                latent: rank.saturating_add(rope),
                expanded: heads.saturating_mul(key.saturating_add(value)),
            });
        }
        let kv_heads = self.number("num_key_value_heads")?.unwrap_or(heads);
        let head_dim = self.number("head_dim")?.unwrap_or_else(|| hidden.checked_div(heads).unwrap_or(0));
        Ok(Attention::Heads { kv_heads, head_dim })
    }

    fn caches(&self, layers: u64) -> Result<Vec<LayerCache>> {
        let window =
            self.number("sliding_window")?.filter(|_| self.flag("use_sliding_window") != Some(false));
        let count = usize::try_from(layers).unwrap_or(usize::MAX);
        if let Some(Value::Array(types)) = self.text.get("layer_types") {
            if types.len() != count {
                let reason = format!("{} entries for {layers} layers", types.len());
                return Err(fault(self.path, Some("layer_types"), reason));
            }
            return Ok(types.iter().map(|kind| layer_cache(kind.as_str(), window)).collect());
        }
        let has = |key: &str| self.text.get(key).is_some_and(|value| !value.is_null());
        if UNMODELLED.iter().any(|key| has(key)) {
            return Ok(vec![LayerCache::Unknown; count]);
        }
        let pattern = self.number("sliding_window_pattern")?.filter(|&pattern| pattern > 0);
        let is_uniform = self.architecture().is_some_and(|name| ALL_WINDOWED.contains(&name.as_str()));
        let cache = |layer: u64| match (window, pattern) {
            (None, _) => LayerCache::Full,
            // Every pattern-th layer sees all tokens, as in Gemma 3.
            (Some(_), Some(pattern)) if layer.saturating_add(1).is_multiple_of(pattern) => LayerCache::Full,
            (Some(_), None) if !is_uniform => LayerCache::Unknown,
            (Some(window), _) => LayerCache::Window(window),
        };
        Ok((0..layers).map(cache).collect())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.text.get(key).and_then(Value::as_bool)
    }

    fn first_number(&self, keys: &[&str]) -> Result<Option<u64>> {
        for key in keys {
            if let Some(number) = self.number(key)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// A count; `None` where the key is absent or null.
    fn number(&self, key: &str) -> Result<Option<u64>> {
        match self.text.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|&number| number < LARGEST) {
                Some(number) => Ok(Some(number)),
                None => Err(fault(
                    self.path,
                    Some(key),
                    format!("expected a count below 2^31, found {}", kind(value)),
                )),
            },
        }
    }
}

fn layer_cache(kind: Option<&str>, window: Option<u64>) -> LayerCache {
    match (kind, window) {
        (Some("full_attention"), _) => LayerCache::Full,
        (Some("sliding_attention"), Some(window)) => LayerCache::Window(window),
        _ => LayerCache::Unknown,
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => crate::units::clip(&other.to_string()),
    }
}
