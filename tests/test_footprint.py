"""Footprints and verdicts: parts that add up, values known from elsewhere, and remedies that keep their word."""

import json
import math
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ullage
from ullage import Footprint, Interval, Model, Verdict, catalog
from ullage.errors import (
    ArgumentError,
    ByteOverflowError,
    ModelFileError,
    ModelNotFoundError,
    QuantityError,
    UllageError,
    UnknownDeviceError,
    UnknownModelError,
)

PARTS = ("weights", "kv_cache", "state", "activations", "overhead")
ORIGINS = {"header", "config", "measured", "formula", "assumed"}

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
}

LLAMA_SHAPES = {
    "model.embed_tokens.weight": (128256, 4096),
    "lm_head.weight": (128256, 4096),
    "model.norm.weight": (4096,),
} | {
    f"model.layers.{layer}.{name}.weight": shape
    for layer in range(32)
    for name, shape in {
        "self_attn.q_proj": (4096, 4096),
        "self_attn.k_proj": (1024, 4096),
        "self_attn.v_proj": (1024, 4096),
        "self_attn.o_proj": (4096, 4096),
        "mlp.gate_proj": (14336, 4096),
        "mlp.up_proj": (14336, 4096),
        "mlp.down_proj": (4096, 14336),
        "input_layernorm": (4096,),
        "post_attention_layernorm": (4096,),
    }.items()
}

BLOCKS = {
    "q8_0": (32, 34),
    "q6_k": (256, 210),
    "q5_k": (256, 176),
    "q4_k": (256, 144),
    "q3_k": (256, 110),
    "q2_k": (256, 84),
}
"""Elements and bytes of a block, from `ggml-common.h`."""


