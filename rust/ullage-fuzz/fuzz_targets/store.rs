//! A compressed file that lies: opened, checked and decoded, or one typed error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ullage_core::store::check;
use ullage_core::{Bytes, Error};

/// The most that one tensor may take decoded: of a short file nothing should be larger, a long row of zeros aside.
const MOST: Bytes = Bytes::new(1 << 22);

fuzz_target!(|data: &[u8]| {
    match check(data.to_vec(), MOST) {
        Ok(()) | Err(Error::ModelFile { .. } | Error::Argument { .. } | Error::Overflow { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
});
