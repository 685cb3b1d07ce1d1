//! A shared ledger's file with random words in it is refused, or opened and used.
#![no_main]

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ullage_core::ledger::shared::SharedLedger;
use ullage_core::{Bytes, Error};

/// Words of the header, the state, the members and the first accounts, where most can go wrong.
const EARLY: u64 = 600;

/// The path of a ledger's file, and what stands in it when nothing was damaged.
fn made() -> &'static (String, Vec<u8>) {
    static MADE: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let name = "fuzz"; // one file, which the next run takes away
        SharedLedger::unlink(name).expect("no file, or that of an earlier run");
        let ledger = SharedLedger::open(name, Some(Bytes::new(1000))).expect("a new ledger");
        ledger.account("gpu/model", Some(Bytes::new(100))).expect("a new account");
        let path = ledger.path().to_str().expect("a plain path").to_owned();
        drop(ledger);
        let content = fs::read(&path).expect("what was made");
        (path, content)
    })
}

fuzz_target!(|input: (Vec<(bool, u32, u64)>, Option<u32>)| {
    let (path, content) = made();
    fs::write(path, content).expect("the file of this process");
    let file = fs::OpenOptions::new().write(true).open(path).expect("the file of this process");
    let words = content.len() as u64 / 8;
    for (is_early, at, value) in input.0 {
        let word = u64::from(at) % if is_early { EARLY } else { words };
        file.write_all_at(&value.to_ne_bytes(), word * 8).expect("a place in the file");
    }
    if let Some(length) = input.1 {
        file.set_len(u64::from(length) % (2 * content.len() as u64)).expect("a file may have any length");
    }
    match SharedLedger::open(path, Some(Bytes::new(1000))) {
        Ok(ledger) => use_it(&ledger),
        Err(Error::SharedFile { reason, .. }) => assert!(!reason.is_empty()),
        Err(Error::Argument { .. } | Error::SharedBusy { .. }) => {}
        Err(other) => panic!("{other}"),
    }
});

fn use_it(ledger: &SharedLedger) {
    let snapshot = ledger.snapshot().expect("an open ledger");
    assert!(!snapshot.accounts.is_empty());
    let used = ledger.root().used().expect("an open ledger");
    if let Ok(account) = ledger.account("gpu/other", None)
        && let Ok(held) = account.reserve(Bytes::new(3), "x")
    {
        assert!(ledger.root().used().expect("an open ledger") >= used);
        let _ = (held.resize(Bytes::new(7)), held.release());
    }
    if let Ok(waiter) = ledger.root().wait(Bytes::new(900), "x") {
        let _ = waiter.poll();
    }
    let _ = (ledger.root().holders(3), ledger.processes(), ledger.close());
}
