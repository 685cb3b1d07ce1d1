//! The computation graph of a format that stores one, as far as memory is concerned.

use crate::units::Bytes;

/// A value that a forward pass computes, with the steps over which it must be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its size.
    pub bytes: Bytes,
    /// The step that makes it.
    pub lower: u64,
    /// The step after the last one that reads it: lifetimes are half-open, `[lower, upper)`.
    pub upper: u64,
}

/// What a forward pass through a stored graph keeps in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Every value computed, weights excluded.
    pub buffers: Vec<Buffer>,
    /// Values whose shape the file does not fix: a dynamic dimension, or none stated at all.
    pub unsized_values: u64,
    /// The arenas that the exporter planned, where the file says so; this is then what will be allocated.
    pub planned: Option<Bytes>,
}
