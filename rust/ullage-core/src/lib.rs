//! Memory accounting for machine-learning models.
//!
//! Bytes are *estimated*, *booked* and *measured*; this crate owns the first two:
//!
//! - [`units`], [`error`]: quantities and failures.
//! - [`pack`]: which item goes into which bin.
pub mod error;
pub mod pack;
#[expect(dead_code, unused_imports, reason = "the ledger, its user, is not built yet")]
mod sync;
pub mod units;

pub use error::{Error, Holder, Refusal, Result};
pub use units::{Bytes, Time};
