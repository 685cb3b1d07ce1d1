use std::path::PathBuf;

use super::super::{Container, Plan, Scheme, compress as compress_model};
use super::*;
use crate::error::Error;
use crate::model::{Dtype, Model, Tensor};

fn rows(layers: &[(&str, &[u64])]) -> Network {
    let rows: Vec<LayerRow> = layers
        .iter()
        .enumerate()
        .map(|(place, &(kind, shape))| LayerRow {
            name: format!("layer{place}"),
            kind: kind.to_owned(),
            shape: shape.to_vec(),
            is_normed: None,
        })
        .collect();
    Network::from_rows(&rows).unwrap()
}

fn small() -> Network {
    rows(&[
        ("Conv2d", &[32, 3, 3, 3]),
        ("Conv2d", &[96, 32, 3, 3]),
        ("Conv2d", &[96, 1, 3, 3]),
        ("Conv2d", &[130, 96, 1, 1]),
        ("Linear", &[77, 130]),
    ])
}

fn plan(text: &str) -> Plan {
    let (text, threshold) = text.split_once(" > ").unwrap_or((text, "2048"));
    Plan { threshold: threshold.parse().unwrap(), ..Plan::new(text.parse().unwrap()) }
}

fn bytes(network: &Network, text: &str, target: Target) -> u64 {
    compress(network, &plan(text), target).unwrap().compressed.get()
}

/// What coremltools 9.0 wrote for these five layers with random weights.
#[test]
fn sizes_are_those_of_real_files() {
    use Target::{Ios16, Ios18};
    let network = small();
    for (text, target, expected) in [
        ("dense:f16", Ios16, 105_370),
        ("palettized:1", Ios16, 11_418),
        ("palettized:4", Ios16, 30_618),
        ("palettized:8", Ios16, 56_986),
        ("linear:8", Ios16, 56_794),
        ("linear:8,affine", Ios16, 56_794),
        ("linear:8,tensor", Ios16, 55_258),
        ("sparse:0.5", Ios16, 61_786),
        ("sparse:0.9", Ios16, 21_722),
        ("sparse:2:4", Ios16, 61_914),
        ("palettized:4 > 512", Ios16, 28_314),
        ("palettized:4 > 0", Ios16, 28_314),
        ("palettized:3", Ios18, 23_962),
        ("palettized:4,group=4", Ios18, 64_730),
        ("palettized:4,group=32", Ios18, 64_090),
        ("palettized:4,scale", Ios18, 48_154),
        ("palettized:4,lut=int8", Ios18, 30_618),
        ("palettized:4,group=16,vector=2", Ios18, 57_434),
        ("palettized:6,group=32,vector=4", Ios18, 56_858),
        ("linear:8", Ios18, 56_154),
        ("linear:4,tensor", Ios18, 30_234),
        ("linear:4", Ios18, 31_130),
        ("linear:4,affine", Ios18, 31_578),
        ("linear:4,block=32", Ios18, 46_362),
        ("linear:4,block=128", Ios18, 105_370),
        ("linear:4,affine,block=32", Ios18, 46_810),
        ("sparse:0.5+linear:8", Ios18, 37_658),
        ("sparse:0.75+palettized:6", Ios18, 21_658),
    ] {
        assert_eq!(bytes(&network, text, target), expected, "{text} for {target}");
    }
}

