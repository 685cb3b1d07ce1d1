#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::error::Error;
use crate::model::{Dtype, Format, Model, Tensor};

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/core_ml")
}

fn expected() -> serde_json::Map<String, Json> {
    let text = fs::read(data().join("expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn model(name: &str) -> Model {
    Model::open(&data().join(name)).unwrap()
}

fn tensor<'a>(model: &'a Model, name: &str) -> &'a Tensor {
    model.tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("{:?}", model.tensors))
}

/// The model file of a package, and its blobs looked up where they lie.
fn read_package(name: &str, bytes: &[u8]) -> Result<Contents, Failure> {
    let mut folder = Folder::of(&data().join(name).join("Data/com.apple.CoreML"));
    let length = u64::try_from(bytes.len()).unwrap();
    read(&mut Source::new(Cursor::new(bytes), length), &mut |name, at| folder.find(name, at))
}

fn model_bytes(name: &str) -> Vec<u8> {
    let path = data().join(name);
    fs::read(if path.is_dir() { path.join("Data/com.apple.CoreML/model.mlmodel") } else { path }).unwrap()
}

#[test]
fn every_package_holds_what_coremltools_says() {
    for (name, row) in expected() {
        let model = model(&name);
        assert_eq!(model.format, Some(Format::CoreMl), "{name}");
        assert_eq!(model.tensor_bytes().get(), row["bytes"].as_u64().unwrap(), "{name}: {:?}", model.tensors);
        let Some(dense) = row.get("dense") else { continue };
        let mut expanded = 0;
        for (weight, shape) in dense.as_object().unwrap() {
            let found = tensor(&model, weight);
            assert_eq!(serde_json::json!(found.shape), *shape, "{name}: {weight}");
            assert_eq!(found.parameters, found.elements(), "{name}: {weight}");
            expanded += 2 * found.elements();
        }
        assert_eq!(model.tensors.len(), dense.as_object().unwrap().len(), "{name}: {:?}", model.tensors);
        assert_eq!(model.expanded_bytes().get(), expanded, "{name}: of 16-bit floats");
        let is_dense = name.starts_with("dense");
        assert_eq!(model.quantization.is_none(), is_dense, "{name}: {:?}", model.quantization);
    }
}

#[test]
fn a_package_counts_its_model_and_its_weights() {
    let model = model("palettized4_16.mlpackage");
    let folder = data().join("palettized4_16.mlpackage/Data/com.apple.CoreML");
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    assert_eq!(model.file_bytes.get(), size("model.mlmodel") + size("weights/weight.bin"));
    assert_eq!(model.name, "palettized4_16");
}

#[test]
fn schemes_are_told_by_their_operations() {
    for (name, scheme, dtype) in [
        ("palettized4_16", "palettized 4 bit", Dtype::U4),
        ("palettized3_18", "palettized 3 bit", Dtype::U3),
        ("linear8_16", "linear 8 bit", Dtype::I8),
        ("linear4_block", "linear 4 bit", Dtype::I4),
        ("sparse16", "sparse", Dtype::F16),
        ("sparse_palettized", "sparse, palettized 4 bit", Dtype::U4),
        ("sparse_linear", "sparse, linear 8 bit", Dtype::I8),
        ("palettized_linear", "palettized 4 bit, linear 8 bit", Dtype::U4),
    ] {
        let model = model(&format!("{name}.mlpackage"));
        assert_eq!(model.quantization.as_deref(), Some(scheme), "{name}");
        let first = model.tensors.iter().find(|tensor| tensor.name.starts_with("first_weight")).unwrap();
        assert_eq!(first.dtype, dtype, "{name}");
        assert_eq!(first.expanded, Some(Bytes::new(2 * 16 * 64)), "{name}");
    }
    // 4 bits an index and 16 entries of 16 bits.
    let packed = model("palettized4_16.mlpackage");
    assert_eq!(tensor(&packed, "first_weight_0_to_fp16_palettized").bytes, Bytes::new(16 * 64 / 2 + 16 * 2));
}

#[test]
fn a_graph_follows_the_values_of_the_program() {
    let graph = model("palettized4_16.mlpackage").graph.unwrap();
    let rows: Vec<_> =
        graph.buffers.iter().map(|buffer| (buffer.size.bits / 8, buffer.lower, buffer.upper)).collect();
    // x, its cast, first, relu, second, concat, image, conv, and the cast to the output, which the caller reads.
    let expected = [
        (512, 0, 2),
        (256, 1, 3),
        (64, 2, 4),
        (64, 3, 5),
        (64, 4, 6),
        (256, 5, 7),
        (256, 6, 8),
        (128, 7, 9),
        (256, 8, 9),
    ];
    assert_eq!((rows, graph.unsized_values), (expected.to_vec(), 0));
}

