"""Memory accounting for machine-learning models: footprint, fit, packing, ledger and pool.

What is named here stays; everything else may move.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from ullage import _core
from ullage._core import VERSION as __version__  # noqa: N811 - a constant there, a dunder here
from ullage._core import (
    Account,
    AccountSnapshot,
    Chain,
    Compression,
    Footprint,
    Interval,
    Layout,
    Ledger,
    LowerBound,
    Model,
    NumpyTracking,
    Optimum,
    Pending,
    PlacedDevice,
    Placement,
    Plan,
    PlannedBin,
    PressureGuard,
    Profile,
    Remedy,
    Reservation,
    ReservationBatch,
    Scope,
    SharedAccount,
    SharedAccountSnapshot,
    SharedLedger,
    SharedProcess,
    SharedReservation,
    Simulation,
    Split,
    SplitPlace,
    Tensor,
    Verdict,
    format_bytes,
    lower_bound,
    open_model,
    pack,
    parse_bytes,
    plan_arena,
    read_arena_instance,
    read_packing_instance,
    validate,
)
from ullage.errors import BudgetExceeded, DebugBuildWarning, UllageError

if TYPE_CHECKING:
    from ullage import (
        benchmark,
        catalog,
        errors,
        lossless,
        machine,
        measuring,
        plugins,
        replaying,
        report,
        splitting,
        tracking,
    )
    from ullage._codec import compress
    from ullage._footprint import fit, footprint
    from ullage._jit import calibrate, execute, simulate
    from ullage._optimize import optimize
    from ullage._placing import place, repack
    from ullage._split import SplitDevice, split
    from ullage.catalog import device
    from ullage.encoding import Distortion, Encoded, encode, encoded
    from ullage.fleet import read_fleet
    from ullage.measuring import fingerprint, measure
    from ullage.plugins.policy import EvictionPolicy
    from ullage.plugins.runtime import RuntimePolicy
    from ullage.plugins.scheme import CompressionScheme
    from ullage.pool import Pool
    from ullage.replaying import replay
    from ullage.schemes import Dense, Gguf, Linear, Lossless, Palettized, Sparse
    from ullage.solving import Interrupted, Progress
    from ullage.store import WeightStore, load, write_compressed
    from ullage.timeline import Timeline

__all__ = [
    "Account",
    "AccountSnapshot",
    "BudgetExceeded",
    "Chain",
    "Compression",
    "CompressionScheme",
    "DebugBuildWarning",
    "Dense",
    "Distortion",
    "Encoded",
    "EvictionPolicy",
    "Footprint",
    "Gguf",
    "Interrupted",
    "Interval",
    "Layout",
    "Ledger",
    "Linear",
    "Lossless",
    "LowerBound",
    "Model",
    "NumpyTracking",
    "Optimum",
    "Palettized",
    "Pending",
    "PlacedDevice",
    "Placement",
    "Plan",
    "PlannedBin",
    "Pool",
    "PressureGuard",
    "Profile",
    "Progress",
    "Remedy",
    "Reservation",
    "ReservationBatch",
    "RuntimePolicy",
    "Scope",
    "SharedAccount",
    "SharedAccountSnapshot",
    "SharedLedger",
    "SharedProcess",
    "SharedReservation",
    "Simulation",
    "Sparse",
    "Split",
    "SplitDevice",
    "SplitPlace",
    "Tensor",
    "Timeline",
    "UllageError",
    "Verdict",
    "WeightStore",
    "__version__",
    "benchmark",
    "calibrate",
    "catalog",
    "compress",
    "device",
    "encode",
    "encoded",
    "errors",
    "execute",
    "fingerprint",
    "fit",
    "footprint",
    "format_bytes",
    "load",
    "lossless",
    "lower_bound",
    "machine",
    "measure",
    "measuring",
    "open_model",
    "optimize",
    "pack",
    "parse_bytes",
    "place",
    "plan_arena",
    "plugins",
    "read_arena_instance",
    "read_fleet",
    "read_packing_instance",
    "repack",
    "replay",
    "replaying",
    "report",
    "simulate",
    "split",
    "splitting",
    "tracking",
    "validate",
    "write_compressed",
]

_LAZY = {
    "CompressionScheme": "ullage.plugins.scheme",
    "Dense": "ullage.schemes",
    "Distortion": "ullage.encoding",
    "Encoded": "ullage.encoding",
    "EvictionPolicy": "ullage.plugins.policy",
    "Gguf": "ullage.schemes",
    "Interrupted": "ullage.solving",
    "Linear": "ullage.schemes",
    "Lossless": "ullage.schemes",
    "Palettized": "ullage.schemes",
    "Pool": "ullage.pool",
    "Progress": "ullage.solving",
    "RuntimePolicy": "ullage.plugins.runtime",
    "Sparse": "ullage.schemes",
    "SplitDevice": "ullage._split",
    "Timeline": "ullage.timeline",
    "WeightStore": "ullage.store",
    "benchmark": "",
    "calibrate": "ullage._jit",
    "catalog": "",
    "compress": "ullage._codec",
    "device": "ullage.catalog",
    "encode": "ullage.encoding",
    "encoded": "ullage.encoding",
    "errors": "",
    "execute": "ullage._jit",
    "fingerprint": "ullage.measuring",
    "fit": "ullage._footprint",
    "footprint": "ullage._footprint",
    "load": "ullage.store",
    "lossless": "",
    "machine": "",
    "measure": "ullage.measuring",
    "measuring": "",
    "optimize": "ullage._optimize",
    "place": "ullage._placing",
    "plugins": "",
    "read_fleet": "ullage.fleet",
    "repack": "ullage._placing",
    "replay": "ullage.replaying",
    "replaying": "",
    "report": "",
    "simulate": "ullage._jit",
    "split": "ullage._split",
    "splitting": "",
    "tracking": "",
    "write_compressed": "ullage.store",
}
"""Names that are imported when first asked for, with their modules: asyncio and psutil cost more than the rest."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a lazy name."""
    if name not in _LAZY:
        raise AttributeError(f"module 'ullage' has no attribute {name!r}")
    module = _LAZY[name]
    value = getattr(importlib.import_module(module), name) if module else importlib.import_module(f"ullage.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)


def _warn_debug_build() -> None:
    """Say so when the extension is a debug build, so that nobody measures one."""
    if _core.DEBUG_BUILD:
        text = "ullage is a debug build, tens of times slower than a release; do not measure it"
        warnings.warn(text, DebugBuildWarning, stacklevel=3)


_warn_debug_build()
