//! A TFLite model made of random bytes is read or refused, and what is read lies in it.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ullage_core::model::{Contents, Source, tflite};

fuzz_target!(|input: &[u8]| {
    let length = u64::try_from(input.len()).unwrap_or(u64::MAX);
    let mut source = Source::new(Cursor::new(input), length);
    let Ok(Contents { tensors, graph, .. }) = tflite::read(&mut source) else { return };
    for tensor in &tensors {
        assert!(tensor.offset <= length, "{tensor:?} begins behind {length} bytes");
    }
    for buffer in graph.iter().flat_map(|graph| &graph.buffers) {
        assert!(buffer.lower < buffer.upper, "{buffer:?} is never kept");
    }
});
