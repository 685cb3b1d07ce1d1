"""Tensors of a compressed file that are in schemes of somebody's own: found, checked, and decoded when asked for."""

import json
import math
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ullage import _core
from ullage._core import Account
from ullage.encoding import brain
from ullage.errors import ModelFileError, PluginError
from ullage.plugins.own_weights import DTYPES, METADATA
from ullage.plugins.scheme import Array, CompressionScheme, decoded, lookup, made, size_of, unknown

__all__ = ["OwnRow", "OwnTensors", "own_rows"]

KEYS = {"name": str, "scheme": str, "dtype": str, "shape": list, "pieces": list, "tied": list}
FORMS: dict[str, type[np.generic]] = {
    "f32": np.float32,
    "float32": np.float32,
    "f16": np.float16,
    "float16": np.float16,
}
MOST = 1 << 62
"""Elements of a tensor, at most."""


class OwnRow(NamedTuple):
    """One such tensor."""

    name: str
    scheme: str
    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[tuple[str, str], ...]
    """Names of pieces, each with the tensor of bytes that holds it."""
    tied: tuple[str, ...]
    """Other names of the tensor."""


def own_rows(path: Path) -> list[OwnRow]:
    """Read which tensors of an open file are in schemes of somebody's own. Raises `ModelFileError`."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, path.stat().st_size))
    if METADATA.encode() not in header:
        return []
    try:
        metadata = json.loads(header).get("__metadata__") or {}
        listed = json.loads(metadata.get(METADATA, "[]"))
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise _damaged(path, METADATA, f"no list of tensors: {error}") from error
    if not isinstance(listed, list):
        raise _damaged(path, METADATA, "no list of tensors")
    return [_row(path, place, row) for place, row in enumerate(listed)]


class OwnTensors:
    """The tensors of one store that are in schemes of somebody's own."""

    def __init__(
        self, core: _core.Store, rows: Iterable[OwnRow], schemes: Iterable[object], account: Account | None
    ) -> None:
        """Check `rows` against the file. Raises `ModelFileError`, `ArgumentError` for what is no scheme."""
        self._core, self._account = core, account
        self._schemes = {scheme.name: scheme for scheme in map(made, schemes)}
        self._live: weakref.WeakValueDictionary[str, Array] = weakref.WeakValueDictionary()
        self.rows: dict[str, OwnRow] = {}
        self.pieces: set[str] = set()
        """Tensors of the file that are pieces of these."""
        self._sizes = {entry[0]: entry[4] for entry in core.entries() if entry[1] == "U8" and entry[3] is None}
        for row in rows:
            for name in (row.name, *row.tied):
                if name in self.rows or core.place(name) is not None:
                    raise _damaged(core.path, name, "it is listed twice")
                self.rows[name] = row
            for _, piece in row.pieces:
                if piece not in self._sizes or piece in self.pieces:
                    raise _damaged(core.path, row.name, f"its piece {piece[:80]!r} is no tensor of bytes of its own")
                self.pieces.add(piece)

    def bytes(self, row: OwnRow) -> int:
        """Give what a tensor takes in the file."""
        return sum(self._sizes[piece] for _, piece in row.pieces)

    def array(self, name: str, form: str | None, wait: float) -> Array:
        """Decode a tensor; while the array that was given lives, it is given again.

        Raises `PluginError` where its scheme is not installed, `SchemeError`, `ModelFileError`, and `BudgetExceeded`
        where the account has no room.
        """
        row = self.rows[name]
        array = self._live.get(row.name)
        if array is None:
            array = self._live.setdefault(row.name, self._decoded(row, wait))
        if form is None:
            return array
        if form in {"bf16", "bfloat16"}:
            return brain(np.ascontiguousarray(array, np.float32))
        wanted = FORMS.get(form)
        if wanted is None:
            self._core.array(self._core.place(row.pieces[0][1]) or 0, form, wait)  # raises what it raises for others
        found: Array = array.astype(wanted or np.float32, copy=False)
        return found

    def _decoded(self, row: OwnRow, wait: float) -> Array:
        scheme, dtype = self._scheme(row), DTYPES[row.dtype]
        said, there = size_of(scheme, row.shape, dtype, row.name), self.bytes(row)
        if said != there:
            raise _damaged(self._core.path, row.name, f"it holds {there} bytes, and {row.scheme} says {said}")
        booked = None
        if self._account is not None:
            size = math.prod(row.shape) * dtype.itemsize
            booked = self._account.reserve(size, label=f"decoded {row.name}"[:100])
        try:
            parts = {part: self._piece(piece, wait) for part, piece in row.pieces}
            array = decoded(scheme, parts, row.shape, dtype, row.name)
        except BaseException:
            if booked is not None:
                booked.release()
            raise
        if booked is not None:
            weakref.finalize(_owner(array), booked.release)
        return array

    def _piece(self, name: str, wait: float) -> memoryview:
        place = self._core.place(name)
        array = self._core.array(place if place is not None else 0, None, wait)
        return array.reshape(-1).data

    def _scheme(self, row: OwnRow) -> CompressionScheme:
        scheme = self._schemes.get(row.scheme)
        if scheme is None:
            scheme = lookup(row.scheme)
            if scheme is None:
                reason = f"{row.name[:80]} is in it, and {unknown(row.scheme)}"
                group = "ullage.schemes"
                message = f"{group}: {row.scheme}: {reason}"
                raise PluginError(message, group=group, name=row.scheme, distribution=None, reason=reason)
            self._schemes[row.scheme] = scheme
        return scheme


def _owner(array: Array) -> Array:
    """Give the array that keeps the memory: a part of `array` keeps that one alive, and not `array`."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _row(path: Path, place: int, row: Any) -> OwnRow:  # noqa: ANN401 - whatever the file holds
    where = f"{METADATA}[{place}]"
    if not isinstance(row, Mapping) or row.keys() != KEYS.keys():
        raise _damaged(path, where, f"no object of {', '.join(KEYS)}")
    for key, kind in KEYS.items():
        if not isinstance(row[key], kind):
            raise _damaged(path, where, f"{key} is no {kind.__name__}")
    if row["dtype"] not in DTYPES:
        raise _damaged(path, where, f"dtype: {row['dtype'][:80]!r} is none of {', '.join(DTYPES)}")
    shape = row["shape"]
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in shape) or len(shape) > 32:  # noqa: PLR2004 - NumPy's most until 2.0
        raise _damaged(path, where, f"shape: {str(shape)[:80]} is none")
    if math.prod(shape) > MOST:
        raise _damaged(path, where, f"shape: {str(shape)[:80]} has too many elements")
    pieces = row["pieces"]
    if not pieces or not all(isinstance(piece, list) and list(map(type, piece)) == [str, str] for piece in pieces):
        raise _damaged(path, where, "pieces: no pairs of names")
    if not all(isinstance(name, str) for name in row["tied"]):
        raise _damaged(path, where, "tied: no names")
    pairs = tuple((part, tensor) for part, tensor in pieces)
    return OwnRow(row["name"], row["scheme"], row["dtype"], tuple(shape), pairs, tuple(row["tied"]))


def _damaged(path: Path, field: str, reason: str) -> ModelFileError:
    field = field[:100]
    return ModelFileError(f"{path}: {field}: {reason}", path=str(path), offset=None, field=field, reason=reason)
