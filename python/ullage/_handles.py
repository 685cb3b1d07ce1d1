"""Handles of reservations that were made in one batch, as an array."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ullage.errors import ArgumentError

Numbers = npt.NDArray[np.unsignedinteger[Any]]
HANDLE = np.dtype([("ledger", "<u8"), ("slot", "<u4"), ("generation", "<u4")])
"""One handle: the ledger that gave it, its place, and how many held the place before."""


def handle_columns(handles: Any) -> tuple[Numbers, Numbers, Numbers]:  # noqa: ANN401 - checked here
    """Give the columns of an array of handles."""
    array = np.asarray(handles)
    if array.dtype != HANDLE:
        reason = f"an array of {array.dtype}, expected the handles of a batch"
        raise ArgumentError(f"handles: {reason}", name="handles", reason=reason)
    flat = np.ascontiguousarray(array.reshape(-1))
    return (
        np.ascontiguousarray(flat["ledger"]),
        np.ascontiguousarray(flat["slot"]),
        np.ascontiguousarray(flat["generation"]),
    )
