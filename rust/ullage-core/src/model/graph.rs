//! The computation graph of a format that stores one, as far as memory is concerned.

use super::fault::Fault;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// Values of one graph; the largest exported ones have a tenth of it.
const MOST_VALUES: usize = 1 << 20;

/// A value that a forward pass computes, with the steps over which it must be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its size.
    pub size: Size,
    /// The step that makes it.
    pub lower: u64,
    /// The step after the last one that reads it: lifetimes are half-open, `[lower, upper)`.
    pub upper: u64,
}

/// A size that may depend on what the model is asked to do: `bits * product of symbols`, in whole bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bits of an element times every dimension that the file fixes.
    pub bits: u64,
    /// The dimensions that it leaves open.
    pub symbols: Vec<Symbol>,
}

/// A dimension that a file leaves open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// Sequences at once.
    Batch,
    /// Tokens of one sequence. What was cached before is counted with it, so a pass over a full context is what is sized.
    Context,
    /// Anything else, such as the height of an image, by its name.
    Named(String),
}

/// What a forward pass through a stored graph keeps in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Every value computed, weights excluded.
    pub buffers: Vec<Buffer>,
    /// Values of which the file states no shape at all.
    pub unsized_values: u64,
    /// The arenas that the exporter planned, where the file says so; this is then what will be allocated.
    pub planned: Option<Bytes>,
}

impl Symbol {
    /// What a dimension called `name` stands for, by the words that exporters use.
    #[must_use]
    pub fn of(name: &str) -> Self {
        const CONTEXT: [&str; 6] = ["seq", "context", "ctx", "token", "length", "past"];
        let lower = name.trim().to_ascii_lowercase();
        if lower.contains("batch") || ["b", "n", "bs"].contains(&lower.as_str()) {
            return Self::Batch;
        }
        if CONTEXT.iter().any(|word| lower.contains(word)) {
            return Self::Context;
        }
        Self::Named(name.trim().to_owned())
    }
}

impl Size {
    /// The size for `context` tokens of `batch` sequences; `None` where it depends on something else.
    ///
    /// # Errors
    /// [`Error::Overflow`] where it passes 2^64 − 1 bytes.
    pub fn bytes(&self, context: u64, batch: u64) -> Result<Option<Bytes>> {
        const OVERFLOW: Error = Error::Overflow { what: "a value of the graph" };
        let mut bits = u128::from(self.bits);
        for symbol in &self.symbols {
            let factor = match symbol {
                Symbol::Batch => batch,
                Symbol::Context => context,
                Symbol::Named(_) => return Ok(None),
            };
            bits = bits.checked_mul(u128::from(factor)).ok_or(OVERFLOW)?;
        }
        u64::try_from(bits.div_ceil(8)).map(|bytes| Some(Bytes::new(bytes))).map_err(|_| OVERFLOW)
    }
}

/// Records lifetimes while the steps of a graph are counted off.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    values: Vec<Value>,
    step: u64,
}

/// The number of a value in a [`Recorder`].
pub(super) type ValueId = usize;

#[derive(Debug)]
struct Value {
    size: Option<Size>,
    lower: u64,
    upper: u64,
}

impl Recorder {
    /// Goes on to the next step.
    pub(super) fn advance(&mut self) {
        self.step = self.step.saturating_add(1);
    }

    /// The number that the next value will have.
    pub(super) fn next_id(&self) -> ValueId {
        self.values.len()
    }

    /// A value made at this step, and kept over it; without a size where the file states none.
    ///
    /// # Errors
    /// [`Fault`] where there are more of them than any model has.
    pub(super) fn make(&mut self, size: Option<Size>) -> Result<ValueId, Fault> {
        let id = self.values.len();
        if id >= MOST_VALUES {
            return Err(Fault::new(format!("the graph has more than {MOST_VALUES} values")));
        }
        self.values.push(Value { size, lower: self.step, upper: self.step.saturating_add(1) });
        Ok(id)
    }

    /// The value is read at this step, and kept until then.
    pub(super) fn read(&mut self, id: ValueId) {
        let upper = self.step.saturating_add(1);
        if let Some(value) = self.values.get_mut(id) {
            value.upper = value.upper.max(upper);
        }
    }

    /// The graph recorded.
    pub(super) fn finish(self) -> Graph {
        let mut graph = Graph::default();
        for Value { size, lower, upper } in self.values {
            match size {
                Some(size) => graph.buffers.push(Buffer { size, lower, upper }),
                None => graph.unsized_values = graph.unsized_values.saturating_add(1),
            }
        }
        graph
    }
}
