//! The numbers of an architecture, from the keys of a GGUF.
//!
//! They are those that llama.cpp derives when it loads the file, defaults included: what this gives for a layer times
//! the cells of its cache is what llama.cpp allocates.

use super::Architecture;
use super::gguf_layers::Layers;
use super::gguf_scope::Scope;
use super::gguf_table::{Facts, Role, UNLISTED, facts};
use crate::model::fault::Fault;
use crate::model::gguf::Keys;
use crate::model::tensor::Tensor;
use crate::units::{Bytes, clip};

const NAME: &str = "general.architecture";
const MOST_LAYERS: u64 = 1 << 12;

/// The architecture that `keys` describe, with what had to be assumed.
///
/// # Errors
/// [`Fault`] naming the key for a number that cannot be.
pub(crate) fn of_keys(keys: &Keys, tensors: &[Tensor]) -> Result<(Option<Architecture>, Vec<String>), Fault> {
    let Some(name) = keys.text(NAME) else {
        return Ok((None, vec![format!("{NAME} is missing: nothing is known of its layers")]));
    };
    let listed = facts(name);
    let scope = Scope::of(keys, name);
    let count = scope.number("block_count")?.unwrap_or(0);
    if count > MOST_LAYERS {
        return Err(Fault::new(format!("{count} layers")).field(&scope.key("block_count")));
    }
    let count = usize::try_from(count).unwrap_or(0);
    let layers = Layers::read(&scope, listed, count)?;
    let numbers = Numbers { scope: &scope, tensors, listed, layers: &layers };
    Ok((Some(numbers.architecture(name)?), numbers.note(name).into_iter().collect()))
}

/// What is told of a model as a whole.
struct Numbers<'a> {
    scope: &'a Scope<'a>,
    tensors: &'a [Tensor],
    listed: Option<Facts>,
    layers: &'a Layers<'a>,
}

impl Numbers<'_> {
    fn architecture(&self, name: &str) -> Result<Architecture, Fault> {
        let count = self.layers.count;
        let intermediate = most(&self.layers.feed_forward);
        let experts = self.scope.number_or("expert_count", 0)?;
        let of_experts = self.scope.per_layer("expert_feed_forward_length", count)?;
        let used = self.scope.per_layer("expert_used_count", count)?;
        let is_mixture = experts > 0;
        let (tied, facts) = (self.tied(), self.listed.unwrap_or(UNLISTED));
        Ok(Architecture {
            name: Some(name.to_owned()),
            is_decoder: self.is_decoder(),
            hidden: self.scope.number_or("embedding_length", 0)?,
            intermediate: if is_mixture && !self.has_dense_layer() { 0 } else { intermediate },
            heads: most(&self.layers.heads),
            vocabulary: self.vocabulary()?,
            max_context: self.scope.number("context_length")?,
            experts,
            experts_used: used.filter(|_| is_mixture).map_or(0, |used| most(&used)),
            expert_intermediate: match of_experts {
                Some(widths) => most(&widths),
                None if is_mixture => intermediate,
                None => 0,
            },
            layers: self.layers.all()?,
            tied,
            copied: if facts.copies_embedding { tied } else { Bytes::ZERO },
            unloaded: self.unloaded(),
        })
    }

    fn is_decoder(&self) -> Option<bool> {
        match self.listed?.role {
            Role::Encoder | Role::EncoderWithCache => Some(false),
            Role::Decoder if self.layers.count == 0 => None,
            Role::Decoder => Some(true),
        }
    }

    fn note(&self, name: &str) -> Option<String> {
        let name = clip(name);
        let meaning = match self.listed {
            None if self.layers.count == 0 => "is not known, nor what its layers keep",
            None => "is not known: its layers are taken to attend to every token",
            Some(_) => return None,
        };
        Some(format!("the architecture {name:?} {meaning}"))
    }

    /// Whether a layer has a feed-forward of its own beside experts; taken for granted where no tensor is listed.
    fn has_dense_layer(&self) -> bool {
        self.tensors.is_empty() || self.tensors.iter().any(|tensor| tensor.name.ends_with(".ffn_down.weight"))
    }

    fn vocabulary(&self) -> Result<Option<u64>, Fault> {
        let tokens = self.scope.keys.length("tokenizer.ggml.tokens");
        let embedding = || self.tensor("token_embd.weight").and_then(|tensor| tensor.shape.first().copied());
        Ok(tokens.or(self.scope.number("vocab_size")?).or_else(embedding))
    }

    fn tied(&self) -> Bytes {
        let is_encoder = self.listed.is_some_and(|facts| facts.role != Role::Decoder);
        if is_encoder || self.tensor("output.weight").is_some() {
            return Bytes::ZERO;
        }
        self.tensor("token_embd.weight").map_or(Bytes::ZERO, |tensor| tensor.bytes)
    }

    fn unloaded(&self) -> Bytes {
        let is_predicting = |tensor: &&Tensor| {
            let number = tensor.name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
            number
                .and_then(|digits| digits.parse::<usize>().ok())
                .is_some_and(|number| number >= self.layers.trunk)
        };
        if self.layers.trunk == self.layers.count {
            return Bytes::ZERO;
        }
        let predicting = self.tensors.iter().filter(is_predicting);
        predicting.fold(Bytes::ZERO, |sum, tensor| sum.saturating_add(tensor.bytes))
    }

    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

fn most(numbers: &[u64]) -> u64 {
    numbers.iter().copied().max().unwrap_or(0)
}
