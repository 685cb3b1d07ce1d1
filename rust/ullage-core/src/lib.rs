//! Memory accounting for machine-learning models.
//!
//! Bytes are *estimated*, *booked* and *measured*; this crate owns the first two:
//!
//! - [`units`], [`error`]: quantities and failures;
//! - [`model`]: what a model is, from its headers;
//! - [`footprint`]: what it needs, part by part, and whether that fits a device;
//! - [`pack`]: which item goes into which bin;
//! - [`ledger`]: accounts, limits and reservations;
//! - [`pool`]: the scheduler that keeps models in memory under a limit.
pub mod error;
pub mod footprint;
pub mod ledger;
pub mod model;
pub mod pack;
pub mod pool;
mod sync;
pub mod units;

pub use error::{Error, Holder, Refusal, Result};
pub use footprint::{Device, Footprint, Interval, Workload};
pub use ledger::{Account, Ledger, Reservation};
pub use model::Model;
pub use units::{Bytes, Time};
