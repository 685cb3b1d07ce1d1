//! States that do not grow with the context: elements per sequence and layer.
//!
//! Sources: Mamba (Gu, Dao 2023) and Mamba-2 (Dao, Gu 2024) as in transformers' `modeling_mamba.py` and
//! `modeling_mamba2.py`; gated delta net, `modeling_qwen3_next.py`; KDA, the Kimi Linear report; lightning attention,
//! `modeling_minimax.py`; RWKV, `modeling_rwkv.py` and the RWKV-6 paper. A convolution keeps all but one of the inputs
//! that it spans: the newest is at hand.

use super::Fault;
use crate::model::architecture::State;
use crate::model::settings::Settings;

/// The kinds of layers with a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mamba,
    Mamba2,
    DeltaNet,
    ShortConvolution,
    Kimi,
    Lightning,
    Rwkv,
}

/// Families whose every layer is recurrent.
pub(super) fn is_pure(family: &str) -> bool {
    pure(family).is_some()
}

/// Families that have both recurrent layers and attention.
pub(in crate::model) fn is_hybrid(family: &str) -> bool {
    of_hybrid(family).is_some()
}

/// The kind of every layer of a family that has no other.
pub(super) fn pure(family: &str) -> Option<Kind> {
    Some(match family {
        "mamba" | "falcon_mamba" => Kind::Mamba,
        "mamba2" => Kind::Mamba2,
        "rwkv" | "rwkv5" | "rwkv6" | "rwkv7" => Kind::Rwkv,
        _ => return None,
    })
}

/// The kind of the recurrent layers of a family that has attention too.
pub(super) fn of_hybrid(family: &str) -> Option<Kind> {
    Some(match family {
        "jamba" | "zamba" => Kind::Mamba,
        "bamba" | "falcon_h1" | "granitemoehybrid" | "nemotron_h" | "zamba2" => Kind::Mamba2,
        "qwen3_next" | "qwen3_5" | "qwen3_5_moe" | "olmo_hybrid" => Kind::DeltaNet,
        "lfm2" | "lfm2_moe" => Kind::ShortConvolution,
        "kimi_linear" => Kind::Kimi,
        "minimax" | "MiniMaxText01" | "minimax_text_01" => Kind::Lightning,
        _ => return None,
    })
}

/// The state of one layer of `kind`.
pub(super) fn state(text: Settings<'_>, family: &str, kind: Kind) -> Result<State, Fault> {
    match kind {
        Kind::Mamba => {
            let Mamba { inner, state, kernel, .. } = mamba(text, family)?;
            Ok(kept(kernel, inner, inner.saturating_mul(state)))
        }
        Kind::Mamba2 => {
            let Mamba { inner, state, kernel, groups, .. } = mamba(text, family)?;
            let mixed = inner.saturating_add(groups.saturating_mul(state).saturating_mul(2));
            Ok(kept(kernel, mixed, inner.saturating_mul(state)))
        }
        Kind::DeltaNet => {
            let Delta { key_heads, value_heads, key, value, kernel } = delta(text)?;
            let keys = key_heads.saturating_mul(key);
            let mixed = keys.saturating_mul(2).saturating_add(value_heads.saturating_mul(value));
            Ok(kept(kernel, mixed, value_heads.saturating_mul(key).saturating_mul(value)))
        }
        Kind::ShortConvolution => {
            Ok(kept(text.number_or("conv_L_cache", 3)?, text.needed(&["hidden_size"])?, 0))
        }
        Kind::Kimi => {
            let Kimi { heads, dim, kernel } = kimi(text)?;
            let width = heads.saturating_mul(dim);
            Ok(kept(kernel, width.saturating_mul(3), width.saturating_mul(dim)))
        }
        Kind::Lightning => {
            let heads = super::attention::heads(text, family)?;
            Ok(kept(1, 0, heads.query.saturating_mul(heads.dim).saturating_mul(heads.dim)))
        }
        Kind::Rwkv => rwkv(text, family),
    }
}

fn kept(kernel: u64, channels: u64, recurrent: u64) -> State {
    State { convolution: kernel.saturating_sub(1).saturating_mul(channels), recurrent }
}

/// Two shifted inputs, and a matrix per head; the fourth version keeps three vectors instead.
fn rwkv(text: Settings<'_>, family: &str) -> Result<State, Fault> {
    let hidden = text.needed(&["hidden_size"])?;
    let convolution = hidden.saturating_mul(2);
    if family == "rwkv" {
        let inner = text.number("attention_hidden_size")?.unwrap_or(hidden);
        return Ok(State { convolution, recurrent: inner.saturating_mul(3) });
    }
    let head = text.first(&["head_size", "head_dim"])?.unwrap_or(64);
    Ok(State { convolution, recurrent: hidden.saturating_mul(head) })
}

