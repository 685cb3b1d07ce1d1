//! Just-in-time decompression: what a policy costs on a device, simulated, calibrated and executed.
//!
//! ```text
//!   Layer (shape, scheme, bytes) ──┐
//!   Policy for each layer ─────────┼──► simulate ──► Simulation (seconds, bytes over time, what bounds each layer)
//!   Profile of the device ─────────┘                     ▲
//!        ▲                                               │ held against
//!   calibrate (this machine) or published         execute (the same plan for real)
//! ```
//!
//! A pass goes once through all layers in order, as one step of inference does. Weights are stored in a scheme; a policy
//! says when they are turned into numbers: at load, just before use into scratch memory, or within the multiplication.
//!
//! # What is modelled
//!
//! Three engines work side by side, each on one thing at a time: the storage link, a decompressor (a thread or a unit of
//! its own, where a policy prefetches) and compute. They share one memory bus. Where a [`Profile`] has timings of an
//! operation at several sizes, these decide; else the clocks of a roofline do, and the answer says so ([`Basis`]).
//!
//! # What is not
//!
//! Attention, normalisation and whatever else is no multiplication by stored weights, unless given as activation bytes;
//! the time that the operating system takes for page faults outside of loading; clock frequencies that change.

mod calibrate;
mod cost;
mod engine;
mod execute;
mod figure;
mod layer;
mod memory;
pub mod optimize;
mod policy;
mod profile;
mod simulate;
mod timing;

pub use calibrate::{Case, Listener, Request, Step, Summary, Verdict, caches, calibrate, verify};
pub use cost::{Basis, Bound};
pub use engine::{Event, Resource};
pub use execute::{Conduct, Executed, Execution, Pieces, execute};
pub use figure::{Figure, Origin, Spread, Unit};
pub use layer::Layer;
pub use memory::Level;
pub use policy::{Policy, Scratch};
pub use profile::{Cache, Profile};
pub use simulate::{LayerTime, Options, Simulation, simulate};
pub use timing::{Operation, Point, Timing};

#[cfg(test)]
mod tests;

/// A count as a number to compute seconds with.
#[expect(clippy::cast_precision_loss, reason = "seconds are known to a few digits")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}
