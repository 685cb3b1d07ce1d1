"""`footprint` and `fit`: find out what was named, then let the core compute."""

import os
import re
from collections.abc import Callable
from typing import TypeAlias, TypedDict, TypeVar, Unpack

from ullage import catalog
from ullage._core import Footprint, Model, Verdict, estimate, judge, open_model, parse_bytes
from ullage.catalog import Device
from ullage.catalog.name_index import did_you_mean
from ullage.errors import QuantityError, UnknownModelError
from ullage.folders import cache_folder

Subject: TypeAlias = Model | str | os.PathLike[str] | int
"""A model, or what names one: a file, a directory, a catalog name, or a plain size."""

Found = TypeVar("Found")

LIKE_A_SIZE = re.compile(r"\s*[-+.]*(\d|nan\b|inf)", re.IGNORECASE)
"""How a text begins that means a size even where it is none, as in `12 apples`, `-3GB` or `NaN`."""

LIKE_BITS = re.compile(r"\s*\d+[- ]?bits?\s*", re.IGNORECASE)
"""`4bit` is meant as a scheme, and none: the error should list the schemes."""

MODEL_SUFFIXES = (
    ".safetensors",
    ".json",
    ".gguf",
    ".onnx",
    ".pt",
    ".pth",
    ".bin",
    ".pte",
    ".tflite",
    ".mlpackage",
    ".mlmodel",
    ".ptd",
    ".ckpt",
)
"""A name that ends so is meant as a file, whether it can be read or not."""

MOST_SUGGESTIONS = 5


class Workload(TypedDict, total=False):
    """What a model is asked to do: the keyword arguments of `footprint`."""

    context: int | None
    batch: int
    kv_dtype: str
    micro_batch: int | None
    flash_attention: bool
    runtime: str | None
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
    runtime: str | None = None,
    weights: str | int | None = None,
    measured: bool = True,
) -> Footprint:
    """Estimate what a model needs, by component, in bytes.

    `model` is a file or directory of any format that `open_model` reads, a catalog name such as `"all-minilm-l6-v2"`,
    or a plain size such as `"12GB"`, taken as 16-bit weights. Without `context`, the longest that the configuration
    allows, at most 4,096 tokens; `micro_batch` is 512 unless given. `runtime` is `"llama.cpp"`, `"vllm"`,
    `"transformers"`, `"onnxruntime"`, `"executorch-xnnpack"`, `"coreml"` or `"numpy"`, with `@` and a version where
    several are known; by default the one that files of this format are usually run with, else the span of them all.
    `weights` thinks of the weights in another form than they are stored in: a scheme such as `"gguf:q4_k"`,
    `"palettized:4"`, `"linear:8"` or `"dense:f16"`, or the size of a file such as `"1.14GB"`.
    What `measure` kept of the same model, runtime, workload and this machine narrows the estimate, and its origin is
    then `measured`; with `measured=False` it is left aside.
    Raises `UnknownModelError` for a name that is none of these, `ModelFileError` for a damaged file and
    `ArgumentError` for a workload out of range or an unknown runtime.
    """
    estimated = estimate(
        in_form(resolve(model), weights),
        context=context,
        batch=batch,
        kv_dtype=kv_dtype,
        micro_batch=micro_batch,
        flash_attention=flash_attention,
        runtime=runtime,
    )
    return _narrowed(estimated, None, is_stated=context is not None) if measured else estimated


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
    needed = model if isinstance(model, Footprint) else _needs_on(found, model, workload)
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


def _needs_on(device: Device | int, model: Subject, workload: Workload) -> Footprint:
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


def resolve(model: Subject) -> Model:
    """Find the model that `model` names: a path that exists, else a size, else a catalog name."""
    if isinstance(model, Model):
        return model
    if isinstance(model, int):
        return Model.of_size("model", model)
    if not isinstance(model, str) or _is_there(model) or _looks_like_a_path(model):
        return open_model(model)
    return _size_or_name(model, lambda size: Model.of_size(model, size), _published)


def in_form(model: Model, weights: str | int | None) -> Model:
    """Give `model` with its weights in a scheme or of a size; as it is without either."""
    if weights is None:
        return model
    if isinstance(weights, str) and (LIKE_A_SIZE.match(weights) is None or LIKE_BITS.fullmatch(weights)):
        return model.encoded(weights)
    return model.sized(weights)


def target(on: Device | str | int) -> Device | int:
    """Find the device that `on` names: a `Device`, a size in bytes, or a catalog name."""
    if isinstance(on, Device):
        return on
    if not isinstance(on, str):
        return parse_bytes(on)
    return _size_or_name(on, _itself, catalog.device)


def _size_or_name(text: str, of_size: Callable[[int], Found], of_name: Callable[[str], Found]) -> Found:
    try:
        size = parse_bytes(text)
    except QuantityError as not_a_size:
        try:
            return of_name(text)
        except LookupError:
            if LIKE_A_SIZE.match(text):
                raise not_a_size from None
            raise
    return of_size(size)


def _itself(size: int) -> Device | int:
    return size


def _is_there(text: str) -> bool:
    return os.path.exists(text)  # noqa: PTH110 - pathlib raises on names that are too long


def _looks_like_a_path(text: str) -> bool:
    return text.endswith(MODEL_SUFFIXES) or text.startswith((".", "/", "~"))


def _published(name: str) -> Model:
    try:
        row = catalog.model(name)
    except UnknownModelError as no_figure:
        return _described(name, no_figure.fields["suggestions"])
    memory = row.memory()
    measured = memory.origin == "measured"
    return Model.published(row.key, memory.lo, memory.best, memory.hi, measured=measured)


def _described(name: str, published: list[str]) -> Model:
    """Find the model among those known by their configuration, where no figure was published for it."""
    try:
        return catalog.architecture(name).model()
    except UnknownModelError as error:
        suggestions = list(dict.fromkeys((*error.fields["suggestions"], *published)))[:MOST_SUGGESTIONS]
        message = f"no file and no model of the catalog is called {name!r}{did_you_mean(suggestions)}"
        raise UnknownModelError(message, name=name, suggestions=suggestions) from None
