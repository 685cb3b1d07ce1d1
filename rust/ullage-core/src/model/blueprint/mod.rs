//! The tensors of a model from its configuration alone: what its checkpoint would hold, before it is downloaded.
//!
//! Shapes follow from the definition of the model, names and number formats from the published checkpoints. Where no
//! definition is known, nothing is guessed: the fault names the key that says what the model is.

mod decoder;
mod diffusion;
mod encoder;
mod families;
mod gemma3n;
mod member;
mod mixture;
mod plan;
mod quantization;
mod recurrent;
mod stack;
mod translator;
mod vision;

use serde_json::{Map, Value};

use self::member::Decoder;
use self::plan::Plan;
use self::quantization::Quantization;
use super::architecture::{MOST_LAYERS, family, layer_count, layers, of_config, recurrent as states};
use super::dtype::Dtype;
use super::fault::Fault;
use super::settings::Settings;
use super::{Architecture, Contents};
use crate::units::Bytes;

/// Whether the family's models are decoders, as far as is known here.
pub(super) fn is_decoder_family(name: &str) -> bool {
    name == "gemma3n" || stack::FAMILIES.contains(&name) || families::find(name).is_some()
}

/// The tensors and the architecture that a parsed `config.json` describes.
///
/// # Errors
/// [`Fault`] naming the key: a number that is missing or impossible, an architecture or a quantisation of which no
/// layout is known.
pub(super) fn of(root: &Map<String, Value>) -> Result<Contents, Fault> {
    let settings = Settings::of(root);
    let mut notes = Vec::new();
    let mut plan = Plan::new(dtype(settings, &mut notes)?, Quantization::of(settings)?);
    let architecture = if let Some(class) = diffusion::class(settings) {
        diffusion::add(&mut plan, settings, class)?;
        let name = Some(class.to_owned());
        Some(Architecture { name, is_decoder: Some(false), ..Architecture::default() })
    } else {
        add(&mut plan, settings, &mut notes)?;
        of_config(root)?
    };
    let (tensors, bytes) = plan.finish()?;
    Ok(Contents { tensors, file_bytes: Bytes::new(bytes), architecture, notes, ..Contents::default() })
}

fn add(plan: &mut Plan, root: Settings<'_>, notes: &mut Vec<String>) -> Result<(), Fault> {
    let family = family(root);
    let text = root.language();
    if vision::FAMILIES.contains(&family)
        || root.text("model_type").is_some_and(|whole| whole == "clip" || whole == "siglip")
    {
        return vision::add(plan, root, root.text("model_type").unwrap_or(family));
    }
    if encoder::FAMILIES.contains(&family) {
        return encoder::add(plan, root, family, notes);
    }
    if translator::FAMILIES.contains(&family) {
        return translator::add(plan, root, family, is_tied(root, family != "mt5"));
    }
    refuse_other_halves(root)?;
    add_language(plan, root, text, family, notes)?;
    if let Some(vision) = root.section("vision_config") {
        add_gemma3_vision(plan, text, vision)?;
    }
    Ok(())
}

fn add_language(
    plan: &mut Plan,
    root: Settings<'_>,
    text: Settings<'_>,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<(), Fault> {
    let further = text.first(&["num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"])?;
    if further.is_some_and(|layers| layers > 0) {
        notes.push("layers that predict further tokens are not counted: few runtimes load them".to_owned());
    }
    if name == "gemma3n" {
        return gemma3n::add(plan, text);
    }
    let count = layer_count(text)?.ok_or_else(|| Fault::missing("num_hidden_layers"))?;
    if count > MOST_LAYERS {
        return Err(Fault::new(format!("{count} layers")).field("num_hidden_layers"));
    }
    if stack::FAMILIES.contains(&name) {
        let keeps = layers(text, name, count)?;
        let shares = is_tied(root, stack::is_tied_by_class(name)) || is_headless(root, notes);
        return stack::add(plan, text, name, &keeps, shares);
    }
    let Some(family) = families::find(name) else {
        let reason = match name {
            "" => "missing, and without it no layout of tensors is known".to_owned(),
            name => format!(
                "no layout of tensors is known for {name:?}; point at the weights, whose headers tell"
            ),
        };
        return Err(Fault::new(reason).field("model_type"));
    };
    let hidden = text.needed(&["hidden_size"])?;
    let keeps = layers(text, name, count)?;
    if states::is_hybrid(name) && keeps.iter().any(|layer| !layer.is_known) {
        let reason = "missing or not understood: which layers attend and which recur is not told";
        return Err(Fault::new(reason).field("layer_types"));
    }
    let decoder = Decoder { text, name, family, hidden };
    decoder.add(plan, &keeps, is_tied(root, family.is_tied) || is_headless(root, notes))
}

