#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::model::Model;

const FILES: [&str; 7] =
    ["bare.pt", "checkpoint.pt", "dtypes.pt", "legacy.pt", "module.pt", "script.pt", "tied.pt"];

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/pytorch")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(data().join(name)).unwrap()
}

fn read_bytes(bytes: &[u8]) -> Result<Contents, Failure> {
    let length = u64::try_from(bytes.len()).unwrap();
    read(&mut Source::new(Cursor::new(bytes), length))
}

fn reason(outcome: Result<Contents, Failure>) -> String {
    match outcome {
        Err(Failure::Fault(fault)) => fault.at(Path::new("x")).to_string(),
        other => panic!("expected a fault, found {other:?}"),
    }
}

/// A legacy file of one pickle, and the storages behind it.
fn legacy(object: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    [&legacy::MAGIC[..], b"\x80\x02M\xe9\x03.", b"\x80\x02}.", object, keys, storages].concat()
}

/// A zip archive of stored entries.
fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    let short = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    let long = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    for (name, content) in entries {
        let sizes = [long(0), long(content.len()), long(content.len())].concat();
        let lengths = [short(name.len()), short(0)].concat();
        let start = bytes.len();
        bytes.extend(
            [b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0", &sizes[..], &lengths, name.as_bytes(), content].concat(),
        );
        directory.extend([b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0", &sizes[..], &lengths].concat());
        directory.extend([&[0; 10][..], &long(start), name.as_bytes()].concat());
    }
    let count = short(entries.len());
    let end =
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &long(directory.len()), &long(bytes.len()), b"\0\0"];
    [bytes.clone(), directory, end.concat()].concat()
}

#[test]
fn every_file_holds_what_pytorch_says() {
    let expected: Json = serde_json::from_slice(&file("expected.json")).unwrap();
    for name in FILES {
        let contents = open(&data().join(name)).unwrap();
        let expected = &expected[name];
        let bytes: u64 = contents.tensors.iter().map(|tensor| tensor.bytes.get()).sum();
        assert_eq!(bytes, expected["bytes"].as_u64().unwrap(), "{name}");
        let rows = expected["tensors"].as_object().unwrap();
        assert_eq!(contents.tensors.len(), rows.len(), "{name}: {:?}", contents.tensors);
        for tensor in &contents.tensors {
            let row = &rows[&tensor.name];
            assert_eq!(serde_json::json!(tensor.shape), row[1], "{name}: {}", tensor.name);
            let dtype = row[0].as_str().unwrap();
            let named = match dtype {
                "float8_e8m0fnu" => "F8_E8M0".to_owned(),
                "float8_e4m3fn" => "F8_E4M3".to_owned(),
                "qint8" => "I8".to_owned(),
                "bool" => "BOOL".to_owned(),
                other => other
                    .replace("bfloat", "BF")
                    .replace("float", "F")
                    .replace("complex", "C")
                    .replace("uint", "U")
                    .replace("int", "I")
                    .to_uppercase(),
            };
            assert_eq!(tensor.dtype.to_string(), named, "{name}: {}", tensor.name);
        }
    }
}

#[test]
fn storages_are_counted_once() {
    for name in ["tied.pt", "legacy.pt"] {
        let contents = open(&data().join(name)).unwrap();
        let of = |name: &str| {
            let tensor = contents.tensors.iter().find(|tensor| tensor.name == name).unwrap();
            (tensor.bytes.get(), tensor.parameters)
        };
        assert_eq!(of("embed.weight"), (64, 32));
        assert_eq!(of("lm_head.weight"), (0, 0));
        assert_eq!(of("layers.0.k"), (48, 6));
        assert_eq!(of("layers.0.v"), (0, 6), "the other half of the storage");
        assert_eq!(of("layers.0.row"), (0, 0), "a part of the first half");
        assert_eq!(of("layers.1.part"), (20, 3), "the file holds the whole storage");
        assert_eq!(of("repeated"), (4, 1), "one number, five times");
        assert_eq!(of("empty"), (0, 0));
        assert!(
            contents
                .notes
                .contains(&r#""lm_head.weight" shares its storage with "embed.weight"."#.to_owned())
        );
    }
}

#[test]
fn an_offset_points_at_the_first_element() {
    for name in ["tied.pt", "legacy.pt"] {
        let bytes = file(name);
        let contents = read_bytes(&bytes).unwrap();
        let tensor = contents.tensors.iter().find(|tensor| tensor.name == "layers.0.v").unwrap();
        let start = usize::try_from(tensor.offset).unwrap();
        assert_eq!(bytes[start..start + 4], 6.0_f32.to_le_bytes());
    }
}

#[test]
fn what_is_kept_to_train_on_is_no_parameter() {
    let contents = open(&data().join("checkpoint.pt")).unwrap();
    let model: u64 = contents.tensors.iter().map(|tensor| tensor.parameters).sum();
    assert_eq!(model, 3 * 2 + 2 + 2, "the linear layer and the history");
    assert!(contents.notes.iter().any(|note| note.contains("optimizer")), "{:?}", contents.notes);
}

#[test]
fn a_directory_may_hold_a_pytorch_model() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("training_args.bin"), b"x").unwrap();
    fs::write(directory.path().join("pytorch_model.bin"), file("tied.pt")).unwrap();
    let model = Model::open(directory.path()).unwrap();
    assert_eq!(model.format, Some(crate::model::Format::Pytorch));
    assert_eq!(model.tensor_bytes(), Bytes::new(136));
    assert_eq!(model.name, directory.path().file_name().unwrap().to_string_lossy());

    let shards = tempfile::tempdir().unwrap();
    fs::write(shards.path().join("pytorch_model-00001-of-00002.bin"), file("bare.pt")).unwrap();
    fs::write(shards.path().join("pytorch_model-00002-of-00002.bin"), file("checkpoint.pt")).unwrap();
    let set = Model::open(shards.path()).unwrap();
    let index = r#"{"weight_map":{"tensor":"pytorch_model-00001-of-00002.bin",
        "state_dict.bias":"pytorch_model-00002-of-00002.bin"}}"#;
    fs::write(shards.path().join("pytorch_model.bin.index.json"), index).unwrap();
    let indexed = Model::open(shards.path()).unwrap();
    assert_eq!(set.tensors, indexed.tensors);
    assert_eq!(
        set.file_bytes.get(),
        u64::try_from(file("bare.pt").len() + file("checkpoint.pt").len()).unwrap()
    );
}

