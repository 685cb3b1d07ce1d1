"""Published latencies of compressed networks, and what a roofline fitted to half of them says of the other half."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ullage._codec import LayerRow, compress
from ullage.scoring.ranks import kendall, spearman
from ullage.scoring.roofline import Roofline, Sample, fit, predict

__all__ = [
    "BLINDNESS",
    "LatencyRow",
    "LatencyScore",
    "LatencySummary",
    "NetworkLayer",
    "latency_rows",
    "score_latencies",
]

HERE = Path(__file__).parent
PLAIN = "dense:f16"
WHOLE = 16
"""Bits of an activation that was not quantised."""
PARTLY_COUNTED = ("mobilevit_v2",)
"""Networks that spend their time on much that is no layer with weights: attention over patches, softmax, norms."""
BLINDNESS = (
    "What a roofline cannot see: its clocks are those of bytes and operations, so two ways of storing weights differ "
    "for it only where weights are what a layer waits for, which in these networks is rarely so. The published ratios "
    "lie between {lo:.2f} and {hi:.2f}; how kernels for 6 bits differ from those for 8, what a compiler fuses, that "
    "the two tables time the same files up to {apart:.0%} apart, and how the device was feeling, are not in it."
)


@dataclass(frozen=True, slots=True)
class NetworkLayer:
    """A layer of a network as it is stored and used once."""

    name: str
    shape: tuple[int, ...]
    scheme: str
    """As stored; `dense:f16` where compression left it alone."""
    dense_bytes: int
    """As 16-bit numbers."""
    bytes: int
    """As stored."""
    flops: int
    """A multiplication and an addition counted as two."""
    activation_bytes: int
    """Read and written."""
    is_depthwise: bool

    @property
    def is_compressed(self) -> bool:
        """Tell whether it has to be decoded."""
        return self.scheme != PLAIN

    @property
    def zeros(self) -> float:
        """Give the share of its weights that is known to be zero."""
        return float(self.scheme.split(":")[1]) if self.scheme.startswith("sparse:") else 0.0


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """A published latency."""

    table: str
    build: str
    """Of the system that it was taken on."""
    model: str
    what: str
    scheme: str
    dense: str
    """Patterns of layers that stay dense."""
    activation_bits: int
    latency_ms: float

    @property
    def is_plain(self) -> bool:
        """Tell whether nothing is compressed: what ratios are of."""
        return self.scheme == PLAIN

    @property
    def is_counted(self) -> bool:
        """Tell whether its layers are all that takes time: networks of convolutions, activations in 16 bits."""
        return self.model not in PARTLY_COUNTED and self.activation_bits == WHOLE

    def layers(self) -> list[NetworkLayer]:
        """Give what a pass goes through."""
        return _layers(self.model, self.scheme, self.dense, self.activation_bits)


@dataclass(frozen=True, slots=True)
class LatencyScore:
    """A published latency beside the computed one."""

    row: LatencyRow
    part: str
    """`train` for rows that the figures were fitted to, `test` for the other half, `apart` where the layers are not all
    that takes time."""
    predicted_ms: float
    published_ratio: float | None
    """To the 16-bit network of the same table, where that is published."""
    predicted_ratio: float

    @property
    def error(self) -> float:
        """Give predicted / published - 1."""
        return self.predicted_ms / self.row.latency_ms - 1

    def as_dict(self) -> dict[str, Any]:
        """Give the row ready for JSON."""
        return {
            "table": self.row.table,
            "build": self.row.build,
            "model": self.row.model,
            "what": self.row.what,
            "scheme": self.row.scheme,
            "activation_bits": self.row.activation_bits,
            "part": self.part,
            "published_ms": self.row.latency_ms,
            "predicted_ms": self.predicted_ms,
            "error": self.error,
            "published_ratio": self.published_ratio,
            "predicted_ratio": self.predicted_ratio,
        }


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Every row, the figures that were fitted, and how well they do on what."""

    rows: tuple[LatencyScore, ...]
    roofline: Roofline
    builds: tuple[str, ...]
    """In the order of the roofline's floors."""
    without: dict[str, float]
    """By network: mean absolute error on it of figures fitted to the training rows of the others."""

    def mape(self, part: str | None = None) -> float:
        """Give the mean absolute error of a part, or of all rows."""
        return _mean(abs(row.error) for row in self.rows if part in (None, row.part))

    def bias(self, part: str | None = None) -> float:
        """Give the mean signed error of a part, or of all rows."""
        return _mean(row.error for row in self.rows if part in (None, row.part))

    def order(self, *, of_ratios: bool = False, part: str | None = None) -> tuple[float | None, float | None]:
        """Give Spearman's and Kendall's coefficients of published against predicted latencies, or of ratios."""
        rows = [row for row in self.rows if part in (None, row.part)]
        if of_ratios:
            rows = [row for row in rows if row.published_ratio is not None and not row.row.is_plain]
        pairs = [
            (row.published_ratio or 0.0, row.predicted_ratio) if of_ratios else (row.row.latency_ms, row.predicted_ms)
            for row in rows
        ]
        published, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return spearman(published, predicted), kendall(published, predicted)

    def ratio_error(self) -> float:
        """Give the mean absolute difference of published and predicted ratios."""
        return _mean(abs(row.published_ratio - row.predicted_ratio) for row in self._ratios() if row.published_ratio)

    def blindness(self) -> str:
        """Say what such a prediction cannot know."""
        ratios = [row.published_ratio for row in self._ratios() if row.published_ratio]
        return BLINDNESS.format(lo=min(ratios), hi=max(ratios), apart=_tables_apart([row.row for row in self.rows]))

    def as_dict(self) -> dict[str, Any]:
        """Give everything ready for JSON."""
        names = ("spearman", "kendall")
        return {
            "roofline": self.roofline.as_dict() | {"builds": list(self.builds)},
            "mape": {part: self.mape(part) for part in ("train", "test", "apart")} | {"all": self.mape()},
            "mean_error": {part: self.bias(part) for part in ("train", "test", "apart")} | {"all": self.bias()},
            "order_of_latencies": dict(zip(names, self.order(), strict=True)),
            "order_of_test_latencies": dict(zip(names, self.order(part="test"), strict=True)),
            "order_of_ratios": dict(zip(names, self.order(of_ratios=True), strict=True)),
            "mean_ratio_error": self.ratio_error(),
            "network_left_out": self.without,
            "not_seen": self.blindness(),
            "rows": [row.as_dict() for row in self.rows],
        }

    def _ratios(self) -> list[LatencyScore]:
        return [row for row in self.rows if row.published_ratio is not None and not row.row.is_plain]


