//! An eviction rule written in Python: the core's `Policy`, which calls the methods of an object.
//!
//! Whatever such a rule says or raises, the core keeps its promises. What it does wrong is a `PolicyError`: a replay ends
//! with it, a pool tells its listener, and the decision that was asked for falls back to least recently used.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use ullage_core::pool::ModelId;
use ullage_core::pool::policy::{Candidate as CoreCandidate, Facts, Policy};
use ullage_core::{Error, Time};

use crate::error::{Outcome, class};

/// The methods that a rule may have; the last one it must.
const HOOKS: [&str; 7] =
    ["on_register", "on_request", "on_release", "on_load", "on_evict", "on_cost", "worth"];
const WORTH: usize = 6;
/// Worths beyond are taken to be this: times any number of bytes it is still finite.
const MOST: f64 = 1e280;
/// Characters of a fault that are shown.
const SHOWN: usize = 300;

/// A resident model that may be evicted, as a rule in Python sees it.
#[pyclass(frozen, get_all, module = "ullage._core")]
pub(crate) struct Candidate {
    name: Py<PyString>,
    bytes: u64,
    turn: u64,
}

#[pymethods]
impl Candidate {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Self { name, bytes, turn } = self;
        Ok(format!("<Candidate {}: {bytes} bytes, turn {turn}>", name.bind(py).repr()?))
    }
}

/// What a rule and those who call it share.
pub(crate) struct Rule {
    name: String,
    hooks: [Option<Py<PyAny>>; 7],
    /// The thread that is inside of a method; 0 while none is.
    inside: AtomicUsize,
    faults: Faults,
    has_failed: AtomicBool,
}

/// Where faults go.
enum Faults {
    /// The first is kept, and nothing is asked from then on.
    Kept(Mutex<Option<PyErr>>),
    /// Each is told to a function, or to nobody in particular.
    Told(Option<Py<PyAny>>),
}

/// What a method did wrong.
enum Fault {
    Raised(PyErr),
    Gave(String),
}

/// Which thread this is: an address of its own.
fn thread() -> usize {
    thread_local! { static MARK: u8 = const { 0 } }
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// Marks the rule as called by this thread.
struct Inside<'a>(&'a AtomicUsize, usize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.store(self.1, Ordering::Relaxed);
    }
}

