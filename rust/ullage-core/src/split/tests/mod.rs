//! Splits against brute force, and strangers' checks of everything that is stated.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow in a test panics, as it should")]

mod naive;
mod of_model;
mod parallel;
mod pipeline;
mod problems;
mod tiers;
mod violations;
