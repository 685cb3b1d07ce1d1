//! Files of the kernel that stay open.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use ullage_core::Error;
use ullage_core::machine as core;

use crate::error::Outcome;
use crate::units::ByteCount;

/// Limit, usage and stat file of a control group; names of its inactive, active and held page cache and of the limit
/// that it inherits.
type GroupFiles = (PathBuf, PathBuf, PathBuf, String, String, Vec<String>, Option<String>);

/// Files of the kernel, kept open and read again from their start.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct Watch(core::Watch);

#[pymethods]
impl Watch {
    #[new]
    #[pyo3(signature = (statm, meminfo, page, groups, address_space, settings, recheck_s))]
    fn new(
        statm: PathBuf,
        meminfo: PathBuf,
        page: ByteCount,
        groups: Vec<GroupFiles>,
        address_space: Option<ByteCount>,
        settings: Vec<(PathBuf, Vec<u8>)>,
        recheck_s: f64,
    ) -> Outcome<Self> {
        let recheck = Duration::try_from_secs_f64(recheck_s)
            .map_err(|error| Error::Argument { name: "recheck_s", reason: error.to_string() })?;
        let groups = groups.into_iter().map(group_files).collect();
        let address_space = address_space.map(|limit| limit.0);
        let plan = core::WatchPlan { statm, meminfo, page: page.0, groups, address_space, settings, recheck };
        Ok(Self(core::Watch::open(plan).map_err(PyErr::from)?))
    }

    fn read(&self) -> Option<(u64, u64, u64, u64)> {
        let core::Reading { rss, limit, used, available } = self.0.read()?;
        Some((rss.get(), limit.get(), used.get(), available.get()))
    }
}

fn group_files(files: GroupFiles) -> core::GroupFiles {
    let (limit, usage, stat, inactive, active, held, inherited) = files;
    core::GroupFiles { limit, usage, stat, inactive, active, held, inherited }
}
