"""`footprint` and `fit`: find out what was named, then let the core compute."""

import os
from typing import TypeAlias

from ullage import catalog
from ullage._core import Footprint, Model, Verdict, estimate, judge, open_model, parse_bytes
from ullage.catalog import Device
from ullage.errors import QuantityError, UnknownModelError

Subject: TypeAlias = Model | str | os.PathLike[str] | int
"""A model, or what names one: a file, a directory, a catalog name, or a plain size."""


def footprint(model: Subject, *, context: int | None = None, batch: int = 1, kv_dtype: str = "f16") -> Footprint:
    """Estimate what a model needs, by component, in bytes.

    `model` is a safetensors file, a directory or an index of shards, a catalog name such as `"all-minilm-l6-v2"`, or
    a plain size such as `"12GB"`, taken as 16-bit weights. Without `context`, the longest that the configuration
    allows, at most 4,096 tokens. Raises `UnknownModelError` for a name that is none of these, `ModelFileError` for a
    damaged file and `ArgumentError` for a workload out of range.
    """
    return estimate(resolve(model), context=context, batch=batch, kv_dtype=kv_dtype)


def fit(
    model: Footprint | Subject,
    on: Device | str | int,
    *,
    context: int | None = None,
    batch: int = 1,
    kv_dtype: str = "f16",
) -> Verdict:
    """Judge whether a model fits a device, and find what makes it fit.

    `on` is a catalog name such as `"iphone-15-pro-max"`, a catalog `Device`, or a plain number of bytes that a
    process may use, such as `"24GiB"`. The workload's arguments are those of `footprint` and have no effect on a
    ready `Footprint`. Raises `UnknownDeviceError`, with suggestions, and what `footprint` raises.
    """
    needed = (
        model if isinstance(model, Footprint) else footprint(model, context=context, batch=batch, kv_dtype=kv_dtype)
    )
    target = _target(on)
    if isinstance(target, int):
        exactly = (target, target, target)
        return judge(needed, name=str(on), memory=target, available=exactly)
    usable, entitled = target.usable, target.entitled
    return judge(
        needed,
        name=target.key,
        memory=target.memory_bytes,
        available=(usable.lo, usable.best, usable.hi),
        entitled=(entitled.lo, entitled.best, entitled.hi) if entitled else None,
    )


def resolve(model: Subject) -> Model:
    """Find the model that `model` names: a path that exists, else a size, else a catalog name."""
    if isinstance(model, Model):
        return model
    if isinstance(model, int):
        return Model.of_size("model", model)
    if not isinstance(model, str) or _exists(model) or _looks_like_a_path(model):
        return open_model(model)
    try:
        return Model.of_size(model, parse_bytes(model))
    except QuantityError as not_a_size:
        try:
            return _published(model)
        except UnknownModelError:
            if model[:1].isdigit():
                raise not_a_size from None  # "12 apples" is a size with a wrong unit rather than a name
            raise


def _exists(text: str) -> bool:
    return os.path.exists(text)  # noqa: PTH110 - `Path.exists` raises for a name too long to be a file's


def _looks_like_a_path(text: str) -> bool:
    return text.endswith((".safetensors", ".json")) or text.startswith((".", "/", "~"))


def _published(name: str) -> Model:
    row = catalog.model(name)
    memory = row.memory()
    return Model.published(row.key, memory.lo, memory.best, memory.hi)


def _target(on: Device | str | int) -> Device | int:
    if isinstance(on, Device):
        return on
    if not isinstance(on, str):
        return parse_bytes(on)
    try:
        return parse_bytes(on)
    except QuantityError:
        return catalog.device(on)