impl Rule {
    /// Reads the methods of `object`. A replay ends with the first fault; a pool's are told to `listener`.
    ///
    /// # Errors
    /// [`Error::Argument`] for an object that is no rule.
    fn of(object: &Bound<'_, PyAny>, faults: Faults) -> Outcome<Arc<Self>> {
        let py = object.py();
        let base = py.import("ullage.plugins.policy")?.getattr("EvictionPolicy")?;
        let kind = object.get_type().name()?.to_string();
        let wrong = |reason: String| Error::Argument { name: "policy", reason };
        let name = match object.getattr_opt("name")? {
            Some(name) => name.extract::<String>().unwrap_or_default(),
            None => kind.clone(),
        };
        if name.is_empty() {
            return Err(wrong(format!("the name of {kind} is no text")).into());
        }
        let mut hooks = [const { None }; HOOKS.len()];
        for (place, hook) in hooks.iter_mut().zip(HOOKS) {
            let Some(method) = object.getattr_opt(hook)? else { continue };
            if !method.is_callable() {
                return Err(wrong(format!("{kind}.{hook} is no method")).into());
            }
            // What the base class has does nothing: calling it would cost something.
            let inherited = base.getattr_opt(hook)?;
            let own = method.getattr_opt("__func__")?;
            if !own.is_some_and(|own| inherited.is_some_and(|inherited| own.is(&inherited))) {
                *place = Some(method.unbind());
            }
        }
        if hooks[WORTH].is_none() {
            let reason =
                format!("{kind} has no method worth(candidate, now), which every eviction policy has");
            return Err(wrong(reason).into());
        }
        let (inside, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        Ok(Arc::new(Self { name, hooks, inside, faults, has_failed }))
    }

    /// That this thread is not called by the rule itself: whoever calls holds the pool, and would wait for ever.
    ///
    /// # Errors
    /// [`Error::Protocol`].
    pub(super) fn check(&self) -> ullage_core::Result<()> {
        if self.inside.load(Ordering::Relaxed) != thread() {
            return Ok(());
        }
        let reason = "a policy may not call the pool that it decides for".to_owned();
        Err(Error::Protocol { event: "call", subject: format!("policy {}", self.name), reason })
    }

    /// The first fault, if there was one.
    pub(crate) fn take_fault(&self) -> Option<PyErr> {
        match &self.faults {
            Faults::Kept(fault) => fault.lock().unwrap_or_else(PoisonError::into_inner).take(),
            Faults::Told(_) => None,
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for hook in self.hooks.iter().flatten() {
            visit.call(hook)?;
        }
        match &self.faults {
            Faults::Told(Some(listener)) => visit.call(listener),
            _ => Ok(()),
        }
    }

    /// Calls a method, if there is one; what it does wrong is noted, and gives nothing.
    fn call<'py, T>(
        &self,
        py: Python<'py>,
        hook: usize,
        model: &Py<PyString>,
        act: impl FnOnce(&Bound<'py, PyAny>) -> Result<T, Fault>,
    ) -> Option<T> {
        let method = self.hooks[hook].as_ref().filter(|_| !self.has_failed())?;
        let _inside = Inside(&self.inside, self.inside.swap(thread(), Ordering::Relaxed));
        act(method.bind(py)).map_err(|fault| self.note(py, hook, model, fault)).ok()
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    fn note(&self, py: Python<'_>, hook: usize, model: &Py<PyString>, fault: Fault) {
        let is_interrupt =
            matches!(&fault, Fault::Raised(error) if error.is_instance_of::<PyKeyboardInterrupt>(py));
        let error = match fault {
            Fault::Raised(error) if is_interrupt => error,
            fault => self.error(py, HOOKS[hook], model, fault).unwrap_or_else(|raised| raised),
        };
        match &self.faults {
            Faults::Kept(first) => {
                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                self.has_failed.store(true, Ordering::Relaxed);
            }
            // Not the rule's fault, nor to be lost: it is raised again when the pool is done with this event.
            Faults::Told(_) if is_interrupt => {
                let faults = py.import("ullage.pooling.faults");
                if faults.and_then(|module| module.call_method0("interrupt_soon")).is_err() {
                    error.write_unraisable(py, None);
                }
            }
            Faults::Told(listener) => {
                let told = match listener {
                    Some(listener) => listener.call1(py, (error.into_value(py),)).map(drop),
                    None => Err(error),
                };
                if let Err(error) = told {
                    error.write_unraisable(py, None);
                }
            }
        }
    }

    /// The `PolicyError` of a fault.
    fn error(&self, py: Python<'_>, hook: &str, model: &Py<PyString>, fault: Fault) -> PyResult<PyErr> {
        let model = model.bind(py).to_string_lossy().into_owned();
        let (reason, cause) = match fault {
            Fault::Gave(reason) => (reason, None),
            Fault::Raised(error) => {
                let text = error.value(py).str().map(|text| text.to_string_lossy().into_owned());
                (format!("raised {}: {}", error.get_type(py).name()?, text.unwrap_or_default()), Some(error))
            }
        };
        let reason: String = reason.chars().take(SHOWN).collect();
        let fields = PyDict::new(py);
        fields.set_item("policy", &self.name)?;
        fields.set_item("model", &model)?;
        fields.set_item("hook", hook)?;
        fields.set_item("reason", &reason)?;
        let message = format!("policy {}: {hook} of {model} {reason}", self.name);
        let error = PyErr::from_value(class(py, "PolicyError")?.call((message,), Some(&fields))?);
        error.set_cause(py, cause);
        Ok(error)
    }
}

/// A rule in Python as the core asks it.
pub(crate) struct OwnPolicy {
    rule: Arc<Rule>,
    /// The models, in the order of their numbers.
    names: Vec<Py<PyString>>,
}

impl OwnPolicy {
    /// The rule that `object` is, for a replay.
    ///
    /// # Errors
    /// [`Error::Argument`] for an object that is no rule.
    pub(crate) fn of_replay(object: &Bound<'_, PyAny>) -> Outcome<(Box<dyn Policy>, Arc<Rule>)> {
        Ok(Self::with(Rule::of(object, Faults::Kept(Mutex::new(None)))?))
    }

    /// The rule that `object` is, for a pool that has `listener` told of faults.
    ///
    /// # Errors
    /// As [`Self::of_replay`].
    pub(super) fn of_pool(
        object: &Bound<'_, PyAny>,
        listener: Option<Py<PyAny>>,
    ) -> Outcome<(Box<dyn Policy>, Arc<Rule>)> {
        Ok(Self::with(Rule::of(object, Faults::Told(listener))?))
    }

    fn with(rule: Arc<Rule>) -> (Box<dyn Policy>, Arc<Rule>) {
        (Box::new(Self { rule: rule.clone(), names: Vec::new() }), rule)
    }

    /// Tells that something happened to a model at a time.
    fn tell(&self, hook: usize, model: ModelId, number: f64) {
        if self.rule.hooks[hook].is_none() {
            return;
        }
        Python::attach(|py| {
            let name = &self.names[model.index()];
            self.rule
                .call(py, hook, name, |method| method.call1((name, number)).map(drop).map_err(Fault::Raised));
        });
    }
}

impl fmt::Debug for OwnPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnPolicy({:?})", self.rule.name)
    }
}

impl Policy for OwnPolicy {
    fn name(&self) -> &str {
        &self.rule.name
    }

