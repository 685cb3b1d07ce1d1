//! Which layer keeps what: the pattern of full, windowed, chunked and recurrent layers.
//!
//! Patterns and defaults are those of transformers' `configuration_*.py`, where a `layer_types` list is missing.

use super::{Fault, attention, recurrent};
use crate::model::architecture::{Attention, Cache, Layer, Span, State};
use crate::model::settings::Settings;

/// What one layer does, before its sizes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Attend(Span),
    Recur(recurrent::Kind),
    /// A state and attention over everything, side by side.
    Both(recurrent::Kind),
    Nothing,
    Unknown,
}

/// How windowed and full layers alternate where a file says no more than the window.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    /// Every layer has the window.
    Uniform,
    /// Every layer from `max_window_layers` on has it, if it is used at all.
    Late,
    /// Every n-th layer sees everything, or what the key says instead of n; a window where none is given.
    Every(u64, u64),
}

const PATTERNS: [(&str, Pattern); 27] = [
    ("cohere2", Pattern::Every(4, 4096)),
    ("exaone4", Pattern::Every(4, 4096)),
    ("gemma2", Pattern::Every(2, 4096)),
    ("gemma3", Pattern::Every(6, 4096)),
    ("gemma3n", Pattern::Every(5, 512)),
    ("gemma4", Pattern::Every(6, 512)),
    ("gpt_oss", Pattern::Every(2, 128)),
    ("olmo3", Pattern::Every(4, 4096)),
    ("mistral", Pattern::Uniform),
    ("mixtral", Pattern::Uniform),
    ("phi3", Pattern::Uniform),
    ("phi3small", Pattern::Uniform),
    ("phi4_multimodal", Pattern::Uniform),
    ("phi4mm", Pattern::Uniform),
    ("phimoe", Pattern::Uniform),
    ("starcoder2", Pattern::Uniform),
    ("dream", Pattern::Late),
    ("qwen2", Pattern::Late),
    ("qwen2_5_vl", Pattern::Late),
    ("qwen2_moe", Pattern::Late),
    ("qwen2_vl", Pattern::Late),
    ("qwen3", Pattern::Late),
    ("qwen3_moe", Pattern::Late),
    ("qwen3_vl", Pattern::Late),
    ("qwen3_vl_moe", Pattern::Late),
    ("glm4_moe", Pattern::Late),
    ("smollm3", Pattern::Late),
];

/// What every layer keeps, first to last.
pub(in crate::model) fn layers(text: Settings<'_>, family: &str, count: u64) -> Result<Vec<Layer>, Fault> {
    let roles = roles(text, family, count)?;
    let attends = |role: &Role| !matches!(role, Role::Recur(_) | Role::Nothing);
    let nothing = Attention::Heads { kv_heads: 0, key: 0, value: 0 };
    let (local, global) = if roles.iter().any(attends) {
        (attention::attention(text, family)?, attention::global_attention(text, family)?)
    } else {
        (nothing, nothing)
    };
    let mut states: Vec<(recurrent::Kind, State)> = Vec::new();
    for role in &roles {
        if let Role::Recur(kind) | Role::Both(kind) = *role
            && !states.iter().any(|(known, _)| *known == kind)
        {
            match recurrent::state(text, family, kind) {
                Ok(state) => states.push((kind, state)),
                // Weights can be read without these keys; what such a layer keeps is then not known.
                Err(fault) if fault.is_missing() => {}
                Err(fault) => return Err(fault),
            }
        }
    }
    let state_of = |kind| states.iter().find(|(known, _)| *known == kind).map(|&(_, state)| state);
    let layer = |role: &Role| match *role {
        Role::Attend(Span::All) => Layer::attending(Span::All, global),
        Role::Attend(span) => Layer::attending(span, local),
        Role::Recur(kind) => state_of(kind).map_or(Layer::unknown(local), Layer::recurrent),
        Role::Both(kind) => Layer {
            cache: Some(Cache { span: Span::All, attention: global }),
            state: state_of(kind),
            index: 0,
            is_known: state_of(kind).is_some(),
        },
        Role::Nothing => Layer::keeping_nothing(),
        Role::Unknown => Layer::unknown(local),
    };
    let mut layers: Vec<Layer> = roles.iter().map(layer).collect();
    // The last layers of Gemma 3n and 4 read the caches of earlier ones.
    let shared = usize::try_from(text.number_or("num_kv_shared_layers", 0)?).unwrap_or(0);
    if shared > layers.len() {
        let reason = format!("{shared} of {} layers", layers.len());
        return Err(Fault::new(reason).field("num_kv_shared_layers"));
    }
    let own = layers.len().saturating_sub(shared);
    layers.iter_mut().skip(own).for_each(|layer| *layer = Layer::keeping_nothing());
    Ok(layers)
}

