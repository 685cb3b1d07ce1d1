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
    Footprint,
    Interval,
    Layout,
    Ledger,
    Model,
    NumpyTracking,
    Pending,
    Plan,
    PlannedBin,
    PressureGuard,
    Remedy,
    Reservation,
    ReservationBatch,
    Scope,
    SharedAccount,
    SharedAccountSnapshot,
    SharedLedger,
    SharedProcess,
    SharedReservation,
    Tensor,
    Verdict,
    format_bytes,
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
    from ullage import catalog, errors, machine, measuring, tracking
    from ullage._footprint import fit, footprint
    from ullage.catalog import device
    from ullage.measuring import fingerprint, measure
    from ullage.pool import Pool
    from ullage.solving import Interrupted, Progress
    from ullage.timeline import Timeline

__all__ = [
    "Account",
    "AccountSnapshot",
    "BudgetExceeded",
    "DebugBuildWarning",
    "Footprint",
    "Interrupted",
    "Interval",
    "Layout",
    "Ledger",
    "Model",
    "NumpyTracking",
    "Pending",
    "Plan",
    "PlannedBin",
    "Pool",
    "PressureGuard",
    "Progress",
    "Remedy",
    "Reservation",
    "ReservationBatch",
    "Scope",
    "SharedAccount",
    "SharedAccountSnapshot",
    "SharedLedger",
    "SharedProcess",
    "SharedReservation",
    "Tensor",
    "Timeline",
    "UllageError",
    "Verdict",
    "__version__",
    "catalog",
    "device",
    "errors",
    "fingerprint",
    "fit",
    "footprint",
    "format_bytes",
    "machine",
    "measure",
    "measuring",
    "open_model",
    "pack",
    "parse_bytes",
    "plan_arena",
    "read_arena_instance",
    "read_packing_instance",
    "tracking",
    "validate",
]

_LAZY = {
    "Interrupted": "ullage.solving",
    "Pool": "ullage.pool",
    "Progress": "ullage.solving",
    "Timeline": "ullage.timeline",
    "catalog": "",
    "device": "ullage.catalog",
    "errors": "",
    "fingerprint": "ullage.measuring",
    "fit": "ullage._footprint",
    "footprint": "ullage._footprint",
    "machine": "",
    "measure": "ullage.measuring",
    "measuring": "",
    "tracking": "",
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