def latency_rows() -> tuple[LatencyRow, ...]:
    """Give every published latency, table by table."""
    with (HERE / "published_latencies.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            LatencyRow(
                **{name: row[name] for name in ("table", "build", "model", "what", "scheme", "dense")},
                activation_bits=int(row["activation_bits"]),
                latency_ms=float(row["latency_ms"]),
            )
            for row in csv.DictReader(file)
        )


def score_latencies() -> LatencySummary:
    """Fit a roofline to every second row whose layers are all that takes time, and hold it against the others."""
    rows = latency_rows()
    builds = tuple(dict.fromkeys(row.build for row in rows))
    samples = [_sample(row, builds) for row in rows]
    counted = [place for place, row in enumerate(rows) if row.is_counted]
    trained = set(counted[::2])
    roofline = fit([samples[place] for place in sorted(trained)])
    scores = []
    for place, row in enumerate(rows):
        plain = next((other for other in rows if other.is_plain and _is_same(other, row)), None)
        whole = _sample(LatencyRow(row.table, row.build, row.model, "", PLAIN, "", WHOLE, 1.0), builds)
        predicted = predict(roofline, samples[place])
        part = "train" if place in trained else "test" if row.is_counted else "apart"
        published = row.latency_ms / plain.latency_ms if plain else None
        scores.append(LatencyScore(row, part, predicted * 1000, published, predicted / predict(roofline, whole)))
    without = {
        model: _left_out(model, rows, samples, trained)
        for model in dict.fromkeys(row.model for row in rows if row.is_counted)
    }
    return LatencySummary(tuple(scores), roofline, builds, without)


