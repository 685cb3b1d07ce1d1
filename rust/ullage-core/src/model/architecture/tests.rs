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
    assert_eq!(bert.layers[5], all(12, 32));

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
