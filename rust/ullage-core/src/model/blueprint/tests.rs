#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::error::Error;
use crate::model::{Basis, Format, Model};

fn model(config: &Value) -> Model {
    Model::from_config("test", &config.to_string()).unwrap()
}

fn llama() -> Value {
    json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32, "vocab_size": 128_256,
        "max_position_embeddings": 131_072, "torch_dtype": "bfloat16", "tie_word_embeddings": false})
}

fn deepseek() -> Value {
    json!({"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 7168,
        "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "first_k_dense_replace": 3,
        "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "num_attention_heads": 128,
        "num_key_value_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129_280, "topk_method": "noaux_tc",
        "num_nextn_predict_layers": 1, "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}})
}

fn gpt_oss() -> Value {
    json!({"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_size": 2880, "head_dim": 64,
        "intermediate_size": 2880, "num_hidden_layers": 24, "num_local_experts": 32, "num_experts_per_tok": 4,
        "num_attention_heads": 64, "num_key_value_heads": 8, "sliding_window": 128, "vocab_size": 201_088,
        "attention_bias": true, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert":
            ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}})
}

fn unet() -> Value {
    json!({"_class_name": "UNet2DConditionModel", "addition_embed_type": "text_time",
        "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048, "in_channels": 4, "out_channels": 4,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "layers_per_block": 2,
        "projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2, 10],
        "use_linear_projection": true, "torch_dtype": "float16"})
}

fn changed(mut config: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("an object") };
    config.as_object_mut().unwrap().extend(changes);
    config
}

