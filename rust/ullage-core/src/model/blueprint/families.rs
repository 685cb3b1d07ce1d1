//! What tells one family of decoders from the next: one row each.
//!
//! Names and defaults follow the published checkpoints and transformers' `modeling_*.py` and `configuration_*.py`.

/// Whether a matrix has a bias.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bias {
    Never,
    Always,
    /// What this key says, or else this.
    Key(&'static str, bool),
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryNorm {
    None,
    /// Over one head, with these names; where `use_qk_norm` is given, only if it says so.
    Head(&'static str, &'static str),
    /// Over all heads together.
    Full(&'static str, &'static str),
    /// Over one head, each head its own, if `use_qk_norm` says so (Cohere).
    EachHead,
}

/// The norms over the width of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Norm {
    /// Without parameters.
    Bare,
    /// A weight.
    Rms,
    /// A weight and a bias.
    Layer,
}

/// The matrices of a dense feed-forward layer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Feed {
    /// Gate, up and down, by these names.
    Gated(&'static str, &'static str, &'static str),
    /// Gate and up in one matrix, then down.
    Fused(&'static str, &'static str),
    /// Up and down.
    Plain(&'static str, &'static str),
}

/// How queries, keys and values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Projection {
    /// A matrix each.
    Split,
    /// One matrix, `qkv_proj`.
    Fused,
    /// A matrix each, the queries' twice as large: the second half gates the output.
    Gated,
}

/// The mixture of experts of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mixture {
    None,
    /// `gate`, `experts.N.w1` to `w3`.
    Mixtral,
    /// `gate`, `experts.N.gate_proj`, a shared expert with a gate if its width is given.
    Qwen,
    /// `gate` with a correction, `experts.N.gate_proj`, `shared_experts`; the first layers dense.
    DeepSeek,
    /// Stacked experts with biases.
    GptOss,
    /// Stacked experts, one shared, every n-th layer.
    Llama4,
    /// Stacked experts named `input_linear` and `output_linear`, and a shared one.
    Granite,
    /// As Mixtral, with a correction.
    MiniMax,
    /// `router`, every n-th layer.
    Jamba,
    /// `gate`, `experts.N.w1`, a correction; the first layers dense.
    Lfm2,
    /// As Mixtral, with a correction and shared experts; the first layers dense.
    Kimi,
}

/// One family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) names: &'static [&'static str],
    pub(super) projection: Projection,
    pub(super) query_bias: Bias,
    pub(super) output_bias: Bias,
    pub(super) feed_bias: Bias,
    pub(super) query_norm: QueryNorm,
    /// Names of the norms of a layer.
    pub(super) norms: &'static [&'static str],
    pub(super) norm: Norm,
    pub(super) feed: Feed,
    pub(super) mixture: Mixture,
    /// Names of the blocks of a layer: attention, its last matrix, feed-forward, mixture, recurrence.
    pub(super) attention: &'static str,
    pub(super) output: &'static str,
    pub(super) feed_block: &'static str,
    pub(super) mixture_block: &'static str,
    pub(super) state_block: &'static str,
    pub(super) final_norm: &'static str,
    /// Whether the head has a bias.
    pub(super) head_bias: Bias,
    /// Whether embedding and head are one where the file does not say.
    pub(super) is_tied: bool,
}

const TWO_NORMS: &[&str] = &["input_layernorm", "post_attention_layernorm"];
const FOUR_NORMS: &[&str] = &[
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
];
const AFTER_NORMS: &[&str] = &["post_attention_layernorm", "post_feedforward_layernorm"];
const HEAD_NORM: QueryNorm = QueryNorm::Head("q_norm", "k_norm");
const FULL_NORM: QueryNorm = QueryNorm::Full("q_norm", "k_norm");

const LLAMA: Family = Family {
    names: &[
        "llama",
        "granite",
        "helium",
        "Yi",
        "deepseek",
        "ernie4_5",
        "mistral",
        "ministral",
        "ministral3",
    ],
    projection: Projection::Split,
    query_bias: Bias::Key("attention_bias", false),
    output_bias: Bias::Key("attention_bias", false),
    feed_bias: Bias::Key("mlp_bias", false),
    query_norm: QueryNorm::None,
    norms: TWO_NORMS,
    norm: Norm::Rms,
    feed: Feed::Gated("gate_proj", "up_proj", "down_proj"),
    mixture: Mixture::None,
    attention: "self_attn",
    output: "o_proj",
    feed_block: "mlp",
    mixture_block: "mlp",
    state_block: "linear_attn",
    final_norm: "norm",
    head_bias: Bias::Never,
    is_tied: false,
};

