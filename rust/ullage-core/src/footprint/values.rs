//! The variables of a policy's formulas, from a model and what it is asked to do.

use super::policy::{Values, Variable};
use super::workload::Workload;
use crate::model::{Architecture, Attention, Model, Tensor};
use crate::units::Bytes;

/// The variables of `model` under `workload`, with its weights taking `weights` bytes.
pub(super) fn values(model: &Model, workload: &Workload, weights: Bytes) -> Values {
    let tokens = workload.context.saturating_mul(workload.batch);
    let values = Values::default()
        .with(Variable::Context, workload.context)
        .with(Variable::Batch, workload.batch)
        .with(Variable::MicroBatch, workload.micro_batch.min(tokens))
        .with(Variable::KvBytesPer32, workload.kv_dtype.bytes_per_32())
        .with(Variable::Weights, weights.get());
    let values = of_tensors(values, model, weights);
    match &model.architecture {
        Some(architecture) => of_architecture(values, architecture),
        None => values,
    }
}

fn of_tensors(values: Values, model: &Model, weights: Bytes) -> Values {
    // A model re-encoded shrinks throughout: what it expands to, and its file, shrink with it.
    let stored = model.tensor_bytes();
    let scaled = |bytes: Bytes| {
        let scaled = u128::from(bytes.get()).saturating_mul(u128::from(weights.get()));
        let scaled = scaled.checked_div(u128::from(stored.get())).unwrap_or(0);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    let embedding = largest(model, Tensor::is_token_embedding);
    let head = largest(model, Tensor::is_output_head);
    let layers = model.layers();
    let largest_layer = layers.iter().map(|(_, bytes)| *bytes).max().unwrap_or(Bytes::ZERO);
    values
        .with(
            Variable::Expanded,
            if weights == stored { model.expanded_bytes().get() } else { weights.get() },
        )
        .with(Variable::File, scaled(model.file_bytes))
        .with(Variable::Embedding, scaled(embedding))
        .with(Variable::OutputHead, scaled(if head.is_zero() { embedding } else { head }))
        .with(Variable::Largest, scaled(largest(model, |_| true)))
        .with(Variable::LargestLayer, scaled(largest_layer))
        .with(Variable::Parameters, model.parameters().unwrap_or(0))
}

fn largest(model: &Model, is_meant: impl Fn(&Tensor) -> bool) -> Bytes {
    let sizes = model.tensors.iter().filter(|tensor| is_meant(tensor)).map(|tensor| tensor.bytes);
    sizes.max().unwrap_or(Bytes::ZERO)
}

fn of_architecture(values: Values, architecture: &Architecture) -> Values {
    let caches = || architecture.layers.iter().filter_map(|layer| layer.cache.map(|cache| cache.attention));
    let states = || architecture.layers.iter().filter_map(|layer| layer.state);
    let most = |of: fn(Attention) -> u64| caches().map(of).max().unwrap_or(0);
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
        .with(Variable::KvHeads, most(|attention| shape(attention).0))
        .with(Variable::Key, most(|attention| shape(attention).1))
        .with(Variable::Value, most(|attention| shape(attention).2))
        .with(Variable::Latent, most(latent))
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
