//! Every interleaving of the lock and of its being taken over from the dead, by loom.

use std::sync::Arc;

use loom::sync::atomic::AtomicU64;
use loom::thread;

use super::layout::LOCK;
use super::lock::{Pauses, give_back, take, take_over};
use super::words::{Memory, Words};

const DEAD: u64 = 7;
/// What two processes have booked, and its sum, beside the lock.
const CELLS: [usize; 2] = [LOCK + 1, LOCK + 2];
const SUM: usize = LOCK + 3;

fn memory(holder: u64, sum: u64) -> Arc<[AtomicU64]> {
    let words = (0..=SUM).map(|at| match at {
        LOCK => holder,
        SUM => sum,
        _ => 0,
    });
    words.map(AtomicU64::new).collect()
}

fn rebuild(words: &Words) {
    words.store(SUM, words.load(CELLS[0]).wrapping_add(words.load(CELLS[1])));
}

/// What every process does: takes the lock, or takes it over and repairs, and books in its own cell and in the sum.
fn book(memory: Arc<[AtomicU64]>, process: usize) {
    let words = Words::new(Memory::Heap(memory));
    let own = [21, 22][process];
    let mut pauses = Pauses::default();
    while let Err(holder) = take(&words, own) {
        if holder == DEAD && take_over(&words, DEAD, own) {
            rebuild(&words);
            break;
        }
        pauses.pause();
    }
    words.store(CELLS[process], words.load(CELLS[process]).wrapping_add(10));
    words.store(SUM, words.load(SUM).wrapping_add(10));
    give_back(&words);
}

fn both_book(holder: u64, sum: u64) {
    let shared = memory(holder, sum);
    let other = shared.clone();
    let thread = thread::spawn(move || book(other, 1));
    book(shared.clone(), 0);
    thread.join().unwrap();
    let words = Words::new(Memory::Heap(shared));
    assert_eq!((words.load(SUM), words.load(LOCK)), (20, 0));
}

#[test]
fn loom_two_that_meet_at_the_lock_both_book() {
    loom::model(|| both_book(0, 0));
}

#[test]
fn loom_of_two_that_find_a_dead_holder_one_repairs_and_both_book() {
    loom::model(|| both_book(DEAD, 3));
}
