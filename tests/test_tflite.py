"""Reading TFLite models written with the schema's own classes."""

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite

import ullage
from ullage.errors import ModelFileError

SIZES = {
    "FLOAT32": 4,
    "FLOAT16": 2,
    "INT32": 4,
    "UINT8": 1,
    "INT64": 8,
    "BOOL": 1,
    "INT16": 2,
    "COMPLEX64": 8,
    "INT8": 1,
    "FLOAT64": 8,
    "COMPLEX128": 16,
    "UINT64": 8,
    "UINT32": 4,
    "UINT16": 2,
    "BFLOAT16": 2,
}
"""Bytes of an element."""


class Writer:
    """Writes a model of one subgraph: tensors, each with the bytes stored of it."""

    def __init__(self) -> None:
        """Start with the empty buffer that every model begins with."""
        self.builder = flatbuffers.Builder()
        self.buffers = [b""]
        self.tensors: list[int] = []

    def vector(self, start: Callable[..., int], offsets: list[int]) -> int:
        """Write a vector of tables."""
        start(self.builder, len(offsets))
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def tensor(self, name: str, kind: int, shape: list[int], data: bytes = b"", *, scales: int = 0) -> None:
        """Add a tensor; one without data is a value of the graph."""
        label = self.builder.CreateString(name)
        dimensions = self.builder.CreateNumpyVector(np.array(shape, dtype=np.int32))
        quantization = None
        if scales:
            list_of_scales = self.builder.CreateNumpyVector(np.ones(scales, dtype=np.float32))
            tflite.QuantizationParametersStart(self.builder)
            tflite.QuantizationParametersAddScale(self.builder, list_of_scales)
            quantization = tflite.QuantizationParametersEnd(self.builder)
        tflite.TensorStart(self.builder)
        tflite.TensorAddName(self.builder, label)
        tflite.TensorAddShape(self.builder, dimensions)
        tflite.TensorAddType(self.builder, kind)
        if data:
            tflite.TensorAddBuffer(self.builder, len(self.buffers))
            self.buffers.append(data)
        if quantization is not None:
            tflite.TensorAddQuantization(self.builder, quantization)
        self.tensors.append(tflite.TensorEnd(self.builder))

    def write(self, path: Path) -> Path:
        """Write the model to `path`."""
        builder = self.builder
        tensors = self.vector(tflite.SubGraphStartTensorsVector, self.tensors)
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, tensors)
        subgraphs = self.vector(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
        buffers = []
        for data in self.buffers:
            stored = builder.CreateByteVector(data)
            tflite.BufferStart(builder)
            tflite.BufferAddData(builder, stored)
            buffers.append(tflite.BufferEnd(builder))
        list_of_buffers = self.vector(tflite.ModelStartBuffersVector, buffers)
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddSubgraphs(builder, subgraphs)
        tflite.ModelAddBuffers(builder, list_of_buffers)
        builder.Finish(tflite.ModelEnd(builder), file_identifier=b"TFL3")
        path.write_bytes(builder.Output())
        return path


@pytest.mark.parametrize("name", SIZES)
def test_every_type_has_its_size(name: str, tmp_path: Path) -> None:
    """Names, shapes, bytes and offsets are those that were written."""
    data = bytes(range(1, 1 + 15 * SIZES[name])) if SIZES[name] < 16 else bytes(240)
    writer = Writer()
    writer.tensor("w", getattr(tflite.TensorType, name), [5, 3], data)
    path = writer.write(tmp_path / "net.tflite")
    (tensor,) = ullage.open_model(path).tensors
    assert (tensor.name, tensor.shape, tensor.bytes) == ("w", [5, 3], len(data))
    assert path.read_bytes()[tensor.offset : tensor.offset + tensor.bytes] == data


def test_four_bit_weights_are_packed_and_counted(tmp_path: Path) -> None:
    """Integers with scales are parameters; two of four bits share a byte."""
    writer = Writer()
    writer.tensor("packed", tflite.TensorType.INT4, [5, 3], bytes(8), scales=5)
    writer.tensor("table", tflite.TensorType.INT32, [7], bytes(28))
    writer.tensor("value", tflite.TensorType.FLOAT32, [1, 5])
    model = ullage.open_model(writer.write(tmp_path / "net.tflite"))
    assert [tensor.name for tensor in model.tensors] == ["packed", "table"]
    assert (model.parameters, model.tensor_bytes) == (15, 36)


def test_data_of_another_length_are_refused(tmp_path: Path) -> None:
    """The error names file and tensor."""
    writer = Writer()
    writer.tensor("short", tflite.TensorType.FLOAT32, [4], bytes(15))
    with pytest.raises(ModelFileError, match=r"net\.tflite.*\(short\).*15 bytes") as caught:
        ullage.open_model(writer.write(tmp_path / "net.tflite"))
    assert caught.value.field == "short"
