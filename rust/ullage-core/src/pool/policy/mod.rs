//! Which model goes first when something has to go. One rule a file.

mod lru;

pub use lru::Lru;

use crate::error::{Error, Result};
use crate::units::{Bytes, Time, clip};

/// A resident model that may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Bytes it holds.
    pub bytes: Bytes,
    /// When it was last granted or released.
    pub last_used: Time,
}

/// An eviction rule: gives each candidate a worth; the least worth goes first.
pub trait Policy: Send + std::fmt::Debug {
    /// The name used in arguments and JSON.
    fn name(&self) -> &'static str;

    /// What keeping `candidate` is worth at `now`. Equal worth goes by order of registration.
    fn worth(&self, candidate: &Candidate, now: Time) -> u64;
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 1] = ["lru"];

/// The rule called `name`.
///
/// # Errors
/// [`Error::Argument`] listing the known names.
pub fn by_name(name: &str) -> Result<Box<dyn Policy>> {
    match name {
        "lru" => Ok(Box::new(Lru)),
        _ => Err(Error::Argument {
            name: "policy",
            reason: format!("{:?} is not one of: {}", clip(name), NAMES.join(", ")),
        }),
    }
}
