//! A list of tensors in the making: names, shapes, and the number format each is stored in.

use super::quantization::{Quantization, Stored};
use crate::model::dtype::Dtype;
use crate::model::fault::Fault;
use crate::model::tensor::Tensor;
use crate::units::Bytes;

/// The largest public mixtures have a hundred thousand.
const MOST_TENSORS: usize = 1 << 19;

/// Tensors in the order of the model, each where the one before it ends.
#[derive(Debug)]
pub(super) struct Plan {
    prefix: String,
    dtype: Dtype,
    quantization: Quantization,
    tensors: Vec<Tensor>,
    offset: u64,
    fault: Option<Fault>,
}

impl Plan {
    pub(super) fn new(dtype: Dtype, quantization: Quantization) -> Self {
        Self { prefix: String::new(), dtype, quantization, tensors: Vec::new(), offset: 0, fault: None }
    }

    /// The tensors, or what is wrong with the first that cannot be.
    pub(super) fn finish(self) -> Result<(Vec<Tensor>, u64), Fault> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.tensors.is_empty() => Err(Fault::new("the configuration describes no tensor")),
            None => Ok((self.tensors, self.offset)),
        }
    }

    /// What `fill` adds stands under `name`.
    pub(super) fn within<T>(&mut self, name: &str, fill: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.prefix.len();
        if !name.is_empty() {
            self.prefix.push_str(name);
            self.prefix.push('.');
        }
        let outcome = fill(self);
        self.prefix.truncate(length);
        outcome
    }

    /// What `fill` adds stands under `name.0`, `name.1` and so on.
    pub(super) fn each(
        &mut self,
        name: &str,
        count: u64,
        mut fill: impl FnMut(&mut Self, u64) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for number in 0..count {
            self.within(&format!("{name}.{number}"), |plan| fill(plan, number))?;
            if self.fault.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// A tensor in the model's own number format.
    pub(super) fn tensor(&mut self, name: &str, shape: &[u64]) {
        self.typed(name, self.dtype, shape);
    }

    /// A tensor in a number format of its own.
    pub(super) fn typed(&mut self, name: &str, dtype: Dtype, shape: &[u64]) {
        let elements = shape.iter().try_fold(1, |product: u64, &size| product.checked_mul(size));
        self.push(name, dtype, shape, if dtype.is_weight() { elements } else { Some(0) });
    }

    /// A tensor in the model's own number format that holds no parameter.
    pub(super) fn fixed(&mut self, name: &str, shape: &[u64]) {
        self.push(name, self.dtype, shape, Some(0));
    }

    /// A tensor that stores `parameters` in another form.
    pub(super) fn packed(&mut self, name: &str, dtype: Dtype, shape: &[u64], parameters: u64) {
        self.push(name, dtype, shape, Some(parameters));
    }

    fn stored(&mut self, Stored { name, dtype, shape, parameters }: &Stored) {
        // A matrix kept in real numbers is counted by its shape, which is checked for overflow.
        if dtype.is_weight() && *parameters > 0 {
            self.typed(name, *dtype, shape);
        } else {
            self.packed(name, *dtype, shape, *parameters);
        }
    }

    /// A weight and, if `bias` says so, a bias of width `width`: a norm.
    pub(super) fn norm(&mut self, name: &str, width: u64, bias: bool) {
        self.within(name, |plan| {
            plan.tensor("weight", &[width]);
            if bias {
                plan.tensor("bias", &[width]);
            }
        });
    }

    /// A table of `rows` vectors.
    pub(super) fn embedding(&mut self, name: &str, rows: u64, width: u64) {
        self.within(name, |plan| plan.tensor("weight", &[rows, width]));
    }

    /// A matrix that quantised checkpoints leave alone: a router, an output head.
    pub(super) fn dense(&mut self, name: &str, outputs: u64, inputs: u64, bias: bool) {
        self.within(name, |plan| {
            plan.tensor("weight", &[outputs, inputs]);
            if bias {
                plan.tensor("bias", &[outputs]);
            }
        });
    }

    /// A matrix in the form that the checkpoint's quantisation gives it.
    pub(super) fn linear(&mut self, name: &str, outputs: u64, inputs: u64, bias: bool) {
        self.within(name, |plan| {
            for stored in plan.quantization.matrix(plan.place(), plan.dtype, outputs, inputs) {
                plan.stored(&stored);
            }
            if bias {
                plan.tensor("bias", &[outputs]);
            }
        });
    }

    /// The matrices of all experts as one tensor, `[experts, rows, columns]`; `by_output` where rows are outputs.
    pub(super) fn expert_stack(&mut self, name: &str, shape: [u64; 3]) {
        for stored in self.quantization.experts(self.place(), name, self.dtype, shape) {
            self.stored(&stored);
        }
    }

    /// A convolution over `kernel`, with the channels that one group reads.
    pub(super) fn convolution(&mut self, name: &str, outputs: u64, inputs: u64, kernel: &[u64], bias: bool) {
        self.within(name, |plan| {
            plan.tensor("weight", &[&[outputs, inputs], kernel].concat());
            if bias {
                plan.tensor("bias", &[outputs]);
            }
        });
    }

    /// The path of what is added next, without the last dot.
    pub(super) fn place(&self) -> &str {
        self.prefix.strip_suffix('.').unwrap_or(&self.prefix)
    }

    fn push(&mut self, name: &str, dtype: Dtype, shape: &[u64], parameters: Option<u64>) {
        if self.fault.is_some() {
            return;
        }
        let name = format!("{}{name}", self.prefix);
        let elements = shape.iter().try_fold(1, |product: u64, &size| product.checked_mul(size));
        let bytes = elements.and_then(|elements| dtype.bytes_of(elements));
        let end = bytes.and_then(|bytes| self.offset.checked_add(bytes.get()));
        let (Some(bytes), Some(end), Some(parameters)) = (bytes, end, parameters) else {
            self.fault =
                Some(Fault::new(format!("a tensor of shape {shape:?} passes 2^64 bytes")).field(&name));
            return;
        };
        if bytes == Bytes::ZERO {
            self.fault = Some(Fault::new(format!("a tensor of shape {shape:?} has no element")).field(&name));
            return;
        }
        if self.tensors.len() >= MOST_TENSORS {
            self.fault = Some(Fault::new(format!("more than {MOST_TENSORS} tensors")));
            return;
        }
        let shape = shape.to_vec();
        self.tensors.push(Tensor {
            name,
            dtype,
            shape,
            offset: self.offset,
            bytes,
            parameters,
            expanded: None,
        });
        self.offset = end;
    }
}