/// What coremltools 9.0 wrote for layers of awkward sizes with random weights: few elements, few channels, groups and blocks
/// that divide some of them alone, patterns that do not divide input channels, sparse weights that cannot be grouped.
#[test]
fn awkward_sizes_are_those_of_real_files() {
    use Target::{Ios16, Ios18};
    let network = rows(&[
        ("Conv2d", &[40, 7, 3, 3]),
        ("Conv2d", &[33, 40, 1, 1]),
        ("Conv2d", &[300, 1, 3, 3]),
        ("Conv2d", &[64, 1, 7, 7]),
        ("Conv2d", &[30, 33, 3, 3]),
        ("Linear", &[9, 300]),
        ("Linear", &[8, 512]),
        ("Linear", &[101, 100]),
        ("Linear", &[128, 96]),
        ("Linear", &[101, 100]),
        ("Conv2d", &[24, 3, 11, 11]),
    ]);
    for (text, target, expected) in [
        ("dense:f16", Ios16, 136_688),
        ("palettized:1", Ios16, 14_384),
        ("palettized:4", Ios16, 40_112),
        ("palettized:6", Ios18, 57_072),
        ("linear:8", Ios16, 75_056),
        ("linear:8,affine", Ios16, 75_248),
        ("linear:8,tensor", Ios16, 71_472),
        ("sparse:2:4", Ios16, 95_280),
        ("sparse:1:4", Ios18, 119_216),
        ("sparse:3:7", Ios18, 103_280),
        ("linear:8", Ios18, 73_776),
        ("linear:8,affine", Ios18, 75_248),
        ("palettized:3", Ios18, 30_704),
        ("palettized:4,group=8", Ios18, 92_080),
        ("palettized:4,group=16", Ios18, 114_096),
        ("palettized:2,group=4", Ios18, 79_728),
        ("palettized:4,scale", Ios18, 101_424),
        ("palettized:4,group=8,scale", Ios18, 216_560),
        ("linear:4", Ios18, 41_136),
        ("linear:4,affine,block=16", Ios18, 114_928),
        ("linear:8,block=32", Ios18, 121_456),
        ("linear:4,affine,tensor", Ios18, 38_832),
        ("sparse:0.5+linear:8", Ios18, 50_224),
        ("sparse:0.5+linear:4,affine", Ios18, 35_056),
        ("sparse:0.5+palettized:4,group=8", Ios18, 58_992),
    ] {
        assert_eq!(bytes(&network, text, target), expected, "{text} for {target}");
    }
}

/// The end of a file is not padded, so what comes last counts: of a sparse weight, the mask.
#[test]
fn the_last_constant_is_not_padded() {
    let network = rows(&[("Linear", &[16, 64]), ("Linear", &[16, 16]), ("Conv2d", &[8, 4, 3, 3])]); // its bias is inline
    assert_eq!(bytes(&network, "sparse:0.75 > 0", Target::Ios16), 1764);
    assert_eq!(bytes(&network, "sparse:0.75+palettized:4 > 0", Target::Ios18), 1568);
    assert_eq!(bytes(&network, "palettized:4 > 0", Target::Ios16), 1696);
}

/// A scheme, threshold, norms and overrides for a label of the truth file.
fn labelled(label: &str) -> Plan {
    let (trained, label) = label.strip_prefix("TT_").map_or((false, label), |rest| (true, rest));
    let (label, threshold) = label.split_once("_thr").unwrap_or((label, "2048"));
    let scheme = |text: &str| text.parse::<Scheme>().unwrap();
    let dense = |patterns: &[&str]| -> Vec<(String, Scheme)> {
        patterns.iter().map(|&pattern| (pattern.to_owned(), Scheme::F16)).collect()
    };
    let head = ["classifier*", "fc*"];
    let (label, overrides) = match label {
        _ if label.ends_with("_defaultpipe") => ("fp16", Vec::new()),
        _ if label.ends_with("_convonly") => (label.trim_end_matches("_convonly"), dense(&head)),
        _ if label.ends_with("_conv1x1only") => (
            label.trim_end_matches("_conv1x1only"),
            // Depthwise ones, the first and the classifier stay dense.
            dense(&["classifier*", "fc*", "conv1", "*.conv.1.0", "features.1.conv.0.0"]),
        ),
        _ => (label, Vec::new()),
    };
    Plan {
        overrides,
        threshold: threshold.parse().unwrap(),
        norms: if trained { Norms::Kept } else { Norms::Folded },
        ..Plan::new(scheme(&text_of(label)))
    }
}

fn text_of(label: &str) -> String {
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let one = |label: &str| -> String {
        if label == "fp16" {
            return "dense:f16".to_owned();
        }
        if let Some(pattern) = label.strip_prefix("sparse_nm_") {
            return format!("sparse:{}", pattern.replace('_', ":"));
        }
        if let Some(percent) = label.strip_prefix("sparse") {
            return format!("sparse:0.{percent}");
        }
        if let Some(rest) = label.strip_prefix("vpal") {
            let parts: Vec<&str> = rest.split('_').collect();
            return format!("palettized:{},group={},vector={}", parts[0], &parts[2][1..], &parts[1][2..]);
        }
        if let Some(rest) = label.strip_prefix("pal") {
            let (bits, option) = rest.split_at(number(rest));
            let option = match option {
                "" | "_pt" => String::new(),
                "_pcs" => ",scale".to_owned(),
                "+lut_int8" => ",lut=int8".to_owned(),
                group => format!(",group={}", &group[2..]),
            };
            return format!("palettized:{bits}{option}");
        }
        let rest = label.trim_start_matches('u').strip_prefix("int").unwrap();
        let parts: Vec<&str> = rest.split('_').collect();
        let affine = if parts.contains(&"aff") { ",affine" } else { "" };
        let granularity = match parts.get(2) {
            None | Some(&"pc") => String::new(),
            Some(&"pt") => ",tensor".to_owned(),
            Some(block) => format!(",block={}", &block[1..]),
        };
        format!("linear:{}{affine}{granularity}", parts[0])
    };
    match label.split_once('+') {
        Some((sparse, kept)) if sparse.starts_with("sparse") => format!("{}+{}", one(sparse), one(kept)),
        _ => one(label),
    }
}

