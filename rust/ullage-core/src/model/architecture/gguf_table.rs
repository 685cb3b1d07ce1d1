//! What llama.cpp keeps for each architecture that a GGUF can name, where the keys alone do not tell.
//!
//! Read in llama.cpp 0.5.0-dev (commit 0c1e570): `llama-arch.cpp` for the names, `create_memory` of `llama-model.cpp`
//! for the kind of cache, `models/*.cpp` for windows and recurrent layers. Checked against what it allocates.

/// What the keys of one architecture mean for memory.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Facts {
    pub(super) role: Role,
    pub(super) window: Option<Window>,
    pub(super) recurrent: Recurrent,
    /// Whether `key_length_mla` and `value_length_mla` make its cache one of latents alone.
    pub(super) reads_latent: bool,
    pub(super) sharing: Sharing,
    pub(super) indexer: Indexer,
    /// Whether the layers that predict further tokens have a cache too.
    pub(super) caches_prediction: bool,
    /// Whether a tied embedding is held twice even where input and output lie on one device.
    pub(super) copies_embedding: bool,
    /// Whether head sizes are read though layer 0 has no head.
    pub(super) reads_head_sizes: bool,
    pub(super) extra: Extra,
    /// Whether keys serve as values too, and `attention.compress_ratios` says how many tokens before the window share
    /// one of them.
    pub(super) is_compressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Generates token by token.
    Decoder,
    /// Reads a whole text at once, or refines one as diffusion does: no cache.
    Encoder,
    /// As an encoder, but a cache is allocated although nothing reads it.
    EncoderWithCache,
}

/// Sliding-window attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) tokens: Tokens,
    pub(super) pattern: Pattern,
    pub(super) is_chunked: bool,
    /// The one number of layers with which it is used.
    pub(super) only_with_layers: Option<usize>,
}

/// How many tokens a window has, given `attention.sliding_window`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tokens {
    /// What the key says; no window without it or at 0.
    Key,
    /// What the key says, or else so many.
    KeyOr(u64),
    /// So many, if the key is above 0.
    IfKey(u64),
    /// So many, unless the key is 0.
    UnlessZero(u64),
}

/// Which layers have the window, unless `attention.sliding_window_pattern` lists them; a number there replaces `every`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    /// All but the last of `every` so many, or but the first.
    Every { every: u64, is_dense_first: bool },
    /// All.
    All,
    /// Those that the key lists.
    Listed,
}

/// Which layers keep a state, and whether they have attention besides.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recurrent {
    /// None.
    No,
    /// All, and none has attention.
    Only,
    /// All, beside their attention.
    Beside,
    /// Those without key-value heads.
    WhereHeadless,
    /// Those without key-value heads and without a feed-forward; one with a feed-forward has no attention either.
    WhereNothingElse,
    /// Those that `attention.recurrent_layers` lists, or all but the last of every so many.
    Interval(u64),
    /// As [`Self::Interval`], with a state of a head's size squared per head.
    LinearInterval(u64),
}

/// Which layers read the cache of an earlier one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sharing {
    No,
    /// All after so many.
    After(usize),
    /// The last `attention.shared_kv_layers`.
    Key,
}

/// What is kept beyond one cache or state per layer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extra {
    No,
    /// The layers are gone through `num_loops` times, each with caches of its own.
    Loops,
    /// The layers of `ple.layers` convolve n-grams of the input too.
    Ngrams,
    /// One more layer, with one key-value head, that chooses adapters.
    Router,
}

/// Which layers cache an indexer's key beside their own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Indexer {
    No,
    /// All with attention.
    All,
    /// Those that `attention.indexer.types` lists, else all.
    Listed,
    /// As [`Self::Listed`]; without the list and from 2^20 tokens of context on the first two and every fourth.
    ListedOrFourth,
    /// Those that the list names, if `attention.indexer.top_k` is above 0.
    IfTopK,
    /// Those after the leading dense ones, with a value beside the key.
    AfterDense,
}

const PLAIN: Facts = Facts {
    role: Role::Decoder,
    window: None,
    recurrent: Recurrent::No,
    reads_latent: false,
    sharing: Sharing::No,
    indexer: Indexer::No,
    caches_prediction: false,
    copies_embedding: false,
    reads_head_sizes: false,
    extra: Extra::No,
    is_compressed: false,
};

const fn every(every: u64) -> Pattern {
    Pattern::Every { every, is_dense_first: false }
}

const fn dense_first(every: u64) -> Pattern {
    Pattern::Every { every, is_dense_first: true }
}

const fn windowed(tokens: Tokens, pattern: Pattern) -> Facts {
    let window = Window { tokens, pattern, is_chunked: false, only_with_layers: None };
    Facts { window: Some(window), ..PLAIN }
}

const fn recurrent(recurrent: Recurrent) -> Facts {
    Facts { recurrent, ..PLAIN }
}

const fn indexed(indexer: Indexer) -> Facts {
    Facts { indexer, reads_latent: true, ..PLAIN }
}

