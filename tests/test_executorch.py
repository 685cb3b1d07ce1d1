"""Reading ExecuTorch programs and weights written with the encoding's own library."""

import struct
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

import ullage
from ullage.errors import ModelFileError

FLOAT = 6
HALF = 5
TENSOR = 5

Fields = dict[int, Any]
"""Fields by their number: a table (dict), a list of tables, an array, a text, or a number with its type."""


def put(builder: flatbuffers.Builder, value: Any) -> int:
    """Write what an offset points to."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if isinstance(value, dict):
        return put_table(builder, value)
    tables = [put(builder, table) for table in value]
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def put_table(builder: flatbuffers.Builder, fields: Fields) -> int:
    """Write a table."""
    offsets = {
        number: put(builder, value) for number, value in fields.items() if not isinstance(value, np.generic | int)
    }
    builder.StartObject(max(fields, default=-1) + 1)
    for number, value in fields.items():
        if number in offsets:
            builder.PrependUOffsetTRelativeSlot(number, offsets[number], 0)
        elif isinstance(value, np.uint64):
            builder.PrependUint64Slot(number, int(value), 0)
        elif isinstance(value, np.uint32):
            builder.PrependUint32Slot(number, int(value), 0)
        else:
            builder.PrependUint8Slot(number, int(value), 0)
    return int(builder.EndObject())


def write(path: Path, identifier: bytes, magic: bytes, root: Fields, segments: list[bytes], *, number: int) -> Path:
    """Write a file with segments of data; its root lists them in field `number`."""
    listed, offset = [], 0
    for segment in segments:
        listed.append({0: np.uint64(offset), 1: np.uint64(len(segment))})
        offset += -(-len(segment) // 16) * 16
    builder = flatbuffers.Builder()
    builder.Finish(put(builder, {**root, number: listed}), file_identifier=identifier)
    flat = bytes(builder.Output())
    header = 32 if magic == b"eh00" else 48
    size = len(flat) + header
    base = -(-size // 64) * 64
    if magic == b"eh00":
        numbers = struct.pack("<IQQQ", header, size, base, offset)
    else:
        numbers = struct.pack("<IQQQQ", 40, header, len(flat), base, offset)
    (start,) = struct.unpack("<I", flat[:4])
    data = struct.pack("<I", start + header) + identifier + (magic + numbers).ljust(header, b"\0") + flat[8:]
    data = data.ljust(base, b"\0") + b"".join(segment.ljust(-(-len(segment) // 16) * 16, b"\0") for segment in segments)
    path.write_bytes(data)
    return path


def tensor(kind: int, sizes: list[int], index: int, name: str = "") -> Fields:
    """Give a value that is a tensor."""
    fields: Fields = {0: kind, 2: np.array(sizes, dtype=np.int32), 5: np.uint32(index)}
    if name:
        fields[9] = {1: name}
    return {0: TENSOR, 1: fields}


def program(path: Path, *values: Fields, delegate: int | None = None) -> Path:
    """Write a program of two methods: the first has these values, and both call a backend with segment `delegate`."""
    called = [] if delegate is None else [{0: "XnnpackBackend", 1: {0: 1, 1: np.uint32(delegate)}}]
    plans = [
        {0: "forward", 2: list(values), 7: called, 8: np.array([0, 4096, 128], dtype=np.int64)},
        {0: "encode", 2: list(values), 7: called, 8: np.array([0, 64], dtype=np.int64)},
    ]
    constants = {0: np.uint32(0), 1: np.array([0, 0, 128], dtype=np.uint64)}
    named = [{0: "packed", 1: np.uint32(2)}]
    segments = [bytes(range(144)), bytes(1000), bytes(77)]
    return write(path, b"ET12", b"eh00", {1: plans, 5: constants, 7: named}, segments, number=4)


def test_what_a_program_holds_is_counted_once(tmp_path: Path) -> None:
    """Constants, what backends were handed and named data, each once for both methods."""
    path = program(tmp_path / "net.pte", tensor(FLOAT, [4, 8], 1, "linear.weight"), tensor(HALF, [8], 2), delegate=1)
    model = ullage.open_model(path)
    found = {tensor.name: (tensor.dtype, tensor.shape, tensor.bytes) for tensor in model.tensors}
    assert found == {
        "linear.weight": ("F32", [4, 8], 128),
        "constant.2": ("F16", [8], 16),
        "delegate.XnnpackBackend.1": ("U8", [1000], 1000),
        "packed": ("U8", [77], 77),
    }
    assert (model.parameters, model.file_bytes) == (40, path.stat().st_size)
    data = path.read_bytes()
    offsets = {tensor.name: tensor.offset for tensor in model.tensors}
    assert data[offsets["constant.2"] :][:16] == bytes(range(128, 144))


def test_weights_on_their_own_are_read(tmp_path: Path) -> None:
    """A `.ptd` file names its tensors, and two names of one segment are one tensor."""
    layout = {0: FLOAT, 1: np.array([3, 5], dtype=np.int32)}
    named = [
        {0: "a", 1: np.uint32(0), 2: layout},
        {0: "b", 1: np.uint32(0), 2: layout},
        {0: "blob", 1: np.uint32(1)},
    ]
    path = write(tmp_path / "net.ptd", b"FT01", b"FH01", {2: named}, [bytes(60), bytes(9)], number=1)
    model = ullage.open_model(path)
    assert [(tensor.name, tensor.bytes) for tensor in model.tensors] == [("a", 60), ("b", 0), ("blob", 9)]
    assert model.parameters == 15


def test_a_constant_past_the_end_is_refused(tmp_path: Path) -> None:
    """The error names file and tensor."""
    path = program(tmp_path / "net.pte", tensor(FLOAT, [4000], 1, "linear.weight"))
    with pytest.raises(ModelFileError, match=r"net\.pte.*pass the end") as caught:
        ullage.open_model(path)
    assert caught.value.field == "linear.weight"
