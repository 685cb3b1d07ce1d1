"""Compression schemes in Python, and the checks that every one of them goes through."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from ullage._core import encode_weight
from ullage.encoding import Distortion, Encoded
from ullage.errors import ArgumentError, SchemeError
from ullage.plugins.discovery import find, names

__all__ = ["BUILT_IN", "Array", "CompressionScheme", "Parts", "decoded", "encoded", "lookup", "made", "size_of"]

BUILT_IN = frozenset({"dense", "sparse", "palettized", "linear", "gguf", "lossless"})
"""The words that our schemes begin with."""

Array: TypeAlias = npt.NDArray[Any]
Parts: TypeAlias = bytes | Mapping[str, bytes]
"""What a weight is stored as: bytes, or pieces of bytes by name."""

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,59}")
"""What schemes and pieces may be called."""
LARGEST = 1 << 63
METHODS = ("compressed_bytes", "encode", "decode")


@runtime_checkable
class CompressionScheme(Protocol):
    """A compression scheme of your own: any object with this name and these methods.

    Weights are arrays of `float32`, `float16` or `float64`; numbers in BF16, which NumPy does not have, are `float32`.
    What it says is checked with each weight: the bytes are as many as it said, to the byte, and what it decodes has the
    shape and dtype of what was encoded, and finite numbers. How far those are off is measured by `ullage`.
    """

    @property
    def name(self) -> str:
        """What it is called where schemes are named by text, and in files."""

    def compressed_bytes(self, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> int | None:
        """Say what a weight takes, to the byte; `None` leaves weights of that shape as they are."""

    def encode(self, array: Array, /) -> Parts:
        """Give a weight as bytes, or as pieces of bytes by name."""

    def decode(self, parts: Any, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> Array:  # noqa: ANN401 - as `encode` gave them
        """Give the weight back. `parts` is a `memoryview`, or a dictionary of them where `encode` gave pieces."""


def lookup(text: str) -> CompressionScheme | None:
    """Give the scheme of a plug-in that is called `text`; `None` for what is not, or is one of ours.

    Raises `PluginError` for one that cannot be used.
    """
    if NAME.fullmatch(text) is None or text in BUILT_IN:
        return None
    found = find("scheme", text)
    if found is None:
        return None
    plugin, loaded = found
    try:
        return made(loaded, text)
    except ArgumentError as error:
        raise plugin.refused(error.reason) from error


def made(scheme: object, name: str | None = None) -> CompressionScheme:
    """Give the scheme, or make one by the class or function that is given. Raises `ArgumentError` for what is none."""
    if isinstance(scheme, type) or (callable(scheme) and not hasattr(scheme, "encode")):
        called = getattr(scheme, "__name__", type(scheme).__name__)
        try:
            scheme = scheme()
        except Exception as error:
            raise _refused(f"{called} makes no scheme: {type(error).__name__}: {error}") from error
    kind = type(scheme).__name__
    lacking = [method for method in METHODS if not callable(getattr(scheme, method, None))]
    if lacking:
        raise _refused(f"{kind} has no method {lacking[0]}, which every scheme has")
    called = getattr(scheme, "name", None)
    if not isinstance(called, str) or NAME.fullmatch(called) is None:
        raise _refused(f"the name of {kind}, {called!r:.80}, is no name of letters, digits, . - and _")
    if called in BUILT_IN:
        raise _refused(f"{kind} is called {called!r}, which is a built-in name")
    if name is not None and called != name:
        raise _refused(f"{kind} calls itself {called!r}, and its entry point {name!r}")
    return scheme  # type: ignore[return-value] # as far as can be seen


def unknown(text: str) -> str:
    """Say which schemes are installed, for the error about one that is not."""
    installed = names("scheme")
    return f"no scheme {text[:60]!r} is installed; there are {', '.join(installed) or 'none'}"


def size_of(
    scheme: CompressionScheme, shape: tuple[int, ...], dtype: np.dtype[Any], tensor: str | None = None
) -> int | None:
    """Ask what a weight takes; `None` leaves it as it is. Raises `SchemeError` for an answer that is none."""
    try:
        size: object = scheme.compressed_bytes(shape, dtype)
    except Exception as error:
        raise _failed(scheme, "compressed_bytes", tensor, error) from error
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 0 <= size < LARGEST:
        raise _fault(scheme, "compressed_bytes", tensor, f"gave {size!r:.80}, which is no number of bytes")
    return int(size)


def encoded(
    scheme: CompressionScheme, array: Array, tensor: str | None = None
) -> tuple[dict[str, memoryview], Distortion]:
    """Encode a weight, decode it again, and check both; gives its pieces, and how far off they are.

    What `encode` gives as bytes is one piece without a name. Raises `SchemeError`, and `ArgumentError` for a weight
    that no scheme is given: its numbers are not finite, say.
    """
    if array.dtype not in {np.dtype(kind) for kind in ("f2", "f4", "f8")}:
        raise _refused(f"weights are floating-point numbers of 16, 32 or 64 bits, not {array.dtype}", "array")
    if not np.isfinite(array).all():
        raise _refused("a number in it is not finite", "array")
    seen = array.view()
    seen.flags.writeable = False
    expected = size_of(scheme, array.shape, array.dtype, tensor)
    if expected is None:
        raise _refused(f"{scheme.name} leaves weights of shape {list(array.shape)} as they are", "scheme")
    try:
        given: object = scheme.encode(seen)
    except Exception as error:
        raise _failed(scheme, "encode", tensor, error) from error
    parts = _pieces(scheme, given, tensor)
    size = sum(part.nbytes for part in parts.values())
    if size != expected:
        raise _fault(scheme, "encode", tensor, f"gave {size} bytes, and compressed_bytes said {expected}")
    again = decoded(scheme, parts, array.shape, array.dtype, tensor)
    plain = (np.ascontiguousarray(again, np.float32).reshape(-1), [again.size], "dense:f32", 0, 1.0, None)
    return parts, Encoded(encode_weight(*plain)).distortion(array.reshape(-1))


def decoded(
    scheme: CompressionScheme,
    parts: Mapping[str, memoryview],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    tensor: str | None = None,
) -> Array:
    """Decode a weight and check what comes; it is read-only. Raises `SchemeError`."""
    given = parts[""] if list(parts) == [""] else dict(parts)
    try:
        found: object = scheme.decode(given, shape, dtype)
    except Exception as error:
        raise _failed(scheme, "decode", tensor, error) from error
    if not isinstance(found, np.ndarray):
        raise _fault(scheme, "decode", tensor, f"gave {type(found).__name__}, which is no NumPy array")
    if found.shape != shape or found.dtype != dtype:
        what = f"gave {found.dtype} of shape {list(found.shape)}, not {dtype} of {list(shape)}"
        raise _fault(scheme, "decode", tensor, what)
    if not np.isfinite(found).all():
        raise _fault(scheme, "decode", tensor, "gave a number that is not finite")
    view = found.view(np.ndarray)
    view.flags.writeable = False
    return view


def _pieces(scheme: CompressionScheme, given: object, tensor: str | None) -> dict[str, memoryview]:
    pairs: Iterable[tuple[object, object]] = given.items() if isinstance(given, Mapping) else [("", given)]
    parts = {}
    for name, part in pairs:
        if isinstance(given, Mapping) and (not isinstance(name, str) or NAME.fullmatch(name) is None):
            raise _fault(scheme, "encode", tensor, f"calls a piece {name!r:.80}, which is no name")
        try:
            parts[str(name)] = memoryview(part).cast("B")  # type: ignore[arg-type] # that is the question
        except (TypeError, ValueError):
            raise _fault(
                scheme, "encode", tensor, f"gave {type(part).__name__}, which has no contiguous bytes"
            ) from None
    return parts


def _failed(scheme: CompressionScheme, method: str, tensor: str | None, error: Exception) -> SchemeError:
    return _fault(scheme, method, tensor, f"raised {type(error).__name__}: {error}"[:300])


def _fault(scheme: CompressionScheme, method: str, tensor: str | None, reason: str) -> SchemeError:
    of = "" if tensor is None else f" of {tensor}"
    message = f"scheme {scheme.name}: {method}{of} {reason}"
    return SchemeError(message, scheme=scheme.name, method=method, tensor=tensor, reason=reason)


def _refused(reason: str, name: str = "scheme") -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)
