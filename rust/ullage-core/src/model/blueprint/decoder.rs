//! Decoders: an embedding, layers of attention or recurrence and a feed-forward part, and a head.

use super::families::{Norm, Projection, QueryNorm};
use super::member::Decoder;
use super::plan::Plan;
use super::{mixture, recurrent};
use crate::model::architecture::{Attention, Layer, attention};
use crate::model::fault::Fault;

impl Decoder<'_> {
    /// Adds every tensor; `layers` says which layer attends and which recurs.
    pub(super) fn add(self, plan: &mut Plan, layers: &[Layer], is_tied: bool) -> Result<(), Fault> {
        let vocabulary = self.text.needed(&["vocab_size"])?;
        plan.within("model", |plan| {
            plan.embedding("embed_tokens", vocabulary, self.hidden);
            let count = u64::try_from(layers.len()).unwrap_or(u64::MAX);
            plan.each("layers", count, |plan, at| {
                let keeps = usize::try_from(at).ok().and_then(|at| layers.get(at));
                self.add_layer(plan, at, keeps.copied().unwrap_or(Layer::keeping_nothing()))
            })?;
            self.add_norm(plan, self.family.final_norm);
            Ok::<_, Fault>(())
        })?;
        if !is_tied {
            plan.dense("lm_head", vocabulary, self.hidden, self.has(self.family.head_bias));
        }
        Ok(())
    }

    fn add_layer(self, plan: &mut Plan, at: u64, keeps: Layer) -> Result<(), Fault> {
        for norm in self.family.norms {
            self.add_norm(plan, norm);
        }
        if keeps.state.is_some() {
            plan.within(self.family.state_block, |plan| recurrent::add(plan, self.text, self.name))?;
        }
        if keeps.cache.is_some() {
            plan.within(self.family.attention, |plan| self.add_attention(plan))?;
        }
        if mixture::add(plan, self, at)? {
            return Ok(());
        }
        let width = self.feed_width(at)?;
        plan.within(self.family.feed_block, |plan| self.add_feed(plan, width));
        Ok(())
    }

    fn add_attention(self, plan: &mut Plan) -> Result<(), Fault> {
        if let latent @ Attention::Latent { .. } = attention::attention(self.text, self.name)? {
            return self.add_latent(plan, latent);
        }
        let attention::Heads { query, kv, dim } = attention::heads(self.text, self.name)?;
        let (queries, keys) = (query.saturating_mul(dim), kv.saturating_mul(dim));
        let bias = self.has(self.family.query_bias);
        match self.family.projection {
            Projection::Fused => {
                plan.linear("qkv_proj", queries.saturating_add(keys.saturating_mul(2)), self.hidden, bias);
            }
            Projection::Split | Projection::Gated => {
                let halves = if self.family.projection == Projection::Gated { 2 } else { 1 };
                plan.linear("q_proj", queries.saturating_mul(halves), self.hidden, bias);
                plan.linear("k_proj", keys, self.hidden, bias);
                plan.linear("v_proj", keys, self.hidden, bias);
            }
        }
        plan.linear(self.family.output, self.hidden, queries, self.has(self.family.output_bias));
        self.add_query_norms(plan, query, kv, dim);
        if self.name == "gpt_oss" {
            plan.tensor("sinks", &[query]);
        }
        Ok(())
    }

    fn add_query_norms(self, plan: &mut Plan, query: u64, kv: u64, dim: u64) {
        let asked = self.text.flag("use_qk_norm");
        match self.family.query_norm {
            QueryNorm::None => {}
            QueryNorm::Head(of_query, of_key) => {
                // GLM-4.5 has the key and may say no; a family without it always norms.
                if asked != Some(false) && (self.name != "glm4_moe" || asked == Some(true)) {
                    plan.norm(of_query, dim, false);
                    plan.norm(of_key, dim, false);
                }
            }
            QueryNorm::Full(of_query, of_key) => {
                plan.norm(of_query, query.saturating_mul(dim), false);
                plan.norm(of_key, kv.saturating_mul(dim), false);
            }
            QueryNorm::EachHead => {
                if asked == Some(true) {
                    plan.embedding("q_norm", query, dim);
                    plan.embedding("k_norm", kv, dim);
                }
            }
        }
    }

    /// Multi-head latent attention, with the queries compressed too where a rank is given.
    fn add_latent(self, plan: &mut Plan, latent: Attention) -> Result<(), Fault> {
        let Attention::Latent { rank, rope, heads, key, value } = latent else { return Ok(()) };
        let bias = self.has(self.family.query_bias);
        let queries = heads.saturating_mul(key);
        match self.text.number("q_lora_rank")? {
            Some(compressed) => {
                plan.linear("q_a_proj", compressed, self.hidden, bias);
                plan.norm("q_a_layernorm", compressed, false);
                plan.linear("q_b_proj", queries, compressed, false);
            }
            None => plan.linear("q_proj", queries, self.hidden, false),
        }
        plan.linear("kv_a_proj_with_mqa", rank.saturating_add(rope), self.hidden, bias);
        plan.norm("kv_a_layernorm", rank, false);
        let unrotated = key.saturating_sub(rope).saturating_add(value);
        plan.linear("kv_b_proj", heads.saturating_mul(unrotated), rank, false);
        plan.linear("o_proj", self.hidden, heads.saturating_mul(value), bias);
        Ok(())
    }

    fn feed_width(self, at: u64) -> Result<u64, Fault> {
        let width = self.text.of_layer("intermediate_size", at)?;
        if let (true, Some(width)) =
            (self.name.starts_with("lfm2"), width.or(self.text.number("block_ff_dim")?))
        {
            return self.adjusted_width(width);
        }
        width.ok_or_else(|| Fault::missing("intermediate_size"))
    }

    /// LFM2: two thirds of the width, times a factor, rounded up.
    fn adjusted_width(self, width: u64) -> Result<u64, Fault> {
        if self.text.flag("block_auto_adjust_ff_dim") == Some(false) || self.name == "lfm2_moe" {
            return Ok(width);
        }
        let multiple = self.text.number_or("block_multiple_of", 256)?.max(1);
        let factor = self.text.fraction("block_ffn_dim_multiplier").unwrap_or(1.0);
        if factor.total_cmp(&1.0).is_ne() {
            return Err(Fault::new("only a factor of 1 is known").field("block_ffn_dim_multiplier"));
        }
        Ok((width.saturating_mul(2) / 3).next_multiple_of(multiple))
    }

    fn add_norm(self, plan: &mut Plan, name: &str) {
        if self.family.norm != Norm::Bare {
            plan.norm(name, self.hidden, self.family.norm == Norm::Layer);
        }
    }
}
