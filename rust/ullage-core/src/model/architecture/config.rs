//! The numbers of an architecture, from the `config.json` that Hugging Face puts beside the weights.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Architecture, Attention, Layer, Span};
use crate::error::Result;
use crate::model::directory::{fault, read_json};

/// Far above any model, far below what could overflow a product of two.
const LARGEST: u64 = 1 << 31;
const MOST_LAYERS: u64 = 1 << 16;

/// Keys that tell of a state or a sharing of caches which the reader does not model.
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

/// Reads `config.json` in `directory`; `None` where there is none or where it describes no transformer.
///
/// # Errors
/// [`crate::Error::ModelFile`] naming the key for a file that is not JSON or holds impossible numbers.
pub(crate) fn beside(directory: &Path) -> Result<Option<Architecture>> {
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

struct Reader<'a> {
    path: &'a Path,
    root: &'a Map<String, Value>,
    /// The language half of a multimodal file, else the same as `root`.
    text: &'a Map<String, Value>,
}

impl Reader<'_> {
    fn config(&self) -> Result<Option<Architecture>> {
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
        let attention = self.attention(hidden, heads)?;
        Ok(Some(Architecture {
            name: self.architecture(),
            is_decoder: self.is_decoder(),
            hidden,
            intermediate: intermediate.unwrap_or(hidden.saturating_mul(4)),
            heads,
            vocabulary: self.number("vocab_size")?,
            max_context: self.first_number(&["max_position_embeddings", "n_positions"])?,
            layers: self.layers(layers, attention)?,
            ..Architecture::default()
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
            return Ok(Attention::Latent { rank, rope, heads, key, value });
        }
        let kv_heads = self.number("num_key_value_heads")?.unwrap_or(heads);
        let head_dim = self.number("head_dim")?.unwrap_or_else(|| hidden.checked_div(heads).unwrap_or(0));
        Ok(Attention::Heads { kv_heads, key: head_dim, value: head_dim })
    }

    fn layers(&self, layers: u64, attention: Attention) -> Result<Vec<Layer>> {
        let window =
            self.number("sliding_window")?.filter(|_| self.flag("use_sliding_window") != Some(false));
        let count = usize::try_from(layers).unwrap_or(usize::MAX);
        if let Some(Value::Array(types)) = self.text.get("layer_types") {
            if types.len() != count {
                let reason = format!("{} entries for {layers} layers", types.len());
                return Err(fault(self.path, Some("layer_types"), reason));
            }
            return Ok(types.iter().map(|kind| layer_of(kind.as_str(), window, attention)).collect());
        }
        let has = |key: &str| self.text.get(key).is_some_and(|value| !value.is_null());
        if UNMODELLED.iter().any(|key| has(key)) {
            return Ok(vec![Layer::unknown(attention); count]);
        }
        let pattern = self.number("sliding_window_pattern")?.filter(|&pattern| pattern > 0);
        let is_uniform = self.architecture().is_some_and(|name| ALL_WINDOWED.contains(&name.as_str()));
        let over = |span| Layer::attending(span, attention);
        let cache = |layer: u64| match (window, pattern) {
            (None, _) => over(Span::All),
            // Every pattern-th layer sees all tokens, as in Gemma 3.
            (Some(_), Some(pattern)) if layer.saturating_add(1).is_multiple_of(pattern) => over(Span::All),
            (Some(_), None) if !is_uniform => Layer::unknown(attention),
            (Some(window), _) => over(Span::Window(window)),
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

fn layer_of(kind: Option<&str>, window: Option<u64>, attention: Attention) -> Layer {
    match (kind, window) {
        (Some("full_attention"), _) => Layer::attending(Span::All, attention),
        (Some("sliding_attention"), Some(window)) => Layer::attending(Span::Window(window), attention),
        _ => Layer::unknown(attention),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => crate::units::clip(&other.to_string()),
    }
}
