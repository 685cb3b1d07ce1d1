//! `Scope`.

use std::sync::Mutex;

use pyo3::prelude::*;
use ullage_core::ledger as core;

use crate::error::Outcome;

enum State {
    Unopened,
    Open(core::Scope),
    Closed(core::ScopeStats),
}

/// A region of time on one account: peak, net and counts of what happened in it.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Scope {
    account: core::Account,
    state: Mutex<State>,
}

impl Scope {
    pub(super) fn new(account: &core::Account) -> Self {
        Self { account: account.clone(), state: Mutex::new(State::Unopened) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn stats(&self) -> Outcome<core::ScopeStats> {
        match &*self.lock() {
            State::Unopened => Err(wrong("was not entered")),
            State::Open(scope) => Ok(scope.stats()),
            State::Closed(stats) => Ok(*stats),
        }
    }
}

fn wrong(state: &str) -> crate::error::Failure {
    ullage_core::Error::Argument { name: "scope", reason: format!("the scope {state}") }.into()
}

#[pymethods]
impl Scope {
    fn __enter__(slf: Bound<'_, Self>) -> Outcome<Bound<'_, Self>> {
        let this = slf.get();
        let mut state = this.lock();
        if !matches!(*state, State::Unopened) {
            return Err(wrong("was entered before; make a new one"));
        }
        *state = State::Open(this.account.scope());
        drop(state);
        Ok(slf)
    }

    #[pyo3(signature = (_kind = None, _value = None, _traceback = None))]
    fn __exit__(
        &self,
        _kind: Option<&Bound<'_, PyAny>>,
        _value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) {
        let mut state = self.lock();
        if let State::Open(scope) = &*state {
            *state = State::Closed(scope.stats());
        }
    }

    #[getter]
    fn start(&self) -> Outcome<u64> {
        Ok(self.stats()?.start.get())
    }

    #[getter]
    fn end(&self) -> Outcome<u64> {
        Ok(self.stats()?.end.get())
    }

    #[getter]
    fn highest(&self) -> Outcome<u64> {
        Ok(self.stats()?.highest.get())
    }

    #[getter]
    fn peak(&self) -> Outcome<u64> {
        Ok(self.stats()?.peak().get())
    }

    #[getter]
    fn net(&self) -> Outcome<i64> {
        Ok(self.stats()?.net())
    }

    #[getter]
    fn total(&self) -> Outcome<u64> {
        Ok(self.stats()?.total.get())
    }

    #[getter]
    fn reservations(&self) -> Outcome<u64> {
        Ok(self.stats()?.reservations)
    }

    #[getter]
    fn releases(&self) -> Outcome<u64> {
        Ok(self.stats()?.releases)
    }

    #[getter]
    fn refusals(&self) -> Outcome<u64> {
        Ok(self.stats()?.refusals)
    }

    fn __repr__(&self) -> String {
        match self.stats() {
            Ok(stats) => {
                format!("Scope({:?}: peak {}, net {} B)", self.account.path(), stats.peak(), stats.net())
            }
            Err(_) => format!("Scope({:?}: not entered)", self.account.path()),
        }
    }
}
