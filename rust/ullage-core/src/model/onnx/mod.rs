//! ONNX: initialisers, the constants among the nodes, and the graph between them.
//!
//! Field numbers and data types are those of `onnx.proto` as ONNX 1.23 ships it (IR version 14). The file is walked with
//! a cursor, so weights inside it are sought past, and weights beside it (`external_data`) are only checked to be
//! there: of a model of 2 GB some kilobytes are read.
//!
//! What the graph needs is told by the shapes in it. Exporters that leave `value_info` out state none for inner values:
//! those are counted and not guessed, and `onnx.shape_inference` adds them.

mod external;
mod quantised;
mod tensor;
mod value;
mod walk;
mod weights;

use std::io::{Read, Seek};
use std::path::Path;

use super::fault::{Failure, Fault};
use super::source::Source;
use super::wire::{Field, Message, Value};
use super::{Contents, architecture};
use crate::error::Result;
use crate::units::Bytes;
use external::Neighbours;
use walk::Walk;

/// Names of values, operators and symbols.
const LONGEST_NAME: u64 = 1 << 12;

/// `ModelProto`.
mod model {
    pub(super) const GRAPH: u32 = 7;
    pub(super) const TRAINING: u32 = 20;
    pub(super) const FUNCTIONS: u32 = 25;
    /// Each of its fields, with its wire type: 0 for integers, 2 for what has a length.
    pub(super) const FIELDS: [(u32, u8); 12] = [
        (1, 0),
        (2, 2),
        (3, 2),
        (4, 2),
        (5, 0),
        (6, 2),
        (GRAPH, 2),
        (8, 2),
        (14, 2),
        (TRAINING, 2),
        (FUNCTIONS, 2),
        (26, 2),
    ];
}

/// Reads the model at `path`, and checks that the files with its external weights lie beside it.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read, [`crate::Error::ModelFile`] with offset and tensor if it is not what it
/// says.
pub fn open(path: &Path) -> Result<Contents> {
    let mut source = Source::open(path)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut length_of = |location: &str| external::length_beside(directory, location);
    let mut contents = read(&mut source, &mut length_of).map_err(|failure| failure.at(path))?;
    contents.architecture = architecture::beside(directory)?;
    Ok(contents)
}

/// Reads a model; `length_of` gives the bytes of a file of external weights.
///
/// # Errors
/// [`Failure::Fault`] for what no valid file holds, [`Failure::Io`] for what the system reports.
pub fn read<R: Read + Seek>(
    source: &mut Source<R>,
    length_of: &mut dyn FnMut(&str) -> Result<u64, Failure>,
) -> Result<Contents, Failure> {
    let file_bytes = Bytes::new(source.length());
    let mut walk = Walk::new(source, Neighbours::new(length_of));
    let mut fields = Message::whole(walk.source).fields();
    let (mut graph, mut functions, mut has_training) = (None, Vec::new(), false);
    while let Some(field) = fields.next(walk.source)? {
        match field.number {
            model::GRAPH => graph = Some(field.message("the graph")?),
            model::FUNCTIONS => functions.push(field.message("a function")?),
            model::TRAINING => has_training = true,
            _ => {}
        }
    }
    let graph = graph.ok_or_else(|| Fault::new("the model has no graph").offset(0))?;
    walk.graph(graph)?;
    for &function in &functions {
        walk.function(function)?;
    }
    let mut contents = walk.finish(file_bytes)?;
    if !functions.is_empty() {
        contents
            .notes
            .push("Values inside model-local functions are counted once, not once per call.".to_owned());
    }
    if has_training {
        contents.notes.push("The graphs for training it are left out.".to_owned());
    }
    Ok(contents)
}

/// Whether this is an ONNX model. The format has no magic number: what tells is that every field is one of a model, up
/// to its graph.
pub(super) fn is_model<R: Read + Seek>(source: &mut Source<R>) -> bool {
    let mut fields = Message::whole(source).fields();
    let mut count: u32 = 0;
    loop {
        match fields.next(source) {
            Ok(Some(field)) if !is_of_model(field) => return false,
            Ok(Some(field)) if field.number == model::GRAPH => return true,
            Ok(Some(_)) => count = count.saturating_add(1),
            Ok(None) => return false,
            // Two fields of a model and then a fault: a damaged one, which its reader can say more about.
            Err(_) => return count > 1,
        }
    }
}

fn is_of_model(field: Field) -> bool {
    let wire = match field.value {
        Value::Varint(_) => 0,
        Value::Bytes(_) => 2,
        Value::Fixed32(_) | Value::Fixed64(_) => return false,
    };
    model::FIELDS.contains(&(field.number, wire))
}

#[cfg(test)]
mod tests;
