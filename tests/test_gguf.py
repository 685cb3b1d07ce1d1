"""Reading GGUF: as the format's own package does, from headers alone, and never fooled by a file."""

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from hypothesis import given
from hypothesis import strategies as st

import ullage
from ullage import Model
from ullage.errors import ModelFileError

# Its table says 40 bytes a block, ggml-common.h says 36.
WRONG_THERE = {GGMLQuantizationType.Q8_1}

# Buffers, not weights.
INTEGERS = {kind for kind in GGMLQuantizationType if kind.name in ("I8", "I16", "I32", "I64")}


def add(writer: GGUFWriter, name: str, shape: list[int], kind: GGMLQuantizationType) -> int:
    """Announce a tensor, its shape outermost dimension first, and give the bytes it takes."""
    block, size = GGML_QUANT_SIZES[kind]
    in_bytes = [*shape[:-1], shape[-1] // block * size]
    count = int(np.prod(in_bytes, dtype=np.int64))
    writer.add_tensor_info(name, in_bytes, np.dtype(np.uint8), count, raw_dtype=kind)
    return -(-count // writer.data_alignment) * writer.data_alignment


def finish(writer: GGUFWriter, path: Path, data: int) -> Path:
    """Write the header, and the data as a hole."""
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    start = -(-path.stat().st_size // writer.data_alignment) * writer.data_alignment
    with path.open("r+b") as file:
        file.truncate(start + data)
    return path


def agree(model: Model, path: Path) -> None:
    """Check a model tensor by tensor against the format's own reader."""
    ours = [(tensor.name, tensor.dtype, tensor.shape, tensor.bytes, tensor.offset) for tensor in model.tensors]
    reader = GGUFReader(path)
    theirs = [
        (tensor.name, tensor.tensor_type.name, tensor.shape.tolist()[::-1], tensor.n_bytes, tensor.data_offset)
        for tensor in reader.tensors
    ]
    assert ours == theirs
    weights = [tensor for tensor in reader.tensors if tensor.tensor_type not in INTEGERS]
    assert model.parameters == sum(tensor.n_elements for tensor in weights)
    assert model.file_bytes == path.stat().st_size


@pytest.mark.parametrize("kind", sorted(set(GGML_QUANT_SIZES) - WRONG_THERE), ids=lambda kind: kind.name)
def test_every_type_takes_what_the_format_says(kind: GGMLQuantizationType, tmp_path: Path) -> None:
    writer = GGUFWriter(None, "llama")
    block, _ = GGML_QUANT_SIZES[kind]
    data = add(writer, "blk.0.w", [3, 5, block * 2], kind) + add(writer, "blk.1.v", [block], kind)
    path = finish(writer, tmp_path / "x.gguf", data)
    model = ullage.open_model(path)
    ours = [(tensor.name, tensor.dtype, tensor.shape, tensor.bytes) for tensor in model.tensors]
    reader = GGUFReader(path)
    theirs = [
        (tensor.name, tensor.tensor_type.name, tensor.shape.tolist()[::-1], tensor.n_bytes) for tensor in reader.tensors
    ]
    assert ours == theirs
    assert (model.name, model.architecture) == ("x", "llama")


def test_data_that_is_there_is_found_where_the_other_reader_finds_it(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    writer = GGUFWriter(path, "llama", use_temp_file=False)
    writer.add_custom_alignment(128)
    writer.add_token_list(["a", "b", "", "é"])
    writer.add_chat_template("x" * 10_000)
    writer.add_float32("llama.rope.freq_base", 1e6)
    writer.add_array("some.floats", [1.5, 2.5])
    writer.add_array("some.texts", ["a", "b"])
    writer.add_tensor("token_embd.weight", np.zeros((7, 12), np.float32))
    writer.add_tensor("output_norm.weight", np.ones(12, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    agree(ullage.open_model(path), path)


shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4)
kinds = st.sampled_from(sorted(set(GGML_QUANT_SIZES) - WRONG_THERE))


@given(tensors=st.lists(st.tuples(shapes, kinds), max_size=12), alignment=st.sampled_from([8, 32, 64, 4096]))
def test_random_headers_agree(
    tensors: list[tuple[list[int], GGMLQuantizationType]], alignment: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    writer = GGUFWriter(None, "qwen3")
    writer.add_custom_alignment(alignment)
    data = 0
    for number, (shape, kind) in enumerate(tensors):
        block, _ = GGML_QUANT_SIZES[kind]
        data += add(writer, f"blk.{number}.w", [*shape[:-1], shape[-1] * block], kind)
    path = finish(writer, tmp_path_factory.mktemp("random") / "x.gguf", data)
    if tensors:
        agree(ullage.open_model(path), path)
    else:
        assert ullage.open_model(path).tensors == []


def decoder(architecture: str, layers: int, **keys: int | list[int]) -> GGUFWriter:
    """Start a file of 4,096 wide layers with 32 heads."""
    writer = GGUFWriter(None, architecture)
    numbers: dict[str, int | list[int]] = {
        "block_count": layers,
        "context_length": 8192,
        "embedding_length": 4096,
        "vocab_size": 1000,
        "attention.head_count": 32,
        **{key.replace("__", "."): value for key, value in keys.items()},
    }
    for key, value in numbers.items():
        if isinstance(value, list):
            writer.add_array(f"{architecture}.{key}", value)
        else:
            writer.add_uint32(f"{architecture}.{key}", value)
    return writer


MLA = {
    "attention__head_count_kv": 1,
    "attention__key_length": 576,
    "attention__value_length": 512,
    "attention__kv_lora_rank": 512,
    "attention__key_length_mla": 192,
    "attention__value_length_mla": 128,
}
GATED = {"ssm__conv_kernel": 4, "ssm__inner_size": 4096, "ssm__state_size": 128, "ssm__group_count": 16}


@pytest.mark.parametrize(
    ("writer", "expected"),
    [
        (lambda: decoder("llama", 32, attention__head_count_kv=8), 32 * 2 * 8 * 128),
        (lambda: decoder("qwen3", 36, attention__head_count_kv=8, attention__key_length=64), 36 * 8 * (64 + 128)),
        (lambda: decoder("deci", 3, attention__head_count_kv=[8, 0, 4]), 2 * 12 * 128),
        (lambda: decoder("deepseek2", 61, **MLA), 61 * 576),
        (lambda: decoder("deepseek32", 61, attention__indexer__key_length=128, **MLA), 61 * (576 + 128)),
        (lambda: decoder("gemma4", 10, attention__head_count_kv=8, attention__shared_kv_layers=4), 6 * 2 * 8 * 128),
        (lambda: decoder("qwen3next", 48, attention__head_count_kv=2, **GATED), 12 * 2 * 2 * 128),
        (lambda: decoder("lfm2", 4, attention__head_count_kv=[0, 0, 8, 0], shortconv__l_cache=3), 2 * 8 * 128),
        (lambda: decoder("mamba2", 8, **GATED), 0),
        (lambda: decoder("bert", 12), 0),
        (lambda: decoder("llada", 12), 0),
    ],
    ids=["llama", "qwen3", "deci", "deepseek2", "deepseek32", "gemma4", "qwen3next", "lfm2", "mamba2", "bert", "llada"],
)
def test_the_cache_holds_what_the_keys_say(writer: Callable[[], GGUFWriter], expected: int, tmp_path: Path) -> None:
    started = writer()
    data = add(started, "token_embd.weight", [1000, 4096], GGMLQuantizationType.F16)
    path = finish(started, tmp_path / "x.gguf", data)
    assert ullage.open_model(path).architecture == started.arch
    for context in (1024, 8192):
        footprint = ullage.footprint(path, context=context, batch=1)
        assert footprint.kv_cache.best == expected * context * 2


def test_a_header_of_half_a_terabyte_costs_kilobytes(tmp_path: Path) -> None:
    writer = decoder("deepseek2", 61, **MLA)
    writer.add_token_list([f"token {number}" for number in range(130_000)])
    data = sum(
        add(writer, f"blk.{layer}.ffn_{part}_exps.weight", [384, 2048, 7168], GGMLQuantizationType.Q4_K)
        for layer in range(61)
        for part in ("gate", "up", "down")
    )
    path = finish(writer, tmp_path / "kimi.gguf", data)
    assert path.stat().st_size > 578 * 10**9
    read_before, start = bytes_read(), time.perf_counter()
    model = ullage.open_model(path)
    assert time.perf_counter() - start < 1
    assert model.tensor_bytes == data
    if read_before is not None:
        header = path.stat().st_size - data
        assert (bytes_read() or 0) - read_before < header + (1 << 18)


def bytes_read() -> int | None:
    """Count what this process has read, where the system tells."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return None
    return int(counters.read_text().split()[1])


def shard(number: int, count: int) -> tuple[GGUFWriter, int]:
    writer = GGUFWriter(None, "llama")
    writer.add_uint16(gguf.Keys.Split.LLM_KV_SPLIT_NO, number)
    writer.add_uint16(gguf.Keys.Split.LLM_KV_SPLIT_COUNT, count)
    writer.add_int32(gguf.Keys.Split.LLM_KV_SPLIT_TENSORS_COUNT, count)
    return writer, add(writer, f"blk.{number}.w", [2, 256], GGMLQuantizationType.Q6_K)


def test_shards_are_one_model(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        writer, data = shard(number, 3)
        paths.append(finish(writer, tmp_path / f"big-{number + 1:05}-of-00003.gguf", data))
    for path in (*paths, tmp_path):
        model = ullage.open_model(path)
        assert [tensor.name for tensor in model.tensors] == ["blk.0.w", "blk.1.w", "blk.2.w"]
        assert model.file_bytes == sum(path.stat().st_size for path in paths)
    assert ullage.open_model(paths[1]).name == "big"
    paths[2].unlink()
    with pytest.raises(ModelFileError, match=r"big-00003-of-00003\.gguf.* is missing"):
        ullage.open_model(paths[0])


def key(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


def header(*keys: bytes, tensors: int = 0, count: int | None = None, version: int = 3) -> bytes:
    start = struct.pack("<4sIQQ", b"GGUF", version, tensors, len(keys) if count is None else count)
    return start + b"".join(keys)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "big-endian": (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "big-endian"),
    "version 9": (header(version=9), "version 9"),
    "2^60 tensors": (header(tensors=2**60), "claims"),
    "2^60 keys": (header(count=2**60), "claims"),
    "a list of 2^60": (header(key("k", 9, struct.pack("<IQ", 4, 2**60))), "claims"),
    "a text of 2^60": (header(key("k", 8, struct.pack("<Q", 2**60))), "claims"),
    "a key twice": (header(*[key("k", 4, bytes(4))] * 2), "twice"),
    "no value type": (header(key("k", 77, b"")), "77"),
    "alignment 3": (header(key("general.alignment", 4, struct.pack("<I", 3))), "power of two"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_refused_with_the_reason(content: tuple[bytes, str], tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content[0])
    with pytest.raises(ModelFileError, match=content[1]) as caught:
        ullage.open_model(path)
    assert caught.value.path == str(path)


def test_a_tensor_at_fault_is_named(tmp_path: Path) -> None:
    writer = GGUFWriter(None, "llama")
    data = add(writer, "blk.0.w", [8], GGMLQuantizationType.F32) + add(writer, "blk.1.w", [8], GGMLQuantizationType.F32)
    path = finish(writer, tmp_path / "x.gguf", data - 1)
    with pytest.raises(ModelFileError, match="behind the file") as caught:
        ullage.open_model(path)
    assert caught.value.field == "blk.1.w"


def test_a_file_of_keys_alone_is_a_model_without_weights(tmp_path: Path) -> None:
    path = finish(decoder("llama", 2), tmp_path / "vocabulary.gguf", 0)
    model: Any = ullage.open_model(path)
    assert (model.tensors, model.tensor_bytes, model.architecture) == ([], 0, "llama")