/// The sizes of a Mamba layer, whatever its file calls them.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Mamba {
    /// Channels.
    pub(in crate::model) inner: u64,
    /// Elements of state per channel.
    pub(in crate::model) state: u64,
    /// Inputs that the convolution spans.
    pub(in crate::model) kernel: u64,
    /// Groups that share their B and C (Mamba-2).
    pub(in crate::model) groups: u64,
    /// Heads (Mamba-2).
    pub(in crate::model) heads: u64,
    /// Rank of the step size (Mamba).
    pub(in crate::model) rank: u64,
}

/// The sizes of a Mamba layer of `family`, the defaults of its class filled in.
pub(in crate::model) fn mamba(text: Settings<'_>, family: &str) -> Result<Mamba, Fault> {
    let hidden = text.needed(&["hidden_size", "d_model"])?;
    let heads = text.first(&["mamba_n_heads", "mamba_num_heads", "n_mamba_heads"])?;
    let heads = match heads {
        None if family == "mamba2" => text.number_or("num_heads", 128)?,
        heads => heads.unwrap_or(1),
    };
    let dim = text.first(&["mamba_d_head", "mamba_head_dim"])?;
    let expand = text.first(&["mamba_expand", "expand"])?.unwrap_or(2);
    let expanded = hidden.saturating_mul(expand);
    let inner = match family {
        "falcon_h1" => text.number("mamba_d_ssm")?.unwrap_or(expanded),
        "nemotron_h" => heads.saturating_mul(dim.unwrap_or(64)),
        "mamba" | "falcon_mamba" => text.number("intermediate_size")?.unwrap_or(expanded),
        _ => expanded,
    };
    let state = text.first(&["mamba_d_state", "ssm_state_size", "state_size"])?;
    let default_state = match family {
        "mamba" | "falcon_mamba" | "jamba" => 16,
        "zamba2" => 64,
        "bamba" | "falcon_h1" | "granitemoehybrid" => 256,
        _ => 128,
    };
    let rank = text.first(&["mamba_dt_rank", "time_step_rank"]).unwrap_or(None);
    Ok(Mamba {
        inner,
        state: state.unwrap_or(default_state),
        kernel: text.first(&["mamba_d_conv", "conv_kernel"])?.unwrap_or(4),
        groups: text.first(&["mamba_n_groups", "mamba_ngroups", "n_groups"])?.unwrap_or(match family {
            "mamba2" | "nemotron_h" => 8,
            _ => 1,
        }),
        heads,
        rank: rank.unwrap_or_else(|| hidden.div_ceil(16)),
    })
}

/// The sizes of a gated delta net.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Delta {
    /// Heads of queries and keys.
    pub(in crate::model) key_heads: u64,
    /// Heads of values.
    pub(in crate::model) value_heads: u64,
    /// Elements of a key.
    pub(in crate::model) key: u64,
    /// Elements of a value.
    pub(in crate::model) value: u64,
    /// Inputs that the convolution spans.
    pub(in crate::model) kernel: u64,
}

/// The sizes of a gated delta net.
pub(in crate::model) fn delta(text: Settings<'_>) -> Result<Delta, Fault> {
    Ok(Delta {
        key_heads: text.needed(&["linear_num_key_heads"])?,
        value_heads: text.needed(&["linear_num_value_heads"])?,
        key: text.number_or("linear_key_head_dim", 128)?,
        value: text.number_or("linear_value_head_dim", 128)?,
        kernel: text.number_or("linear_conv_kernel_dim", 4)?,
    })
}

/// The sizes of Kimi's delta attention.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Kimi {
    /// Heads.
    pub(in crate::model) heads: u64,
    /// Elements of one.
    pub(in crate::model) dim: u64,
    /// Inputs that the convolution spans.
    pub(in crate::model) kernel: u64,
}

/// The sizes of Kimi's delta attention: in a section of their own as published, among the rest in transformers.
pub(in crate::model) fn kimi(text: Settings<'_>) -> Result<Kimi, Fault> {
    let Some(linear) = text.section("linear_attn_config") else {
        return Ok(Kimi {
            heads: text.needed(&["linear_num_heads"])?,
            dim: text.needed(&["linear_head_dim"])?,
            kernel: text.number_or("linear_conv_kernel_dim", 4)?,
        });
    };
    Ok(Kimi {
        heads: linear.needed(&["num_heads"])?,
        dim: linear.needed(&["head_dim"])?,
        kernel: linear.number_or("short_conv_kernel_size", 4)?,
    })
}
