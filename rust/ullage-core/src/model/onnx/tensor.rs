//! One stored tensor: `TensorProto` and `SparseTensorProto`.

use std::io::{Read, Seek};

use super::super::dtype::Dtype;
use super::super::fault::{Failure, Fault};
use super::super::source::Source;
use super::super::wire::{Field, Message, Value};
use super::LONGEST_NAME;
use super::external::Place;
use crate::units::Bytes;

/// Dimensions of one tensor; ONNX sets no limit, runtimes do at 8 to 32.
const MOST_DIMENSIONS: usize = 64;

/// A tensor as the file describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    /// Its name; constants have none of their own.
    pub(super) name: String,
    /// Its number format; `None` for none that is known.
    pub(super) dtype: Option<Dtype>,
    /// Its shape, outermost dimension first.
    pub(super) shape: Vec<u64>,
    /// Where its data begin, or it does.
    pub(super) offset: u64,
    /// Where its data lie outside the model, if they do.
    pub(super) external: Option<Place>,
    dtype_id: u64,
    data: Data,
}

/// What the fields with data hold.
#[derive(Clone, Copy, Debug, Default)]
struct Data {
    raw: Option<u64>,
    /// Bytes of the field that its type asks for, and of all strings.
    typed: [u64; 5],
    strings: u64,
}

/// The fields of typed data, `float_data` first, as `Data::typed` counts them.
const TYPED: [u32; 5] = [4, 5, 7, 10, 11];

/// The number format that `TensorProto.DataType` calls `id`.
pub(super) fn dtype(id: u64) -> Option<Dtype> {
    Some(match id {
        1 => Dtype::F32,
        2 => Dtype::U8,
        3 => Dtype::I8,
        4 => Dtype::U16,
        5 => Dtype::I16,
        6 => Dtype::I32,
        7 => Dtype::I64,
        8 => Dtype::STRING,
        9 => Dtype::BOOL,
        10 => Dtype::F16,
        11 => Dtype::F64,
        12 => Dtype::U32,
        13 => Dtype::U64,
        14 => Dtype::C64,
        15 => Dtype::C128,
        16 => Dtype::BF16,
        17 => Dtype::F8_E4M3,
        18 => Dtype::F8_E4M3FNUZ,
        19 => Dtype::F8_E5M2,
        20 => Dtype::F8_E5M2FNUZ,
        21 => Dtype::U4,
        22 => Dtype::I4,
        23 => Dtype::F4,
        24 => Dtype::F8_E8M0,
        25 => Dtype::U2,
        26 => Dtype::I2,
        27 => Dtype::F6_E2M3,
        28 => Dtype::F6_E3M2,
        _ => return None,
    })
}

/// Reads a `TensorProto`.
pub(super) fn read<R: Read + Seek>(source: &mut Source<R>, message: Message) -> Result<Stored, Failure> {
    let mut stored = Stored { offset: message.start, ..Stored::default() };
    let (mut is_external, mut place) = (false, Place::default());
    let mut fields = message.fields();
    while let Some(field) = fields.next(source)? {
        match field.number {
            1 => field.varints(source, &mut stored.shape, MOST_DIMENSIONS, "the shape of a tensor")?,
            2 => stored.dtype_id = field.varint("the type of a tensor")?,
            6 => stored.data.string(field)?,
            8 => stored.name = field.text(source, LONGEST_NAME, "the name of a tensor")?,
            9 => {
                let raw = field.message("raw_data")?;
                stored.offset = raw.start;
                stored.data.raw = Some(raw.length());
            }
            13 => place.entry(source, field.message("external_data")?)?,
            14 => is_external = field.varint("data_location")? == 1,
            _ => stored.data.typed(field),
        }
    }
    stored.dtype = dtype(stored.dtype_id);
    stored.external = is_external.then_some(place);
    Ok(stored)
}

impl Data {
    fn string(&mut self, field: Field) -> Result<(), Failure> {
        let length = field.message("string_data")?.length();
        self.typed[0] = self.typed[0].saturating_add(length);
        self.strings = self.strings.saturating_add(1);
        Ok(())
    }

    /// Adds to what is held in the typed field that this may be: a packed list, or one number of it.
    fn typed(&mut self, field: Field) {
        let Some(index) = TYPED.iter().position(|&number| number == field.number) else { return };
        let bytes = match field.value {
            Value::Bytes(list) => list.length(),
            Value::Fixed32(_) => 4,
            Value::Fixed64(_) => 8,
            Value::Varint(_) => 1, // at the least
        };
        self.typed[index] = self.typed[index].saturating_add(bytes);
    }
}

