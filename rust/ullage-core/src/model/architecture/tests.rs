#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use super::*;
use crate::error::{Error, Result};

fn all(kv_heads: u64, head_dim: u64) -> Layer {
    Layer::attending(Span::All, Attention::Heads { kv_heads, key: head_dim, value: head_dim })
}

fn config(json: &str) -> Result<Option<Architecture>> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), json).unwrap();
    beside(directory.path())
}

#[test]
fn configurations_of_the_known_kinds() {
    let bert = config(
        r#"{"model_type":"bert","hidden_size":384,"num_hidden_layers":6,"num_attention_heads":12,
            "intermediate_size":1536,"max_position_embeddings":512,"vocab_size":30522}"#,
    );
    let bert = bert.unwrap().unwrap();
    assert_eq!((bert.is_decoder, bert.max_context), (Some(false), Some(512)));
    assert_eq!((bert.heads, bert.layers[5]), (12, Layer::keeping_nothing()));

    let gqa = r#"{"architectures":["LlamaForCausalLM"],"hidden_size":4096,"num_hidden_layers":32,
        "num_attention_heads":32,"num_key_value_heads":8,"sliding_window":null}"#;
    let gqa = config(gqa).unwrap().unwrap();
    assert_eq!(gqa.is_decoder, Some(true));
    assert_eq!(gqa.layers, vec![all(8, 128); 32]);

    let mla = r#"{"text_config":{"hidden_size":7168,"num_hidden_layers":61,"num_attention_heads":128,
        "kv_lora_rank":512,"qk_rope_head_dim":64,"qk_nope_head_dim":128,"v_head_dim":128}}"#;
    let latent = Attention::Latent { rank: 512, rope: 64, heads: 128, key: 192, value: 128 };
    assert_eq!(config(mla).unwrap().unwrap().layers, vec![Layer::attending(Span::All, latent); 61]);

    let base = r#""hidden_size":64,"num_hidden_layers":6,"num_attention_heads":2"#;
    let gemma = format!("{{{base},\"sliding_window\":9,\"sliding_window_pattern\":3}}");
    let window =
        Layer { cache: all(2, 32).cache.map(|cache| Cache { span: Span::Window(9), ..cache }), ..all(2, 32) };
    let expected = [window, window, all(2, 32), window, window, all(2, 32)];
    assert_eq!(config(&gemma).unwrap().unwrap().layers, expected);
    let unused = format!("{{{base},\"sliding_window\":9,\"use_sliding_window\":false}}");
    assert_eq!(config(&unused).unwrap().unwrap().layers, vec![all(2, 32); 6]);
    let hybrid = format!("{{{base},\"mamba_d_state\":16}}");
    assert!(config(&hybrid).unwrap().unwrap().layers.iter().all(|layer| !layer.is_known));
    assert_eq!(config(r#"{"model_type":"resnet"}"#).unwrap(), None);
}

#[test]
fn impossible_configurations_name_the_key() {
    let base = r#""hidden_size":64,"num_hidden_layers":6,"num_attention_heads":2"#;
    for (json, key) in [
        (r#"{"hidden_size":-1}"#.to_owned(), "hidden_size"),
        (r#"{"hidden_size":1e99}"#.to_owned(), "hidden_size"),
        (r#"{"hidden_size":"many"}"#.to_owned(), "hidden_size"),
        (
            r#"{"hidden_size":64,"num_hidden_layers":99999999,"num_attention_heads":2}"#.to_owned(),
            "num_hidden_layers",
        ),
        (
            r#"{"hidden_size":64,"num_hidden_layers":6,"num_attention_heads":0}"#.to_owned(),
            "num_attention_heads",
        ),
        (format!("{{{base},\"layer_types\":[\"full_attention\"]}}"), "layer_types"),
        (format!("{{{base},\"vocab_size\":1.5}}"), "vocab_size"),
    ] {
        match config(&json) {
            Err(Error::ModelFile { field, .. }) => assert_eq!(field.as_deref(), Some(key), "{json}"),
            other => panic!("{json}: {other:?}"),
        }
    }
    for json in ["[]", "", "nul", "{"] {
        assert!(matches!(config(json), Err(Error::ModelFile { .. })), "{json:?}");
    }
}

/// The spans of the layers in short: a for all, w for a window, c for a chunk, s for a state, b for both, - for none.
fn spans(json: &str) -> String {
    let layers = config(json).unwrap().unwrap().layers;
    let letter = |layer: &Layer| match (layer.is_known, layer.cache, layer.state) {
        (false, ..) => '?',
        (true, None, None) => '-',
        (true, None, Some(_)) => 's',
        (true, Some(_), Some(_)) => 'b',
        (true, Some(cache), None) => match cache.span {
            Span::All => 'a',
            Span::Window(_) => 'w',
            Span::Chunk(_) => 'c',
            Span::Fixed(_) => 'f',
        },
    };
    layers.iter().map(letter).collect()
}

#[test]
fn layers_follow_the_patterns_of_their_families() {
    let base = r#""hidden_size":64,"num_attention_heads":2,"num_hidden_layers":8"#;
    for (kind, keys, expected) in [
        ("llama", "", "aaaaaaaa"),
        ("mistral", r#","sliding_window":9"#, "wwwwwwww"),
        ("mistral", r#","sliding_window":null"#, "aaaaaaaa"),
        ("qwen2", r#","sliding_window":9"#, "aaaaaaaa"),
        ("qwen2", r#","sliding_window":9,"use_sliding_window":true,"max_window_layers":5"#, "aaaaawww"),
        ("gemma2", "", "wawawawa"),
        ("gpt_oss", "", "wawawawa"),
        ("gemma3_text", "", "wwwwwaww"),
        ("gemma3", r#","sliding_window":9,"_sliding_window_pattern":4"#, "wwwawwwa"),
        ("cohere2", r#","sliding_window":9"#, "wwwawwwa"),
        ("exaone4", r#","sliding_window":9,"sliding_window_pattern":"LLLG""#, "wwwawwwa"),
        ("exaone4", r#","sliding_window":null"#, "aaaaaaaa"),
        ("unheard-of", r#","sliding_window":9"#, "????????"),
        ("llama4_text", r#","attention_chunk_size":9"#, "cccaccca"),
        ("llama4_text", r#","attention_chunk_size":9,"no_rope_layers":[0,1,1,1,0,1,1,1]"#, "acccaccc"),
        ("gemma3n_text", r#","num_kv_shared_layers":3"#, "wwwwa---"),
        ("jamba", r#","attn_layer_period":4,"attn_layer_offset":1"#, "sasssass"),
        ("lfm2", r#","full_attn_idxs":[2,5]"#, "ssassass"),
        ("mamba2", "", "ssssssss"),
        ("falcon_h1", "", "bbbbbbbb"),
        ("nemotron_h", r#","hybrid_override_pattern":"M-M*-M-*""#, "s-sa-s-a"),
        ("qwen3_next", r#","linear_num_key_heads":2,"linear_num_value_heads":4"#, "sssasssa"),
    ] {
        let json = format!("{{\"model_type\":\"{kind}\",{base}{keys}}}");
        assert_eq!(spans(&json), expected, "{json}");
    }
}

#[test]
fn what_a_file_leaves_out_is_not_known_and_not_refused() {
    let base = r#""hidden_size":64,"num_attention_heads":2,"num_hidden_layers":4"#;
    assert_eq!(spans(&format!(r#"{{"model_type":"qwen3_next",{base}}}"#)), "???a");
    assert_eq!(spans(&format!(r#"{{"model_type":"nemotron-nas",{base},"block_configs":[{{}}]}}"#)), "????");
    assert_eq!(config(r#"{"model_type":"t5","d_model":64}"#).unwrap(), None);
}

/// Elements of state, as llama.cpp allocates them: LFM2-1.2B 0.16 MiB, Falcon-H1-1.5B 72.98, Qwen3-Next-80B 75.38 MiB, in 32 bits.
#[test]
fn states_equal_what_runtimes_allocate() {
    let state_of = |json: &str| -> u64 {
        let layers = config(json).unwrap().unwrap().layers;
        layers.iter().filter_map(|layer| layer.state).map(|state| state.convolution + state.recurrent).sum()
    };
    let lfm2 = r#"{"model_type":"lfm2","hidden_size":2048,"num_hidden_layers":16,"num_attention_heads":32,
        "num_key_value_heads":8,"conv_L_cache":3,"full_attn_idxs":[2,5,8,10,12,14]}"#;
    assert_eq!(state_of(lfm2) * 4, 163_840);
    let falcon = r#"{"model_type":"falcon_h1","hidden_size":2048,"num_hidden_layers":24,"num_attention_heads":8,
        "num_key_value_heads":2,"head_dim":128,"mamba_d_ssm":3072,"mamba_n_heads":48,"mamba_d_head":64,
        "mamba_d_state":256,"mamba_d_conv":4,"mamba_n_groups":1}"#;
    assert_eq!(state_of(falcon) * 4, 76_529_664);
    let next = r#"{"model_type":"qwen3_next","hidden_size":2048,"num_hidden_layers":48,"num_attention_heads":16,
        "num_key_value_heads":2,"head_dim":256,"linear_num_key_heads":16,"linear_num_value_heads":32,
        "linear_key_head_dim":128,"linear_value_head_dim":128,"linear_conv_kernel_dim":4}"#;
    assert_eq!(state_of(next) * 4, 79_036_416);
}

#[test]
fn encoder_decoders_keep_what_the_encoder_handed_over() {
    let whisper = r#"{"model_type":"whisper","is_encoder_decoder":true,"d_model":384,"decoder_layers":2,
        "decoder_attention_heads":6,"max_source_positions":1500,"max_target_positions":448}"#;
    let found = config(whisper).unwrap().unwrap();
    assert_eq!((found.max_context, found.is_decoder), (Some(448), Some(true)));
    assert_eq!(spans(whisper), "afaf");
    let t5 =
        r#"{"model_type":"t5","d_model":64,"num_layers":3,"num_decoder_layers":2,"num_heads":4,"d_kv":16}"#;
    assert_eq!(spans(t5), "aaaa");
}
