"""Reading ONNX models: as the format's own library does, with weights inside the file and beside it."""

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import ullage
from ullage.errors import ModelFileError

DTYPES = {name: number for name, number in TensorProto.DataType.items() if name not in {"UNDEFINED", "STRING"}}
"""Every data type that has a size."""

NAMES = {
    "FLOAT": "F32",
    "DOUBLE": "F64",
    "FLOAT16": "F16",
    "BFLOAT16": "BF16",
    "FLOAT8E4M3FN": "F8_E4M3",
    "FLOAT8E4M3FNUZ": "F8_E4M3FNUZ",
    "FLOAT8E5M2": "F8_E5M2",
    "FLOAT8E5M2FNUZ": "F8_E5M2FNUZ",
    "FLOAT8E8M0": "F8_E8M0",
    "FLOAT4E2M1": "F4",
    "FLOAT6E2M3": "F6_E2M3",
    "FLOAT6E3M2": "F6_E3M2",
    "COMPLEX64": "C64",
    "COMPLEX128": "C128",
    "BOOL": "BOOL",
}
"""Ours; integers are called by their sign and bits."""


def model_of(initializers: Iterable[TensorProto], nodes: Iterable[onnx.NodeProto] = ()) -> onnx.ModelProto:
    """Give a model of these tensors and nodes."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])]
    graph = helper.make_graph(list(nodes), "graph", inputs, [], list(initializers))
    return helper.make_model(graph)


def floats(name: str, *shape: int) -> TensorProto:
    """Give a tensor of 32-bit floats with its data in the file."""
    return onnx.numpy_helper.from_array(np.ones(shape, dtype=np.float32), name)


@pytest.mark.parametrize("name", DTYPES)
def test_every_data_type_is_read_as_its_own_library_writes_it(name: str, tmp_path: Path) -> None:
    """Name, shape and bytes agree with ONNX for a tensor of odd size, stored raw and as a list."""
    dtype = helper.tensor_dtype_to_np_dtype(DTYPES[name])
    array = np.ones((5, 3)).astype(dtype)
    raw = onnx.numpy_helper.from_array(array, "raw")
    assert raw.data_type == DTYPES[name]
    listed = helper.make_tensor("listed", DTYPES[name], (5, 3), array.reshape(-1).tolist())
    onnx.save(model_of([raw, listed]), tmp_path / "net.onnx")
    model = ullage.open_model(tmp_path / "net.onnx")
    expected = NAMES.get(name, name.replace("UINT", "U").replace("INT", "I"))
    for tensor in model.tensors:
        assert (tensor.dtype, tensor.shape, tensor.bytes) == (expected, [5, 3], len(raw.raw_data))
    data = (tmp_path / "net.onnx").read_bytes()
    offset = {tensor.name: tensor.offset for tensor in model.tensors}["raw"]
    assert data[offset : offset + len(raw.raw_data)] == raw.raw_data


def test_strings_take_what_they_are_long(tmp_path: Path) -> None:
    """A tensor of strings has the bytes of its strings."""
    words = TensorProto(name="words", data_type=TensorProto.STRING, dims=[3], string_data=[b"one", b"", b"three"])
    onnx.save(model_of([words]), tmp_path / "net.onnx")
    assert [tensor.bytes for tensor in ullage.open_model(tmp_path / "net.onnx").tensors] == [8]


@pytest.mark.parametrize("together", [True, False])
def test_weights_beside_the_model_are_counted_as_onnx_finds_them(tmp_path: Path, *, together: bool) -> None:
    """External data, in one file or in a file each, are where ONNX itself says they are."""
    onnx.save(
        model_of([floats(f"w{index}", 40, index + 3) for index in range(5)]),
        tmp_path / "net.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=together,
        location="net.bin" if together else None,
        size_threshold=0,
    )
    model = ullage.open_model(tmp_path / "net.onnx")
    theirs = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    assert len(model.tensors) == 5
    assert {tensor.name: tensor.bytes for tensor in model.tensors} == {
        tensor.name: prod(tensor.dims) * 4 for tensor in theirs.graph.initializer
    }
    assert model.file_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert model.parameters == sum(40 * (index + 3) for index in range(5))
    for tensor in theirs.graph.initializer:
        entries: dict[str, Any] = {entry.key: entry.value for entry in tensor.external_data}
        assert {ours.name: ours.offset for ours in model.tensors}[tensor.name] == int(entries.get("offset", 0))
    next(path for path in tmp_path.iterdir() if path.name != "net.onnx").unlink()
    with pytest.raises(ModelFileError, match="missing"):
        ullage.open_model(tmp_path / "net.onnx")


def test_parameters_of_quantised_models_are_not_their_elements(tmp_path: Path) -> None:
    """A 4-bit product counts its weights, not the bytes that pack them, nor the scales."""
    packed = onnx.numpy_helper.from_array(np.zeros((16, 2, 16), dtype=np.uint8), "packed")
    product = helper.make_node(
        "MatMulNBits", ["x", "packed", "scales"], ["y"], domain="com.microsoft", K=64, N=16, bits=4, block_size=32
    )
    eight = onnx.numpy_helper.from_array(np.zeros((8, 4), dtype=np.int8), "eight")
    unpack = helper.make_node("DequantizeLinear", ["eight", "scale"], ["w"])
    onnx.save(
        model_of([packed, floats("scales", 32), eight, floats("scale")], [product, unpack]), tmp_path / "net.onnx"
    )
    model = ullage.open_model(tmp_path / "net.onnx")
    assert model.parameters == 16 * 64 + 8 * 4
    assert model.tensor_bytes == 512 + 128 + 32 + 4


def test_constants_count_wherever_they_stand(tmp_path: Path) -> None:
    """Nodes, branches and functions hold weights too."""
    constant = helper.make_node("Constant", [], ["c"], value=floats("", 2, 2))
    branch = helper.make_graph([], "branch", [], [], [floats("inner", 6)])
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    model = model_of([floats("w", 3)], [constant, choice])
    model.functions.append(
        helper.make_function("local", "f", [], ["d"], [constant], [helper.make_opsetid("", 21)]),
    )
    onnx.save(model, tmp_path / "net.onnx")
    sizes = sorted((tensor.name, tensor.bytes) for tensor in ullage.open_model(tmp_path / "net.onnx").tensors)
    assert sizes == [("c", 16), ("c", 16), ("inner", 24), ("inner", 24), ("w", 12)]


def test_models_of_the_library_itself_are_read() -> None:
    """The test models that ONNX ships have the initialisers that ONNX finds in them."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
    paths = sorted(folder.glob("light/*.onnx"))
    assert paths
    for path in paths:
        theirs = onnx.load(path, load_external_data=False).graph
        ours = {tensor.name: tensor for tensor in ullage.open_model(path).tensors}
        for tensor in theirs.initializer:
            assert ours[tensor.name].bytes == onnx.numpy_helper.to_array(tensor).nbytes
            assert ours[tensor.name].shape == list(tensor.dims)
