//! [`Anatomy`]: a model as a chain, with what each piece is called elsewhere.

use std::collections::BTreeMap;

use super::chain::{Chain, Piece, Shared};
use crate::error::{Error, Result};
use crate::footprint::{Policy, Workload, estimate, kept_by_layer};
use crate::model::{Architecture, Attention, Layer, Model, Role, Tensor};
use crate::units::Bytes;

const WHAT: &str = "the traffic of the weights";

/// How finely a model is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A layer is one piece.
    Layers,
    /// The experts of a mixture are a piece apart from the rest of their layer.
    Experts,
}

/// What a piece is of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The modules that it is made of, by the names of the tensors: those of a layer as one, `model.layers.3`.
    pub modules: Vec<String>,
    /// Its number among the layers of the largest stack.
    pub layer: Option<usize>,
    /// Whether it is the experts of its layer.
    pub is_experts: bool,
}

/// A model as a chain: what comes before the layers, the layers, and what comes after them.
#[derive(Clone, Debug)]
pub struct Anatomy {
    /// The pieces.
    pub chain: Chain,
    /// What each piece is.
    pub parts: Vec<Part>,
}

/// Where a piece comes in the chain: before the layers, the stack and number of a layer, or after them; then whether it
/// is experts.
type Position = (u8, usize, usize, bool);

const BEFORE: u8 = 0;
const WITHIN: u8 = 1;
const AFTER: u8 = 2;

impl Anatomy {
    /// The pieces of `model` as `workload` runs them in the runtime of `policy`.
    ///
    /// A step reads every matrix once, of a mixture the experts that a batch can ask for, a row of the embedding for
    /// each sequence, and the whole cache. Its operations are two for each parameter read and sequence, and two for each
    /// element of the cache and query head that reads it. What is handed on are 16-bit floats.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model whose tensors are not known, [`Error::Overflow`] beyond 2^62 bytes.
    pub fn of(model: &Model, workload: &Workload, policy: &Policy, detail: Detail) -> Result<Self> {
        if model.tensors.is_empty() || model.tensors.iter().any(Tensor::is_lump) {
            let reason =
                format!("{:?} is known by its size alone, and what its layers are is not", model.name);
            return Err(Error::Argument { name: "model", reason });
        }
        let needs = estimate(model, workload, policy)?;
        let workspace = needs.activations.best.saturating_add(needs.overhead.best);
        let builder = Builder { model, workload, stacks: stacks(model), detail };
        let mut pieces = builder.pieces()?;
        builder.keep(&mut pieces, &kept_by_layer(model, workload, policy)?);
        let shared = builder.tie(&mut pieces)?;
        let hidden = model.architecture.as_ref().map_or(0, |architecture| architecture.hidden);
        let output = hidden.saturating_mul(2).saturating_mul(workload.batch);
        for (&(place, ..), (piece, _)) in &mut pieces {
            piece.workspace = workspace;
            piece.output = Bytes::new(output);
            piece.reductions = match place {
                BEFORE => 1,
                WITHIN => 2,
                _ => 0,
            };
        }
        let (pieces, parts): (Vec<Piece>, Vec<Part>) = pieces.into_values().unzip();
        let heads = model.architecture.as_ref().map_or(0, |architecture| architecture.heads);
        Ok(Self { chain: Chain::new(pieces, shared, heads)?, parts })
    }
}

struct Builder<'a> {
    model: &'a Model,
    workload: &'a Workload,
    /// Stacks of numbered layers in the order in which they run, the largest last.
    stacks: Vec<&'a str>,
    detail: Detail,
}

type Pieces = BTreeMap<Position, (Piece, Part)>;

/// The stacks of layers: towers and encoders as they appear, then that with most bytes.
fn stacks(model: &Model) -> Vec<&str> {
    let mut sizes: Vec<(&str, Bytes)> = Vec::new();
    for tensor in model.tensors.iter().filter(|tensor| tensor.layer().is_some()) {
        match sizes.iter_mut().find(|(stack, _)| *stack == tensor.part()) {
            Some((_, size)) => *size = size.saturating_add(tensor.bytes),
            None => sizes.push((tensor.part(), tensor.bytes)),
        }
    }
    let largest = sizes.iter().map(|&(_, size)| size).max();
    let (mut last, mut first): (Vec<_>, Vec<_>) =
        sizes.into_iter().partition(|&(_, size)| Some(size) == largest);
    first.append(&mut last);
    first.into_iter().map(|(stack, _)| stack).collect()
}

