"""Weights in a scheme: encoded, decoded, and how far off they then are. The work is the core's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self, TypeAlias, final

import numpy as np
import numpy.typing as npt

from ullage._core import StoredWeight, encode_weight, stored_weight
from ullage.errors import ArgumentError
from ullage.schemes import Scheme

__all__ = ["Distortion", "Encoded", "Output", "brain", "encode", "encoded"]

Output: TypeAlias = Literal["f32", "f16", "bf16", "f64"]
"""Formats that weights are decoded to; `bf16` as `uint16`, for NumPy has no such numbers."""

_BYTES = np.dtype(np.uint8)


class Distortion(NamedTuple):
    """How far decoded weights are from the original ones."""

    max: float
    """The largest absolute error."""
    rms: float
    """The root of the mean squared error."""
    snr_db: float
    """Power of the weights over that of the error, in decibels; infinite without an error."""


@final
class Encoded:
    """One weight in a scheme: pieces of bytes, and what it takes to decode them. It never changes."""

    __slots__ = ("_stored",)

    def __init__(self, stored: StoredWeight) -> None:
        """Take what `encode` or `encoded` made."""
        self._stored = stored

    @classmethod
    def from_parts(cls, parts: "Mapping[str, Any]", shape: Sequence[int], scheme: Scheme | str) -> Self:
        """Read back what `parts`, `shape` and `scheme` gave: `bytes` are not copied, other buffers once.

        Raises `DamagedDataError` for pieces of other names or lengths than the scheme stores for that shape, and
        `ArgumentError` for a scheme that is none or leaves such a weight as it is.
        """
        named = [(name, part if isinstance(part, bytes) else _bytes(name, part)) for name, part in parts.items()]
        return cls(stored_weight(named, _shape(shape), str(scheme)))

    @property
    def scheme(self) -> str:
        """The scheme's text in its plainest form."""
        return self._stored.scheme

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's dimensions."""
        return tuple(self._stored.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all pieces."""
        return self._stored.bytes

    @property
    def parts(self) -> dict[str, npt.NDArray[np.uint8]]:
        """The pieces by name, as read-only arrays of bytes that are not copied."""
        return dict(self._stored.parts(_BYTES))

    def decode(self, out: npt.NDArray[Any] | None = None, dtype: Output = "f32") -> npt.NDArray[Any]:
        """Decode to an array of `shape`: `out` if it is given, of that shape or as many elements, else a new one.

        Raises `DamagedDataError` for data that contradicts itself, and `ArgumentError` for another `out` or `dtype`.
        """
        wanted = _FORMATS.get(dtype)
        if wanted is None:
            raise _refusal("dtype", f"{dtype!r:.40} is none of {', '.join(_FORMATS)}")
        if out is not None:
            _check_out(out, wanted, self.shape)
        is_direct = out is not None and dtype == "f32" and out.flags.c_contiguous
        values: npt.NDArray[np.float32] = out if out is not None and is_direct else self._empty()
        self._stored.fill(values)
        if is_direct:
            return values
        found = brain(values) if dtype == "bf16" else values.astype(wanted, copy=False)
        if out is None:
            return found
        out[...] = found.reshape(out.shape)
        return out

    def distortion(self, array: npt.ArrayLike, *, dtype: Literal["bf16"] | None = None) -> Distortion:
        """Say how far the decoded weight is from `array`, which is taken as `encode` takes it."""
        return Distortion(*self._stored.distortion(_numbers(array, dtype)))

    def _empty(self) -> npt.NDArray[np.float32]:
        return np.empty(self.shape, np.float32)

    def __eq__(self, other: object) -> bool:
        """Compare scheme, shape and every byte."""
        if not isinstance(other, Encoded):
            return NotImplemented
        pairs = zip(self.parts.values(), other.parts.values(), strict=False)
        is_alike = (self.scheme, self.shape) == (other.scheme, other.shape)
        return is_alike and all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def __hash__(self) -> int:
        """Give equal ones equal numbers."""
        return hash((self.scheme, self.shape, self.bytes))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the pieces."""
        parts = {name: part.tobytes() for name, part in self.parts.items()}
        return Encoded.from_parts, (parts, self.shape, self.scheme)

    def __repr__(self) -> str:
        """Name scheme, shape and size."""
        return f"<Encoded {self.scheme} {list(self.shape)}: {self.bytes} bytes>"


def encode(
    array: npt.ArrayLike,
    scheme: Scheme | str,
    *,
    seed: int = 0,
    quantile: float = 1.0,
    inputs: npt.ArrayLike | None = None,
    dtype: Literal["bf16"] | None = None,
) -> Encoded:
    """Store `array` in `scheme`, an object such as `Palettized(bits=4)` or its text.

    The array has numbers of 16, 32 or 64 bits, which are taken in 32; `dtype="bf16"` reads `uint16` as such numbers.
    Its first axis is that of output channels. `seed` decides where the search for vectors of `Palettized(vector=2)`
    begins; `quantile`, above 0.5 and at most 1, is the share of numbers that integers reach without being clipped.

    With `inputs`, rows of what the weight is multiplied with, `palettized` tables of single numbers are made so that
    its products with those change least, and not its numbers; only their sums of products count, so the `R` of a QR
    decomposition says as much as all rows do.

    Sizes are those that `compress` computes. Raises `ArgumentError` for a scheme that is none, not encoded, or leaves
    a weight of that shape as it is, for a number that is not finite (but in `dense`), and for a scale beyond 16 bits.
    """
    values = _numbers(array, dtype)
    shape = list(np.shape(array))
    if not 0 <= seed < 1 << 64:
        raise _refusal("seed", f"{seed} is not from 0 to 2^64 - 1")
    given = None if inputs is None else _rows(inputs)
    return Encoded(encode_weight(values, shape, str(scheme), seed, float(quantile), given))


def encoded(parts: "Mapping[str, Any]", shape: Sequence[int], scheme: Scheme | str) -> Encoded:
    """Read back stored pieces: `Encoded.from_parts`."""
    return Encoded.from_parts(parts, shape, scheme)


_FORMATS: dict[str, type[np.generic]] = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16, "f64": np.float64}


