"""`compress`: have found what was named, then let the core compute."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ullage._core import Compression, compress_layers, compress_model
from ullage._subject import Subject, resolve
from ullage.errors import ArgumentError
from ullage.plugins.own_weights import OwnPlan, sizes
from ullage.plugins.scheme import CompressionScheme
from ullage.schemes import Scheme

__all__ = ["LayerRow", "compress"]

LayerRow: TypeAlias = tuple[str, str, Sequence[int]] | tuple[str, str, Sequence[int], bool]
"""Name, kind as PyTorch calls it, shape of the weight and, for a convolution without a batch norm, `False`."""


def compress(
    model: Subject | Sequence[LayerRow],
    scheme: Scheme | CompressionScheme | str,
    *,
    container: str | None = None,
    overrides: Mapping[str, Scheme | CompressionScheme | str] | None = None,
    threshold: int | None = None,
    keep_batch_norm: bool = False,
) -> Compression:
    """Say what a model takes with its weights compressed, tensor by tensor. Sizes only: nothing is written.

    `model` is what `footprint` takes, or the layers of a network: name, kind (`Conv2d`, `ConvTranspose2d`, `Linear`,
    `Embedding`; anything else is a lone constant) and shape. `scheme` is an object such as `Palettized(bits=4)` or its
    text, and `overrides` maps patterns of names (`*` and `?`) to other schemes, of which the first that matches counts.

    `container` is `"raw"`, pieces packed end to end, or `"coreml:ios16"` or `"coreml:ios18"`, the `weight.bin` of a
    package as coremltools writes it, to the byte: `threshold` is its `weight_threshold`, 2048 unless given, and with
    `keep_batch_norm` batch norms stay behind compressed convolutions, as in models that were compressed in training.
    Raises `ArgumentError` for a scheme that is none or that the container has no form of, and for a pattern that no
    weight has the name for, `ByteOverflowError` beyond
    2^64 - 1 bytes, and what `footprint` raises for a model.

    A `CompressionScheme` of your own, or the name of one that is installed, is a scheme too, of the tensors of a model
    in the container `"raw"`; `PluginError` and `SchemeError` say what is wrong with it.
    """
    plan = OwnPlan.of(scheme, overrides)
    if plan is not None:
        if isinstance(model, Sequence) and not isinstance(model, str | bytes):
            reason = f"{plan} is for the tensors of a model, not for layers alone"
            raise ArgumentError(f"scheme: {reason}", name="scheme", reason=reason)
        return sizes(resolve(model, is_computed=True), plan, container, threshold)
    named = [(pattern, str(other)) for pattern, other in (overrides or {}).items()]
    if isinstance(model, Sequence) and not isinstance(model, str | bytes):
        return compress_layers(
            [_row(row) for row in model],
            str(scheme),
            container or "coreml:ios18",
            named,
            threshold=threshold,
            norms_kept=keep_batch_norm,
        )
    return compress_model(
        resolve(model, is_computed=True),
        str(scheme),
        container or "raw",
        named,
        threshold=threshold,
        norms_kept=keep_batch_norm,
    )


def _row(row: LayerRow) -> tuple[str, str, list[int], bool | None]:
    try:
        name, kind, shape, *rest = row
        sizes = [int(size) for size in shape]
    except (TypeError, ValueError):
        sizes = [-1]
    if any(not 0 <= size < 1 << 64 for size in sizes):
        reason = f"{row!r:.80} is not a name, a kind and a shape"
        raise ArgumentError(f"layers: {reason}", name="layers", reason=reason)
    return name, kind, sizes, rest[0] if rest else None
