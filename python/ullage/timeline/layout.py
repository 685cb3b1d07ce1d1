"""The layout of events and lifetimes in memory."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["EVENT", "LIFETIME", "Counts", "Flags", "Indices", "Rows", "Sizes"]

Rows: TypeAlias = NDArray[Any]
"""An array of `EVENT` or `LIFETIME`."""
Counts: TypeAlias = NDArray[np.int64]
Indices: TypeAlias = NDArray[np.uint32]
Sizes: TypeAlias = NDArray[np.uint64]
Flags: TypeAlias = NDArray[np.bool_]

EVENT = np.dtype([("time_ns", "<i8"), ("delta", "<i8"), ("id", "<u8"), ("account", "<u4"), ("label", "<u4")])
"""One change of what is held. `id` names a reservation through its life; `account` and `label` are indices."""

LIFETIME = np.dtype(
    [("id", "<u8"), ("lower", "<i8"), ("upper", "<i8"), ("size", "<i8"), ("account", "<u4"), ("label", "<u4")]
)
"""Bytes held unchanged from `lower` until before `upper`."""
