//! The tensors of a saved object, by the names that lead to them.

use std::collections::{HashMap, HashSet};

use super::pickle::{Id, Pickle, Value};
use super::rebuild::{self, View};
use super::{Failure, Fault};
use crate::model::{Contents, Layout, Tensor};
use crate::units::{Bytes, clip};

/// Containers within one another at most. Modules of modules seldom pass twenty.
const DEEPEST: usize = 64;

/// Bytes of all names together, and for each what it takes to hold one: far above any checkpoint, far below what a few
/// shared keys could build up.
const MOST_NAMES: usize = 1 << 27;
const NAME_COST: usize = 64;

/// Tensors of one file at most; the largest mixtures of experts stay below it, all shards together.
const MOST_TENSORS: usize = 1 << 18;

/// Tensors whose sharing is told one by one.
const MOST_NOTED: usize = 8;

/// Where the attributes of a module lie that its names pass over, as `state_dict` does.
const PASSED_OVER: [&str; 3] = ["_buffers", "_modules", "_parameters"];

/// Where a storage lies in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// The tensors found so far, and the storages they view.
#[derive(Debug, Default)]
pub(super) struct Storages {
    tensors: Vec<Tensor>,
    layouts: HashMap<usize, Layout>,
    /// By where they lie: two pickles may call different storages by the same key.
    held: HashMap<u64, Held>,
    shared: Vec<(usize, usize)>,
    state_bytes: u64,
    names: usize,
}

/// A storage that a tensor already counts.
#[derive(Debug)]
struct Held {
    by: usize,
    /// The parts whose elements are counted as parameters.
    counted: Vec<(u64, u64)>,
}

/// Parts of one storage told apart at most; what lies beyond counts no parameters.
const MOST_PARTS: usize = 1 << 12;

