//! The type of a value: `ValueInfoProto`, `TypeProto` and `TensorShapeProto`.

use std::io::{Read, Seek};

use super::super::dtype::Kind;
use super::super::fault::{Failure, Fault};
use super::super::graph::{Size, Symbol};
use super::super::source::Source;
use super::super::wire::Message;
use super::{LONGEST_NAME, tensor};

/// A value with a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Value {
    pub(super) name: String,
    /// `None` where the file does not say, as for sequences and maps.
    pub(super) size: Option<Size>,
}

/// Reads a `ValueInfoProto`.
pub(super) fn read<R: Read + Seek>(source: &mut Source<R>, message: Message) -> Result<Value, Failure> {
    let mut value = Value::default();
    let mut fields = message.fields();
    while let Some(field) = fields.next(source)? {
        match field.number {
            1 => value.name = field.text(source, LONGEST_NAME, "the name of a value")?,
            2 => value.size = of_type(source, field.message("the type of a value")?)?,
            _ => {}
        }
    }
    Ok(value)
}

/// The size of a `TypeProto`; only tensors have one.
fn of_type<R: Read + Seek>(source: &mut Source<R>, message: Message) -> Result<Option<Size>, Failure> {
    let mut size = None;
    let mut fields = message.fields();
    while let Some(field) = fields.next(source)? {
        if field.number == 1 {
            size = of_tensor(source, field.message("the type of a tensor")?)?;
        }
    }
    Ok(size)
}

fn of_tensor<R: Read + Seek>(source: &mut Source<R>, message: Message) -> Result<Option<Size>, Failure> {
    let (mut dtype, mut shape) = (None, None);
    let mut fields = message.fields();
    while let Some(field) = fields.next(source)? {
        match field.number {
            1 => dtype = tensor::dtype(field.varint("the element type of a value")?),
            2 => shape = Some(field.message("the shape of a value")?),
            _ => {}
        }
    }
    match (dtype.filter(|dtype| dtype.kind() != Kind::Other), shape) {
        (Some(dtype), Some(shape)) => of_shape(source, shape, dtype.block().1),
        _ => Ok(None),
    }
}

/// The size of a `TensorShapeProto` whose elements have so many bits; `None` if a dimension is not even named.
fn of_shape<R: Read + Seek>(
    source: &mut Source<R>,
    message: Message,
    bits: u64,
) -> Result<Option<Size>, Failure> {
    let mut size = Size { bits, symbols: Vec::new() };
    let mut is_known = true;
    let mut fields = message.fields();
    while let Some(field) = fields.next(source)? {
        if field.number == 1 {
            let dimension = field.message("a dimension of a value")?;
            is_known &= multiply(source, dimension, &mut size)?;
        }
    }
    Ok(is_known.then_some(size))
}

/// Multiplies `size` by a `Dimension`, and tells whether it could: a dimension may be empty.
fn multiply<R: Read + Seek>(
    source: &mut Source<R>,
    dimension: Message,
    size: &mut Size,
) -> Result<bool, Failure> {
    let mut is_known = false;
    let mut fields = dimension.fields();
    while let Some(field) = fields.next(source)? {
        match field.number {
            1 => {
                let value = field.varint("a dimension of a value")?;
                // -1 is how some exporters write what they do not know.
                if i64::try_from(value).is_ok() {
                    is_known = true;
                    size.bits = size.bits.checked_mul(value).ok_or_else(|| overflow(dimension))?;
                }
            }
            2 => {
                let name = field.text(source, LONGEST_NAME, "the name of a dimension")?;
                is_known = !name.is_empty();
                named(&name, size).ok_or_else(|| overflow(dimension))?;
            }
            _ => {}
        }
    }
    Ok(is_known)
}

/// Multiplies `size` by the dimension called `name`, which may be a product such as `batch_size*12`.
fn named(name: &str, size: &mut Size) -> Option<()> {
    for factor in name.split('*').map(str::trim).filter(|factor| !factor.is_empty()) {
        match factor.parse::<u64>() {
            Ok(number) => size.bits = size.bits.checked_mul(number)?,
            Err(_) => size.symbols.push(Symbol::of(factor)),
        }
    }
    Some(())
}

fn overflow(dimension: Message) -> Failure {
    Fault::new("the size of a value overflows").offset(dimension.start).into()
}
