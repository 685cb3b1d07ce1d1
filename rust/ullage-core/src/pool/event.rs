//! What the pool is told, and what it answers.

use super::demand::{Demand, DomainId};
use super::denial::Denial;
use super::registration::PlaceId;
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

/// How short of memory a machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    #[default]
    None,
    /// What is idle has to shrink.
    Soft,
    /// Nothing may be loaded either.
    Hard,
}

impl Level {
    /// The word used in events and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to use a model, and will wait until `deadline`.
    Request {
        /// A name not in use.
        request: RequestId,
        /// The model.
        model: ModelId,
        /// When to give up; `None` waits as long as it takes.
        deadline: Option<Time>,
        /// Higher goes first, for as long as the others have not waited too long; usually 0.
        priority: i32,
        /// Bytes of workspace, if other than registered; spread over the domains as the registered ones are.
        workspace: Option<Bytes>,
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
        /// Where.
        place: PlaceId,
    },
    /// A load or a promotion failed and holds no memory beyond what there was before it.
    LoadFailed {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
        /// Set if memory ran out: what was in use by then, as far as it was seen. The next load books more.
        out_of_memory: Option<Demand>,
        /// Whether trying again makes sense.
        may_retry: bool,
    },
    /// A model, or its compressed form, is gone, and its memory was seen to be free again but for `left`.
    Unloaded {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
        /// What was not seen to come back; it stays booked.
        left: Demand,
    },
    /// A model could not be unloaded, or what is left of a lost one not cleared away; its memory may still be in use.
    UnloadFailed {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// What was left behind, overdue or stuck came back after all.
    Returned {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
        /// How much of it.
        bytes: Demand,
    },
    /// A resident model is not there any more: its worker died. Its leases go on until they are released, its bytes are
    /// booked until `Unloaded`.
    Lost {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// A model was seen to use so much, workspaces of leases not counted.
    Measured {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
        /// Bytes in use.
        bytes: Demand,
    },
    /// A model is in its compressed form, and the other is gone.
    Compressed {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
        /// What it takes.
        bytes: Demand,
    },
    /// A model could not be compressed; it is as it was.
    CompressFailed {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// A model is usable again, and its compressed form is gone.
    Promoted {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// From now on the model stays once it is loaded.
    Pin {
        /// The model.
        model: ModelId,
    },
    /// From now on the model may go like any other.
    Unpin {
        /// The model.
        model: ModelId,
    },
    /// A domain of the machine is short of memory, or is so no more.
    Pressure {
        /// The domain.
        domain: DomainId,
        /// How short.
        level: Level,
        /// How much to give up of what nobody uses, what is on its way out included.
        shed: Bytes,
    },
    /// A memory domain is given up, for good: nothing is loaded there any more, what is idle goes at once, pinned or not,
    /// and what is in use takes no new lease and goes after its last. What the domain loses by itself meanwhile is
    /// reported as `Lost`.
    Retire {
        /// The domain.
        domain: DomainId,
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
        /// Where.
        place: PlaceId,
    },
    /// Unload the model; its bytes stay booked. Answer with `Unloaded` or `UnloadFailed`.
    Unload {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// Bring the model into its compressed form; both forms are booked. Answer with `Compressed`, `CompressFailed` or
    /// `Lost`.
    Compress {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// Make the model usable from its compressed form; both forms are booked. Answer with `Promoted`, `LoadFailed` or
    /// `Lost`.
    Promote {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// Give the compressed form up; its bytes stay booked. Answer with `Unloaded` or `UnloadFailed`.
    Drop {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
    },
    /// The request may use the model until it reports `Released`.
    Grant {
        /// The request.
        request: RequestId,
        /// The model, loaded.
        model: ModelId,
        /// Where.
        place: PlaceId,
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
    /// An unload has not been reported in time. Its bytes stay booked, and nobody counts on them any more.
    Overdue {
        /// The model.
        model: ModelId,
        /// Where.
        place: PlaceId,
        /// What is not back.
        bytes: Demand,
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
    /// The pause after a load that failed.
    Backoff,
}

impl WaitFor {
    /// The word used in events and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Concurrency => "concurrency",
            Self::Backoff => "backoff",
        }
    }
}
