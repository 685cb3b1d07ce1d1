//! Decoders whose checkpoints share no name with Llama's: GPT-2, GPT-NeoX, Falcon, pure Mamba, Nemotron-H.

use super::plan::Plan;
use super::recurrent;
use crate::model::architecture::{Layer, attention};
use crate::model::fault::Fault;
use crate::model::settings::Settings;

/// Families of this file.
pub(super) const FAMILIES: [&str; 7] =
    ["falcon", "falcon_mamba", "gpt2", "gpt_neox", "mamba", "mamba2", "nemotron_h"];

/// Whether embedding and head are one where the file does not say.
pub(super) fn is_tied_by_class(family: &str) -> bool {
    matches!(family, "falcon" | "falcon_mamba" | "gpt2" | "mamba")
}

/// Adds the tensors of a model of `family`.
pub(super) fn add(
    plan: &mut Plan,
    text: Settings<'_>,
    family: &str,
    layers: &[Layer],
    is_tied: bool,
) -> Result<(), Fault> {
    let stack = Stack {
        text,
        family,
        vocabulary: text.needed(&["vocab_size"])?,
        hidden: text.needed(&["hidden_size", "n_embd", "d_model"])?,
        count: u64::try_from(layers.len()).unwrap_or(u64::MAX),
    };
    match family {
        "gpt2" => stack.add_gpt2(plan, is_tied),
        "gpt_neox" => stack.add_gpt_neox(plan, is_tied),
        "falcon" => stack.add_falcon(plan, is_tied),
        _ => stack.add_backbone(plan, layers, is_tied),
    }
}

struct Stack<'a> {
    text: Settings<'a>,
    family: &'a str,
    vocabulary: u64,
    hidden: u64,
    count: u64,
}

