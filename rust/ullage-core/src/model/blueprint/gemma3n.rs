//! Gemma 3n: four streams side by side (`AltUp`), a low-rank detour (`LAuReL`), and embeddings for every layer.

use super::plan::Plan;
use crate::model::architecture::attention;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// Adds the tensors of the language model.
pub(super) fn add(plan: &mut Plan, text: Settings<'_>) -> Result<(), Fault> {
    let hidden = text.needed(&["hidden_size"])?;
    let count = text.needed(&["num_hidden_layers"])?;
    let streams = text.needed(&["altup_num_inputs"])?;
    let per_layer = text.needed(&["hidden_size_per_layer_input"])?;
    let of_layers = count.saturating_mul(per_layer);
    plan.within("model", |plan| {
        plan.embedding("embed_tokens", text.needed(&["vocab_size"])?, hidden);
        plan.embedding("embed_tokens_per_layer", text.needed(&["vocab_size_per_layer_input"])?, of_layers);
        plan.linear("per_layer_model_projection", of_layers, hidden, false);
        plan.norm("per_layer_projection_norm", per_layer, false);
        for name in ["altup_projections", "altup_unembed_projections"] {
            plan.each(name, streams.saturating_sub(1), |plan, _| {
                plan.tensor("weight", &[hidden, hidden]);
                Ok(())
            })?;
        }
        plan.each("layers", count, |plan, at| add_layer(plan, text, at))?;
        plan.norm("norm", hidden, false);
        Ok(())
    })
}

fn add_layer(plan: &mut Plan, text: Settings<'_>, at: u64) -> Result<(), Fault> {
    let hidden = text.needed(&["hidden_size"])?;
    let streams = text.needed(&["altup_num_inputs"])?;
    let per_layer = text.needed(&["hidden_size_per_layer_input"])?;
    let rank = text.needed(&["laurel_rank"])?;
    let attention::Heads { query, kv, dim } = attention::heads(text, "gemma3n")?;
    let (queries, keys) = (query.saturating_mul(dim), kv.saturating_mul(dim));
    plan.within("altup", |plan| {
        plan.tensor("correct_output_scale", &[hidden]);
        plan.dense("correction_coefs", streams, streams, false);
        plan.dense("prediction_coefs", streams.saturating_mul(streams), streams, false);
        plan.dense("modality_router", streams, hidden, false);
        plan.norm("router_norm", hidden, false);
    });
    plan.within("laurel", |plan| {
        plan.linear("linear_left", rank, hidden, false);
        plan.linear("linear_right", hidden, rank, false);
        plan.norm("post_laurel_norm", hidden, false);
    });
    // The last layers read the caches of earlier ones; their own projections are stored and not used.
    plan.within("self_attn", |plan| {
        plan.linear("q_proj", queries, hidden, false);
        plan.linear("k_proj", keys, hidden, false);
        plan.linear("v_proj", keys, hidden, false);
        plan.linear("o_proj", hidden, queries, false);
        plan.norm("q_norm", dim, false);
        plan.norm("k_norm", dim, false);
    });
    let width = text.of_layer("intermediate_size", at)?;
    let width = width.ok_or_else(|| Fault::missing("intermediate_size"))?;
    plan.linear("mlp.gate_proj", width, hidden, false);
    plan.linear("mlp.up_proj", width, hidden, false);
    plan.linear("mlp.down_proj", hidden, width, false);
    plan.linear("per_layer_input_gate", per_layer, hidden, false);
    plan.linear("per_layer_projection", hidden, per_layer, false);
    for norm in [
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
        "post_per_layer_input_norm",
    ] {
        plan.norm(norm, hidden, false);
    }
    Ok(())
}
