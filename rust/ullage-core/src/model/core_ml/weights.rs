//! Constants and the expressions that expand them, put together to weights.

use std::collections::{HashMap, HashSet};

use super::Contents;
use super::value::Type;
use crate::model::packed::in_order_of_parameters;
use crate::model::{Dtype, Tensor};
use crate::units::{Bytes, clip};

/// Inputs that hold the weight itself, and not what it is scaled or looked up by.
const DATA: [&str; 7] =
    ["data", "indices", "indices_nonzero_data", "nonzero_data", "quantized_data", "source_val", "val"];

/// Weights whose sharing is told one by one.
const MOST_NOTED: usize = 8;

/// A constant, or an expression that expands one, as the operation says.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    of: Option<Type>,
    kind: String,
    /// The pieces it stores itself.
    pub(super) parts: Vec<Part>,
    /// The nodes it expands.
    pub(super) inner: Vec<usize>,
}

/// One piece of a stored weight.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) key: Key,
    pub(super) role: String,
    pub(super) of: Type,
    pub(super) bytes: Bytes,
    pub(super) offset: u64,
}

/// Where a piece lies, by which it is known again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// In a file of weights.
    Blob(String, u64),
    /// In the model file.
    Inline(u64),
}

/// The weights of a model.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Of the function that is being read.
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
    /// The tensor that each piece is counted with.
    claimed: HashMap<Key, usize>,
    shared: Vec<(usize, usize)>,
    schemes: Vec<(String, u64)>,
}

impl Node {
    pub(super) fn of(kind: &str, name: String, of: Option<Type>) -> Self {
        Self { name, of, kind: kind.to_owned(), parts: Vec::new(), inner: Vec::new() }
    }

    /// A constant that an operation holds without a name.
    pub(super) fn plain(name: String, of: Option<Type>, part: Option<Part>) -> Self {
        Self { name, of, kind: "const".to_owned(), parts: part.into_iter().collect(), inner: Vec::new() }
    }

    fn is_constant(&self) -> bool {
        self.kind == "const"
    }

    fn part(&self, role: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.role == role)
    }

    /// Bits of an index into the look-up table: what the indices say, or what the table needs.
    fn index_bits(&self) -> Option<u64> {
        let indices = self.part("indices").or_else(|| self.part("indices_nonzero_data"))?;
        let bits = indices.of.dtype.block().1;
        match self.part("lut") {
            // Before iOS 18, indices of any width are packed into bytes, and there is one table.
            Some(table)
                if self.part("shape").is_none() && bits == 8 && table.of.shape.as_ref()?.len() == 1 =>
            {
                Some(table.of.elements()?.max(2).next_power_of_two().trailing_zeros().into())
            }
            _ => Some(bits),
        }
    }

    /// What the operation does to the weight, in words.
    fn scheme(&self) -> Option<String> {
        let kind = self.kind.strip_prefix("constexpr_")?;
        let width = |roles: &[&str]| -> Option<String> {
            let stored = roles.iter().find_map(|role| self.part(role))?;
            Some(format!("linear {} bit", stored.of.dtype.block().1))
        };
        match kind {
            "lut_to_dense" | "lut_to_sparse" => Some(
                self.index_bits()
                    .map_or_else(|| "palettized".to_owned(), |bits| format!("palettized {bits} bit")),
            ),
            "affine_dequantize" | "blockwise_shift_scale" | "sparse_blockwise_shift_scale" => {
                width(&["quantized_data", "data", "nonzero_data"]).or_else(|| Some("linear".to_owned()))
            }
            "sparse_to_dense" => Some("sparse".to_owned()),
            other => Some(other.to_owned()),
        }
    }

    /// The dtype that the weight is stored in.
    fn stored_dtype(&self) -> Option<Dtype> {
        if self.kind.contains("lut_to") {
            let of_bits = |bits| match bits {
                1 => Some(Dtype::U1),
                2 => Some(Dtype::U2),
                3 => Some(Dtype::U3),
                4 => Some(Dtype::U4),
                6 => Some(Dtype::U6),
                8 => Some(Dtype::U8),
                _ => None,
            };
            return self.index_bits().and_then(of_bits);
        }
        Some(DATA.iter().find_map(|role| self.part(role))?.of.dtype)
    }
}