impl Stack<'_> {
    fn add_head(&self, plan: &mut Plan, name: &str, is_tied: bool) {
        if !is_tied {
            plan.dense(name, self.vocabulary, self.hidden, false);
        }
    }

    /// GPT-2 stores its matrices transposed: inputs first.
    fn add_gpt2(&self, plan: &mut Plan, is_tied: bool) -> Result<(), Fault> {
        let hidden = self.hidden;
        let inner = self.text.number("n_inner")?.unwrap_or_else(|| hidden.saturating_mul(4));
        let positions = self.text.needed(&["n_positions", "max_position_embeddings"])?;
        plan.embedding("wte", self.vocabulary, hidden);
        plan.embedding("wpe", positions, hidden);
        let transposed = |plan: &mut Plan, name: &str, inputs: u64, outputs: u64| {
            plan.within(name, |plan| {
                plan.tensor("weight", &[inputs, outputs]);
                plan.tensor("bias", &[outputs]);
            });
        };
        plan.each("h", self.count, |plan, _| {
            plan.norm("ln_1", hidden, true);
            transposed(plan, "attn.c_attn", hidden, hidden.saturating_mul(3));
            transposed(plan, "attn.c_proj", hidden, hidden);
            plan.norm("ln_2", hidden, true);
            transposed(plan, "mlp.c_fc", hidden, inner);
            transposed(plan, "mlp.c_proj", inner, hidden);
            Ok(())
        })?;
        plan.norm("ln_f", hidden, true);
        self.add_head(plan, "lm_head", is_tied);
        Ok(())
    }

    fn add_gpt_neox(&self, plan: &mut Plan, is_tied: bool) -> Result<(), Fault> {
        let hidden = self.hidden;
        let inner = self.text.needed(&["intermediate_size"])?;
        let bias = self.text.flag("attention_bias") != Some(false);
        plan.within("gpt_neox", |plan| {
            plan.embedding("embed_in", self.vocabulary, hidden);
            plan.each("layers", self.count, |plan, _| {
                plan.norm("input_layernorm", hidden, true);
                plan.norm("post_attention_layernorm", hidden, true);
                plan.linear("attention.query_key_value", hidden.saturating_mul(3), hidden, bias);
                plan.linear("attention.dense", hidden, hidden, bias);
                plan.linear("mlp.dense_h_to_4h", inner, hidden, true);
                plan.linear("mlp.dense_4h_to_h", hidden, inner, true);
                Ok(())
            })?;
            plan.norm("final_layer_norm", hidden, true);
            Ok::<_, Fault>(())
        })?;
        self.add_head(plan, "embed_out", is_tied);
        Ok(())
    }

    fn add_falcon(&self, plan: &mut Plan, is_tied: bool) -> Result<(), Fault> {
        let (text, hidden) = (self.text, self.hidden);
        let attention::Heads { query, kv, dim } = attention::heads(text, self.family)?;
        let inner = text.number("ffn_hidden_size")?.unwrap_or_else(|| hidden.saturating_mul(4));
        let bias = text.flag("bias") == Some(true);
        let is_new = text.flag("new_decoder_architecture") == Some(true);
        let norms = match (text.flag("parallel_attn") != Some(false), text.number("num_ln_in_parallel_attn")?)
        {
            (false, _) => ["input_layernorm", "post_attention_layernorm"].as_slice(),
            (true, Some(2)) => &["ln_attn", "ln_mlp"],
            (true, None) if is_new => &["ln_attn", "ln_mlp"],
            (true, _) => &["input_layernorm"],
        };
        let heads = query.saturating_add(kv.saturating_mul(2));
        plan.within("transformer", |plan| {
            plan.embedding("word_embeddings", self.vocabulary, hidden);
            plan.each("h", self.count, |plan, _| {
                for norm in norms {
                    plan.norm(norm, hidden, true);
                }
                plan.linear("self_attention.query_key_value", heads.saturating_mul(dim), hidden, bias);
                plan.linear("self_attention.dense", hidden, hidden, bias);
                plan.linear("mlp.dense_h_to_4h", inner, hidden, bias);
                plan.linear("mlp.dense_4h_to_h", hidden, inner, bias);
                Ok(())
            })?;
            plan.norm("ln_f", hidden, true);
            Ok::<_, Fault>(())
        })?;
        self.add_head(plan, "lm_head", is_tied);
        Ok(())
    }

    /// Mamba and Nemotron-H: one norm and one mixer a layer.
    fn add_backbone(&self, plan: &mut Plan, layers: &[Layer], is_tied: bool) -> Result<(), Fault> {
        plan.within("backbone", |plan| {
            plan.embedding("embeddings", self.vocabulary, self.hidden);
            plan.each("layers", self.count, |plan, at| {
                plan.norm("norm", self.hidden, false);
                plan.within("mixer", |plan| match usize::try_from(at).ok().and_then(|at| layers.get(at)) {
                    Some(Layer { cache: Some(_), .. }) => self.add_attention(plan),
                    Some(Layer { state: Some(_), .. }) => recurrent::add(plan, self.text, self.family),
                    _ => self.add_feed(plan, at),
                })
            })?;
            plan.norm("norm_f", self.hidden, false);
            Ok::<_, Fault>(())
        })?;
        self.add_head(plan, "lm_head", is_tied);
        Ok(())
    }

    fn add_attention(&self, plan: &mut Plan) -> Result<(), Fault> {
        let attention::Heads { query, kv, dim } = attention::heads(self.text, self.family)?;
        let (queries, keys) = (query.saturating_mul(dim), kv.saturating_mul(dim));
        plan.linear("q_proj", queries, self.hidden, false);
        plan.linear("k_proj", keys, self.hidden, false);
        plan.linear("v_proj", keys, self.hidden, false);
        plan.linear("o_proj", self.hidden, queries, false);
        Ok(())
    }

    /// Nemotron-H: a plain feed-forward layer, or a mixture with one shared part.
    fn add_feed(&self, plan: &mut Plan, at: u64) -> Result<(), Fault> {
        let (text, hidden) = (self.text, self.hidden);
        let bias = text.flag("mlp_bias") == Some(true);
        let up_down = |plan: &mut Plan, width: u64, outside: u64| {
            plan.linear("up_proj", width, outside, bias);
            plan.linear("down_proj", outside, width, bias);
        };
        if !self.is_mixture(at) {
            up_down(plan, text.needed(&["intermediate_size"])?, hidden);
            return Ok(());
        }
        let experts = text.needed(&["n_routed_experts"])?;
        let width = text.needed(&["moe_intermediate_size"])?;
        let latent = text.number("moe_latent_size")?;
        plan.dense("gate", experts, hidden, false);
        plan.typed("gate.e_score_correction_bias", crate::model::dtype::Dtype::F32, &[experts]);
        plan.each("experts", experts, |plan, _| {
            up_down(plan, width, latent.unwrap_or(hidden));
            Ok(())
        })?;
        if let Some(latent) = latent {
            plan.linear("fc1_latent_proj", latent, hidden, bias);
            plan.linear("fc2_latent_proj", hidden, latent, bias);
        }
        let shared = text.needed(&["moe_shared_expert_intermediate_size"])?;
        plan.within("shared_experts", |plan| up_down(plan, shared, hidden));
        Ok(())
    }

    fn is_mixture(&self, at: u64) -> bool {
        let Ok(at) = usize::try_from(at) else { return false };
        let letter = self.text.text("hybrid_override_pattern").and_then(|pattern| pattern.as_bytes().get(at));
        let word = self.text.list("layers_block_type").and_then(|words| words.get(at)?.as_str());
        letter == Some(&b'E') || word == Some("moe")
    }
}
