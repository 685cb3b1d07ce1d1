//! ML programs: functions of operations, of which some are constants and some expand compressed ones.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::value::{Constant, Data, Type};
use super::weights::{Key, Node, Part};
use super::{Failure, Fault, LONGEST_NAME, Message, Reader};
use crate::model::graph::{Recorder, Size, ValueId};
use crate::units::Bytes;

/// Functions of one program at most.
const MOST_FUNCTIONS: usize = 1 << 10;

/// Inputs of operations that say how weights are stored and are none themselves.
const SETTINGS: [&str; 4] = ["axis", "name", "shape", "vector_axis"];

/// An operation: `type` 1, `inputs` 2, `outputs` 3, `blocks` 4, `attributes` 5.
#[derive(Default)]
struct Operation {
    kind: String,
    inputs: Vec<(String, Binding)>,
    outputs: Vec<(String, Option<Type>)>,
    blocks: Vec<Message>,
}

/// What an input of an operation is bound to; attributes are bound to constants.
enum Binding {
    Name(String),
    Value(Constant),
}

/// What is known of one function while its operations are read.
struct Scope {
    prefix: String,
    /// Constants and expanded weights by name.
    weights: HashMap<String, usize>,
    /// Values computed, by name.
    values: HashMap<String, ValueId>,
    recorder: Recorder,
    states: Bytes,
}