def write_model(folder: Path, shapes: dict[str, tuple[int, ...]], config: object = None) -> Path:
    """Write a model of BF16 tensors, its data a hole in the file."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(file, 8 + len(text) + end)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """Give Llama 3.1 8B without its numbers."""
    return write_model(tmp_path, LLAMA_SHAPES, LLAMA)


def check_interval(interval: Interval) -> None:
    """Check what holds of every interval."""
    assert 0 <= interval.lo <= interval.best <= interval.hi
    assert int(interval) == interval.best
    assert interval.origin in ORIGINS
    assert interval.formula
    assert {"lo", "best", "hi", "origin", "formula"} == set(interval.as_dict())


def check(needs: Footprint) -> None:
    """Check what holds of every footprint."""
    assert tuple(needs.parts) == PARTS
    for name, part in needs.parts.items():
        check_interval(part)
        assert part == getattr(needs, name)
    check_interval(needs.total)
    for end in ("lo", "best", "hi"):
        assert getattr(needs.total, end) == sum(getattr(part, end) for part in needs.parts.values())
    shape = json.loads(json.dumps(needs.as_dict()))
    assert set(shape["parts"]) == set(PARTS)
    wanted = {"model", "architecture", "parameters", "tensor_bytes", "file_bytes", "parts", "total"}
    assert wanted <= set(shape)


# Values known from elsewhere.


@pytest.mark.parametrize(
    ("context", "batch", "kv_dtype", "expected"),
    [
        (8192, 1, "f16", 1_073_741_824),
        (8192, 1, "bf16", 1_073_741_824),
        (8192, 1, "f32", 2_147_483_648),
        (8192, 1, "fp8", 536_870_912),
        (8192, 1, "q8_0", 1_073_741_824 * 34 // 64),
        (8192, 1, "q4_0", 1_073_741_824 * 18 // 64),
        (8192, 4, "f16", 4_294_967_296),
        (1, 1, "f16", 131_072),
        (131_072, 1, "f16", 17_179_869_184),
    ],
)
def test_the_kv_cache_of_llama_8b(llama: Path, context: int, batch: int, kv_dtype: str, expected: int) -> None:
    needs = ullage.footprint(llama, context=context, batch=batch, kv_dtype=kv_dtype)
    check(needs)
    assert (needs.kv_cache.lo, needs.kv_cache.hi, needs.kv_cache.origin) == (expected, expected, "config")
    assert (needs.weights.lo, needs.weights.hi, needs.weights.origin) == (16_060_522_496, 16_060_522_496, "header")
    assert (needs.context, needs.batch, needs.kv_dtype) == (context, batch, kv_dtype)
    assert needs.model.parameters == 8_030_261_248


def test_the_context_is_the_longest_allowed_at_most_4096(tmp_path: Path, llama: Path) -> None:
    assert ullage.footprint(llama).context == 4096
    (tmp_path / "bert").mkdir()
    assert ullage.footprint(write_model(tmp_path / "bert", {"w": (2, 2)}, BERT)).context == 512
    assert ullage.footprint("1GB").context == 4096


def test_an_encoder_keeps_no_cache(tmp_path: Path) -> None:
    needs = ullage.footprint(write_model(tmp_path, {"w": (384, 384)}, BERT), context=512, batch=8)
    check(needs)
    assert (needs.kv_cache.hi, needs.state.hi) == (0, 0)
    assert needs.activations.best > 0


def test_the_real_minilm(minilm_dir: Path) -> None:
    needs = ullage.footprint(minilm_dir, context=256)
    check(needs)
    assert (needs.weights.best, needs.kv_cache.hi, needs.model.architecture) == (90_856_960, 0, "bert")
    assert ullage.fit(needs, "1GB").fits
    assert ullage.fit(needs, "80MB").verdict == "no"


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"sliding_window": 1024, "model_type": "mistral"}, 32 * 1024 * 2 * 1024 * 2),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, 32 * 8192 * 576 * 2),
        ({"layer_types": ["sliding_attention"] * 24 + ["full_attention"] * 8, "sliding_window": 512}, None),
        ({"num_key_value_heads": None}, 4 * 1_073_741_824),
        ({"head_dim": 256}, 2 * 1_073_741_824),
    ],
)
def test_other_ways_to_attend(tmp_path: Path, changes: dict[str, Any], known: int | None) -> None:
    needs = ullage.footprint(write_model(tmp_path, {"w": (2, 2)}, LLAMA | changes), context=8192)
    check(needs)
    assert needs.kv_cache.best == (known or (24 * 512 + 8 * 8192) * 2 * 1024 * 2)


@settings(deadline=None)
@given(
    st.integers(1, 2**20),
    st.integers(1, 2**10),
    st.sampled_from(["f32", "f16", "bf16", "fp8", "q8_0", "q4_0"]),
    st.sampled_from([LLAMA, BERT, LLAMA | {"mamba_d_state": 16}, LLAMA | {"sliding_window": 7}, {}, None]),
)
def test_whatever_is_asked_the_parts_add_up(
    tmp_path_factory: pytest.TempPathFactory, context: int, batch: int, kv_dtype: str, config: object
) -> None:
    folder = write_model(tmp_path_factory.mktemp("m"), {"a": (256, 512), "b": (3,)}, config)
    needs = ullage.footprint(folder, context=context, batch=batch, kv_dtype=kv_dtype)
    check(needs)
    more = ullage.footprint(folder, context=context + 1, batch=batch + 1, kv_dtype=kv_dtype)
    assert more.total.hi >= needs.total.hi
    assert more.total.lo >= needs.total.lo


# What a name stands for.


def test_a_name_is_a_path_else_a_size_else_a_catalog_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ullage.footprint("12GB").weights.best == 12_000_000_000
    assert ullage.footprint("all-minilm-l6-v2").total.origin == "measured"
    for name in ("12GB", "all-minilm-l6-v2"):
        Path(name).mkdir()
        write_model(Path(name), {"w": (3, 5)})
        assert ullage.footprint(name).weights.best == 30
        assert ullage.footprint(Path(name)).weights.best == 30
    assert ullage.footprint(7_000).weights.best == 7_000
    model = Model.of_size("m", 9)
    assert ullage.footprint(model).model.name == "m"
    assert ullage.footprint("12 GB").model.name == "12 GB"


WRONG_MODELS: list[tuple[Any, type[UllageError]]] = [
    ("llama-9000", UnknownModelError),
    ("", UnknownModelError),
    (" ", UnknownModelError),
    ("x" * 200, UnknownModelError),
    ("x" * 300, ArgumentError),
    ("x" * 100_000, ArgumentError),
    ("a\x00b", UnknownModelError),
    ("a/b", UnknownModelError),
    ("absent.safetensors", ModelNotFoundError),
    ("./absent", ModelNotFoundError),
    ("/absent/model", ModelNotFoundError),
    (Path("absent"), ModelNotFoundError),
    ("12 apples", QuantityError),
    ("8G", QuantityError),
    (-1, QuantityError),
    (True, QuantityError),
    (2**64, QuantityError),
    (0, ArgumentError),
    ("0GB", ArgumentError),
    (Path("/etc"), ModelFileError),
]


@pytest.mark.parametrize(("model", "error"), WRONG_MODELS)
def test_what_is_no_model_is_said_to_be_none(model: Any, error: type[UllageError]) -> None:
    with pytest.raises(error) as caught:
        ullage.footprint(model)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 600
    with pytest.raises(error):
        ullage.fit(model, "24GiB")


WRONG_WORKLOADS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"context": 0}, ArgumentError),
    ({"context": -1}, ArgumentError),
    ({"context": 2**32 + 1}, ArgumentError),
    ({"context": 2**70}, ArgumentError),
    ({"batch": 0}, ArgumentError),
    ({"batch": -5}, ArgumentError),
    ({"kv_dtype": "f8"}, ArgumentError),
    ({"kv_dtype": ""}, ArgumentError),
    ({"kv_dtype": "F16"}, ArgumentError),
    ({"context": 2**32, "batch": 2**32}, ByteOverflowError),
    ({"context": 1.5}, TypeError),
    ({"context": "8k"}, TypeError),
    ({"batch": None}, TypeError),
]


@pytest.mark.parametrize(("workload", "error"), WRONG_WORKLOADS)
def test_workloads_out_of_range_are_refused(llama: Path, workload: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        ullage.footprint(llama, **workload)
    if isinstance(caught.value, ArgumentError):
        assert caught.value.name in workload


# Verdicts.


def answer(required: Interval, available: tuple[int, int, int]) -> str:
    """Judge by the definition."""
    lo, _, hi = available
    return "yes" if required.hi <= lo else "no" if required.lo > hi else "depends"


def check_verdict(verdict: Verdict, device: catalog.Device | None) -> None:
    """Check what holds of every verdict, remedy by remedy."""
    assert verdict.verdict == answer(verdict.required, verdict.available_range)
    assert verdict.fits == (verdict.verdict == "yes")
    assert verdict.available == verdict.available_range[1]
    assert verdict.short_by == max(0, verdict.required.best - verdict.available)
    assert verdict.margin == max(0, verdict.available - verdict.required.best)
    rank = ["yes", "depends", "no"]
    assert [rank.index(remedy.verdict) for remedy in verdict.remedies] == sorted(
        rank.index(remedy.verdict) for remedy in verdict.remedies
    )
    seen = set()
    for remedy in verdict.remedies:
        check_interval(remedy.required)
        seen.add(tuple(remedy.changes))
        is_entitled = "increased-memory-limit entitlement" in remedy.changes
        offered = verdict.available_range
        if is_entitled:
            assert device is not None
            assert device.entitled is not None
            offered = (device.entitled.lo, device.entitled.best, device.entitled.hi)
        if "raised wired limit (iogpu.wired_limit_mb)" in remedy.changes:
            assert device is not None
            wired = device.memory_bytes - min(8 << 30, device.memory_bytes // 4)
            assert device.device_class == "mac"
            assert wired > offered[1]
            offered = (wired, wired, wired)
        assert (remedy.available, remedy.verdict) == (offered[1], answer(remedy.required, offered))
        assert remedy.verdict != "no"
        assert [change for change, _ in remedy.steps] == remedy.changes
        assert remedy.saves == verdict.required.best - remedy.required.best >= 0
    assert len(seen) == len(verdict.remedies)
    assert not (verdict.fits and verdict.remedies)
    json.dumps(verdict.as_dict())


def test_every_model_of_the_catalog_is_judged_on_every_device() -> None:
    verdicts = []
    for model in catalog.models():
        needs = ullage.footprint(model.key)
        check(needs)
        for device in catalog.devices():
            verdict = ullage.fit(needs, device.key)
            check_verdict(verdict, device)
            verdicts.append(verdict.verdict)
    assert len(verdicts) > 2_000
    assert set(verdicts) == {"yes", "depends", "no"}


@pytest.mark.parametrize("size", ["1MB", "4GB", "24GB", "700GB"])
def test_every_device_judges_a_plain_size(size: str) -> None:
    for device in catalog.devices():
        check_verdict(ullage.fit(size, device), device)
        for name in (device.key, device.name, *device.aliases):
            assert ullage.fit(size, name).device == device.key


def test_12_gb_on_a_phone_is_no_and_says_what_helps() -> None:
    verdict = ullage.fit("12GB", "iphone-15-pro-max")
    check_verdict(verdict, catalog.device("iphone-15-pro-max"))
    assert (verdict.verdict, verdict.required.best, verdict.required.lo) == ("no", 13_200_000_000, 12_000_000_000)
    assert verdict.short_by == 13_200_000_000 - verdict.available
    found = {tuple(remedy.changes): remedy for remedy in verdict.remedies}
    entitled = found["increased-memory-limit entitlement", "weights gguf:q5_k"]
    assert (entitled.verdict, found["weights gguf:q2_k",].verdict) == ("yes", "yes")
    for changes, remedy in found.items():
        elements, size = BLOCKS[changes[-1].removeprefix("weights gguf:")]
        weights = 6_000_000_000 * size // elements
        assert remedy.required.lo == weights
        assert abs(remedy.required.best - 1.1 * weights) <= 2
        assert abs(remedy.required.hi - (1.35 * weights + 50_000_000)) <= 2


def quantised(format_: str) -> int:
    """Add up the Llama's tensors in a block format, the slow way."""
    elements, size = BLOCKS[format_]
    matrices = sum(math.prod(shape) for shape in LLAMA_SHAPES.values() if len(shape) == 2)
    vectors = sum(math.prod(shape) for shape in LLAMA_SHAPES.values() if len(shape) == 1)
    return matrices // elements * size + 2 * vectors