/// Families that differ from Llama in what the row names.
static ROWS: [Family; 37] = [
    LLAMA,
    Family { names: &["smollm3", "minicpm"], is_tied: true, ..LLAMA },
    Family { names: &["minicpm3"], is_tied: true, ..LLAMA },
    Family {
        names: &["seed_oss"],
        query_bias: Bias::Key("attention_bias", true),
        output_bias: Bias::Key("attention_out_bias", false),
        ..LLAMA
    },
    Family { names: &["qwen2", "dream"], query_bias: Bias::Always, output_bias: Bias::Never, ..LLAMA },
    Family { names: &["qwen3"], query_norm: HEAD_NORM, ..LLAMA },
    Family {
        names: &["hunyuan_v1_dense"],
        query_norm: QueryNorm::Head("query_layernorm", "key_layernorm"),
        ..LLAMA
    },
    Family { names: &["gemma"], is_tied: true, ..LLAMA },
    Family { names: &["gemma2"], norms: FOUR_NORMS, is_tied: true, ..LLAMA },
    Family { names: &["gemma3"], norms: FOUR_NORMS, query_norm: HEAD_NORM, is_tied: true, ..LLAMA },
    Family {
        names: &["phi3"],
        projection: Projection::Fused,
        query_bias: Bias::Never,
        output_bias: Bias::Never,
        feed: Feed::Fused("gate_up_proj", "down_proj"),
        ..LLAMA
    },
    Family {
        names: &["phi"],
        query_bias: Bias::Always,
        output_bias: Bias::Always,
        feed_bias: Bias::Always,
        norms: &["input_layernorm"],
        norm: Norm::Layer,
        feed: Feed::Plain("fc1", "fc2"),
        output: "dense",
        final_norm: "final_layernorm",
        head_bias: Bias::Always,
        ..LLAMA
    },
    Family { names: &["olmo"], norm: Norm::Bare, ..LLAMA },
    Family { names: &["olmo2", "olmo3"], norms: AFTER_NORMS, query_norm: FULL_NORM, ..LLAMA },
    Family { names: &["exaone4"], norms: AFTER_NORMS, query_norm: HEAD_NORM, ..LLAMA },
    Family {
        names: &["glm"],
        query_bias: Bias::Key("attention_bias", false),
        output_bias: Bias::Never,
        feed: Feed::Fused("gate_up_proj", "down_proj"),
        ..LLAMA
    },
    Family {
        names: &["glm4"],
        output_bias: Bias::Never,
        feed: Feed::Fused("gate_up_proj", "down_proj"),
        norms: &[
            "input_layernorm",
            "post_attention_layernorm",
            "post_self_attn_layernorm",
            "post_mlp_layernorm",
        ],
        ..LLAMA
    },
    Family {
        names: &["cohere"],
        norms: &["input_layernorm"],
        query_norm: QueryNorm::EachHead,
        is_tied: true,
        ..LLAMA
    },
    Family { names: &["cohere2"], norms: &["input_layernorm"], is_tied: true, ..LLAMA },
    Family {
        names: &["starcoder2"],
        query_bias: Bias::Key("use_bias", true),
        output_bias: Bias::Key("use_bias", true),
        feed_bias: Bias::Key("use_bias", true),
        norm: Norm::Layer,
        feed: Feed::Plain("c_fc", "c_proj"),
        is_tied: true,
        ..LLAMA
    },
    Family {
        names: &["stablelm"],
        query_bias: Bias::Key("use_qkv_bias", false),
        output_bias: Bias::Never,
        norm: Norm::Layer,
        ..LLAMA
    },
    Family { names: &["nemotron"], norm: Norm::Layer, feed: Feed::Plain("up_proj", "down_proj"), ..LLAMA },
    Family { names: &["mixtral"], mixture: Mixture::Mixtral, mixture_block: "block_sparse_moe", ..LLAMA },
    Family {
        names: &["phimoe"],
        norm: Norm::Layer,
        mixture: Mixture::Mixtral,
        mixture_block: "block_sparse_moe",
        head_bias: Bias::Key("lm_head_bias", false),
        ..LLAMA
    },
    Family {
        names: &["qwen2_moe"],
        query_bias: Bias::Key("qkv_bias", true),
        output_bias: Bias::Never,
        mixture: Mixture::Qwen,
        ..LLAMA
    },
    Family { names: &["qwen3_moe"], query_norm: HEAD_NORM, mixture: Mixture::Qwen, ..LLAMA },
    Family { names: &["olmoe"], query_norm: FULL_NORM, mixture: Mixture::Qwen, ..LLAMA },
    Family {
        names: &["qwen3_5", "qwen3_next"],
        projection: Projection::Gated,
        query_norm: HEAD_NORM,
        mixture: Mixture::Qwen,
        ..LLAMA
    },
    Family {
        names: &["qwen3_5_moe"],
        projection: Projection::Gated,
        query_norm: HEAD_NORM,
        mixture: Mixture::Qwen,
        ..LLAMA
    },
    Family { names: &["deepseek_v2", "deepseek_v3", "kimi_k2"], mixture: Mixture::DeepSeek, ..LLAMA },
    Family { names: &["dots1"], query_norm: HEAD_NORM, mixture: Mixture::DeepSeek, ..LLAMA },
    Family {
        names: &["glm4_moe"],
        output_bias: Bias::Never,
        query_norm: HEAD_NORM,
        mixture: Mixture::DeepSeek,
        ..LLAMA
    },
    Family {
        names: &["gpt_oss"],
        query_bias: Bias::Key("attention_bias", true),
        output_bias: Bias::Key("attention_bias", true),
        mixture: Mixture::GptOss,
        ..LLAMA
    },
    Family {
        names: &["llama4"],
        mixture: Mixture::Llama4,
        feed_block: "feed_forward",
        mixture_block: "feed_forward",
        ..LLAMA
    },
    Family {
        names: &["granitemoe", "granitemoeshared", "granitemoehybrid"],
        output_bias: Bias::Key("attention_bias", false),
        mixture: Mixture::Granite,
        mixture_block: "block_sparse_moe",
        state_block: "mamba",
        ..LLAMA
    },
    Family {
        names: &["minimax_m2"],
        query_norm: FULL_NORM,
        mixture: Mixture::MiniMax,
        mixture_block: "block_sparse_moe",
        ..LLAMA
    },
    Family {
        names: &["kimi_linear"],
        mixture: Mixture::Kimi,
        mixture_block: "block_sparse_moe",
        state_block: "self_attn",
        ..LLAMA
    },
];

