//! The keys of a GGUF that speak of its architecture.

use crate::model::fault::Fault;
use crate::model::gguf::Keys;

/// The keys of one architecture, named without its prefix.
pub(super) struct Scope<'a> {
    pub(super) keys: &'a Keys,
    prefix: String,
}

impl<'a> Scope<'a> {
    pub(super) fn of(keys: &'a Keys, name: &str) -> Self {
        // The encoder of a multimodal model puts its numbers one level deeper.
        let halves = ["clip.vision", "clip.audio"];
        let half = halves.iter().find(|half| name == "clip" && keys.has(&format!("{half}.block_count")));
        Self { keys, prefix: half.map_or(name, |half| *half).to_owned() }
    }

    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.has(&self.key(key))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Fault> {
        self.keys.number(&self.key(key))
    }

    pub(super) fn number_or(&self, key: &str, default: u64) -> Result<u64, Fault> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    pub(super) fn per_layer(&self, key: &str, layers: usize) -> Result<Option<Vec<u64>>, Fault> {
        self.keys.per_layer(&self.key(key), layers)
    }
}
