#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use serde_json::json;

use super::*;
use crate::model::Dtype;
use crate::units::Bytes;

fn tensor(name: &str, dtype: Dtype, shape: &[u64]) -> Tensor {
    let elements = shape.iter().product();
    Tensor::plain(name.to_owned(), dtype, shape.to_vec(), 0, dtype.bytes_of(elements).unwrap())
}

/// What `unpack` makes of the tensors where no content can be read.
fn unpacked(mut tensors: Vec<Tensor>, settings: &serde_json::Value) -> (u64, Option<String>) {
    let scheme = unpack(&mut tensors, &Settings::of(settings), &mut |_, _| None);
    (tensors.iter().map(|tensor| tensor.parameters).sum(), scheme)
}

/// The linear layers of one block of Llama-3.1-8B: name, outputs, inputs.
const LINEAR: [(&str, u64, u64); 7] = [
    ("self_attn.q_proj", 4096, 4096),
    ("self_attn.k_proj", 1024, 4096),
    ("self_attn.v_proj", 1024, 4096),
    ("self_attn.o_proj", 4096, 4096),
    ("mlp.gate_proj", 14336, 4096),
    ("mlp.up_proj", 14336, 4096),
    ("mlp.down_proj", 4096, 14336),
];

/// Llama-3.1-8B with each linear layer as `packed` stores it.
fn llama(packed: impl Fn(&str, u64, u64) -> Vec<Tensor>) -> Vec<Tensor> {
    let mut tensors = vec![
        tensor("model.embed_tokens.weight", Dtype::BF16, &[128_256, 4096]),
        tensor("lm_head.weight", Dtype::BF16, &[128_256, 4096]),
        tensor("model.norm.weight", Dtype::BF16, &[4096]),
    ];
    for layer in 0..32 {
        for (name, outputs, inputs) in LINEAR {
            tensors.extend(packed(&format!("model.layers.{layer}.{name}"), outputs, inputs));
        }
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            let name = format!("model.layers.{layer}.{norm}.weight");
            tensors.push(tensor(&name, Dtype::BF16, &[4096]));
        }
    }
    tensors
}

const LLAMA: u64 = 8_030_261_248;

#[test]
fn an_unpacked_model_is_left_as_it_is() {
    let plain = llama(|name, out, inp| vec![tensor(&format!("{name}.weight"), Dtype::BF16, &[out, inp])]);
    assert_eq!(unpacked(plain, &json!({})), (LLAMA, None));
}

#[test]
fn gptq_tells_its_bits_from_its_zero_points() {
    for bits in [2, 3, 4, 8] {
        let packed = llama(|name, out, inp| {
            vec![
                tensor(&format!("{name}.qweight"), Dtype::I32, &[inp * bits / 32, out]),
                tensor(&format!("{name}.qzeros"), Dtype::I32, &[inp / 128, out * bits / 32]),
                tensor(&format!("{name}.scales"), Dtype::F16, &[inp / 128, out]),
                tensor(&format!("{name}.g_idx"), Dtype::I32, &[inp]),
            ]
        });
        for settings in [json!({}), json!({"quant_method": "gptq", "bits": bits, "group_size": 128})] {
            let scheme = Some(format!("gptq {bits} bit, group 128"));
            assert_eq!(unpacked(packed.clone(), &settings), (LLAMA, scheme));
        }
    }
}

#[test]
fn awq_packs_along_the_output() {
    let packed = llama(|name, out, inp| {
        vec![
            tensor(&format!("{name}.qweight"), Dtype::I32, &[inp, out / 8]),
            tensor(&format!("{name}.qzeros"), Dtype::I32, &[inp / 64, out / 8]),
            tensor(&format!("{name}.scales"), Dtype::F16, &[inp / 64, out]),
        ]
    });
    assert_eq!(unpacked(packed, &json!({})), (LLAMA, Some("awq 4 bit, group 64".to_owned())));
}

