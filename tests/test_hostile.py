"""Damaged and hostile files of every format: one typed error, quickly, in little memory."""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_world import HUGE, Case, changed, cut, flipped, lying, misbehaving

import ullage
from ullage.errors import ModelFileError, ModelNotFoundError, UnreadableError

TESTS = Path(__file__).parent
SEEDS = TESTS.parent / "rust" / "ullage-fuzz" / "seeds"
PYTORCH = TESTS / "data" / "pytorch"
CORE_ML = TESTS / "data" / "core_ml"

CONFIG = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "sliding_window": 1024,
    "torch_dtype": "bfloat16",
    "layer_types": ["full_attention", "sliding_attention"],
}


def safetensors(shape: tuple[int, ...] = (4, 2), **extra: object) -> bytes:
    """Give a file of two tensors."""
    header = {
        "model.layers.0.w": {"dtype": "F16", "shape": shape, "data_offsets": [0, 16]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]},
    } | extra
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(24)


def gguf(keys: dict[str, int] | None = None, kind: int = 4) -> bytes:
    """Give a file of one tensor, with these numbers beside those of an architecture."""
    numbers = {f"llama.{name}": 2 for name in ("block_count", "attention.head_count", "embedding_length")}
    numbers |= keys or {}
    text = b"general.architecture"
    header = struct.pack("<Q", len(text)) + text + struct.pack("<IQ", 8, 5) + b"llama"
    for key, number in numbers.items():
        header += struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IQ" if kind == 10 else "<II", kind, number)
    name = b"blk.0.attn_k.weight"
    tensors = struct.pack("<Q", len(name)) + name + struct.pack("<IQQIQ", 2, 32, 2, 0, 0)
    data = b"GGUF" + struct.pack("<IQQ", 3, 1, len(numbers) + 1) + header + tensors
    return data.ljust(-(-len(data) // 32) * 32, b"\0") + bytes(256)


def archive(pickled: bytes, **members: bytes) -> bytes:
    """Give what torch.save would make of a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in members.items():
            file.writestr(f"archive/data/{name}", data)
    return buffer.getvalue()


def seeds() -> list[Case]:
    """Give one small intact model of each format."""
    index = {"weight_map": {"model.layers.0.w": "a.safetensors", "b": "a.safetensors"}}
    package = CORE_ML / "palettized4_16.mlpackage"
    parts = {
        f"net.mlpackage/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file()
    }
    config = json.dumps(CONFIG).encode()
    found = [
        Case("safetensors", {"x.safetensors": safetensors()}, "x.safetensors"),
        Case("gguf", {"x.gguf": gguf()}, "x.gguf"),
        Case("onnx", {"x.onnx": (SEEDS / "onnx" / "quantised").read_bytes()}, "x.onnx"),
        Case("tflite", {"x.tflite": (SEEDS / "tflite" / "packed").read_bytes()}, "x.tflite"),
        Case("pte", {"x.pte": (SEEDS / "executorch" / "program").read_bytes()}, "x.pte"),
        Case("ptd", {"x.ptd": (SEEDS / "executorch" / "weights").read_bytes()}, "x.ptd"),
        Case("pytorch", {"x.pt": (PYTORCH / "bare.pt").read_bytes()}, "x.pt"),
        Case("pytorch, old", {"x.pt": (PYTORCH / "legacy.pt").read_bytes()}, "x.pt"),
        Case("mlmodel", {"x.mlmodel": (CORE_ML / "network8.mlmodel").read_bytes()}, "x.mlmodel"),
        Case("index", {"x.index.json": json.dumps(index).encode(), "a.safetensors": safetensors()}, "x.index.json"),
        Case("config", {"model.safetensors": safetensors(), "config.json": config}, "config.json"),
    ]
    return [*found, *(Case(f"package, {Path(name).name}", parts, name) for name in parts)]


INTACT = {seed.label: seed for seed in seeds()}


def entered(case: Case) -> Case:
    """Open the model that the damaged file belongs to."""
    if case.label.startswith("package"):
        return case._replace(opened="net.mlpackage")
    if case.label.startswith("config"):
        return case._replace(opened="model.safetensors")
    return case


def some(cases: Iterator[Case], most: int) -> list[Case]:
    """Give at most so many of `cases`, always the same ones."""
    listed = list(cases)
    return listed if len(listed) <= most else random.Random(0).sample(listed, most)  # noqa: S311 - no secret


THOROUGH = int(os.environ.get("ULLAGE_HOSTILE", "150"))
"""Cases of each kind and format; 1000000 takes them all."""


@pytest.mark.parametrize("label", INTACT)
def test_damage_anywhere_is_survived(label: str) -> None:
    """A file cut short, with a bit turned, or with a huge number in it, anywhere."""
    seed = INTACT[label]
    damaged = [seed, *some(cut(seed), THOROUGH), *some(flipped(seed), THOROUGH), *some(lying(seed), THOROUGH)]
    assert misbehaving(map(entered, damaged)) == []


def test_a_name_does_not_make_the_format(tmp_path: Path) -> None:
    """Every format under the suffix of every other is what it is."""
    single = [seed for seed in INTACT.values() if len(seed.files) == 1]
    for seed in single:
        (data,) = seed.files.values()
        (tmp_path / seed.opened).write_bytes(data)
        expected = ullage.open_model(tmp_path / seed.opened)
        for other in ("gguf", "onnx", "safetensors", "pt", "bin", "pte", "tflite", "mlmodel", "zip", "txt"):
            path = tmp_path / f"y.{other}"
            path.write_bytes(data)
            model = ullage.open_model(path)
            assert (model.format, model.tensor_bytes) == (expected.format, expected.tensor_bytes), (seed.label, other)


SYSTEM = {
    "empty": b"",
    "one byte": b"\0",
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "text": b"These are not the weights that you are looking for.\n" * 100,
    "html": b"<!DOCTYPE html><html><head><title>404: not found</title></head></html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "program": b"\x7fELF\x02\x01\x01" + bytes(1000),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "gzip": b"\x1f\x8b\x08" + bytes(1000),
    "brackets": b"[" * 1_000_000,
    "braces": b'{"a":' * 1_000_000,
}


def test_what_is_no_model_is_refused() -> None:
    """Files of no format, under every name."""
    names = (
        "x.safetensors",
        "x.gguf",
        "x.onnx",
        "x.tflite",
        "x.pte",
        "x.pt",
        "x.mlmodel",
        "config.json",
        "x.index.json",
    )
    assert (
        misbehaving(Case(f"{label} as {name}", {name: data}, name) for label, data in SYSTEM.items() for name in names)
        == []
    )
    assert (
        misbehaving(
            Case(f"{label} beside", {**INTACT["config"].files, "config.json": data}, "model.safetensors")
            for label, data in SYSTEM.items()
        )
        == []
    )


def headed(header: object, data: int = 24) -> bytes:
    """Give a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def of_safetensors() -> Iterator[tuple[str, bytes]]:
    """Give headers that lie."""
    for length in (1 << 31, 1 << 40, 1 << 63, (1 << 64) - 1, 100 << 20):
        yield f"header of {length}", struct.pack("<Q", length) + b'{"a":1}'
    for shape in (
        [1 << 63],
        [1 << 32, 1 << 32],
        [1 << 64],
        [-1],
        [0.5],
        [1e30],
        ["4"],
        None,
        [1 << 62] * 4,
        [0, 1 << 63],
    ):
        yield f"shape {shape}", headed({"a": {"dtype": "F16", "shape": shape, "data_offsets": [0, 16]}}, 16)
    for offsets in ([16, 0], [0, 1 << 63], [1 << 63, 1 << 64], [-16, 0], [8, 24], [0], [0, 16, 32], [0, 1 << 70]):
        yield f"offsets {offsets}", headed({"a": {"dtype": "F16", "shape": [8], "data_offsets": offsets}}, 16)
    yield "a dtype of a megabyte", headed({"a": {"dtype": "F" * (1 << 20), "shape": [8], "data_offsets": [0, 16]}})
    yield "a name of a megabyte", headed({"a" * (1 << 20): {"dtype": "X", "shape": [8], "data_offsets": [0, 16]}})
    yield "nested", headed(b'{"a":' + b"[" * 1_000_000)
    yield "nested and closed", headed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield (
        "twice",
        headed(
            b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
            2,
        ),
    )
    yield "controls", headed({"\x1b[2J\n\0": {"dtype": "F16", "shape": [9], "data_offsets": [0, 16]}}, 16)
    yield "no text", headed(b'{"\xff\xfe":1}')
    yield "nothing", headed({}, 0)
    yield "no tensors, data", headed({}, 8)


def of_gguf() -> Iterator[tuple[str, bytes]]:
    """Give counts, lengths and nestings that lie."""
    intact = gguf()
    for count in (1 << 31, 1 << 60, 1 << 63, (1 << 64) - 1):
        yield f"{count} tensors", intact[:8] + struct.pack("<Q", count) + intact[16:]
        yield f"{count} keys", intact[:16] + struct.pack("<Q", count) + intact[24:]
        head = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k"
        yield f"text of {count}", head + struct.pack("<IQ", 8, count) + b"text"
        for kind in range(13):
            yield f"list of {count} of {kind}", head + struct.pack("<IIQ", 9, kind, count) + bytes(64)
        yield f"lists of {count} in lists", head + struct.pack("<I", 9) + struct.pack("<IQ", 9, count) * 1000
    yield (
        "lists in lists",
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 200_000,
    )
    lists = struct.pack("<IQ", 9, 1 << 40) + struct.pack("<IQ", 0, 0) * 100_000
    yield "empty lists", b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 9) + lists
    names = [
        "general.alignment",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.vocab_size",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
        "llama.expert_count",
        "llama.attention.key_length",
        "llama.attention.value_length",
        "llama.attention.sliding_window",
        "split.count",
        "llama.expert_used_count",
        "llama.ssm.conv_kernel",
        "llama.ssm.inner_size",
        "llama.ssm.state_size",
        "split.no",
        "llama.attention.kv_lora_rank",
        "llama.rope.dimension_count",
        "llama.nextn_predict_layers",
    ]
    for name in names:
        for kind, number in ((4, 0), (4, 1), (4, 3), (4, (1 << 32) - 1), (10, 1 << 63), (10, (1 << 64) - 1)):
            yield f"{name} {number}", gguf({name: number}, kind)
    everything = dict.fromkeys(names[1:], (1 << 32) - 1)
    yield "everything", gguf(everything)
    yield "everything but layers", gguf(everything | {"llama.block_count": 1, "split.count": 1, "split.no": 0})


def field(number: int, data: bytes | int) -> bytes:
    """Give a field of a protocol buffer."""
    key = number << 3
    return varint(key) + varint(data) if isinstance(data, int) else varint(key | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """Give an integer of variable length."""
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def model(graph: bytes) -> bytes:
    """Give an ONNX model of this graph."""
    return field(1, 8) + field(7, graph)


def initializer(*dims: int, rest: bytes = b"") -> bytes:
    """Give an ONNX model of one tensor."""
    return model(field(5, b"".join(field(1, size) for size in dims) + field(2, 1) + field(8, b"w") + rest))


def of_onnx() -> Iterator[tuple[str, bytes]]:
    """Give messages that lie, with a wire format by hand."""
    for dims in ((1 << 63,), (1 << 62, 1 << 62), ((1 << 64) - 1,), (1 << 32, 1 << 32), (0, 1 << 63), (1,) * 10_000):
        yield f"dims {dims[:4]}", initializer(*dims, rest=field(9, bytes(4)))
        yield f"dims {dims[:4]}, no data", initializer(*dims)
    for location in (
        "../../etc/passwd",
        "/etc/passwd",
        ".",
        "..",
        "",
        "/dev/zero",
        "x.onnx",
        "a\0b",
        "C:\\w",
        "w" * 5000,
    ):
        entry = field(1, b"location") + field(2, location.encode())
        yield f"location {location[:20]!r}", initializer(4, rest=field(13, entry) + field(14, 1))
    for key, value in (
        ("offset", "9" * 30),
        ("offset", "-1"),
        ("length", str(1 << 63)),
        ("length", "x"),
        ("offset", "18446744073709551615"),
    ):
        entries = [
            field(13, field(1, name) + field(2, text))
            for name, text in ((b"location", b"x.onnx"), (key.encode(), value.encode()))
        ]
        yield f"{key} {value}", initializer(4, rest=b"".join(entries) + field(14, 1))
    graph = b""
    for _ in range(3000):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph) + field(20, 5)))
    yield "graphs in graphs", model(graph)
    yield "groups", model(b"\x0b" * 100_000)
    for number in HUGE:
        yield f"length {number.hex()}", b"\x08\x08\x3a" + number + bytes(100)


