"""Compressed model files: written tensor by tensor, read lazily, decoded when a tensor is asked for."""

import difflib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ullage import _core
from ullage._core import Account
from ullage._subject import Subject, resolve
from ullage._types import ByteCount
from ullage.errors import ArgumentError, UllageError, UnknownTensorError
from ullage.plugins.own_tensors import OwnTensors, own_rows
from ullage.plugins.own_weights import OwnPlan
from ullage.plugins.own_weights import write as write_own
from ullage.plugins.scheme import CompressionScheme
from ullage.schemes import Scheme

__all__ = [
    "StoreStats",
    "StoredTensor",
    "WeightStore",
    "WriteProgress",
    "Written",
    "WrittenTensor",
    "load",
    "write_compressed",
]

Form: TypeAlias = Literal["f32", "f16", "bf16"]
"""What an array is to be made of: IEEE numbers of 32 or 16 bits, or the upper halves of 32-bit ones as `uint16`."""

Activations: TypeAlias = Literal["int8"]
"""What vectors may be rounded to before they are multiplied: integers of 8 bits with a scale for each block."""

MOST_SUGGESTIONS = 5


class StoredTensor(NamedTuple):
    """One tensor of a store."""

    name: str
    """Its name."""
    dtype: str
    """Number format before it was compressed, such as `F32`."""
    shape: tuple[int, ...]
    """Shape."""
    scheme: str | None
    """How it is stored; `None` as it was."""
    bytes: int
    """Bytes in the file."""


class StoreStats(NamedTuple):
    """What was asked of a store so far, and what it holds."""

    hits: int
    """Arrays that were decoded already when asked for."""
    misses: int
    """Arrays that had to be decoded."""
    shared: int
    """Arrays that another thread was decoding just then."""
    views: int
    """Arrays that are views of the file."""
    evictions: int
    """Buffers taken from one tensor for another."""
    decoded_bytes: int
    """Bytes decoded."""
    decode_seconds: float
    """Time spent decoding, summed over threads."""
    scratch_bytes: int
    """Bytes of all buffers."""
    held_bytes: int
    """Bytes of the buffers that arrays hold."""
    scratch_peak: int
    """The most bytes of all buffers at once."""
    scratch_limit: int
    """The most there may be."""
    file_bytes: int
    """Bytes of the file."""


class WriteProgress(NamedTuple):
    """How far a file is; what the argument `progress` of `write_compressed` is called with."""

    tensors: int
    """Tensors written."""
    of_tensors: int
    """Tensors in all."""
    bytes: int
    """Bytes of the tensors written, as they were."""
    of_bytes: int
    """Bytes of all tensors, as they were."""
    elapsed_s: float
    """Seconds since the start."""


class WrittenTensor(NamedTuple):
    """A tensor that was written."""

    name: str
    """Its name."""
    shape: list[int]
    """Its shape."""
    dtype: str
    """Its number format before."""
    scheme: str | None
    """How it is stored; `None` as it was."""
    dense_bytes: int
    """Bytes before."""
    bytes: int
    """Bytes in the file."""
    snr_db: float | None
    """Power of the weights over that of the error, in decibels; `None` where there is no error."""
    rms_error: float | None
    """The root of the mean squared error; `None` for a tensor stored as it was."""
    max_error: float | None
    """The largest absolute error; `None` for a tensor stored as it was."""


@dataclass(frozen=True)
class Written:
    """A compressed file that was written."""

    path: Path
    """The file."""
    file_bytes: int
    """Its bytes: header and tensors."""
    header_bytes: int
    """Bytes of its header."""
    tensor_bytes: int
    """Bytes of its tensors."""
    dense_bytes: int
    """Bytes of the tensors as they were."""
    tensors: list[WrittenTensor]
    """Tensor by tensor, in the model's order."""

    def worst(self, count: int = 5) -> list[WrittenTensor]:
        """Give the tensors that are farthest off, by their signal to noise ratio."""
        off = [tensor for tensor in self.tensors if tensor.snr_db is not None]
        return sorted(off, key=lambda tensor: tensor.snr_db or 0.0)[:count]

    def as_dict(self) -> dict[str, Any]:
        """Give the same as plain values, ready for JSON."""
        fields = {name: getattr(self, name) for name in ("file_bytes", "header_bytes", "tensor_bytes", "dense_bytes")}
        return {"path": os.fspath(self.path), **fields, "tensors": [tensor._asdict() for tensor in self.tensors]}


