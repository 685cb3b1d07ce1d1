"""Loading real models, to measure what that takes: `pip install 'ullage[measure]'`.

`ullage.measure(load_safetensors, path, model=path, runtime="numpy", batch=None)` measures a load that runs nothing,
`ullage.measure(load_onnx, path, model=path, runtime="onnxruntime")` a session and one run of it; for another workload
`ullage.measure(functools.partial(load_onnx, path, batch=8), batch=8, ...)` states it to both.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ullage._core import open_model
from ullage.errors import ArgumentError, MeasureError

__all__ = ["load_onnx", "load_safetensors"]

Array = npt.NDArray[Any]

ONNX_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}
PIXELS = 224
"""Stands in for a height or width that the model leaves open."""
TOKENS = 128
"""Stands in for the length of a sequence that the model leaves open and the caller does not state."""


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Copy every tensor of a safetensors file, or of a directory of shards, into arrays of their own.

    Formats that numpy lacks (bf16, fp8, packed ones) come as bytes: they take the same memory. Raises what
    `ullage.open_model` raises for a path without such a model.
    """
    reader = _package("safetensors")
    found: dict[str, Array] = {}
    for file in _shards(Path(path)):
        raw = {tensor.name: tensor for tensor in open_model(file).tensors}
        with reader.safe_open(file, framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118 - no dictionary
                try:
                    found[name] = weights.get_tensor(name)  # a copy already, of a mapped file
                except (AttributeError, TypeError, ValueError, KeyError, reader.SafetensorError):
                    tensor = raw[name]
                    found[name] = np.fromfile(file, dtype=np.uint8, count=tensor.bytes, offset=tensor.offset)
    return found


def _shards(path: Path) -> list[Path]:
    model = open_model(path)  # whatever is wrong with the path is said here
    where = model.path or path
    if where.is_file() and where.suffix == ".safetensors":
        return [where]
    folder = where if where.is_dir() else where.parent
    return sorted(folder.glob("*.safetensors"))


def load_onnx(
    path: str | os.PathLike[str], *, context: int | None = None, batch: int = 1
) -> tuple[Any, Sequence[Array]]:
    """Open an ONNX model with onnxruntime on the CPU and run it once; gives the session and what it returned.

    The inputs are zeros. An open dimension is `batch` where it comes first or is named so, 224 where it is named a
    height or width, and `context` elsewhere, by default 128.
    """
    runtime = _package("onnxruntime")
    session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    feeds = {entry.name: _zeros(entry, context or TOKENS, batch) for entry in session.get_inputs()}
    return session, session.run(None, feeds)


def _zeros(entry: Any, context: int, batch: int) -> Array:  # noqa: ANN401 - onnxruntime's
    if entry.type not in ONNX_TYPES:
        reason = f"the input {entry.name!r} is a {entry.type}, for which there is no array of zeros"
        raise ArgumentError(f"path: {reason}", name="path", reason=reason)
    shape = [_extent(position, extent, context, batch) for position, extent in enumerate(entry.shape)]
    return np.zeros(shape, dtype=ONNX_TYPES[entry.type])


def _extent(position: int, extent: int | str | None, context: int, batch: int) -> int:
    if isinstance(extent, int):
        return extent
    name = (extent or "").casefold()
    if "batch" in name or (position == 0 and not any(word in name for word in ("seq", "length", "token"))):
        return batch
    return PIXELS if any(word in name for word in ("height", "width", "pixel")) else context


def _package(name: str) -> Any:  # noqa: ANN401 - whatever it offers
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = f"{name} is not installed: pip install 'ullage[measure]'"
        raise MeasureError(reason, reason=reason) from error