    fn on_register(&mut self, facts: &Facts<'_>) {
        Python::attach(|py| {
            let name = PyString::new(py, facts.name).unbind();
            self.rule.call(py, 0, &name, |method| {
                let given = (&name, facts.bytes.get(), facts.load_s);
                method.call1(given).map(drop).map_err(Fault::Raised)
            });
            self.names.push(name);
        });
    }

    fn on_request(&mut self, model: ModelId, now: Time) {
        self.tell(1, model, now.as_secs_f64());
    }

    fn on_release(&mut self, model: ModelId, now: Time) {
        self.tell(2, model, now.as_secs_f64());
    }

    fn on_load(&mut self, model: ModelId, now: Time) {
        self.tell(3, model, now.as_secs_f64());
    }

    fn on_evict(&mut self, model: ModelId, now: Time) {
        self.tell(4, model, now.as_secs_f64());
    }

    fn on_cost(&mut self, model: ModelId, load_s: f64) {
        self.tell(5, model, load_s);
    }

    fn worth(&self, candidate: &CoreCandidate, now: Time) -> f64 {
        let worth = Python::attach(|py| {
            let name = &self.names[candidate.model.index()];
            self.rule.call(py, WORTH, name, |method| {
                let CoreCandidate { bytes, turn, .. } = *candidate;
                let seen = Candidate { name: name.clone_ref(py), bytes: bytes.get(), turn };
                let given = method.call1((seen, now.as_secs_f64())).map_err(Fault::Raised)?;
                match given.extract::<f64>() {
                    Ok(worth) if !worth.is_nan() => Ok(worth.clamp(-MOST, MOST)),
                    _ => Err(Fault::Gave(format!("gave {}, which is no number", shown(&given)))),
                }
            })
        });
        worth.unwrap_or(f64::NAN)
    }

    fn has_failed(&self) -> bool {
        self.rule.has_failed()
    }
}

/// A value as a reader knows it, or what kind of thing it is.
fn shown(value: &Bound<'_, PyAny>) -> String {
    let text = value.repr().map(|text| text.to_string_lossy().into_owned());
    text.unwrap_or_else(|_| "something".to_owned()).chars().take(80).collect()
}
