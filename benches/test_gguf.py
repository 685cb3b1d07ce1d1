"""Reading a GGUF header, beside the format's own reader."""

from pathlib import Path

import numpy as np
import pytest
from opening import Benchmark, every_tensor, group

import ullage

gguf = pytest.importorskip("gguf")


@pytest.fixture(scope="module", params=[1_000, 50_000], ids=["1,000 tensors", "50,000 tensors"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model of small tensors with the names and the vocabulary of a transformer, its data a hole."""
    path = tmp_path_factory.mktemp("model") / "x.gguf"
    writer = gguf.GGUFWriter(None, "llama")
    writer.add_token_list([f"token {number}" for number in range(32_000)])
    for tensor in range(request.param):
        name = f"blk.{tensor // 9}.block_{tensor % 9}.weight"
        writer.add_tensor_info(name, [64, 64], np.dtype(np.float16), 64 * 64 * 2)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = -(-path.stat().st_size // 32) * 32
    with path.open("r+b") as output:
        output.truncate(start + request.param * 64 * 64 * 2)
    return path


def test_ours(benchmark: Benchmark, file: Path) -> None:
    group(benchmark, "GGUF", file)
    assert benchmark(ullage.open_model, file).tensors


def test_ours_with_every_tensor(benchmark: Benchmark, file: Path) -> None:
    group(benchmark, "GGUF", file)
    assert benchmark(every_tensor, file)


def test_gguf(benchmark: Benchmark, file: Path) -> None:
    """It maps the file and makes an array for every token and tensor."""
    group(benchmark, "GGUF", file)
    assert benchmark.pedantic(gguf.GGUFReader, (file,), rounds=3).tensors
