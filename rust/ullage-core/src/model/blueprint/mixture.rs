//! Mixtures of experts.

use super::families::Mixture;
use super::member::Decoder;
use super::plan::Plan;
use crate::model::dtype::Dtype;
use crate::model::fault::Fault;

/// Adds the mixture of layer `at`, block names included; `false` where that layer is dense.
pub(super) fn add(plan: &mut Plan, decoder: Decoder<'_>, at: u64) -> Result<bool, Fault> {
    let kind = decoder.family.mixture;
    if kind == Mixture::Granite {
        return granite(plan, decoder);
    }
    let keys: &[&str] = match kind {
        Mixture::DeepSeek => &["n_routed_experts", "num_experts"],
        Mixture::Mixtral | Mixture::GptOss | Mixture::Llama4 | Mixture::MiniMax => {
            &["num_local_experts", "num_experts"]
        }
        _ => &["num_experts", "num_local_experts"],
    };
    let experts = if kind == Mixture::None { None } else { decoder.text.first(keys)? };
    let Some(experts) = experts.filter(|&experts| experts > 0) else { return Ok(false) };
    if !is_mixed(decoder, at)? {
        if kind == Mixture::Llama4 {
            let width = decoder.text.needed(&["intermediate_size_mlp"])?;
            plan.within(decoder.family.feed_block, |plan| decoder.add_feed(plan, width));
            return Ok(true);
        }
        return Ok(false);
    }
    let width = match kind {
        Mixture::Mixtral | Mixture::GptOss | Mixture::Llama4 | Mixture::MiniMax | Mixture::Jamba => None,
        _ => decoder.text.number("moe_intermediate_size")?,
    };
    let width = match width {
        Some(width) => width,
        None => decoder.text.needed(&["intermediate_size"])?,
    };
    let block = Block { decoder, experts, width };
    plan.within(decoder.family.mixture_block, |plan| block.add(plan))?;
    Ok(true)
}

/// Whether the layer has experts.
fn is_mixed(decoder: Decoder<'_>, at: u64) -> Result<bool, Fault> {
    let text = decoder.text;
    let next = at.saturating_add(1);
    if let Some(words) = text.list("mlp_layer_types") {
        let word = usize::try_from(at).ok().and_then(|at| words.get(at)?.as_str());
        return Ok(word != Some("dense"));
    }
    Ok(match decoder.family.mixture {
        Mixture::DeepSeek | Mixture::Kimi => {
            at >= text.number_or("first_k_dense_replace", 0)?
                && at.checked_rem(text.number_or("moe_layer_freq", 1)?) == Some(0)
        }
        Mixture::Lfm2 => at >= text.number_or("num_dense_layers", 2)?,
        Mixture::Qwen => {
            let dense = text.numbers("mlp_only_layers")?.unwrap_or_default();
            !dense.contains(&at) && next.checked_rem(text.number_or("decoder_sparse_step", 1)?) == Some(0)
        }
        Mixture::Llama4 => match text.numbers("moe_layers")?.filter(|layers| !layers.is_empty()) {
            Some(layers) => layers.contains(&at),
            None => next.checked_rem(text.number_or("interleave_moe_layer_step", 1)?) == Some(0),
        },
        Mixture::Jamba => {
            let (period, offset) =
                (text.number_or("expert_layer_period", 2)?, text.number_or("expert_layer_offset", 1)?);
            at.checked_rem(period) == Some(offset)
        }
        _ => true,
    })
}

struct Block<'a> {
    decoder: Decoder<'a>,
    experts: u64,
    width: u64,
}

