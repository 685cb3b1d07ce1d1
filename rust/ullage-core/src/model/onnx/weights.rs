//! The weights found on the way through a model.

use std::io::{Read, Seek};

use super::super::dtype::{Dtype, Kind};
use super::super::fault::{Failure, Fault};
use super::super::source::Source;
use super::super::tensor::Tensor;
use super::super::wire::Message;
use super::external::Neighbours;
use super::quantised::Packing;
use super::tensor::{self, Sparse, Stored};
use crate::units::Bytes;

/// Tensors of one model; the largest exported ones have a tenth of it.
const MOST_TENSORS: usize = 1 << 20;

/// The number of a tensor in [`Weights`].
pub(super) type WeightId = usize;

/// Every tensor stored, with what operators make of it.
pub(super) struct Weights<'a> {
    pub(super) tensors: Vec<Tensor>,
    pub(super) neighbours: Neighbours<'a>,
}

impl Weights<'_> {
    /// Takes a `TensorProto` in, called `name` if it has no name of its own.
    pub(super) fn add<R: Read + Seek>(
        &mut self,
        source: &mut Source<R>,
        message: Message,
        name: &str,
    ) -> Result<WeightId, Failure> {
        let mut stored = tensor::read(source, message)?;
        if stored.name.is_empty() {
            name.clone_into(&mut stored.name);
        }
        let bytes = stored.bytes()?;
        let Stored { name, dtype, shape, offset, external, .. } = stored;
        let mut tensor = Tensor::plain(name, dtype.unwrap_or(Dtype::U8), shape, offset, bytes);
        if let Some(place) = external {
            let is_shared = self.place(&mut tensor, place)?;
            if is_shared {
                share(&mut tensor);
            }
        }
        self.push(tensor)
    }

    /// Takes a `SparseTensorProto` in. It holds values and indices; runtimes expand it.
    pub(super) fn add_sparse<R: Read + Seek>(
        &mut self,
        source: &mut Source<R>,
        message: Message,
        name: &str,
    ) -> Result<WeightId, Failure> {
        let Sparse { mut values, indices, shape } = tensor::read_sparse(source, message)?;
        if values.name.is_empty() {
            name.clone_into(&mut values.name);
        }
        let mut bytes = Bytes::ZERO;
        for part in [&values, &indices] {
            let held = part.bytes()?;
            if let Some(place) = part.external.clone() {
                self.neighbours.is_shared(place, held)?;
            }
            bytes = bytes.checked_add(held).ok_or_else(|| values.fault("its size overflows"))?;
        }
        values.shape = shape;
        let dtype = values.dtype.unwrap_or(Dtype::U8);
        let expanded = dtype.bytes_of(values.elements()?);
        let expanded = expanded.ok_or_else(|| values.fault("its size overflows"))?;
        let mut tensor = Tensor::plain(values.name, dtype, values.shape, values.offset, bytes);
        tensor.expanded = Some(expanded);
        self.push(tensor)
    }

    /// An initialiser by the name of an earlier one of the same graph: both are the same, and held once.
    ///
    /// # Errors
    /// [`Fault`] if they differ in type or shape.
    pub(super) fn repeat(&mut self, earlier: WeightId, later: WeightId) -> Result<(), Failure> {
        let (Some(first), Some(second)) = (self.tensors.get(earlier).cloned(), self.tensors.get_mut(later))
        else {
            return Ok(());
        };
        if (first.dtype, &first.shape) != (second.dtype, &second.shape) {
            let reason = "two initialisers of this name differ in type or shape";
            return Err(Fault::new(reason).offset(second.offset).field(&first.name).into());
        }
        share(second);
        Ok(())
    }

    /// The tensor holds quantised weights.
    pub(super) fn quantised(
        &mut self,
        id: WeightId,
        packing: Packing,
        attribute: impl Fn(&str) -> Option<u64>,
    ) {
        let Some(tensor) = self.tensors.get_mut(id).filter(|tensor| !is_shared(tensor)) else { return };
        let elements = tensor.elements();
        tensor.parameters = match packing {
            Packing::Plain => elements,
            Packing::NTimesK => match (attribute("N"), attribute("K")) {
                // At most eight to a byte, whatever the attributes claim.
                (Some(n), Some(k)) => n.saturating_mul(k).min(elements.saturating_mul(8)),
                _ => elements,
            },
            Packing::Bits(name) => {
                let bits = attribute(name).unwrap_or(4);
                let in_element = tensor.dtype.block().1.checked_div(bits).unwrap_or(1).max(1);
                elements.saturating_mul(in_element)
            }
        };
    }

    /// The tensor holds scales or zero points.
    pub(super) fn is_scale(&mut self, id: WeightId) {
        if let Some(tensor) = self.tensors.get_mut(id) {
            tensor.parameters = 0;
        }
    }

    /// Some runtimes expand the quantised tensor once, to the type of its scale.
    pub(super) fn expands(&mut self, id: WeightId, scale: Option<WeightId>) {
        let of_scale = scale.and_then(|scale| self.tensors.get(scale)).map(|tensor| tensor.dtype);
        let dtype = of_scale.filter(|dtype| dtype.kind() == Kind::Real).unwrap_or(Dtype::F32);
        if let Some(tensor) = self.tensors.get_mut(id).filter(|tensor| !is_shared(tensor)) {
            tensor.expanded = dtype.bytes_of(tensor.elements());
        }
    }

    fn place(&mut self, tensor: &mut Tensor, place: super::external::Place) -> Result<bool, Failure> {
        tensor.offset = place.offset;
        self.neighbours.is_shared(place, tensor.bytes).map_err(|failure| match failure {
            Failure::Fault(fault) => fault.field(&tensor.name).into(),
            Failure::Io(error) => Failure::Io(error),
        })
    }

    fn push(&mut self, tensor: Tensor) -> Result<WeightId, Failure> {
        let id = self.tensors.len();
        if id >= MOST_TENSORS {
            return Err(Fault::new(format!("the model has more than {MOST_TENSORS} tensors")).into());
        }
        self.tensors.push(tensor);
        Ok(id)
    }
}

fn share(tensor: &mut Tensor) {
    tensor.bytes = Bytes::ZERO;
    tensor.parameters = 0;
}

fn is_shared(tensor: &Tensor) -> bool {
    tensor.bytes.is_zero()
}