def _left_out(model: str, rows: Sequence[LatencyRow], samples: Sequence[Sample], trained: set[int]) -> float:
    others = fit([samples[place] for place in sorted(trained) if rows[place].model != model])
    own = [sample for row, sample in zip(rows, samples, strict=True) if row.model == model and row.is_counted]
    return _mean(abs(predict(others, sample) / sample.seconds - 1) for sample in own)


def _is_same(first: LatencyRow, second: LatencyRow) -> bool:
    return (first.table, first.model) == (second.table, second.model)


def _tables_apart(rows: Sequence[LatencyRow]) -> float:
    """Give the most that two tables differ on the same file."""
    by_file: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        by_file.setdefault((row.model, row.what), []).append(row.latency_ms)
    return max(max(found) / min(found) - 1 for found in by_file.values())


def _sample(row: LatencyRow, builds: Sequence[str]) -> Sample:
    layers = row.layers()
    return Sample(
        build=builds.index(row.build),
        flops=np.array([layer.flops for layer in layers], dtype=np.float64),
        depthwise=np.array([layer.is_depthwise for layer in layers], dtype=np.float64),
        bus_bytes=np.array([layer.bytes + layer.activation_bytes for layer in layers], dtype=np.float64),
        decoded_bytes=np.array([layer.dense_bytes * layer.is_compressed for layer in layers], dtype=np.float64),
        zeros=np.array([layer.zeros for layer in layers]),
        seconds=row.latency_ms / 1000,
    )


@cache
def _layers(model: str, scheme: str, dense: str, activation_bits: int) -> list[NetworkLayer]:
    """Give the layers with weights, in order, with what the published sizes of their maps make of them."""
    rows = _networks()[model]["layers"]
    maps = _maps()[model]
    found = compress(rows, scheme, container="coreml:ios16", overrides=dict.fromkeys(dense.split(), PLAIN))
    stored = {row["name"]: row for row in found.per_tensor}
    return [_layer(row, maps[row[0]], stored[row[0]], activation_bits) for row in rows if row[0] in maps]


def _layer(row: LayerRow, sides: tuple[int, int], stored: dict[str, Any], activation_bits: int) -> NetworkLayer:
    name, kind, shape = row[0], row[1], tuple(row[2])
    is_transposed, is_depthwise = kind == "ConvTranspose2d", len(shape) > 2 and shape[0] > 1 == shape[1]  # noqa: PLR2004 - a convolution
    read, written = (side * side for side in sides)
    inputs = shape[0] if is_depthwise or is_transposed else shape[1]
    outputs = shape[1] if is_transposed else shape[0]
    elements = math.prod(shape)
    return NetworkLayer(
        name=name,
        shape=shape,
        scheme=stored["scheme"] or PLAIN,
        dense_bytes=elements * 2,
        bytes=stored["bytes"],
        flops=2 * elements * (read if is_transposed else written),
        activation_bytes=(inputs * read + outputs * written) * activation_bits // 8,
        is_depthwise=is_depthwise,
    )


def _mean(figures: Any) -> float:  # noqa: ANN401 - any iterable of numbers
    found = list(figures)
    return sum(found) / len(found) if found else math.nan


@cache
def _networks() -> dict[str, Any]:
    networks: dict[str, Any] = json.loads((HERE / "networks.json").read_text(encoding="utf-8"))
    return networks


@cache
def _maps() -> dict[str, dict[str, tuple[int, int]]]:
    maps: dict[str, dict[str, tuple[int, int]]] = json.loads((HERE / "feature_maps.json").read_text(encoding="utf-8"))
    return maps