impl Storages {
    /// Adds the tensors that `pickle` describes. `find` tells where the storage of a key and size lies.
    pub(super) fn gather(
        &mut self,
        pickle: &Pickle,
        find: &mut dyn FnMut(&str, u64) -> Result<Place, Failure>,
    ) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        let mut open = vec![(pickle.root(), String::new(), 0)];
        while let Some((id, name, depth)) = open.pop() {
            let is_container =
                !matches!(pickle.value(id), Value::Opaque | Value::Integer(_) | Value::Text(_));
            if !is_container {
                continue;
            }
            let fault = |reason: String| Fault::new(reason).offset(pickle.start()).field(&name);
            if let Some(view) = rebuild::tensor(pickle, id).map_err(fault)? {
                if self.tensors.len() >= MOST_TENSORS {
                    return Err(fault(format!("more than {MOST_TENSORS} tensors")).into());
                }
                let name = if name.is_empty() { "tensor".to_owned() } else { name };
                let place = find(&view.storage.key, view.storage.bytes)?;
                self.add(name, &view, place, pickle.start())?;
                continue;
            }
            if !seen.insert(id) {
                continue;
            }
            if depth > DEEPEST {
                return Err(fault(format!("objects lie in one another more than {DEEPEST} deep")).into());
            }
            let first = open.len();
            for (segment, child) in children(pickle, id) {
                let name = joined(&name, segment.as_deref());
                self.names = self.names.saturating_add(name.len()).saturating_add(NAME_COST);
                if self.names > MOST_NAMES {
                    return Err(fault(format!("names of more than {MOST_NAMES} bytes in all")).into());
                }
                open.push((child, name, depth.saturating_add(1)));
            }
            // The first child is to be met first, and the last one pushed is.
            if let Some(children) = open.get_mut(first..) {
                children.reverse();
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, view: &View, place: Place, start: u64) -> Result<(), Failure> {
        let (from, to) =
            (view.start.saturating_add(view.storage.shift), view.end.saturating_add(view.storage.shift));
        if to > place.bytes || view.storage.bytes > place.bytes {
            let reason = format!(
                "the tensor ends at byte {to} of a storage of {}, of which the file holds {}",
                view.storage.bytes, place.bytes
            );
            return Err(Fault::new(reason).offset(start).field(&name).into());
        }
        let offset = place.start.saturating_add(from);
        let mut tensor = Tensor::plain(name, view.dtype, view.shape.clone(), offset, Bytes::new(place.bytes));
        if view.is_quantized {
            tensor.parameters = tensor.elements();
        }
        // A view of stride 0 repeats its elements.
        let width = view.dtype.block().1;
        let stored = to.saturating_sub(from).saturating_mul(8).checked_div(width).unwrap_or(0);
        tensor.parameters = tensor.parameters.min(stored);
        if is_training_state(&tensor.name) {
            tensor.parameters = 0;
            self.state_bytes = self.state_bytes.saturating_add(place.bytes);
        }
        let number = self.tensors.len();
        let layout = match view {
            View { is_quantized: true, .. } => {
                Some(Layout::Unread("its integers stand for numbers by scales beside them"))
            }
            View { is_turned: true, .. } => {
                Some(Layout::Unread("it is the negative or the conjugate of what is stored"))
            }
            _ => Layout::of(&view.shape, &view.strides),
        };
        self.layouts.extend(layout.map(|layout| (number, layout)));
        // An empty storage lies where the next one begins.
        if place.bytes > 0 {
            match self.held.get_mut(&place.start) {
                None => {
                    self.held.insert(place.start, Held { by: number, counted: vec![(from, to)] });
                }
                Some(held) => {
                    tensor.bytes = Bytes::ZERO;
                    let is_apart = held.counted.iter().all(|&(start, end)| to <= start || end <= from);
                    if is_apart && held.counted.len() < MOST_PARTS {
                        held.counted.push((from, to));
                    } else {
                        tensor.parameters = 0;
                    }
                    self.shared.push((number, held.by));
                }
            }
        }
        self.tensors.push(tensor);
        Ok(())
    }

    /// What was found, in a file of so many bytes.
    pub(super) fn into_contents(self, file_bytes: Bytes) -> Contents {
        let mut notes = Vec::new();
        let name = |place: usize| self.tensors.get(place).map_or("", |tensor| &tensor.name);
        for &(tensor, holder) in self.shared.iter().take(MOST_NOTED) {
            notes.push(format!("{:?} shares its storage with {:?}.", clip(name(tensor)), clip(name(holder))));
        }
        let more = self.shared.len().saturating_sub(MOST_NOTED);
        if more > 0 {
            notes.push(format!("{more} more tensors share the storage of another."));
        }
        if self.state_bytes > 0 {
            let bytes = Bytes::new(self.state_bytes);
            notes.push(format!("{bytes} of an optimizer's state count as bytes and not as parameters."));
        }
        Contents { tensors: self.tensors, layouts: self.layouts, file_bytes, notes, ..Contents::default() }
    }
}

/// Whether the name leads through what a checkpoint keeps to go on training.
fn is_training_state(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    first.starts_with("optim")
}

/// Whether a tensor may be found in the value.
fn is_container(value: &Value) -> bool {
    !matches!(value, Value::Opaque | Value::Integer(_) | Value::Text(_) | Value::Global(..))
}

/// What a value holds that may hold a tensor, each with its segment of the name; `None` for what adds none.
fn children(pickle: &Pickle, id: Id) -> Vec<(Option<String>, Id)> {
    let listed = |items: &[Id]| -> Vec<(Option<String>, Id)> {
        let items = items.iter().enumerate().filter(|(_, item)| is_container(pickle.value(**item)));
        items.map(|(place, item)| (Some(place.to_string()), *item)).collect()
    };
    match pickle.value(id) {
        Value::Tuple(items) => listed(items),
        Value::List(items) => listed(items),
        Value::Dict(pairs) => keyed(pickle, pairs),
        Value::Object(object) => {
            let state = object.state.map(|state| (None, state));
            let mut found = vec![(None, object.arguments)];
            found.extend(state);
            found.extend(keyed(pickle, &object.pairs));
            found.extend(listed(&object.items));
            found
        }
        _ => Vec::new(),
    }
}

fn keyed(pickle: &Pickle, pairs: &[(Id, Id)]) -> Vec<(Option<String>, Id)> {
    let segment = |place: usize, key: Id| match pickle.text(key) {
        Some(text) if PASSED_OVER.contains(&text) => None,
        Some(text) => Some(text.to_owned()),
        None => Some(pickle.count(key).map_or_else(|| place.to_string(), |number| number.to_string())),
    };
    let pairs = pairs.iter().enumerate().filter(|(_, (_, value))| is_container(pickle.value(*value)));
    pairs.map(|(place, (key, value))| (segment(place, *key), *value)).collect()
}

fn joined(name: &str, segment: Option<&str>) -> String {
    match segment {
        None => name.to_owned(),
        Some(segment) if name.is_empty() => segment.to_owned(),
        Some(segment) => format!("{name}.{segment}"),
    }
}
