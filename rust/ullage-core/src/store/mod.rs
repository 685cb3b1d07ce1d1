//! Compressed model files: written tensor by tensor, read lazily, decoded when asked for.
//!
//! ```text
//!  model files ──► write ──► header │ tensors as they are │ pieces of compressed ones      one safetensors file
//!                                              │                     │
//!                                        views of the map      decoded into scratch of bounded size ──► arrays
//! ```
//!
//! A compressed file is a safetensors file that any reader of the format opens: tensors that are kept lie there as they
//! were, and each [`Piece`](crate::codec::Piece) of a compressed one is a tensor of bytes, `layer.weight.indices` say. The
//! entry `ullage.format` of `__metadata__` is the [`VERSION`] of what follows, and `ullage.tensors` a JSON list that says
//! of each compressed tensor its name, scheme, dtype and shape before, and the names of its pieces in the scheme's order.
//!
//! [`write()`] works on as many tensors at once as it has threads and holds nothing else in memory. [`WeightStore`] maps the
//! file: tensors kept are views of it, compressed ones are decoded into buffers that one budget bounds. A buffer that a
//! caller still holds is never used again; the others go in the order in which they will be missed latest.

mod buffer;
mod cache;
mod decode;
mod encode;
mod entry;
mod file;
mod given;
mod header;
mod job;
mod lease;
mod manifest;
mod map;
mod numbers;
mod output;
mod partial;
mod room;
mod source;
mod strided;
mod weights;
mod workers;
mod write;

pub use entry::Entry;
pub use file::{StoreFile, check};
pub use lease::Lease;
pub use manifest::VERSION;
pub use output::{Element, Form};
pub use room::Stats;
pub use weights::{Array, Plain, StoreOptions, WeightStore};
pub use workers::Progress;
pub use write::{WriteOptions, Written, WrittenTensor, check_out, write};

#[cfg(test)]
mod tests;
