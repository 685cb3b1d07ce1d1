"""What the tests of measuring run on: files written byte by byte, and measurements that nobody took."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ullage.measuring import Measurement
from ullage.measuring.store import Key

__all__ = ["fake", "key", "write_onnx", "write_safetensors"]


def fake(peak: int, *, metric: str = "pss") -> Measurement[None]:
    """Give a measurement that grew by `peak` bytes."""
    return Measurement(
        peak_bytes=1000 + peak,
        resident_bytes=1000,
        baseline_bytes=1000,
        samples=2,
        seconds=0.5,
        metric=metric,
        result=None,
        sampled_peak_bytes=1000 + peak,
        high_water_bytes=None,
        interval_s=0.005,
        notes=(),
    )


def key(model: str = "f" * 64, **changes: Any) -> Key:
    """Give a key, and what of it is to be different."""
    parts: dict[str, Any] = {"runtime": "r", "device": "d", "context": None, "batch": 1, "kv_dtype": "f16"}
    return Key.of(model, **(parts | changes))


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> Path:
    """Write a safetensors file of tensors given as dtype, shape and bytes."""
    header: dict[str, object] = {}
    offset = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values()))
    return path


def write_onnx(path: Path, rows: int, columns: int) -> Path:
    """Write a model that multiplies an input `[batch, rows]` by a weight `[rows, columns]` of ones."""
    weight = _field(1, rows) + _field(1, columns) + _field(2, 1) + _field(8, b"w")
    weight += _field(9, np.ones(rows * columns, dtype=np.float32).tobytes())
    node = _field(1, b"x") + _field(1, b"w") + _field(2, b"y") + _field(4, b"MatMul")
    graph = _field(1, node) + _field(2, b"g") + _field(5, weight)
    graph += _field(11, _value(b"x", b"batch", rows)) + _field(12, _value(b"y", b"batch", columns))
    opset = _field(1, b"") + _field(2, 13)
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, opset))
    return path


def _value(name: bytes, symbol: bytes, extent: int) -> bytes:
    """Give a ValueInfoProto: a float tensor of one open and one fixed dimension."""
    shape = _field(1, _field(2, symbol)) + _field(1, _field(1, extent))
    tensor = _field(1, 1) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    """Give one field of a protobuf message: a varint, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
