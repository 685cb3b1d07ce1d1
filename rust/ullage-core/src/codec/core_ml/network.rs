//! A network as the converter sees it: weights with biases, and batch norms that fold into them.

use std::collections::HashMap;

use super::super::weight::Weight;
use crate::error::{Error, Result};
use crate::model::{Format, Kind, Model, Tensor};
use crate::units::clip;

/// What consumes a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A convolution.
    Convolution,
    /// A transposed convolution, whose input channels stand first.
    Transposed,
    /// A linear layer.
    Linear,
    /// A product with a matrix whose input channels stand first.
    Product,
    /// A lookup, such as an embedding.
    Gather,
    /// A vector, or anything else.
    Other,
}

/// The vector that is added to what an operation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// None.
    Absent,
    /// Learned, or what a folded batch norm leaves.
    Learned,
    /// Zeros, which the converter gives every linear layer that has none.
    Zeros,
}

/// One weight with what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// What consumes it.
    pub operation: Operation,
    /// Its shape.
    pub shape: Vec<u64>,
    /// The bias.
    pub bias: Bias,
    /// Whether a batch norm follows, which folds into weight and bias.
    pub is_normed: bool,
}

/// The layers of a network, in the order of its program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The layers.
    pub layers: Vec<Layer>,
}

/// A layer as a list of a network's modules gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRow {
    /// Its name.
    pub name: String,
    /// The module as PyTorch calls it: `Conv2d`, `ConvTranspose2d`, `Linear`, `Embedding`; anything else is a lone constant.
    pub kind: String,
    /// Shape of the weight.
    pub shape: Vec<u64>,
    /// Whether a batch norm follows; by default it does after convolutions.
    pub is_normed: Option<bool>,
}

impl LayerRow {
    fn layer(&self) -> Result<Layer> {
        let operation = match self.kind.as_str() {
            "Conv1d" | "Conv2d" | "Conv3d" => Operation::Convolution,
            "ConvTranspose1d" | "ConvTranspose2d" | "ConvTranspose3d" => Operation::Transposed,
            "Linear" => Operation::Linear,
            "Embedding" => Operation::Gather,
            _ => Operation::Other,
        };
        if operation != Operation::Other && self.shape.len() < 2 {
            let reason = format!("{} is a {} of shape {:?}", clip(&self.name), clip(&self.kind), self.shape);
            return Err(Error::Argument { name: "layers", reason });
        }
        let is_convolution = matches!(operation, Operation::Convolution | Operation::Transposed);
        let has_bias = is_convolution || operation == Operation::Linear;
        Ok(Layer {
            name: self.name.clone(),
            operation,
            shape: self.shape.clone(),
            bias: if has_bias { Bias::Learned } else { Bias::Absent },
            is_normed: self.is_normed.unwrap_or(is_convolution),
        })
    }
}

impl Layer {
    /// The weight as schemes see it.
    ///
    /// # Errors
    /// [`Error::Overflow`] for a shape of more than 2^64 − 1 elements.
    pub fn weight(&self) -> Result<Weight> {
        let weight = Weight::new(&self.shape)?;
        Ok(match self.operation {
            Operation::Transposed | Operation::Product => weight.input_first(),
            Operation::Convolution if weight.inputs() == 1 => {
                let groups = weight.outputs();
                weight.grouped(groups) // one input channel for each filter: depthwise
            }
            _ => weight,
        })
    }

    /// Elements of the bias.
    #[must_use]
    pub fn channels(&self) -> u64 {
        let axis = usize::from(matches!(self.operation, Operation::Transposed | Operation::Product));
        self.shape.get(axis).copied().unwrap_or(1)
    }
}

impl Network {
    /// The network of `rows`. Every convolution and linear layer has a bias of its own, or one that a batch norm leaves.
    ///
    /// # Errors
    /// [`Error::Argument`] for a shape that its kind cannot have.
    pub fn from_rows(rows: &[LayerRow]) -> Result<Self> {
        let layers = rows.iter().map(LayerRow::layer);
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// The network of `model`, by the names and shapes of its tensors. Of a file of Core ML every constant is taken as it is;
    /// elsewhere `X.weight` and `X.bias` are a layer, and `X.running_mean` makes a batch norm of it, which goes to a
    /// convolution of as many channels that has no bias.
    ///
    /// # Errors
    /// [`Error::Argument`] where no tensor is known.
    pub fn of(model: &Model) -> Result<Self> {
        let is_weight = |tensor: &&Tensor| {
            matches!(tensor.dtype.kind(), Kind::Real | Kind::Block) && !tensor.bytes.is_zero()
        };
        let tensors: Vec<&Tensor> = model.tensors.iter().filter(is_weight).collect();
        if tensors.is_empty() || tensors.iter().any(|tensor| tensor.is_lump()) {
            let reason = format!("no tensors of {} are known that a program could hold", clip(&model.name));
            return Err(Error::Argument { name: "model", reason });
        }
        let is_converted = model.format == Some(Format::CoreMl);
        let reader = Reader::new(&tensors, is_converted, model.format == Some(Format::Onnx));
        Ok(Self { layers: reader.layers(&tensors) })
    }
}

/// Finds layers among tensors.
struct Reader<'a> {
    shapes: HashMap<&'a str, &'a [u64]>,
    /// Whether the tensors are those of a finished program: nothing folds, nothing is added.
    is_converted: bool,
    is_onnx: bool,
}

