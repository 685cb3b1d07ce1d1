"""A pool for Prometheus: `pip install 'ullage[metrics]'`.

    from prometheus_client import REGISTRY
    REGISTRY.register(PoolCollector(pool))

A cluster's pool is shown by `PoolCollector(cluster.observer)`, from any one process of the cluster.
Every scrape is one snapshot. `dashboard()` gives a Grafana dashboard over these metrics.
"""

import itertools
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from ullage._core import VERSION
from ullage.pool import Pool
from ullage.serving.extras import needed
from ullage.serving.families import DURATIONS, FAMILIES, Family
from ullage.serving.log import BUCKETS_S, Histogram
from ullage.serving.snapshot import Snapshot, Source, snapshot_of, source_of

needed("prometheus_client", "metrics")

from prometheus_client import CollectorRegistry  # noqa: E402 - said in one sentence where it is missing
from prometheus_client.core import (  # noqa: E402
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

__all__ = ["PoolCollector", "dashboard", "scrape"]


class PoolCollector(Collector):
    """Collects the metrics of a pool at each scrape."""

    def __init__(self, pool: Pool | Source) -> None:
        """Show `pool`, or what an observer that already watches it has counted, `Cluster.observer` among them.

        A pool's log is short. Unless an observer is given, and runs, what a busy pool does between two scrapes may be
        more than the log holds; `ullage_event_gaps_total` says how often that was.
        """
        self._source = source_of(pool)

    def collect(self) -> Iterator[Metric]:
        """Give every metric of one snapshot; none of a pool that is gone."""
        snapshot = snapshot_of(self._source)
        if snapshot is not None:
            yield from _metrics(snapshot)

    def describe(self) -> list[Metric]:
        """Give the names alone, so that registering takes no snapshot."""
        return [_empty(family) for family in FAMILIES]


def scrape(source: Source, accept: str = "") -> tuple[bytes, str]:
    """Give a scrape of one pool, in the format that an `Accept` header asks for, and its content type."""
    registry = CollectorRegistry()
    registry.register(PoolCollector(source))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def dashboard() -> dict[str, Any]:
    """Give a dashboard for Grafana, to be imported or provisioned; it asks for its data source."""
    found: dict[str, Any] = json.loads((files("ullage.serving") / "grafana.json").read_text(encoding="utf-8"))
    return found


def _metrics(snapshot: Snapshot) -> Iterator[Metric]:
    yield InfoMetricFamily("ullage_build", "The package that serves.", value={"version": VERSION})
    for family in FAMILIES:
        metric = _empty(family)
        for labels, value in family.read(snapshot):
            metric.add_metric(labels, value)
        yield metric
    for duration in DURATIONS:
        histogram = HistogramMetricFamily(duration.name, duration.help, labels=["model"])
        for model, counts in duration.read(snapshot).items():
            histogram.add_metric([model], _buckets(counts), counts.sum_s)
        yield histogram


def _empty(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return kind(family.name, family.help, labels=family.labels)


def _buckets(histogram: Histogram) -> list[Any]:
    """Give cumulative counts by upper end."""
    ends = [*(str(float(end)) for end in BUCKETS_S), "+Inf"]
    return list(zip(ends, itertools.accumulate(histogram.counts), strict=True))