#[test]
fn marlin_tiles_hold_what_gptq_held() {
    let packed = llama(|name, out, inp| {
        vec![
            tensor(&format!("{name}.B"), Dtype::I32, &[inp / 16, out * 2]),
            tensor(&format!("{name}.s"), Dtype::F16, &[inp / 128, out]),
            tensor(&format!("{name}.workspace"), Dtype::I32, &[out / 128 * 16]),
        ]
    });
    assert_eq!(unpacked(packed, &json!({"bits": 4})), (LLAMA, Some("marlin 4 bit, group 128".to_owned())));
}

#[test]
fn bitsandbytes_describes_what_its_bytes_were() {
    let packed = llama(|name, out, inp| {
        let part = |end: &str, dtype, shape: &[u64]| tensor(&format!("{name}.weight{end}"), dtype, shape);
        vec![
            part("", Dtype::U8, &[out * inp / 2, 1]),
            part(".absmax", Dtype::U8, &[out * inp / 64]),
            part(".quant_map", Dtype::F32, &[16]),
            part(".nested_absmax", Dtype::F32, &[out * inp / 64 / 256]),
            part(".nested_quant_map", Dtype::F32, &[256]),
            part(".quant_state.bitsandbytes__nf4", Dtype::U8, &[190]),
        ]
    });
    assert_eq!(unpacked(packed, &json!({})), (LLAMA, Some("bitsandbytes nf4".to_owned())));
    let eight = llama(|name, out, inp| {
        vec![
            tensor(&format!("{name}.weight"), Dtype::I8, &[out, inp]),
            tensor(&format!("{name}.SCB"), Dtype::F32, &[out]),
            tensor(&format!("{name}.weight_format"), Dtype::U8, &[]),
        ]
    });
    assert_eq!(unpacked(eight, &json!({})), (LLAMA, Some("bitsandbytes int8".to_owned())));
}

