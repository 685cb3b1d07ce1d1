//! The numbers of an architecture, whatever file they were read from.

mod config;
mod gguf_keys;
mod gguf_layers;
mod gguf_scope;
mod gguf_table;

pub(super) use config::{
    MOST_LAYERS, attention, beside, family, is_encoder_alone, layer_count, layers, of_config, recurrent,
};
pub(super) use gguf_keys::of_keys;

use crate::units::Bytes;

/// What an architecture says of itself, as far as memory depends on it. A number that a file does not give and that no
/// convention fills is 0 or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Architecture {
    /// The name its file gives it: `model_type` of a `config.json`, `general.architecture` of a GGUF.
    pub name: Option<String>,
    /// Whether it generates token by token and so keeps a cache; `None` where the file does not say.
    pub is_decoder: Option<bool>,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Width of the widest dense feed-forward layer.
    pub intermediate: u64,
    /// Query heads of the layer that has most.
    pub heads: u64,
    /// Tokens it can tell apart, where given.
    pub vocabulary: Option<u64>,
    /// Tokens it was trained for, where given.
    pub max_context: Option<u64>,
    /// Experts a token is sent to, shared ones not counted; 0 without a mixture.
    pub experts_used: u64,
    /// Experts in all, shared ones not counted; 0 without a mixture.
    pub experts: u64,
    /// Width of one expert.
    pub expert_intermediate: u64,
    /// What each layer keeps per sequence, from the first to the last.
    pub layers: Vec<Layer>,
    /// The embedding that is the output too, where the file says so. A runtime holds it twice where input and output lie
    /// on two devices.
    pub tied: Bytes,
    /// Weights that llama.cpp holds a second time whatever the device: the tied embedding of Gemma 3n and Gemma 4.
    pub copied: Bytes,
    /// Weights that llama.cpp leaves in the file: layers that predict further tokens, unless it is told to use them.
    pub unloaded: Bytes,
}

/// What one layer keeps per sequence while it generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Keys and values, where it has attention of its own; a layer that reads another's cache has none.
    pub cache: Option<Cache>,
    /// A state that does not grow with the context, where it has one.
    pub state: Option<State>,
    /// Elements per token of all the context beside the cache: the keys of a sparse attention's indexer (GLM 5), or
    /// keys that stand for several tokens each (`DeepSeek` V4); 0 without either.
    pub index: u64,
    /// Whether the file says what it keeps. Where it does not, the layer may keep what is given here, or nothing.
    pub is_known: bool,
}

/// The keys and values of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Which tokens it keeps.
    pub span: Span,
    /// What it keeps of one.
    pub attention: Attention,
}

/// Which tokens a layer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Every token of the context.
    All,
    /// The last so many.
    Window(u64),
    /// Those of the current chunk of so many (Llama 4).
    Chunk(u64),
    /// So many, whatever the context: what an encoder handed over.
    Fixed(u64),
}

/// What one token costs in a layer that caches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Multi-head, grouped-query and multi-query attention.
    Heads {
        /// Heads that keys and values are stored for.
        kv_heads: u64,
        /// Elements of a key.
        key: u64,
        /// Elements of a value.
        value: u64,
    },
    /// Multi-head latent attention (DeepSeek-V2): one latent and one rotary key per token, or what they expand to.
    Latent {
        /// `kv_lora_rank`, elements of the latent.
        rank: u64,
        /// `qk_rope_head_dim`, elements of the rotary key that all heads share.
        rope: u64,
        /// Heads of the expanded form.
        heads: u64,
        /// Elements of an expanded key, its rotary part included.
        key: u64,
        /// Elements of an expanded value.
        value: u64,
    },
}

/// A state that does not grow with the context: elements per sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Last inputs of a convolution.
    pub convolution: u64,
    /// The recurrent state itself.
    pub recurrent: u64,
}

impl Layer {
    /// A layer with attention over `span` and nothing else.
    #[must_use]
    pub const fn attending(span: Span, attention: Attention) -> Self {
        Self { cache: Some(Cache { span, attention }), state: None, index: 0, is_known: true }
    }

    /// A layer with a state and no attention.
    #[must_use]
    pub const fn recurrent(state: State) -> Self {
        Self { cache: None, state: Some(state), index: 0, is_known: true }
    }

    /// A layer that keeps nothing: feed-forward only, or one that reads another layer's cache.
    #[must_use]
    pub const fn keeping_nothing() -> Self {
        Self { cache: None, state: None, index: 0, is_known: true }
    }

    /// A layer of which only this is known: it keeps at most every token.
    #[must_use]
    pub const fn unknown(attention: Attention) -> Self {
        Self { cache: Some(Cache { span: Span::All, attention }), state: None, index: 0, is_known: false }
    }
}

#[cfg(test)]
mod tests;
