//! A Core ML model made of random bytes is read or refused, and what it counts is what it holds or was told of.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ullage_core::model::Source;
use ullage_core::model::core_ml::{Blob, read};

fuzz_target!(|bytes: &[u8]| {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    // Blobs of any small size, each looked up at the offset that is its size.
    let mut told: u64 = 0;
    let mut find = |_: &str, offset: u64| {
        let bytes = offset % 4096;
        told = told.saturating_add(bytes);
        Ok(Blob { start: 0, bytes })
    };
    let Ok(contents) = read(&mut Source::new(Cursor::new(bytes), length), &mut find) else { return };
    let held = contents.tensors.iter().map(|tensor| tensor.bytes.get()).sum::<u64>();
    assert!(held <= length.saturating_add(told), "{held} bytes of tensors in a file of {length}");
    if let Some(graph) = contents.graph {
        for buffer in graph.buffers {
            assert!(buffer.lower < buffer.upper, "{buffer:?} is never there");
        }
    }
});
