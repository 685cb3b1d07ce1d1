//! What the calls that rebuild a tensor say of it.
//!
//! Arguments: `torch/_utils.py` of PyTorch 2.15 (`_rebuild_tensor_v2`, `_rebuild_tensor_v3`, `_rebuild_qtensor`,
//! `_rebuild_parameter`), `torch/_tensor.py` (`_rebuild_from_type_v2`) and `persistent_id` in `torch/serialization.py`.

use super::pickle::{Id, Pickle, Value};
use super::shown;
use crate::model::Dtype;

/// Calls wrapped in one another: a parameter of a subclass of a tensor.
const MOST_WRAPPED: usize = 8;

/// PyTorch itself stops at 64 dimensions.
const MOST_DIMENSIONS: usize = 64;

/// A tensor as its pickle describes it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) storage: Storage,
    pub(super) dtype: Dtype,
    /// Whether its integers stand for real numbers.
    pub(super) is_quantized: bool,
    /// Whether it stands for the negative, or the conjugate, of what is stored.
    pub(super) is_turned: bool,
    pub(super) shape: Vec<u64>,
    /// Elements of the storage from one to the next of each dimension.
    pub(super) strides: Vec<u64>,
    /// Its first byte in the storage, and the byte behind its last.
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A storage as a pickle refers to it.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) key: String,
    /// Bytes of all its elements.
    pub(super) bytes: u64,
    /// Where a view of another storage begins in that one: files before PyTorch 0.4.
    pub(super) shift: u64,
    dtype: Option<Dtype>,
    is_quantized: bool,
}