impl Weights {
    /// Adds a node of the current function, and tells its place.
    pub(super) fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len().saturating_sub(1)
    }

    /// Adds a tensor that stands by itself.
    pub(super) fn push(&mut self, tensor: Tensor, scheme: Option<String>) {
        self.schemes.extend(scheme.map(|scheme| (scheme, tensor.parameters)));
        self.tensors.push(tensor);
    }

    /// Makes tensors of the nodes of a function that no other expands.
    pub(super) fn finish(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        let inner: HashSet<usize> = nodes.iter().flat_map(|node| node.inner.iter().copied()).collect();
        let mut seen = HashSet::new();
        for (place, node) in nodes.iter().enumerate() {
            if !inner.contains(&place) {
                self.weight(&nodes, place, node, &mut seen);
            }
        }
    }

    fn weight(&mut self, nodes: &[Node], place: usize, node: &Node, seen: &mut HashSet<usize>) {
        let Some(of) = &node.of else { return };
        let Some(elements) = of.elements() else { return };
        if node.is_constant() && !is_weight(node) {
            return;
        }
        let number = self.tensors.len();
        let mut tensor =
            Tensor::plain(node.name.clone(), of.dtype, of.shape.clone().unwrap_or_default(), 0, Bytes::ZERO);
        let (mut open, mut schemes, mut holder) = (vec![place], Vec::new(), None);
        let (mut is_new, mut stored) = (false, None);
        while let Some(place) = open.pop() {
            let Some(node) = nodes.get(place).filter(|_| seen.insert(place)) else { continue };
            schemes.extend(node.scheme().filter(|scheme| !schemes.contains(scheme)));
            stored = stored.or(node.stored_dtype().filter(|_| !node.is_constant()));
            for part in &node.parts {
                // Two steps of one weight may read the same mask.
                if let Some(&earlier) = self.claimed.get(&part.key) {
                    holder = holder.or(Some(earlier).filter(|earlier| *earlier != number));
                    continue;
                }
                self.claimed.insert(part.key.clone(), number);
                if DATA.contains(&part.role.as_str()) && !is_new {
                    is_new = true;
                    tensor.offset = part.offset;
                }
                tensor.bytes = tensor.bytes.saturating_add(part.bytes);
            }
            open.extend(&node.inner);
        }
        if !is_new {
            tensor.parameters = 0;
        }
        self.shared.extend(holder.filter(|_| !is_new).map(|holder| (number, holder)));
        if !node.is_constant() {
            tensor.expanded = of.dtype.bytes_of(elements).filter(|_| is_new).or(Some(Bytes::ZERO));
            tensor.dtype = stored.unwrap_or(of.dtype);
            self.schemes.push((schemes.join(", "), tensor.parameters));
        }
        self.tensors.push(tensor);
    }

    /// Hands over what was found.
    pub(super) fn into_contents(self, contents: &mut Contents) {
        let name = |place: usize| self.tensors.get(place).map_or("", |tensor| &tensor.name);
        for &(tensor, holder) in self.shared.iter().take(MOST_NOTED) {
            let note = format!("{:?} shares its storage with {:?}.", clip(name(tensor)), clip(name(holder)));
            contents.notes.push(note);
        }
        let more = self.shared.len().saturating_sub(MOST_NOTED);
        if more > 0 {
            contents.notes.push(format!("{more} more weights share the storage of another."));
        }
        let rows = self.schemes.iter().map(|(scheme, parameters)| (scheme.as_str(), *parameters));
        contents.quantization = in_order_of_parameters(rows);
        contents.tensors = self.tensors;
    }
}

/// Whether a constant is one of weights: what has a blob of its own, or real numbers in a shape. Strides, axes, texts
/// and single numbers are settings of operations.
fn is_weight(node: &Node) -> bool {
    let Some(part) = node.parts.first() else { return false };
    let has_shape = part.of.shape.as_ref().is_some_and(|shape| !shape.is_empty());
    matches!(part.key, Key::Blob(..)) || (part.of.dtype.is_weight() && has_shape)
}
