//! The extension module `ullage._core`: it converts, calls `ullage-core` and converts back. No decision is taken here.

mod arena;
mod bound;
mod buffer;
mod chain;
mod check;
mod codec;
mod detach;
mod encoded;
mod error;
mod footprint;
mod instance;
mod integers;
mod jit;
mod kernel;
mod layout;
mod ledger;
mod lossless;
mod machine;
mod model;
mod numpy_memory;
mod optimize;
mod pack;
mod placed;
mod placement;
mod plan;
mod pool;
mod replay;
mod shared;
mod signals;
mod split;
mod store;
mod units;
mod validate;

use pyo3::prelude::{Bound, PyModule, PyResult, pymodule};

/// The compiled half of `ullage`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::arena::{parse_arena_csv, plan_arena, read_arena_instance};
    #[pymodule_export]
    use super::bound::{LowerBound, lower_bound};
    #[pymodule_export]
    use super::buffer::Buffer;
    #[pymodule_export]
    use super::chain::Chain;
    #[pymodule_export]
    use super::check::{check_assignment, check_offsets};
    #[pymodule_export]
    use super::codec::{Compression, compress_layers, compress_model, scheme_text};
    #[pymodule_export]
    use super::encoded::{StoredWeight, encode_weight, scheme_bytes, stored_weight};
    #[pymodule_export]
    use super::footprint::{
        Footprint, Interval, Remedy, Verdict, add_runtime, estimate, judge, runtime_policies,
    };
    #[pymodule_export]
    use super::instance::{parse_azure_trace, parse_openb_trace, parse_packing_instance};
    #[pymodule_export]
    use super::jit::{
        Profile, Simulation, calibrate_machine, execute_layers, layers_of, simulate_layers, verify_machine,
    };
    #[pymodule_export]
    use super::kernel::{StoredMatrix, decode_matrix, kernel_isas, memory_times, multiply_matrix};
    #[pymodule_export]
    use super::layout::Layout;
    #[pymodule_export]
    use super::ledger::{
        Account, AccountSnapshot, Ledger, Pending, PressureGuard, Reservation, ReservationBatch, Scope,
    };
    #[pymodule_export]
    use super::lossless::{PackedBytes, pack_bytes};
    #[pymodule_export]
    use super::machine::Watch;
    #[pymodule_export]
    use super::model::{Model, Tensor, open_model};
    #[pymodule_export]
    use super::numpy_memory::NumpyTracking;
    #[pymodule_export]
    use super::optimize::{Optimum, optimize_layers};
    #[pymodule_export]
    use super::pack::{pack_items, read_packing_instance};
    #[pymodule_export]
    use super::placed::{PlacedDevice, Placement};
    #[pymodule_export]
    use super::placement::{place_items, repack_items};
    #[pymodule_export]
    use super::plan::{Plan, PlannedBin};
    #[pymodule_export]
    use super::pool::{Brain, Candidate, Estimates, Gauge};
    #[pymodule_export]
    use super::replay::{Trace, policy_names};
    #[pymodule_export]
    use super::shared::{
        SharedAccount, SharedAccountSnapshot, SharedLedger, SharedProcess, SharedReservation, SharedWaiter,
    };
    #[pymodule_export]
    use super::split::{Split, SplitPlace, split_pipeline, split_rack, split_tiers};
    #[pymodule_export]
    use super::store::{Store, check_out, write_compressed};
    #[pymodule_export]
    use super::units::{format_bytes, parse_bytes};
    #[pymodule_export]
    use super::validate::validate;

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        super::detach::register(module.py())
    }

    /// The crate's version, the only place it is written.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Whether this is a debug build, whose timings mean nothing.
    #[pymodule_export]
    const DEBUG_BUILD: bool = cfg!(debug_assertions);
}
