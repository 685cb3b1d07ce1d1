"""Arrays compressed without loss: `compress(array)` gives a `Compressed`, whose `decompress()` gives the same bytes.

Weights in BF16, F16 and F32 have their exponents coded by entropy, everything else goes plane by plane through LZ4, and
what neither makes smaller is kept as it is.
"""

import operator
from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike

from ullage._core import PackedBytes, pack_bytes
from ullage.errors import ArgumentError
from ullage.schemes import Lossless

__all__ = ["Compressed", "compress"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_BRAIN_FLOAT: Final = "BF16"
_NAMES: Final = {"bf16": _BRAIN_FLOAT, "f16": "F16", "f32": "F32"}
_FLOATS: Final = {("f", 2): "F16", ("f", 4): "F32", ("f", 8): "F64", ("c", 8): "F32", ("c", 16): "F64"}
_WORDS: Final = {2: "U16", 4: "U32", 8: "U64", 16: "C128"}
_WIDTHS: Final = {"U8": 1, "U16": 2, "F16": 2, _BRAIN_FLOAT: 2, "U32": 4, "F32": 4, "U64": 8, "F64": 8, "C128": 16}


@final
class Compressed:
    """An array without its bytes lying open: what it takes, and how to bring it back. It never changes."""

    __slots__ = ("_dtype", "_packed", "_shape")

    def __init__(self, packed: PackedBytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Take over what `compress` made."""
        self._packed = packed
        self._dtype = dtype
        self._shape = shape

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self._packed.nbytes

    @property
    def original_nbytes(self) -> int:
        """Bytes of the array."""
        return self._packed.original_nbytes

    @property
    def ratio(self) -> float:
        """`original_nbytes / nbytes`; 1 for an empty array."""
        return self.original_nbytes / self.nbytes if self.nbytes else 1.0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype, byte order and all."""
        return self._dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self._shape

    @property
    def scheme(self) -> str:
        """How it is compressed: a text such as `lossless`, or `stored` for bytes as they are."""
        return self._packed.scheme

    def decompress(self, out: Array | None = None, *, threads: int = 1) -> Array:
        """Give the array back, in `out` if there is one: writable, in C order, of the same shape and dtype.

        Works without the interpreter, on at most `threads` threads. Raises `ArgumentError` for an `out` that is not so.
        """
        return self._read(out, 0, self._shape, threads)

    def rows(self, start: int, stop: int, out: Array | None = None, *, threads: int = 1) -> Array:
        """Give `array[start:stop]` back, of which only the blocks it lies in are decompressed.

        Raises `ArgumentError` for an array without dimensions, and rows that it does not have.
        """
        count = self._shape[0] if self._shape else -1
        first, end = operator.index(start), operator.index(stop)
        if not 0 <= first <= end <= count:
            reason = f"{first} to {end} are not rows of an array of shape {self._shape}"
            raise ArgumentError(f"rows: {reason}", name="rows", reason=reason)
        shape = (end - first, *self._shape[1:])
        row = int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize
        return self._read(out, first * row, shape, threads)

    def _read(self, out: Array | None, offset: int, shape: tuple[int, ...], threads: int) -> Array:
        if out is None:
            out = np.empty(shape, self._dtype)
        elif out.shape != shape or out.dtype != self._dtype or not (out.flags.c_contiguous and out.flags.writeable):
            reason = (
                f"an array of shape {out.shape} and {out.dtype}, where {shape} and {self._dtype} is needed, "
                "writable and in C order"
            )
            raise ArgumentError(f"out: {reason}", name="out", reason=reason)
        start = offset // _WIDTHS[self._packed.dtype]
        self._packed.unpack_into(_bytes_of(out), start=start, threads=_threads(threads))
        return out

    def __repr__(self) -> str:
        """Say what it is in a line."""
        return (
            f"<Compressed {self._dtype} {list(self._shape)} in {self.scheme}: "
            f"{self.nbytes} of {self.original_nbytes} bytes>"
        )


def compress(
    array: ArrayLike, scheme: Lossless | str | None = None, *, dtype: str | None = None, threads: int = 1
) -> Compressed:
    """Compress an array of any dtype without loss, in the scheme that takes fewest bytes unless one is given.

    `scheme` is `"lossless"`, `"lossless:fixed"`, for BF16, F16 and F32 alone, or `"lossless:lz4"`. Without one, floats
    are tried on a sample, everything else goes through LZ4, and what does not become smaller is stored as it is. NumPy
    has no BF16 of its own: `dtype="bf16"` says that 16-bit numbers are that, as `ml_dtypes.bfloat16` says itself.
    Elements are taken in C order; an array that does not lie so is copied first. Works without the interpreter, on at
    most `threads` threads. Raises `ArgumentError` for objects, a dtype that a given scheme does not take, and a `dtype`
    that is not the array's.
    """
    taken = np.asarray(array)
    name = _named(taken.dtype, dtype)
    packed = pack_bytes(
        _bytes_of(np.ascontiguousarray(taken)),
        name,
        scheme=None if scheme is None else str(scheme),
        threads=_threads(threads),
    )
    return Compressed(packed, taken.dtype, taken.shape)


def _bytes_of(array: Array) -> Array:
    """Give the bytes of an array that lies in C order, without a copy."""
    return array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)


def _named(dtype: np.dtype[Any], given: str | None) -> str:
    """Give the number format to compress a dtype as."""
    if dtype.hasobject:
        raise _refused("array", f"{dtype} holds Python objects, which are no bytes")
    is_native = dtype.newbyteorder("=") == dtype or dtype.byteorder in "=|"
    if given is not None:
        name = _NAMES.get(given)
        if name is None or dtype.itemsize != _WIDTHS[name] or not is_native:
            raise _refused("dtype", f"{given!r} is none of {', '.join(_NAMES)}, or not what {dtype} can hold")
        return name
    if dtype.name == "bfloat16":
        return _BRAIN_FLOAT
    if is_native and (dtype.kind, dtype.itemsize) in _FLOATS:
        return _FLOATS[dtype.kind, dtype.itemsize]
    # The planes of what has another order of bytes are as good, and of what has fields of its own none are.
    return _WORDS.get(dtype.itemsize, "U8") if dtype.kind in "iufcmM" else "U8"


def _threads(count: int) -> int:
    threads = operator.index(count)
    if threads < 1:
        raise _refused("threads", f"{threads} threads do no work")
    return min(threads, 1024)


def _refused(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)
