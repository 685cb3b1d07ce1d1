//! Core ML: `.mlpackage` directories and bare `.mlmodel` files.
//!
//! A package names its model file in a manifest; that file is a protobuf message whose ML program refers to weights in
//! files beside it, and whose older neural networks hold theirs within. Compressed weights are `constexpr` operations:
//! what they store is counted as bytes, and what they expand to as `expanded`, since some runtimes expand all of it at
//! load. Field numbers: `Model.proto`, `MIL.proto` and `NeuralNetwork.proto` of coremltools 9.0.

mod blob;
mod network;
mod package;
mod program;
mod value;
mod weights;

use std::io::{Read, Seek};
use std::path::Path;

use super::fault::{Failure, Fault};
use super::wire::{Field, Message};
use super::{Contents, Source};
use crate::error::Result;
use crate::units::Bytes;
use blob::Folder;
use weights::Weights;

pub use blob::{Blob, Lookup};
pub(super) use package::is_package;

/// `Model.specificationVersion`, `description`, the kinds of model.
const VERSION: u32 = 1;
const DESCRIPTION: u32 = 2;
const PIPELINES: [u32; 3] = [200, 201, 202];
const NETWORKS: [u32; 3] = [303, 403, 500];
const ML_PROGRAM: u32 = 502;
/// The least number of a kind of model.
const FIRST_KIND: u32 = 200;

/// `ModelDescription.functions`, `defaultFunctionName`.
const DEFAULT_FUNCTION: u32 = 21;

/// Names of models, functions, layers and operations at most.
const LONGEST_NAME: u64 = 1 << 12;

/// Models within one pipeline at most, and pipelines within one another.
const MOST_MODELS: usize = 1 << 10;
const DEEPEST_PIPELINE: usize = 4;

/// Reads the package or model file at `path`, and the headers of its weights.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read, [`crate::Error::ModelFile`] with offset and operation if it is not what it
/// says.
pub fn open(path: &Path) -> Result<Contents> {
    let file = package::model_file(path)?;
    let mut source = Source::open(&file)?;
    let mut folder = Folder::of(file.parent().unwrap_or(Path::new("")));
    let mut contents = read(&mut source, &mut |name, offset| folder.find(name, offset))
        .map_err(|failure| failure.at(&file))?;
    contents.file_bytes = Bytes::sum([contents.file_bytes, folder.bytes()], "the files of the package")?;
    Ok(contents)
}

/// Reads the model file in `source`; `find` looks up the weights it keeps in other files.
///
/// # Errors
/// [`Failure::Fault`] for what no valid file holds, [`Failure::Io`] for what `source` itself reports.
pub fn read<R: Read + Seek>(source: &mut Source<R>, find: &mut Lookup<'_>) -> Result<Contents, Failure> {
    let whole = Message::whole(source);
    let mut reader = Reader { source, find, weights: Weights::default(), contents: Contents::default() };
    reader.model(whole, "", 0)?;
    let Reader { source, weights, mut contents, .. } = reader;
    contents.file_bytes = Bytes::new(source.length());
    weights.into_contents(&mut contents);
    Ok(contents)
}

/// Whether a file that begins so is a model file: its version, then a description that begins with its inputs or its
/// functions. ONNX begins with the same two tags, and has text behind them.
pub(super) fn is_start(start: &[u8]) -> bool {
    let [0x08, 1..=99, 0x12, rest @ ..] = start else { return false };
    let length = rest.iter().position(|&byte| byte < 0x80).unwrap_or(rest.len());
    let inner = rest.get(length.saturating_add(1)..).unwrap_or_default();
    matches!(inner, [0x0a, ..] | [0x52, _, 0x0a, ..] | [0xa2 | 0xaa, 0x01, ..] | [0xa2, 0x06, ..])
}

/// What is read from, and what was found so far.
struct Reader<'a, 'b, R> {
    source: &'a mut Source<R>,
    find: &'a mut Lookup<'b>,
    weights: Weights,
    contents: Contents,
}

