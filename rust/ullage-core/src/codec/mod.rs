//! Compression schemes for weights: what a tensor takes in each, to the byte.

mod scheme;

pub use scheme::Scheme;

#[cfg(test)]
mod tests;
