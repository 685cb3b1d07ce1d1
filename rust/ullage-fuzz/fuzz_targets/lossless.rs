//! Any bytes as a weight come back; any bytes as pieces give a typed error or a weight of the size that was asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ullage_core::Error;
use ullage_core::codec::{Lossless, Method, Packed, RawReader, Reading};
use ullage_core::model::Dtype;

const DTYPES: [(Dtype, usize); 3] = [(Dtype::BF16, 2), (Dtype::F16, 2), (Dtype::F32, 4)];

fuzz_target!(|input: (u8, u8, u16, Vec<Vec<u8>>)| {
    let (dtype, method, count, pieces) = input;
    let (dtype, width) = DTYPES[usize::from(dtype) % DTYPES.len()];
    let method = [Method::Entropy, Method::Fixed, Method::Lz4][usize::from(method) % 3];
    let scheme = Lossless { exponent_millibits: 2650, method };

    let parts: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let mut out = vec![0; usize::from(count) * width];
    let reading = Reading::of(out.len(), 1);
    let read = RawReader::new(scheme, dtype, &[u64::from(count)], &parts)
        .and_then(|reader| reader.read(0..usize::from(count), &mut out, reading));
    assert!(matches!(read, Ok(()) | Err(Error::Damaged { .. } | Error::Overflow { .. })), "{read:?}");

    let Some(bytes) = pieces.first() else { return };
    let bytes = &bytes[..bytes.len() / width * width];
    let packed = Packed::flat(bytes, dtype, scheme, 1).expect("whole elements are encoded");
    let mut back = vec![0; bytes.len()];
    let reader = packed.reader().expect("what was encoded can be read");
    reader.read(0..reader.elements(), &mut back, reading).expect("what was encoded is decoded");
    assert_eq!(back, bytes);
});
