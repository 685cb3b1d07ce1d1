//! A program or weights made of random bytes are read or refused, and what is read lies in them.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ullage_core::model::{Contents, Source, executorch};

fuzz_target!(|input: &[u8]| {
    let length = u64::try_from(input.len()).unwrap_or(u64::MAX);
    let mut source = Source::new(Cursor::new(input), length);
    let Ok(Contents { tensors, .. }) = executorch::read(&mut source) else { return };
    for tensor in &tensors {
        let end = tensor.offset.checked_add(tensor.bytes.get());
        assert!(end.is_some_and(|end| end <= length), "{tensor:?} passes the end of {length} bytes");
    }
});
