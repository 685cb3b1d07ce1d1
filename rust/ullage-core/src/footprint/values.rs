//! The variables of a policy's formulas, from a model and what it is asked to do.

use super::policy::{Values, Variable};
use super::workload::Workload;
use crate::model::{Architecture, Attention, Basis, Model, Tensor};
use crate::units::Bytes;

/// The variables that depend on `model` alone, its weights as stored.
pub(super) fn of_model(model: &Model) -> Values {
    let embedding = largest(model, Tensor::is_token_embedding);
    let head = largest(model, Tensor::is_output_head);
    // Where an index states the bytes of weights that are not here, they are the file's.
    let stored = if model.basis == Basis::Config { model.file_bytes } else { model.tensor_bytes() };
    let values = Values::default()
        .with(Variable::Weights, stored.get())
        .with(Variable::Expanded, model.expanded_bytes().get())
        .with(Variable::File, model.file_bytes.get())
        .with(Variable::Embedding, embedding.get())
        .with(Variable::OutputHead, head.get())
        .with(Variable::Gated, u64::from(is_gated(model)))
        .with(Variable::Largest, largest(model, |_| true).get())
        .with(Variable::Parameters, model.parameters().unwrap_or(0));
    match &model.architecture {
        Some(architecture) if has_distances(model) => {
            of_architecture(values, architecture).with(Variable::BiasedHeads, architecture.heads)
        }
        Some(architecture) => of_architecture(values, architecture),
        None => values,
    }
}

/// The same with weights of `stored` bytes re-encoded, or left out, to `now` bytes: everything made of weights shrinks
/// in proportion, and what is re-encoded is not compressed any more.
pub(super) fn scaled(values: &Values, stored: Bytes, now: Bytes) -> Values {
    if now == stored {
        return values.clone();
    }
    let scaled = |variable| {
        let scaled = u128::from(values.get(variable)).saturating_mul(u128::from(now.get()));
        let scaled = scaled.checked_div(u128::from(stored.get())).unwrap_or(0);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    [
        Variable::File,
        Variable::Embedding,
        Variable::OutputHead,
        Variable::Largest,
        Variable::Tied,
        Variable::Copied,
        Variable::Unloaded,
    ]
    .into_iter()
    .fold(values.clone(), |values, variable| values.with(variable, scaled(variable)))
    .with(Variable::Weights, now.get())
    .with(Variable::Expanded, now.get())
}

/// The same with the variables of `workload`.
pub(super) fn of_workload(values: Values, workload: &Workload) -> Values {
    let tokens = workload.context.saturating_mul(workload.batch);
    values
        .with(Variable::Context, workload.context)
        .with(Variable::Batch, workload.batch)
        .with(Variable::MicroBatch, workload.micro_batch.min(tokens))
        .with(Variable::KvBytesPer32, workload.kv_dtype.bytes_per_32())
}

/// Whether its feed-forward layers have a gate: a tensor says so by its name, or two matrices stand in one.
fn is_gated(model: &Model) -> bool {
    let intermediate = model.architecture.as_ref().map_or(0, |architecture| architecture.intermediate);
    model.tensors.iter().any(|tensor| {
        let is_named = tensor.name.contains("gate") && !tensor.name.contains("gate_inp");
        let is_double = || tensor.shape.first().is_some_and(|&rows| rows == intermediate.saturating_mul(2));
        is_named || (intermediate > 0 && tensor.name.ends_with("ffn_up.weight") && is_double())
    })
}

/// Whether the scores of its attention are shifted by learned distances.
fn has_distances(model: &Model) -> bool {
    let names = ["attn_rel_b", "relative_attention_bias"];
    model.tensors.iter().any(|tensor| names.iter().any(|name| tensor.name.contains(name)))
}

fn largest(model: &Model, is_meant: impl Fn(&Tensor) -> bool) -> Bytes {
    let sizes = model.tensors.iter().filter(|tensor| is_meant(tensor)).map(|tensor| tensor.bytes);
    sizes.max().unwrap_or(Bytes::ZERO)
}

fn of_architecture(values: Values, architecture: &Architecture) -> Values {
    let caches = || architecture.layers.iter().filter_map(|layer| layer.cache.map(|cache| cache.attention));
    let states = || architecture.layers.iter().filter_map(|layer| layer.state);
    let most = |of: fn(Attention) -> u64| caches().map(of).max().unwrap_or(0);
    let head = values.get(Variable::OutputHead).max(architecture.tied.get());
    values
        .with(Variable::Hidden, architecture.hidden)
        .with(Variable::Intermediate, architecture.intermediate)
        .with(
            Variable::ExpertWidth,
            architecture.experts_used.saturating_mul(architecture.expert_intermediate),
        )
        .with(Variable::ExpertsUsed, architecture.experts_used)
        .with(Variable::Experts, architecture.experts)
        .with(Variable::Heads, architecture.heads)
        .with(Variable::Tied, architecture.tied.get())
        .with(Variable::OutputHead, head)
        .with(Variable::Copied, architecture.copied.get())
        .with(Variable::Unloaded, architecture.unloaded.get())
        .with(Variable::KvHeads, most(|attention| shape(attention).0))
        .with(Variable::Key, most(|attention| shape(attention).1))
        .with(Variable::Value, most(|attention| shape(attention).2))
        .with(Variable::Latent, most(latent))
        .with(Variable::Index, architecture.layers.iter().map(|layer| layer.index).max().unwrap_or(0))
        .with(Variable::RecurrentState, states().map(|state| state.recurrent).max().unwrap_or(0))
        .with(Variable::ConvolutionState, states().map(|state| state.convolution).max().unwrap_or(0))
        .with(Variable::Vocabulary, architecture.vocabulary.unwrap_or(0))
        .with(Variable::Layers, u64::try_from(architecture.layers.len()).unwrap_or(u64::MAX))
}

const fn shape(attention: Attention) -> (u64, u64, u64) {
    match attention {
        Attention::Heads { kv_heads: heads, key, value } | Attention::Latent { heads, key, value, .. } => {
            (heads, key, value)
        }
    }
}

const fn latent(attention: Attention) -> u64 {
    match attention {
        Attention::Latent { rank, rope, .. } => rank.saturating_add(rope),
        Attention::Heads { .. } => 0,
    }
}
