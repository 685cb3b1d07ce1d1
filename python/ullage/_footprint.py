"""`footprint` and `fit`: have found what was named, then let the core compute."""

import os
from typing import TYPE_CHECKING, TypedDict, Unpack

from ullage._core import Footprint, Verdict, estimate, judge
from ullage._subject import Subject, in_form, resolve, target
from ullage.catalog import Device
from ullage.folders import cache_folder

if TYPE_CHECKING:
    from ullage.plugins.runtime import AnyRuntime

PHONES = ("phone-", "tablet-")


class Workload(TypedDict, total=False):
    """What a model is asked to do: the keyword arguments of `footprint`."""

    context: int | None
    batch: int
    kv_dtype: str
    micro_batch: int | None
    flash_attention: bool
    runtime: "AnyRuntime | None"
    weights: str | int | None
    measured: bool


def footprint(
    model: Subject,
    *,
    context: int | None = None,
    batch: int = 1,
    kv_dtype: str = "f16",
    micro_batch: int | None = None,
    flash_attention: bool = True,
    runtime: "AnyRuntime | None" = None,
    weights: str | int | None = None,
    measured: bool = True,
) -> Footprint:
    """Estimate what a model needs, by component, in bytes.

    `model` is a file or directory of any format that `open_model` reads, a catalog name such as `"all-minilm-l6-v2"`,
    or a plain size such as `"12GB"`, taken as 16-bit weights. Without `context`, the longest that the configuration
    allows, at most 4,096 tokens; `micro_batch` is 512 unless given. `runtime` is `"llama.cpp"`, `"vllm"`,
    `"transformers"`, `"onnxruntime"`, `"executorch-xnnpack"`, `"coreml"`, `"tflite"`, `"numpy"` or `"generic"`, with
    `@` and a version where several are known; by default the one that files of this format are usually run with, else
    `"generic"`, the span of them all. One of your own is known by its name where it is installed as a plug-in, or is
    given as a `RuntimePolicy` or a dictionary of its fields.
    `weights` thinks of the weights in another form than they are stored in: a scheme such as `"gguf:q4_k"`,
    `"palettized:4"`, `"linear:8"` or `"dense:f16"`, or the size of a file such as `"1.14GB"`.
    What `measure` kept of the same model, runtime, workload and this machine narrows the estimate, and its origin is
    then `measured`; with `measured=False` it is left aside.
    Raises `UnknownModelError` for a name that is none of these, `ModelFileError` for a damaged file and
    `ArgumentError` for a workload out of range or an unknown runtime, `PluginError` for a plug-in that cannot be used.
    """
    is_computed = any(given is not None for given in (context, micro_batch, runtime, weights))
    estimated = estimate(
        in_form(resolve(model, is_computed=is_computed), weights),
        context=context,
        batch=batch,
        kv_dtype=kv_dtype,
        micro_batch=micro_batch,
        flash_attention=flash_attention,
        runtime=known_runtime(runtime),
    )
    return _narrowed(estimated, None, is_stated=context is not None) if measured else estimated


def known_runtime(runtime: "AnyRuntime | None") -> str | None:
    """Give the name of a runtime, which one of somebody's own has once it was looked at."""
    if runtime is None or isinstance(runtime, str):
        return runtime
    from ullage.plugins.runtime import known  # noqa: PLC0415 - few have a runtime of their own

    return known(runtime)


def fit(model: Footprint | Subject, on: Device | str | int, **workload: Unpack[Workload]) -> Verdict:
    """Judge whether a model fits a device, and find what makes it fit.

    `on` is a catalog name such as `"iphone-15-pro-max"`, a catalog `Device`, or a plain number of bytes that a
    process may use, such as `"24GiB"`. The other arguments are those of `footprint`, which a ready `Footprint` has
    had already; what was measured counts if it was on that device, or on this machine for a number of bytes.
    Raises `UnknownDeviceError`, with suggestions, and what `footprint` raises.
    """
    if isinstance(model, Footprint) and workload:
        raise TypeError(f"a ready Footprint has its workload already; {', '.join(workload)} would have no effect")
    found = target(on)
    needed = model if isinstance(model, Footprint) else needs_on(found, model, workload)
    if isinstance(found, int):
        exactly = (found, found, found)
        return judge(needed, name=str(on), memory=found, available=exactly)
    usable, entitled = found.usable, found.entitled
    return judge(
        needed,
        name=found.key,
        memory=found.memory_bytes,
        available=(usable.lo, usable.best, usable.hi),
        entitled=(entitled.lo, entitled.best, entitled.hi) if entitled else None,
        wired=_wired(found),
        is_ios=found.device_class.endswith("-ios"),
        is_discrete=found.device_class.startswith("gpu-"),
    )


def needs_on(device: Device | int, model: Subject, workload: Workload) -> Footprint:
    """Estimate what `model` needs on `device`: published totals count on phones, others where they were measured."""
    if isinstance(device, Device) and not device.device_class.startswith(PHONES):
        model = resolve(model, is_computed=True)
    if isinstance(device, int) or not workload.get("measured", True):
        return footprint(model, **workload)
    unmeasured = workload.copy()
    unmeasured["measured"] = False
    estimated = footprint(model, **unmeasured)
    return _narrowed(estimated, device.key, is_stated=workload.get("context") is not None)


def _narrowed(estimated: Footprint, device: str | None, *, is_stated: bool) -> Footprint:
    """Give `estimated` narrowed by what was measured on `device`, by default this machine."""
    if not os.path.exists(cache_folder() / "measured.sqlite3"):  # noqa: PTH110 - pathlib raises on what it may not see
        return estimated
    from ullage.measuring.recall import narrowed  # noqa: PLC0415 - SQLite, and only where there is something to ask

    return narrowed(estimated, device=device, is_stated=is_stated)


def _wired(device: Device) -> tuple[int, int, int] | None:
    """Give what a Mac grants once `iogpu.wired_limit_mb` is raised, leaving the system 8 GiB or a quarter of less."""
    if device.device_class != "mac":
        return None
    limit = device.memory_bytes - min(8 << 30, device.memory_bytes // 4)
    return (limit, limit, limit) if limit > device.usable.best else None