fn roles(text: Settings<'_>, family: &str, count: u64) -> Result<Vec<Role>, Fault> {
    if let Some(kind) = recurrent::pure(family) {
        return Ok((0..count).map(|_| Role::Recur(kind)).collect());
    }
    if family == "falcon_h1" {
        return Ok((0..count).map(|_| Role::Both(recurrent::Kind::Mamba2)).collect());
    }
    for key in ["layer_types", "layers_block_type", "hybrid_override_pattern"] {
        if text.has(key) {
            return listed(text, family, count, key);
        }
    }
    if let Some(kind) = recurrent::of_hybrid(family) {
        return hybrid(text, count, kind);
    }
    if let Some(chunk) = text.number("attention_chunk_size")? {
        return chunked(text, count, chunk);
    }
    if recurrent_keys(text) {
        return Ok((0..count).map(|_| Role::Unknown).collect());
    }
    windowed(text, family, count)
}

/// Layers in all, from their number or the list of them.
pub(in crate::model) fn count(text: Settings<'_>) -> Result<Option<u64>, Fault> {
    if let Some(count) = text.first(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"])? {
        return Ok(Some(count));
    }
    let listed = text.list("layers_block_type").or_else(|| text.list("layer_types"));
    Ok(listed.and_then(|layers| u64::try_from(layers.len()).ok()))
}

/// Keys that tell of layers unlike each other in a family that is not known.
fn recurrent_keys(text: Settings<'_>) -> bool {
    let keys = ["linear_num_key_heads", "mamba_d_state", "mamba_d_conv", "ssm_state_size", "conv_L_cache"];
    // `block_configs` shapes every layer on its own (Nemotron-NAS).
    keys.iter().chain(&["attn_layer_period", "block_configs"]).any(|key| text.has(key))
}

/// A list, or a word of letters, with an entry for every layer.
fn listed(text: Settings<'_>, family: &str, count: u64, key: &str) -> Result<Vec<Role>, Fault> {
    let window = window(text, family)?;
    let chunk = text.number("attention_chunk_size")?;
    let role = |word: &str| role_of(word, family, window, chunk);
    let roles: Vec<Role> = match (text.list(key), text.text(key)) {
        (Some(words), _) => words.iter().map(|word| role(word.as_str().unwrap_or_default())).collect(),
        (None, Some(letters)) => {
            letters.chars().map(|letter| role(letter.encode_utf8(&mut [0; 4]))).collect()
        }
        (None, None) => return Err(Fault::new("expected a list of layers").field(key)),
    };
    let found = roles.len();
    // A file may name the layers that predict further tokens too; they come last.
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    if found < wanted {
        return Err(Fault::new(format!("{found} entries for {count} layers")).field(key));
    }
    Ok(roles.into_iter().take(wanted).collect())
}

fn role_of(word: &str, family: &str, window: Option<u64>, chunk: Option<u64>) -> Role {
    let recurrent = recurrent::of_hybrid(family);
    match (word, window, chunk) {
        ("full_attention" | "attention" | "global_attention" | "*", _, _) => Role::Attend(Span::All),
        ("sliding_attention", Some(window), _) => Role::Attend(Span::Window(window)),
        ("chunked_attention", _, Some(chunk)) => Role::Attend(Span::Chunk(chunk)),
        ("linear_attention" | "conv" | "mamba" | "M", _, _) => recurrent.map_or(Role::Unknown, Role::Recur),
        ("hybrid", _, _) => recurrent.map_or(Role::Unknown, Role::Both),
        ("mlp" | "moe" | "-" | "E", _, _) => Role::Nothing,
        _ => Role::Unknown,
    }
}