impl<'a> Builder<'a> {
    fn architecture(&self) -> Option<&'a Architecture> {
        self.model.architecture.as_ref()
    }

    /// Bytes of the embedding that is the output too: as the file says, or because a decoder has no other output.
    fn tied(&self) -> Bytes {
        let Some(architecture) = self.architecture() else { return Bytes::ZERO };
        let has_head = self.model.tensors.iter().any(Tensor::is_output_head);
        if !architecture.tied.is_zero() || has_head || architecture.is_decoder != Some(true) {
            return architecture.tied;
        }
        let mut embeddings = self.model.tensors.iter().filter(|tensor| tensor.is_token_embedding());
        embeddings.next().map_or(Bytes::ZERO, |tensor| tensor.bytes)
    }

    fn position(&self, tensor: &Tensor) -> Position {
        let stack = tensor.layer().and_then(|_| self.stacks.iter().position(|stack| *stack == tensor.part()));
        match (stack, tensor.layer_index()) {
            (Some(stack), Some(layer)) => {
                (WITHIN, stack, layer, self.detail == Detail::Experts && is_expert(tensor))
            }
            _ if is_after(tensor) => (AFTER, 0, 0, false),
            _ => (BEFORE, 0, 0, false),
        }
    }

    fn pieces(&self) -> Result<Pieces> {
        let mut pieces = Pieces::new();
        let mut parents: BTreeMap<&str, &str> = BTreeMap::new();
        if self.detail == Detail::Experts {
            for tensor in self.model.tensors.iter().filter(|tensor| is_expert(tensor)) {
                if let (Some(layer), Some((parent, _))) =
                    (tensor.layer(), tensor.name.split_once(".experts."))
                {
                    parents.insert(layer, parent);
                }
            }
        }
        for tensor in &self.model.tensors {
            let position = self.position(tensor);
            let (piece, part) = pieces.entry(position).or_insert_with(|| {
                let piece = Piece::plain(name(position, tensor), Bytes::ZERO);
                (piece, Part { is_experts: position.3, ..Part::default() })
            });
            self.add(piece, tensor)?;
            let parent = tensor.layer().and_then(|layer| parents.get(layer).copied());
            let module = module(tensor, parent);
            if !part.modules.contains(&module) {
                part.modules.push(module);
            }
        }
        let needs_head = !self.tied().is_zero();
        if needs_head {
            let head = (Piece::plain("head".to_owned(), Bytes::ZERO), Part::default());
            pieces.entry((AFTER, 0, 0, false)).or_insert(head);
        }
        Ok(pieces)
    }

    fn add(&self, piece: &mut Piece, tensor: &Tensor) -> Result<()> {
        let batch = self.workload.batch;
        let (share, whole) = match self.architecture() {
            Some(&Architecture { experts, experts_used, .. }) if is_expert(tensor) && experts > 0 => {
                (experts_used.saturating_mul(batch).min(experts), experts)
            }
            _ if tensor.is_token_embedding() => {
                let rows = tensor.shape.first().copied().unwrap_or(1).max(1);
                (batch.min(rows), rows)
            }
            _ => (1, 1),
        };
        let traffic = tensor.bytes.scaled(share, whole, WHAT)?;
        piece.weights = piece.weights.saturating_add(tensor.bytes);
        piece.traffic = piece.traffic.saturating_add(traffic);
        piece.moved =
            piece.moved.saturating_add(if tensor.is_token_embedding() { tensor.bytes } else { traffic });
        if is_replicated(tensor) {
            piece.replicated = piece.replicated.saturating_add(tensor.bytes);
        }
        if !tensor.is_token_embedding() {
            // Of a mixture, every sequence asks its own experts.
            let used = self.architecture().filter(|_| is_expert(tensor) && whole > 1);
            let (share, whole) = used.map_or((1, 1), |it| (it.experts_used, it.experts.max(1)));
            let asked = Bytes::new(tensor.parameters).scaled(share, whole, WHAT)?.get();
            piece.flops = piece.flops.saturating_add(asked.saturating_mul(2).saturating_mul(batch));
        }
        Ok(())
    }

    /// Gives the layers of the largest stack what they keep.
    fn keep(&self, pieces: &mut Pieces, kept: &[(Bytes, Bytes)]) {
        let last = self.stacks.len().saturating_sub(1);
        let layers = self.architecture().map_or(&[][..], |architecture| architecture.layers.as_slice());
        let heads = self.architecture().map_or(1, |architecture| architecture.heads).max(1);
        let mut count: usize = 0;
        let mut previous = None;
        for (&(place, stack, index, is_experts), (piece, part)) in pieces {
            if place != WITHIN || stack != last {
                continue;
            }
            if previous != Some(index) {
                count = if previous.is_some() { count.saturating_add(1) } else { 0 };
                previous = Some(index);
            }
            part.layer = Some(count);
            let (Some(layer), Some(&(cache, state)), false) =
                (layers.get(count), kept.get(count), is_experts)
            else {
                continue;
            };
            piece.state = cache.saturating_add(state);
            let (ways, readers) = ways(layer, heads);
            piece.state_ways = ways;
            let per_32 = self.workload.kv_dtype.bytes_per_32();
            let elements = cache.get().saturating_mul(32).checked_div(per_32).unwrap_or(0);
            piece.flops = piece.flops.saturating_add(elements.saturating_mul(2).saturating_mul(readers));
        }
    }

    /// The embedding that is the output too lies once where both are, and the head reads all of it.
    fn tie(&self, pieces: &mut Pieces) -> Result<Vec<Shared>> {
        let tied = self.tied();
        let embedding = self.model.tensors.iter().find(|tensor| tensor.is_token_embedding());
        let (false, Some(embedding)) = (tied.is_zero(), embedding) else { return Ok(Vec::new()) };
        let before = self.position(embedding);
        let Some((piece, _)) = pieces.get_mut(&before) else { return Ok(Vec::new()) };
        piece.weights = piece.weights.saturating_sub(tied);
        piece.moved = piece.moved.saturating_sub(tied);
        piece.replicated = piece.replicated.min(piece.weights);
        let after = (AFTER, 0, 0, false);
        let (Some(first), Some(last)) = (
            pieces.keys().position(|position| *position == before),
            pieces.keys().position(|position| *position == after),
        ) else {
            return Ok(Vec::new());
        };
        if let Some((head, _)) = pieces.get_mut(&after) {
            head.traffic = Bytes::sum([head.traffic, tied], WHAT)?;
            let operations = embedding.parameters.saturating_mul(2).saturating_mul(self.workload.batch);
            head.flops = head.flops.saturating_add(operations);
        }
        Ok(vec![Shared { bytes: tied, pieces: vec![first, last] }])
    }
}

