"""A pool for OpenTelemetry: `pip install 'ullage[metrics]'`, and an SDK with a reader of your choice.

The instruments are those of the Prometheus collector, named as OpenTelemetry does: `ullage.account.booked` in `By`,
`ullage.cold_starts`. One snapshot serves all instruments of a collection. Durations come as two sums, how many and how
long, because an instrument that is only observed cannot be a histogram.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from ullage._core import VERSION
from ullage.pool import Pool
from ullage.serving.extras import needed
from ullage.serving.families import DURATIONS, FAMILIES, DurationFamily, Family
from ullage.serving.snapshot import Snapshot, Source, snapshot_of, source_of

needed("opentelemetry.metrics", "metrics")

from opentelemetry import metrics  # noqa: E402 - said in one sentence where it is missing

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

__all__ = ["instrument"]

UNITS = {"": "1", "bytes": "By", "seconds": "s"}
SAME_S = 0.1
"""How old a snapshot may be that another instrument of the same collection took."""

Read: TypeAlias = Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]


def instrument(pool: Pool | Source, provider: "MeterProvider | None" = None) -> None:
    """Show a pool, or what an observer counted, through a meter of `provider`, else of the global one.

    `Cluster.observer` is such an observer, too. A pool that is gone shows nothing.
    """
    latest = _Latest(source_of(pool))
    meter = metrics.get_meter("ullage", VERSION, provider)
    for family in FAMILIES:
        make = meter.create_observable_counter if family.kind == "counter" else meter.create_observable_gauge
        make(_name(family), [_reader(latest, family)], UNITS[family.unit], family.help)
    for duration in DURATIONS:
        base = duration.name.removesuffix("_seconds").replace("ullage_", "ullage.")
        counts, sums = _counts(latest, duration), _sums(latest, duration)
        meter.create_observable_counter(f"{base}.count", [counts], "1", f"{duration.help} How many.")
        meter.create_observable_counter(f"{base}.time", [sums], "s", f"{duration.help} How long in all.")


class _Latest:
    """A snapshot for the time of one collection."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._taken_at = 0.0
        self._snapshot: Snapshot | None = None

    def __call__(self) -> Snapshot | None:
        with self._lock:
            if self._snapshot is None or time.monotonic() - self._taken_at > SAME_S:
                self._snapshot = snapshot_of(self._source)
                self._taken_at = time.monotonic()
            return self._snapshot


def _name(family: Family) -> str:
    """Give `ullage.account.booked` for `ullage_account_booked_bytes`: units stand beside names there."""
    first, *rest = family.name.removesuffix(f"_{family.unit}" if family.unit else "").split("_")
    group = rest[0] if rest[0] in {"account", "model", "queue", "memory"} else None
    words = [first, group, "_".join(rest[1:])] if group else [first, "_".join(rest)]
    return ".".join(words)


def _reader(latest: _Latest, family: Family) -> Read:
    def read(_options: Any) -> Iterator[metrics.Observation]:  # noqa: ANN401 - not looked at
        snapshot = latest()
        if snapshot is not None:
            for labels, value in family.read(snapshot):
                yield metrics.Observation(value, dict(zip(family.labels, labels, strict=True)))

    return read


def _counts(latest: _Latest, duration: DurationFamily) -> Read:
    def read(_options: Any) -> Iterator[metrics.Observation]:  # noqa: ANN401 - not looked at
        snapshot = latest()
        if snapshot is not None:
            for model, histogram in duration.read(snapshot).items():
                yield metrics.Observation(histogram.count, {"model": model})

    return read


def _sums(latest: _Latest, duration: DurationFamily) -> Read:
    def read(_options: Any) -> Iterator[metrics.Observation]:  # noqa: ANN401 - not looked at
        snapshot = latest()
        if snapshot is not None:
            for model, histogram in duration.read(snapshot).items():
                yield metrics.Observation(histogram.sum_s, {"model": model})

    return read