#[test]
fn an_odd_weight_of_four_bits_is_counted_by_its_description() {
    let odd = [
        tensor("w.weight", Dtype::U8, &[53, 1]),
        tensor("w.weight.absmax", Dtype::F32, &[2]),
        tensor("w.weight.quant_state.bitsandbytes__fp4", Dtype::U8, &[20]),
    ];
    for (description, expected) in [
        (r#"{"shape":[7,15]}"#, 105),
        (r#"{"shape":[106]}"#, 106),
        (r#"{"shape":[7,14]}"#, 106),
        (r#"{"shape":[4294967296,4294967296,4]}"#, 106),
        ("{", 106),
    ] {
        let mut tensors = odd.to_vec();
        let mut peek = |_: &Tensor, place| (place == 2).then(|| description.as_bytes().to_vec());
        let scheme = unpack(&mut tensors, &Settings::default(), &mut peek);
        assert_eq!((tensors[0].parameters, scheme.as_deref()), (expected, Some("bitsandbytes fp4")));
        assert_eq!(tensors[1].parameters, 0);
    }
}

#[test]
fn gpt_oss_20b_has_its_published_parameters() {
    let bf16 = |name: &str, shape: &[u64]| tensor(name, Dtype::BF16, shape);
    let mut tensors = vec![
        bf16("model.embed_tokens.weight", &[201_088, 2880]),
        bf16("lm_head.weight", &[201_088, 2880]),
        bf16("model.norm.weight", &[2880]),
    ];
    for layer in 0..24 {
        let at = |name: &str| format!("model.layers.{layer}.{name}");
        for (name, rows) in [("gate_up_proj", 5760), ("down_proj", 2880)] {
            let expert = at(&format!("mlp.experts.{name}"));
            tensors.push(tensor(&format!("{expert}_blocks"), Dtype::U8, &[32, rows, 90, 16]));
            tensors.push(tensor(&format!("{expert}_scales"), Dtype::U8, &[32, rows, 90]));
            tensors.push(bf16(&format!("{expert}_bias"), &[32, rows]));
        }
        for (name, out, inp) in
            [("q_proj", 4096, 2880), ("k_proj", 512, 2880), ("v_proj", 512, 2880), ("o_proj", 2880, 4096)]
        {
            tensors.push(bf16(&at(&format!("self_attn.{name}.weight")), &[out, inp]));
            tensors.push(bf16(&at(&format!("self_attn.{name}.bias")), &[out]));
        }
        tensors.push(bf16(&at("mlp.router.weight"), &[32, 2880]));
        tensors.push(bf16(&at("mlp.router.bias"), &[32]));
        tensors.push(bf16(&at("self_attn.sinks"), &[64]));
        tensors.push(bf16(&at("input_layernorm.weight"), &[2880]));
        tensors.push(bf16(&at("post_attention_layernorm.weight"), &[2880]));
    }
    assert_eq!(unpacked(tensors, &json!({})), (20_914_757_184, Some("mxfp4".to_owned())));
}

#[test]
fn four_bit_floats_go_two_to_a_byte() {
    let nvfp4 = llama(|name, out, inp| {
        vec![
            tensor(&format!("{name}.weight"), Dtype::U8, &[out, inp / 2]),
            tensor(&format!("{name}.weight_scale"), Dtype::F8_E4M3, &[out, inp / 16]),
            tensor(&format!("{name}.weight_scale_2"), Dtype::F32, &[]),
            tensor(&format!("{name}.input_scale"), Dtype::F32, &[]),
            tensor(&format!("{name}.k_scale"), Dtype::F32, &[]),
        ]
    });
    assert_eq!(unpacked(nvfp4, &json!({})), (LLAMA, Some("nvfp4, group 16".to_owned())));
    let compressed = llama(|name, out, inp| {
        vec![
            tensor(&format!("{name}.weight_packed"), Dtype::U8, &[out, inp / 2]),
            tensor(&format!("{name}.weight_scale"), Dtype::F8_E4M3, &[out, inp / 16]),
            tensor(&format!("{name}.weight_global_scale"), Dtype::F32, &[1]),
            tensor(&format!("{name}.input_global_scale"), Dtype::F32, &[1]),
        ]
    });
    assert_eq!(unpacked(compressed, &json!({})), (LLAMA, Some("compressed-tensors nvfp4".to_owned())));
}

#[test]
fn compressed_tensors_fill_words_with_whole_weights() {
    let config = |bits: u64| {
        json!({"quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"num_bits": bits, "group_size": 32}}}})
    };
    let packed = llama(|name, out, inp| {
        vec![
            tensor(&format!("{name}.weight_packed"), Dtype::I32, &[out, inp / 8]),
            tensor(&format!("{name}.weight_scale"), Dtype::BF16, &[out, inp / 32]),
            tensor(&format!("{name}.weight_shape"), Dtype::I64, &[2]),
        ]
    });
    let scheme = Some("compressed-tensors 4 bit, group 32".to_owned());
    assert_eq!(unpacked(packed, &config(4)), (LLAMA, scheme));

    // Ten weights of three bits fill a word to the thirtieth bit, and 100 of them the tenth word.
    let mut odd = vec![
        tensor("w.weight_packed", Dtype::I32, &[2, 11]),
        tensor("w.weight_scale", Dtype::BF16, &[2, 1]),
        tensor("w.weight_shape", Dtype::I64, &[2]),
    ];
    let shape = [2_u64, 101].map(u64::to_le_bytes).concat();
    unpack(&mut odd, &Settings::of(&config(3)), &mut |_, place| (place == 2).then(|| shape.clone()));
    assert_eq!(odd[0].parameters, 202);
}

#[test]
fn eight_bit_weights_stand_one_by_one() {
    let cases = [
        (Dtype::F8_E4M3, "weight_scale_inv", [32, 32], "fp8, block 128x128"),
        (Dtype::F8_E4M3, "weight_scale", [1, 1], "fp8"),
        (Dtype::I8, "weight_scale", [4096, 1], "int8"),
        (Dtype::I8, "weight_scales", [4096, 1], "eetq int8"),
    ];
    for (dtype, scale, shape, scheme) in cases {
        let tensors = vec![
            tensor("a.weight", dtype, &[4096, 4096]),
            tensor(&format!("a.{scale}"), Dtype::F32, &shape),
            tensor("a.bias", Dtype::F16, &[4096]),
        ];
        assert_eq!(unpacked(tensors, &json!({})), (4096 * 4096 + 4096, Some(scheme.to_owned())));
    }
    // A height that the blocks do not divide: 576 rows in 5 blocks of 128.
    let latent = vec![
        tensor("a.weight", Dtype::F8_E4M3, &[576, 7168]),
        tensor("a.weight_scale_inv", Dtype::F32, &[5, 56]),
    ];
    assert_eq!(unpacked(latent, &json!({})), (576 * 7168, Some("fp8, block 128x128".to_owned())));
}

#[test]
fn mlx_tells_its_bits_module_by_module() {
    for bits in [2, 3, 4, 5, 6, 8] {
        let packed = llama(|name, out, inp| {
            vec![
                tensor(&format!("{name}.weight"), Dtype::U32, &[out, inp * bits / 32]),
                tensor(&format!("{name}.scales"), Dtype::BF16, &[out, inp / 64]),
                tensor(&format!("{name}.biases"), Dtype::BF16, &[out, inp / 64]),
            ]
        });
        let (parameters, scheme) = unpacked(packed, &json!({"bits": bits, "group_size": 64}));
        assert_eq!((parameters, scheme), (LLAMA, Some(format!("mlx {bits} bit, group 64"))));
    }
    let row = |name: &str, words, groups| {
        [
            tensor(&format!("{name}.weight"), Dtype::U32, &[1024, words]),
            tensor(&format!("{name}.scales"), Dtype::BF16, &[1024, groups]),
            tensor(&format!("{name}.biases"), Dtype::BF16, &[1024, groups]),
        ]
    };
    let mixed = [row("a", 512, 64), row("b", 768, 128), row("b2", 768, 128)].concat();
    let settings =
        json!({"bits": 4, "group_size": 64, "b": {"bits": 6, "group_size": 32}, "b2": {"group_size": 32}});
    let scheme = Some("mlx 6 bit, group 32 + mlx 4 bit, group 64".to_owned());
    assert_eq!(unpacked(mixed, &settings), (3 * 1024 * 4096, scheme));
}

#[test]
fn hqq_and_quanto_are_known_by_their_names() {
    let hqq = vec![
        tensor("a.W_q", Dtype::U8, &[2048, 4096]),
        tensor("a.scale", Dtype::F16, &[262_144, 1]),
        tensor("a.zero", Dtype::F16, &[262_144, 1]),
    ];
    let settings = json!({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}});
    assert_eq!(unpacked(hqq, &settings), (4096 * 4096, Some("hqq 4 bit, group 64".to_owned())));
    let quanto = vec![
        tensor("a.weight._data", Dtype::I8, &[64, 64]),
        tensor("a.weight._scale", Dtype::F32, &[64, 1]),
        tensor("a.input_scale", Dtype::F32, &[]),
        tensor("b.weight._data._data", Dtype::U8, &[32, 64]),
        tensor("b.weight._scale", Dtype::F32, &[64, 1]),
        tensor("b.weight._shift", Dtype::F32, &[64, 1]),
    ];
    let (parameters, _) = unpacked(quanto, &json!({"quant_method": "quanto", "weights": "int4"}));
    assert_eq!(parameters, 2 * 64 * 64);
}

#[test]
fn names_alone_do_not_make_a_scheme() {
    let strangers = vec![
        tensor("a.qweight", Dtype::I32, &[4, 4]),
        tensor("b.weight", Dtype::U8, &[4, 4]),
        tensor("c.B", Dtype::F32, &[4, 4]),
        tensor("d_blocks", Dtype::U8, &[4, 16]),
        tensor("d_scales", Dtype::U8, &[5]),
        tensor("e.weight", Dtype::U32, &[4, 4]),
        tensor("e.scales", Dtype::F16, &[4, 0]),
        tensor("f.qweight", Dtype::I32, &[1 << 61, 1]),
        tensor("f.scales", Dtype::F16, &[1, 1]),
    ]
    .into_iter()
    .map(|mut tensor| {
        tensor.bytes = Bytes::ZERO;
        tensor
    });
    let (parameters, scheme) = unpacked(strangers.collect(), &json!({"bits": 4}));
    assert_eq!((parameters, scheme), (16 + 1, None));
}
