"""What the estimate says of a truth row."""

import re
from pathlib import Path
from typing import NamedTuple

from ullage import catalog
from ullage._core import Footprint, Interval, estimate, judge
from ullage.errors import UllageError
from ullage.scoring.subject import Subject, subject
from ullage.scoring.truth import TruthRow

__all__ = ["CLASSES", "Prediction", "class_of", "predict"]

CLASSES = {
    "weights": "weights",
    "kv": "KV cache",
    "state": "state",
    "compute": "compute buffer",
    "total": "process total",
    "verdict": "fit verdict",
}
"""What is scored, with its name in the table."""

TOTALS = ("process", "rss", "vram", "total projected", "load increment")
MOBILE_CONTEXT = 2048
"""Tokens that the published programs of ExecuTorch are exported for."""
KV_DTYPES = {"f16", "bf16", "f32", "fp8", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "nvfp4"}


class Prediction(NamedTuple):
    """The figures for one row, or why there are none."""

    lo: int
    best: int
    hi: int
    answer: str
    """Of a verdict: `yes`, `no` or `depends`; else empty."""
    basis: str
    runtime: str
    is_policy_known: bool
    """Whether the row says enough, of weights and runtime, for an exact figure."""
    file_bytes: int | None
    """What `file * 1.2` multiplies."""
    missing: str
    """Why nothing could be predicted; else empty."""


def class_of(row: TruthRow) -> str:
    """Give the class that `row` is scored in, a key of `CLASSES`."""
    component = row.component.casefold()
    if component.startswith("fits"):
        return "verdict"
    if any(component.startswith(word) for word in TOTALS):
        return "total"
    if component.startswith(("compute", "activation")):
        return "compute"
    if component.startswith(("kv", "memory delta")):
        return "kv"
    if component.startswith(("state", "recurrent", "rs ")):
        return "state"
    return "weights"


def predict(row: TruthRow, models: Path | None) -> Prediction:
    """Estimate what `row` states, from everything but its figure."""
    runtime = _runtime(row)
    try:
        found = subject(row, models)
        if found is None:
            return _nothing(runtime, "no file, no catalog row and no columns describe the model")
        if found.unknown_form and class_of(row) in ("weights", "total"):
            return _nothing(runtime, f"nothing is known of the form {found.unknown_form!r}")
        return _predicted(row, found, runtime)
    except UllageError as error:
        return _nothing(runtime, str(error))


def _predicted(row: TruthRow, found: Subject, runtime: str) -> Prediction:
    needs = _footprint(row, found, runtime)
    scored = class_of(row)
    answer = ""
    part = {
        "weights": needs.weights,
        "kv": needs.kv_cache,
        "state": needs.state,
        "compute": needs.activations,
        "total": needs.total,
        "verdict": needs.total,
    }[scored]
    bounds = _per_device(row, found, runtime, part)
    if scored == "verdict":
        answer = _answer(row, needs)
    known_runtime = runtime != "generic" or scored == "weights"
    is_whole = "(TP" not in row.model
    is_exact = is_whole and (found.has_known_weights if scored == "weights" else bool(row.context))
    return Prediction(
        *bounds,
        answer=answer,
        basis=found.basis,
        runtime=needs.runtime,
        is_policy_known=known_runtime and is_exact,
        file_bytes=row.file_bytes or found.model.file_bytes or found.model.tensor_bytes,
        missing="",
    )


def _footprint(row: TruthRow, found: Subject, runtime: str, context: int | None = None) -> Footprint:
    is_mobile = runtime.startswith("executorch")
    kv_dtype = (row.kv_dtype or ("f32" if is_mobile else "f16")).casefold()
    return estimate(
        found.model,
        context=context or row.context or (MOBILE_CONTEXT if is_mobile and _generates(found) else None),
        batch=row.sequences or 1,
        kv_dtype=kv_dtype if kv_dtype in KV_DTYPES else "f16",
        micro_batch=row.micro_batch,
        flash_attention=row.flash_attention,
        runtime=runtime,
    )


def _generates(found: Subject) -> bool:
    return estimate(found.model, context=16).kv_cache.best > 0


def _per_device(row: TruthRow, found: Subject, runtime: str, part: Interval) -> tuple[int, int, int]:
    """Give the bounds of `part`, or of what the row says of it: a difference of contexts, one of several devices."""
    delta = re.search(r"ctx (\d+) -> (\d+)", row.component)
    if delta:
        shorter, longer = (
            _footprint(row, found, runtime, tokens).kv_cache for tokens in sorted(map(int, delta.groups()))
        )
        return longer.lo - shorter.lo, longer.best - shorter.best, longer.hi - shorter.hi
    tokens = re.search(r"= ([\d,]+) tokens", row.published_as)
    if tokens:
        part = _footprint(row, found, runtime, int(tokens[1].replace(",", ""))).kv_cache
    parallel = re.search(r"\(TP(\d+)\)", row.model)
    share = int(parallel[1]) if parallel and "per gpu" in row.component.casefold() else 1
    return part.lo // share, part.best // share, part.hi // share


def _answer(row: TruthRow, needs: Footprint) -> str:
    """Judge the row's device; the apps of the published verdicts carry iOS's increased-memory-limit entitlement."""
    name = re.sub(r"\(.*?\)", "", row.device).strip()
    device = catalog.device(name)
    limit = device.available(entitled=True)
    return judge(
        needs,
        name=device.key,
        memory=device.memory_bytes,
        available=(limit.lo, limit.best, limit.hi),
        is_ios=device.device_class.endswith("-ios"),
    ).verdict


def _runtime(row: TruthRow) -> str:
    """Give the policy for what the row calls its runtime."""
    written, device = row.runtime.casefold(), row.device.casefold()
    is_ios = "iphone" in device or device == "ios" or "ipad" in device
    if "core ml" in written and ("xnnpack" not in written or is_ios):
        return "coreml"
    for word, runtime in (
        ("2024", "llama.cpp@2024"),
        ("ik_llama", "ik_llama.cpp"),
        ("llama", "llama.cpp"),
        ("vllm", "vllm"),
        ("sglang", "vllm"),
        ("transformers", "transformers"),
        ("onnx", "onnxruntime"),
    ):
        if word in written:
            return runtime
    if "executorch" in written or "xnnpack" in written:
        return "executorch-xnnpack-ios" if is_ios else "executorch-xnnpack"
    return "generic"


def _nothing(runtime: str, why: str) -> Prediction:
    return Prediction(0, 0, 0, "", "", runtime, is_policy_known=False, file_bytes=None, missing=why)