#[test]
fn other_archives_are_told_by_their_kind() {
    let cases: [(Vec<u8>, &str); 9] = [
        (zipped(&[("arr_0.npy", b"x")]), ".npz"),
        (zipped(&[("a/serialized_exported_program.json", b"{}")]), ".pt2"),
        (zipped(&[("readme", b"x")]), "without data.pkl"),
        (zipped(&[]), "without data.pkl"),
        (zipped(&[("a/data.pkl", b"N."), ("a/data.pkl", b"N.")]), "stands twice"),
        (b"\x80\x04\x95\0\0\0\0\0\0\0\0N.".to_vec(), "bare pickle"),
        ([vec![b'x'; 257], b"ustar\0".to_vec()].concat(), "tar archive"),
        (b"PK\x03\x04".repeat(10), "cut off"),
        (b"GGUF".to_vec(), "not a file of torch.save"),
    ];
    for (bytes, expected) in cases {
        let reason = reason(read_bytes(&bytes));
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn hostile_pickles_are_refused() {
    let view = |size: &[u8], stride: &[u8], elements: &[u8]| {
        let storage =
            [b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu", elements, b"tQ"];
        [b"ctorch._utils\n_rebuild_tensor_v2\n", &storage.concat()[..], b"K\0", size, stride, b"\x89NtR."]
            .concat()
    };
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let one = |middle: &[u8]| [b"(", middle, b"t"].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "cut off"),
        (b"X\xff\xff\xff\xff".to_vec(), "cut off"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), "cut off"),
        (b".".to_vec(), "stack is empty"),
        (b"h\x05.".to_vec(), "read before it is written"),
        (b"t.".to_vec(), "no mark is open"),
        (b"(NN}u.".to_vec(), "stack is empty"),
        (b"}(Nu.".to_vec(), "key without its value"),
        (b"N(NNu.".to_vec(), "no dictionary"),
        (b"NNa.".to_vec(), "no list"),
        (b"\xff.".to_vec(), "no opcode"),
        (b"K\x01K\x02\x93.".to_vec(), "name is no text"),
        ([&b"]".repeat(100)[..], &b"a".repeat(99), b"."].concat(), "more than 64 deep"),
        (view(&one(b"K\x02"), &one(b"K\x01"), b"K\x03"), "the file holds 8"),
        (view(&one(b"K\x03"), &one(b"K\x01"), b"K\x02"), "ends at byte 12"),
        (view(&one(huge), &one(b"K\0"), b"K\x02"), ""),
        (view(&one(huge), &one(huge), b"K\x02"), "overflows"),
        (view(&one(b"J\xff\xff\xff\xff"), &one(b"K\x01"), b"K\x02"), "no count"),
        (view(&one(b""), &one(b"K\x01"), b"K\x02"), "ends at byte"),
        (view(&one(&b"K\x01".repeat(65)), &one(&b"K\x01".repeat(65)), b"K\x02"), "65 dimensions"),
    ];
    for (pickle, expected) in cases {
        let archive = zipped(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 8])]);
        match read_bytes(&archive) {
            Ok(contents) if expected.is_empty() => assert_eq!(contents.tensors[0].parameters, 1),
            outcome => {
                let reason = reason(outcome);
                assert!(reason.contains(expected), "{expected}: {reason}");
            }
        }
    }
    let missing = zipped(&[("a/data.pkl", &view(&one(b"K\x01"), &one(b"K\x01"), b"K\x02"))]);
    assert!(reason(read_bytes(&missing)).contains("no such storage"));
    let lying = legacy(&view(&one(b"K\x01"), &one(b"K\x01"), b"K\x02"), b"](X\x01\0\0\x000e.", &[9; 16]);
    assert!(reason(read_bytes(&lying)).contains("where the pickle says 2"));
}

