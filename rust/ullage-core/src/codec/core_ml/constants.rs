//! What coremltools makes of a weight: the constants of its `constexpr` operation.

use super::super::dense::Dense;
use super::super::linear::Granularity;
use super::super::palettized::Palettized;
use super::super::piece::{Part, Piece};
use super::super::scheme::Scheme;
use super::super::sparse::Kept;
use super::super::weight::{OVERFLOW, Remainder, Weight};
use super::Target;
use crate::error::{Error, Result};
use crate::model::Dtype;

/// Pieces of `weight` in `scheme`; `None` where coremltools leaves it dense.
///
/// # Errors
/// [`Error::Overflow`] beyond 2^64 − 1 bytes.
pub(super) fn pieces(scheme: Scheme, weight: &Weight, target: Target) -> Result<Option<Vec<Piece>>> {
    let Some(mut pieces) = scheme.pieces(weight, Dtype::F16, Remainder::Refused)? else { return Ok(None) };
    match scheme {
        Scheme::Linear(linear) if target == Target::Ios16 && !linear.is_affine => {
            let zero_points = match linear.granularity {
                Granularity::Tensor => 1,
                _ => weight.outputs(),
            };
            let twin = Some(vec![zero_points]);
            pieces.push(Piece { twin, ..Piece::new(Part::ZeroPoints, zero_points, u64::from(linear.bits)) });
        }
        Scheme::Palettized(palettized) if palettized.has_scale => {
            replicate_tables(palettized, weight, &mut pieces)?;
        }
        _ => {}
    }
    Ok(Some(pieces))
}

/// Repeats tables for every position of an output channel, which is how a lookup that a scale follows is stored.
///
/// Scaled weights reach from −1 to 1 in each position, so tables of evenly spaced values are the same for all weights.
fn replicate_tables(palettized: Palettized, weight: &Weight, pieces: &mut [Piece]) -> Result<()> {
    for piece in pieces.iter_mut().filter(|piece| piece.part == Part::Tables) {
        piece.elements = piece.elements.checked_mul(weight.row()).ok_or(OVERFLOW)?;
        if palettized.group_size.is_none() {
            piece.twin = Some(weight.row_shape());
        }
    }
    Ok(())
}

/// The weight as it is.
pub(super) fn dense(weight: &Weight, baseline: Dense) -> Vec<Piece> {
    vec![Piece::new(Part::Values, weight.elements(), baseline.bits())]
}

/// A vector beside a weight.
pub(super) fn vector(elements: u64, is_zero: bool) -> Piece {
    let twin = is_zero.then(|| vec![elements]);
    Piece { twin, ..Piece::new(Part::Values, elements, 16) }
}

/// # Errors
/// [`Error::Argument`] for a scheme that a program for `target` has no operation for.
pub(super) fn check(scheme: Scheme, target: Target) -> Result<()> {
    let missing = match scheme {
        Scheme::Gguf(_) | Scheme::Lossless(_) => Some("Core ML has no such format"),
        Scheme::Dense(dense) if dense.dtype() != Dtype::F16 => {
            Some("programs are laid out with 16-bit numbers")
        }
        _ if target == Target::Ios16 => newer(scheme),
        _ => None,
    };
    missing.map_or(Ok(()), |why| {
        let reason = format!("{scheme} cannot be stored in {target}: {why}");
        Err(Error::Argument { name: "scheme", reason })
    })
}

/// Why a scheme needs iOS 18.
fn newer(scheme: Scheme) -> Option<&'static str> {
    match scheme {
        Scheme::Palettized(palettized) => {
            let is_plain = palettized.vector == 1 && !palettized.has_scale && !palettized.has_int8_table;
            match () {
                () if palettized.bits == 3 => Some("3-bit tables came with iOS 18"),
                () if palettized.group_size.is_some() => Some("tables of channel groups came with iOS 18"),
                () if !is_plain => Some("vectors, scales and integer tables came with iOS 18"),
                () => None,
            }
        }
        Scheme::Linear(linear) if linear.bits < 8 => Some("4-bit integers came with iOS 18"),
        Scheme::Linear(linear) if matches!(linear.granularity, Granularity::Block(_)) => {
            Some("blocks came with iOS 18")
        }
        Scheme::Sparse(sparse) if sparse.kept != Kept::F16 => Some("joint compression came with iOS 18"),
        _ => None,
    }
}
