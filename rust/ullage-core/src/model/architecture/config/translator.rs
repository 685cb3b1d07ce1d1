//! Encoder-decoders: the decoder's own cache, and what the encoder handed over.
//!
//! Each decoder layer stands for two: its self-attention, then its cross-attention, whose keys and values are
//! computed once from the encoder's output.

use super::{Fault, bounded};
use crate::model::architecture::{Architecture, Attention, Layer, Span};
use crate::model::settings::Settings;

const FAMILIES: [&str; 14] = [
    "bart",
    "blenderbot",
    "longt5",
    "m2m_100",
    "marian",
    "mbart",
    "moonshine",
    "mt5",
    "pegasus",
    "speech_to_text",
    "t5",
    "umt5",
    "whisper",
    "switch_transformers",
];

/// Classes that keep the encoder alone.
const ENCODERS: [&str; 3] = ["T5EncoderModel", "MT5EncoderModel", "UMT5EncoderModel"];

pub(super) fn is_one(root: Settings<'_>, family: &str) -> bool {
    FAMILIES.contains(&family) && root.flag("is_encoder_decoder") != Some(false)
}

pub(super) fn architecture(root: Settings<'_>, family: &str) -> Result<Option<Architecture>, Fault> {
    let hidden = root.first(&["d_model", "hidden_size"])?;
    let layers = root.first(&[
        "num_decoder_layers",
        "decoder_layers",
        "decoder_num_hidden_layers",
        "num_layers",
        "num_hidden_layers",
    ])?;
    let heads = root.first(&[
        "num_heads",
        "decoder_attention_heads",
        "decoder_num_attention_heads",
        "num_attention_heads",
    ])?;
    let (Some(hidden), Some(layers), Some(heads)) = (hidden, layers, heads) else { return Ok(None) };
    let layers = bounded(layers, "num_decoder_layers")?;
    if heads == 0 {
        return Err(Fault::new("no attention head").field("num_heads"));
    }
    let dim = root.first(&["d_kv", "head_dim"])?.or_else(|| hidden.checked_div(heads)).unwrap_or(0);
    let attention = Attention::Heads { kv_heads: heads, key: dim, value: dim };
    let handed_over = match root.number("max_source_positions")? {
        Some(tokens) if matches!(family, "whisper" | "speech_to_text") => Span::Fixed(tokens),
        _ => Span::All,
    };
    let is_decoder = !is_encoder_alone(root);
    let both = [Layer::attending(Span::All, attention), Layer::attending(handed_over, attention)];
    let keeps = (0..layers).flat_map(|_| both);
    Ok(Some(Architecture {
        name: root.text("model_type").map(str::to_owned),
        is_decoder: Some(is_decoder),
        hidden,
        intermediate: root
            .first(&["d_ff", "decoder_ffn_dim", "intermediate_size"])?
            .unwrap_or_else(|| hidden.saturating_mul(4)),
        heads,
        vocabulary: root.number("vocab_size")?,
        max_context: root.first(&["max_target_positions", "max_position_embeddings", "n_positions"])?,
        layers: if is_decoder { keeps.collect() } else { Vec::new() },
        ..Architecture::default()
    }))
}

/// Whether the file describes the encoder of such a model and nothing else.
pub(in crate::model) fn is_encoder_alone(root: Settings<'_>) -> bool {
    let classes = root.list("architectures").unwrap_or_default();
    classes.iter().filter_map(serde_json::Value::as_str).any(|class| ENCODERS.contains(&class))
}
