//! An ONNX model made of random bytes is read or refused, and what is read lies in it.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ullage_core::model::{Contents, Source, onnx};

fuzz_target!(|input: &[u8]| {
    let length = u64::try_from(input.len()).unwrap_or(u64::MAX);
    let mut source = Source::new(Cursor::new(input), length);
    // Any file of external weights is there, and as long as the model.
    let Ok(Contents { tensors, file_bytes, .. }) = onnx::read(&mut source, &mut |_| Ok(length)) else {
        return;
    };
    assert!(file_bytes.get() >= length);
    for tensor in &tensors {
        assert!(tensor.offset <= file_bytes.get(), "{tensor:?} begins behind {file_bytes}");
        assert!(tensor.name.starts_with(tensor.part()), "{tensor:?} is part of {}", tensor.part());
    }
});
