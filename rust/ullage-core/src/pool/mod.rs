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
//!                                └── LoadFailed ──► cold      (leases 0..n)       │   Unloaded
//!                                                                                 └── UnloadFailed ──► stuck
//! ```
//!
//! **Always true:**
//!
//! 1. bytes are booked in the ledger before `Load` is returned and stay booked until `Unloaded` is reported: what the
//!    pool holds never passes a limit, and a failed unload keeps its bytes booked;
//! 2. `Unload` is returned only for a model without leases, and for a pinned one only when the pool closes;
//! 3. a model is loaded once, however many wait for it;
//! 4. every request ends: granted, refused with a reason, or cancelled by its owner;
//! 5. among requests that need memory the older goes first: whoever comes later may pass only with bytes that the
//!    older do not need. A model that an older request needs gone takes no new leases, so no steady stream of hits can
//!    starve it;
//! 6. a resident model keeps the workspace of one lease, so a hit is not held up by those who wait for memory;
//! 7. what keeping a model is worth is the [policy]'s to say; it is told of every request, load and eviction.
//!
//! **Deliberately not here:** what a model's memory really is (the measured bytes are reported to the pool), and
//! retries of failed loads (the next request tries again).

mod brain;
mod decision;
mod entry;
pub mod estimate;
mod event;
pub mod policy;
pub mod pressure;
mod room;
mod schedule;
mod upkeep;
mod view;

pub use brain::Pool;
pub use entry::Registration;
pub use event::{Action, Denial, Event, ModelId, RequestId, WaitFor};
pub use view::{ModelStatus, PoolPlan, Step};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
