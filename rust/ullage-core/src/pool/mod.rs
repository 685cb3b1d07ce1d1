//! The pool: which models are in memory, who may use them, and what has to go.
//!
//! [`Pool`] is a state machine without I/O. It takes an [`Event`] and the time, and returns [`Action`]s; it reads no
//! clock, loads nothing and draws no random number. Whoever drives it (an event loop, a thread, a simulation)
//! carries the actions out and reports back, so any run can be repeated from the log of its events.
//!
//! ```text
//!              Request                    Loaded                 last lease released,
//!             memory booked               first waiter granted   chosen as victim
//!      cold ───────────────► loading ───────────────► ready ───────────────► unloading ──► cold
//!       ▲ pause                 │                     ▲ │ │ Lost                  │  Unloaded
//!     failed ◄──── LoadFailed ──┘            Promoted │ │ └─────► lost ──► cold   └── UnloadFailed ──► stuck
//!                                           promoting │ │ idle victim, told of a smaller form
//!                                       Request ▲     │ ▼
//!                                               compressed ◄── compressing
//! ```
//!
//! A pool has a **domain** for each memory: the host, each accelerator. What a model takes is a [`Demand`], bytes by
//! domain; a [`Place`] is one way to hold it, on one domain or sharded over several. A model with several places may be
//! held at some of them at once. Domains and places may be added while the pool runs, and a domain may be retired
//! ([`Event::Retire`]): machines join and leave.
//!
//! **Always true:**
//!
//! 1. bytes are booked in the ledger before `Load`, `Promote` or `Compress` is returned and stay booked until their
//!    release is reported: what the pool holds never passes a limit. A failed unload, or what one left behind, stays
//!    booked and is reported in the status; what is overdue is said once, stays booked, and nobody counts on it any more;
//! 2. `Unload`, `Drop` and `Compress` are returned only for a model without leases, and for a pinned one only when the
//!    pool closes (a compressed form also makes way for its own model, where there is no room for both);
//! 3. a model is loaded once, however many wait for it: a further instance only where memory is free;
//! 4. every request ends: granted, refused with a reason, or cancelled by its owner;
//! 5. among requests that need memory the one of the older *rank* goes first: whoever comes later may pass only with
//!    bytes that the older do not need;
//! 6. a resident model keeps the workspace of one lease (unless the machine is short of memory), so a hit is not held up
//!    by those who wait for memory, nor by others' loads;
//! 7. what keeping a model is worth is the [policy]'s to say; it is told of every request, load and eviction;
//! 8. a load that fails concerns nobody but those who wait for that model.
//!
//! **Nobody starves.** A request's rank is the time at which it came, less [`Options::age_step`] for each step of its
//! priority. A request that finds its memory held by models in use has its *turn*: for [`Options::group_wait`] more they
//! go on serving those who find them there (A B A A C is served as A A A B C), then they take no new lease. So a request
//! waits for those of an older rank, of which no more come once it has waited `age_step` for each step of priority by
//! which they are above it, and for each of these and for itself at most: a load under way, the longest lease,
//! `group_wait`, `min_residency`, an unload and a load.
//!
//! **Deliberately not here:** what a model's memory really is (the measured bytes are reported to the pool), and how short
//! of memory the machine is (that is reported, too).

mod alarm;
mod bargain;
mod booking;
mod brain;
mod check;
mod decision;
mod demand;
mod denial;
mod entry;
pub mod estimate;
mod event;
mod instance;
mod lists;
mod membership;
mod moves;
mod plan;
pub mod policy;
pub mod pressure;
mod queue;
mod registration;
mod room;
mod schedule;
mod shortage;
mod sizes;
mod tier;
mod together;
mod upkeep;
mod victims;
mod view;
mod walk;

pub use brain::Pool;
pub use demand::{Demand, DomainId};
pub use denial::{Denial, Nearest};
pub use event::{Action, Event, Level, ModelId, RequestId, WaitFor};
pub use plan::{PoolPlan, Step};
pub use registration::{Compressed, Options, Place, PlaceId, Registration};
pub use view::{InstanceStatus, ModelStatus};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
