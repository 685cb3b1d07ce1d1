//! What a formula may speak of.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::units::clip;

macro_rules! variables {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// A number that depends on model or workload.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Variable {
            $($(#[$doc])* $name,)*
        }

        impl Variable {
            /// Every variable with its name in a formula.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$name)),*];
        }
    };
}

variables! {
    /// Tokens of one sequence.
    Context "context";
    /// Sequences at once.
    Batch "batch";
    /// Tokens taken through the network at once.
    MicroBatch "micro_batch";
    /// The window, or the chunk, of the layer in question.
    Window "window";
    /// Bytes that 32 elements of the cache take.
    KvBytesPer32 "kv_bytes_per_32";
    /// Width of the residual stream.
    Hidden "hidden";
    /// Width of the widest dense feed-forward layer.
    Intermediate "intermediate";
    /// Experts a token is sent to, times the width of one.
    ExpertWidth "expert_width";
    /// Experts a token is sent to.
    ExpertsUsed "experts_used";
    /// Experts in all.
    Experts "experts";
    /// Query heads.
    Heads "heads";
    /// Heads of the cache, of the layer that has most.
    KvHeads "kv_heads";
    /// Elements of a key of one head, of the widest layer.
    Key "key";
    /// Elements of a value of one head, of the widest layer.
    Value "value";
    /// Elements of the latent and its rotary key; 0 without latent attention.
    Latent "latent";
    /// Elements per token that a sparse attention's indexer keeps; 0 without one.
    Index "index";
    /// Elements of the largest recurrent state of a layer.
    RecurrentState "recurrent_state";
    /// Elements of the largest convolutional state of a layer.
    ConvolutionState "convolution_state";
    /// Tokens that can be told apart.
    Vocabulary "vocabulary";
    /// Number of layers.
    Layers "layers";
    /// Bytes of all weights, as stored.
    Weights "weights";
    /// Bytes of all weights, expanded.
    Expanded "expanded";
    /// Bytes of the files.
    File "file";
    /// Bytes of the token embedding.
    Embedding "embedding";
    /// 1 where the feed-forward layers have a gate, else 0.
    Gated "gated";
    /// Heads of an attention whose scores are shifted by learned distances, as in T5; else 0.
    BiasedHeads "biased_heads";
    /// Bytes of the output head, or of the embedding it is tied to; 0 for a model that scores no tokens.
    OutputHead "output_head";
    /// Bytes of an embedding that is the output head too.
    Tied "tied";
    /// Bytes of weights that llama.cpp holds a second time.
    Copied "copied";
    /// Bytes of weights that llama.cpp leaves in the file.
    Unloaded "unloaded";
    /// Bytes of the largest tensor.
    Largest "largest";
    /// Parameters.
    Parameters "parameters";
    /// Bytes live at once at the peak of the stored graph.
    GraphPeak "graph_peak";
    /// Bytes of an arena that holds the values of the stored graph.
    GraphArena "graph_arena";
    /// Bytes of the key-value cache.
    KvCache "kv_cache";
}

/// The value of every variable.
#[derive(Clone, Debug)]
pub struct Values([u64; Variable::ALL.len()]);

impl Default for Values {
    fn default() -> Self {
        Self([0; Variable::ALL.len()])
    }
}

impl Values {
    /// The value of `variable`.
    #[must_use]
    pub const fn get(&self, variable: Variable) -> u64 {
        self.0[variable as usize]
    }

    /// The same with `variable` set to `value`.
    #[must_use]
    pub const fn with(mut self, variable: Variable, value: u64) -> Self {
        self.0[variable as usize] = value;
        self
    }
}

impl FromStr for Variable {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(text, _)| *text == name);
        found.map(|&(_, variable)| variable).ok_or_else(|| Error::Argument {
            name: "formula",
            reason: format!("{:?} is no variable", clip(name)),
        })
    }
}
