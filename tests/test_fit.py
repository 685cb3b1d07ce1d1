"""Verdicts as a whole: the numbers of a published example, and facts that hold of every model, runtime and device."""

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ullage
from ullage import Footprint, Model, Remedy, Verdict
from ullage._core import runtime_policies
from ullage.errors import ByteOverflowError

GB = 10**9
PHONE = "iphone-15-pro-max"
ENTITLEMENT = "increased-memory-limit entitlement"
RUNTIMES = [f"{row['runtime']}@{row['version']}" for row in runtime_policies()]
ENDS = ("lo", "best", "hi")


def test_twelve_gigabytes_do_not_fit_a_phone_of_eight() -> None:
    """The published example: no, because an app gets 3 GB of the 8, or 6 with the entitlement."""
    device = ullage.device(PHONE)
    assert device.memory_bytes == 8 << 30
    assert device.entitled is not None
    assert (device.usable.best, device.entitled.best) == (3 * GB, 6 * GB)
    verdict = ullage.fit("12GB", PHONE)
    assert verdict.verdict == "no"
    assert verdict.required.lo == 12 * GB > device.entitled.hi
    assert verdict.short_by == verdict.required.best - 3 * GB
    assert all(any("weights" in change for change in remedy.changes) for remedy in verdict.remedies)


def test_what_it_was_said_to_be_is_smaller() -> None:
    """A diffusion model of that kind has 6.94 GB of 16-bit weights, not 12."""
    needs = ullage.footprint("sdxl")
    assert needs.weights.lo == needs.weights.hi == needs.model.tensor_bytes
    assert round(needs.weights.best / GB, 2) == 6.94
    assert ullage.fit(needs, PHONE).verdict == "no"


@pytest.mark.parametrize("model", ["sdxl", "7GB"])
@pytest.mark.parametrize("scheme", ["gguf:q4_k", "palettized:4", "linear:4,block=32"])
def test_at_four_bits_it_fits_with_the_entitlement(model: str, scheme: str) -> None:
    """With the entitlement four bits are surely enough."""
    device = ullage.device(PHONE)
    assert device.entitled is not None
    needs = ullage.footprint(model, weights=scheme)
    assert needs.total.hi <= device.entitled.lo
    assert ullage.fit(needs, device.entitled.lo).fits
    without = ullage.fit(needs, PHONE)
    assert without.fits or without.remedies[0].changes == [ENTITLEMENT]


def test_without_the_entitlement_every_part_must_be_of_four_bits() -> None:
    """The 3 to 4 GB that are published are a 4-bit UNet beside encoders of 16 bits; all at 4 bits are 1.74 GB."""
    model = ullage.footprint("sdxl").model
    four_bits = model.encoded("palettized:4")
    both = list(zip(four_bits.tensors, model.tensors, strict=True))
    mixed = sum((small if large.name.startswith("unet.") else large).bytes for small, large in both)
    usable = ullage.device(PHONE).usable
    assert round(mixed / GB, 1) == 3.1
    assert mixed > usable.best
    assert round(four_bits.tensor_bytes / GB, 2) == 1.74
    verdict = ullage.fit(four_bits, PHONE)
    assert verdict.fits
    for remedy in ullage.fit("sdxl", PHONE).remedies:
        if remedy.verdict == "yes" and not {ENTITLEMENT, "one stage in memory at a time"} & set(remedy.changes):
            assert remedy.changes[0].startswith("weights ")


def write(folder: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]], dtype: str) -> Path:
    """Write the header of a model, its data a hole."""
    size = {"F32": 4, "BF16": 2}[dtype]
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + size * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    folder.mkdir(exist_ok=True)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@st.composite
def architectures(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, tuple[int, ...]], str]:
    """Draw a transformer: its configuration, its tensors and their dtype."""
    layers, head = draw(st.integers(1, 12)), draw(st.sampled_from([16, 64, 80, 128, 256]))
    kv_heads = draw(st.integers(1, 8))
    heads = kv_heads * draw(st.integers(1, 8))
    hidden, wide = 32 * draw(st.integers(1, 128)), 32 * draw(st.integers(1, 256))
    vocabulary = draw(st.integers(2, 200_000))
    kind = draw(st.sampled_from(["llama", "qwen3", "mistral", "gemma2", "bert"]))
    config = {
        "model_type": kind,
        "architectures": ["BertModel" if kind == "bert" else "ModelForCausalLM"],
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "vocab_size": vocabulary,
        "max_position_embeddings": draw(st.sampled_from([512, 4096, 131_072])),
    }
    if draw(st.booleans()):
        config["sliding_window"] = draw(st.integers(1, 10_000))
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.self_attn.q_proj.weight"] = (heads * head, hidden)
        shapes[f"{prefix}.self_attn.k_proj.weight"] = (kv_heads * head, hidden)
        shapes[f"{prefix}.self_attn.v_proj.weight"] = (kv_heads * head, hidden)
        shapes[f"{prefix}.self_attn.o_proj.weight"] = (hidden, heads * head)
        shapes[f"{prefix}.mlp.up_proj.weight"] = (wide, hidden)
        shapes[f"{prefix}.mlp.down_proj.weight"] = (hidden, wide)
    return config, shapes, draw(st.sampled_from(["F32", "BF16"]))


workloads = st.fixed_dictionaries(
    {
        "context": st.integers(1, 1 << 20),
        "batch": st.integers(1, 64),
        "kv_dtype": st.sampled_from(["f32", "f16", "fp8", "q8_0", "q4_0"]),
        "micro_batch": st.sampled_from([1, 128, 512, 2048]),
        "flash_attention": st.booleans(),
        "runtime": st.sampled_from([None, *RUNTIMES]),
    }
)

