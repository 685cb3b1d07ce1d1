//! What becomes of each tensor of a model in a compressed file.

use std::collections::{HashMap, HashSet};

use super::encode::Encoded;
use super::header::Listed;
use super::manifest::Row;
use super::numbers::own_scheme;
use super::source::Source;
use crate::codec::{Coded, Container, Part, Plan, Scheme, Weight, compress};
use crate::error::{Error, Result};
use crate::model::{Kind, Model, Tensor};
use crate::units::Bytes;

/// Pieces of a lossless scheme at most.
const MOST_LOSSLESS: u64 = 8;

/// What becomes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its bytes, under its name.
    Kept,
    /// Its bytes, which are a scheme's already: GGML's blocks, of which safetensors has no format.
    Taken(Scheme),
    /// Its numbers, encoded.
    Encoded(Scheme),
    /// Nothing of its own: it shares the bytes of the tensor at that place.
    Tied(usize),
}

/// One tensor to be written.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Its place in the model.
    pub(super) place: usize,
    pub(super) fate: Fate,
    /// What the header says of it: exact, or the most that it can be.
    pub(super) listed: Vec<Listed>,
    /// What the metadata say of it, unless it is kept.
    pub(super) row: Option<Row>,
}

/// The jobs for `model`, whose tensors are called `names`, in the order in which tensors lie in the file: those of wide numbers first, so that each lies at
/// a multiple of its numbers' size, and pieces last.
///
/// # Errors
/// As [`compress`].
pub(super) fn jobs(
    model: &Model,
    plan: &Plan,
    source: &Source<'_>,
    names: &mut HashSet<String>,
) -> Result<Vec<Job>> {
    let rows = compress(model, plan, Container::Raw)?.rows;
    let mut jobs = Vec::with_capacity(rows.len());
    let mut views = HashMap::new();
    for (place, (tensor, row)) in model.tensors.iter().zip(rows).enumerate() {
        let own = own_scheme(tensor.dtype);
        let wanted = plan.scheme_of(&tensor.name);
        let viewed = source.viewed(place)?;
        if let Some((view, _)) = &viewed
            && let Some(&holder) = views.get(view)
        {
            jobs.push(Job { place, fate: Fate::Tied(holder), listed: Vec::new(), row: None });
            continue;
        }
        let (scheme, tensor) = match viewed {
            Some((view, tensor)) => {
                views.insert(view, place);
                ((wanted.tensor_bytes(&tensor)? < tensor.bytes).then_some(wanted), &tensor.clone())
            }
            None => (row.scheme, tensor),
        };
        let fate = match (scheme, own) {
            // Whether it is smaller shows when it is done.
            _ if takes(wanted, tensor)? => Fate::Encoded(wanted),
            (Some(scheme), Some(_)) => Fate::Encoded(scheme),
            (_, Some(own)) if tensor.dtype.kind() == Kind::Block => Fate::Taken(own),
            _ => Fate::Kept,
        };
        jobs.push(Job::new(place, tensor, fate, names)?);
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.alignment(model)));
    Ok(jobs)
}

/// Whether `scheme` is lossless and has a form for `tensor`.
fn takes(scheme: Scheme, tensor: &Tensor) -> Result<bool> {
    let is_weight = tensor.dtype.kind() == Kind::Real && tensor.elements() > 0;
    let is_lossless = matches!(scheme, Scheme::Lossless(_)) && is_weight;
    Ok(is_lossless && scheme.stored(&Weight::new(&tensor.shape)?, tensor.dtype)?.is_some())
}

impl Job {
    fn new(place: usize, tensor: &Tensor, fate: Fate, names: &mut HashSet<String>) -> Result<Self> {
        let scheme = match fate {
            Fate::Kept | Fate::Tied(_) => return Self::kept(place, tensor),
            Fate::Taken(scheme) | Fate::Encoded(scheme) => scheme,
        };
        if matches!(scheme, Scheme::Lossless(_)) {
            return Ok(Self::at_most(place, tensor, scheme));
        }
        let stored = scheme.stored(&Weight::new(&tensor.shape)?, tensor.dtype)?;
        let Some(stored) = stored else { return Self::kept(place, tensor) };
        let mut listed = Vec::with_capacity(stored.len());
        for piece in &stored {
            let bytes = piece.bytes()?;
            listed.push(match scheme {
                // Numbers in a format that safetensors knows are a tensor like any other.
                Scheme::Dense(dense) => {
                    Listed::new(tensor.name.clone(), dense.dtype().to_string(), tensor.shape.clone(), bytes)
                }
                _ => Listed::bytes(unused(&tensor.name, piece.part.name(), names), bytes),
            });
        }
        let row = row_of(tensor, scheme, &listed);
        Ok(Self { place, fate, listed, row: Some(row) })
    }