fn networks(data: &std::path::Path) -> std::collections::HashMap<String, Network> {
    let text = std::fs::read_to_string(data.join("coreml_layers.json")).unwrap();
    let parsed: std::collections::HashMap<String, Vec<(String, String, Vec<u64>)>> =
        serde_json::from_str(&text).unwrap();
    let mut networks: std::collections::HashMap<String, Network> = parsed
        .into_iter()
        .map(|(name, layers)| {
            let rows: Vec<LayerRow> = layers
                .into_iter()
                .map(|(name, kind, shape)| LayerRow { name, kind, shape, is_normed: None })
                .collect();
            (name, Network::from_rows(&rows).unwrap())
        })
        .collect();
    networks.insert("small_conv".to_owned(), small());
    networks
}

/// Every row of the file of real sizes, where there is one: exact, or within 0.1 % where magnitudes decide.
#[test]
fn every_real_file_is_met() {
    let Some(data) = std::env::var_os("ULLAGE_DATA").map(PathBuf::from) else { return };
    let networks = networks(&data);
    let text = std::fs::read_to_string(data.join("coreml_truth.csv")).unwrap();
    let (mut exact, mut near) = (0, 0);
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let target = if cells[1] == "iOS16" { Target::Ios16 } else { Target::Ios18 };
        let network = &networks[cells[0]];
        let mut plan = labelled(cells[2]);
        plan.overrides.retain(|(pattern, scheme)| {
            let plan = Plan { overrides: vec![(pattern.clone(), *scheme)], ..Plan::new(*scheme) };
            plan.check(&network.layers.iter().map(|layer| layer.name.as_str())).is_ok()
        });
        let found = compress(network, &plan, target).unwrap();
        let (found, expected): (u64, u64) = (found.compressed.get(), cells[3].parse().unwrap());
        let is_pruned = cells[2].starts_with("sparse") && !cells[2].contains("nm");
        if found == expected {
            exact += 1;
        } else {
            near += 1;
            assert!(is_pruned, "{line}: {found}");
            assert!(found > expected && (found - expected) * 1000 <= expected, "{line}: {found}");
        }
    }
    assert_eq!((exact > 100, near < exact / 4), (true, true), "{exact} exact, {near} near");
}

fn tensors(rows: &[(&str, &[u64])]) -> Model {
    let mut model = Model::of_size("m", Bytes::new(2)).unwrap();
    let tensor = |&(name, shape): &(&str, &[u64])| {
        let bytes = Dtype::F32.bytes_of(shape.iter().product()).unwrap();
        Tensor::plain(name.to_owned(), Dtype::F32, shape.to_vec(), 0, bytes)
    };
    model.tensors = rows.iter().map(tensor).collect();
    model
}

/// A module's state as PyTorch saves it, sorted by name: the norm folds into the convolution before it.
#[test]
fn norms_of_a_checkpoint_fold() {
    let model = tensors(&[
        ("bn.bias", &[40]),
        ("bn.running_mean", &[40]),
        ("bn.running_var", &[40]),
        ("bn.weight", &[40]),
        ("conv.weight", &[40, 16, 3, 3]),
        ("fc.bias", &[10]),
        ("fc.weight", &[10, 40]),
    ]);
    let found = compress_model(&model, &plan("palettized:4"), Container::CoreMl(Target::Ios16)).unwrap();
    let expected = rows(&[("Conv2d", &[40, 16, 3, 3]), ("Linear", &[10, 40])]);
    assert_eq!(found.compressed.get(), bytes(&expected, "palettized:4", Target::Ios16));
    let names: Vec<&str> = found.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]);
    let kept = Plan { norms: Norms::Kept, ..plan("palettized:4") };
    let kept = compress_model(&model, &kept, Container::CoreMl(Target::Ios16)).unwrap();
    assert_eq!(kept.compressed.get(), found.compressed.get() + 3 * (64 + 128));
}