KV_SIZES = {"f32": 128, "f16": 64, "q8_0": 34, "fp8": 32, "q4_0": 18}


def adds_up(needs: Footprint) -> None:
    """Check that the total is the sum of its parts, and that each is in order."""
    for end in ENDS:
        assert getattr(needs.total, end) == sum(getattr(part, end) for part in needs.parts.values())
    for part in (*needs.parts.values(), needs.total):
        assert 0 <= part.lo <= part.best <= part.hi


def no_less(more: Footprint, less: Footprint) -> None:
    """Check that whoever asks for more needs no less."""
    for end in ENDS:
        assert getattr(more.total, end) >= getattr(less.total, end)


def answers(required: tuple[int, int], available: tuple[int, int]) -> str:
    """Give the answer of an interval against another."""
    return "yes" if required[1] <= available[0] else "no" if required[0] > available[1] else "depends"


def consistent(verdict: Verdict) -> None:
    """Check that answer, balance and remedies follow from the intervals."""
    lo, best, hi = verdict.available_range
    required = verdict.required
    assert verdict.verdict == answers((required.lo, required.hi), (lo, hi))
    assert verdict.short_by - verdict.margin == required.best - best
    assert not (verdict.fits and verdict.remedies)
    for remedy in verdict.remedies:
        assert remedy.changes
        for end in ENDS:
            assert getattr(remedy.required, end) <= getattr(required, end), remedy.changes
        assert remedy.saves == required.best - remedy.required.best
        assert all(saves >= 0 for _, saves in remedy.steps)
        assert remedy.verdict in {"yes", "depends"}
        if remedy.verdict == verdict.verdict:
            assert required.best > best
            assert remedy.required.best <= remedy.available


CHANGES = {
    r"batch (\d+)": "batch",
    r"micro-batch (\d+)": "micro_batch",
    r"context (\d+)": "context",
    r"KV cache (\w+)": "kv_dtype",
    r"weights (\S+)": "weights",
    r"(flash attention)": "flash_attention",
}


def applied(model: Model, remedy: Remedy, asked: dict[str, Any]) -> Footprint | None:
    """Do what a remedy says; nothing where no argument of `footprint` says it."""
    wanted = dict(asked)
    for change in remedy.changes:
        if change in {ENTITLEMENT, "raised wired limit (iogpu.wired_limit_mb)"}:
            continue
        found = [(name, match[1]) for form, name in CHANGES.items() if (match := re.fullmatch(form, change))]
        if not found:
            return None
        ((name, value),) = found
        is_text = name in {"kv_dtype", "weights"}
        wanted[name] = value if is_text else True if name == "flash_attention" else int(value)
    return ullage.footprint(model, **wanted)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=architectures(),
    asked=workloads,
    share=st.floats(0.05, 1.2),
    device=st.sampled_from(["", PHONE, "mac-m4-24gb", "rtx-4090"]),
)
def test_what_holds_of_every_model(
    tmp_path: Path,
    drawn: tuple[dict[str, Any], dict[str, tuple[int, ...]], str],
    asked: dict[str, Any],
    share: float,
    device: str,
) -> None:
    """Sums, orders, growth with what is asked, answers from intervals, and remedies that keep their word."""
    model = ullage.open_model(write(tmp_path, *drawn))
    needs = ullage.footprint(model, **asked)
    adds_up(needs)
    assert needs.weights.hi > 0
    for name, value in (
        ("context", asked["context"] * 2),
        ("context", asked["context"] + 1),
        ("batch", asked["batch"] + 1),
    ):
        no_less(ullage.footprint(model, **(asked | {name: value})), needs)
    for dtype, size in KV_SIZES.items():
        if size >= KV_SIZES[asked["kv_dtype"]]:
            no_less(ullage.footprint(model, **(asked | {"kv_dtype": dtype})), needs)
    verdict = ullage.fit(needs, device or max(int(needs.total.best * share), 1))
    consistent(verdict)
    if device == PHONE and needs.runtime.startswith("executorch"):
        return  # it counts differently there
    assert verdict.required == needs.total
    for remedy in verdict.remedies:
        after = applied(model, remedy, asked | {"runtime": needs.runtime})
        for end in ENDS if after else ():
            needed, promised = getattr(after.total, end), getattr(remedy.required, end)  # type: ignore[union-attr]
            assert needed == pytest.approx(promised, rel=0.01), remedy.changes


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "subject", ["1kB", "7GB", "100PB", "llama-3.1-8b", "sdxl", "all-minilm-l6-v2", "whisper-tiny", "deepseek-v3"]
)
def test_no_workload_is_too_much_for_an_answer(subject: str, runtime: str) -> None:
    """The largest context and batch give an interval in order or one typed error."""
    model = ullage.footprint(subject).model
    overflown: list[int] = []
    for context in (1, 1 << 16, 1 << 32):
        for batch in (1, 1 << 16, 1 << 32):
            for flash in (True, False):
                asked: dict[str, Any] = {
                    "context": context,
                    "batch": batch,
                    "micro_batch": batch,
                    "flash_attention": flash,
                }
                try:
                    needs = ullage.footprint(model, runtime=runtime, **asked)
                except ByteOverflowError:
                    overflown.append(context * batch)
                    continue
                adds_up(needs)
    assert min(overflown, default=1 << 64) >= 1 << 32