impl<'a> Reader<'a> {
    fn new(tensors: &[&'a Tensor], is_converted: bool, is_onnx: bool) -> Self {
        let shapes = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
        Self { shapes, is_converted, is_onnx }
    }

    fn layers(&self, tensors: &[&'a Tensor]) -> Vec<Layer> {
        let mut layers: Vec<Layer> = tensors.iter().filter_map(|tensor| self.layer(tensor)).collect();
        if !self.is_converted {
            let norms = tensors.iter().filter_map(|tensor| self.norm(tensor)).collect();
            fold(norms, &mut layers);
            let has_convolutions = layers.iter().any(|layer| layer.operation == Operation::Convolution);
            // Classifiers and heads come last, whatever the order of the file.
            layers.sort_by_key(|layer| {
                (has_convolutions && layer.operation == Operation::Linear, is_head(&layer.name))
            });
        }
        layers
    }

    fn has(&self, base: &str, leaf: &str) -> bool {
        self.shapes.contains_key(format!("{base}.{leaf}").as_str())
    }

    /// Name and channels of the batch norm that `tensor` is the mean of.
    fn norm(&self, tensor: &'a Tensor) -> Option<(&'a str, u64)> {
        let base = tensor.name.strip_suffix(".running_mean")?;
        self.has(base, "running_var").then(|| (base, tensor.elements()))
    }

    /// The layer whose weight `tensor` is; `None` for what belongs to another, and for the parts of a batch norm.
    fn layer(&self, tensor: &Tensor) -> Option<Layer> {
        let (base, leaf) = tensor.name.rsplit_once('.').unwrap_or((&tensor.name, ""));
        let rank = tensor.shape.len();
        let lone = |operation| Layer {
            name: tensor.name.clone(),
            operation,
            shape: tensor.shape.clone(),
            bias: Bias::Absent,
            is_normed: false,
        };
        if self.is_converted {
            return Some(lone(Operation::Other));
        }
        let is_of_norm = self.has(base, "running_mean") && self.has(base, "running_var");
        let is_bias = leaf == "bias"
            && self.shapes.get(format!("{base}.weight").as_str()).is_some_and(|shape| shape.len() > 1);
        if is_of_norm || is_bias {
            return None;
        }
        if leaf != "weight" || rank < 2 {
            let is_product = self.is_onnx && rank == 2 && tensor.name.contains("MatMul");
            return Some(lone(if is_product { Operation::Product } else { Operation::Other }));
        }
        let operation = match rank {
            2 if tensor.is_token_embedding() || is_embedding(base) => Operation::Gather,
            2 => Operation::Linear,
            _ => Operation::Convolution,
        };
        let bias = match operation {
            _ if self.has(base, "bias") => Bias::Learned,
            Operation::Linear if !self.is_onnx => Bias::Zeros,
            _ => Bias::Absent,
        };
        Some(Layer { bias, ..lone(operation) })
    }
}

fn is_embedding(base: &str) -> bool {
    let last = base.rsplit('.').next().unwrap_or(base).to_ascii_lowercase();
    last.contains("emb") || matches!(last.as_str(), "wte" | "wpe")
}

fn is_head(name: &str) -> bool {
    ["lm_head", "classifier", "head", "fc", "output"]
        .iter()
        .any(|head| name.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// Gives every batch norm to a convolution of as many channels without a bias; one without such a convolution stays, as
/// four vectors.
fn fold(norms: Vec<(&str, u64)>, layers: &mut Vec<Layer>) {
    let mut free: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, layer) in layers.iter().enumerate().rev() {
        if layer.operation == Operation::Convolution && layer.bias == Bias::Absent {
            free.entry(layer.channels()).or_default().push(place);
        }
    }
    for (name, channels) in norms {
        if let Some(place) = free.get_mut(&channels).and_then(Vec::pop) {
            layers[place].is_normed = true;
            layers[place].bias = Bias::Learned;
            continue;
        }
        for part in ["weight", "bias", "running_mean", "running_var"] {
            layers.push(Layer {
                name: format!("{name}.{part}"),
                operation: Operation::Other,
                shape: vec![channels],
                bias: Bias::Absent,
                is_normed: false,
            });
        }
    }
}
