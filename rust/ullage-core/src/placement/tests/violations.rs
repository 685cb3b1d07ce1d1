//! The validator finds every single lie.
