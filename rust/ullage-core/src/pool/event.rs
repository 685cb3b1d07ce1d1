//! What the pool is told, and what it answers.

use std::time::Duration;

use crate::units::{Bytes, Time};

/// A registered model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub(crate) usize);

impl ModelId {
    /// The model's number, counted from zero in order of registration.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A request, named by whoever makes it; once granted, the same name stands for its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to use a model, and will wait until `deadline`.
    Request {
        /// A name not in use.
        request: RequestId,
        /// The model.
        model: ModelId,
        /// When to give up; `None` waits as long as it takes.
        deadline: Option<Time>,
    },
    /// A waiting request is no longer wanted. One that was granted meanwhile is released.
    Cancel {
        /// The request.
        request: RequestId,
    },
    /// A lease ended.
    Released {
        /// The request that was granted it.
        request: RequestId,
    },
    /// A load succeeded.
    Loaded {
        /// The model.
        model: ModelId,
    },
    /// A load failed and holds no memory.
    LoadFailed {
        /// The model.
        model: ModelId,
    },
    /// A model's memory was seen to be free again.
    Unloaded {
        /// The model.
        model: ModelId,
    },
    /// A model could not be unloaded; its memory may still be in use.
    UnloadFailed {
        /// The model.
        model: ModelId,
    },
    /// A model was seen to use so much, workspaces of leases not counted.
    Measured {
        /// The model.
        model: ModelId,
        /// Bytes in use.
        bytes: Bytes,
    },
    /// Nothing but time passed.
    Tick,
    /// No request is taken any more; what is idle goes.
    Close,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Load the model; its bytes are booked. Answer with `Loaded` or `LoadFailed`.
    Load {
        /// The model.
        model: ModelId,
    },
    /// Unload the model; its bytes stay booked. Answer with `Unloaded` or `UnloadFailed`.
    Unload {
        /// The model.
        model: ModelId,
    },
    /// The request may use the model until it reports `Released`.
    Grant {
        /// The request.
        request: RequestId,
        /// The model, loaded.
        model: ModelId,
    },
    /// The request waits.
    Queue {
        /// The request.
        request: RequestId,
        /// What it waits for first.
        behind: WaitFor,
    },
    /// The request will not be granted.
    Refuse {
        /// The request.
        request: RequestId,
        /// Why.
        denial: Denial,
    },
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Its model is being loaded.
    Load,
    /// Memory that others are giving back, or that older requests are ahead for.
    Memory,
    /// A place: the model serves as many as it may.
    Concurrency,
}

impl WaitFor {
    /// The word used in events and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// More than the limit: it could not be granted on an empty machine.
    TooLarge {
        /// Model and workspace together.
        requested: Bytes,
        /// The tightest limit on the pool's account.
        limit: Bytes,
    },
    /// More than the limit leaves beside models that may not go.
    Pinned {
        /// Model and workspace together.
        requested: Bytes,
        /// What is left beside them.
        available: Bytes,
        /// The tightest limit on the pool's account.
        limit: Bytes,
        /// The pinned or stuck models in memory.
        blocked_by: Vec<ModelId>,
    },
    /// Its deadline passed.
    Timeout {
        /// How long it waited.
        waited: Duration,
    },
    /// Its model could not be loaded.
    LoadFailed,
    /// An earlier unload of its model failed, so nobody knows what state it is in.
    Stuck,
    /// The pool is closing.
    Closed,
}
