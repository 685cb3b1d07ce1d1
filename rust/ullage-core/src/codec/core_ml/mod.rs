//! Core ML packages as coremltools 9 writes them: the size of `weight.bin` to the byte, that of the package nearly so.
//!
//! Which weights are compressed, and how they are stored, is coremltools' (`optimize.coreml`, `converters.mil`):
//!
//! - weights of two dimensions or more with more than 2048 elements, whatever consumes them; never vectors;
//! - a weight whose channels do not divide into groups or blocks stays dense;
//! - a constant of fewer than 10 elements stands in the program, equal ones of 100 or more are stored once;
//! - batch norms are folded into convolutions, unless the weights were compressed in training: then they stay, as four vectors.
//!
//! Checked to the byte against files that coremltools 9.0 wrote. The size of magnitude-pruned weights depends on how many
//! equal magnitudes lie at the threshold; theirs is up to 0.1 % less than said here.

mod constants;
mod file;
mod network;
mod program;
#[cfg(test)]
mod tests;

use std::fmt;

pub use file::WeightFile;
pub use network::{Bias, Layer, LayerRow, Network, Operation};
pub use program::Program;

use super::dense::Dense;
use super::piece::{self, Piece};
use super::plan::{Compressed, Plan, Row};
use super::scheme::Scheme;
use crate::error::Result;
use crate::units::Bytes;

/// The system that a program is converted for, which decides its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// iOS 16 and 17, macOS 13 and 14.
    Ios16,
    /// iOS 18, macOS 15 and later.
    Ios18,
}

/// What becomes of batch norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Norms {
    /// They are folded into the weights before these are compressed.
    #[default]
    Folded,
    /// They stay where the weight before them was compressed in training, so that it can no longer change.
    Kept,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ios16 => "coreml:ios16",
            Self::Ios18 => "coreml:ios18",
        })
    }
}

/// Lays `network` out with the schemes of `plan`.
///
/// # Errors
/// [`crate::Error::Argument`] for a scheme that `target` does not know or an override that no layer has the name for,
/// [`crate::Error::Overflow`] beyond 2^64 − 1 bytes.
pub fn compress(network: &Network, plan: &Plan, target: Target) -> Result<Compressed> {
    for scheme in plan.schemes() {
        constants::check(scheme, target)?;
    }
    plan.check(&network.layers.iter().map(|layer| layer.name.as_str()))?;
    let mut writer = Writer::new(target);
    for layer in &network.layers {
        writer.layer(layer, plan)?;
    }
    let dense = Plan { threshold: plan.threshold, ..Plan::new(Scheme::F16) };
    let mut unpacked = Writer::new(target);
    for layer in &network.layers {
        unpacked.layer(layer, &dense)?;
    }
    Ok(Compressed {
        dense: unpacked.file.bytes(),
        compressed: writer.file.bytes(),
        program: Some(writer.program),
        rows: writer.rows,
    })
}

/// A package that is being laid out.
struct Writer {
    target: Target,
    file: WeightFile,
    rows: Vec<Row>,
    program: Program,
}

impl Writer {
    fn new(target: Target) -> Self {
        Self { target, file: WeightFile::default(), rows: Vec::new(), program: Program::default() }
    }

    fn layer(&mut self, layer: &Layer, plan: &Plan) -> Result<()> {
        let weight = layer.weight()?;
        let scheme = plan.scheme_of(&layer.name);
        let is_eligible = layer.shape.len() > 1 && weight.elements() > plan.threshold;
        let chosen = if is_eligible && !matches!(scheme, Scheme::Dense(_)) {
            constants::pieces(scheme, &weight, self.target)?
        } else {
            None
        };
        let is_compressed = chosen.is_some();
        let dense = constants::dense(&weight, Dense::F16);
        let pieces = chosen.unwrap_or_else(|| dense.clone());
        let scheme = if is_compressed { scheme } else { Scheme::F16 };
        self.program.weight(is_compressed.then_some(scheme), self.target);
        self.append(layer.name.clone(), layer.shape.clone(), scheme, &pieces, &dense)?;
        self.beside(layer, plan.norms == Norms::Kept && is_compressed && layer.is_normed)
    }

    /// The bias of `layer`, or the batch norm that stays behind it.
    fn beside(&mut self, layer: &Layer, is_norm_kept: bool) -> Result<()> {
        let base = layer.name.strip_suffix(".weight").unwrap_or(&layer.name);
        let channels = layer.channels();
        let is_zero = layer.bias == Bias::Zeros;
        let leaves: &[&str] = match layer.bias {
            _ if is_norm_kept => &["gamma", "beta", "mean", "variance"],
            Bias::Absent => &[],
            Bias::Learned | Bias::Zeros => &["bias"],
        };
        self.program.norm(is_norm_kept);
        for leaf in leaves {
            let piece = [constants::vector(channels, is_zero)];
            self.append(format!("{base}.{leaf}"), vec![channels], Scheme::F16, &piece, &piece)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        name: String,
        shape: Vec<u64>,
        scheme: Scheme,
        pieces: &[Piece],
        dense: &[Piece],
    ) -> Result<()> {
        let mut sizes = Vec::with_capacity(pieces.len());
        for piece in pieces {
            sizes.push(self.file.append(piece, self.target)?);
        }
        let bytes = Bytes::sum(sizes, "the compressed weights")?;
        let dense = piece::total(dense)?;
        self.rows.push(Row { name, shape, scheme: Some(scheme), dense, bytes });
        Ok(())
    }
}
