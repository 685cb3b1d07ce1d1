"""Sizes of compressed Core ML packages beside those that real files have, and ratios beside the published ones."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ullage._codec import LayerRow, compress
from ullage._core import Compression
from ullage.errors import CatalogError

__all__ = ["NEAR", "RatioScore", "SizeScore", "score_ratios", "score_sizes"]

HERE = Path(__file__).parent
NEAR = 0.001
"""Weights pruned by magnitude are met within so much: equal magnitudes at the threshold are all pruned."""
MILLION = 1_000_000
UNPUBLISHED = ("centernet_resnet34", "mobilevit_v2")
"""Networks whose decoder or program is not published whole: their rows stand beside the standard ones."""
QUANTIZED_ACTIVATION = 1306
"""Bytes that `quantize` and `dequantize` with their constants add to a program, as coremltools 9.0 writes them."""


@dataclass(frozen=True, slots=True)
class RatioScore:
    """A published ratio beside the computed one."""

    model: str
    what: str
    scheme: str
    published: float
    dense_bytes: int
    """The package of 16-bit weights."""
    bytes: int
    """The compressed one."""
    is_standard: bool
    """Whether the network and what was done to it are known."""
    note: str

    @property
    def plain(self) -> float:
        """Give the quotient of the packages."""
        return self.dense_bytes / self.bytes

    @property
    def rounded(self) -> float:
        """Give the quotient of the sizes as printed: decimal megabytes to one digit, below one whole kilobytes."""
        return round(_printed(self.dense_bytes) / _printed(self.bytes), 2)

    @property
    def is_met(self) -> bool:
        """Tell whether that is the published ratio to two digits."""
        return abs(self.rounded - self.published) < 0.005  # noqa: PLR2004 - half of the last digit

    def as_dict(self) -> dict[str, Any]:
        """Give the row ready for JSON."""
        return {
            "model": self.model,
            "what": self.what,
            "scheme": self.scheme,
            "published": self.published,
            "rounded": self.rounded,
            "plain": self.plain,
            "dense_bytes": self.dense_bytes,
            "bytes": self.bytes,
            "met": self.is_met,
            "standard": self.is_standard,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class SizeScore:
    """A real `weight.bin` beside the computed size."""

    model: str
    target: str
    label: str
    scheme: str
    bytes: int
    predicted: int

    @property
    def error(self) -> float:
        """Give predicted / real - 1."""
        return self.predicted / self.bytes - 1

    @property
    def is_pruned(self) -> bool:
        """Tell whether weights were pruned by magnitude after training, so that chance decides the last bytes."""
        return self.label.startswith("sparse") and "nm" not in self.label

    @property
    def is_met(self) -> bool:
        """Tell whether the size is met: to the byte, or nearly where chance decides."""
        return self.predicted == self.bytes or (self.is_pruned and abs(self.error) <= NEAR)

    def as_dict(self) -> dict[str, Any]:
        """Give the row ready for JSON."""
        return {
            "model": self.model,
            "target": self.target,
            "label": self.label,
            "scheme": self.scheme,
            "bytes": self.bytes,
            "predicted": self.predicted,
            "error": self.error,
            "met": self.is_met,
        }


def score_ratios() -> list[RatioScore]:
    """Compute every published ratio from the shapes of the network's layers."""
    with (HERE / "published_ratios.csv").open(encoding="utf-8", newline="") as file:
        return [_ratio(row) for row in csv.DictReader(file)]


def _ratio(row: dict[str, str]) -> RatioScore:
    network = _networks()[row["model"]]
    program, layers = network["program_bytes"], network["layers"]
    plain = compress(layers, "dense:f16", container="coreml:ios16")
    found = compress(
        layers,
        row["scheme"],
        container="coreml:ios16",
        overrides=dict.fromkeys(row["dense"].split(), "dense:f16"),
        keep_batch_norm=bool(row["keeps_batch_norm"]),
    )
    activations = int(row["quantized_activations"] or 0)
    return RatioScore(
        model=row["model"],
        what=row["what"],
        scheme=row["scheme"],
        published=float(row["published"]),
        dense_bytes=plain.package_bytes(program),
        bytes=found.package_bytes(program) + activations * QUANTIZED_ACTIVATION,
        is_standard=row["model"] not in UNPUBLISHED and not activations,
        note=row["note"],
    )


@cache
def _networks() -> dict[str, Any]:
    networks: dict[str, Any] = json.loads((HERE / "networks.json").read_text(encoding="utf-8"))
    return networks