/// Layers of a hybrid whose file gives the places of attention as indices or as a period.
fn hybrid(text: Settings<'_>, count: u64, kind: recurrent::Kind) -> Result<Vec<Role>, Fault> {
    let attends = |is_full: bool| if is_full { Role::Attend(Span::All) } else { Role::Recur(kind) };
    for key in ["full_attn_idxs", "attn_layer_indices"] {
        if let Some(places) = text.numbers(key)? {
            return Ok((0..count).map(|layer| attends(places.contains(&layer))).collect());
        }
    }
    if let Some(both) = text.numbers("hybrid_layer_ids")? {
        let role = |layer| if both.contains(&layer) { Role::Both(kind) } else { Role::Recur(kind) };
        return Ok((0..count).map(role).collect());
    }
    if let Some(types) = text.numbers("attn_type_list")? {
        return Ok((0_usize..).zip(0..count).map(|(at, _)| attends(types.get(at) == Some(&1))).collect());
    }
    if let Some(linear) = text.section("linear_attn_config") {
        // Counted from 1.
        let full = linear.numbers("full_attn_layers")?.unwrap_or_default();
        return Ok((1..=count).map(|layer| attends(full.contains(&layer))).collect());
    }
    let (period, offset) = match kind {
        recurrent::Kind::DeltaNet => {
            let period = text.number_or("full_attention_interval", 4)?;
            (period, period.saturating_sub(1))
        }
        recurrent::Kind::Mamba => {
            (text.number_or("attn_layer_period", 8)?, text.number_or("attn_layer_offset", 4)?)
        }
        recurrent::Kind::Mamba2 => return Ok((0..count).map(|_| attends(false)).collect()),
        _ => return Ok((0..count).map(|_| Role::Unknown).collect()),
    };
    Ok((0..count).map(|layer| attends(layer.checked_rem(period) == Some(offset))).collect())
}

/// Llama 4: layers without rotary positions see everything, the others the current chunk.
fn chunked(text: Settings<'_>, count: u64, chunk: u64) -> Result<Vec<Role>, Fault> {
    let rotary = text.numbers("no_rope_layers")?.filter(|layers| !layers.is_empty());
    let interval = text.number_or("no_rope_layer_interval", 4)?;
    let is_chunked = |layer: u64| match &rotary {
        Some(rotary) => usize::try_from(layer).ok().and_then(|layer| rotary.get(layer)) != Some(&0),
        None => layer.saturating_add(1).checked_rem(interval) != Some(0),
    };
    let role = |layer| Role::Attend(if is_chunked(layer) { Span::Chunk(chunk) } else { Span::All });
    Ok((0..count).map(role).collect())
}

fn pattern_of(family: &str) -> Option<Pattern> {
    PATTERNS.iter().find(|(name, _)| *name == family).map(|&(_, pattern)| pattern)
}

/// The window of the layers that have one.
fn window(text: Settings<'_>, family: &str) -> Result<Option<u64>, Fault> {
    let given = text.first(&["sliding_window", "sliding_window_size", "attention_window_size"])?;
    Ok(match pattern_of(family) {
        Some(Pattern::Every(_, default)) => Some(given.unwrap_or(default)),
        _ => given,
    })
}

fn windowed(text: Settings<'_>, family: &str, count: u64) -> Result<Vec<Role>, Fault> {
    let all = || (0..count).map(|_| Role::Attend(Span::All)).collect();
    let pattern = pattern_of(family);
    // Null means no window; a missing key, the one of the class.
    if text.is_null("sliding_window") || text.flag("use_sliding_window") == Some(false) {
        return Ok(all());
    }
    let Some(window) = window(text, family)?.filter(|&window| window > 0) else { return Ok(all()) };
    let within = Role::Attend(Span::Window(window));
    let given = text.first(&["sliding_window_pattern", "_sliding_window_pattern"]).unwrap_or(None);
    let letters = text.text("sliding_window_pattern").filter(|letters| !letters.is_empty());
    if let Some(letters) = letters {
        let letters: Vec<char> = letters.chars().collect();
        let role = |&letter: &char| if letter == 'L' { within } else { Role::Attend(Span::All) };
        return Ok(letters.iter().map(role).cycle().zip(0..count).map(|(role, _)| role).collect());
    }
    let every = match (given, pattern) {
        (Some(every), _) | (None, Some(Pattern::Every(every, _))) => Some(every),
        _ => None,
    };
    if let Some(every) = every.filter(|&every| every > 0) {
        let is_full = |layer: u64| layer.saturating_add(1).is_multiple_of(every);
        return Ok((0..count)
            .map(|layer| if is_full(layer) { Role::Attend(Span::All) } else { within })
            .collect());
    }
    match pattern {
        Some(Pattern::Uniform) => Ok((0..count).map(|_| within).collect()),
        Some(Pattern::Late) => {
            if text.flag("use_sliding_window") != Some(true) {
                return Ok(all());
            }
            let first = text.number_or("max_window_layers", 28)?;
            Ok((0..count)
                .map(|layer| if layer >= first { within } else { Role::Attend(Span::All) })
                .collect())
        }
        _ => Ok((0..count).map(|_| Role::Unknown).collect()),
    }
}
