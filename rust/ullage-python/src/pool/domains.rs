//! Memory domains by name: bytes for each as Python writes them, and back.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ullage_core::Error;
use ullage_core::pool::{Demand, DomainId};

use crate::error::Outcome;
use crate::units::ByteCount;

/// Bytes by the name of a domain.
pub(crate) type Vector = HashMap<String, ByteCount>;

/// The names of a pool's domains, in their order.
pub(crate) struct Domains {
    names: RwLock<Vec<String>>,
}

impl Domains {
    pub(crate) const fn new(names: Vec<String>) -> Self {
        Self { names: RwLock::new(names) }
    }

    fn names(&self) -> RwLockReadGuard<'_, Vec<String>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names one more; `add` adds it to the pool.
    pub(crate) fn add<E>(&self, name: &str, add: impl FnOnce() -> Result<DomainId, E>) -> Result<(), E> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        add()?;
        names.push(name.to_owned());
        Ok(())
    }

    /// The latest domain called so: one that is retired leaves its name to others.
    pub(crate) fn id(&self, name: &str) -> Outcome<DomainId> {
        let names = self.names();
        let index = names.iter().rposition(|known| known == name);
        let id = index.and_then(|index| u16::try_from(index).ok()).map(DomainId::new);
        id.ok_or_else(|| {
            let reason = format!("the pool has no memory domain {name:?}; it has {}", names.join(", "));
            Error::Argument { name: "domain", reason }.into()
        })
    }

    pub(crate) fn name(&self, domain: DomainId) -> String {
        self.names().get(domain.index()).cloned().unwrap_or_else(|| "?".to_owned())
    }

    pub(crate) fn demand(&self, vector: Vector) -> Outcome<Demand> {
        let parts: Outcome<Vec<_>> =
            vector.into_iter().map(|(name, bytes)| Ok((self.id(&name)?, bytes.0))).collect();
        Ok(Demand::of(parts?))
    }

    pub(crate) fn dict<'py>(&self, py: Python<'py>, demand: &Demand) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let names = self.names();
        for &(domain, bytes) in demand.parts() {
            dict.set_item(names.get(domain.index()).map_or("?", String::as_str), bytes.get())?;
        }
        Ok(dict)
    }
}
