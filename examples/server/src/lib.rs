//! An HTTP server that lends models, kept in memory under a limit by `ullage-core` alone.

pub mod body;
pub mod http;
