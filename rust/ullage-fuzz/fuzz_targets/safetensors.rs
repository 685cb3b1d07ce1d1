//! Any bytes are a header or an error; a header that is taken describes its file to the last byte.
#![no_main]
#![allow(clippy::arithmetic_side_effects, reason = "an overflow is a panic, which is what fuzzing looks for")]

use libfuzzer_sys::fuzz_target;
use ullage_core::model::safetensors::read_header;

/// What is appended to the bytes given: the length of the data that nobody reads.
const DATA: [u64; 4] = [0, 4, 1 << 20, 100_000_000_000];

fuzz_target!(|input: &[u8]| {
    if let Some((&choice, file)) = input.split_first() {
        // The input as a whole file, and as the start of a larger one with an honest length field in front.
        check(file, u64::try_from(file.len()).unwrap_or(u64::MAX));
        let length = u64::try_from(file.len()).unwrap_or(u64::MAX);
        let framed = [&length.to_le_bytes(), file].concat();
        check(&framed, length + 8 + DATA[usize::from(choice) % DATA.len()]);
    }
});

fn check(file: &[u8], file_len: u64) {
    let Ok(header) = read_header(file, file_len) else { return };
    assert_eq!(header.file_bytes.get(), file_len);
    let mut end = file_len;
    for tensor in header.tensors.iter().rev() {
        assert_eq!(
            tensor.offset + tensor.bytes.get(),
            end,
            "{} does not end where the next begins",
            tensor.name
        );
        assert_eq!(
            u128::from(tensor.elements()) * u128::from(tensor.dtype.bits()),
            u128::from(tensor.bytes.get()) * 8
        );
        end = tensor.offset;
    }
    let prefix: [u8; 8] = file[..8].try_into().expect("a header has a length field");
    assert_eq!(end, 8 + u64::from_le_bytes(prefix), "the data starts behind the header");
}