/// Families with a recurrence and their own names for everything.
static HYBRIDS: [Family; 4] = [
    Family { names: &["jamba"], mixture: Mixture::Jamba, ..HYBRID },
    Family { names: &["bamba"], feed_bias: Bias::Key("mlp_bias", false), ..HYBRID },
    Family {
        names: &["falcon_h1"],
        query_bias: Bias::Key("attention_bias", false),
        output_bias: Bias::Key("attention_bias", false),
        feed_bias: Bias::Key("mlp_bias", false),
        ..HYBRID
    },
    Family {
        names: &["lfm2", "lfm2_moe"],
        query_norm: QueryNorm::Head("q_layernorm", "k_layernorm"),
        norms: &["operator_norm", "ffn_norm"],
        feed: Feed::Gated("w1", "w3", "w2"),
        mixture: Mixture::Lfm2,
        output: "out_proj",
        state_block: "conv",
        final_norm: "embedding_norm",
        is_tied: true,
        ..HYBRID
    },
];

const HYBRID: Family = Family {
    names: &[],
    query_bias: Bias::Never,
    output_bias: Bias::Never,
    feed_bias: Bias::Never,
    norms: &["input_layernorm", "pre_ff_layernorm"],
    feed_block: "feed_forward",
    mixture_block: "feed_forward",
    state_block: "mamba",
    final_norm: "final_layernorm",
    ..LLAMA
};

/// The row of a family.
pub(super) fn find(name: &str) -> Option<&'static Family> {
    ROWS.iter().chain(&HYBRIDS).find(|row| row.names.contains(&name))
}
