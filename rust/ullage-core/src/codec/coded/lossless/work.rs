//! Work for several threads: shares made beforehand, taken by whoever is free, results in the order of the shares.

use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// Runs `act` on every share, on at most `threads` threads, this one among them. Where no thread can be started, it does all.
pub(super) fn each<T: Send, R: Send>(threads: usize, shares: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let helpers = threads.min(shares.len()).saturating_sub(1);
    if helpers == 0 {
        return shares.into_iter().map(act).collect();
    }
    let queue = Mutex::new(shares.into_iter().enumerate());
    let results = Mutex::new(Vec::new());
    let work = || {
        while let Some((place, share)) = take(&queue) {
            let result = act(share);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    scope(|scope| {
        for _ in 0..helpers {
            if Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|&(place, _)| place);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take<I: Iterator>(queue: &Mutex<I>) -> Option<I::Item> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}
