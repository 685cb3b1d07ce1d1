//! Weights on their own: named data, of which some are tensors.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::super::Contents;
use super::super::dtype::Dtype;
use super::super::fault::{Failure, Fault};
use super::super::flat::Flat;
use super::super::source::Source;
use super::super::tensor::Tensor;
use super::{Layout, Range, described, header_length, segments};
use crate::units::Bytes;

/// Reads weights on their own.
pub(super) fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    let file_bytes = Bytes::new(source.length());
    let layout = layout(source)?;
    let mut flat = Flat::new(source, layout.flat_end)?;
    let root = flat.root()?;
    let segments = segments(&mut flat, root, 1, layout.segment_base)?;
    let (mut tensors, mut counted) = (Vec::new(), HashSet::new());
    for named in flat.tables(root, 2, "named_data")? {
        let key = flat.text(named, 0, "the key of named data")?;
        let index = flat.word(named, 1, "the segment of named data")?;
        let found = usize::try_from(index).ok().and_then(|index| segments.get(index));
        let Some(&Range { start, length }) = found else {
            let reason = format!("there is no segment {index}");
            return Err(Fault::new(reason).offset(named.start).field(&key).into());
        };
        let mut tensor = match flat.table(named, 2, "the layout of a tensor")? {
            Some(layout) => {
                let sizes = flat.integers(layout, 1, "the sizes of a tensor")?;
                let scalar_type = flat.byte(layout, 0, "the type of a tensor")?;
                described(key, scalar_type, &sizes, start)?
            }
            None => Tensor::plain(key, Dtype::U8, vec![length], start, Bytes::new(length)),
        };
        if tensor.bytes.get() > length {
            let reason = format!("{} bytes in a segment of {length}", tensor.bytes.get());
            return Err(Fault::new(reason).offset(start).field(&tensor.name).into());
        }
        if !counted.insert(index) {
            tensor.bytes = Bytes::ZERO;
            tensor.parameters = 0;
        }
        tensors.push(tensor);
    }
    Ok(Contents { tensors, file_bytes, ..Contents::default() })
}

/// The header of weights: where the flatbuffer is, how large, and where the segments begin.
fn layout<R: Read + Seek>(source: &mut Source<R>) -> Result<Layout, Failure> {
    const LENGTH: u32 = 40;
    if &source.array::<4>(8, "the header")? != b"FH01" {
        return Err(Fault::new("weights without the header FH01").offset(8).into());
    }
    header_length(source, LENGTH)?;
    // The header stands inside the flatbuffer, behind its identifier: both lengths together are where it ends.
    let header = u64::from_le_bytes(source.array(16, "the place of the flatbuffer")?);
    let flatbuffer = u64::from_le_bytes(source.array(24, "the size of the flatbuffer")?);
    let flat_end = header.saturating_add(flatbuffer);
    let segment_base = u64::from_le_bytes(source.array(32, "the segment base")?);
    Ok(Layout { flat_end, segment_base })
}
