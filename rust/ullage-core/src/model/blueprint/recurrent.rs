//! Layers with a state: Mamba, Mamba-2, gated delta nets, short convolutions, Kimi's delta attention.

use super::plan::Plan;
use crate::model::architecture::recurrent::{self, Delta, Kimi, Mamba};
use crate::model::dtype::Dtype;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// Adds the recurrent part of one layer of `family` at the plan's place.
pub(super) fn add(plan: &mut Plan, text: Settings<'_>, family: &str) -> Result<(), Fault> {
    match family {
        "mamba" | "falcon_mamba" | "jamba" => add_mamba(plan, text, family),
        "bamba" | "falcon_h1" | "granitemoehybrid" | "mamba2" | "nemotron_h" => {
            add_mamba2(plan, text, family)
        }
        "qwen3_next" | "qwen3_5" | "qwen3_5_moe" => add_delta_net(plan, text, family),
        "lfm2" | "lfm2_moe" => add_convolution(plan, text),
        "kimi_linear" => add_kimi(plan, text),
        other => {
            Err(Fault::new(format!("the recurrent layers of {other:?} are not known")).field("model_type"))
        }
    }
}

fn hidden(text: Settings<'_>) -> Result<u64, Fault> {
    text.needed(&["hidden_size", "d_model"])
}

fn add_mamba(plan: &mut Plan, text: Settings<'_>, family: &str) -> Result<(), Fault> {
    let Mamba { inner, state, kernel, rank, .. } = recurrent::mamba(text, family)?;
    let hidden = hidden(text)?;
    let bias = text.flag("mamba_proj_bias").or_else(|| text.flag("use_bias")) == Some(true);
    let convolves = text.flag("mamba_conv_bias").or_else(|| text.flag("use_conv_bias")) != Some(false);
    plan.tensor("A_log", &[inner, state]);
    plan.tensor("D", &[inner]);
    plan.convolution("conv1d", inner, 1, &[kernel], convolves);
    plan.linear("in_proj", inner.saturating_mul(2), hidden, bias);
    plan.linear("x_proj", rank.saturating_add(state.saturating_mul(2)), inner, false);
    plan.linear("dt_proj", inner, rank, true);
    plan.linear("out_proj", hidden, inner, bias);
    if family == "jamba" {
        plan.norm("dt_layernorm", rank, false);
        plan.norm("b_layernorm", state, false);
        plan.norm("c_layernorm", state, false);
    }
    Ok(())
}

fn add_mamba2(plan: &mut Plan, text: Settings<'_>, family: &str) -> Result<(), Fault> {
    let Mamba { inner, state, kernel, groups, heads, .. } = recurrent::mamba(text, family)?;
    let hidden = hidden(text)?;
    let bias = text.flag("mamba_proj_bias").or_else(|| text.flag("use_bias")) == Some(true);
    let convolves = text.flag("mamba_conv_bias").or_else(|| text.flag("use_conv_bias")) != Some(false);
    let mixed = inner.saturating_add(groups.saturating_mul(state).saturating_mul(2));
    plan.tensor("A_log", &[heads]);
    plan.tensor("D", &[heads]);
    plan.tensor("dt_bias", &[heads]);
    plan.convolution("conv1d", mixed, 1, &[kernel], convolves);
    plan.linear("in_proj", inner.saturating_add(mixed).saturating_add(heads), hidden, bias);
    let out_bias = if family == "falcon_h1" { text.flag("projectors_bias") == Some(true) } else { bias };
    plan.linear("out_proj", hidden, inner, out_bias);
    // Falcon-H1 norms only where it says so.
    if family != "falcon_h1" || text.flag("mamba_rms_norm") == Some(true) {
        plan.norm("norm", inner, false);
    }
    Ok(())
}

fn add_delta_net(plan: &mut Plan, text: Settings<'_>, family: &str) -> Result<(), Fault> {
    let Delta { key_heads, value_heads, key, value, kernel } = recurrent::delta(text)?;
    let hidden = hidden(text)?;
    let (keys, values) = (key_heads.saturating_mul(key), value_heads.saturating_mul(value));
    let mixed = keys.saturating_mul(2).saturating_add(values);
    plan.tensor("dt_bias", &[value_heads]);
    plan.tensor("A_log", &[value_heads]);
    plan.convolution("conv1d", mixed, 1, &[kernel], false);
    if family == "qwen3_next" {
        plan.linear("in_proj_qkvz", mixed.saturating_add(values), hidden, false);
        plan.linear("in_proj_ba", value_heads.saturating_mul(2), hidden, false);
    } else {
        plan.linear("in_proj_qkv", mixed, hidden, false);
        plan.linear("in_proj_z", values, hidden, false);
        plan.linear("in_proj_b", value_heads, hidden, false);
        plan.linear("in_proj_a", value_heads, hidden, false);
    }
    plan.norm("norm", value, false);
    plan.linear("out_proj", hidden, values, false);
    Ok(())
}

fn add_convolution(plan: &mut Plan, text: Settings<'_>) -> Result<(), Fault> {
    let hidden = hidden(text)?;
    let bias = text.flag("conv_bias") == Some(true);
    plan.convolution("conv", hidden, 1, &[text.number_or("conv_L_cache", 3)?], bias);
    plan.linear("in_proj", hidden.saturating_mul(3), hidden, bias);
    plan.linear("out_proj", hidden, hidden, bias);
    Ok(())
}

fn add_kimi(plan: &mut Plan, text: Settings<'_>) -> Result<(), Fault> {
    let Kimi { heads, dim, kernel } = recurrent::kimi(text)?;
    let (hidden, width) = (hidden(text)?, heads.saturating_mul(dim));
    for letter in ["q", "k", "v"] {
        plan.linear(&format!("{letter}_proj"), width, hidden, false);
        plan.convolution(&format!("{letter}_conv1d"), width, 1, &[kernel], false);
    }
    plan.typed("A_log", Dtype::F32, &[1, 1, heads, 1]);
    plan.typed("dt_bias", Dtype::F32, &[width]);
    plan.linear("f_a_proj", dim, hidden, false);
    plan.linear("f_b_proj", width, dim, false);
    plan.linear("b_proj", heads, hidden, false);
    plan.linear("g_a_proj", dim, hidden, false);
    plan.linear("g_b_proj", width, dim, false);
    plan.norm("o_norm", dim, false);
    plan.linear("o_proj", hidden, width, false);
    Ok(())
}
