//! Tensors whose buffers hold data.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::super::dtype::Dtype;
use super::super::fault::{Failure, Fault};
use super::super::flat::{Flat, Table, Vector};
use super::super::graph::Size;
use super::super::tensor::Tensor;
use super::Described;
use crate::units::Bytes;

/// The member `BlockwiseQuantization` of the union `QuantizationDetails`.
const BLOCKWISE: u8 = 2;

/// The buffers of a model, and the tensors that they hold.
pub(super) struct Weights {
    pub(super) tensors: Vec<Tensor>,
    /// Where the data of each buffer lie; empty for those without any.
    buffers: Vec<Vector>,
    /// Bytes of external buffers, by their number.
    external: HashMap<u32, u64>,
    /// The tensor that each buffer, or external buffer, was first counted with.
    counted: HashMap<(bool, u32), usize>,
    /// By their place in the subgraph, the tensors taken from it and those that are scales of others.
    taken: Vec<Option<usize>>,
    scales: Vec<u32>,
    has_external: bool,
}

impl Weights {
    /// Reads the buffers of a `Model`.
    pub(super) fn new<R: Read + Seek>(flat: &mut Flat<'_, R>, model: Table) -> Result<Self, Failure> {
        let mut buffers = Vec::new();
        for buffer in flat.tables(model, 4, "the buffers")? {
            buffers.push(data(flat, buffer)?);
        }
        let mut external = HashMap::new();
        for buffer in flat.tables(model, 9, "the external buffers")? {
            let id = flat.word(buffer, 0, "the number of an external buffer")?;
            external.insert(id, flat.long(buffer, 3, "the length of an external buffer")?);
        }
        Ok(Self {
            tensors: Vec::new(),
            buffers,
            external,
            counted: HashMap::new(),
            taken: Vec::new(),
            scales: Vec::new(),
            has_external: false,
        })
    }

    /// Takes `described` in if data are stored of it, and tells whether they are.
    pub(super) fn take<R: Read + Seek>(
        &mut self,
        flat: &mut Flat<'_, R>,
        described: &Described,
    ) -> Result<bool, Failure> {
        self.taken.push(None);
        let external = flat.word(described.table, 10, "the external buffer of a tensor")?;
        let (key, stored) = match self.external.get(&external) {
            Some(&length) => {
                self.has_external = true;
                ((true, external), Vector { start: 0, count: length })
            }
            None => ((false, described.buffer), self.buffer(described)?),
        };
        if stored.count == 0 {
            return Ok(false);
        }
        let index = self.tensors.len();
        let mut tensor = self.tensor(flat, described, stored)?;
        if *self.counted.entry(key).or_insert(index) != index {
            tensor.bytes = Bytes::ZERO;
            tensor.parameters = 0;
            tensor.expanded = None;
        }
        self.tensors.push(tensor);
        if let Some(last) = self.taken.last_mut() {
            *last = Some(index);
        }
        Ok(true)
    }

    /// Notes that the tensor at `output` is the weight at `input`, expanded to `size`; tells whether that is a weight.
    pub(super) fn expand(&mut self, input: i32, output: i32, size: &Size) -> bool {
        let (Ok(input), Ok(output)) = (usize::try_from(input), usize::try_from(output)) else { return false };
        let (Some(&Some(index)), true) = (self.taken.get(input), size.symbols.is_empty()) else {
            return false;
        };
        let (Some(place), Some(tensor)) = (self.taken.get_mut(output), self.tensors.get_mut(index)) else {
            return false;
        };
        *place = Some(index);
        if !tensor.bytes.is_zero() {
            tensor.expanded = Some(Bytes::new(size.bits.div_ceil(8)));
        }
        true
    }

    /// Takes the scales out of the parameters, once all tensors of a subgraph are there.
    pub(super) fn end_subgraph(&mut self) {
        for place in self.scales.drain(..) {
            let taken =
                usize::try_from(place).ok().and_then(|place| self.taken.get(place)).copied().flatten();
            if let Some(tensor) = taken.and_then(|index| self.tensors.get_mut(index)) {
                tensor.parameters = 0;
            }
        }
        self.taken.clear();
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let note = "Weights in files beside the model are counted as it describes them; the files were not looked for.";
        if self.has_external { vec![note.to_owned()] } else { Vec::new() }
    }

