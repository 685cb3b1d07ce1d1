//! Just-in-time decompression: profiles, simulations, executions, calibration and its verdict.

mod calibrate;
mod layers;
mod profile;
mod simulation;

pub(crate) use calibrate::{calibrate_machine, verify_machine};
pub(crate) use layers::{execute_layers, layers_of, simulate_layers};
pub(crate) use profile::Profile;
pub(crate) use simulation::Simulation;