/// Linear layers without a bias get zeros, which are stored once; embeddings get none.
#[test]
fn a_transformer_is_laid_out_as_converted() {
    let model = tensors(&[
        ("embedding.weight", &[4000, 512]),
        ("q.weight", &[512, 512]),
        ("k.weight", &[512, 512]),
        ("up.bias", &[2048]),
        ("up.weight", &[2048, 512]),
        ("norm.weight", &[512]),
        ("norm.bias", &[512]),
    ]);
    let found = compress_model(&model, &plan("dense:f16"), Container::CoreMl(Target::Ios18)).unwrap();
    let data = 2 * (4000 * 512 + 2 * 512 * 512 + 512 + 2048 * 512 + 2048 + 2 * 512);
    assert_eq!(found.compressed.get(), 64 + data + 8 * 64);
    assert_eq!(found.dense, found.compressed);
}

#[test]
fn a_pattern_that_matches_nothing_is_refused() {
    let plan = Plan { overrides: vec![("layer9*".to_owned(), Scheme::F16)], ..plan("linear:8") };
    match compress(&small(), &plan, Target::Ios18) {
        Err(Error::Argument { name: "overrides", reason }) => assert!(reason.contains("layer9*"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn small_constants_stand_in_the_program() {
    let network = rows(&[("Linear", &[2, 4])]);
    assert_eq!(bytes(&network, "dense:f16", Target::Ios18), 0);
    let network = rows(&[("Linear", &[9, 4000])]);
    assert_eq!(bytes(&network, "dense:f16", Target::Ios18), 128 + 72_000);
}

#[test]
fn what_a_target_lacks_is_said() {
    let network = small();
    for text in
        ["palettized:3", "palettized:4,group=16", "linear:4", "linear:8,block=32", "sparse:0.5+linear:8"]
    {
        match compress(&network, &plan(text), Target::Ios16) {
            Err(Error::Argument { name: "scheme", reason }) => assert!(reason.contains("iOS 18"), "{reason}"),
            other => panic!("{text}: {other:?}"),
        }
        assert!(compress(&network, &plan(text), Target::Ios18).is_ok(), "{text}");
    }
    for text in ["gguf:q4_k", "lossless", "dense:f32"] {
        assert!(
            matches!(compress(&network, &plan(text), Target::Ios18), Err(Error::Argument { .. })),
            "{text}"
        );
    }
}

#[test]
fn sizes_beyond_64_bits_are_refused() {
    let huge = rows(&[("Linear", &[u64::MAX / 2, 2])]);
    assert!(matches!(compress(&huge, &plan("dense:f16"), Target::Ios18), Err(Error::Overflow { .. })));
    let row = LayerRow {
        name: "w".to_owned(),
        kind: "Linear".to_owned(),
        shape: vec![u64::MAX, u64::MAX],
        is_normed: None,
    };
    let huger = Network::from_rows(&[row]).unwrap();
    assert!(matches!(compress(&huger, &plan("linear:8"), Target::Ios18), Err(Error::Overflow { .. })));
    let empty = rows(&[("Linear", &[0, 5]), ("Conv2d", &[4, 0, 3, 3])]);
    for text in ["dense:f16", "palettized:4,group=16", "linear:4,block=32", "sparse:2:4"] {
        assert!(bytes(&empty, text, Target::Ios18) <= 64, "{text}");
    }
}

/// Programs of real packages: what decompression adds is within 1 % of the program.
#[test]
fn programs_are_nearly_so_large() {
    let network = rows(&[("Conv2d", &[64_u64, 64, 3, 3][..]); 54]);
    for (text, target, expected) in [
        ("palettized:2", Target::Ios16, 86_201),
        ("palettized:4", Target::Ios16, 87_438),
        ("linear:8", Target::Ios16, 91_490),
        ("sparse:0.5", Target::Ios18, 86_787),
        ("linear:4,affine", Target::Ios18, 92_161),
        ("sparse:0.5+linear:8", Target::Ios18, 115_781),
    ] {
        let found = compress(&network, &plan(text), target).unwrap().program.unwrap();
        let bytes = found.bytes(Some(Bytes::new(79_786))).unwrap().get();
        assert!(bytes.abs_diff(expected) * 100 <= expected, "{text}: {bytes} for {expected}");
    }
}