#[rustfmt::skip]
const TABLE: &[(&[&str], Facts)] = &[
    // A window, where a file gives one, is not used by any of these.
    (&[
        "apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom", "chameleon",
        "chatglm", "codeshell", "cogvlm", "command-r", "dbrx", "deci", "deepseek", "deepseek2-ocr", "dots1", "eagle3",
        "ernie4_5", "ernie4_5-moe", "exaone", "falcon", "gemma", "glm4", "glm4moe", "gpt2", "gptj", "gptneox",
        "granite", "granitemoe", "grok", "grovemoe", "hrm_text", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl",
        "hy_v3", "internlm2", "jais", "jais2", "llama", "llama-embed", "maincoder", "minicpm", "minicpm3",
        "minimax-m2", "mistral3", "mpt", "nemotron", "olmo", "olmoe", "openelm", "orion", "paddleocr",
        "pangu-embedded", "phi2", "phi3", "phimoe", "plamo", "plm", "pockettts", "qwen", "qwen2", "qwen2moe",
        "qwen2vl", "qwen3", "qwen3moe", "qwen3tts", "qwen3vl", "qwen3vlmoe", "refact", "seed_oss", "smollm3",
        "stablelm", "starcoder", "starcoder2", "t5", "talkie", "xverse",
    ], PLAIN),
    (&[
        "bert", "clip", "dream", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llada", "llada-moe",
        "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "rnd1", "wavtokenizer-dec",
    ], Facts { role: Role::Encoder, ..PLAIN }),
    (&["t5encoder"], Facts { role: Role::EncoderWithCache, ..PLAIN }),

    (&["afmoe", "mellum", "muse-glimmer", "olmo2", "cohere2", "exaone-moe"], windowed(Tokens::Key, every(4))),
    (&["cohere2moe", "laguna"], windowed(Tokens::Key, dense_first(4))),
    (&["gemma2"], windowed(Tokens::KeyOr(4096), every(2))),
    (&["gemma3"], windowed(Tokens::Key, every(6))),
    (&["gemma3n"], Facts {
        sharing: Sharing::After(20),
        copies_embedding: true,
        ..windowed(Tokens::Key, every(5))
    }),
    (&["gemma4"], Facts {
        sharing: Sharing::Key,
        copies_embedding: true,
        ..windowed(Tokens::Key, Pattern::Listed)
    }),
    (&["gemma4-assistant"], Facts { sharing: Sharing::After(0), ..PLAIN }),
    (&["gpt-oss"], windowed(Tokens::Key, every(2))),
    (&["plamo3"], windowed(Tokens::Key, every(8))),
    (&["smallthinker"], windowed(Tokens::IfKey(4096), dense_first(4))),
    (&["dflash", "granite_swa", "maple", "mimo2", "spark2_5", "step35"], windowed(Tokens::Key, Pattern::Listed)),
    (&["exaone4"], Facts {
        window: Some(Window {
            tokens: Tokens::KeyOr(4096),
            pattern: every(4),
            is_chunked: false,
            only_with_layers: Some(64),
        }),
        ..PLAIN
    }),
    (&["llama4"], Facts {
        window: Some(Window {
            tokens: Tokens::UnlessZero(8192),
            pattern: every(4),
            is_chunked: true,
            only_with_layers: None,
        }),
        ..PLAIN
    }),

    (&["arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"], recurrent(Recurrent::Only)),
    (&["falcon-h1"], recurrent(Recurrent::Beside)),
    (&["granitehybrid", "jamba", "lfm2moe"], recurrent(Recurrent::WhereHeadless)),
    (&["lfm2"], Facts { recurrent: Recurrent::WhereHeadless, ..windowed(Tokens::Key, Pattern::All) }),
    (&["plamo2"], Facts { reads_head_sizes: true, ..recurrent(Recurrent::WhereHeadless) }),
    (&["kimi-k3", "kimi-linear"], Facts { reads_latent: true, ..recurrent(Recurrent::WhereHeadless) }),
    (&["bailingmoe3"], Facts {
        reads_latent: true,
        caches_prediction: true,
        ..recurrent(Recurrent::WhereHeadless)
    }),
    (&["nemotron_h", "nemotron_h_moe"], Facts {
        caches_prediction: true,
        ..recurrent(Recurrent::WhereNothingElse)
    }),
    (&["qwen3next", "qwen35", "qwen35moe"], recurrent(Recurrent::Interval(4))),
    (&["minimax-01"], recurrent(Recurrent::LinearInterval(8))),

    (&["deepseek2", "mistral4"], Facts { reads_latent: true, ..PLAIN }),
    (&["deepseek32"], indexed(Indexer::All)),
    (&["glm-dsa"], indexed(Indexer::ListedOrFourth)),
    (&["glm5-next"], Facts { recurrent: Recurrent::WhereHeadless, ..indexed(Indexer::Listed) }),
    (&["hy_v4"], indexed(Indexer::IfTopK)),
    (&["minimax-m3"], Facts { indexer: Indexer::AfterDense, ..PLAIN }),

    (&["dots3note"], Facts { window: windowed(Tokens::Key, Pattern::Listed).window, ..indexed(Indexer::IfTopK) }),

    (&["graniteswitch"], Facts { extra: Extra::Router, ..PLAIN }),
    (&["nanbeige"], Facts { extra: Extra::Loops, ..PLAIN }),

    (&["deepseek4"], Facts { is_compressed: true, ..windowed(Tokens::Key, Pattern::All) }),

    (&["qwen4exp"], Facts {
        indexer: Indexer::All,
        extra: Extra::Ngrams,
        ..recurrent(Recurrent::Interval(4))
    }),
];

/// The facts of the architecture called `name`; `None` for one that is not in the table.
pub(super) fn facts(name: &str) -> Option<Facts> {
    TABLE.iter().find(|(names, _)| names.contains(&name)).map(|(_, facts)| *facts)
}

/// Facts for an architecture that is not in the table: attention in full.
pub(super) const UNLISTED: Facts = PLAIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<&str> = TABLE.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