impl Block<'_> {
    fn add(&self, plan: &mut Plan) -> Result<(), Fault> {
        let (hidden, experts) = (self.decoder.hidden, self.experts);
        match self.decoder.family.mixture {
            Mixture::GptOss => {
                self.add_gpt_oss(plan);
                return Ok(());
            }
            Mixture::Llama4 => {
                self.add_llama4(plan);
                return Ok(());
            }
            Mixture::Jamba => plan.dense("router", experts, hidden, false),
            _ => plan.dense("gate", experts, hidden, false),
        }
        self.add_correction(plan);
        let names = match self.decoder.family.mixture {
            Mixture::Mixtral | Mixture::MiniMax | Mixture::Lfm2 | Mixture::Kimi => ["w1", "w3", "w2"],
            _ => ["gate_proj", "up_proj", "down_proj"],
        };
        plan.each("experts", experts, |plan, _| {
            add_gated(plan, names, hidden, self.width);
            Ok(())
        })?;
        self.add_shared(plan)
    }

    /// What balances the load of the experts, in 32 bits whatever the rest.
    fn add_correction(&self, plan: &mut Plan) {
        let text = self.decoder.text;
        let name = match self.decoder.family.mixture {
            // DeepSeek-V2 has none; its way of choosing says so.
            Mixture::DeepSeek if self.decoder.name == "deepseek_v2" => return,
            Mixture::DeepSeek if text.text("topk_method").is_some_and(|method| method != "noaux_tc") => {
                return;
            }
            Mixture::DeepSeek | Mixture::Kimi => "gate.e_score_correction_bias",
            Mixture::MiniMax if text.flag("use_routing_bias") != Some(false) => "e_score_correction_bias",
            Mixture::Lfm2 if text.flag("use_expert_bias") != Some(false) => "expert_bias",
            _ => return,
        };
        plan.typed(name, Dtype::F32, &[self.experts]);
    }

    fn add_shared(&self, plan: &mut Plan) -> Result<(), Fault> {
        let (text, hidden) = (self.decoder.text, self.decoder.hidden);
        match self.decoder.family.mixture {
            Mixture::Qwen => {
                if let Some(width) =
                    text.number("shared_expert_intermediate_size")?.filter(|&width| width > 0)
                {
                    plan.within("shared_expert", |plan| self.decoder.add_feed(plan, width));
                    plan.dense("shared_expert_gate", 1, hidden, false);
                }
            }
            Mixture::DeepSeek | Mixture::Kimi => {
                let shared = text.first(&["n_shared_experts", "num_shared_experts"])?.unwrap_or(0);
                if shared > 0 {
                    let width = self.width.saturating_mul(shared);
                    plan.within("shared_experts", |plan| self.decoder.add_feed(plan, width));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_gpt_oss(&self, plan: &mut Plan) {
        let (hidden, experts) = (self.decoder.hidden, self.experts);
        let both = self.width.saturating_mul(2);
        plan.dense("router", experts, hidden, true);
        plan.within("experts", |plan| {
            plan.expert_stack("gate_up_proj", [experts, both, hidden]);
            plan.tensor("gate_up_proj_bias", &[experts, both]);
            plan.expert_stack("down_proj", [experts, hidden, self.width]);
            plan.tensor("down_proj_bias", &[experts, hidden]);
        });
    }

    fn add_llama4(&self, plan: &mut Plan) {
        let (hidden, experts) = (self.decoder.hidden, self.experts);
        plan.dense("router", experts, hidden, false);
        plan.within("experts", |plan| {
            plan.expert_stack("gate_up_proj", [experts, hidden, self.width.saturating_mul(2)]);
            plan.expert_stack("down_proj", [experts, self.width, hidden]);
        });
        plan.within("shared_expert", |plan| self.decoder.add_feed(plan, self.width));
    }
}

/// Granite: experts where there are any, and a shared part where it has a width.
fn granite(plan: &mut Plan, decoder: Decoder<'_>) -> Result<bool, Fault> {
    let (text, hidden) = (decoder.text, decoder.hidden);
    let experts = text.number_or("num_local_experts", 8)?;
    let width = text.needed(&["intermediate_size"])?;
    if experts > 0 {
        plan.within(decoder.family.mixture_block, |plan| {
            plan.within("input_linear", |plan| {
                plan.expert_stack("weight", [experts, width.saturating_mul(2), hidden]);
            });
            plan.within("output_linear", |plan| plan.expert_stack("weight", [experts, hidden, width]));
            plan.dense("router.layer", experts, hidden, false);
        });
    }
    let shared = match decoder.name {
        "granitemoe" => 0,
        "granitemoehybrid" => text.number_or("shared_intermediate_size", 1024)?,
        _ => text.number_or("shared_intermediate_size", 0)?,
    };
    if shared > 0 {
        plan.within("shared_mlp", |plan| {
            plan.linear("input_linear", shared.saturating_mul(2), hidden, false);
            plan.linear("output_linear", hidden, shared, false);
        });
    }
    Ok(true)
}

fn add_gated(plan: &mut Plan, [gate, up, down]: [&str; 3], hidden: u64, width: u64) {
    plan.linear(gate, width, hidden, false);
    plan.linear(up, width, hidden, false);
    plan.linear(down, hidden, width, false);
}
