//! Where the tensors of a header lie, and what they take.

use crate::model::dtype::Dtype;
use crate::model::fault::Fault;
use crate::model::tensor::Tensor;
use crate::units::{Bytes, clip};

/// Type ids as ggml.h numbers them. Those that are missing were removed (4, 5, 31-33, 36-38) or never given.
#[rustfmt::skip]
const TYPES: [Option<Dtype>; 43] = {
    use Dtype as D;
    [
        Some(D::F32), Some(D::F16), Some(D::Q4_0), Some(D::Q4_1), None, None, Some(D::Q5_0), Some(D::Q5_1),
        Some(D::Q8_0), Some(D::Q8_1), Some(D::Q2_K), Some(D::Q3_K), Some(D::Q4_K), Some(D::Q5_K), Some(D::Q6_K),
        Some(D::Q8_K), Some(D::IQ2_XXS), Some(D::IQ2_XS), Some(D::IQ3_XXS), Some(D::IQ1_S), Some(D::IQ4_NL),
        Some(D::IQ3_S), Some(D::IQ2_S), Some(D::IQ4_XS), Some(D::I8), Some(D::I16), Some(D::I32), Some(D::I64),
        Some(D::F64), Some(D::IQ1_M), Some(D::BF16), None, None, None, Some(D::TQ1_0), Some(D::TQ2_0), None, None,
        None, Some(D::MXFP4), Some(D::NVFP4), Some(D::Q1_0), Some(D::Q2_0),
    ]
};

/// One entry of the tensor list.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Outermost dimension first.
    pub(super) shape: Vec<u64>,
    pub(super) kind: u32,
    /// From the start of the data.
    pub(super) offset: u64,
}

/// Where the data lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) start: u64,
    pub(super) alignment: u64,
    pub(super) file_length: u64,
}

/// The tensors of `entries`, in their order, with what had to be assumed.
///
/// # Errors
/// [`Fault`] naming the tensor that overlaps another, is not aligned, breaks its blocks or ends behind the file.
pub(super) fn place(entries: Vec<Entry>, data: Data) -> Result<(Vec<Tensor>, Vec<String>), Fault> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&place| entries[place].offset);
    let is_absent = data.file_length <= data.start;
    let end = if is_absent { None } else { Some(data.file_length.saturating_sub(data.start)) };
    let mut bytes = vec![0; entries.len()];
    let mut taken: u64 = 0;
    let mut unknown = Vec::new();
    for (rank, &place) in order.iter().enumerate() {
        let entry = &entries[place];
        let fault = |reason: String| Err(Fault::new(reason).field(&entry.name));
        if !entry.offset.is_multiple_of(data.alignment) {
            return fault(format!("its offset {} is not a multiple of {}", entry.offset, data.alignment));
        }
        if entry.offset < taken {
            return fault(format!("it starts at {}, within the tensor that ends at {taken}", entry.offset));
        }
        let size = match dtype_of(entry.kind) {
            Dtype::Unknown(kind) => {
                unknown.push(place);
                let next = rank.checked_add(1).and_then(|next| order.get(next));
                match next.map(|&next| entries[next].offset).or(end).filter(|&next| next > entry.offset) {
                    Some(next) => next.saturating_sub(entry.offset),
                    None => return fault(format!("nothing tells the size of its type, number {kind}")),
                }
            }
            dtype => size_of(entry, dtype)?,
        };
        let Some(stop) =
            entry.offset.checked_add(size).filter(|stop| data.start.checked_add(*stop).is_some())
        else {
            return fault("its end passes 2^64".to_owned());
        };
        if let Some(end) = end.filter(|&end| stop > end) {
            return fault(format!("it ends {} bytes behind the file", stop.saturating_sub(end)));
        }
        taken = taken.max(stop);
        bytes[place] = size;
    }
    let notes = notes(&entries, &unknown, is_absent && !entries.is_empty());
    Ok((entries.into_iter().zip(bytes).map(|(entry, size)| tensor(entry, size, data.start)).collect(), notes))
}

fn tensor(entry: Entry, bytes: u64, start: u64) -> Tensor {
    let Entry { name, shape, kind, offset } = entry;
    Tensor::plain(name, dtype_of(kind), shape, start.saturating_add(offset), Bytes::new(bytes))
}

fn dtype_of(kind: u32) -> Dtype {
    let known = usize::try_from(kind).ok().and_then(|place| TYPES.get(place).copied().flatten());
    known.unwrap_or(Dtype::Unknown(kind))
}

fn size_of(entry: &Entry, dtype: Dtype) -> Result<u64, Fault> {
    let (block, _) = dtype.block();
    let row = entry.shape.last().copied().unwrap_or(1);
    if !row.is_multiple_of(block) {
        let reason = format!("rows of {row} elements in blocks of {block} ({dtype})");
        return Err(Fault::new(reason).field(&entry.name));
    }
    let elements = entry.shape.iter().try_fold(1, |product: u64, &size| product.checked_mul(size));
    let bytes = elements.and_then(|elements| dtype.bytes_of(elements));
    bytes.map(Bytes::get).ok_or_else(|| Fault::new("the shape's size overflows").field(&entry.name))
}

fn notes(entries: &[Entry], unknown: &[usize], is_absent: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if is_absent {
        notes.push("the file ends with its header: it holds no weights".to_owned());
    }
    if let Some(&first) = unknown.first() {
        let Entry { name, kind, .. } = &entries[first];
        let others = match unknown.len().saturating_sub(1) {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        notes.push(format!(
            "the type of {:?} (number {kind}){others} is not known: its bytes are those up to the next tensor",
            clip(name)
        ));
    }
    notes
}
