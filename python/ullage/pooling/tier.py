"""The compressed tier: a model's arrays in a smaller form that waits in memory, made whole again on demand.

A model is compressed *in place*: the mapping in which it looks its weights up stays what it is, and each array in it
makes way for a `Compressed`, or for a reference to a file of compressed weights. What the mapping holds beside arrays
stays. Nobody leases the model meanwhile.
"""

import contextlib
import ctypes
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from ullage.errors import ArgumentError
from ullage.lossless import Compressed, compress

__all__ = ["Form", "Tier", "demote", "demote_there", "promote", "tier_of"]

LOSSLESS = "compressed"
"""The name of the tier that keeps every bit, by `ullage.lossless`."""
THREADS = 2
"""Threads that compress or decompress one array."""

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Form(Protocol):
    """What stands in for an array."""

    @property
    def is_writeable(self) -> bool:
        """Whether the array could be written to."""

    def array(self) -> Array:
        """Give the array back."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An array without loss."""

    packed: Compressed
    is_writeable: bool

    def array(self) -> Array:
        """Give the array back, bit for bit."""
        return self.packed.decompress(threads=THREADS)


@dataclass(frozen=True, slots=True)
class Stored:
    """An array that lies in a file of compressed weights."""

    store: Mapping[str, Array]
    name: str
    dtype: np.dtype[Any]
    is_writeable: bool

    def array(self) -> Array:
        """Decode the array into memory of its own."""
        return np.array(self.store[self.name], dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class Tier:
    """How a model is compressed. It travels to worker processes."""

    weights: Callable[[Any], Any] | None
    """Gives the mapping of a model's arrays; without it, the model is that mapping."""
    store: Callable[[], Any] | None = None
    """Opens the file of compressed weights."""

    def mapping(self, model: object) -> MutableMapping[str, Any]:
        """Give the mapping in which `model` looks its weights up. Raises `ArgumentError` where there is none."""
        found = model if self.weights is None else self.weights(model)
        if not isinstance(found, MutableMapping):
            reason = f"gives a {type(found).__name__}, which is no mapping whose arrays can be replaced"
            name = "tier" if self.weights is None else "weights"
            raise ArgumentError(f"{name}: the model {reason}", name=name, reason=reason)
        return found


def tier_of(tier: object, weights: Callable[[Any], Any] | None) -> Tier | None:
    """Read the argument `tier`. Raises `ArgumentError` for what is none."""
    if tier is None:
        if weights is not None:
            raise ArgumentError(
                "weights: they are of use for a compressed tier only", name="weights", reason="there is no tier"
            )
        return None
    if tier == LOSSLESS:
        return Tier(weights)
    if callable(tier):
        return Tier(weights, tier)
    reason = f"{tier!r} is neither {LOSSLESS!r} nor a function that opens compressed weights"
    raise ArgumentError(f"tier: {reason}", name="tier", reason=reason)


def demote(model: object, tier: Tier) -> tuple[int, list[Array]]:
    """Compress `model`; gives the bytes that it takes now, and the arrays that it has let go.

    All or nothing: whatever this raises, the model is as it was.
    """
    mapping = tier.mapping(model)
    arrays = {name: value for name, value in mapping.items() if isinstance(value, np.ndarray)}
    forms, size = _packed(arrays) if tier.store is None else _stored(arrays, tier.store())
    mapping.update(forms)
    return size, list(arrays.values())


def demote_there(model: object, tier: Tier) -> int:
    """Compress `model` in this process, and give the system what is free; gives the bytes that it takes now."""
    size = demote(model, tier)[0]
    with contextlib.suppress(OSError, AttributeError):  # another allocator than glibc's
        ctypes.CDLL(None).malloc_trim(0)
    return size


def promote(model: object, tier: Tier) -> None:
    """Make `model` whole again; all or nothing, as in `demote`."""
    mapping = tier.mapping(model)
    forms = {name: value for name, value in mapping.items() if isinstance(value, (Packed, Stored))}
    made: dict[int, Array] = {}
    arrays: dict[str, Array] = {}
    for name, form in forms.items():
        if id(form) not in made:
            array = form.array()
            array.flags.writeable = form.is_writeable
            made[id(form)] = array
        arrays[name] = made[id(form)]
    mapping.update(arrays)
    stores = {id(form.store): form.store for form in forms.values() if isinstance(form, Stored)}
    for store in stores.values():
        _close(store)


def _packed(arrays: dict[str, Array]) -> tuple[dict[str, Packed], int]:
    """Compress each array; one that stands under several names, once."""
    made: dict[int, Packed] = {}
    for array in arrays.values():
        if id(array) not in made:
            made[id(array)] = Packed(compress(array, threads=THREADS), bool(array.flags.writeable))
    size = sum(form.packed.nbytes for form in made.values())
    return {name: made[id(array)] for name, array in arrays.items()}, size


def _stored(arrays: dict[str, Array], store: Any) -> tuple[dict[str, Stored], int]:  # noqa: ANN401 - a `WeightStore`, or what is like one
    lacking = [name for name in arrays if name not in store]
    if lacking:
        _close(store)
        reason = f"the compressed weights have no {lacking[0]!r}"
        raise ArgumentError(f"tier: {reason}", name="tier", reason=reason)
    forms = {name: Stored(store, name, array.dtype, bool(array.flags.writeable)) for name, array in arrays.items()}
    return forms, _size(store)


def _size(store: Any) -> int:  # noqa: ANN401 - as above
    """Give what an open store takes: its file, as far as it is read, and its buffers."""
    stats = getattr(store, "stats", None)
    if stats is None:
        return 0
    found = stats() if callable(stats) else stats
    return int(found.file_bytes + found.scratch_bytes)


def _close(store: object) -> None:
    close = getattr(store, "close", None)
    if close is not None:
        close()
