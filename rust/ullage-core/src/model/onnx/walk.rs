//! The way through the graphs of a model: weights, the sizes of values, and how long each is kept.
//!
//! One step per node, in file order, which the format asks to be an order of execution. What a graph takes in and gives
//! out is kept over all of its steps, for it belongs to the caller. The body of an `If`, `Loop` or `Scan` has its steps
//! where its node stands; what it takes from the graphs around it is kept until it ends. Operators that only change a
//! shape pass on what they were given. Element-wise operators, which ONNX Runtime may let write over their input, do not:
//! which of them do depends on its version and its provider, so what is counted can be above what it takes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{Read, Seek};

use super::super::Contents;
use super::super::fault::{Failure, Fault};
use super::super::graph::{Graph, Recorder, Size, Symbol, ValueId};
use super::super::source::Source;
use super::super::wire::{Field, Message};
use super::external::Neighbours;
use super::quantised::roles;
use super::weights::{WeightId, Weights};
use super::{LONGEST_NAME, value};
use crate::units::{Bytes, clip};

/// Operators whose output is their first input in another shape: ONNX Runtime gives it no memory of its own.
const VIEWS: [&str; 5] = ["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

/// Nodes of one graph; the largest exported ones have a tenth of it.
const MOST_NODES: usize = 1 << 20;

/// Integer attributes that size quantised weights.
const SIZES: [&str; 4] = ["K", "N", "bits", "expert_weight_bits"];

pub(super) struct Walk<'a, R> {
    pub(super) source: &'a mut Source<R>,
    weights: Weights<'a>,
    recorder: Recorder,
    scopes: Vec<Scope>,
}

/// The names of one graph. Those of the graphs around it can be seen from it.
#[derive(Default)]
struct Scope {
    places: HashMap<String, Place>,
    sizes: HashMap<String, Size>,
    /// The number of its first value: lower ones are of the graphs around it.
    first: ValueId,
    captured: HashSet<ValueId>,
}

#[derive(Clone, Copy)]
enum Place {
    Value(ValueId),
    Weight(WeightId),
}

/// `NodeProto`.
#[derive(Default)]
struct Node {
    inputs: Vec<String>,
    outputs: Vec<String>,
    operator: String,
    attributes: Vec<Message>,
}

impl<'a, R: Read + Seek> Walk<'a, R> {
    pub(super) fn new(source: &'a mut Source<R>, neighbours: Neighbours<'a>) -> Self {
        let weights = Weights { tensors: Vec::new(), neighbours };
        Self { source, weights, recorder: Recorder::default(), scopes: Vec::new() }
    }

    /// What was found; `file_bytes` is the size of the model itself.
    pub(super) fn finish(self, file_bytes: Bytes) -> Result<Contents, Failure> {
        let files = self.weights.neighbours.bytes().chain([file_bytes]);
        let file_bytes = Bytes::sum(files, "the files").map_err(|error| Fault::new(error.to_string()))?;
        let graph = self.recorder.finish();
        let notes = notes(&graph);
        Ok(Contents {
            tensors: self.weights.tensors,
            file_bytes,
            graph: Some(graph),
            notes,
            ..Contents::default()
        })
    }

