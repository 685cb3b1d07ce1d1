#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

mod crashes;
#[cfg(target_os = "linux")]
mod files;
mod histories;
mod hostile;
mod machine;
mod rules;

pub(super) use machine::Fuse;
