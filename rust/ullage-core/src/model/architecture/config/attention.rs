//! What one token costs in a layer that attends.

use super::Fault;
use crate::model::architecture::Attention;
use crate::model::settings::Settings;

/// Query heads, heads that keys and values are stored for, and elements of one: of plain attention.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Heads {
    /// Query heads.
    pub(in crate::model) query: u64,
    /// Key and value heads.
    pub(in crate::model) kv: u64,
    /// Elements of a head.
    pub(in crate::model) dim: u64,
}

/// The heads of plain attention.
pub(in crate::model) fn heads(text: Settings<'_>, family: &str) -> Result<Heads, Fault> {
    let query = text.needed(&["num_attention_heads", "n_head", "n_heads", "num_heads"])?;
    if query == 0 {
        return Err(Fault::new("no attention head").field("num_attention_heads"));
    }
    let kv = kv_heads(text, family, query)?;
    if kv == 0 {
        return Err(Fault::new("no head for keys and values").field("num_key_value_heads"));
    }
    let hidden = text.first(&["hidden_size", "n_embd", "d_model", "dim"])?.unwrap_or(0);
    let given = text.first(&["head_dim", "attention_head_dim", "kv_channels", "d_kv"])?;
    let dim = given.unwrap_or_else(|| hidden.checked_div(query).unwrap_or(0));
    if dim == 0 {
        return Err(
            Fault::new(format!("{query} heads share a width of {hidden}")).field("num_attention_heads")
        );
    }
    Ok(Heads { query, kv, dim })
}

fn kv_heads(text: Settings<'_>, family: &str, query: u64) -> Result<u64, Fault> {
    let given = text.largest(&["num_key_value_heads", "num_kv_heads", "n_head_kv", "n_kv_heads"])?;
    match family {
        // Falcon 7B writes num_kv_heads = 71 and has one: multi_query is what counts before the new architecture.
        "falcon" | "RefinedWeb" | "RefinedWebModel"
            if text.flag("new_decoder_architecture") != Some(true) =>
        {
            Ok(if text.flag("multi_query") == Some(false) { query } else { 1 })
        }
        "gpt_bigcode" => Ok(if text.flag("multi_query") == Some(false) { query } else { 1 }),
        "chatglm" if text.flag("multi_query_attention") == Some(true) => {
            text.number_or("multi_query_group_num", 1)
        }
        _ => Ok(given.unwrap_or(query)),
    }
}

/// What a full-attention layer keeps of one token.
pub(in crate::model) fn attention(text: Settings<'_>, family: &str) -> Result<Attention, Fault> {
    if let Some(rank) = text.number("kv_lora_rank")?.filter(|_| text.flag("use_mla") != Some(false)) {
        let heads = text.needed(&["num_attention_heads"])?;
        if heads == 0 {
            return Err(Fault::new("no attention head").field("num_attention_heads"));
        }
        let rope = text.number_or("qk_rope_head_dim", 0)?;
        let key = text.number_or("qk_nope_head_dim", 0)?.saturating_add(rope);
        let by_width = text.number("hidden_size")?.and_then(|hidden| hidden.checked_div(heads));
        let value = text.number("v_head_dim")?.or(by_width).unwrap_or(key);
        return Ok(Attention::Latent { rank, rope, heads, key, value });
    }
    let Heads { kv, dim, .. } = heads(text, family)?;
    Ok(Attention::Heads { kv_heads: kv, key: dim, value: text.number("v_head_dim")?.unwrap_or(dim) })
}

/// What a layer that sees the whole context keeps of one token, where that differs from its windowed neighbours.
pub(super) fn global_attention(text: Settings<'_>, family: &str) -> Result<Attention, Fault> {
    let local = attention(text, family)?;
    let (Some(dim), Attention::Heads { kv_heads, .. }) = (text.number("global_head_dim")?, local) else {
        return Ok(local);
    };
    // Gemma 4: where keys and values are one projection, the number of global heads is its own.
    let shares = text.flag("attention_k_eq_v") == Some(true);
    let kv_heads = text.number("num_global_key_value_heads")?.filter(|_| shares).unwrap_or(kv_heads);
    Ok(Attention::Heads { kv_heads, key: dim, value: dim })
}
