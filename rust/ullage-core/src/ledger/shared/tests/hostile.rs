//! Files of random words: refused with an error, or opened and used without a panic.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::machine::{Machine, SMALL, SURROUNDINGS};
use crate::error::Error;
use crate::ledger::shared::SharedLedger;
use crate::ledger::shared::header::{check, check_tables};
use crate::ledger::shared::layout::{CHECKSUM_WORD, COUNT, MAGIC};
use crate::units::Bytes;

/// A machine with some accounts and bookings, of processes that live and that do not.
fn used_machine() -> Machine {
    let machine = Machine::new();
    let first = machine.process(1);
    let account = first.account("gpu/model", Some(Bytes::new(50))).unwrap();
    std::mem::forget(account.reserve(Bytes::new(40), "x").unwrap());
    std::mem::forget(
        account.wait(Bytes::new(50), "x").map(|waiter| waiter.poll().map(|_| std::mem::forget(waiter))),
    );
    machine.kill(1, &first);
    machine
}

/// Everything that a caller may do with whatever was opened.
fn use_it(machine: &Machine) {
    let book = machine.book(2);
    match book.open() {
        Err(Error::SharedFile { offset, .. }) => return assert!(offset.is_some()),
        Err(Error::SharedBusy { .. }) => return,
        other => other.unwrap(),
    }
    let Ok(ledger) = SharedLedger::of(book, None) else { return };
    let _ = (ledger.snapshot(), ledger.processes(), ledger.root().holders(5), ledger.root().available());
    if let Ok(account) = ledger.account("gpu/other", None) {
        if let Ok(held) = account.reserve(Bytes::new(3), "x") {
            let _ = (held.resize(Bytes::new(2)), held.release());
        }
        if let Ok(waiter) = account.wait(Bytes::new(3), "x") {
            let _ = waiter.poll();
        }
    }
    let _ = ledger.close();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn words_overwritten_anywhere_give_an_error_or_a_ledger(
        changes in prop::collection::vec((0..SMALL.words(), prop_oneof![any::<u64>(), 0..600_u64]), 1..8),
    ) {
        let machine = used_machine();
        for (at, value) in changes {
            machine.word(at).store(value, Ordering::Relaxed);
        }
        use_it(&machine);
    }

    #[test]
    fn words_overwritten_while_it_is_open_give_an_error_or_an_answer(
        changes in prop::collection::vec((0..SMALL.words(), prop_oneof![any::<u64>(), 0..600_u64]), 1..8),
    ) {
        let machine = used_machine();
        let ledger = machine.process(3);
        let account = ledger.account("gpu/model", None).unwrap();
        let held = account.reserve(Bytes::new(5), "x").unwrap();
        for (at, value) in changes {
            machine.word(at).store(value, Ordering::Relaxed);
        }
        let _ = (held.resize(Bytes::new(9)), account.reserve(Bytes::new(1), "x"), ledger.snapshot());
        let _ = (ledger.account("new/one", None).map(drop), account.used(), held.release(), ledger.processes());
        use_it(&machine);
    }

    #[test]
    fn a_header_of_random_words_is_refused(words in prop::collection::vec(any::<u64>(), CHECKSUM_WORD + 1)) {
        let machine = Machine::new();
        for (at, value) in words.into_iter().enumerate() {
            machine.word(at).store(value, Ordering::Relaxed);
        }
        machine.word(0).store(MAGIC, Ordering::Relaxed);
        let book = machine.book(1);
        prop_assert!(check(&book.words, SMALL, &SURROUNDINGS).is_err());
    }
}

#[test]
fn tables_cut_short_at_any_word_are_refused_or_sound() {
    for at in COUNT..SMALL.words() {
        let machine = used_machine();
        for word in at..SMALL.words() {
            machine.word(word).store(0, Ordering::Relaxed);
        }
        let is_sound = check_tables(&machine.book(9).words, SMALL).is_ok();
        assert!(is_sound || at < SMALL.account(3, 0), "word {at}");
        use_it(&machine);
    }
}