def quantised_layers(format_: str | None) -> list[int]:
    """Add up each layer's tensors in a block format, or as they are."""
    elements, size = BLOCKS[format_] if format_ else (1, 2)
    sizes = [0] * 32
    for name, shape in LLAMA_SHAPES.items():
        layer = re.search(r"layers\.(\d+)\.", name)
        if layer:
            count = math.prod(shape)
            sizes[int(layer[1])] += count // elements * size if len(shape) == 2 else 2 * count
    return sizes


@pytest.mark.parametrize(
    ("device", "context", "batch"),
    [("iphone-15-pro-max", 8192, 4), ("rtx-4090", 131_072, 2), ("6GB", 2048, 1), ("16GB", 32_768, 1)],
)
def test_each_remedy_is_the_footprint_of_its_changes(llama: Path, device: str, context: int, batch: int) -> None:
    verdict = ullage.fit(llama, device, context=context, batch=batch)
    check_verdict(verdict, None if device.endswith("GB") else catalog.device(device))
    assert verdict.verdict != "yes"
    assert verdict.remedies
    for remedy in verdict.remedies:
        workload: dict[str, Any] = {"context": context, "batch": batch}
        weights, format_, offloaded = 16_060_522_496, None, 0
        for change in remedy.changes:
            match change.split():
                case ["context", tokens]:
                    workload["context"] = int(tokens)
                    assert int(tokens) < context
                case ["batch", count]:
                    workload["batch"] = int(count)
                case ["KV", "cache", kv_dtype]:
                    workload["kv_dtype"] = kv_dtype
                case ["micro-batch", tokens]:
                    workload["micro_batch"] = int(tokens)
                case ["weights", scheme]:
                    format_ = scheme.removeprefix("gguf:")
                    weights = quantised(format_)
                case [count, "of", "32", "layers", "in", "host", "memory"]:
                    offloaded = int(count)
                case _:
                    assert change == "increased-memory-limit entitlement"
        weights -= sum(quantised_layers(format_)[:offloaded])
        needs = ullage.footprint(llama, **workload)
        cache = -(-needs.kv_cache.best * (32 - offloaded) // 32)
        rest = cache + needs.activations.best + needs.state.best
        assert abs(remedy.required.best - (weights + rest + weights // 20)) <= 1, remedy.changes


def test_an_exact_limit_is_exact(llama: Path) -> None:
    needs = ullage.footprint(llama)
    assert ullage.fit(needs, needs.total.hi).verdict == "yes"
    assert ullage.fit(needs, needs.total.hi - 1).verdict == "depends"
    assert ullage.fit(needs, needs.total.lo).verdict == "depends"
    assert ullage.fit(needs, needs.total.lo - 1).verdict == "no"
    assert ullage.fit(needs, needs.total.best).short_by == 0
    assert ullage.fit(needs, needs.total.best - 1).short_by == 1
    assert ullage.fit(needs, 0).verdict == "no"
    assert ullage.fit(needs, 2**64 - 1).fits


WRONG_DEVICES: list[tuple[Any, type[UllageError]]] = [
    ("iphone-99", UnknownDeviceError),
    ("", UnknownDeviceError),
    ("x" * 10_000, ArgumentError),
    (-1, QuantityError),
    (True, QuantityError),
    (math.nan, QuantityError),
    (2**64, QuantityError),
    (None, QuantityError),
    (b"6GB", QuantityError),
]


@pytest.mark.parametrize(("device", "error"), WRONG_DEVICES)
def test_what_is_no_device_is_said_to_be_none(device: Any, error: type[UllageError]) -> None:
    with pytest.raises(error) as caught:
        ullage.fit("1GB", device)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 600


def test_a_wrong_name_comes_with_suggestions() -> None:
    with pytest.raises(UnknownDeviceError) as device:
        ullage.fit("1GB", "iphone-15-pro-mx")
    assert catalog.device(device.value.suggestions[0]) == catalog.device("iphone-15-pro-max")
    with pytest.raises(UnknownModelError) as model:
        ullage.footprint("all-minilm-l6")
    assert "all-minilm-l6-v2" in model.value.suggestions


@pytest.mark.parametrize("show", [repr, str])
def test_everything_has_a_face(show: Callable[[object], str]) -> None:
    needs = ullage.footprint("12GB")
    verdict = ullage.fit(needs, "iphone-15-pro-max")
    assert "13.20 GB" in show(needs.total)
    assert "no" in show(verdict)
    assert "gguf:q5_k" in show(verdict.remedies[0])
    assert show(needs)