    fn buffer(&self, described: &Described) -> Result<Vector, Failure> {
        let found = usize::try_from(described.buffer).ok().and_then(|index| self.buffers.get(index)).copied();
        match found {
            Some(buffer) => Ok(buffer),
            None if described.buffer == 0 => Ok(Vector { start: 0, count: 0 }),
            None => Err(fault(described, format!("there is no buffer {}", described.buffer))),
        }
    }

    fn tensor<R: Read + Seek>(
        &mut self,
        flat: &mut Flat<'_, R>,
        described: &Described,
        stored: Vector,
    ) -> Result<Tensor, Failure> {
        let Described { table, name, shape, .. } = described;
        let Some(dtype) = described.dtype else {
            return Err(fault(described, "data of an unknown type".to_owned()));
        };
        let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
        let Some(dense) = elements.and_then(|elements| dtype.bytes_of(elements)) else {
            return Err(fault(described, "its size overflows".to_owned()));
        };
        let mut bytes = Bytes::new(stored.count);
        let sparsity = flat.table(*table, 6, "the sparsity of a tensor")?;
        if let Some(sparsity) = sparsity {
            bytes = bytes.saturating_add(indices(flat, sparsity)?);
        } else if bytes != dense && dtype != Dtype::STRING {
            let reason =
                format!("{} bytes of data, where type and shape ask for {}", bytes.get(), dense.get());
            return Err(fault(described, reason));
        }
        let mut tensor = Tensor::plain(name.clone(), dtype, shape.clone(), stored.start, bytes);
        if sparsity.is_some() {
            tensor.expanded = Some(dense);
        }
        if self.is_quantised(flat, *table)? {
            tensor.parameters = tensor.elements();
        }
        Ok(tensor)
    }

    /// Whether a tensor has scales of its own: integers with a scale are weights.
    fn is_quantised<R: Read + Seek>(
        &mut self,
        flat: &mut Flat<'_, R>,
        tensor: Table,
    ) -> Result<bool, Failure> {
        let Some(parameters) = flat.table(tensor, 4, "the quantization of a tensor")? else {
            return Ok(false);
        };
        let kind = flat.byte(parameters, 4, "the kind of a quantization")?;
        if kind == BLOCKWISE
            && let Some(blockwise) = flat.table(parameters, 5, "the details of a quantization")?
        {
            self.scales.push(flat.word(blockwise, 0, "the scales of a quantization")?);
            return Ok(true);
        }
        Ok(kind != 0 || flat.vector(parameters, 2, 4, "the scales of a quantization")?.count > 0)
    }
}

/// Where the data of a `Buffer` lie: in it, or anywhere in the file by offset and size.
fn data<R: Read + Seek>(flat: &mut Flat<'_, R>, buffer: Table) -> Result<Vector, Failure> {
    let start = flat.long(buffer, 1, "the offset of a buffer")?;
    let count = flat.long(buffer, 2, "the size of a buffer")?;
    // Writers put 1 where the place is not known yet.
    if start <= 1 {
        return flat.vector(buffer, 0, 1, "the data of a buffer");
    }
    let length = flat.source.length();
    if start.checked_add(count).is_none_or(|end| end > length) {
        let reason = format!("a buffer of {count} bytes at {start} passes the end of the file");
        return Err(Fault::new(reason).offset(buffer.start).into());
    }
    Ok(Vector { start, count })
}

/// Bytes of the indices of a sparse tensor: `SparsityParameters`.
fn indices<R: Read + Seek>(flat: &mut Flat<'_, R>, sparsity: Table) -> Result<Bytes, Failure> {
    let mut bytes: u64 = 0;
    for dimension in flat.tables(sparsity, 2, "the dimensions of a sparse tensor")? {
        for member in [2, 4] {
            let width = match flat.byte(dimension, member, "the kind of sparse indices")? {
                1 => 4,
                2 => 2,
                3 => 1,
                _ => continue,
            };
            let Some(list) = flat.table(dimension, member.saturating_add(1), "sparse indices")? else {
                continue;
            };
            let count = flat.vector(list, 0, width, "sparse indices")?.count;
            bytes = bytes.saturating_add(count.saturating_mul(width));
        }
    }
    Ok(Bytes::new(bytes))
}

fn fault(described: &Described, reason: String) -> Failure {
    Fault::new(reason).offset(described.table.start).field(&described.name).into()
}
