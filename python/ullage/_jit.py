"""`simulate`, `execute`, `calibrate` and `verify`: have found what was named, then let the core work."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import psutil

from ullage import machine
from ullage._codec import compress
from ullage._core import (
    Compression,
    Profile,
    Simulation,
    calibrate_machine,
    execute_layers,
    layers_of,
    parse_bytes,
    simulate_layers,
    verify_machine,
)
from ullage._profiles import ProfileOf, keep, profile_of
from ullage._subject import Subject
from ullage._types import ByteCount
from ullage.errors import ArgumentError
from ullage.schemes import Scheme

__all__ = ["SCHEMES", "Disturbance", "Layers", "calibrate", "execute", "simulate", "verify"]

Row: TypeAlias = tuple[str, Sequence[int], Scheme | str]
"""Name, shape and scheme of a layer."""
Layers: TypeAlias = Compression | Sequence[Row] | Subject
"""A compressed model, or layers one by one; with `scheme=`, whatever `compress` takes."""
Policies: TypeAlias = str | Sequence[str]
"""One policy for all layers, or one for each."""
Listener: TypeAlias = Callable[[float, str], object]
"""Told the share that is done, and what is worked on."""

_CoreRow: TypeAlias = tuple[str, Sequence[int], str, int | None, int | None, int | None]

SCHEMES = ("palettized:4", "linear:8", "linear:4,block=32", "sparse:0.5", "gguf:q4_k")
"""What is calibrated unless said otherwise: one scheme of each kind that kernels know."""
AUTO = ("fused", "just_in_time,tile=256KiB", "just_in_time", "load_time")
"""What `auto` chooses from, the smallest memory first."""
MEMORY_KEPT_FREE = 1 << 30


def simulate(
    model: Layers,
    device: ProfileOf,
    *,
    policy: Policies = "auto",
    scheme: Scheme | str | None = None,
    prefetch: int | None = None,
    threads: int | None = None,
    batch: int = 1,
    memory_limit: ByteCount | None = None,
    from_storage: bool = False,
) -> Simulation:
    """Say how long a pass through a model's layers takes on a device, and what memory, under decompression policies.

    `model` is what `compress` gave, a list of layers (name, shape, scheme), or with `scheme` whatever `compress` takes.
    `device` is a `Profile`, `"this-machine"` once it was calibrated, a JSON file of a profile, or a device of the
    catalog, of which only published peak rates are known.

    `policy` is `load_time`, `just_in_time[,tile=256KiB]`, `fused`, `keep_hot` or `stream`, one for all layers or one
    for each; `auto` takes the fastest of the first three for all. `prefetch` layers are decoded or read ahead by a
    thread or unit of its own. `batch` is of tokens or images; `memory_limit` says how far layers are kept hot, or
    streamed ones in memory; with `from_storage` reading stored weights counts towards the first output.

    Raises `ArgumentError` for policies or schemes that are none, and a profile without the rates that are needed.
    """
    profile = profile_of(device)
    rows = _rows(model, scheme)

    def run(chosen: Policies) -> Simulation:
        return simulate_layers(
            rows,
            _policies(chosen, prefetch),
            profile,
            threads=threads,
            batch=batch,
            memory_limit=memory_limit,
            from_storage=from_storage,
        )

    if policy != "auto":
        return run(policy)
    found = [run(one) for one in AUTO]
    limit = None if memory_limit is None else parse_bytes(memory_limit)
    fitting = [one for one in found if limit is None or one.peak_bytes <= limit] or found
    return min(fitting, key=lambda one: one.latency_s)


def execute(
    model: Layers,
    *,
    policy: Policies = "fused",
    scheme: Scheme | str | None = None,
    prefetch: int | None = None,
    threads: int = 1,
    batch: int = 1,
    seconds: float = 0.5,
    passes: int | None = None,
) -> Simulation:
    """Run a pass through a model's layers for real on this processor, over and over, and measure it.

    Weights are made up: numbers that take as long as real ones do. The answer has the fields of `simulate`, measured:
    a layer's seconds are a low percentile over the passes, `peak_bytes` is what was booked, and `process_peak_bytes`
    by how much the process grew. Passes are timed for so many `seconds`, but five at least, or so many `passes`.
    """
    return execute_layers(
        _rows(model, scheme),
        _policies(policy, prefetch),
        threads=threads,
        batch=batch,
        seconds=seconds,
        passes=passes,
    )


def calibrate(
    *,
    schemes: Sequence[Scheme | str] = SCHEMES,
    threads: Sequence[int] | None = None,
    seconds: float = 45.0,
    storage: bool = True,
    store: bool = True,
    progress: Listener | None = None,
) -> Profile:
    """Measure this processor: memory, caches, and every policy with every scheme as `execute` runs it.

    `threads` are the numbers of threads that compute, by default 1 and as many as there are processors. Rounds are gone
    through until `seconds` are over, but two at least. With `store` the profile is kept, and is `"this-machine"` then.
    """
    cores = _cores()
    found = calibrate_machine(
        [str(scheme) for scheme in schemes],
        list(threads) if threads is not None else sorted({1, cores}),
        cores=cores,
        seconds=seconds,
        memory=_memory(),
        name=platform.node() or "this machine",
        storage=storage,
        progress=progress,
    )
    if store:
        keep(found)
    return found


def verify(
    profile: Profile | None = None,
    *,
    schemes: Sequence[Scheme | str] = SCHEMES,
    threads: Sequence[int] | None = None,
    seconds: float = 200.0,
    store: bool = True,
    progress: Listener | None = None,
) -> dict[str, Any]:
    """Hold predictions of this machine against execution: models, schemes, policies and threads, case by case.

    No shape of a layer in these models was calibrated. Without a profile this machine is calibrated in alternation
    with the cases, so that what others do to it meanwhile slows both, and the profile is kept as `calibrate` does.
    Rounds are gone through as long as another one fits in `seconds`, but two at least. Gives `cases`, their `summary`,
    the `profile` and the number of `rounds`.
    """
    cores = _cores()
    found = verify_machine(
        profile,
        [str(scheme) for scheme in schemes],
        list(threads) if threads is not None else sorted({1, cores}),
        cores=cores,
        seconds=seconds,
        memory=_memory(),
        name=platform.node() or "this machine",
        progress=progress,
    )
    if profile is None and store:
        keep(found["profile"])
    return found


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What else the processors did while something was measured."""

    load_before: float
    """Processes that wanted to run on average over the minute before."""
    others: float
    """Share of all processors' time that other processes took."""
    stolen: float
    """Share that the hypervisor gave to other machines."""

    @classmethod
    def begin(cls) -> "_Watch":
        """Begin to look."""
        return _Watch()