class WeightStore(Mapping[str, npt.NDArray[Any]]):
    """The weights of one file: a mapping of names to read-only NumPy arrays, made when they are asked for.

    A tensor stored as it was is a view of the mapped file. A compressed one is decoded into a buffer of the scratch
    space, where it stays until its room is needed; while an array lives, its buffer is used for nothing else. Any
    number of threads may ask at once; a tensor is decoded once for all of them, without the interpreter.
    """

    def __init__(
        self, core: _core.Store, *, threads: int = 1, wait: float = 0.0, own: OwnTensors | None = None
    ) -> None:
        """Give a face to `core`. `ullage.load` is how stores are opened."""
        self._core = core
        self._threads = threads
        self._wait = wait
        self._lock = threading.Lock()
        self._ahead: ThreadPoolExecutor | None = None
        rows = [StoredTensor(row[0], row[1], tuple(row[2]), *row[3:]) for row in core.entries()]
        self._own = own
        if own is not None:
            rows = [row for row in rows if row.name not in own.pieces]
            found = own.rows.items()
            rows += [StoredTensor(name, row.dtype, row.shape, row.scheme, own.bytes(row)) for name, row in found]
        self._tensors = {row.name: row for row in rows}

    @property
    def path(self) -> Path:
        """The file."""
        return self._core.path

    @property
    def tensors(self) -> list[StoredTensor]:
        """Every tensor, in file order; nothing is decoded."""
        return list(self._tensors.values())

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._core.closed

    def array(self, name: str, *, dtype: Form | None = None, wait: float | None = None) -> npt.NDArray[Any]:
        """Give the tensor called `name` as a read-only array.

        Without a `dtype` its numbers are in the format that they had before compression; BF16, F8 and the blocks of
        GGML, which NumPy has no format for, come as `float32`, and `"bf16"` gives 16-bit patterns as `uint16`. `wait`
        is the time in seconds to wait for a buffer while arrays hold all of them; unless given, that of the store.

        A tensor in a scheme of a plug-in is decoded by it, into memory of its own beside the scratch space.

        Raises `UnknownTensorError`, `BudgetExceeded` where the scratch space or the account has no room, its subclass
        `WaitTimeoutError` after a wait, `ModelFileError` naming tensor or piece for damaged data, `ArgumentError`
        once the store is closed or for integers asked for as other numbers, `PluginError` and `SchemeError` for schemes
        of plug-ins.
        """
        if self._is_own(name):
            return self._own_array(name, dtype, self._wait if wait is None else wait)
        return self._core.array(self._place(name), dtype, self._wait if wait is None else wait)

    def multiply(
        self, name: str, x: npt.ArrayLike, *, activations: Activations | None = None
    ) -> npt.NDArray[np.float32]:
        """Multiply the matrix called `name` with `x`, without decoding it to memory: `store[name] @ x` in 32 bits.

        `x` is one vector, or a row for each of several; the result is one likewise. A weight of more dimensions has a
        row for each of its first, and a vector is one row; a lossless one is decoded whole, as `array` does.

        With `activations="int8"` vectors are rounded to integers of 8 bits first, and those multiplied with the stored
        integers (dynamic quantisation of activations, W8A8 and W4A8): less time, and less exact. Each block of 32
        numbers of `x`, or of 256 where a row of the weight has one scale, has the scale `s = max(abs(x)) / 127`, and
        `q = round(x / s)`, ties to even. Products of integers are summed exactly, then multiplied with both scales.
        The result differs from the exact product by no more than the sum of `abs(weight) * s / 2` over a row, and by
        what sums of 32 bits lose; all processors give the same bits. Weights in `linear` schemes and `gguf` ones of
        `q4_0`, `q8_0`, `q4_k` and `q6_k` are multiplied so. docs/kernels.md says what it costs.

        Raises what `array` raises, and `ArgumentError` for an `x` of another length; with `activations` also for one
        that is not finite, and for a tensor in another scheme.
        """
        place = None if self._is_own(name) else self._place(name)
        if place is None and activations is not None:
            reason = f"{self._tensors[name].scheme} is not multiplied with rounded vectors"
            raise ArgumentError(f"activations: {reason}", name="activations", reason=reason)
        vectors = np.ascontiguousarray(x, dtype=np.float32)
        if vectors.ndim not in {1, 2}:
            reason = f"{vectors.ndim} dimensions, not one vector or rows of them"
            raise ArgumentError(f"x: {reason}", name="x", reason=reason)
        batch = 1 if vectors.ndim == 1 else len(vectors)
        shape = self._tensors[name].shape
        rows = shape[0] if len(shape) > 1 else 1
        if place is None:
            return self._own_product(name, vectors, rows)
        found = self._core.multiply(place, vectors.reshape(-1), rows, batch, self._wait, activations).copy()
        return found if vectors.ndim == 1 else found.reshape(batch, rows)

    def prefetch(self, names: Iterable[str], *, dtype: Form | None = None) -> None:
        """Begin to decode the tensors called `names`, in that order, in threads of the store's own, and return at once.

        What there is no room for is passed over, and decoded when it is asked for; what is damaged raises then.
        """
        places = [self._place(name) for name in names if not self._is_own(name)]
        with self._lock:
            if self.closed:
                raise ArgumentError("store: it is closed", name="store", reason="it is closed")
            if self._ahead is None:
                self._ahead = ThreadPoolExecutor(self._threads, thread_name_prefix="ullage-store")
            for place in places:
                self._ahead.submit(self._decode, place, dtype)

    def stats(self) -> StoreStats:
        """Say what was asked so far, and what is held."""
        return StoreStats(**self._core.stats())

    def clear(self) -> None:
        """Give up every buffer that no array holds."""
        self._core.clear()

    def close(self) -> None:
        """Refuse everything from now on. Arrays stay what they are; file and buffers go with the last of them."""
        with self._lock:
            self._core.close()
            ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.shutdown(cancel_futures=True)

    def _decode(self, place: int, dtype: Form | None) -> None:
        with suppress(UllageError):  # raised again by whoever asks for the tensor
            self._core.prefetch(place, dtype)

    def _is_own(self, name: str) -> bool:
        return self._own is not None and name in self._own.rows

    def _own_array(self, name: str, dtype: Form | None, wait: float) -> npt.NDArray[Any]:
        if self.closed or self._own is None:
            raise ArgumentError("store: it is closed", name="store", reason="it is closed")
        return self._own.array(name, dtype, wait)

    def _own_product(self, name: str, x: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
        matrix = self._own_array(name, "f32", self._wait).reshape(rows, -1)
        if x.shape[-1] != matrix.shape[1]:
            reason = f"{x.shape[-1]} numbers a vector, not {matrix.shape[1]}"
            raise ArgumentError(f"x: {reason}", name="x", reason=reason)
        product: npt.NDArray[np.float32] = x @ matrix.T
        return product

    def _place(self, name: str) -> int:
        place = self._core.place(name) if name in self._tensors else None
        if place is None:
            suggestions = difflib.get_close_matches(str(name), self._tensors, MOST_SUGGESTIONS)
            hint = f"; did you mean {', '.join(suggestions)}?" if suggestions else ""
            message = f"{self.path} has no tensor {str(name)[:80]!r}{hint}"
            raise UnknownTensorError(message, name=str(name)[:80], suggestions=suggestions)
        return place

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Give the tensor called `name`, as `array` does."""
        return self.array(name)

    def __contains__(self, name: object) -> bool:
        """Say whether there is a tensor called `name`; nothing is decoded."""
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        """Go through the names, in file order."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self._tensors)

    def __eq__(self, other: object) -> bool:
        """Compare by identity: to compare the arrays would decode all of them."""
        return self is other

    def __hash__(self) -> int:
        """Hash by identity."""
        return id(self)

    def __enter__(self) -> Self:
        """Close the store at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    def __repr__(self) -> str:
        """Say which file, and how much of it there is."""
        state = ", closed" if self.closed else ""
        return f"<WeightStore {os.fspath(self.path)!r}: {len(self)} tensors, {self._core.file_bytes:,} bytes{state}>"


def load(
    path: str | os.PathLike[str],
    *,
    scratch: ByteCount = "256MiB",
    account: Account | None = None,
    threads: int = 1,
    wait: float = 0.0,
    schemes: Iterable[CompressionScheme] = (),
) -> WeightStore:
    """Open the weights of a file that `write_compressed` or `ullage compress --out` wrote; nothing is decoded yet.

    Any other safetensors file is read too; its tensors are all views of it. `scratch` is the most bytes of decoded
    tensors at once, those that arrays hold included. With an `account`, the file is charged whole, for its pages may
    all be in memory, and buffers are as they are made. `threads` work on one large tensor, or on what is prefetched.
    `wait` is the time in seconds to wait for a buffer while arrays hold all of them.

    A file that another process cuts short while it is open is an error at the next decode; a view of the lost part
    cannot be saved. `write_compressed` never changes a file in place.

    Tensors in a scheme of somebody's own are decoded by one of `schemes`, or by the plug-in of that name, which is
    imported when the first such tensor is asked for.

    Raises `UnreadableError`, `ModelFileError` naming tensor or piece for a file that is not what it says, and
    `BudgetExceeded` where the account has no room for the file.
    """
    core = _core.Store.open(path, scratch, account, threads)
    rows = own_rows(core.path)
    own = OwnTensors(core, rows, schemes, account) if rows else None
    return WeightStore(core, threads=threads, wait=wait, own=own)


def write_compressed(
    model: Subject,
    out: str | os.PathLike[str],
    scheme: Scheme | CompressionScheme | str,
    *,
    overrides: Mapping[str, Scheme | CompressionScheme | str] | None = None,
    seed: int = 0,
    quantile: float = 1.0,
    inputs: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    force: bool = False,
    progress: Callable[[WriteProgress], object] | None = None,
) -> Written:
    """Write the weights of `model`, compressed as `compress` sizes them, to a safetensors file at `out`.

    `model` is a file or folder of safetensors or PyTorch (shards too), or GGUF. `jobs` tensors are encoded at once,
    each by a thread and in memory of about three times its numbers in 32 bits; nothing else is held, so the model may
    be larger than the memory. The file appears whole or not at all, over another only with `force`, and never over the
    model itself. `progress` is called whenever another tensor is written; `seed` and `quantile` are as for `encode`.

    `inputs` is a safetensors file of what weights are multiplied with: under the name of a weight a matrix, of which
    each row is what its layer was given once. Such weights are compressed so that what their layers make of those rows
    changes least, as by `encode`.

    `scheme` may be a `CompressionScheme` of your own, or the name of one that is installed. Its weights are encoded
    after the others, one by one and without `seed`, `quantile` and `inputs`; meanwhile they lie on the disk as they
    were. Each is decoded again and checked.

    Raises `ArgumentError` for weights that are not read or compressed already, an `out` that is in the way or a scheme
    that is not encoded, `ModelFileError` naming the tensor that cannot be encoded, `UnreadableError` where `out`
    cannot be written, and `PluginError` and `SchemeError` for schemes of plug-ins.
    """
    settings: dict[str, Any] = {
        "seed": seed,
        "quantile": quantile,
        "inputs": None if inputs is None else os.fspath(inputs),
        "jobs": jobs,
    }
    plan = OwnPlan.of(scheme, overrides)
    if plan is not None:
        tell = None if progress is None else _teller(progress)
        return _written(write_own(resolve(model), Path(out), plan, force=force, progress=tell, **settings))
    named = [(pattern, str(other)) for pattern, other in (overrides or {}).items()]
    found = _core.write_compressed(
        resolve(model),
        os.fspath(out),
        str(scheme),
        named,
        force=force,
        progress=progress,
        **settings,
    )
    return _written(found)


def _teller(progress: Callable[[WriteProgress], object]) -> Callable[[int, int, int, int, float], object]:
    return lambda *fields: progress(WriteProgress(*fields))


def _written(found: dict[str, Any]) -> Written:
    tensors = [WrittenTensor(**row) for row in found.pop("tensors")]
    return Written(**{**found, "path": Path(found["path"])}, tensors=tensors)
