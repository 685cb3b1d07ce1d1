//! What a device lets one process use.

use crate::error::{Error, Result};
use crate::units::Bytes;

/// Bytes that a device lets a process use: a measured limit, or a bracket around an unknown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Availability {
    /// So much is certain.
    pub lo: Bytes,
    /// The most likely.
    pub best: Bytes,
    /// So much is possible.
    pub hi: Bytes,
}

impl Availability {
    /// A limit known to lie between `lo` and `hi`.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `lo <= best <= hi`.
    pub fn new(lo: Bytes, best: Bytes, hi: Bytes) -> Result<Self> {
        if lo <= best && best <= hi {
            return Ok(Self { lo, best, hi });
        }
        Err(Error::Argument { name: "available", reason: format!("{lo} <= {best} <= {hi} does not hold") })
    }

    /// A limit known to the byte.
    #[must_use]
    pub const fn exact(bytes: Bytes) -> Self {
        Self { lo: bytes, best: bytes, hi: bytes }
    }
}

/// A device as the fit verdict sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Catalog key or the caller's own name.
    pub name: String,
    /// Installed memory.
    pub memory: Bytes,
    /// What an ordinary process may use.
    pub available: Availability,
    /// How its owner can make it give more, and how much then.
    pub raised: Option<(Raise, Availability)>,
    /// Whether its memory is a graphics card's own, beside that of a host.
    pub is_discrete: bool,
}

/// How a device can be made to give a process more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raise {
    /// iOS: the entitlement `com.apple.developer.kernel.increased-memory-limit`.
    Entitlement,
    /// macOS: `sysctl iogpu.wired_limit_mb`.
    WiredLimit,
}
