//! One function a scheme: the names and shapes that give it away, and the elements of the weight it packs.
//!
//! Layouts: AutoGPTQ 0.7 `qlinear_cuda`, AutoAWQ 0.2 `WQLinear_GEMM` and `_GEMV`, Marlin, bitsandbytes 0.45 `QuantState`,
//! gpt-oss (MXFP4), NVIDIA ModelOpt 0.2x (NVFP4), compressed-tensors 0.9 `pack_to_int32`, DeepSeek-V3 (FP8 in blocks),
//! EETQ, HQQ 0.2 `BitPack`, optimum-quanto 0.2 `PackedTensor`, MLX 0.2x `quantize`.

use super::{Found, Peek, Settings, Shelf};
use crate::model::{Dtype, Tensor};

/// Bits a packed word of 32 may hold a weight in.
const WIDTHS: [u64; 6] = [2, 3, 4, 5, 6, 8];

/// The largest tensor whose content is read: a shape, or the description of a quantised tensor.
const LARGEST_PEEK: u64 = 1 << 16;

/// The module and the last segment of a name.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// What the names of packed weights end with.
const ENDINGS: [&str; 6] = [".qweight", ".B", "_packed", ".W_q", "._data", "_blocks"];

/// Whether `tensor` alone, by its dtype or name, may be a packed weight: most models have none.
pub(super) fn may_be_packed(tensor: &Tensor) -> bool {
    !matches!(tensor.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
        || ENDINGS.iter().any(|end| tensor.name.ends_with(end))
}

/// The scheme that `tensor` is packed by, if it is.
pub(super) fn find(
    shelf: &Shelf<'_>,
    tensor: &Tensor,
    settings: &Settings,
    peek: &mut Peek<'_>,
) -> Option<Found> {
    let name = tensor.name.as_str();
    let start = |end: &str| name.strip_suffix(end);
    if let Some(module) = start(".qweight") {
        return words(shelf, tensor, module, settings);
    }
    if let Some(module) = start(".B") {
        return marlin(shelf, tensor, module, settings);
    }
    if let Some(weight) = start("_packed") {
        return compressed(shelf, tensor, weight, settings, peek);
    }
    if let Some(module) = start(".W_q") {
        return hqq(shelf, tensor, module, settings, peek);
    }
    if let Some(weight) = start("._data._data").or_else(|| start("._data")) {
        return quanto(shelf, tensor, weight, settings);
    }
    if let Some(weight) = start("_blocks") {
        return mxfp4(shelf, tensor, weight);
    }
    match tensor.dtype {
        Dtype::U8 => bitsandbytes(shelf, tensor, peek).or_else(|| nvfp4(shelf, tensor)),
        Dtype::U32 => mlx(shelf, tensor, settings),
        Dtype::I8 | Dtype::F8_E4M3 | Dtype::F8_E5M2 | Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ => {
            scaled(shelf, tensor)
        }
        _ => None,
    }
}

/// GPTQ packs 32-bit words along the input, AWQ along the output; the scales, one column an output, tell which.
fn words(shelf: &Shelf<'_>, tensor: &Tensor, module: &str, settings: &Settings) -> Option<Found> {
    let scales = shelf.get(module, ".scales")?;
    let ([rows, columns], [groups, outputs]) = (pair(tensor)?, pair(scales)?);
    if tensor.dtype != Dtype::I32 || outputs == 0 {
        return None;
    }
    let word_bits = |words: u64| words.checked_mul(32);
    let (default, bits, inputs, outputs) = if columns == outputs {
        let zeros = shelf.get(module, ".qzeros").and_then(pair);
        let of_zeros = zeros.and_then(|[_, columns]| word_bits(columns)?.checked_div(outputs));
        let bits = of_zeros.filter(|bits| WIDTHS.contains(bits)).or(settings.bits())?;
        ("gptq", bits, word_bits(rows)?.checked_div(bits)?, outputs)
    } else if outputs > columns && word_bits(columns)?.is_multiple_of(outputs) {
        ("awq", word_bits(columns)?.checked_div(outputs)?, rows, outputs)
    } else {
        let bits = settings.bits().unwrap_or(4);
        return Some(Found {
            scheme: format!("awq {bits} bit"),
            parameters: rows.checked_mul(word_bits(columns)?.checked_div(bits)?)?,
            weight: format!("{module}.weight"),
        });
    };
    let method = settings.method().unwrap_or(default);
    let scheme = grouped(&format!("{method} {bits} bit"), inputs, groups);
    Some(Found { scheme, parameters: inputs.checked_mul(outputs)?, weight: format!("{module}.weight") })
}

/// Marlin's tiles: `B` holds 32-bit words, `s` the scales.
fn marlin(shelf: &Shelf<'_>, tensor: &Tensor, module: &str, settings: &Settings) -> Option<Found> {
    let scales = shelf.get(module, ".s")?;
    let bits = settings.bits().unwrap_or(4);
    let parameters = packed(tensor, 32_u64.checked_div(bits)?)?;
    let [groups, outputs] = pair(scales)?;
    let scheme = grouped(&format!("marlin {bits} bit"), parameters.checked_div(outputs)?, groups);
    (tensor.dtype == Dtype::I32).then(|| Found { scheme, parameters, weight: format!("{module}.weight") })
}

/// bitsandbytes, four bits: a column of bytes, whose true shape only its description knows.
fn bitsandbytes(shelf: &Shelf<'_>, tensor: &Tensor, peek: &mut Peek<'_>) -> Option<Found> {
    shelf.get(&tensor.name, ".absmax")?;
    let kinds = ["nf4", "fp4"];
    let described = kinds.iter().find_map(|kind| {
        Some((*kind, shelf.place(&tensor.name, &format!(".quant_state.bitsandbytes__{kind}"))?))
    });
    let twice = packed(tensor, 2)?;
    let exact = described.and_then(|(_, place)| {
        let json = read(shelf, place, peek)?;
        let shape = serde_json::from_slice::<serde_json::Value>(&json).ok()?;
        let sizes: Option<Vec<u64>> =
            shape.get("shape")?.as_array()?.iter().map(serde_json::Value::as_u64).collect();
        let elements = sizes?.into_iter().try_fold(1_u64, u64::checked_mul)?;
        // The last byte may be half full; anything else is not what this tensor holds.
        (elements == twice || elements.checked_add(1) == Some(twice)).then_some(elements)
    });
    let kind = described.map_or("4 bit", |(kind, _)| kind);
    let scheme = format!("bitsandbytes {kind}");
    Some(Found { scheme, parameters: exact.unwrap_or(twice), weight: tensor.name.clone() })
}

/// MXFP4 as gpt-oss stores it: blocks of 16 bytes, two weights a byte, and one exponent a block.
fn mxfp4(shelf: &Shelf<'_>, tensor: &Tensor, weight: &str) -> Option<Found> {
    let scales = shelf.get(weight, "_scales")?;
    let (last, blocks) = tensor.shape.split_last()?;
    let is_whole = tensor.dtype == Dtype::U8 && *last == 16 && blocks == scales.shape;
    let parameters = packed(tensor, 2)?;
    is_whole.then(|| Found { scheme: "mxfp4".to_owned(), parameters, weight: weight.to_owned() })
}

/// NVFP4 as ModelOpt stores it: two weights a byte, an eight-bit scale for each sixteen.
fn nvfp4(shelf: &Shelf<'_>, tensor: &Tensor) -> Option<Found> {
    let scale = shelf.get(&tensor.name, "_scale").filter(|scale| scale.dtype == Dtype::F8_E4M3)?;
    let parameters = packed(tensor, 2)?;
    let scheme = grouped("nvfp4", parameters, scale.elements());
    Some(Found { scheme, parameters, weight: tensor.name.clone() })
}

/// compressed-tensors: 32-bit words along the input with as many whole weights as fit into each, or bytes of two FP4.
fn compressed(
    shelf: &Shelf<'_>,
    tensor: &Tensor,
    weight: &str,
    settings: &Settings,
    peek: &mut Peek<'_>,
) -> Option<Found> {
    let scale = shelf.get(weight, "_scale")?;
    if tensor.dtype == Dtype::U8 {
        let scheme =
            if scale.dtype == Dtype::U8 { "compressed-tensors mxfp4" } else { "compressed-tensors nvfp4" };
        return Some(Found {
            scheme: scheme.to_owned(),
            parameters: packed(tensor, 2)?,
            weight: weight.to_owned(),
        });
    }
    let (columns, outer) = tensor.shape.split_last()?;
    let groups = *scale.shape.last()?;
    let rows = outer.iter().try_fold(1_u64, |product, &size| product.checked_mul(size))?;
    let bits = settings.bits().unwrap_or(4);
    let room = columns.checked_mul(32_u64.checked_div(bits)?)?;
    let by_group = settings.group(split(weight).0).and_then(|group| groups.checked_mul(group));
    let inputs = if by_group == Some(room) {
        room
    } else {
        shape_of(shelf, weight, peek)
            .and_then(|shape| shape.last().copied())
            .filter(|&size| size <= room)
            .unwrap_or(room)
    };
    let scheme = grouped(&format!("compressed-tensors {bits} bit"), inputs, groups);
    let parameters = rows.checked_mul(inputs)?;
    (tensor.dtype == Dtype::I32).then(|| Found { scheme, parameters, weight: weight.to_owned() })
}

/// The numbers in `…_shape`, a short vector of integers.
fn shape_of(shelf: &Shelf<'_>, weight: &str, peek: &mut Peek<'_>) -> Option<Vec<u64>> {
    integers(shelf, shelf.place(weight, "_shape")?, peek)
}

/// Eight bits an element, with a scale: the elements stand one by one.
fn scaled(shelf: &Shelf<'_>, tensor: &Tensor) -> Option<Found> {
    let name = tensor.name.as_str();
    let kind = if tensor.dtype == Dtype::I8 { "int8" } else { "fp8" };
    let (module, _) = split(name);
    let scheme = if let Some(scale) = shelf.get(name, "_scale_inv") {
        format!("{kind}{}", blocks(tensor, scale))
    } else if let Some(scale) = shelf.get(name, "_scale") {
        format!("{kind}{}", blocks(tensor, scale))
    } else if shelf.get(name, "_scales").is_some() {
        format!("eetq {kind}")
    } else if kind == "int8" && shelf.get(module, ".SCB").is_some() {
        "bitsandbytes int8".to_owned()
    } else {
        return None;
    };
    Some(Found { scheme, parameters: tensor.elements(), weight: name.to_owned() })
}

/// HQQ: bytes or words of several weights, whose true shape stands beside them.
fn hqq(
    shelf: &Shelf<'_>,
    tensor: &Tensor,
    module: &str,
    settings: &Settings,
    peek: &mut Peek<'_>,
) -> Option<Found> {
    let mut numbers = |end: &str| integers(shelf, shelf.place(module, end)?, peek);
    let bits = numbers(".nbits").and_then(|bits| bits.first().copied()).or(settings.bits());
    let bits = bits.filter(|bits| (1..=8).contains(bits)).unwrap_or(4);
    // Three bits go ten to a word, the others fill bytes.
    let in_one = if bits == 3 { 10 } else { 8_u64.checked_div(bits)? };
    let room = packed(tensor, in_one)?;
    let shape = numbers(".shape").and_then(|shape| shape.into_iter().try_fold(1_u64, u64::checked_mul));
    let parameters = shape.filter(|&elements| elements <= room).unwrap_or(room);
    let groups = shelf.get(module, ".scale").map_or(1, Tensor::elements);
    let scheme = grouped(&format!("hqq {bits} bit"), parameters, groups);
    Some(Found { scheme, parameters, weight: format!("{module}.weight") })
}

/// quanto: one weight a byte, or several along the first dimension.
fn quanto(shelf: &Shelf<'_>, tensor: &Tensor, weight: &str, settings: &Settings) -> Option<Found> {
    shelf.get(weight, "._scale")?;
    let is_packed = tensor.dtype == Dtype::U8;
    let bits = if is_packed { settings.bits().filter(|bits| [2, 4].contains(bits)).unwrap_or(4) } else { 8 };
    let parameters = packed(tensor, 8_u64.checked_div(bits)?)?;
    Some(Found { scheme: format!("quanto {bits} bit"), parameters, weight: weight.to_owned() })
}

/// MLX: bits run on through 32-bit words along the input; scales and biases hold one column a group.
fn mlx(shelf: &Shelf<'_>, tensor: &Tensor, settings: &Settings) -> Option<Found> {
    let (module, last) = split(&tensor.name);
    let scales = shelf.get(module, ".scales").filter(|_| last == "weight")?;
    let (columns, outer) = tensor.shape.split_last()?;
    let groups = *scales.shape.last()?;
    let bits_in_row = columns.checked_mul(32)?;
    let fits = |group: u64| {
        let inputs = groups.checked_mul(group)?;
        let bits = bits_in_row.checked_div(inputs)?;
        (WIDTHS.contains(&bits) && inputs.checked_mul(bits) == Some(bits_in_row))
            .then_some((group, inputs, bits))
    };
    let stated = settings.group(module);
    let (group, inputs, bits) = stated.into_iter().chain([64, 32, 128, 16]).find_map(fits)?;
    let parameters = outer.iter().try_fold(inputs, |product, &size| product.checked_mul(size))?;
    Some(Found { scheme: format!("mlx {bits} bit, group {group}"), parameters, weight: tensor.name.clone() })
}

/// The scheme with the weights under one scale, where a row has several.
fn grouped(scheme: &str, inputs: u64, groups: u64) -> String {
    match inputs.checked_div(groups) {
        Some(group) if groups > 1 => format!("{scheme}, group {group}"),
        _ => scheme.to_owned(),
    }
}

/// The blocks that a matrix of scales cuts a matrix of weights into; nothing where it has one scale a row or in all.
fn blocks(tensor: &Tensor, scale: &Tensor) -> String {
    let (Some([rows, columns]), Some([down, across])) = (pair(tensor), pair(scale)) else {
        return String::new();
    };
    if down == 0 || across <= 1 {
        return String::new();
    }
    if down == rows {
        return format!(", group {}", columns.div_ceil(across));
    }
    format!(", block {}x{}", side(rows, down), side(columns, across))
}

/// A side that the blocks do not divide is rounded up to a power of two, as all blocks in use are.
fn side(length: u64, blocks: u64) -> u64 {
    let least = length.div_ceil(blocks.max(1));
    least.checked_next_power_of_two().unwrap_or(least)
}

fn pair(tensor: &Tensor) -> Option<[u64; 2]> {
    tensor.shape.as_slice().try_into().ok()
}

fn packed(tensor: &Tensor, in_one: u64) -> Option<u64> {
    tensor.elements().checked_mul(in_one).filter(|_| in_one > 0)
}

fn read(shelf: &Shelf<'_>, place: usize, peek: &mut Peek<'_>) -> Option<Vec<u8>> {
    let tensor = shelf.tensors.get(place).filter(|tensor| tensor.bytes.get() <= LARGEST_PEEK)?;
    peek(tensor, place)
}

/// The elements of a small tensor of integers.
fn integers(shelf: &Shelf<'_>, place: usize, peek: &mut Peek<'_>) -> Option<Vec<u64>> {
    let bytes = read(shelf, place, peek)?;
    match shelf.tensors.get(place)?.dtype {
        Dtype::I64 => Some(bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()),
        Dtype::I32 => {
            Some(bytes.as_chunks().0.iter().map(|chunk| u64::from(u32::from_le_bytes(*chunk))).collect())
        }
        Dtype::U8 => Some(bytes.into_iter().map(u64::from).collect()),
        _ => None,
    }
}
