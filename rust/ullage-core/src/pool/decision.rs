//! What one request may do now.

use super::event::{Denial, ModelId, WaitFor};

/// What a request may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Use the model.
    Grant,
    /// Load the model: its memory is free.
    Load,
    /// Wait; for its sake `unload` goes now, and `drain` takes no new lease and goes as soon as it is idle.
    Wait { behind: WaitFor, unload: Vec<ModelId>, drain: Vec<ModelId> },
    /// Give up.
    Refuse(Denial),
}

impl Decision {
    /// A wait for which nothing has to go.
    pub(super) const fn wait(behind: WaitFor) -> Self {
        Self::Wait { behind, unload: Vec::new(), drain: Vec::new() }
    }
}
