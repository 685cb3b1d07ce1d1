use proptest::prelude::*;

use super::{File, fault, read_bytes, two};

/// A header whose counts are those given, with nothing behind them.
fn counts(tensors: u64, keys: u64) -> Vec<u8> {
    [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &keys.to_le_bytes()].concat()
}

fn key(kind: u32, value: &[u8]) -> Vec<u8> {
    File::new("llama").key("k", kind, value.to_vec()).bytes()
}

fn array(kind: u32, count: u64) -> Vec<u8> {
    [kind.to_le_bytes().to_vec(), count.to_le_bytes().to_vec()].concat()
}

#[test]
fn hostile_headers_are_refused_with_the_reason() {
    let nested = (0..100).fold(array(4, 0), |inner, _| [array(9, 1), inner].concat());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "the magic number"),
        ("another format", b"GGML\x01\0\0\0".to_vec(), "does not start with GGUF"),
        ("version 0", b"GGUF\0\0\0\0".to_vec(), "version 0"),
        ("version 4", b"GGUF\x04\0\0\0".to_vec(), "version 4"),
        ("big-endian", b"GGUF\0\0\0\x03".to_vec(), "big-endian"),
        ("2^60 tensors", counts(1 << 60, 0), "claims"),
        ("2^60 keys", counts(0, 1 << 60), "claims"),
        ("2^16 keys that are not there", counts(0, 1 << 16), "a key"),
        ("value type 13", key(13, &[0; 8]), "unknown value type 13"),
        ("array of type 13", key(9, &array(13, 0)), "unknown value type 13"),
        ("2^60 numbers", key(9, &array(4, 1 << 60)), "claims"),
        ("2^62 words", key(9, &array(11, 1 << 62)), "claims"),
        ("2^60 strings", key(9, &array(8, 1 << 60)), "claims"),
        ("2^60 arrays", key(9, &array(9, 1 << 60)), "claims"),
        ("arrays in arrays", key(9, &nested), "too deep"),
        ("a string of 2^63 bytes", key(8, &(1_u64 << 63).to_le_bytes()), "claims"),
        ("a string in an array of 2^64 - 1", key(9, &[array(8, 1), vec![0xff; 8]].concat()), "claims"),
        ("alignment 0", File::new("llama").number("general.alignment", 0).bytes(), "power of two"),
        ("alignment 48", File::new("llama").number("general.alignment", 48).bytes(), "power of two"),
        ("alignment in words", File::new("llama").text("general.alignment", "32").bytes(), "a count"),
        ("a key twice", File::new("llama").number("k", 1).number("k", 2).bytes(), "stands twice"),
        ("9 dimensions", File::new("llama").tensor("w", &[1; 9], 0, 0).data(4).bytes(), "dimensions"),
        (
            "a name twice",
            File::new("llama").tensor("w", &[1], 0, 0).tensor("w", &[1], 0, 32).data(36).bytes(),
            "twice",
        ),
        (
            "overlap",
            File::new("llama").tensor("v", &[9], 0, 0).tensor("w", &[1], 0, 32).data(36).bytes(),
            "within",
        ),
        (
            "two in one place",
            File::new("llama").tensor("v", &[1], 0, 0).tensor("w", &[1], 0, 0).data(4).bytes(),
            "within",
        ),
        ("unaligned", File::new("llama").tensor("w", &[1], 0, 8).data(12).bytes(), "multiple of 32"),
        ("beyond the file", File::new("llama").tensor("w", &[1], 0, 32).data(4).bytes(), "behind the file"),
        ("offset 2^64 - 32", File::new("llama").tensor("w", &[9], 0, u64::MAX - 31).data(4).bytes(), "2^64"),
        (
            "2^62 x 2^62",
            File::new("llama").tensor("w", &[1 << 62, 1 << 62], 0, 0).data(4).bytes(),
            "overflows",
        ),
        ("2^62 words", File::new("llama").tensor("w", &[1 << 62], 0, 0).data(4).bytes(), "overflows"),
        ("nothing tells its size", File::new("llama").tensor("w", &[1], 99, 0).bytes(), "nothing tells"),
        ("2^31 layers", File::new("llama").number("llama.block_count", u32::MAX / 2).bytes(), "layers"),
        ("2^32 - 1 heads", File::new("llama").number("llama.attention.head_count", u32::MAX).bytes(), "2^31"),
        ("zeros", [counts(9, 0), vec![0; 999]].concat(), "without a name"),
        (
            "heads for another number of layers",
            File::new("llama")
                .number("llama.block_count", 3)
                .numbers("llama.attention.head_count", &[1, 2])
                .bytes(),
            "2 entries for 3 layers",
        ),
    ];
    for (what, content, fragment) in cases {
        let (_, _, reason) = fault(read_bytes(&content));
        assert!(reason.contains(fragment), "{what}: {reason}");
        assert!(reason.len() < 300, "{what}: {reason}");
    }
}

#[test]
fn a_file_cut_off_anywhere_within_its_header_is_refused() {
    let file = two().numbers("llama.rope.dimension_sections", &[1, 2]).number("llama.block_count", 0);
    let (header, whole) = (file.header().len(), file.bytes());
    for length in 0..whole.len() {
        let is_read = read_bytes(&whole[..length]).is_ok();
        // Between the header's end and the first byte of data it is a file without weights.
        let is_header_only = (header..=header.next_multiple_of(32)).contains(&length);
        assert_eq!(is_read, is_header_only, "{length} of {} bytes, header {header}", whole.len());
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), version in 1_u8..4) {
        let _ = read_bytes(&bytes);
        let _ = read_bytes(&[&[b'G', b'G', b'U', b'F', version, 0, 0, 0], &bytes[..]].concat());
    }

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let file = File::new("qwen3next")
            .number("qwen3next.block_count", 4)
            .number("qwen3next.embedding_length", 64)
            .numbers("qwen3next.attention.head_count", &[2, 2, 2, 2])
            .number("qwen3next.ssm.conv_kernel", 4)
            .number("qwen3next.nextn_predict_layers", 1)
            .texts("tokenizer.ggml.tokens", &["a", "b"])
            .tensor("blk.0.a", &[64, 2], 12, 0)
            .tensor("blk.1.a", &[32], 99, 128)
            .data(256);
        let mut bytes = file.bytes();
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(contents) = read_bytes(&bytes) {
            let length = u64::try_from(bytes.len()).unwrap();
            for tensor in contents.tensors {
                let end = tensor.offset.checked_add(tensor.bytes.get());
                let is_header_only = contents.notes.iter().any(|note| note.contains("no weights"));
                prop_assert!(is_header_only || end.is_some_and(|end| end <= length), "{tensor:?}");
            }
        }
    }
}
