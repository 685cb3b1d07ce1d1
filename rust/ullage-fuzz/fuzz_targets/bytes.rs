//! Any text is a byte count or a `Quantity` error; a count survives being shown and read back, to the precision shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ullage_core::Bytes;
use ullage_core::units::UnitError;

fuzz_target!(|text: &str| {
    match text.parse::<Bytes>() {
        Ok(count) => {
            assert_close(count, &count.decimal().to_string());
            assert_close(count, &count.binary().to_string());
            assert_eq!(
                count.get().to_string().parse::<Bytes>().ok(),
                Some(count),
                "the plain count is exact"
            );
        }
        Err(UnitError::Quantity { reason, .. }) => assert!(!reason.is_empty()),
        Err(other) => panic!("{text:?} gave {other:?}"),
    }
});

/// Two decimals of a number from 1 on are within 1/200 of it; 0.99995 GiB may be shown as 1.00.
fn assert_close(count: Bytes, shown: &str) {
    // At the very top the rounding goes up: 2^64 - 1 is shown as 16.00 EiB, which is 2^64.
    let read = shown.parse::<Bytes>().unwrap_or(Bytes::MAX).get();
    assert!(read.abs_diff(count.get()) <= count.get() / 190, "{count:?} is shown as {shown}");
}
