//! Memory domains by name: bytes for each as Python writes them, and back.

use std::collections::HashMap;

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
    names: Vec<String>,
}

impl Domains {
    pub(crate) const fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    pub(crate) fn id(&self, name: &str) -> Outcome<DomainId> {
        let index = self.names.iter().position(|known| known == name);
        let id = index.and_then(|index| u16::try_from(index).ok()).map(DomainId::new);
        id.ok_or_else(|| {
            let reason = format!("the pool has no memory domain {name:?}; it has {}", self.names.join(", "));
            Error::Argument { name: "domain", reason }.into()
        })
    }

    pub(crate) fn name(&self, domain: DomainId) -> &str {
        self.names.get(domain.index()).map_or("?", String::as_str)
    }

    pub(crate) fn demand(&self, vector: Vector) -> Outcome<Demand> {
        let parts: Outcome<Vec<_>> =
            vector.into_iter().map(|(name, bytes)| Ok((self.id(&name)?, bytes.0))).collect();
        Ok(Demand::of(parts?))
    }

    pub(crate) fn dict<'py>(&self, py: Python<'py>, demand: &Demand) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for &(domain, bytes) in demand.parts() {
            dict.set_item(self.name(domain), bytes.get())?;
        }
        Ok(dict)
    }
}
