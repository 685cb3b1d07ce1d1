"""`optimize`: have found the model and the device, then let the core choose for every layer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ullage._codec import compress
from ullage._core import Compression, Optimum, optimize_layers
from ullage._profiles import ProfileOf, profile_of
from ullage.errors import ArgumentError
from ullage.solving import Progress

if TYPE_CHECKING:
    from ullage._codec import LayerRow
    from ullage._subject import Subject
    from ullage._types import ByteCount
    from ullage.schemes import Scheme

__all__ = ["optimize", "optimum_as_dict"]


def optimize(
    model: "Compression | Subject | Sequence[LayerRow]",
    device: ProfileOf,
    *,
    schemes: "Sequence[Scheme | str] | None" = None,
    policies: Sequence[str] | None = None,
    memory_limit: "ByteCount | None" = None,
    latency_limit: float | None = None,
    min_snr_db: float | None = None,
    objective: Literal["latency", "memory"] | None = None,
    threads: int | None = None,
    batch: int = 1,
    time_limit: float | None = 10.0,
    progress: Callable[[Progress], object] | None = None,
) -> Optimum:
    """Choose for every layer how its weights are decompressed, and with `schemes` also how they are stored.

    `model` is what `compress` gave, or with `schemes` what it takes. `device` is what `simulate` takes: a name of the
    catalog, a `Device`, a `Profile`, `"this-machine"` once it was calibrated, or a JSON file. `policies` are those to
    choose from: `load_time`, `just_in_time` with `,tile=256KiB` or `,prefetch=1`, `fused`, `keep_hot`,
    `stream,prefetch=1`; by default all of these, streaming where a rate of storage is known.

    With `memory_limit` the latency is made small, with `latency_limit` in seconds alone the memory; `objective` says so
    itself: `"latency"` or `"memory"`. `min_snr_db` bounds the noise that schemes add to all weights together, every
    weight counted alike; what a scheme adds is assumed from normally distributed weights.

    The answer's figures are those of the simulator, its status `optimal`, `feasible` with a `gap`, `infeasible` or
    `timeout`. Ctrl-C raises `Interrupted` with the best so far. Raises `ArgumentError` for what makes no sense, such as
    a device of which no bandwidth is known, and what `compress` raises.
    """
    if isinstance(model, Compression):
        found = model
    else:
        if not schemes:
            reason = "a model that is not compressed yet needs schemes to choose from"
            raise ArgumentError(f"schemes: {reason}", name="schemes", reason=reason)
        container = None if isinstance(model, str) or not isinstance(model, Sequence) else "coreml:ios18"
        found = compress(model, "dense:f16", container=container)
    return optimize_layers(
        found,
        profile_of(device).to_json(),
        [str(scheme) for scheme in schemes or ()],
        [str(policy) for policy in policies or ()],
        memory_limit=memory_limit,
        latency_limit=latency_limit,
        min_snr_db=min_snr_db,
        objective=objective,
        threads=threads,
        batch=batch,
        time_limit=time_limit,
        progress=progress,
    )


def optimum_as_dict(found: Optimum) -> dict[str, Any]:
    """Give an answer ready for JSON; a ratio of signal to noise without noise is `None` and `lossless` true."""
    names = ("status", "objective", "device", "latency_s", "peak_bytes", "resident_bytes")
    fields = {name: getattr(found, name) for name in names}
    fields |= _finite({"snr_db": found.snr_db})
    fields |= {"lower_bound": found.lower_bound if found.lower_bound < float("inf") else None}
    fields |= {name: getattr(found, name) for name in ("gap", "seconds", "simulated", "reason")}
    for name in ("layers", "uniform", "front"):
        fields[name] = [_finite(row) for row in getattr(found, name)]
    fields |= {"timeline": found.timeline, "memory": [list(pair) for pair in found.memory]}
    return fields


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Replace the infinite ratio of what loses nothing, which JSON cannot write."""
    ratio = row["snr_db"]
    is_lossless = ratio is not None and ratio == float("inf")
    return row | {"snr_db": None if is_lossless else ratio, "lossless": is_lossless}
