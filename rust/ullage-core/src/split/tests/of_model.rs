//! Chains of models.

use crate::footprint::{KvDtype, Policy, Workload, estimate};
use crate::model::Model;
use crate::split::{Anatomy, Detail};
use crate::units::Bytes;

const LLAMA: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048,
    "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
    "vocab_size": 128256, "max_position_embeddings": 131072, "head_dim": 64, "torch_dtype": "bfloat16",
    "tie_word_embeddings": TIED}"#;

const MIXTURE: &str = r#"{"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "vocab_size": 32000, "max_position_embeddings": 32768, "torch_dtype": "bfloat16", "num_local_experts": 8,
    "num_experts_per_tok": 2}"#;

fn anatomy(json: &str, batch: u64, detail: Detail) -> (Model, Anatomy, Bytes) {
    let model = Model::from_config("test", json).expect("known");
    let workload = Workload::new(&model, Some(4096), batch, KvDtype::F16).expect("in range");
    let policy = Policy::of("generic").expect("known");
    let kept = estimate(&model, &workload, policy).expect("small").kv_cache.best;
    let anatomy = Anatomy::of(&model, &workload, policy, detail).expect("known");
    (model, anatomy, kept)
}

#[test]
fn every_byte_of_a_model_is_in_one_piece() {
    let tied = LLAMA.replace("TIED", "true");
    let untied = LLAMA.replace("TIED", "false");
    for json in [tied.as_str(), untied.as_str(), MIXTURE] {
        for detail in [Detail::Layers, Detail::Experts] {
            let (model, anatomy, kept) = anatomy(json, 3, detail);
            assert_eq!(anatomy.chain.bytes(), model.tensor_bytes().saturating_add(kept));
            assert_eq!(anatomy.chain.pieces().len(), anatomy.parts.len());
            assert_eq!(anatomy.chain.shared().len(), usize::from(json == tied));
            let modules: Vec<&String> = anatomy.parts.iter().flat_map(|part| &part.modules).collect();
            for tensor in &model.tensors {
                let within = |module: &&&String| {
                    tensor
                        .name
                        .strip_prefix(module.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                assert_eq!(modules.iter().filter(within).count(), 1, "{} in {modules:?}", tensor.name);
            }
        }
    }
}

#[test]
fn pieces_run_in_order_and_read_what_a_step_reads() {
    let (_, dense, _) = anatomy(&LLAMA.replace("TIED", "true"), 2, Detail::Layers);
    let names: Vec<&str> = dense.chain.pieces().iter().map(|piece| piece.name.as_str()).collect();
    assert_eq!(
        (names[0], names[1], names[16], names[17]),
        ("embedding", "model.layers.0", "model.layers.15", "head")
    );
    let (embedding, layer, head) =
        (&dense.chain.pieces()[0], &dense.chain.pieces()[3], &dense.chain.pieces()[17]);
    assert_eq!((embedding.traffic.get(), embedding.flops), (2 * 2048 * 2, 0));
    assert_eq!(layer.traffic, layer.weights);
    assert_eq!(layer.state.get(), 2 * 4096 * 8 * 128 * 2);
    assert_eq!((layer.state_ways, layer.output.get(), layer.reductions), (8, 2 * 2048 * 2, 2));
    let cache_elements = 2 * 4096 * 8 * 128;
    assert_eq!(layer.flops, 2 * (2 * (layer.weights.get() / 2) + 4 * cache_elements));
    assert_eq!(head.traffic.get(), 128_256 * 2048 * 2 + 2048 * 2);
    assert_eq!(dense.parts[16].layer, Some(15));

    let (_, mixture, _) = anatomy(MIXTURE, 3, Detail::Experts);
    let experts = &mixture.chain.pieces()[2];
    assert_eq!(experts.name, "model.layers.0.experts");
    assert_eq!(experts.traffic.get(), experts.weights.get() / 8 * 6);
    assert_eq!(experts.flops, 3 * 2 * (experts.weights.get() / 2) / 8 * 2);
    assert_eq!((experts.state, mixture.parts[2].is_experts), (Bytes::ZERO, true));
}

#[test]
fn a_size_alone_cannot_be_split() {
    let model = Model::of_size("test", Bytes::new(1 << 30)).expect("positive");
    let workload = Workload::new(&model, None, 1, KvDtype::F16).expect("in range");
    let policy = Policy::of("generic").expect("known");
    let error = Anatomy::of(&model, &workload, policy, Detail::Layers).expect_err("no layers");
    assert!(error.to_string().contains("size alone"), "{error}");
}