def pickles() -> Iterator[tuple[str, bytes]]:
    """Give pickles that would run, recurse or explode."""
    yield "code", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."
    yield "nested tuples", b"\x80\x02N" + b"\x85" * 200_000 + b"."
    yield "nested lists", b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    yield "marks", b"\x80\x02" + b"(" * 1_000_000 + b"."
    doubled = (
        b"\x80\x02]q\x00"
        + b"".join(
            b"]q" + bytes([at]) + b"(h" + bytes([at - 1]) + b"h" + bytes([at - 1]) + b"e" for at in range(1, 200)
        )
        + b"."
    )
    yield "a billion laughs", doubled
    dicts = (
        b"\x80\x02}q\x00"
        + b"".join(
            b"}q"
            + bytes([at])
            + b"(X\x01\x00\x00\x00ah"
            + bytes([at - 1])
            + b"X\x01\x00\x00\x00bh"
            + bytes([at - 1])
            + b"u"
            for at in range(1, 200)
        )
        + b"."
    )
    yield "a billion names", dicts
    yield "a list in itself", b"\x80\x02]q\x00h\x00a."
    yield "a dict in itself", b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."
    for number in (1 << 31, (1 << 32) - 1):
        yield f"text of {number}", b"\x80\x02X" + struct.pack("<I", number) + b"abc."
        yield f"integer of {number}", b"\x80\x02\x8b" + struct.pack("<I", number) + b"abc."
        yield f"memo {number}", b"\x80\x02Nr" + struct.pack("<I", number) + b"."
    for number in (1 << 40, 1 << 63, (1 << 64) - 1):
        yield f"long text of {number}", b"\x80\x04\x8d" + struct.pack("<Q", number) + b"abc."
        yield f"frame of {number}", b"\x80\x04\x95" + struct.pack("<Q", number) + b"N."
    yield "no stop", b"\x80\x02N" * 1000
    yield "an integer of a megabyte", b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b"."
    yield "a number of a megabyte", b"I" + b"9" * (1 << 20) + b"\n."
    yield "pops", b"\x80\x02N" + b"0" * 1000 + b"."


