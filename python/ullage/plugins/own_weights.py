"""Weights of a model in schemes of somebody's own: which tensors, of what size, and the file that holds them."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ullage import _core
from ullage._core import Compression, Model, compress_model
from ullage.errors import ArgumentError, ModelFileError, UnreadableError
from ullage.plugins.scheme import Array, CompressionScheme, encoded, lookup, made, size_of
from ullage.schemes import Scheme

__all__ = ["METADATA", "OwnPlan", "sizes", "write"]

METADATA = "ullage.plugins"
"""The entry of a file's metadata that lists the tensors in schemes of somebody's own."""
AS_IT_WAS = "dense:f64"
"""A scheme in which no weight is smaller: it stays as it was, until its own scheme has it."""
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind) for name, kind in {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "f4"}.items()
}
"""Formats of weights that schemes in Python are given, and as what."""
WIDTHS = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
CHUNK = 1 << 22


class OwnPlan(NamedTuple):
    """Which scheme for which weight, where some are somebody's own."""

    default: CompressionScheme | str
    """The scheme of every weight that no override names: an object, or the text of one of ours."""
    overrides: list[tuple[str, CompressionScheme | str]]
    """Patterns of names with their schemes; the first that matches counts."""

    @classmethod
    def of(cls, scheme: object, overrides: Mapping[str, Any] | None) -> "OwnPlan | None":
        """Look schemes up; `None` where all of them are ours. Raises `ArgumentError`, `PluginError`."""
        named = [(pattern, _scheme(other)) for pattern, other in (overrides or {}).items()]
        plan = cls(_scheme(scheme), named)
        every = [plan.default, *(other for _, other in named)]
        return None if all(isinstance(one, str) for one in every) else plan

    @property
    def ours(self) -> tuple[str, list[tuple[str, str]]]:
        """The plan for the core, which leaves the other weights as they are."""
        return _text(self.default), [(pattern, _text(scheme)) for pattern, scheme in self.overrides]

    def scheme_for(self, name: str) -> CompressionScheme | str:
        """Give the scheme of the weight called `name`."""
        return next((scheme for pattern, scheme in self.overrides if _matches(pattern, name)), self.default)

    def tensors(self, model: Model) -> Iterator[tuple[int, CompressionScheme, int]]:
        """Give the place of each tensor of `model` that a scheme in Python makes smaller, the scheme and the bytes.

        Raises `SchemeError`.
        """
        for place, tensor in enumerate(model.tensors):
            scheme, dtype = self.scheme_for(tensor.name), DTYPES.get(tensor.dtype)
            if isinstance(scheme, str) or dtype is None or tensor.bytes == 0:
                continue
            size = size_of(scheme, tuple(tensor.shape), dtype, tensor.name)
            if size is not None and size < tensor.bytes:
                yield place, scheme, size

    def __str__(self) -> str:
        """Name the scheme of every weight that no override names."""
        return self.default if isinstance(self.default, str) else self.default.name


def sizes(model: Model, plan: OwnPlan, container: str | None, threshold: int | None) -> Compression:
    """Say what `model` takes. Raises what `compress` raises, and `SchemeError`."""
    if container not in {None, "raw"} or threshold is not None:
        given, name = (container, "container") if container not in {None, "raw"} else (threshold, "threshold")
        reason = f"{given!r} is for a Core ML package, which has no form of schemes in Python"
        raise ArgumentError(f"{name}: {reason}", name=name, reason=reason)
    scheme, overrides = plan.ours
    found = compress_model(model, scheme, "raw", overrides)
    return found.with_own(str(plan), {place: (own.name, size) for place, own, size in plan.tensors(model)})


