//! What one request may do now.

use super::denial::Denial;
use super::event::WaitFor;
use super::instance::InstanceId;

/// What a request may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Use the instance.
    Grant(InstanceId),
    /// Load the instance, or promote its compressed form: the memory is free.
    Load(InstanceId),
    /// Wait, and let others make way.
    Wait { behind: WaitFor, way: Way },
    /// Give up.
    Refuse(Denial),
}

/// Who makes way for a request that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Where the request will be served.
    pub(super) to: Option<InstanceId>,
    /// These go now.
    pub(super) unload: Vec<InstanceId>,
    /// These shrink to their compressed form now.
    pub(super) demote: Vec<InstanceId>,
    /// These go as soon as nobody uses them.
    pub(super) drain: Vec<InstanceId>,
    /// Those that drain take no new lease.
    pub(super) is_closed: bool,
}

impl Decision {
    /// A wait for which nobody has to make way.
    pub(super) fn wait(behind: WaitFor) -> Self {
        Self::Wait { behind, way: Way::default() }
    }
}