    /// Walks a `GraphProto`.
    pub(super) fn graph(&mut self, message: Message) -> Result<(), Failure> {
        self.enter();
        let (mut nodes, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut fields = message.fields();
        // Nodes come first in most files, and what they are about behind them.
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => keep(field, &mut nodes)?,
                5 => self.initialiser(field)?,
                15 => self.sparse_initialiser(field)?,
                11 => inputs.push(self.typed(field)?),
                12 => outputs.push(self.typed(field)?),
                13 => drop(self.typed(field)?),
                _ => {}
            }
        }
        let mut kept = Vec::new();
        for name in inputs {
            kept.extend(self.input(name)?);
        }
        self.nodes(nodes)?;
        kept.extend(outputs.iter().filter_map(|name| self.find(name)));
        self.leave(&kept);
        Ok(())
    }

    /// Walks a `FunctionProto`, on its own.
    pub(super) fn function(&mut self, message: Message) -> Result<(), Failure> {
        self.enter();
        let mut fields = message.fields();
        let (mut nodes, mut kept) = (Vec::new(), Vec::new());
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                7 => keep(field, &mut nodes)?,
                4 => {
                    let name = field.text(self.source, LONGEST_NAME, "the input of a function")?;
                    kept.extend(self.input(name)?);
                }
                12 => drop(self.typed(field)?),
                _ => {}
            }
        }
        self.nodes(nodes)?;
        self.leave(&kept);
        Ok(())
    }

    fn enter(&mut self) {
        self.recorder.advance();
        self.scopes.push(Scope { first: self.recorder.next_id(), ..Scope::default() });
    }

    /// Ends the innermost graph: what it hands out or took from outside is kept until now.
    fn leave(&mut self, kept: &[Place]) {
        for place in kept {
            self.read(*place);
        }
        let Some(scope) = self.scopes.pop() else { return };
        for id in scope.captured {
            self.recorder.read(id);
            self.capture(id);
        }
    }

    /// Notes that the innermost graph uses a value, if that is not its own.
    fn capture(&mut self, id: ValueId) {
        if let Some(scope) = self.scopes.last_mut().filter(|scope| id < scope.first) {
            scope.captured.insert(id);
        }
    }

    fn read(&mut self, place: Place) {
        if let Place::Value(id) = place {
            self.recorder.read(id);
            self.capture(id);
        }
    }

    fn find(&self, name: &str) -> Option<Place> {
        self.scopes.iter().rev().find_map(|scope| scope.places.get(name).copied())
    }

    fn weight(&self, name: &str) -> Option<WeightId> {
        match self.find(name) {
            Some(Place::Weight(id)) => Some(id),
            _ => None,
        }
    }

    fn set(&mut self, name: String, place: Place) -> Option<Place> {
        self.scopes.last_mut()?.places.insert(name, place)
    }

    /// Remembers the size of a `ValueInfoProto`, and returns its name.
    fn typed(&mut self, field: Field) -> Result<String, Failure> {
        let value::Value { name, size } = value::read(self.source, field.message("a value")?)?;
        if let (Some(scope), Some(size)) = (self.scopes.last_mut(), size) {
            scope.sizes.insert(name.clone(), size);
        }
        Ok(name)
    }

    fn initialiser(&mut self, field: Field) -> Result<(), Failure> {
        let id = self.weights.add(self.source, field.message("an initialiser")?, "")?;
        self.initialise(id)
    }

    fn sparse_initialiser(&mut self, field: Field) -> Result<(), Failure> {
        let id = self.weights.add_sparse(self.source, field.message("a sparse initialiser")?, "")?;
        self.initialise(id)
    }

    fn initialise(&mut self, id: WeightId) -> Result<(), Failure> {
        let name = self.weights.tensors.get(id).map(|tensor| tensor.name.clone()).unwrap_or_default();
        match self.set(name, Place::Weight(id)) {
            Some(Place::Weight(earlier)) => self.weights.repeat(earlier, id),
            _ => Ok(()),
        }
    }

    /// A value that comes from outside; an initialiser of its name is its default, and takes its place.
    fn input(&mut self, name: String) -> Result<Option<Place>, Failure> {
        let scope = self.scopes.last();
        if scope.is_some_and(|scope| scope.places.contains_key(&name)) {
            return Ok(None);
        }
        self.make(name).map(Some)
    }

    fn make(&mut self, name: String) -> Result<Place, Failure> {
        let size = self.scopes.last().and_then(|scope| scope.sizes.get(&name).cloned());
        let place = Place::Value(self.recorder.make(size)?);
        self.set(name, place);
        Ok(place)
    }

    fn nodes(&mut self, nodes: Vec<Message>) -> Result<(), Failure> {
        for message in nodes {
            let node = self.parse(message)?;
            self.recorder.advance();
            self.node(node)?;
        }
        self.recorder.advance();
        Ok(())
    }

    fn parse(&mut self, message: Message) -> Result<Node, Failure> {
        let mut node = Node::default();
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => node.inputs.push(field.text(self.source, LONGEST_NAME, "the input of a node")?),
                2 => node.outputs.push(field.text(self.source, LONGEST_NAME, "the output of a node")?),
                4 => node.operator = field.text(self.source, LONGEST_NAME, "the operator of a node")?,
                5 => node.attributes.push(field.message("the attribute of a node")?),
                _ => {}
            }
        }
        Ok(node)
    }

    fn node(&mut self, node: Node) -> Result<(), Failure> {
        let given: Vec<Place> = node.inputs.iter().filter_map(|name| self.find(name)).collect();
        for &place in &given {
            self.read(place);
        }
        let (mut sizes, mut constant) = (HashMap::new(), None);
        for &attribute in &node.attributes {
            let label = node.outputs.first().map_or("", String::as_str);
            constant = self.attribute(attribute, label, &mut sizes)?.or(constant);
        }
        self.quantised(&node, &sizes);
        let passed_on = match node.operator.as_str() {
            "Constant" => constant.map(Place::Weight),
            "DequantizeLinear" => node.inputs.first().and_then(|name| self.dequantised(name, &node)),
            operator if VIEWS.contains(&operator) => {
                given.first().copied().filter(|&place| !self.is_outer(place))
            }
            _ => None,
        };
        let mut outputs = node.outputs.into_iter().filter(|name| !name.is_empty());
        if let Some(place) = passed_on
            && let Some(name) = outputs.next()
        {
            self.set(name, place);
        }
        for name in outputs {
            self.make(name)?;
        }
        Ok(())
    }

    /// Whether it is a value of the graphs around this one, which a view of it here would outlive.
    fn is_outer(&self, place: Place) -> bool {
        match place {
            Place::Value(id) => self.scopes.last().is_some_and(|scope| id < scope.first),
            Place::Weight(_) => false,
        }
    }

    /// Takes the tensors and graphs of an `AttributeProto` in, and the integers that size quantised weights; returns the
    /// tensor, where there is one.
    fn attribute(
        &mut self,
        message: Message,
        label: &str,
        sizes: &mut HashMap<String, u64>,
    ) -> Result<Option<WeightId>, Failure> {
        let (mut name, mut integer, mut tensor) = (String::new(), None, None);
        let mut fields = message.fields();
        while let Some(field) = fields.next(self.source)? {
            match field.number {
                1 => name = field.text(self.source, LONGEST_NAME, "the name of an attribute")?,
                3 => integer = Some(field.varint("an integer attribute")?),
                5 | 10 => tensor = Some(self.weights.add(self.source, field.message("a tensor")?, label)?),
                22 | 23 => {
                    tensor = Some(self.weights.add_sparse(
                        self.source,
                        field.message("a sparse tensor")?,
                        label,
                    )?);
                }
                6 | 11 => self.graph(field.message("a graph")?)?,
                _ => {}
            }
        }
        if let Some(integer) = integer.filter(|_| SIZES.contains(&name.as_str())) {
            sizes.insert(name, integer);
        }
        Ok(tensor)
    }

    fn quantised(&mut self, node: &Node, sizes: &HashMap<String, u64>) {
        let Some(roles) = roles(&node.operator) else { return };
        let weight = |index: &usize| node.inputs.get(*index).and_then(|name| self.weight(name));
        let weights: Vec<WeightId> = roles.weights.iter().filter_map(weight).collect();
        let scales: Vec<WeightId> = roles.scales.iter().filter_map(weight).collect();
        for id in weights {
            self.weights.quantised(id, roles.packing, |name| sizes.get(name).copied());
        }
        for id in scales {
            self.weights.is_scale(id);
        }
    }

    /// The weight called `name`, expanded by `node`: runtimes fuse that or do it once, so it stays a weight.
    fn dequantised(&mut self, name: &str, node: &Node) -> Option<Place> {
        let id = self.weight(name)?;
        let scale = node.inputs.get(1).and_then(|scale| self.weight(scale));
        self.weights.expands(id, scale);
        Some(Place::Weight(id))
    }
}