/// Ways that the cache of a layer can be divided, and the query heads that read each of its elements.
fn ways(layer: &Layer, heads: u64) -> (u64, u64) {
    match layer.cache.map(|cache| cache.attention) {
        Some(Attention::Heads { kv_heads, .. }) => {
            (kv_heads.max(1), heads.checked_div(kv_heads).unwrap_or(1).max(1))
        }
        Some(Attention::Latent { .. }) => (1, heads),
        None => (heads, 1),
    }
}

fn name(position: Position, tensor: &Tensor) -> String {
    match position {
        (BEFORE, ..) => "embedding".to_owned(),
        (AFTER, ..) => "head".to_owned(),
        (_, _, _, is_experts) => {
            let layer = tensor.layer().unwrap_or(&tensor.name);
            if is_experts { format!("{layer}.experts") } else { layer.to_owned() }
        }
    }
}

/// The module that `tensor` is in: its layer, or, where the experts of the layer lie below `parent`, a finer one.
fn module(tensor: &Tensor, parent: Option<&str>) -> String {
    let own = || tensor.name.rsplit_once('.').map_or(tensor.name.as_str(), |(module, _)| module);
    let found = match (tensor.layer(), parent) {
        (Some(layer), None) => layer,
        (Some(_), Some(parent)) if tensor.name.starts_with(parent) => {
            let experts = parent.len().saturating_add(".experts".len());
            if is_expert(tensor) { tensor.name.get(..experts).unwrap_or(parent) } else { own() }
        }
        (Some(layer), Some(_)) => {
            let after = tensor.name.get(layer.len().saturating_add(1)..).unwrap_or_default();
            let end = after.find('.').map(|dot| layer.len().saturating_add(1).saturating_add(dot));
            end.and_then(|end| tensor.name.get(..end)).unwrap_or(&tensor.name)
        }
        (None, _) => own(),
    };
    found.to_owned()
}

fn is_expert(tensor: &Tensor) -> bool {
    tensor.name.contains(".experts.") || tensor.name.contains("_exps.")
}

/// Whether it runs after all layers: the last norm, the head, a pooler.
fn is_after(tensor: &Tensor) -> bool {
    const WORDS: [&str; 7] =
        ["final_layer_norm", "ln_f", "output_norm", "pooler", "classifier", "cls.", "score."];
    let is_tower = matches!(tensor.component(), Some((_, Role::Tower)));
    let is_last_norm = || {
        let module = tensor.name.rsplit_once('.').map_or("", |(module, _)| module);
        module.rsplit('.').next() == Some("norm")
    };
    let is_named = || WORDS.iter().any(|word| tensor.name.contains(word));
    !is_tower && (tensor.is_output_head() || is_last_norm() || is_named())
}

/// Whether every device of a tensor-parallel group holds it whole: norms, biases, routers, projections to a latent.
fn is_replicated(tensor: &Tensor) -> bool {
    const WORDS: [&str; 6] = ["gate_inp", ".gate.weight", "router", "_a_proj", "attn_kv_a", "attn_q_a"];
    tensor.shape.len() <= 1 || WORDS.iter().any(|word| tensor.name.contains(word))
}
