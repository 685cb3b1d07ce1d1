#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

mod file;
mod hostile;
mod layers;
mod sets;

use file::{File, read_bytes};

use super::Failure;
use crate::error::Error;
use crate::model::{Contents, Dtype};
use crate::units::Bytes;

/// Two tensors of a llama without layers.
fn two() -> File {
    File::new("llama")
        .texts("tokenizer.ggml.tokens", &["a", "", "ccc"])
        .tensor("token_embd.weight", &[64, 10], 1, 0)
        .tensor("output.weight", &[64, 10], 2, 1280)
        .data(1280 + 360)
}

fn fault(outcome: Result<Contents, Failure>) -> (Option<u64>, Option<String>, String) {
    match outcome.expect_err("it should have been refused").at("x.gguf".as_ref()) {
        Error::ModelFile { offset, field, reason, .. } => (offset, field, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_version_gives_tensors_outermost_dimension_first() {
    for version in 1..=3 {
        let file = File::of_version(version, "llama");
        let file = file.texts("tokenizer.ggml.tokens", &["a", "", "ccc"]).number("llama.vocab_size", 7);
        let file = file.tensor("a.weight", &[64, 10], 2, 0).tensor("b", &[], 0, 384).data(388);
        let contents = file.read().unwrap();
        let [a, b] = &contents.tensors[..] else { panic!("{contents:?}") };
        assert_eq!(
            (a.shape.as_slice(), a.dtype, a.bytes, a.parameters),
            (&[10, 64][..], Dtype::Q4_0, Bytes::new(360), 640)
        );
        assert_eq!((b.shape.len(), b.bytes, b.offset - a.offset), (0, Bytes::new(4), 384));
        assert_eq!(a.offset, u64::try_from(file.header().len().next_multiple_of(32)).unwrap());
        assert_eq!(contents.file_bytes.get(), u64::try_from(file.bytes().len()).unwrap());
        assert_eq!(contents.architecture.unwrap().vocabulary, Some(3), "the tokens count, not the key");
    }
}

#[test]
fn the_vocabulary_is_that_of_the_first_who_knows() {
    let keyed =
        File::new("llama").number("llama.vocab_size", 7).tensor("token_embd.weight", &[4, 9], 0, 0).data(144);
    assert_eq!(keyed.read().unwrap().architecture.unwrap().vocabulary, Some(7));
    let bare = File::new("llama").tensor("token_embd.weight", &[4, 9], 0, 0).data(144);
    assert_eq!(bare.read().unwrap().architecture.unwrap().vocabulary, Some(9));
}

#[test]
fn every_type_of_the_table_takes_what_its_blocks_take() {
    // Elements and bytes of a block, by id: ggml-common.h.
    let blocks = [
        (0, 1, 4),
        (1, 1, 2),
        (2, 32, 18),
        (3, 32, 20),
        (6, 32, 22),
        (7, 32, 24),
        (8, 32, 34),
        (9, 32, 36),
        (10, 256, 84),
        (11, 256, 110),
        (12, 256, 144),
        (13, 256, 176),
        (14, 256, 210),
        (15, 256, 292),
        (16, 256, 66),
        (17, 256, 74),
        (18, 256, 98),
        (19, 256, 50),
        (20, 32, 18),
        (21, 256, 110),
        (22, 256, 82),
        (23, 256, 136),
        (24, 1, 1),
        (25, 1, 2),
        (26, 1, 4),
        (27, 1, 8),
        (28, 1, 8),
        (29, 256, 56),
        (30, 1, 2),
        (34, 256, 54),
        (35, 256, 66),
        (39, 32, 17),
        (40, 64, 36),
        (41, 128, 18),
        (42, 64, 18),
    ];
    for (kind, elements, bytes) in blocks {
        let exact = File::new("llama").tensor("w", &[elements * 3, 5], kind, 0).data(bytes * 15);
        let contents = exact.read().unwrap();
        assert_eq!(contents.tensors[0].bytes.get(), u64::try_from(bytes * 15).unwrap(), "type {kind}");
        assert!(contents.notes.is_empty(), "type {kind}: {:?}", contents.notes);
        assert!(exact.clone().data(bytes * 15 - 1).read().is_err(), "type {kind} cut off");
        if elements > 1 {
            let (_, field, reason) =
                fault(File::new("llama").tensor("w", &[elements * 3 + 1], kind, 0).data(999).read());
            assert!(field.as_deref() == Some("w") && reason.contains("blocks"), "type {kind}: {reason}");
        }
    }
}

#[test]
fn a_type_that_is_not_known_takes_what_lies_before_the_next_tensor() {
    for kind in [4, 5, 31, 33, 36, 38, 43, u32::MAX] {
        let file = File::new("llama").tensor("a", &[7], kind, 0).tensor("b", &[8], 0, 64).tensor(
            "c",
            &[9],
            kind,
            96,
        );
        let contents = file.data(96 + 11).read().unwrap();
        let bytes: Vec<u64> = contents.tensors.iter().map(|tensor| tensor.bytes.get()).collect();
        assert_eq!(bytes, [64, 32, 11]);
        assert_eq!(contents.tensors[0].dtype, Dtype::Unknown(kind));
        assert!(contents.notes[0].contains(&format!("number {kind}) and 1 more")), "{:?}", contents.notes);
    }
}

#[test]
fn tensors_may_stand_in_any_order_and_keep_the_one_of_the_header() {
    let file = File::new("llama").tensor("late", &[8], 0, 32).tensor("early", &[8], 0, 0).data(64);
    let contents = file.read().unwrap();
    assert_eq!(contents.tensors[0].name, "late");
    assert_eq!(contents.tensors[0].offset - contents.tensors[1].offset, 32);
}

#[test]
fn a_file_without_weights_is_read_and_says_so() {
    let file = two();
    for bytes in [file.header(), file.clone().data(0).bytes()] {
        let contents = read_bytes(&bytes).unwrap();
        assert_eq!(contents.tensors[1].bytes, Bytes::new(360));
        assert!(contents.notes[0].contains("holds no weights"), "{:?}", contents.notes);
    }
    let (_, field, reason) = fault(file.data(1).read());
    assert!(field.as_deref() == Some("token_embd.weight") && reason.contains("behind the file"), "{reason}");
}

#[test]
fn the_alignment_is_the_one_the_file_names() {
    let file =
        File::new("llama").alignment(4096).tensor("a", &[1], 0, 0).tensor("b", &[1], 0, 4096).data(4100);
    assert_eq!(file.read().unwrap().tensors[1].offset, 8192);
    let (_, field, _) = fault(file.tensor("c", &[1], 0, 4128).read());
    assert_eq!(field.as_deref(), Some("c"));
}
