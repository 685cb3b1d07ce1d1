//! A file of `torch.save` made of random bytes is read or refused, and its tensors take no more bytes than it has.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ullage_core::model::Source;
use ullage_core::model::pytorch::read;

/// The pickles before the object of a legacy file: the magic number, a version, the sizes of integers.
const LEGACY: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&[LEGACY, bytes].concat());
    check(&zipped(&[("data.pkl", bytes), ("data/0", &[0; 64])]));
});

fn check(bytes: &[u8]) {
    let mut source = Source::new(Cursor::new(bytes), wide(bytes.len()));
    let Ok(contents) = read(&mut source) else { return };
    let held = contents.tensors.iter().map(|tensor| tensor.bytes.get()).sum::<u64>();
    assert!(held <= wide(bytes.len()), "{held} bytes of tensors in a file of {}", bytes.len());
    for tensor in &contents.tensors {
        assert!(tensor.offset <= wide(bytes.len()), "{tensor:?} lies outside the file");
    }
}

/// An archive of stored entries.
fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let start = long(bytes.len());
        let sizes = [long(0), long(content.len()), long(content.len())].concat();
        let lengths = [short(name.len()), short(0)].concat();
        bytes.extend(
            [b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0", &sizes[..], &lengths, name.as_bytes(), content].concat(),
        );
        directory.extend([b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0", &sizes[..], &lengths].concat());
        directory.extend([&[0; 10][..], &start, name.as_bytes()].concat());
    }
    let (count, size, start) = (short(entries.len()), long(directory.len()), long(bytes.len()));
    bytes.extend([&directory[..], b"PK\x05\x06\0\0\0\0", &count, &count, &size, &start, b"\0\0"].concat());
    bytes
}

fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

fn long(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