def write(
    model: Model,
    out: Path,
    plan: OwnPlan,
    *,
    force: bool,
    progress: Callable[[int, int, int, int, float], object] | None,
    **options: Any,  # noqa: ANN401 - what the core's writer takes
) -> dict[str, Any]:
    """Write the file, and say what was written as the core's writer does.

    First the core writes everything else, and these weights as they were; then they are encoded one by one, in
    this thread. The file appears whole or not at all.
    """
    _core.check_out(model, out, force)
    own = {model.tensors[place].name: scheme for place, scheme, _ in plan.tensors(model)}
    scheme, overrides = plan.ours
    with _beside(out, "plain") as plain, _beside(out, "data") as data, _beside(out, "whole") as whole:
        found = _core.write_compressed(
            model, os.fspath(plain), scheme, overrides, force=False, progress=None, **options
        )
        try:
            writer = _Writer(plain, own, model.path)
            header = writer.data(data, progress)
            plain.unlink()
            with whole.open("wb") as file, data.open("rb") as source:
                file.write(header)
                shutil.copyfileobj(source, file, CHUNK)
                file.flush()
                os.fsync(file.fileno())
            _publish(whole, out, force=force)
        except OSError as error:
            raise UnreadableError(f"{out}: {error.strerror or error}", path=os.fspath(out)) from error
    for row in found["tensors"]:
        row.update(writer.made.get(row["name"], {}))
    size = out.stat().st_size
    return found | {
        "path": os.fspath(out),
        "file_bytes": size,
        "header_bytes": len(header),
        "tensor_bytes": size - len(header),
    }


class _Writer:
    """Turns a file in which weights are as they were into one in which they are in their own schemes."""

    def __init__(self, plain: Path, own: dict[str, CompressionScheme], path: object) -> None:
        """Read the header of `plain`."""
        self.made: dict[str, dict[str, Any]] = {}
        """What is to be reported of each tensor in a scheme of its own."""
        self._plain, self._own = plain, own
        self._path = "the model" if path is None else os.fspath(str(path))
        with plain.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            self._listed: dict[str, Any] = json.loads(file.read(length))
        self._start = 8 + length
        self._metadata: dict[str, str] = self._listed.pop("__metadata__", {})
        self._rows: list[dict[str, Any]] = []
        self._new: dict[str, Any] = {}
        self._end = 0

    def data(self, out: Path, progress: Callable[[int, int, int, int, float], object] | None) -> bytes:
        """Write the data to `out`; gives the header."""
        begun, done, done_bytes = time.monotonic(), 0, 0
        kept = [name for name in self._listed if name not in self._own]
        # Wide numbers first, as in every file of ours, so that each lies at a multiple of its size.
        kept.sort(key=lambda name: -WIDTHS.get(self._listed[name]["dtype"], 1))
        own = [name for name in self._listed if name in self._own]
        of_bytes = sum(self._size(name) for name in self._listed)
        with self._plain.open("rb") as source, out.open("wb") as file:
            for name in (*kept, *own):
                (self._take if name in self._own else self._copy)(name, source, file)
                done, done_bytes = done + 1, done_bytes + self._size(name)
                if progress is not None:
                    progress(done, len(self._listed), done_bytes, of_bytes, time.monotonic() - begun)
        return self._header()

    def _size(self, name: str) -> int:
        start, end = self._listed[name]["data_offsets"]
        return int(end - start)

    def _copy(self, name: str, source: IO[bytes], file: IO[bytes]) -> None:
        row = self._listed[name]
        source.seek(self._start + row["data_offsets"][0])
        left = self._size(name)
        while left > 0 and (chunk := source.read(min(left, CHUNK))):
            file.write(chunk)
            left -= len(chunk)
        self._list(name, row["dtype"], row["shape"], self._size(name))

    def _take(self, name: str, source: IO[bytes], file: IO[bytes]) -> None:
        """Encode a weight and write its pieces."""
        row, scheme = self._listed[name], self._own[name]
        source.seek(self._start + row["data_offsets"][0])
        array = _numbers(source.read(self._size(name)), row["dtype"]).reshape(row["shape"])
        try:
            parts, off = encoded(scheme, array, name)
        except ArgumentError as error:
            message = f"{self._path}: {name}: {error.reason}"
            raise ModelFileError(message, path=self._path, offset=None, field=name, reason=error.reason) from error
        pieces = []
        for part, content in parts.items():
            called = self._unused(f"{name}.{part or scheme.name}")
            file.write(content)
            self._list(called, "U8", [content.nbytes], content.nbytes)
            pieces.append([part, called])
        self._rows.append(
            {"name": name, "scheme": scheme.name, "dtype": row["dtype"], "shape": row["shape"], "pieces": pieces}
        )
        self.made[name] = {
            "scheme": scheme.name,
            "bytes": sum(part.nbytes for part in parts.values()),
            "snr_db": _finite(off.snr_db),
            "rms_error": _finite(off.rms),
            "max_error": _finite(off.max),
        }

    def _list(self, name: str, dtype: str, shape: list[int], size: int) -> None:
        self._new[name] = {"dtype": dtype, "shape": shape, "data_offsets": [self._end, self._end + size]}
        self._end += size

    def _unused(self, name: str) -> str:
        taken = self._listed.keys() | self._new.keys()
        others = (f"{name}.{number}" for number in range(len(taken) + 1))
        return next(called for called in (name, *others) if called not in taken)

    def _header(self) -> bytes:
        tied = json.loads(self._metadata.get("ullage.tied", "{}"))
        for row in self._rows:
            row["tied"] = [name for name, holder in tied.items() if holder == row["name"]]
        left = {name: holder for name, holder in tied.items() if holder not in self._own}
        metadata = {key: text for key, text in self._metadata.items() if key != "ullage.tied"}
        if left:
            metadata["ullage.tied"] = json.dumps(left)
        metadata[METADATA] = json.dumps(self._rows)
        text = json.dumps({"__metadata__": metadata, **self._new}, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-(len(text) + 8) % 64)
        return len(text).to_bytes(8, "little") + text


