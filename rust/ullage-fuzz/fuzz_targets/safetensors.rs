//! A `SafeTensors` header made of random bytes is read or refused, and what is read fills its file to the last byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ullage_core::model::safetensors::{Header, read_header};

fuzz_target!(|input: (u16, &[u8])| {
    let (data_len, json) = input;
    // As the file itself, of its true length and of a length that lies.
    check(json, wide(json.len()));
    check(json, u64::MAX);
    // Behind a length that fits, so that the JSON is reached, before data of any small length.
    let framed = [&wide(json.len()).to_le_bytes(), json].concat();
    check(&framed, wide(framed.len()).saturating_add(data_len.into()));
});

fn check(head: &[u8], file_len: u64) {
    let Ok(Header { tensors, file_bytes, .. }) = read_header(head, file_len) else { return };
    assert_eq!(file_bytes.get(), file_len);
    let end = tensors.iter().rev().fold(file_len, |end, tensor| {
        assert_eq!(
            tensor.offset.checked_add(tensor.bytes.get()),
            Some(end),
            "{tensor:?} leaves a gap or overlaps"
        );
        assert!(tensor.name.starts_with(tensor.part()), "{tensor:?} is part of {}", tensor.part());
        assert!(tensor.layer().is_none_or(|layer| tensor.name.starts_with(layer)));
        tensor.offset
    });
    let header_len = head.first_chunk().map(|prefix| u64::from_le_bytes(*prefix).saturating_add(8));
    assert_eq!(Some(end), header_len, "the data begins behind the header");
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