impl Stored {
    /// Its bytes in memory, once checked against what is stored of it.
    ///
    /// # Errors
    /// [`Fault`] for an unknown type, a negative dimension, a size beyond 2^64 − 1, or data of another length.
    pub(super) fn bytes(&self) -> Result<Bytes, Failure> {
        let Some(dtype) = self.dtype else {
            return Err(self.fault(format!("unknown data type {}", self.dtype_id)));
        };
        let elements = self.elements()?;
        if dtype == Dtype::STRING {
            if self.external.is_some() || self.data.strings != elements {
                return Err(self.fault(format!("{elements} strings expected, {} found", self.data.strings)));
            }
            return Ok(Bytes::new(self.data.typed[0]));
        }
        let bytes = dtype.bytes_of(elements).ok_or_else(|| self.fault("its size overflows"))?;
        if self.external.is_some() {
            return Ok(bytes);
        }
        match self.data.raw {
            Some(held) if held != bytes.get() => {
                Err(self
                    .fault(format!("raw_data of {held} bytes, where type and shape ask for {}", bytes.get())))
            }
            None => self.check_typed(dtype, elements).map(|()| bytes),
            Some(_) => Ok(bytes),
        }
    }

    /// Elements that its shape holds.
    ///
    /// # Errors
    /// [`Fault`] for a negative dimension or more than 2^64 − 1 of them.
    pub(super) fn elements(&self) -> Result<u64, Failure> {
        let negative = self.shape.iter().find(|&&size| i64::try_from(size).is_err());
        if negative.is_some() {
            return Err(self.fault("a negative dimension"));
        }
        let product = self.shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
        product.ok_or_else(|| self.fault("its number of elements overflows"))
    }

    /// Checks the field that `dtype` is stored in: floats fill it exactly, a varint takes one to ten bytes.
    fn check_typed(&self, dtype: Dtype, elements: u64) -> Result<(), Failure> {
        let (index, least, most) = match dtype {
            Dtype::F32 => (0, 4, 4),
            Dtype::C64 => (0, 8, 8),
            Dtype::F64 => (3, 8, 8),
            Dtype::C128 => (3, 16, 16),
            Dtype::I64 => (2, 1, 10),
            Dtype::U32 | Dtype::U64 => (4, 1, 10),
            _ => (1, 1, 10),
        };
        let in_entry = match dtype {
            Dtype::U4 | Dtype::I4 | Dtype::F4 => 2,
            Dtype::U2 | Dtype::I2 => 4,
            _ => 1,
        };
        let entries = u128::from(elements.div_ceil(in_entry));
        let held = u128::from(self.data.typed[index]);
        if held < entries.saturating_mul(least) || held > entries.saturating_mul(most) {
            let reason = format!("{held} bytes of data, where type and shape ask for {elements} elements");
            return Err(self.fault(reason));
        }
        Ok(())
    }

    /// A fault of this tensor.
    pub(super) fn fault(&self, reason: impl Into<String>) -> Failure {
        Fault::new(reason).offset(self.offset).field(&self.name).into()
    }
}

/// The parts of a `SparseTensorProto`.
pub(super) struct Sparse {
    /// What is not zero; the tensor goes by its name.
    pub(super) values: Stored,
    /// Where that stands.
    pub(super) indices: Stored,
    /// The shape of the whole.
    pub(super) shape: Vec<u64>,
}

/// Reads a `SparseTensorProto`.
pub(super) fn read_sparse<R: Read + Seek>(
    source: &mut Source<R>,
    message: Message,
) -> Result<Sparse, Failure> {
    let nothing = || Stored { offset: message.start, ..Stored::default() };
    let mut sparse = Sparse { values: nothing(), indices: nothing(), shape: Vec::new() };
    let mut fields = message.fields();
    while let Some(field) = fields.next(source)? {
        match field.number {
            1 => sparse.values = read(source, field.message("the values of a sparse tensor")?)?,
            2 => sparse.indices = read(source, field.message("the indices of a sparse tensor")?)?,
            3 => field.varints(source, &mut sparse.shape, MOST_DIMENSIONS, "the shape of a sparse tensor")?,
            _ => {}
        }
    }
    Ok(sparse)
}