/// Halves of a multimodal model other than Gemma 3's image encoder would go uncounted: better no answer.
fn refuse_other_halves(root: Settings<'_>) -> Result<(), Fault> {
    for key in ["vision_config", "audio_config", "vision_tower", "speech_config"] {
        let is_known = key == "vision_config" && root.text("model_type") == Some("gemma3");
        if root.has(key) && !is_known {
            let whole = root.text("model_type").unwrap_or_default();
            let reason = format!(
                "no layout of these tensors is known for {whole:?}; give its text_config alone, or the weights"
            );
            return Err(Fault::new(reason).field(key));
        }
    }
    Ok(())
}

fn add_gemma3_vision(plan: &mut Plan, text: Settings<'_>, vision: Settings<'_>) -> Result<(), Fault> {
    let (hidden, width) = (text.needed(&["hidden_size"])?, vision.needed(&["hidden_size"])?);
    plan.within("vision_tower", |plan| vision::add_siglip_vision(plan, vision))?;
    plan.within("multi_modal_projector", |plan| {
        plan.tensor("mm_input_projection_weight", &[width, hidden]);
        plan.norm("mm_soft_emb_norm", width, false);
    });
    Ok(())
}

fn is_tied(root: Settings<'_>, by_class: bool) -> bool {
    let key = "tie_word_embeddings";
    root.language().flag(key).or_else(|| root.flag(key)).unwrap_or(by_class)
}

/// Whether the class has no head over the vocabulary: an embedding model, or one that tells classes apart.
fn is_headless(root: Settings<'_>, notes: &mut Vec<String>) -> bool {
    let class = root.list("architectures").and_then(|classes| classes.first()?.as_str()).unwrap_or_default();
    let generates =
        ["ForCausalLM", "ForConditionalGeneration", "LMHeadModel"].iter().any(|end| class.ends_with(end));
    let is_bare = class.ends_with("Model") && !generates;
    let classifies = class.ends_with("Classification");
    if classifies {
        notes.push(format!("the head of {} is not counted", crate::units::clip(class)));
    }
    is_bare || classifies
}

/// The number format of the weights; 32 bits where the file does not say, as the framework takes it.
fn dtype(root: Settings<'_>, notes: &mut Vec<String>) -> Result<Dtype, Fault> {
    let text = root.language();
    let found = ["dtype", "torch_dtype"].iter().find_map(|key| {
        let name = root.text(key).or_else(|| text.text(key))?;
        Some((*key, name.strip_prefix("torch.").unwrap_or(name)))
    });
    match found {
        None => {
            notes.push("the configuration names no dtype: 32-bit weights are assumed".to_owned());
            Ok(Dtype::F32)
        }
        Some((_, "float32" | "float" | "auto")) => Ok(Dtype::F32),
        Some((_, "bfloat16")) => Ok(Dtype::BF16),
        Some((_, "float16" | "half")) => Ok(Dtype::F16),
        Some((_, "float8_e4m3fn")) => Ok(Dtype::F8_E4M3),
        Some((_, "float64")) => Ok(Dtype::F64),
        Some((key, other)) => Err(Fault::new(format!("the number format {other:?} is not known")).field(key)),
    }
}

#[cfg(test)]
mod tests;