impl<R: Read + Seek> Reader<'_, '_, R> {
    /// Reads one model, whose tensors are named behind `prefix`.
    fn model(&mut self, message: Message, prefix: &str, depth: usize) -> Result<(), Failure> {
        let mut fields = message.fields();
        let (mut has_version, mut function, mut kind) = (false, None, None);
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                VERSION => {
                    has_version = true;
                    field.varint("the version")?;
                }
                DESCRIPTION => function = self.default_function(field.message("the description")?)?,
                number if number >= FIRST_KIND => kind = Some(field),
                _ => {}
            }
        }
        let Some(kind) = kind.filter(|_| has_version) else {
            return Err(Fault::new("not a Core ML model: no version, or no model")
                .offset(message.start)
                .into());
        };
        self.kind(kind, function.as_deref(), prefix, depth)
    }

    fn kind(
        &mut self,
        kind: Field,
        function: Option<&str>,
        prefix: &str,
        depth: usize,
    ) -> Result<(), Failure> {
        let message = kind.message("the model")?;
        match kind.number {
            ML_PROGRAM => self.program(message, function, prefix),
            number if NETWORKS.contains(&number) => self.network(message, prefix),
            number if PIPELINES.contains(&number) => {
                // A classifier or regressor wraps the pipeline proper.
                let inner = if number == 202 { message } else { self.only(message, 1)?.unwrap_or(message) };
                self.pipeline(inner, prefix, depth)
            }
            number if depth > 0 => {
                self.note(format!(
                    "A part of the pipeline (model kind {number}) holds no tensors and was passed over."
                ));
                Ok(())
            }
            number => {
                let reason =
                    format!("a Core ML model of kind {number}, which is no network and holds no tensors");
                Err(Fault::new(reason).offset(kind.offset).into())
            }
        }
    }

    fn pipeline(&mut self, message: Message, prefix: &str, depth: usize) -> Result<(), Failure> {
        if depth >= DEEPEST_PIPELINE {
            let reason = format!("pipelines lie in one another more than {DEEPEST_PIPELINE} deep");
            return Err(Fault::new(reason).offset(message.start).into());
        }
        let (mut models, mut names) = (Vec::new(), Vec::new());
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => models.push(field.message("a model of the pipeline")?),
                2 => names.push(field.text(self.source, LONGEST_NAME, "a name")?),
                _ => {}
            }
            if models.len() > MOST_MODELS {
                let reason = format!("a pipeline of more than {MOST_MODELS} models");
                return Err(Fault::new(reason).offset(field.offset).into());
            }
        }
        for (place, model) in models.into_iter().enumerate() {
            let name = names.get(place).filter(|name| !name.is_empty());
            let name = name.cloned().unwrap_or_else(|| format!("model{place}"));
            self.model(model, &format!("{prefix}{name}."), depth.saturating_add(1))?;
        }
        // Its parts run one after the other; which values pass between them is not followed.
        self.contents.graph = None;
        Ok(())
    }

    fn default_function(&mut self, message: Message) -> Result<Option<String>, Failure> {
        let mut fields = message.fields();
        let mut name = None;
        while let Some(field) = fields.next(self.source)? {
            if field.number == DEFAULT_FUNCTION {
                name = Some(field.text(self.source, LONGEST_NAME, "the default function")?);
            }
        }
        Ok(name.filter(|name| !name.is_empty()))
    }

    /// The last field of this number of a message, as a message.
    fn only(&mut self, message: Message, number: u32) -> Result<Option<Message>, Failure> {
        let mut fields = message.fields();
        let mut found = None;
        while let Some(field) = fields.next(self.source)? {
            if field.number == number {
                found = Some(field.message("a wrapped message")?);
            }
        }
        Ok(found)
    }

    fn note(&mut self, note: String) {
        if !self.contents.notes.contains(&note) {
            self.contents.notes.push(note);
        }
    }
}

#[cfg(test)]
mod tests;