#[test]
fn a_circle_is_walked_once() {
    // A list that holds itself, and a thousand times the same list.
    let pickle = [b"]q\0h\0a(", &b"h\0".repeat(1000)[..], b"e."].concat();
    let contents = read_bytes(&zipped(&[("data.pkl", &pickle)])).unwrap();
    assert!(contents.tensors.is_empty());
}

#[test]
fn a_few_bytes_cannot_name_countless_tensors() {
    // A tensor, and a list that holds it over and over.
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000NK\x02tQK\0K\x02\x85K\x01\x85tRq\x01";
    let pickle = [b"](", &tensor[..], &b"h\x01".repeat(1 << 18), b"e."].concat();
    let archive = zipped(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 8])]);
    assert!(reason(read_bytes(&archive)).contains("more than 262144 tensors"));
}

#[test]
fn storages_without_a_tensor_are_noted() {
    let contents = read_bytes(&zipped(&[("a/data.pkl", b"N."), ("a/data/0", &[0; 8])])).unwrap();
    assert_eq!(contents.notes, ["8 B in 1 storage(s) of the archive belong to no tensor."]);
    let big = read_bytes(&zipped(&[("a/data.pkl", b"N."), ("a/byteorder", b"big")])).unwrap();
    assert!(big.notes[0].contains("big-endian"));
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for name in FILES {
        let bytes = file(name);
        for length in 0..bytes.len() {
            assert!(read_bytes(&bytes[..length]).is_err(), "{name} at {length}");
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_are_read_or_refused(
        which in 0..FILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = file(FILES[which]);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(contents) = read_bytes(&bytes) {
            let held: u64 = contents.tensors.iter().map(|tensor| tensor.bytes.get()).sum();
            prop_assert!(held <= contents.file_bytes.get());
        }
    }

    #[test]
    fn random_pickles_are_read_or_refused(
        opcodes in prop::collection::vec(prop::sample::select(
            &b"(.0123NIJKLMRabcdeghijlopqrstu)]}\x80\x81\x85\x86\x87\x88\x8a\x8c\x90\x91\x92\x93\x94\x95QX\0\x01\n"[..]
        ), 0..200),
    ) {
        let _ = read_bytes(&zipped(&[("a/data.pkl", &opcodes), ("a/data/0", &[0; 8])]));
    }
}
