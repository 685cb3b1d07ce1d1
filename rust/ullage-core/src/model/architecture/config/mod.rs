//! The numbers of an architecture, from the `config.json` that Hugging Face puts beside the weights.

pub(in crate::model) mod attention;
pub(in crate::model) mod recurrent;
mod span;
mod translator;

use std::path::Path;

use serde_json::{Map, Value};

use super::{Architecture, Layer};
use crate::error::Result;
use crate::model::directory::read_text;
use crate::model::fault::Fault;
use crate::model::settings::{Settings, parse};

pub(in crate::model) use span::{count as layer_count, layers};
pub(in crate::model) use translator::is_encoder_alone;

/// Layers that a model may have.
pub(in crate::model) const MOST_LAYERS: u64 = 1 << 12;

/// Architectures that read a whole input at once and keep no cache.
const ENCODERS: [&str; 30] = [
    "albert",
    "bert",
    "camembert",
    "clip",
    "clip_text_model",
    "clip_vision_model",
    "deberta",
    "deberta-v2",
    "deit",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
    "distilbert",
    "electra",
    "ernie",
    "eurobert",
    "hubert",
    "layoutlm",
    "modernbert",
    "mpnet",
    "new",
    "nomic_bert",
    "roberta",
    "siglip",
    "siglip_text_model",
    "siglip_vision_model",
    "vit",
    "wav2vec2",
    "xlm-roberta",
    "xlm-roberta-xl",
];

/// Endings of the names of classes that generate token by token.
const GENERATORS: [&str; 3] = ["ForCausalLM", "ForConditionalGeneration", "LMHeadModel"];

/// Reads `config.json` in `directory`; `None` where there is none or where it describes no transformer.
///
/// # Errors
/// [`crate::Error::ModelFile`] naming the key for a file that is not JSON or holds impossible numbers.
pub(crate) fn beside(directory: &Path) -> Result<Option<Architecture>> {
    let path = directory.join("config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let root = parse(&read_text(&path)?).map_err(|fault| fault.at(&path))?;
    of_config(&root).map_err(|fault| fault.at(&path))
}

/// The architecture that a parsed `config.json` describes; `None` where it describes no transformer.
///
/// # Errors
/// [`Fault`] naming the key that holds an impossible number.
pub(in crate::model) fn of_config(root: &Map<String, Value>) -> Result<Option<Architecture>, Fault> {
    let root = Settings::of(root);
    let text = root.language();
    let family = family(root);
    if translator::is_one(root, family) {
        return translator::architecture(root, family);
    }
    let hidden = text.first(&["hidden_size", "n_embd", "d_model", "dim", "model_dim"])?;
    let layers = span::count(text)?;
    let (Some(hidden), Some(layers)) = (hidden, layers) else { return Ok(None) };
    bounded(layers, "num_hidden_layers")?;
    let heads = text.first(&["num_attention_heads", "n_head", "n_heads", "num_heads"])?;
    if heads.is_none() && !recurrent::is_pure(family) {
        return Ok(None);
    }
    let is_decoder = is_decoder(root, family);
    let keeps = match is_decoder {
        Some(false) => vec![Layer::keeping_nothing(); usize::try_from(layers).unwrap_or(0)],
        _ => span::layers(text, family, layers)?,
    };
    let intermediate =
        text.largest(&["intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "hidden_dim"])?;
    let mut architecture = Architecture {
        name: root.text("model_type").or_else(|| text.text("model_type")).map(str::to_owned),
        is_decoder,
        hidden,
        intermediate: intermediate.unwrap_or_else(|| hidden.saturating_mul(4)),
        heads: heads.unwrap_or(0),
        vocabulary: text.number("vocab_size")?,
        max_context: max_context(text)?,
        layers: keeps,
        ..Architecture::default()
    };
    add_experts(text, &mut architecture)?;
    Ok(Some(architecture))
}

/// What decides how the rest is read: the language half's `model_type`, without the suffix that marks it as a half.
pub(in crate::model) fn family(root: Settings<'_>) -> &str {
    let name = root.language().text("model_type").or_else(|| root.text("model_type")).unwrap_or_default();
    name.strip_suffix("_text").unwrap_or(name)
}

fn bounded(layers: u64, key: &str) -> Result<u64, Fault> {
    if layers > MOST_LAYERS {
        return Err(Fault::new(format!("{layers} layers")).field(key));
    }
    Ok(layers)
}

/// A class that generates says so by its name; an encoder is one of the known kinds. Where no class is named, a
/// family that `layers` knows well enough to be a decoder's is one.
fn is_decoder(root: Settings<'_>, family: &str) -> Option<bool> {
    let text = root.language();
    if text.flag("is_encoder_decoder") == Some(true) || text.flag("is_decoder") == Some(true) {
        return Some(true);
    }
    let classes: Vec<&str> =
        root.list("architectures").unwrap_or_default().iter().filter_map(Value::as_str).collect();
    if classes.iter().any(|class| GENERATORS.iter().any(|ending| class.ends_with(ending))) {
        return Some(true);
    }
    if ENCODERS.contains(&family) || classes.iter().any(|class| class.ends_with("EncoderModel")) {
        return Some(false);
    }
    (classes.is_empty() && crate::model::blueprint::is_decoder_family(family)).then_some(true)
}

fn max_context(text: Settings<'_>) -> Result<Option<u64>, Fault> {
    let keys = ["max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"];
    if let Some(tokens) = text.first(&keys)? {
        return Ok(Some(tokens));
    }
    let (Some(image), Some(patch)) = (text.number("image_size")?, text.number("patch_size")?) else {
        return Ok(None);
    };
    // An image is a sequence of patches and one token for the whole.
    Ok(image.checked_div(patch).map(|side| side.saturating_mul(side).saturating_add(1)))
}

fn add_experts(text: Settings<'_>, architecture: &mut Architecture) -> Result<(), Fault> {
    let experts =
        ["num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts", "num_moe_experts"];
    let Some(experts) = text.first(&experts)?.filter(|&experts| experts > 1) else { return Ok(()) };
    let used = [
        "num_experts_per_tok",
        "num_experts_per_token",
        "moe_topk",
        "moe_k",
        "top_k_experts",
        "moe_router_topk",
    ];
    let width = ["moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size"];
    architecture.experts = experts;
    architecture.experts_used = text.first(&used)?.unwrap_or(1);
    architecture.expert_intermediate = text.largest(&width)?.unwrap_or(architecture.intermediate);
    Ok(())
}
