"""Reading a header, beside the format's own reader and beside parsing its JSON."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from opening import Benchmark, every_tensor, group

import ullage


@pytest.fixture(scope="module", params=[1_000, 50_000], ids=["1,000 tensors", "50,000 tensors"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model of small tensors with the names of a transformer, its data a hole in the file."""
    header, end = {}, 0
    for tensor in range(request.param):
        start, end = end, end + 2 * math.prod((64, 64))
        name = f"model.layers.{tensor // 9}.block.{tensor % 9}.weight"
        header[name] = {"dtype": "BF16", "shape": [64, 64], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    path = tmp_path_factory.mktemp("model") / "x.safetensors"
    with path.open("wb") as output:
        output.write(len(text).to_bytes(8, "little") + text)
        output.truncate(8 + len(text) + end)
    return path


def test_ours(benchmark: Benchmark, file: Path) -> None:
    group(benchmark, "safetensors", file)
    assert benchmark(ullage.open_model, file).tensors


def test_ours_with_every_tensor(benchmark: Benchmark, file: Path) -> None:
    group(benchmark, "safetensors", file)
    assert benchmark(every_tensor, file)


def test_safetensors_keys(benchmark: Benchmark, file: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    group(benchmark, "safetensors", file)

    def read() -> list[str]:
        with safetensors.safe_open(file, framework="numpy") as reader:
            return list(reader.keys())

    assert benchmark(read)


def test_safetensors_with_every_tensor(benchmark: Benchmark, file: Path) -> None:
    """Its only way to dtype and shape without reading the data."""
    safetensors = pytest.importorskip("safetensors")
    group(benchmark, "safetensors", file)

    def read() -> list[tuple[str, str, list[int]]]:
        with safetensors.safe_open(file, framework="numpy") as reader:
            slices = ((name, reader.get_slice(name)) for name in reader.keys())  # noqa: SIM118 - no dictionary
            return [(name, part.get_dtype(), part.get_shape()) for name, part in slices]

    assert benchmark(read)


def test_json(benchmark: Benchmark, file: Path) -> None:
    """Unchecked: no offset, no overlap, no length is looked at."""
    group(benchmark, "safetensors", file)

    def read() -> Any:  # noqa: ANN401
        with file.open("rb") as header:
            return json.loads(header.read(int.from_bytes(header.read(8), "little")))

    assert benchmark(read)
