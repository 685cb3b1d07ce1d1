//! Types and constants of the model intermediate language.

use std::io::{Read, Seek};

use super::{Failure, Fault, LONGEST_NAME, Message, Reader};
use crate::model::Dtype;
use crate::units::Bytes;

/// Core ML itself stops at rank 5 for most operations.
const MOST_DIMENSIONS: usize = 64;

/// The type of a value, as far as it is a tensor.
#[derive(Clone, Debug)]
pub(super) struct Type {
    pub(super) dtype: Dtype,
    /// `None` where a dimension is not fixed.
    pub(super) shape: Option<Vec<u64>>,
    /// Whether it is kept between calls.
    pub(super) is_state: bool,
}

/// A value that the file holds.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub(super) of: Option<Type>,
    pub(super) data: Data,
}

/// Where the data of a constant lies.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// In a file of weights: its name, and where the record of the blob stands.
    Blob(String, u64),
    /// In the message itself.
    Inline(Message),
    /// Nowhere.
    Missing,
}

impl Type {
    /// Elements, if the shape is fixed.
    pub(super) fn elements(&self) -> Option<u64> {
        self.shape.as_ref()?.iter().try_fold(1_u64, |product, &size| product.checked_mul(size))
    }

    /// Bytes of a dense tensor of this type.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        self.dtype.bytes_of(self.elements()?)
    }
}

impl<R: Read + Seek> Reader<'_, '_, R> {
    /// `Value`: docString 1, type 2, immediateValue 3, blobFileValue 5.
    pub(super) fn constant(&mut self, message: Message) -> Result<Constant, Failure> {
        let mut constant = Constant { of: None, data: Data::Missing };
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                2 => constant.of = self.value_type(field.message("a type")?)?,
                3 => constant.data = Data::Inline(field.message("a value")?),
                5 => constant.data = self.blob(field.message("a reference to a blob")?)?,
                _ => {}
            }
        }
        Ok(constant)
    }

    /// `BlobFileValue`: fileName 1, offset 2.
    fn blob(&mut self, message: Message) -> Result<Data, Failure> {
        let (mut name, mut offset) = (String::new(), 0);
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => name = field.text(self.source, LONGEST_NAME, "the name of a weight file")?,
                2 => offset = field.varint("the offset of a blob")?,
                _ => {}
            }
        }
        Ok(Data::Blob(name, offset))
    }

    /// `ValueType`: tensorType 1, listType 2, tupleType 3, dictionaryType 4, stateType 5. `None` for what is no tensor.
    pub(super) fn value_type(&mut self, message: Message) -> Result<Option<Type>, Failure> {
        let mut found = None;
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => found = self.tensor_type(field.message("a tensor's type")?)?,
                5 => {
                    let state = field.message("a state's type")?;
                    if let Some(wrapped) = self.only(state, 1)? {
                        found = self.value_type(wrapped)?.map(|of| Type { is_state: true, ..of });
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// `TensorType`: dataType 1, rank 2, dimensions 3.
    fn tensor_type(&mut self, message: Message) -> Result<Option<Type>, Failure> {
        let (mut dtype, mut shape, mut rank) = (None, Some(Vec::new()), 0);
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => dtype = dtype_of(field.varint("a data type")?),
                2 => rank = field.varint("a rank")?.cast_signed(),
                3 => {
                    let size = self.dimension(field.message("a dimension")?)?;
                    shape = shape.zip(size).map(|(mut shape, size)| {
                        shape.push(size);
                        shape
                    });
                    if shape.as_ref().is_some_and(|shape| shape.len() > MOST_DIMENSIONS) {
                        let reason = format!("a tensor of more than {MOST_DIMENSIONS} dimensions");
                        return Err(Fault::new(reason).offset(field.offset).into());
                    }
                }
                _ => {}
            }
        }
        // A rank of -1 leaves the number of dimensions open.
        let shape = shape.filter(|_| rank >= 0);
        Ok(dtype.map(|dtype| Type { dtype, shape, is_state: false }))
    }

    /// `Dimension`: constant 1 with its size 1, unknown 2.
    fn dimension(&mut self, message: Message) -> Result<Option<u64>, Failure> {
        let mut size = None;
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => {
                    let mut inner = field.message("a dimension")?.fields();
                    // Zero is not written.
                    size = Some(0);
                    while let Some(field) = inner.next(self.source)? {
                        if field.number == 1 {
                            size = Some(field.varint("a dimension")?);
                        }
                    }
                }
                _ => size = None,
            }
        }
        Ok(size)
    }
}

/// `DataType` of `MIL.proto`; `None` for one that a later version added.
fn dtype_of(id: u64) -> Option<Dtype> {
    Some(match id {
        1 => Dtype::BOOL,
        2 => Dtype::STRING,
        10 => Dtype::F16,
        11 => Dtype::F32,
        12 => Dtype::F64,
        13 => Dtype::BF16,
        21 => Dtype::I8,
        22 => Dtype::I16,
        23 => Dtype::I32,
        24 => Dtype::I64,
        25 => Dtype::I4,
        31 => Dtype::U8,
        32 => Dtype::U16,
        33 => Dtype::U32,
        34 => Dtype::U64,
        35 => Dtype::U4,
        36 => Dtype::U2,
        37 => Dtype::U1,
        38 => Dtype::U6,
        39 => Dtype::U3,
        40 => Dtype::F8_E4M3,
        41 => Dtype::F8_E5M2,
        _ => return None,
    })
}