#[test]
fn functions_share_their_weights() {
    let model = model("shared.mlpackage");
    let first = tensor(&model, "small.first_weight_0");
    let again = tensor(&model, "large.first_weight_0");
    assert_eq!((first.bytes.get() + again.bytes.get(), first.parameters + again.parameters), (2048, 1024));
    assert!(model.notes.iter().any(|note| note.starts_with("2 functions")), "{:?}", model.notes);
    assert!(model.notes.iter().any(|note| note.contains("shares its storage")), "{:?}", model.notes);
}

#[test]
fn a_state_is_no_activation() {
    let model = model("state.mlpackage");
    assert!(
        model.notes.contains(&"Its state, kept from call to call, takes 48 B.".to_owned()),
        "{:?}",
        model.notes
    );
    assert!(model.tensors.is_empty());
}

#[test]
fn networks_hold_their_weights_within() {
    let full = model("network.mlmodel");
    let names: Vec<_> = full.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.parameters)).collect();
    assert_eq!(names, [("dense.weights", 128), ("dense.bias", 16), ("last.weights", 256)]);
    let half = model("network16.mlmodel");
    assert_eq!(half.tensor_bytes(), Bytes::new(2 * 400));
    assert_eq!((half.parameters(), half.quantization.as_deref()), (Some(400), None));
    for bits in [8, 4] {
        let packed = model(&format!("network{bits}.mlmodel"));
        let dense = tensor(&packed, "last.weights");
        // A scale and a bias for each of 16 outputs.
        assert_eq!((dense.bytes.get(), dense.parameters), (256 * bits / 8 + 2 * 4 * 16, 256));
        assert_eq!(packed.quantization, Some(format!("quantized {bits} bit")));
    }
    let pipeline = model("pipeline.mlmodel");
    assert_eq!(pipeline.parameters(), Some(400));
    assert!(pipeline.tensors[0].name.ends_with("dense.weights"));
}

#[test]
fn a_package_cannot_lead_out_of_itself() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("Data")).unwrap();
    for (path, id) in
        [("../x", "a"), ("/etc/passwd", "a"), ("a\\b", "a"), ("", "a"), ("a/../../b", "a"), ("m", "b")]
    {
        let manifest =
            serde_json::json!({"rootModelIdentifier": id, "itemInfoEntries": {"a": {"path": path}}});
        fs::write(directory.path().join("Manifest.json"), manifest.to_string()).unwrap();
        match Model::open(directory.path()) {
            Err(Error::ModelFile { field, .. }) => assert!(field.is_some(), "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let mut folder = Folder::of(directory.path());
    for name in ["@model_path/../x", "/etc/passwd", "@model_path/", "..", "absent.bin"] {
        assert!(folder.find(name, 64).is_err(), "{name}");
    }
}

#[test]
fn blobs_that_lie_are_refused() {
    let name = "palettized4_16.mlpackage";
    let bytes = model_bytes(name);
    let length = u64::try_from(bytes.len()).unwrap();
    let refused = |blob: Blob| {
        let outcome = read(&mut Source::new(Cursor::new(&bytes), length), &mut |_, _| Ok(blob));
        matches!(outcome, Err(Failure::Fault(_)))
    };
    assert!(refused(Blob { start: 0, bytes: 0 }));
    assert!(refused(Blob { start: 0, bytes: u64::MAX }));
    let weights = fs::read(data().join(name).join("Data/com.apple.CoreML/weights/weight.bin")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (place, value) in [(64, 0), (72 + 6, 1), (80 + 6, 1)] {
        let mut changed = weights.clone();
        changed[place] = value;
        fs::write(directory.path().join("weight.bin"), changed).unwrap();
        assert!(Folder::of(directory.path()).find("weight.bin", 64).is_err(), "{place}");
    }
    let mut folder = Folder::of(directory.path());
    assert!(folder.find("weight.bin", u64::MAX).is_err());
}

#[test]
fn a_model_cut_off_anywhere_is_read_or_refused() {
    for name in expected().keys() {
        let bytes = model_bytes(name);
        for length in 0..bytes.len() {
            if let Ok(contents) = read_package(name, &bytes[..length]) {
                // Whole fields behind one another may be missing at the end and nothing says so.
                assert!(
                    contents.file_bytes.get() < u64::try_from(bytes.len()).unwrap(),
                    "{name} at {length}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_are_read_or_refused(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let names: Vec<_> = expected().keys().cloned().collect();
        let name = which.get(&names);
        let mut bytes = model_bytes(name);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read_package(name, &bytes);
    }
}
