//! Files that lie, and files that were damaged.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::compressed;
use crate::error::Error;
use crate::store::{StoreFile, StoreOptions, WeightStore, check};
use crate::units::Bytes;

const MOST: Bytes = Bytes::new(1 << 20);

fn whole(scheme: &str) -> Vec<u8> {
    let folder = tempdir().unwrap();
    std::fs::read(compressed(&folder, scheme).1).unwrap()
}

/// The file with another header, made of the old one by `change`: first of the header itself, then of the list in it.
fn changed(bytes: &[u8], change: impl Fn(&mut Value, &mut Value)) -> Vec<u8> {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut list: Value =
        serde_json::from_str(header["__metadata__"]["ullage.tensors"].as_str().unwrap()).unwrap();
    change(&mut header, &mut list);
    if header["__metadata__"]["ullage.tensors"].is_string() {
        header["__metadata__"]["ullage.tensors"] = Value::String(list.to_string());
    }
    let text = header.to_string();
    [&u64::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes(), &bytes[8 + length..]].concat()
}

fn refused(bytes: Vec<u8>) -> String {
    match check(bytes, MOST) {
        Err(error @ (Error::ModelFile { .. } | Error::Damaged { .. })) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(()) => panic!("it was taken"),
    }
}

#[test]
fn a_header_that_lies_names_the_tensor_or_the_piece() {
    let bytes = whole("palettized:4,group=16");
    check(bytes.clone(), MOST).unwrap();
    let cases: BTreeMap<&str, Vec<u8>> = BTreeMap::from([
        ("version", changed(&bytes, |header, _| header["__metadata__"]["ullage.format"] = json!("2"))),
        ("list of compressed tensors is missing", {
            changed(&bytes, |header, _| {
                header["__metadata__"].as_object_mut().unwrap().remove("ullage.tensors");
            })
        }),
        ("not a list", changed(&bytes, |_, list| *list = json!({"a": 1}))),
        ("unknown field", changed(&bytes, |_, list| list[0]["more"] = json!(1))),
        ("is none of", changed(&bytes, |_, list| list[0]["scheme"] = json!("magic:4"))),
        ("no format of weights", changed(&bytes, |_, list| list[0]["dtype"] = json!("I32"))),
        ("\"F33\" is no format", changed(&bytes, |_, list| list[0]["dtype"] = json!("F33"))),
        ("\"nowhere\" is missing", changed(&bytes, |_, list| list[0]["pieces"][1] = json!("nowhere"))),
        ("of another tensor too", {
            changed(&bytes, |_, list| list[1]["pieces"] = list[0]["pieces"].clone())
        }),
        ("described twice", changed(&bytes, |_, list| list[1] = list[0].clone())),
        ("1 pieces", {
            changed(&bytes, |_, list| {
                list[0]["pieces"].as_array_mut().unwrap().pop();
            })
        }),
        (
            "the indices have 384 bytes, not 192",
            changed(&bytes, |_, list| list[0]["shape"] = json!([12, 32])),
        ),
        ("larger than 2^64", changed(&bytes, |_, list| list[0]["shape"] = json!([u64::MAX, u64::MAX]))),
        ("both compressed and as it was", changed(&bytes, |_, list| list[0]["name"] = json!("a.bias"))),
    ]);
    for (expected, bytes) in cases {
        let found = refused(bytes);
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn empty_shapes_take_nothing_whatever_their_other_dimensions() {
    let bytes = whole("palettized:4,group=16");
    let found = refused(changed(&bytes, |_, list| list[0]["shape"] = json!([0, 1_u64 << 60])));
    assert!(found.contains("indices have 384 bytes, not 0"), "{found}");
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let bytes = whole("linear:4,affine");
    for end in (0..bytes.len()).filter(|end| *end < 1200 || end % 37 == 0) {
        refused(bytes[..end].to_vec());
    }
}

#[test]
fn a_file_cut_while_it_is_open_is_an_error_and_no_signal() {
    let folder = tempdir().unwrap();
    let (_, out) = compressed(&folder, "linear:8");
    let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
    std::fs::OpenOptions::new().write(true).open(&out).unwrap().set_len(100).unwrap();
    for place in 0..store.file().entries().len() {
        let error = store.get(place, crate::store::Form::Native, std::time::Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("cut to 100 bytes"), "{error}");
    }
}

#[test]
fn what_is_no_file_is_an_error() {
    let folder = tempdir().unwrap();
    assert!(matches!(StoreFile::open(folder.path()), Err(Error::ModelFile { .. })));
    assert!(matches!(StoreFile::open(&folder.path().join("none")), Err(Error::Io { .. })));
    let empty = folder.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(StoreFile::open(&empty), Err(Error::ModelFile { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_file_with_any_bytes_changed_is_read_or_refused(
        scheme in proptest::sample::select(&["linear:4,affine", "palettized:4,group=16", "sparse:0.75", "dense:f16", "lossless", "lossless:fixed"][..]),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = whole(scheme);
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        match check(bytes, MOST) {
            Ok(()) | Err(Error::ModelFile { .. } | Error::Argument { .. } | Error::Overflow { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(bytes, MOST);
    }
}

#[test]
fn a_tensor_that_shares_bytes_shares_them_with_one_that_is_there() {
    let bytes = whole("palettized:4,group=16");
    let tie = |text: &str| changed(&bytes, |header, _| header["__metadata__"]["ullage.tied"] = json!(text));
    check(tie(r#"{"head": "a.weight", "of.head": "head", "b": "positions"}"#), MOST).unwrap();
    for (text, said) in [
        (r#"{"head": "nothing"}"#, "nothing"),
        (r#"{"a.weight": "b.weight"}"#, "a.weight"),
        (r#"{"positions": "positions"}"#, "positions"),
        (r#"["head"]"#, "ullage.tied"),
    ] {
        assert!(refused(tie(text)).contains(said), "{text}");
    }
}