/// The tensor that the value would have become, if it would have become one.
///
/// # Errors
/// What is wrong with a call that rebuilds a tensor.
pub(super) fn tensor(pickle: &Pickle, mut id: Id) -> Result<Option<View>, String> {
    for _ in 0..MOST_WRAPPED {
        let Value::Object(object) = pickle.value(id) else { return Ok(None) };
        let arguments = pickle.items(object.arguments);
        let Some((module, name)) = pickle.global(object.class) else { return Ok(None) };
        match (module, name) {
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.jit._pickle", "restore_type_tag") => {
                let Some(inner) = arguments.first() else { return Ok(None) };
                id = *inner;
            }
            (
                "torch._utils",
                "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3" | "_rebuild_qtensor",
            ) => {
                return view(pickle, arguments, name == "_rebuild_tensor_v3").map(Some);
            }
            // (function, type, arguments, state): a subclass of a tensor that rebuilds as one.
            ("torch._tensor", "_rebuild_from_type_v2") => {
                let [function, _, inner, ..] = arguments else { return Ok(None) };
                let has_dtype = match pickle.global(*function) {
                    Some(("torch._utils", "_rebuild_tensor_v2")) => false,
                    Some(("torch._utils", "_rebuild_tensor_v3")) => true,
                    _ => return Ok(None),
                };
                return view(pickle, pickle.items(*inner), has_dtype).map(Some);
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// `(storage, offset, size, stride, …)`; the third version adds its dtype as the seventh.
fn view(pickle: &Pickle, arguments: &[Id], has_dtype: bool) -> Result<View, String> {
    let [storage, offset, size, stride, ..] = arguments else {
        return Err(format!("a tensor rebuilt from {} arguments", arguments.len()));
    };
    let storage = self::storage(pickle, *storage)?;
    let dtype = match arguments.get(6).filter(|_| has_dtype) {
        Some(named) => {
            let (_, name) = pickle.global(*named).ok_or("a tensor whose dtype has no name")?;
            dtype_of(name).ok_or_else(|| format!("unknown dtype {}", shown(name)))?
        }
        None => storage.dtype.ok_or("a tensor in an untyped storage that does not say its dtype")?,
    };
    let numbers = |id: Id, what: &str| -> Result<Vec<u64>, String> {
        let items = pickle.items(id);
        if items.len() > MOST_DIMENSIONS {
            return Err(format!("a tensor of {} dimensions", items.len()));
        }
        let numbers: Option<Vec<u64>> = items.iter().map(|item| pickle.count(*item)).collect();
        numbers.ok_or_else(|| format!("the {what} holds something that is no count"))
    };
    let (shape, strides) = (numbers(*size, "shape")?, numbers(*stride, "stride")?);
    let offset = pickle.count(*offset).ok_or("a tensor whose offset is no count")?;
    let (start, end) = extent(dtype, offset, &shape, &strides).ok_or("the shape's size overflows")?;
    let room = storage.bytes;
    if shape.len() != strides.len() || (end > room && end > start) {
        return Err(format!("the tensor ends at byte {end} of a storage of {room} bytes"));
    }
    let is_quantized = storage.is_quantized;
    let marks = arguments.get(if has_dtype { 7 } else { 6 });
    let is_turned =
        marks.is_some_and(|marks| matches!(pickle.value(*marks), Value::Dict(pairs) if !pairs.is_empty()));
    Ok(View { storage, dtype, is_quantized, is_turned, shape, strides, start, end })
}

/// The bytes of the storage that a view touches, from its first element to its last.
fn extent(dtype: Dtype, offset: u64, shape: &[u64], strides: &[u64]) -> Option<(u64, u64)> {
    shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size))?;
    let start = dtype.bytes_of(offset)?.get();
    if shape.contains(&0) {
        return Some((start, start));
    }
    let last = shape.iter().zip(strides).try_fold(offset, |sum, (&size, &stride)| {
        sum.checked_add(size.checked_sub(1)?.checked_mul(stride)?)
    })?;
    Some((start, dtype.bytes_of(last.checked_add(1)?)?.get()))
}

/// `("storage", type, key, location, elements)`, as persistent references have it.
fn storage(pickle: &Pickle, id: Id) -> Result<Storage, String> {
    let Value::Persistent(reference) = pickle.value(id) else {
        return Err("a tensor whose storage is none of the file's".to_owned());
    };
    referred(pickle, *reference)
}

/// Elements and bytes of the storage that a persistent reference names.
pub(super) fn size(pickle: &Pickle, reference: Id) -> Option<(u64, u64)> {
    let storage = referred(pickle, reference).ok()?;
    Some((pickle.count(*pickle.items(reference).get(4)?)?, storage.bytes))
}

fn referred(pickle: &Pickle, reference: Id) -> Result<Storage, String> {
    let parts = pickle.items(reference);
    let [kind, class, key, _, elements, rest @ ..] = parts else {
        return Err(format!("a reference of {} parts to a storage", parts.len()));
    };
    if pickle.text(*kind) != Some("storage") {
        return Err("a reference to something that is no storage".to_owned());
    }
    let (_, class) = pickle.global(*class).ok_or("a storage whose type has no name")?;
    let elements = pickle.count(*elements).ok_or("a storage whose length is no count")?;
    let dtype = storage_dtype(class)?;
    let width = dtype.unwrap_or(Dtype::U8);
    let size = |count| width.bytes_of(count).map(crate::Bytes::get);
    // (key, offset, elements) of a view.
    let shift = rest.first().and_then(|view| pickle.count(*pickle.items(*view).get(1)?)).and_then(size);
    Ok(Storage {
        key: pickle.text(*key).ok_or("a storage whose key is no text")?.to_owned(),
        bytes: size(elements).ok_or("the storage's size overflows")?,
        shift: shift.unwrap_or(0),
        dtype,
        is_quantized: class.starts_with('Q'),
    })
}

/// The dtype of a class of storages; `None` for the one that has none.
fn storage_dtype(class: &str) -> Result<Option<Dtype>, String> {
    Ok(Some(match class {
        "UntypedStorage" | "_UntypedStorage" => return Ok(None),
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" | "QInt32Storage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" | "QInt8Storage" => Dtype::I8,
        "ByteStorage" | "QUInt8Storage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "ComplexFloatStorage" => Dtype::C64,
        "ComplexDoubleStorage" => Dtype::C128,
        "QUInt4x2Storage" => Dtype::U4,
        "QUInt2x4Storage" => Dtype::U2,
        _ => return Err(format!("unknown storage type {}", shown(class))),
    }))
}

/// The dtype of this name in the module `torch`.
fn dtype_of(name: &str) -> Option<Dtype> {
    Some(match name {
        "float64" | "double" => Dtype::F64,
        "float32" | "float" => Dtype::F32,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "float8_e8m0fnu" => Dtype::F8_E8M0,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" | "qint8" => Dtype::I8,
        // Two numbers of four bits in each element.
        "float4_e2m1fn_x2" | "uint8" | "quint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "bool" => Dtype::BOOL,
        "complex32" => Dtype::C32,
        "complex64" => Dtype::C64,
        "complex128" => Dtype::C128,
        _ => return None,
    })
}