impl<R: Read + Seek> Reader<'_, '_, R> {
    /// `Program`: version 1, functions 2.
    pub(super) fn program(
        &mut self,
        message: Message,
        default: Option<&str>,
        prefix: &str,
    ) -> Result<(), Failure> {
        let mut functions = Vec::new();
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            if field.number == 2 {
                let (name, function) = self.entry(field.message("a function")?)?;
                functions.extend(function.map(|function| (name, function)));
            }
            if functions.len() > MOST_FUNCTIONS {
                let reason = format!("a program of more than {MOST_FUNCTIONS} functions");
                return Err(Fault::new(reason).offset(field.offset).into());
            }
        }
        // The order of a map is any; the function that runs by default comes first, then the others by name.
        let default = default.unwrap_or("main");
        functions.sort_by(|(a, _), (b, _)| (a != default, a).cmp(&(b != default, b)));
        let is_alone = functions.len() == 1;
        if !is_alone {
            let names: Vec<_> = functions.iter().take(8).map(|(name, _)| name.as_str()).collect();
            let note = format!(
                "{} functions share the weights ({}); the graph is of the first.",
                functions.len(),
                names.join(", ")
            );
            self.note(note);
        }
        for (place, (name, function)) in functions.into_iter().enumerate() {
            let prefix = if is_alone { prefix.to_owned() } else { format!("{prefix}{name}.") };
            self.function(function, prefix, place == 0)?;
        }
        Ok(())
    }

    /// `Function`: inputs 1, opset 2, `block_specializations` 3.
    fn function(&mut self, message: Message, prefix: String, is_default: bool) -> Result<(), Failure> {
        let (mut opset, mut blocks, mut inputs) = (String::new(), Vec::new(), Vec::new());
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => inputs.push(field.message("an input")?),
                2 => opset = field.text(self.source, LONGEST_NAME, "an opset")?,
                3 => {
                    let (name, block) = self.entry(field.message("a block")?)?;
                    blocks.extend(block.map(|block| (name, block)));
                }
                _ => {}
            }
        }
        let chosen = blocks.iter().find(|(name, _)| *name == opset).or(blocks.first());
        let Some(&(_, block)) = chosen else {
            return Err(Fault::new("a function without a block").offset(message.start).into());
        };
        let mut scope = Scope {
            prefix,
            weights: HashMap::new(),
            values: HashMap::new(),
            recorder: Recorder::default(),
            states: Bytes::ZERO,
        };
        for input in inputs {
            let (name, of) = self.named_type(input)?;
            scope.make(name, of.as_ref())?;
        }
        self.block(block, &mut scope)?;
        self.weights.finish();
        if is_default {
            if !scope.states.is_zero() {
                self.note(format!("Its state, kept from call to call, takes {}.", scope.states));
            }
            self.contents.graph = Some(scope.recorder.finish());
        }
        Ok(())
    }

    /// `Block`: inputs 1, outputs 2, operations 3. The names read within it are given back.
    fn block(&mut self, message: Message, scope: &mut Scope) -> Result<Vec<ValueId>, Failure> {
        let (mut read, mut outputs) = (Vec::new(), Vec::new());
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => {
                    let (name, of) = self.named_type(field.message("an input")?)?;
                    scope.make(name, of.as_ref())?;
                }
                2 => outputs.push(field.text(self.source, LONGEST_NAME, "an output")?),
                3 => {
                    let operation = self.operation(field.message("an operation")?)?;
                    self.run(operation, scope, &mut read)?;
                }
                _ => {}
            }
        }
        for name in outputs {
            scope.read(&name, &mut read);
        }
        Ok(read)
    }

    /// Takes note of what one operation holds, reads and makes.
    fn run(
        &mut self,
        operation: Operation,
        scope: &mut Scope,
        read: &mut Vec<ValueId>,
    ) -> Result<(), Failure> {
        let is_weight = operation.kind == "const" || operation.kind.starts_with("constexpr_");
        if is_weight {
            return self.weight(operation, scope);
        }
        scope.recorder.advance();
        for (_, binding) in &operation.inputs {
            if let Binding::Name(name) = binding {
                scope.read(name, read);
            }
        }
        let mut within = Vec::new();
        for block in operation.blocks {
            within.extend(self.block(block, scope)?);
        }
        // A loop may run again: what is read within it is kept to its end.
        for &id in &within {
            scope.recorder.read(id);
        }
        read.append(&mut within);
        let name = operation.outputs.first().map_or(operation.kind.as_str(), |(name, _)| name);
        for (input, binding) in operation.inputs {
            if let Binding::Value(Constant { of, data: data @ Data::Blob(..) }) = binding {
                let part = self.part("val", Constant { of: of.clone(), data }, name)?;
                self.weights.add(Node::plain(format!("{}{name}.{input}", scope.prefix), of, part));
            }
        }
        for (name, of) in &operation.outputs {
            scope.make(name.clone(), of.as_ref())?;
        }
        Ok(())
    }

    /// A constant, or an expression that expands one.
    fn weight(&mut self, operation: Operation, scope: &mut Scope) -> Result<(), Failure> {
        let Operation { kind, inputs, outputs, .. } = operation;
        // The expression of several outputs that gives the values gives them last.
        let Some((name, of)) = outputs.last().cloned() else { return Ok(()) };
        let mut node = Node::of(&kind, format!("{}{name}", scope.prefix), of);
        for (input, binding) in inputs {
            match binding {
                Binding::Name(inner) => node.inner.extend(scope.weights.get(&inner).copied()),
                Binding::Value(constant) if !SETTINGS.contains(&input.as_str()) => {
                    node.parts.extend(self.part(&input, constant, &name)?);
                }
                Binding::Value(_) => {}
            }
        }
        let place = self.weights.add(node);
        for (name, _) in outputs {
            scope.weights.insert(name, place);
        }
        Ok(())
    }

    /// One stored piece of a weight; `None` for a constant that is no tensor.
    fn part(&mut self, role: &str, constant: Constant, name: &str) -> Result<Option<Part>, Failure> {
        let Constant { of: Some(of), data } = constant else { return Ok(None) };
        let fault = |reason: String| Failure::from(Fault::new(reason).field(name));
        let Some(dense) = of.bytes() else {
            return Err(fault("a constant without a fixed shape, or too large".to_owned()));
        };
        let (key, bytes, offset) = match data {
            Data::Blob(file, at) => {
                let blob = (self.find)(&file, at)?;
                if dense.get() != blob.bytes {
                    let reason = format!(
                        "its type takes {} bytes, its blob at {at} of {file:?} has {}",
                        dense.get(),
                        blob.bytes
                    );
                    return Err(fault(reason));
                }
                (Key::Blob(file, at), dense, blob.start)
            }
            // Text and truth values are no weights, and numbers are written in at least a bit each.
            Data::Inline(message) => {
                if dense.get() > message.length().saturating_mul(8) {
                    let reason =
                        format!("its type takes {} bytes, the file holds {}", dense.get(), message.length());
                    return Err(Fault::new(reason).offset(message.start).field(name).into());
                }
                let bytes = dense.min(Bytes::new(message.length()));
                (Key::Inline(message.start), bytes, message.start)
            }
            Data::Missing => return Ok(None),
        };
        Ok(Some(Part { key, role: role.to_owned(), of, bytes, offset }))
    }

    fn operation(&mut self, message: Message) -> Result<Operation, Failure> {
        let mut operation = Operation::default();
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => operation.kind = field.text(self.source, LONGEST_NAME, "the type of an operation")?,
                2 => {
                    let (name, argument) = self.entry(field.message("an input")?)?;
                    if let Some(argument) = argument {
                        self.argument(&name, argument, &mut operation.inputs)?;
                    }
                }
                3 => operation.outputs.push(self.named_type(field.message("an output")?)?),
                4 => operation.blocks.push(field.message("a block")?),
                5 => {
                    let (name, value) = self.entry(field.message("an attribute")?)?;
                    if let Some(value) = value {
                        operation.inputs.push((name, Binding::Value(self.constant(value)?)));
                    }
                }
                _ => {}
            }
        }
        Ok(operation)
    }

    /// `Argument`: bindings 1, each a name 1 or a value 2.
    fn argument(
        &mut self,
        name: &str,
        message: Message,
        inputs: &mut Vec<(String, Binding)>,
    ) -> Result<(), Failure> {
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            if field.number != 1 {
                continue;
            }
            let mut parts = field.message("a binding")?.fields();
            while let Some(part) = parts.next(self.source)? {
                let binding = match part.number {
                    1 => Binding::Name(part.text(self.source, LONGEST_NAME, "the name of a value")?),
                    2 => Binding::Value(self.constant(part.message("a value")?)?),
                    _ => continue,
                };
                inputs.push((name.to_owned(), binding));
            }
        }
        Ok(())
    }

    /// `NamedValueType`: name 1, type 2.
    fn named_type(&mut self, message: Message) -> Result<(String, Option<Type>), Failure> {
        let (name, of) = self.entry(message)?;
        let of = of.map(|of| self.value_type(of)).transpose()?;
        Ok((name, of.flatten()))
    }

    /// A text 1 and a message 2, as the entries of a map are.
    fn entry(&mut self, message: Message) -> Result<(String, Option<Message>), Failure> {
        let (mut key, mut value) = (String::new(), None);
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => key = field.text(self.source, LONGEST_NAME, "a name")?,
                2 => value = Some(field.message("a named value")?),
                _ => {}
            }
        }
        Ok((key, value))
    }
}

impl Scope {
    /// A value comes to be; one that is kept between calls is no activation.
    fn make(&mut self, name: String, of: Option<&Type>) -> Result<(), Failure> {
        if let Some(state) = of.filter(|of| of.is_state) {
            self.states = self.states.saturating_add(state.bytes().unwrap_or(Bytes::ZERO));
            return Ok(());
        }
        let bits = of.and_then(|of| of.elements()?.checked_mul(of.dtype.block().1));
        let size = bits.map(|bits| Size { bits, symbols: Vec::new() });
        let id = self.recorder.make(size)?;
        self.values.insert(name, id);
        Ok(())
    }

    fn read(&mut self, name: &str, read: &mut Vec<ValueId>) {
        if let Some(&id) = self.values.get(name) {
            self.recorder.read(id);
            read.push(id);
        }
    }
}
