"""What Prometheus and OpenTelemetry are shown of a pool: by the conventions, equal to each other, and true."""

import gc
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from pool_world import PATIENCE_S, Thing, in_thread, row, until, use
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as families

from ullage import Ledger, Pool
from ullage.errors import BudgetExceeded, LeaseTimeoutError, LoadFailedError
from ullage.serving.families import DURATIONS, FAMILIES
from ullage.serving.metrics import PoolCollector, dashboard, scrape
from ullage.serving.snapshot import Observer
from ullage.serving.telemetry import instrument

UNITS = {"bytes", "seconds"}
NOT_BASE = {"kb", "mb", "gb", "kib", "mib", "gib", "ms", "us", "ns", "milliseconds", "minutes", "percent"}


def lived(pool: Pool) -> Pool:
    """Have a pool load, evict, refuse and fail."""

    def fail() -> Thing:
        raise OSError("no such disk")

    for name in ("a", "b"):
        pool.register(name, load=Thing, footprint=60, workspace=5)
    pool.register("huge", load=Thing, footprint=101)
    pool.register("broken", load=fail, footprint=10)
    for name in "aabab":
        use(pool, name)
    with pytest.raises(BudgetExceeded):
        use(pool, "huge")
    with pytest.raises(LoadFailedError):
        use(pool, "broken")
    with pool.lease_sync("b"), pytest.raises(LeaseTimeoutError):
        use(pool, "a", timeout=0.02)
    return pool


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Give the values of a scrape by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(text)
        for sample in family.samples
    }


def text_of(pool: Pool) -> str:
    return scrape(Observer(pool))[0].decode()


def test_a_scrape_says_what_the_pool_says(pool: Pool) -> None:
    found = samples(text_of(lived(pool)))
    for model in pool.status():
        name = ("model", model["name"])
        for kind in ("estimated", "booked", "measured"):
            value = found.get(("ullage_model_footprint_bytes", (("kind", kind), name)))
            assert value == model[kind]
        assert found["ullage_cold_starts_total", (name,)] == model["loads"]
        assert found["ullage_model_leases", (name,)] == model["leases"]
        assert found["ullage_model_state", (name, ("state", model["state"]))] == 1
        states = [
            value for (metric, labels), value in found.items() if metric == "ullage_model_state" and name in labels
        ]
        assert sum(states) == 1
        gone = [
            value for (metric, labels), value in found.items() if metric == "ullage_evictions_total" and name in labels
        ]
        assert sum(gone) == model["evictions"]
    account = (("account", "pool"),)
    assert found["ullage_account_booked_bytes", account] == pool.account.used == 65
    assert found["ullage_account_available_bytes", account] == 35
    assert ("ullage_account_limit_bytes", account) not in found
    assert found["ullage_leases_granted_total", (("model", "a"),)] == 3
    assert found["ullage_leases_granted_total", (("model", "b"),)] == 3
    assert found["ullage_load_failures_total", (("model", "broken"),)] == 3, "tried twice more"
    for refused, reason in (("huge", "too_large"), ("broken", "load_failed"), ("a", "timeout")):
        assert found["ullage_refusals_total", (("model", refused), ("reason", reason))] == 1
    assert found["ullage_evictions_total", (("cause", "room"), ("model", "a"))] == 2
    assert found["ullage_lease_wait_seconds_count", (("model", "a"),)] == 3
    assert found["ullage_load_seconds_count", (("model", "b"),)] == 2
    assert found["ullage_event_gaps_total", ()] == 0


def test_names_follow_the_conventions(pool: Pool) -> None:
    for family in families(text_of(lived(pool))):
        assert re.fullmatch(r"ullage(_[a-z]+)+", family.name), family.name
        words = family.name.split("_")
        assert not NOT_BASE & set(words), family.name
        assert all(word not in UNITS for word in words[:-1]), "a unit stands at the end"
        assert words[-1] not in {"gauge", "counter", "histogram", "count", "sum", "bucket"}, "no kind in a name"
        assert family.documentation.endswith("."), family.name
        assert family.documentation.isascii()
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter"), sample.name
            assert set(sample.labels) <= {"model", "account", "kind", "state", "reason", "cause", "le", "version"}
            assert not {value for value in sample.labels.values() if not value}, "an empty label is no label"


def test_each_metric_has_help_and_type_once_and_before_its_samples(pool: Pool) -> None:
    seen: list[str] = []
    current = ""
    for line in text_of(lived(pool)).splitlines():
        if line.startswith("# HELP"):
            current = line.split()[2]
            assert current not in seen
            seen.append(current)
        elif line.startswith("# TYPE"):
            assert line.split()[2] == current
        else:
            assert re.match(rf"{current}(_bucket|_sum|_count)?[{{ ]", line), line
    expected = {family.name + ("_total" if family.kind == "counter" else "") for family in FAMILIES}
    assert expected | {duration.name for duration in DURATIONS} <= set(seen)


