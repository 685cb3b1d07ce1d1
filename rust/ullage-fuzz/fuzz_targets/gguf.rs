//! A GGUF header made of random bytes is read or refused, and what is read lies within its file.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ullage_core::model::{Source, gguf};

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (version, data_len, rest) = input;
    check(rest);
    // Behind a start that fits, so that keys and tensors are reached, before data of any small length.
    let start = [&b"GGUF"[..], &(u32::from(version % 3) + 1).to_le_bytes(), rest].concat();
    check(&start);
    check(&[start, vec![0; data_len.into()]].concat());
});

fn check(file: &[u8]) {
    let length = u64::try_from(file.len()).unwrap_or(u64::MAX);
    let Ok(contents) = gguf::read(&mut Source::new(Cursor::new(file), length)) else { return };
    assert_eq!(contents.file_bytes.get(), length);
    let is_header_only = contents.notes.iter().any(|note| note.contains("no weights"));
    for tensor in &contents.tensors {
        let end = tensor.offset.checked_add(tensor.bytes.get());
        assert!(is_header_only || end.is_some_and(|end| end <= length), "{tensor:?} ends behind the file");
    }
}