/// Parameters as the publishers of the weights count them.
#[test]
fn published_counts_follow_from_the_configuration() {
    let small = json!({"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "head_dim": 64,
        "tie_word_embeddings": true});
    let large = json!({"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64});
    let old = json!({"intermediate_size": 11008, "num_key_value_heads": 32, "vocab_size": 32000});
    let qwen = json!({"model_type": "qwen3", "intermediate_size": 12288, "num_hidden_layers": 36, "head_dim": 128,
        "vocab_size": 151_936});
    let mixture = json!({"model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "head_dim": 128,
        "num_hidden_layers": 48, "num_key_value_heads": 4, "vocab_size": 151_936, "num_experts": 128,
        "num_experts_per_tok": 8, "moe_intermediate_size": 768, "mlp_only_layers": [], "decoder_sparse_step": 1});
    let kimi = json!({"model_type": "kimi_k2", "num_attention_heads": 64, "num_key_value_heads": 64,
        "n_routed_experts": 384, "first_k_dense_replace": 1, "vocab_size": 163_840});
    let gemma = json!({"model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912, "head_dim": 256,
        "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 262_144,
        "tie_word_embeddings": null});
    let vast = json!({"num_hidden_layers": 36, "num_local_experts": 128});
    let minilm = json!({"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 384,
        "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 12, "vocab_size": 30522,
        "max_position_embeddings": 512});
    let t5 = json!({"architectures": ["T5EncoderModel"], "model_type": "t5", "d_model": 4096, "d_ff": 10240,
        "d_kv": 64, "num_heads": 64, "num_layers": 24, "vocab_size": 32128, "feed_forward_proj": "gated-gelu"});
    let whisper = json!({"model_type": "whisper", "d_model": 384, "encoder_layers": 4, "decoder_layers": 4,
        "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536, "decoder_attention_heads": 6, "vocab_size": 51865,
        "is_encoder_decoder": true, "max_source_positions": 1500, "max_target_positions": 448});
    for (name, config, parameters) in [
        ("Llama 3.1 8B", llama(), 8_030_261_248),
        ("Llama 3.2 1B", changed(llama(), small), 1_235_814_400),
        ("Llama 3.1 70B", changed(llama(), large), 70_553_706_496),
        ("Llama 2 7B", changed(llama(), old), 6_738_415_616),
        ("Qwen3 8B", changed(llama(), qwen), 8_190_735_360),
        ("Qwen3 30B-A3B", changed(llama(), mixture), 30_532_122_624),
        ("DeepSeek-V3", deepseek(), 671_026_419_200),
        ("Kimi K2", changed(deepseek(), kimi), 1_026_408_232_448),
        ("Gemma 3 1B", changed(llama(), gemma), 999_885_952),
        ("gpt-oss 20b", gpt_oss(), 20_914_757_184),
        ("gpt-oss 120b", changed(gpt_oss(), vast), 116_829_156_672),
        ("MiniLM", minilm, 22_713_216),
        ("CLIP", json!({"model_type": "clip", "text_config": {}, "vision_config": {}}), 151_277_313),
        ("T5-XXL encoder", t5, 4_762_310_656),
        ("Whisper tiny", whisper, 37_760_640),
        ("SDXL U-Net", unet(), 2_567_463_684),
    ] {
        let model = model(&config);
        assert_eq!(model.parameters(), Some(parameters), "{name}");
        assert_eq!((&model.basis, model.format), (&Basis::Config, Some(Format::Config)), "{name}");
    }
}

#[test]
fn quantised_checkpoints_take_the_bytes_of_their_files() {
    assert_eq!(model(&llama()).tensor_bytes().get(), 16_060_522_496, "total_size of the published index");
    // Two blocks of experts, 17 bytes for 32 weights; everything else in 16 bits.
    let oss = model(&gpt_oss());
    let experts: u64 = 24 * 32 * 3 * 2880 * 2880;
    let rest = oss.parameters().unwrap() - experts;
    assert_eq!(oss.tensor_bytes().get(), experts / 32 * 17 + rest * 2);
    let of =
        |method: Value| model(&changed(llama(), json!({"quantization_config": method}))).tensor_bytes().get();
    let matrices: u64 = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 4096 * 14336);
    let rest = 16_060_522_496 - 2 * matrices;
    let rows: u64 = 32 * (2 * 4096 + 2 * 4096 + 2 * 4096 + 14336);
    // A scale and a packed zero for each group of 128 inputs; GPTQ adds the group of each input.
    let grouped = matrices / 2 + matrices / 128 * 2 + matrices / 128 / 2;
    assert_eq!(of(json!({"quant_method": "awq", "bits": 4, "group_size": 128})), rest + grouped);
    assert_eq!(of(json!({"quant_method": "gptq", "bits": 4, "group_size": 128})), rest + grouped + 4 * rows);
    let blocks = matrices / (128 * 128) * 4;
    let fp8 = json!({"quant_method": "fp8", "weight_block_size": [128, 128]});
    assert_eq!(of(fp8), rest + matrices + blocks);
    assert_eq!(
        model(&changed(llama(), json!({"quantization_config": null}))).parameters(),
        Some(8_030_261_248)
    );
}

#[test]
fn parts_of_a_pipeline_stand_side_by_side() {
    let clip = json!({"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"});
    let (unet, clip) = (unet().to_string(), clip.to_string());
    let whole = Model::from_components("sdxl", &[("unet", &unet), ("text_encoder", &clip)]).unwrap();
    assert_eq!(whole.parameters(), Some(2_567_463_684 + 63_165_952));
    assert_eq!(whole.tensor_bytes(), whole.file_bytes);
    assert!(
        whole.tensors[0].name.starts_with("unet.")
            && whole.tensors.last().unwrap().name.starts_with("text_encoder.")
    );
    assert!(Model::from_components("none", &[]).is_err());
}

#[test]
fn an_embedding_model_has_no_head() {
    let head = 128_256 * 4096;
    let bare = model(&changed(llama(), json!({"architectures": ["LlamaModel"]})));
    assert_eq!(bare.parameters(), Some(8_030_261_248 - head));
    let classes = model(&changed(llama(), json!({"architectures": ["LlamaForSequenceClassification"]})));
    assert_eq!(classes.parameters(), Some(8_030_261_248 - head));
    assert!(classes.notes.iter().any(|note| note.contains("LlamaForSequenceClassification")));
}

fn fault(config: &Value) -> (String, String) {
    match Model::from_config("test", &config.to_string()) {
        Err(Error::ModelFile { field, reason, .. }) => (field.unwrap_or_default(), reason),
        other => panic!("{config}: {other:?}"),
    }
}

#[test]
fn what_cannot_be_told_is_refused_by_key() {
    for (changes, key) in [
        (json!({"model_type": "unheard-of"}), "model_type"),
        (json!({"model_type": null}), "model_type"),
        (json!({"vision_config": {}}), "vision_config"),
        (json!({"hidden_size": null}), "hidden_size"),
        (json!({"vocab_size": -1}), "vocab_size"),
        (json!({"num_hidden_layers": 1_000_000}), "num_hidden_layers"),
        (json!({"torch_dtype": "int3"}), "torch_dtype"),
        (json!({"quantization_config": {"quant_method": "magic"}}), "quantization_config.quant_method"),
        (json!({"quantization_config": {"quant_method": "gptq", "bits": 99}}), "quantization_config.bits"),
        (json!({"num_attention_heads": 0}), "num_attention_heads"),
        (json!({"num_key_value_heads": 0}), "num_key_value_heads"),
        (json!({"intermediate_size": 0}), "model.layers.0.mlp.gate_proj.weight"),
        (json!({"_class_name": "Magic"}), "_class_name"),
        (json!({"model_type": "qwen3_next", "layer_types": vec!["magic"; 32]}), "layer_types"),
    ] {
        let (found, reason) = fault(&changed(llama(), changes.clone()));
        assert_eq!(found, key, "{changes}: {reason}");
    }
    assert!(fault(&changed(llama(), json!({"model_type": "unheard-of"}))).1.contains("unheard-of"));
    for text in ["", "[]", "{", "{}", "nul"] {
        assert!(matches!(Model::from_config("test", text), Err(Error::ModelFile { .. })), "{text:?}");
    }
}

#[test]
fn a_directory_without_weights_answers_from_its_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tiny-llama");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("config.json"), llama().to_string()).unwrap();
    for path in [path.clone(), path.join("config.json")] {
        let model = Model::open(&path).unwrap();
        assert_eq!((model.name.as_str(), model.parameters()), ("tiny-llama", Some(8_030_261_248)));
        assert_eq!(model.file_bytes, model.tensor_bytes());
    }
    let index = path.join("model.safetensors.index.json");
    std::fs::write(&index, r#"{"metadata":{"total_size":17},"weight_map":{"a":"b"}}"#).unwrap();
    let model = Model::open(&path).unwrap();
    assert_eq!(model.file_bytes.get(), 17);
    assert!(model.notes.iter().any(|note| note.contains("17 bytes")), "{:?}", model.notes);
    std::fs::write(&index, r#"{"metadata":{"total_size":-1},"weight_map":{}}"#).unwrap();
    assert!(matches!(Model::open(&path), Err(Error::ModelFile { .. })));
    std::fs::write(path.join("model.safetensors"), b"short").unwrap();
    assert!(
        matches!(Model::open(&path), Err(Error::ModelFile { .. })),
        "weights are read where there are any"
    );
}

#[test]
fn numbers_that_only_python_writes_are_passed_over() {
    let text =
        llama().to_string().replacen('{', r#"{"a":[0.0,Infinity,-Infinity,NaN],"b":"Infinity \" NaN","#, 1);
    assert_eq!(Model::from_config("test", &text).unwrap().parameters(), Some(8_030_261_248));
}

#[test]
fn every_truncation_is_refused() {
    let text = gpt_oss().to_string();
    for length in 0..text.len() {
        assert!(
            matches!(Model::from_config("test", &text[..length]), Err(Error::ModelFile { .. })),
            "{length}"
        );
    }
}

/// A value of another kind or size for one key at a time.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        (0_u64..70)
            .prop_map(|bits| Value::from(1_u64.checked_shl(u32::try_from(bits).unwrap()).unwrap_or(0))),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        ".{0,8}".prop_map(Value::from),
        proptest::collection::vec(0_u64..5000, 0..6).prop_map(Value::from),
        Just(json!({})),
    ]
}

const FAMILIES: [&str; 24] = [
    "llama",
    "qwen3_next",
    "jamba",
    "falcon_h1",
    "mamba2",
    "lfm2",
    "granitemoehybrid",
    "nemotron_h",
    "gemma3n",
    "kimi_linear",
    "bamba",
    "llama4",
    "deepseek_v2",
    "falcon",
    "gpt2",
    "bert",
    "mpnet",
    "modernbert",
    "clip",
    "siglip",
    "vit",
    "dinov2",
    "t5",
    "whisper",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn odd_numbers_never_panic(
        base in 0_usize..4,
        family in proptest::option::of(0_usize..FAMILIES.len()),
        place in any::<prop::sample::Index>(),
        value in odd(),
    ) {
        let mut config = [llama(), deepseek(), gpt_oss(), unet()][base].clone();
        let keys: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
        config[keys[place.index(keys.len())].as_str()] = value;
        if let Some(family) = family {
            config["model_type"] = Value::from(FAMILIES[family]);
        }
        match Model::from_config("test", &config.to_string()) {
            Ok(model) => prop_assert!(model.parameters().is_some()),
            Err(error) => prop_assert!(matches!(error, Error::ModelFile { .. } | Error::Overflow { .. }), "{error}"),
        }
    }

    #[test]
    fn flipped_bytes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = gpt_oss().to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(text) = String::from_utf8(text) {
            let _ = Model::from_config("test", &text);
        }
    }
}
