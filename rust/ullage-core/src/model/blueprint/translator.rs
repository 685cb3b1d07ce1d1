//! Encoder-decoders: T5, BART, Whisper.

use super::plan::Plan;
use crate::model::architecture::is_encoder_alone;
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// Families of this file.
pub(super) const FAMILIES: [&str; 5] = ["bart", "mt5", "t5", "umt5", "whisper"];

/// Adds the tensors of a model of `family`.
pub(super) fn add(plan: &mut Plan, root: Settings<'_>, family: &str, is_tied: bool) -> Result<(), Fault> {
    match family {
        "bart" => Speech::of(root)?.add_bart(plan),
        "whisper" => Speech::of(root)?.add_whisper(plan, is_tied),
        _ => add_t5(plan, root, family, is_tied),
    }
}

fn add_t5(plan: &mut Plan, root: Settings<'_>, family: &str, is_tied: bool) -> Result<(), Fault> {
    let (width, vocabulary) = (root.needed(&["d_model"])?, root.needed(&["vocab_size"])?);
    let layers = root.needed(&["num_layers"])?;
    let activation = root.text("feed_forward_proj").unwrap_or("relu");
    let t5 = T5 {
        width,
        heads: root.needed(&["num_heads"])?,
        key: root.needed(&["d_kv"])?,
        inner: root.needed(&["d_ff"])?,
        buckets: root.number_or("relative_attention_num_buckets", 32)?,
        is_gated: activation.starts_with("gated"),
        is_biased_throughout: family == "umt5",
    };
    plan.embedding("shared", vocabulary, width);
    plan.within("encoder", |plan| t5.add_stack(plan, layers, false))?;
    if is_encoder_alone(root) {
        return Ok(());
    }
    let decoder = root.number("num_decoder_layers")?.unwrap_or(layers);
    plan.within("decoder", |plan| t5.add_stack(plan, decoder, true))?;
    if !is_tied {
        plan.dense("lm_head", vocabulary, width, false);
    }
    Ok(())
}

struct T5 {
    width: u64,
    heads: u64,
    key: u64,
    inner: u64,
    buckets: u64,
    is_gated: bool,
    /// Whether every layer, and not the first alone, has biases for the distance of tokens.
    is_biased_throughout: bool,
}

impl T5 {
    fn add_stack(&self, plan: &mut Plan, layers: u64, is_decoder: bool) -> Result<(), Fault> {
        plan.each("block", layers, |plan, at| {
            let is_biased = at == 0 || self.is_biased_throughout;
            plan.within("layer.0", |plan| self.add_attention(plan, "SelfAttention", is_biased));
            if is_decoder {
                plan.within("layer.1", |plan| self.add_attention(plan, "EncDecAttention", false));
            }
            plan.within(if is_decoder { "layer.2" } else { "layer.1" }, |plan| {
                let ups: &[&str] = if self.is_gated { &["wi_0", "wi_1"] } else { &["wi"] };
                for up in ups {
                    plan.linear(&format!("DenseReluDense.{up}"), self.inner, self.width, false);
                }
                plan.linear("DenseReluDense.wo", self.width, self.inner, false);
                plan.norm("layer_norm", self.width, false);
            });
            Ok(())
        })?;
        plan.norm("final_layer_norm", self.width, false);
        Ok(())
    }

    fn add_attention(&self, plan: &mut Plan, name: &str, is_biased: bool) {
        let inner = self.heads.saturating_mul(self.key);
        plan.within(name, |plan| {
            for matrix in ["q", "k", "v"] {
                plan.linear(matrix, inner, self.width, false);
            }
            plan.linear("o", self.width, inner, false);
            if is_biased {
                plan.embedding("relative_attention_bias", self.buckets, self.heads);
            }
        });
        plan.norm("layer_norm", self.width, false);
    }
}

/// BART and the models laid out like it.
struct Speech<'a> {
    root: Settings<'a>,
    width: u64,
    vocabulary: u64,
}

impl<'a> Speech<'a> {
    fn of(root: Settings<'a>) -> Result<Self, Fault> {
        Ok(Self { root, width: root.needed(&["d_model"])?, vocabulary: root.needed(&["vocab_size"])? })
    }

    fn add_whisper(&self, plan: &mut Plan, is_tied: bool) -> Result<(), Fault> {
        let (root, width) = (self.root, self.width);
        plan.within("model", |plan| {
            plan.within("encoder", |plan| {
                plan.convolution("conv1", width, root.number_or("num_mel_bins", 80)?, &[3], true);
                plan.convolution("conv2", width, width, &[3], true);
                plan.embedding("embed_positions", root.number_or("max_source_positions", 1500)?, width);
                self.add_layers(plan, "encoder", false)?;
                plan.norm("layer_norm", width, true);
                Ok::<_, Fault>(())
            })?;
            plan.within("decoder", |plan| {
                plan.embedding("embed_tokens", self.vocabulary, width);
                plan.embedding("embed_positions", root.number_or("max_target_positions", 448)?, width);
                self.add_layers(plan, "decoder", false)?;
                plan.norm("layer_norm", width, true);
                Ok::<_, Fault>(())
            })
        })?;
        if !is_tied {
            plan.dense("proj_out", self.vocabulary, width, false);
        }
        Ok(())
    }

    fn add_bart(&self, plan: &mut Plan) -> Result<(), Fault> {
        let width = self.width;
        let positions = self.root.number_or("max_position_embeddings", 1024)?;
        plan.within("model", |plan| {
            plan.embedding("shared", self.vocabulary, width);
            for side in ["encoder", "decoder"] {
                plan.within(side, |plan| {
                    // The first two positions stand for padding.
                    plan.embedding("embed_positions", positions.saturating_add(2), width);
                    plan.norm("layernorm_embedding", width, true);
                    self.add_layers(plan, side, true)
                })?;
            }
            Ok(())
        })
    }

    fn add_layers(&self, plan: &mut Plan, side: &str, key_bias: bool) -> Result<(), Fault> {
        let layers = self.root.needed(&[&format!("{side}_layers")])?;
        let inner = self.root.needed(&[&format!("{side}_ffn_dim")])?;
        let width = self.width;
        plan.each("layers", layers, |plan, _| {
            let attentions: &[&str] =
                if side == "encoder" { &["self_attn"] } else { &["self_attn", "encoder_attn"] };
            for name in attentions {
                plan.within(name, |plan| {
                    plan.linear("k_proj", width, width, key_bias);
                    plan.linear("v_proj", width, width, true);
                    plan.linear("q_proj", width, width, true);
                    plan.linear("out_proj", width, width, true);
                });
                plan.norm(&format!("{name}_layer_norm"), width, true);
            }
            plan.linear("fc1", inner, width, true);
            plan.linear("fc2", width, inner, true);
            plan.norm("final_layer_norm", width, true);
            Ok(())
        })
    }
}