class _Watch:
    """Counters at a beginning."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        self._all, self._own, self._at = psutil.cpu_times(), psutil.Process().cpu_times(), time.monotonic()

    def end(self) -> Disturbance:
        """Say what happened since."""
        now, own = psutil.cpu_times(), psutil.Process().cpu_times()
        wall = max((time.monotonic() - self._at) * (os.cpu_count() or 1), 1e-9)
        busy = sum(getattr(now, name) - getattr(self._all, name) for name in ("user", "system"))
        mine = own.user + own.system - self._own.user - self._own.system
        stolen = getattr(now, "steal", 0.0) - getattr(self._all, "steal", 0.0)
        return Disturbance(self._load, min(max((busy - mine) / wall, 0.0), 1.0), min(max(stolen / wall, 0.0), 1.0))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    return max(machine.memory().available - MEMORY_KEPT_FREE, MEMORY_KEPT_FREE // 4)


def _policies(policy: Policies, prefetch: int | None) -> list[str]:
    chosen = [policy] if isinstance(policy, str) else list(policy)
    if prefetch:
        ahead = ("just_in_time", "stream")
        chosen = [f"{one},prefetch={prefetch}" if one.split(",", 1)[0] in ahead else one for one in chosen]
    return chosen


def _rows(model: Layers, scheme: Scheme | str | None) -> list[_CoreRow]:
    if scheme is not None:
        if isinstance(model, Compression) or _is_list(model):
            reason = "these layers have their schemes already"
            raise ArgumentError(f"scheme: {reason}", name="scheme", reason=reason)
        model = compress(cast("Subject", model), scheme)
    if isinstance(model, Compression):
        return [(*row, None, None) for row in layers_of(model)]
    if not _is_list(model):
        reason = f"{model!r:.80} is no compressed model and no list of layers; scheme= says how it is stored"
        raise ArgumentError(f"model: {reason}", name="model", reason=reason)
    return [_row(row) for row in cast("Sequence[object]", model)]


def _is_list(model: Layers) -> bool:
    return isinstance(model, Sequence) and not isinstance(model, str | bytes)


def _row(row: Any) -> _CoreRow:  # noqa: ANN401 - whatever stands there instead of a row is refused
    try:
        name, shape, scheme = row
        sizes = [int(size) for size in shape]
    except (TypeError, ValueError):
        name, scheme, sizes = None, "", [-1]
    if not isinstance(name, str) or any(not 0 <= size < 1 << 64 for size in sizes):
        reason = f"{row!r:.80} is not a name, a shape and a scheme"
        raise ArgumentError(f"layers: {reason}", name="layers", reason=reason)
    return name, sizes, str(scheme), None, None, None
