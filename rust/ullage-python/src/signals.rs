//! Ctrl-C and listeners while the interpreter is not held.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use ullage_core::solving::{Limits, Progress};
use ullage_core::units::duration_from_secs;

use crate::error::{Failure, Outcome};

/// How often long work looks for signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks Python for signals while it is detached, rarely enough not to disturb other threads.
pub(crate) struct SignalWatch {
    asked: Cell<Instant>,
    raised: RefCell<Option<PyErr>>,
}

impl SignalWatch {
    pub(crate) fn new(started: Instant) -> Self {
        Self { asked: Cell::new(started), raised: RefCell::new(None) }
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
    pub(crate) fn interrupted(&self) -> bool {
        if self.raised.borrow().is_some() {
            return true;
        }
        if self.asked.get().elapsed() < SIGNAL_INTERVAL {
            return false;
        }
        let raised = Python::attach(|py| py.check_signals()).err();
        self.asked.set(Instant::now());
        raised.is_some_and(|error| self.raised.replace(Some(error)).is_none())
    }

    /// Calls `listener` with the progress; what it raises ends the work.
    fn tell(&self, listener: &Py<PyAny>, progress: Progress) {
        let call = |py: Python<'_>| -> PyResult<()> {
            let Progress { best, lower_bound, elapsed } = progress;
            let made = named(py, "Progress")?.call1((best, lower_bound, elapsed.as_secs_f64()))?;
            listener.call1(py, (made,)).map(drop)
        };
        if let Err(error) = Python::attach(call) {
            self.raised.borrow_mut().get_or_insert(error);
        }
    }

    /// What a signal handler raised, if any did.
    pub(crate) fn into_raised(self) -> Option<PyErr> {
        self.raised.into_inner()
    }
}

/// What a caller allows a solver and wants to hear from it.
pub(crate) struct Errand {
    time: Option<Duration>,
    listener: Option<Py<PyAny>>,
}

impl Errand {
    /// From the arguments `time_limit` in seconds, and `progress`, a callable.
    pub(crate) fn new(time_limit: Option<f64>, listener: Option<Py<PyAny>>) -> Outcome<Self> {
        let time = time_limit.map(|seconds| duration_from_secs(seconds, "time_limit")).transpose()?;
        Ok(Self { time, listener })
    }

    /// Solves with the interpreter detached; `solve` is given its limits, `dress` its answer and the seconds it took.
    ///
    /// Ctrl-C raises `ullage.Interrupted` with the best answer; what another signal handler or the listener
    /// raised is raised as it is.
    pub(crate) fn run<A: Send, P: for<'py> IntoPyObject<'py> + Send>(
        self,
        py: Python<'_>,
        solve: impl FnOnce(&Limits<'_>) -> Outcome<A> + Send,
        dress: impl FnOnce(A, f64) -> P + Send,
    ) -> Outcome<P> {
        let (answer, raised) = py.detach(move || {
            let started = Instant::now();
            let watch = SignalWatch::new(started);
            let tell = |progress| {
                if let Some(listener) = &self.listener {
                    watch.tell(listener, progress);
                }
            };
            let limits = Limits {
                time: self.time,
                interrupted: Some(&|| watch.interrupted()),
                progress: self.listener.is_some().then_some(&tell),
            };
            let answer = solve(&limits)?;
            let answer = dress(answer, started.elapsed().as_secs_f64());
            Ok::<_, Failure>((answer, watch.into_raised()))
        })?;
        match raised {
            None => Ok(answer),
            Some(error) if error.get_type(py).is(py.get_type::<PyKeyboardInterrupt>()) => {
                Err(interrupted(py, answer)?.into())
            }
            Some(error) => Err(error.into()),
        }
    }
}

fn interrupted<P: for<'py> IntoPyObject<'py>>(py: Python<'_>, best: P) -> PyResult<PyErr> {
    let fields = PyDict::new(py);
    fields.set_item("best", best)?;
    Ok(PyErr::from_value(named(py, "Interrupted")?.call((), Some(&fields))?))
}

/// A class of `ullage.solving`.
fn named<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(c"ullage.solving")?.getattr(name)
}
