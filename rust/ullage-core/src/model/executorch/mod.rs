//! ExecuTorch: programs (`.pte`) and the weights that may lie apart from them (`.ptd`).
//!
//! Field numbers are those of `schema/program.fbs` (identifier `ET12`) and `flat_tensor.fbs` (`FT01`) as ExecuTorch 1.5.1
//! ships them, with the headers of `exir/_serialize/_program.py` and `extension/flat_tensor/serialize/serialize.py`.
//!
//! A program carries its memory plan: `non_const_buffer_sizes` are the arenas that its runtime allocates, exactly. What a
//! backend was handed is opaque: its bytes are known, what is in them is not.

mod program;
mod weights;

use std::io::{Read, Seek};
use std::path::Path;

use super::Contents;
use super::dtype::Dtype;
use super::fault::{Failure, Fault};
use super::flat::{Flat, Table, shape};
use super::source::Source;
use super::tensor::Tensor;
use crate::error::Result;

/// Identifier of a program, at byte 4.
pub(super) const PROGRAM: &[u8; 4] = b"ET12";
/// Identifier of weights on their own, at byte 4.
pub(super) const WEIGHTS: &[u8; 4] = b"FT01";

/// Where the flatbuffer ends and the segments begin, as the header behind the identifier says.
struct Layout {
    flat_end: u64,
    segment_base: u64,
}

/// A range of the file.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    length: u64,
}

/// Reads the program or the weights at `path`.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read, [`crate::Error::ModelFile`] with offset and tensor if it is not what it
/// says.
pub fn open(path: &Path) -> Result<Contents> {
    let mut source = Source::open(path)?;
    read(&mut source).map_err(|failure| failure.at(path))
}

/// Reads a program or weights on their own.
///
/// # Errors
/// [`Failure::Fault`] for what no valid file holds, [`Failure::Io`] for what the system reports.
pub fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    let identifier: [u8; 4] = source.array(4, "the identifier")?;
    if &identifier == WEIGHTS { weights::read(source) } else { program::read(source) }
}

/// A tensor of this `ScalarType` and these sizes.
fn described(name: String, scalar_type: u8, sizes: &[i32], start: u64) -> Result<Tensor, Failure> {
    let shape = shape(sizes, &name)?;
    let Some(dtype) = dtype(scalar_type) else {
        let reason = format!("unknown scalar type {scalar_type}");
        return Err(Fault::new(reason).offset(start).field(&name).into());
    };
    let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
    let Some(bytes) = elements.and_then(|elements| dtype.bytes_of(elements)) else {
        return Err(Fault::new("its size overflows").offset(start).field(&name).into());
    };
    Ok(Tensor::plain(name, dtype, shape, start, bytes))
}

/// The number format that `ScalarType` calls `id`.
fn dtype(id: u8) -> Option<Dtype> {
    Some(match id {
        0 | 13 => Dtype::U8,
        1 | 12 => Dtype::I8,
        2 => Dtype::I16,
        3 | 14 => Dtype::I32,
        4 => Dtype::I64,
        5 => Dtype::F16,
        6 => Dtype::F32,
        7 => Dtype::F64,
        11 => Dtype::BOOL,
        15 => Dtype::BF16,
        16 => Dtype::U4,
        17 => Dtype::U2,
        22 | 27 => Dtype::U16,
        23 => Dtype::F8_E5M2,
        24 => Dtype::F8_E4M3,
        25 => Dtype::F8_E5M2FNUZ,
        26 => Dtype::F8_E4M3FNUZ,
        28 => Dtype::U32,
        29 => Dtype::U64,
        _ => return None,
    })
}

/// The segments in field `id`, each checked to lie within the file.
fn segments<R: Read + Seek>(
    flat: &mut Flat<'_, R>,
    root: Table,
    id: u16,
    base: u64,
) -> Result<Vec<Range>, Failure> {
    let mut segments = Vec::new();
    for segment in flat.tables(root, id, "the segments")? {
        let offset = flat.long(segment, 0, "the offset of a segment")?;
        let length = flat.long(segment, 1, "the size of a segment")?;
        let start = base.checked_add(offset).filter(|_| base > 0);
        let end = start.and_then(|start| start.checked_add(length));
        let (Some(start), true) = (start, end.is_some_and(|end| end <= flat.source.length())) else {
            let reason = format!("a segment of {length} bytes at {offset} is not in the file");
            return Err(Fault::new(reason).offset(segment.start).into());
        };
        segments.push(Range { start, length });
    }
    Ok(segments)
}

fn header_length<R: Read + Seek>(source: &mut Source<R>, least: u32) -> Result<(), Failure> {
    let length = u32::from_le_bytes(source.array(12, "the length of the header")?);
    if length < least {
        return Err(Fault::new(format!("a header of {length} bytes, fewer than {least}")).offset(12).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