@contextmanager
def _beside(out: Path, what: str) -> Iterator[Path]:
    """Give the name of a file beside `out` that is gone in the end."""
    path = out.with_name(f".{out.name[:100]}.{os.getpid()}.{time.monotonic_ns()}.{what}")
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()


def _publish(whole: Path, out: Path, *, force: bool) -> None:
    if force:
        whole.replace(out)
        return
    try:
        os.link(whole, out)  # unlike a renaming, never over another file
    except FileExistsError:
        reason = f"{out} lies there already"
        raise ArgumentError(f"out: {reason}", name="out", reason=reason) from None
    except OSError:  # a file system without links
        whole.rename(out)


def _numbers(content: bytes, dtype: str) -> Array:
    if dtype == "BF16":
        return (np.frombuffer(content, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.frombuffer(content, DTYPES[dtype].newbyteorder("<"))


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _scheme(scheme: object) -> CompressionScheme | str:
    if isinstance(scheme, str):
        return lookup(scheme.strip()) or scheme
    if isinstance(scheme, Scheme):
        return str(scheme)
    return made(scheme)


def _text(scheme: CompressionScheme | str) -> str:
    return scheme if isinstance(scheme, str) else AS_IT_WAS


def _matches(pattern: str, name: str) -> bool:
    """Say whether `name` is what `pattern` describes, as the core does: `*` any characters, `?` one.

    With one place to go back to, so that no pattern takes long.
    """
    place = at = 0
    star: tuple[int, int] | None = None
    while at < len(name):
        sign = pattern[place : place + 1]
        if sign == "*":
            star = (place, at)
            place += 1
        elif sign in {"?", name[at]}:
            place, at = place + 1, at + 1
        elif star is None:
            return False
        else:
            star = (star[0], star[1] + 1)
            place, at = star[0] + 1, star[1]
    return not pattern[place:].strip("*")