def _numbers(array: npt.ArrayLike, dtype: str | None) -> npt.NDArray[np.float32]:
    """Give the numbers of `array` as contiguous ones of 32 bits."""
    found = np.asarray(array)
    if dtype is not None and dtype != "bf16":
        raise _refusal("dtype", f"{dtype!r:.40} is not 'bf16'")
    if dtype == "bf16":
        if found.dtype != np.uint16:
            raise _refusal("array", f"bf16 is given as uint16, not {found.dtype}")
        return np.ascontiguousarray(found.astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(-1)
    if found.dtype.kind != "f" and found.dtype.name != "bfloat16":
        raise _refusal("array", f"weights are floating-point numbers, not {found.dtype}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(found, np.float32).reshape(-1)


def _rows(inputs: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], int]:
    """Give rows of inputs one behind the other, and the length of one."""
    found = np.asarray(inputs)
    if found.ndim != 2 or found.dtype.kind != "f":  # noqa: PLR2004 - rows
        raise _refusal("inputs", f"{found.ndim} dimensions of {found.dtype} are no rows of floating-point numbers")
    return np.ascontiguousarray(found, np.float32).reshape(-1), found.shape[1]


def brain(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Give numbers as those of 16 bits of which eight are the exponent's, rounded to the nearest."""
    return encode(values, "dense:bf16").parts["values"].view(np.uint16).reshape(values.shape).copy()


def _bytes(name: str, part: Any) -> bytes:  # noqa: ANN401 - whatever has bytes
    try:
        return memoryview(part).tobytes()
    except TypeError:
        raise _refusal("parts", f"{name} is {type(part).__name__}, which has no bytes") from None


def _shape(shape: Sequence[int]) -> list[int]:
    sizes = [int(size) for size in shape]
    if any(not 0 <= size < 1 << 64 for size in sizes):
        raise _refusal("shape", f"{sizes!r:.80} has a dimension below 0 or beyond 2^64 - 1")
    return sizes


def _check_out(out: object, wanted: type[np.generic], shape: tuple[int, ...]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != wanted:
        raise _refusal("out", f"it is no array of {np.dtype(wanted)}")
    if not out.flags.writeable:
        raise _refusal("out", "it is read-only")
    if out.size != math.prod(shape):
        raise _refusal("out", f"{out.size} elements, not {math.prod(shape)}")


def _refusal(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)
