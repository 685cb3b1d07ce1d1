//! Work without the interpreter, made safe for a fork and for the interpreter's end.
//!
//! A thread that works detached may hold a lock of a ledger while another forks: in the child nobody would ever open
//! it. So a fork waits until nobody is detached, and work that begins meanwhile stays attached. And a daemon thread
//! that comes back to an interpreter which has ended is killed on the way by CPython before 3.14, in the middle of Rust:
//! so it never comes back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Threads that are detached.
static DETACHED: AtomicUsize = AtomicUsize::new(0);
/// Those of them that stay so for ever.
static PARKED: AtomicUsize = AtomicUsize::new(0);
/// Threads that are about to fork.
static FORKING: AtomicUsize = AtomicUsize::new(0);
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// How long a fork or the end waits for work that was begun: a callback that forks would wait for itself.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_micros(200);

struct Inside;

impl Inside {
    fn enter() -> Self {
        DETACHED.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // In the child of a fork that did not wait, nobody may be left to count.
        let _ = DETACHED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
    }
}

/// Runs `act` with the interpreter released.
pub(crate) fn detached<T: Send>(py: Python<'_>, act: impl FnOnce() -> T + Send) -> T {
    if is_forking() {
        return act();
    }
    let inside = Inside::enter();
    let outcome = py.detach(|| {
        let outcome = act();
        if IS_ENDING.load(Ordering::SeqCst) {
            PARKED.fetch_add(1, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        }
        outcome
    });
    drop(inside);
    outcome
}

/// Whether a thread is about to fork: nothing that blocks may begin.
pub(crate) fn is_forking() -> bool {
    FORKING.load(Ordering::SeqCst) > 0
}

/// Lets other threads run.
pub(crate) fn pause(py: Python<'_>) {
    py.detach(|| std::thread::sleep(PAUSE));
}

fn wait_for_all(py: Python<'_>) {
    let begun = Instant::now();
    while DETACHED.load(Ordering::SeqCst) > PARKED.load(Ordering::SeqCst) && begun.elapsed() < PATIENCE {
        pause(py);
    }
}

#[pyfunction]
fn before_fork(py: Python<'_>) {
    FORKING.fetch_add(1, Ordering::SeqCst);
    wait_for_all(py);
}

#[pyfunction]
fn after_fork_in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

#[pyfunction]
fn after_fork_in_child() {
    FORKING.store(0, Ordering::SeqCst);
    DETACHED.store(0, Ordering::SeqCst);
    PARKED.store(0, Ordering::SeqCst);
}

#[pyfunction]
fn at_exit(py: Python<'_>) {
    IS_ENDING.store(true, Ordering::SeqCst);
    wait_for_all(py);
}

/// Asks Python to be told of forks, where there are any, and of its end.
pub(crate) fn register(py: Python<'_>) -> PyResult<()> {
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(at_exit, py)?,))?;
    let os = py.import("os")?;
    if os.hasattr("register_at_fork")? {
        let hooks = PyDict::new(py);
        hooks.set_item("before", wrap_pyfunction!(before_fork, py)?)?;
        hooks.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, py)?)?;
        hooks.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, py)?)?;
        os.call_method("register_at_fork", (), Some(&hooks))?;
    }
    Ok(())
}