def test_open_metrics_are_served_to_who_asks_for_them(pool: Pool) -> None:
    body, content_type = scrape(Observer(lived(pool)), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    kinds = {family.name: family.type for family in open_metrics(body.decode())}  # type: ignore[no-untyped-call]
    assert kinds["ullage_cold_starts"] == "counter"
    assert kinds["ullage_lease_wait_seconds"] == "histogram"


def test_buckets_are_cumulative_and_end_with_all(pool: Pool) -> None:
    (family,) = [found for found in families(text_of(lived(pool))) if found.name == "ullage_lease_wait_seconds"]
    of_a = [sample for sample in family.samples if sample.labels.get("model") == "a"]
    buckets = [sample.value for sample in of_a if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == next(sample.value for sample in of_a if sample.name.endswith("_count"))


def test_the_oldest_wait_grows_and_ends(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    observer = Observer(pool)

    def age() -> float | None:
        (model,) = observer.snapshot().models
        found = model["oldest_wait_s"]
        return None if found is None else float(found)

    assert age() is None
    with pool.lease_sync("a"):
        waiter = in_thread(lambda: use(pool, "a"))
        until(lambda: row(pool, "a")["waiting"] == 1)
        first = age()
        until(lambda: (age() or 0) > 0.05)
        assert first is not None
        assert first < (age() or 0)
    assert waiter.result(PATIENCE_S) == "thing"
    assert age() is None


def test_a_collector_registers_without_a_look_and_outlives_its_pool() -> None:
    registry = CollectorRegistry()
    pool = Pool(Ledger(100))
    registry.register(PoolCollector(pool))
    assert b"ullage_account_booked_bytes" in generate_latest(registry)
    pool.close()
    del pool
    gc.collect()
    assert generate_latest(registry) == b""


def read_meter(reader: InMemoryMetricReader) -> Iterator[tuple[str, str, frozenset[tuple[str, Any]], float]]:
    """Give name, unit, labels and value of each data point."""
    data = reader.get_metrics_data()
    assert data is not None
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    assert isinstance(point, NumberDataPoint)
                    yield metric.name, metric.unit or "", frozenset((point.attributes or {}).items()), point.value


def test_a_meter_says_what_a_scrape_says(pool: Pool) -> None:
    lived(pool)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrument(pool, provider)
    points = {(name, labels): (value, unit) for name, unit, labels, value in read_meter(reader)}
    found = samples(text_of(pool))
    assert points["ullage.account.booked", frozenset({("account", "pool")})] == (65, "By")
    names = {
        "ullage.model.footprint": "ullage_model_footprint_bytes",
        "ullage.queue.requests": "ullage_queue_requests",
        "ullage.cold_starts": "ullage_cold_starts_total",
        "ullage.refusals": "ullage_refusals_total",
        "ullage.evictions": "ullage_evictions_total",
        "ullage.lease_wait.count": "ullage_lease_wait_seconds_count",
        "ullage.load.time": "ullage_load_seconds_sum",
    }
    compared = 0
    for (name, labels), (value, _) in points.items():
        if name in names:
            assert found[names[name], tuple(sorted(labels))] == value
            compared += 1
    assert compared > 20
    assert {name for name, _ in points} >= set(names)
    provider.shutdown()


def queried(board: dict[str, Any]) -> list[str]:
    """Give every query of a dashboard."""
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    variables = [found["query"]["query"] for found in board["templating"]["list"] if found["type"] == "query"]
    return queries + variables


def test_the_dashboard_asks_for_metrics_and_labels_that_exist(pool: Pool) -> None:
    shown: dict[str, set[str]] = {}
    for family in families(text_of(lived(pool))):
        for sample in family.samples:
            shown.setdefault(sample.name, set()).update(sample.labels)
    shown["ullage_account_limit_bytes"] = {"account"}  # of accounts that have one
    shown["ullage_memory_stall_seconds_total"] = {"kind"}  # of kernels that say
    asked: set[str] = set()
    for query in queried(dashboard()):
        names = re.findall(r"\bullage_\w+", query)
        assert names, query
        assert query.count("(") == query.count(")"), query
        for name in names:
            assert name in shown, name
        for name, labels in re.findall(r"(ullage_\w+)\{([^}]*)\}", query):
            wanted = set(re.findall(r"(\w+)=~?\"", labels))
            assert wanted <= shown[name] | {"instance"}, query
        for name in re.findall(r"by \(([^)]*)\)", query):
            assert {part.strip() for part in name.split(",")} <= shown[names[0]] | {"le"}, query
        asked |= set(names)
    kinds = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    every = {family.name + ("_total" if family.kind == "counter" else "") for family in FAMILIES}
    assert kinds >= (every | {duration.name for duration in DURATIONS}) - {"ullage_model_pinned"}


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    board = dashboard()
    assert json.loads(json.dumps(board)) == board
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
