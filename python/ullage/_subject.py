"""What a text, path or number names: a model, a form of weights, a device."""

import os
import re
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from ullage import catalog
from ullage._core import Model, open_model, parse_bytes
from ullage.catalog import Device
from ullage.catalog.name_index import did_you_mean
from ullage.errors import QuantityError, UnknownModelError

__all__ = ["Subject", "in_form", "resolve", "target"]

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


def resolve(model: Subject, *, is_computed: bool = False) -> Model:
    """Find the model that `model` names: a path that exists, else a size, else a catalog name.

    Of a name that has both a published total and a configuration it is the total, unless the answer `is_computed` for a
    workload, a runtime or a device that the total does not speak of.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, int):
        return Model.of_size("model", model)
    if not isinstance(model, str) or _is_there(model) or _looks_like_a_path(model):
        return open_model(model)
    of_name = _computed if is_computed else _published
    return _size_or_name(model, lambda size: Model.of_size(model, size), of_name)


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


def _computed(name: str) -> Model:
    try:
        return catalog.architecture(name).model()
    except UnknownModelError:
        return _published(name)


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
