//! Compression schemes for weights: what a tensor takes in each, to the byte.
//!
//! A scheme says which [`Piece`]s it stores for one [`Weight`]; a container says how pieces lie in a file. Without one,
//! pieces are packed end to end ([`Scheme::tensor_bytes`]). [`core_ml`] is the `weight.bin` of a Core ML package.

mod coded;
pub mod core_ml;
mod dense;
mod gguf;
mod half;
pub mod kernel;
mod linear;
mod lossless;
mod palettized;
mod piece;
mod plan;
mod scheme;
mod sparse;
mod text;
mod weight;

pub use coded::{Choices, Coded, Distortion, Inputs, Packed, RawReader, Reading, View};
pub use dense::Dense;
pub use gguf::Gguf;
pub use linear::{Granularity, Linear};
pub use lossless::{Lossless, Method};
pub use palettized::Palettized;
pub use piece::{Part, Piece};
pub use plan::{Compressed, Container, Plan, Row, compress};
pub use scheme::Scheme;
pub use sparse::{Kept, Sparse, Zeros};
pub use weight::{Remainder, Weight};

#[cfg(test)]
mod tests;