/// Keeps where a node lies for later: it may speak of weights that come behind it.
fn keep(field: Field, nodes: &mut Vec<Message>) -> Result<(), Failure> {
    if nodes.len() >= MOST_NODES {
        return Err(Fault::new(format!("the graph has more than {MOST_NODES} nodes"))
            .offset(field.offset)
            .into());
    }
    nodes.push(field.message("a node")?);
    Ok(())
}

/// What `graph` leaves open.
fn notes(graph: &Graph) -> Vec<String> {
    let mut notes = Vec::new();
    if graph.unsized_values > 0 {
        notes.push(format!(
            "{} values of the graph have no stated shape and are not counted; onnx.shape_inference fills them in.",
            graph.unsized_values
        ));
    }
    let symbols = graph.buffers.iter().flat_map(|buffer| &buffer.size.symbols);
    let names: BTreeSet<&str> = symbols
        .filter_map(|symbol| match symbol {
            Symbol::Named(name) => Some(name.as_str()),
            Symbol::Batch | Symbol::Context => None,
        })
        .collect();
    if !names.is_empty() {
        let first: Vec<String> = names.iter().take(5).map(|name| format!("{:?}", clip(name))).collect();
        let more = if names.len() > first.len() { " and others" } else { "" };
        let names = first.join(", ");
        notes.push(format!("Values along the open dimensions {names}{more} are not counted."));
    }
    notes
}