    /// A job of which the header may say less than this: pieces are few, their names short, and they are not as large as
    /// what they are made from.
    fn at_most(place: usize, tensor: &Tensor, scheme: Scheme) -> Self {
        let name = |number: u64| format!("{}.{}.{number}", tensor.name, Part::ZeroPoints.name());
        let listed: Vec<Listed> =
            (0..MOST_LOSSLESS).map(|number| Listed::bytes(name(number), tensor.bytes)).collect();
        let row = Some(row_of(tensor, scheme, &listed));
        Self { place, fate: Fate::Encoded(scheme), listed, row }
    }

    /// Says what was written in the end, where only that tells.
    pub(super) fn settle(
        &mut self,
        model: &Model,
        coded: Option<&Encoded>,
        names: &mut HashSet<String>,
    ) -> Result<()> {
        let (Fate::Encoded(scheme @ Scheme::Lossless(_)), Some(tensor)) =
            (self.fate, model.tensors.get(self.place))
        else {
            return Ok(());
        };
        let Some(coded) = coded else {
            *self = Self::kept(self.place, tensor)?;
            return Ok(());
        };
        let listed = coded.parts().iter().map(|(piece, bytes)| {
            let size = Bytes::new(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            Listed::bytes(unused(&tensor.name, piece.part.name(), names), size)
        });
        self.listed = listed.collect();
        self.row = Some(row_of(tensor, scheme, &self.listed));
        Ok(())
    }

    fn kept(place: usize, tensor: &Tensor) -> Result<Self> {
        let bytes = tensor.dtype.bytes_of(tensor.elements());
        let bytes = bytes.ok_or(Error::Overflow { what: "a tensor" })?;
        let (name, dtype, shape) = (tensor.name.clone(), tensor.dtype.to_string(), tensor.shape.clone());
        let listed = vec![Listed::new(name, dtype, shape, bytes)];
        Ok(Self { place, fate: Fate::Kept, listed, row: None })
    }

    /// Bytes of what a reader may want to see as numbers without a copy; none for pieces.
    fn alignment(&self, model: &Model) -> u64 {
        let bits = match (self.fate, model.tensors.get(self.place)) {
            (Fate::Encoded(Scheme::Dense(dense)), _) => dense.bits(),
            (Fate::Kept, Some(tensor)) => tensor.dtype.block().1,
            _ => 0,
        };
        bits / 8
    }

    /// Bytes of all that it writes.
    pub(super) fn bytes(&self) -> Result<Bytes> {
        Ok(Bytes::sum(self.listed.iter().map(Listed::size), "the compressed weights")?)
    }

    /// That `coded` has the pieces that were expected.
    ///
    /// # Errors
    /// [`Error::Damaged`] if not, which would be a codec that contradicts itself.
    pub(super) fn check(&self, coded: &Coded) -> Result<()> {
        let found: Vec<usize> = coded.parts().iter().map(|(_, bytes)| bytes.len()).collect();
        let is_expected = found.len() == self.listed.len()
            && found
                .iter()
                .zip(&self.listed)
                .all(|(&found, listed)| u64::try_from(found) == Ok(listed.size().get()));
        if is_expected {
            return Ok(());
        }
        let expected: Vec<u64> = self.listed.iter().map(|listed| listed.size().get()).collect();
        Err(Error::Damaged { piece: "pieces", reason: format!("{found:?} bytes, not {expected:?}") })
    }
}

fn row_of(tensor: &Tensor, scheme: Scheme, listed: &[Listed]) -> Row {
    Row {
        name: tensor.name.clone(),
        scheme: scheme.to_string(),
        dtype: tensor.dtype.to_string(),
        shape: tensor.shape.clone(),
        pieces: listed.iter().map(|listed| listed.name.clone()).collect(),
    }
}

/// `name.part`, or the same with a number behind it if a tensor has that name.
fn unused(name: &str, part: &str, names: &mut HashSet<String>) -> String {
    let plain = format!("{name}.{part}");
    let mut found = plain.clone();
    let mut number = 2_u64;
    while !names.insert(found.clone()) {
        found = format!("{plain}.{number}");
        number = number.saturating_add(1);
    }
    found
}
