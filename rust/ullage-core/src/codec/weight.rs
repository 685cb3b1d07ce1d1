//! A weight as schemes see it: a shape, and which of its axes are output and input channels.

use crate::error::{Error, Result};

pub(super) const OVERFLOW: Error = Error::Overflow { what: "the compressed weights" };

/// A weight to be compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    shape: Vec<u64>,
    elements: u64,
    output: usize,
    input: usize,
    groups: u64,
}

/// What to do with a group or block that does not divide its axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remainder {
    /// The last one is smaller.
    Smaller,
    /// The weight is left as it is, as coremltools does.
    Refused,
}

impl Weight {
    /// A weight of `shape`, output channels outermost and input channels next, as in linear layers and convolutions.
    ///
    /// # Errors
    /// [`Error::Overflow`] for a shape of more than 2^64 − 1 elements.
    pub fn new(shape: &[u64]) -> Result<Self> {
        let is_empty = shape.contains(&0);
        let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
        let elements = if is_empty { 0 } else { elements.ok_or(OVERFLOW)? };
        Ok(Self { shape: shape.to_vec(), elements, output: 0, input: 1, groups: 1 })
    }

    /// The same with input channels outermost, as in transposed convolutions.
    #[must_use]
    pub fn input_first(mut self) -> Self {
        (self.output, self.input) = (1, 0);
        self
    }

    /// The same for a convolution of so many groups.
    #[must_use]
    pub fn grouped(mut self, groups: u64) -> Self {
        self.groups = groups.max(1);
        self
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Number of elements.
    #[must_use]
    pub const fn elements(&self) -> u64 {
        self.elements
    }

    /// Output channels; one for a vector.
    #[must_use]
    pub fn outputs(&self) -> u64 {
        if self.shape.len() < 2 { 1 } else { self.shape[self.output] }
    }

    /// Input channels that an output channel reads; all elements for a vector.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        if self.shape.len() < 2 { self.elements } else { self.shape[self.input] }
    }

    /// Elements of one output channel.
    #[must_use]
    pub fn row(&self) -> u64 {
        self.elements.checked_div(self.outputs()).unwrap_or(0)
    }

    /// Output channels of one group of a convolution.
    #[must_use]
    pub(super) fn outputs_in_group(&self) -> u64 {
        let is_split = self.output == 0;
        if is_split { self.outputs().checked_div(self.groups).unwrap_or(0) } else { self.outputs() }
    }

    /// The dimensions without that of output channels.
    #[must_use]
    pub(super) fn row_shape(&self) -> Vec<u64> {
        let others = self.shape.iter().enumerate().filter(|&(axis, _)| axis != self.output);
        others.map(|(_, &size)| size).collect()
    }
}

impl Remainder {
    /// Groups of `size` that `count` is split into; `None` where it may not be.
    pub(super) fn groups(self, count: u64, size: u64) -> Option<u64> {
        match self {
            Self::Smaller => Some(count.div_ceil(size)),
            Self::Refused => count.is_multiple_of(size).then(|| count.checked_div(size)).flatten(),
        }
    }
}
