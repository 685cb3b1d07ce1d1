//! A decoded tensor that somebody reads.

use std::sync::Arc;

use super::buffer::Buffer;
use super::cache::Cache;

/// A decoded tensor: while this lives, its buffer is used for nothing else.
#[derive(Debug)]
pub struct Lease {
    /// Nothing once it is dropped.
    buffer: Option<Arc<Buffer>>,
    cache: Arc<Cache>,
}

impl Lease {
    pub(super) fn new(buffer: Arc<Buffer>, cache: Arc<Cache>) -> Self {
        Self { buffer: Some(buffer), cache }
    }

    /// The numbers as bytes, at an address that does not change.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().map(|buffer| buffer.bytes()).unwrap_or_default()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.cache.let_go(buffer);
        }
    }
}
