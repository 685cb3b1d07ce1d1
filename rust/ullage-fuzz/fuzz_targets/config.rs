//! A configuration made of random bytes is read or refused, and what it describes adds up to the last byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ullage_core::model::Model;

fuzz_target!(|text: &str| {
    let Ok(model) = Model::from_config("fuzz", text) else { return };
    let end = model.tensors.iter().fold(0, |end, tensor| {
        assert_eq!(tensor.offset, end, "{tensor:?} leaves a gap or overlaps");
        assert!(!tensor.bytes.is_zero(), "{tensor:?} is empty");
        assert!(tensor.parameters >= 1 || tensor.elements() >= 1);
        end.saturating_add(tensor.bytes.get())
    });
    assert_eq!((end, model.tensor_bytes()), (model.file_bytes.get(), model.file_bytes));
});
