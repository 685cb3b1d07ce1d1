#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::safetensors::read_header;
use super::*;

/// A file of the format: the header's length, the header, `data` zero bytes.
fn file(json: &str, data: usize) -> Vec<u8> {
    let mut bytes = u64::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn entry(name: &str, dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

fn two_layers() -> Vec<u8> {
    let rows = [
        entry("embed.word.weight", "F16", "[10,4]", 0, 80),
        entry("blocks.0.dense.weight", "F32", "[4,4]", 80, 144),
        entry("blocks.1.dense.weight", "F32", "[4,4]", 144, 208),
        entry("position_ids", "I64", "[1,8]", 208, 272),
    ];
    file(&format!("{{{}}}", rows.join(",")), 272)
}

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

fn reason(outcome: Result<Model>) -> (Option<u64>, Option<String>, String) {
    match outcome {
        Err(Error::ModelFile { offset, field, reason, .. }) => (offset, field, reason),
        other => panic!("expected a fault in a file, found {other:?}"),
    }
}

#[test]
fn a_file_says_what_it_holds() {
    let directory = directory(&[("tiny.safetensors", &two_layers())]);
    let model = Model::open(&directory.path().join("tiny.safetensors")).unwrap();
    assert_eq!(model.name, "tiny");
    assert_eq!(model.tensor_bytes(), Bytes::new(272));
    assert_eq!(model.file_bytes.get(), u64::try_from(two_layers().len()).unwrap());
    assert_eq!(model.parameters(), Some(40 + 32), "the position table is a buffer");
    let parts: Vec<_> = model.parts().into_iter().map(|(part, bytes)| (part, bytes.get())).collect();
    let expected = [("embed.word", 80), ("blocks", 128), ("position_ids", 64)];
    assert_eq!(parts, expected.map(|(part, bytes)| (part.to_owned(), bytes)));
    assert_eq!(model.layers().len(), 2);
    assert_eq!(
        model.dtypes(),
        [(Dtype::F16, Bytes::new(80)), (Dtype::F32, Bytes::new(128)), (Dtype::I64, Bytes::new(64))]
    );
    assert_eq!(model.tensors[1].shape, [4, 4]);
}

#[test]
fn hostile_headers_are_refused_with_the_place_of_the_fault() {
    let claims = |length: u64| [length.to_le_bytes().to_vec(), vec![b'{'; 100]].concat();
    let one = |row: String, data| file(&format!("{{{row}}}"), data);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty file", vec![], "ends within the 8-byte header length"),
        ("seven bytes", vec![0; 7], "ends within the 8-byte header length"),
        ("claims 2^60 bytes", claims(1 << 60), "limit of 100000000"),
        ("claims all there is", claims(u64::MAX), "limit of 100000000"),
        ("a text", b"hello,\nworld".to_vec(), "begins with the text \"hello,\\nw\" where safetensors"),
        ("claims more than the file", claims(101), "the file has 108 in all"),
        ("not JSON", file("{\"a\":", 0), "not what the format asks for"),
        ("not UTF-8", [8_u64.to_le_bytes().to_vec(), vec![0xff; 8]].concat(), "not UTF-8"),
        ("a list", file("[]", 0), "not what the format asks for"),
        ("deep nesting", file(&"[".repeat(100_000), 0), "not what the format asks for"),
        ("unknown dtype", one(entry("w", "F3", "[1]", 0, 1), 1), "not what the format asks for"),
        ("negative shape", one(entry("w", "F32", "[-1]", 0, 4), 4), "not what the format asks for"),
        (
            "shape of 2^60 x 2^60",
            one(entry("w", "F32", &format!("[{0},{0}]", 1_u64 << 60), 0, 4), 4),
            "overflows",
        ),
        (
            "2^50 elements in 4 bytes",
            one(entry("w", "F32", &format!("[{}]", 1_u64 << 50), 0, 4), 4),
            "disagree",
        ),
        ("backwards", one(entry("w", "F32", "[1]", 4, 0), 4), "backwards"),
        ("a gap", one(entry("w", "F32", "[1]", 4, 8), 8), "gap"),
        (
            "overlap",
            one([entry("a", "U8", "[4]", 0, 4), entry("b", "U8", "[4]", 2, 6)].join(","), 6),
            "overlap",
        ),
        (
            "a name twice",
            one([entry("a", "U8", "[4]", 0, 4), entry("a", "U8", "[4]", 0, 4)].join(","), 4),
            "stands twice",
        ),
        ("half a byte", one(entry("w", "F4", "[3]", 0, 1), 1), "whole bytes"),
        ("data cut off", one(entry("w", "F32", "[4]", 0, 16), 15), "describes a file of"),
        ("data left over", one(entry("w", "F32", "[4]", 0, 16), 17), "describes a file of"),
        ("offsets beyond", one(entry("w", "U8", "[18446744073709551615]", 0, u64::MAX), 0), ""),
    ];
    for (what, content, fragment) in cases {
        let directory = directory(&[("bad.safetensors", &content)]);
        let path = directory.path().join("bad.safetensors");
        let (_, _, reason) = reason(Model::open(&path));
        assert!(reason.contains(fragment), "{what}: {reason}");
        assert!(reason.len() < 300, "{what}: {reason}");
    }
}

#[test]
fn the_tensor_at_fault_is_named() {
    let rows = [entry("good", "F32", "[1]", 0, 4), entry("bad", "F32", "[2]", 4, 8)];
    let directory = directory(&[("x.safetensors", &file(&format!("{{{}}}", rows.join(",")), 8))]);
    let (_, field, _) = reason(Model::open(&directory.path().join("x.safetensors")));
    assert_eq!(field.as_deref(), Some("bad"));
}

#[test]
fn a_header_is_read_without_its_data() {
    let length = 8 + 100 + (1_u64 << 40);
    let json = format!("{{{}}}", entry("w", "U8", &format!("[{}]", 1_u64 << 40), 0, 1 << 40));
    let padded = format!("{json:100}");
    let header = read_header(&file(&padded, 0)[..], length).unwrap();
    assert_eq!(header.tensors[0].bytes, Bytes::new(1 << 40));
    assert_eq!(header.tensors[0].offset, 108);
}

#[test]
fn shards_are_summed_through_the_index() {
    let first = file(&format!("{{{}}}", entry("a", "F32", "[1]", 0, 4)), 4);
    let second = file(&format!("{{{}}}", entry("b", "F32", "[2]", 0, 8)), 8);
    let index =
        br#"{"metadata":{"total_size":999},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#;
    let name = "model.safetensors.index.json";
    let complete = directory(&[("m-1.safetensors", &first), ("m-2.safetensors", &second), (name, index)]);
    for path in [complete.path().to_owned(), complete.path().join(name)] {
        let model = Model::open(&path).unwrap();
        assert_eq!(model.tensor_bytes(), Bytes::new(12), "the index's own total is not believed");
        assert_eq!(model.tensors.len(), 2);
    }

    let missing = directory(&[("m-1.safetensors", &first), (name, index)]);
    assert!(reason(Model::open(missing.path())).2.contains("missing"));
    let swapped = directory(&[("m-1.safetensors", &first), ("m-2.safetensors", &first), (name, index)]);
    assert!(reason(Model::open(swapped.path())).2.contains("two files"));
    let third = file(&format!("{{{}}}", entry("c", "F32", "[2]", 0, 8)), 8);
    let lying = directory(&[("m-1.safetensors", &first), ("m-2.safetensors", &third), (name, index)]);
    assert_eq!(reason(Model::open(lying.path())).1.as_deref(), Some("b"));
    let crossed = br#"{"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors"}}"#;
    let astray = directory(&[("m-1.safetensors", &first), ("m-2.safetensors", &second), (name, crossed)]);
    assert_eq!(reason(Model::open(astray.path())).1.as_deref(), Some("a"), "each in the other's shard");
    for hostile in [r#"{"weight_map":{"a":"../m-1.safetensors"}}"#, r#"{"weight_map":{"a":"/etc/passwd"}}"#] {
        let escape = directory(&[("m-1.safetensors", &first), (name, hostile.as_bytes())]);
        assert!(reason(Model::open(escape.path())).2.contains("not a file name beside the index"));
    }
    for hostile in [r#"{"weight_map":{}}"#, r#"{"weight_map":[]}"#, "{}", "", "[1"] {
        let broken = directory(&[("m-1.safetensors", &first), (name, hostile.as_bytes())]);
        reason(Model::open(broken.path()));
    }
}

#[test]
fn a_directory_is_a_model_only_if_it_is_plain_which() {
    let one = two_layers();
    let empty = directory(&[("readme.md", b"x")]);
    assert!(reason(Model::open(empty.path())).2.contains("without weights"));
    let single = directory(&[("anything.safetensors", &one)]);
    assert!(Model::open(single.path()).is_ok());
    let several = directory(&[("a.safetensors", &one), ("b.safetensors", &one)]);
    assert!(reason(Model::open(several.path())).2.contains("2 .safetensors files"));
    let a = file(&format!("{{{}}}", entry("a", "U8", "[1]", 0, 1)), 1);
    let b = file(&format!("{{{}}}", entry("b", "U8", "[1]", 0, 1)), 1);
    let set = directory(&[("m-00001-of-00002.safetensors", &a), ("m-00002-of-00002.safetensors", &b)]);
    assert_eq!(Model::open(set.path()).unwrap().tensors.len(), 2);
}

#[test]
fn what_is_not_there_is_an_io_error() {
    let directory = directory(&[]);
    assert!(matches!(Model::open(&directory.path().join("absent")), Err(Error::Io { .. })));
}

#[test]
fn sizes_without_files_are_checked() {
    assert!(matches!(Model::of_size("x", Bytes::ZERO), Err(Error::Argument { .. })));
    let odd = Model::of_size("x", Bytes::new(3)).unwrap();
    assert_eq!((odd.parameters(), odd.tensor_bytes()), (Some(2), Bytes::new(3)));
    let bytes = Bytes::new;
    assert!(matches!(Model::published("x", bytes(3), bytes(2), bytes(4), true), Err(Error::Argument { .. })));
}

#[test]
fn a_model_can_be_thought_of_in_other_sizes() {
    let directory = directory(&[("tiny.safetensors", &two_layers())]);
    let model = Model::open(&directory.path().join("tiny.safetensors")).unwrap();
    let half = model.clone().encoded("dense:f16".parse().unwrap()).unwrap();
    assert_eq!(half.tensor_bytes(), Bytes::new(80 + 32 + 32 + 64));
    assert_eq!(half.parameters(), model.parameters());
    let sized = model.clone().sized(Bytes::new(1_001)).unwrap();
    assert_eq!((sized.tensor_bytes(), sized.file_bytes), (Bytes::new(1_001), Bytes::new(1_001)));
    assert!(matches!(model.sized(Bytes::ZERO), Err(Error::Argument { name: "weights", .. })));
}

proptest! {
    #[test]
    fn random_bytes_are_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..200), length: u64) {
        let _ = read_header(&content[..], length);
    }

    /// One byte of a good file changed: an answer or a fault, never a panic, and never more data than the file has.
    #[test]
    fn a_flipped_byte_is_read_or_refused(place in 0..200_usize, value: u8) {
        let mut content = two_layers();
        content[place] = value;
        let length = u64::try_from(content.len()).unwrap();
        if let Ok(header) = read_header(&content[..], length) {
            let total: u64 = header.tensors.iter().map(|tensor| tensor.bytes.get()).sum();
            prop_assert!(total < length);
        }
    }
}