def tensors(sizes: tuple[int, ...], strides: tuple[int, ...], *, elements: int = 4, offset: int = 0) -> bytes:
    """Give the pickle of one tensor over a storage."""

    def number(value: int) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    def pair(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + number(elements)
        + b"tQ"
    )
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + number(offset)
        + pair(sizes)
        + pair(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )
    return b"\x80\x02}X\x01\x00\x00\x00w" + rebuilt + b"s."


def of_pytorch() -> Iterator[tuple[str, bytes]]:
    """Give archives that lie."""
    for label, pickled in pickles():
        yield label, archive(pickled)
        yield f"{label}, bare", pickled
    sixteen = bytes(16)
    yield "intact", archive(tensors((4,), (1,)), **{"0": sixteen})
    for sizes, strides in (
        ((1 << 63,), (1,)),
        ((1 << 62, 8), (1, 1)),
        ((4,), (1 << 63,)),
        ((-1,), (1,)),
        ((1 << 40,) * 8, (0,) * 8),
        ((1 << 200,), (1,)),
        ((4,), ()),
    ):
        yield f"{sizes} by {strides}", archive(tensors(sizes, strides), **{"0": sixteen})
    for elements in (-1, 1 << 31, 1 << 62, 1 << 63, 1 << 200):
        yield f"{elements} elements", archive(tensors((4,), (1,), elements=elements), **{"0": sixteen})
        yield f"offset {elements}", archive(tensors((4,), (1,), offset=elements), **{"0": sixteen})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file, file.open("archive/data.pkl", "w") as member:
        for _ in range(600):
            member.write(b"N" * (1 << 20))
        member.write(b".")
    yield "a bomb", buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in ("../data.pkl", "/data.pkl", "archive/../../data.pkl", "a" * 60_000):
            file.writestr(name, b"\x80\x02}.")
    yield "traversal", buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(20_000):
            file.writestr(f"{number}/data.pkl", b"")
    yield "twenty thousand pickles", buffer.getvalue()
    intact = archive(tensors((4,), (1,)), **{"0": sixteen})
    end = intact.rindex(b"PK\5\6")
    for place in (8, 10, 12, 16, 20):
        for claim in (b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\1\0\0\0"):
            yield f"{claim.hex()} in the end at {place}", intact[: end + place] + claim + intact[end + place + 4 :]


def configs() -> Iterator[tuple[str, bytes]]:
    """Give configurations with values that none can have."""
    values: list[object] = [
        0,
        -1,
        1,
        3,
        1 << 31,
        1 << 32,
        1 << 53,
        1 << 63,
        (1 << 64) - 1,
        1 << 64,
        1e308,
        0.5,
        "x",
        "64",
        None,
        True,
        [],
        {},
        [[]],
        [1] * 100_000,
        "x" * 1_000_000,
        {"a": {"b": {}}},
    ]
    for key in CONFIG:
        for value in values:
            yield f"{key} {str(value)[:30]}", json.dumps(CONFIG | {key: value}).encode()
    for big in (1 << 32, 1 << 63, (1 << 64) - 1):
        numbers = {key: big for key, value in CONFIG.items() if isinstance(value, int)}
        yield f"all {big}", json.dumps(CONFIG | numbers).encode()
        yield (
            f"all {big}, one layer",
            json.dumps(CONFIG | numbers | {"num_hidden_layers": 1, "layer_types": ["full_attention"]}).encode(),
        )
        yield (
            f"all {big}, no list",
            json.dumps({key: value for key, value in (CONFIG | numbers).items() if key != "layer_types"}).encode(),
        )
    yield (
        "a million layers",
        json.dumps(CONFIG | {"num_hidden_layers": 1_000_000, "layer_types": ["full_attention"] * 1_000_000}).encode(),
    )
    nested: object = CONFIG
    for _ in range(100):
        nested = {"text_config": nested, "vision_config": CONFIG}
    yield "in itself", json.dumps(nested).encode()
    yield "mark", b"\xef\xbb\xbf" + json.dumps(CONFIG).encode()
    yield "wide", json.dumps(CONFIG).encode("utf-16")
    yield "infinite", json.dumps(CONFIG).replace("64", "Infinity").encode()
    yield "a list", b"[]"
    yield "a number", b"1e999"
    yield "bombs of numbers", json.dumps(CONFIG).replace("4096", "9" * 100_000).encode()
    for kind in (
        "mamba",
        "mamba2",
        "qwen3_next",
        "deepseek_v3",
        "jamba",
        "nemotron_h",
        "falcon_h1",
        "t5",
        "whisper",
        "gemma3n",
        "clip",
        "rwkv",
        "lfm2",
        "kimi_linear",
        "zamba2",
        "minimax",
    ):
        for value in (0, 1, 1 << 32, (1 << 64) - 1):
            keys = (
                "state_size",
                "expand",
                "conv_kernel",
                "mamba_d_state",
                "mamba_d_conv",
                "mamba_expand",
                "mamba_n_heads",
                "linear_num_key_heads",
                "linear_key_head_dim",
                "linear_conv_kernel_dim",
                "kv_lora_rank",
                "qk_rope_head_dim",
                "num_local_experts",
                "n_routed_experts",
                "n_group",
                "n_groups",
                "mamba_n_groups",
                "mamba_head_dim",
                "mamba_num_heads",
                "ssm_state_size",
                "attn_layer_period",
                "attn_layer_offset",
                "expert_layer_period",
                "full_attention_interval",
                "num_kv_shared_layers",
                "conv_L_cache",
                "d_model",
                "d_kv",
                "encoder_layers",
                "decoder_layers",
                "max_source_positions",
                "sliding_window_pattern",
                "first_k_dense_replace",
            )
            yield f"{kind} {value}", json.dumps(CONFIG | {"model_type": kind} | dict.fromkeys(keys, value)).encode()
            yield (
                f"{kind} {value}, no list",
                json.dumps(
                    {key: value for key, value in CONFIG.items() if key != "layer_types"}
                    | {"model_type": kind}
                    | dict.fromkeys(keys, value)
                ).encode(),
            )
    for quantization in ({"quant_method": "gptq", "bits": value} for value in (0, 1, 1 << 40, -1, "x", None)):
        yield f"{quantization}", json.dumps(CONFIG | {"quantization_config": quantization}).encode()


def indexes() -> Iterator[tuple[str, bytes]]:
    """Give indexes that lead astray."""
    shards: tuple[object, ...] = (
        "../a.safetensors",
        "/etc/passwd",
        "",
        ".",
        "..",
        "x.index.json",
        "b.safetensors",
        "a.safetensors/",
        "a\0b",
        "x" * 5000,
        7,
        None,
        [],
        "sub/a.safetensors",
        "sub\\a.safetensors",
        "loop",
    )
    for shard in shards:
        yield (
            f"shard {str(shard)[:20]!r}",
            json.dumps({"weight_map": {"model.layers.0.w": shard, "b": "a.safetensors"}}).encode(),
        )
    wholes: tuple[object, ...] = (
        [],
        {},
        {"weight_map": []},
        {"weight_map": None},
        {"weight_map": {}},
        {"weight_map": {"x": "a.safetensors"}},
    )
    for whole in wholes:
        yield str(whole), json.dumps(whole).encode()
    yield (
        "a hundred thousand shards",
        json.dumps({"weight_map": {f"t{at}": f"{at}.safetensors" for at in range(100_000)}}).encode(),
    )


def manifests() -> Iterator[tuple[str, bytes]]:
    """Give manifests that lead astray."""
    manifest = json.loads((CORE_ML / "palettized4_16.mlpackage" / "Manifest.json").read_text())
    root = manifest["rootModelIdentifier"]
    for path in (
        "../x",
        "/etc/passwd",
        "",
        ".",
        "..",
        "com.apple.CoreML",
        "com.apple.CoreML/weights/weight.bin",
        "a\0b",
        "x" * 5000,
        7,
        None,
        "com.apple.CoreML/../../Manifest.json",
    ):
        entries = manifest["itemInfoEntries"] | {root: manifest["itemInfoEntries"][root] | {"path": path}}
        yield f"path {str(path)[:20]!r}", json.dumps(manifest | {"itemInfoEntries": entries}).encode()
    values: tuple[object, ...] = (None, 0, "", [], {}, "x" * 1000)
    for key in manifest:
        for value in values:
            yield f"{key} {value!r:.20}", json.dumps(manifest | {key: value}).encode()
    yield "nested", b'{"a":' * 100_000


ATTACKS: dict[str, tuple[str, Callable[[], Iterator[tuple[str, bytes]]]]] = {
    "safetensors": ("safetensors", of_safetensors),
    "gguf": ("gguf", of_gguf),
    "onnx": ("onnx", of_onnx),
    "pytorch": ("pytorch", of_pytorch),
    "config": ("config", configs),
    "index": ("index", indexes),
    "package": ("package, Manifest.json", manifests),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_lies_are_told_apart_cheaply(attack: str) -> None:
    """Lengths, counts, shapes, paths and nestings made to hurt: no panic, no hang, little memory."""
    label, lies = ATTACKS[attack]
    seed = INTACT[label]
    assert misbehaving(entered(changed(seed, what, data)) for what, data in lies()) == []


def test_files_that_are_none(tmp_path: Path) -> None:
    """Loops of links, pipes, devices and folders in the place of files."""
    paths = {name: tmp_path / name for name in ("loop.gguf", "pipe.onnx", "folder.pt", "link.safetensors", "away.gguf")}
    paths["loop.gguf"].symlink_to("loop.gguf")
    os.mkfifo(paths["pipe.onnx"])
    paths["folder.pt"].mkdir()
    paths["link.safetensors"].symlink_to("pipe.onnx")
    paths["away.gguf"].symlink_to("nowhere")
    for path in (
        *paths.values(),
        Path("/dev/zero"),
        Path("/dev/null"),
        tmp_path / ("x" * 5000),
        tmp_path / "x" / "y.gguf",
    ):
        if path.name == "x" * 5000 or path.exists() or path.is_symlink() or path.name == "y.gguf":
            with pytest.raises((ModelFileError, UnreadableError)) as caught:
                ullage.open_model(path)
            assert str(path)[:100] in str(caught.value)
    with pytest.raises(ModelNotFoundError):
        ullage.open_model(paths["away.gguf"])


OPEN = """
import sys, ullage
try:
    ullage.open_model(sys.argv[1])
except ullage.errors.InputError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model.safetensors.index.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "secret"])
def test_a_folder_with_something_else_in_the_place_of_a_file(tmp_path: Path, name: str, kind: str) -> None:
    """The answer is the model or a typed error, at once."""
    for other, data in INTACT["config"].files.items():
        (tmp_path / other).write_bytes(data)
    path = tmp_path / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(name)
    else:
        path.write_bytes(b"")
        path.chmod(0)
    done = subprocess.run(  # noqa: S603 - a pipe would wait for ever, so from outside
        [sys.executable, "-c", OPEN, tmp_path], capture_output=True, timeout=10, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