def _printed(count: int) -> float:
    """Give megabytes as a table prints them."""
    return round(count / MILLION, 1) if count >= MILLION else round(count / MILLION, 3)


def score_sizes(folder: Path) -> list[SizeScore]:
    """Compute every row of `coreml_truth.csv` in `folder` from the layers in `coreml_layers.json` beside it.

    Rows of networks that are not there are left out. Raises `CatalogError` for files that hold something else.
    """
    networks = {**_read_layers(folder / "coreml_layers.json"), "small_conv": SMALL_CONV}
    return list(_sizes(folder / "coreml_truth.csv", networks))


SMALL_CONV: list[LayerRow] = [
    ("a", "Conv2d", [32, 3, 3, 3]),
    ("b", "Conv2d", [96, 32, 3, 3]),
    ("c", "Conv2d", [96, 1, 3, 3]),
    ("d", "Conv2d", [130, 96, 1, 1]),
    ("e", "Linear", [77, 130]),
]
"""The smallest network of the truth file, which lists no layers of it."""


def _sizes(path: Path, networks: dict[str, list[LayerRow]]) -> Iterator[SizeScore]:
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                if row["model"] not in networks:
                    continue
                size = int(row["weight_bin_bytes"])
                found = _compressed(networks[row["model"]], row["target"], row["scheme"])
            except (KeyError, TypeError, ValueError) as error:
                field = f"line {number}"
                message = f"{path} ({field}): {error}"
                raise CatalogError(message, path=str(path), field=field, reason=str(error)) from error
            yield SizeScore(row["model"], row["target"], row["scheme"], found.scheme, size, found.bytes)


def _read_layers(path: Path) -> dict[str, list[LayerRow]]:
    layers: dict[str, list[LayerRow]] = json.loads(path.read_text(encoding="utf-8"))
    return layers


def _compressed(layers: list[LayerRow], target: str, label: str) -> Compression:
    """Compress as a label of the truth file says, such as `pal4_g16` or `TT_sparse50_convonly`."""
    trained = label.startswith("TT_")
    name, _, threshold = label.removeprefix("TT_").partition("_thr")
    dense: list[str] = []
    if name.endswith("_defaultpipe"):
        name = "fp16"
    elif name.endswith("_convonly"):
        name, dense = name.removesuffix("_convonly"), [row[0] for row in layers if row[1] == "Linear"]
    elif name.endswith("_conv1x1only"):
        # Neither the first convolution nor depthwise ones: those that read at most three channels.
        name = name.removesuffix("_conv1x1only")
        dense = [row[0] for row in layers if row[1] == "Linear" or row[2][1] <= 3]  # noqa: PLR2004
    return compress(
        layers,
        "+".join(_scheme(part) for part in name.split("+")) if "lut" not in name else _scheme(name),
        container=f"coreml:{target.lower()}",
        overrides=dict.fromkeys(dense, "dense:f16"),
        threshold=int(threshold) if threshold else None,
        keep_batch_norm=trained,
    )


SCHEMES = (
    (r"fp16", "dense:f16"),
    (r"sparse_nm_(\d)_(\d)", r"sparse:\1:\2"),
    (r"sparse(\d+)", r"sparse:0.\1"),
    (r"vpal(\d)_cd(\d)_g(\d+)", r"palettized:\1,group=\3,vector=\2"),
    (r"pal(\d)_g(\d+)", r"palettized:\1,group=\2"),
    (r"pal(\d)_pcs", r"palettized:\1,scale"),
    (r"pal(\d)\+lut_int8", r"palettized:\1,lut=int8"),
    (r"pal(\d)(_pt)?", r"palettized:\1"),
    (r"u?int(\d)(_sym_pc)?", r"linear:\1"),
    (r"u?int(\d)_aff_pc", r"linear:\1,affine"),
    (r"u?int(\d)_sym_pt", r"linear:\1,tensor"),
    (r"u?int(\d)_sym_b(\d+)", r"linear:\1,block=\2"),
    (r"u?int(\d)_aff_b(\d+)", r"linear:\1,affine,block=\2"),
)
"""How the truth file calls schemes."""


def _scheme(label: str) -> str:
    for pattern, scheme in SCHEMES:
        found = re.fullmatch(pattern, label)
        if found:
            return found.expand(scheme)
    raise ValueError(f"{label!r} names no scheme")
