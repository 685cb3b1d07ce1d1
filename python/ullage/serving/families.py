"""Every metric of a pool: its name, kind, unit and help, and how to read it off a snapshot.

One table, so that Prometheus and OpenTelemetry say the same. Names and units follow the conventions of Prometheus:
base units, a unit at the end of the name, `_total` for what only grows.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ullage.serving.log import Histogram
from ullage.serving.snapshot import Snapshot

__all__ = ["DURATIONS", "FAMILIES", "STATES", "DurationFamily", "Family"]

Sample: TypeAlias = tuple[tuple[str, ...], float]

STATES = (
    "cold",
    "loading",
    "ready",
    "draining",
    "unloading",
    "lost",
    "stuck",
    "failed",
    "compressing",
    "compressed",
    "promoting",
)
"""The states that a model may be in. One that is not among them is shown as it is."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric."""

    name: str
    """Without the `_total` of a counter."""
    kind: Literal["gauge", "counter"]
    unit: Literal["", "bytes", "seconds"]
    help: str
    labels: tuple[str, ...]
    read: Callable[[Snapshot], Iterator[Sample]]


@dataclass(frozen=True, slots=True)
class DurationFamily:
    """A metric of how long something takes, in seconds, by model."""

    name: str
    help: str
    read: Callable[[Snapshot], Mapping[str, Histogram]]


def _of_accounts(key: str) -> Callable[[Snapshot], Iterator[Sample]]:
    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for row in snapshot.accounts:
            if row[key] is not None:
                yield (row["account"],), row[key]

    return read


def _of_models(key: str) -> Callable[[Snapshot], Iterator[Sample]]:
    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for row in snapshot.models:
            if row[key] is not None:
                yield (row["name"],), row[key]

    return read


def _of_counts(counts: Callable[[Snapshot], Mapping[str, int]]) -> Callable[[Snapshot], Iterator[Sample]]:
    def read(snapshot: Snapshot) -> Iterator[Sample]:
        found = counts(snapshot)
        for row in snapshot.models:
            yield (row["name"],), found.get(row["name"], 0)

    return read


def _footprints(snapshot: Snapshot) -> Iterator[Sample]:
    for row in snapshot.models:
        for kind in ("estimated", "booked", "measured"):
            if row[kind] is not None:
                yield (row["name"], kind), _bytes(row[kind])


def _bytes(value: Any) -> int:  # noqa: ANN401 - bytes, or bytes by memory
    return sum(value.values()) if isinstance(value, Mapping) else int(value)


def _states(snapshot: Snapshot) -> Iterator[Sample]:
    for row in snapshot.models:
        for state in dict.fromkeys((*STATES, row["state"])):
            yield (row["name"], state), float(row["state"] == state)


def _ages(snapshot: Snapshot) -> Iterator[Sample]:
    for row in snapshot.models:
        yield (row["name"],), row["oldest_wait_s"] or 0.0


def _refusals(snapshot: Snapshot) -> Iterator[Sample]:
    yield from snapshot.refusals.items()


def _evictions(snapshot: Snapshot) -> Iterator[Sample]:
    yield from snapshot.evictions.items()


def _gaps(snapshot: Snapshot) -> Iterator[Sample]:
    yield (), snapshot.gaps


def _stalls(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.pressure is not None:
        yield ("some",), snapshot.pressure.some.total_us / 1e6
        if snapshot.pressure.full is not None:
            yield ("full",), snapshot.pressure.full.total_us / 1e6


MODEL = ("model",)
ACCOUNT = ("account",)

FAMILIES = (
    Family(
        "ullage_account_booked_bytes", "gauge", "bytes", "Bytes booked in the ledger.", ACCOUNT, _of_accounts("booked")
    ),
    Family("ullage_account_peak_bytes", "gauge", "bytes", "The most ever booked.", ACCOUNT, _of_accounts("peak")),
    Family(
        "ullage_account_limit_bytes",
        "gauge",
        "bytes",
        "The account's own limit, where it has one.",
        ACCOUNT,
        _of_accounts("limit"),
    ),
    Family(
        "ullage_account_available_bytes",
        "gauge",
        "bytes",
        "What could be booked now under every limit above.",
        ACCOUNT,
        _of_accounts("available"),
    ),
    Family(
        "ullage_model_footprint_bytes",
        "gauge",
        "bytes",
        "What a model takes: estimated before it was loaded, booked now, measured at most.",
        ("model", "kind"),
        _footprints,
    ),
    Family("ullage_model_state", "gauge", "", "1 for the state that a model is in.", ("model", "state"), _states),
    Family("ullage_model_pinned", "gauge", "", "1 for a model that stays once loaded.", MODEL, _of_models("pinned")),
    Family("ullage_model_leases", "gauge", "", "Leases now.", MODEL, _of_models("leases")),
    Family("ullage_queue_requests", "gauge", "", "Requests that wait.", MODEL, _of_models("waiting")),
    Family(
        "ullage_queue_oldest_age_seconds",
        "gauge",
        "seconds",
        "For how long the oldest waiting request has waited; 0 where none does.",
        MODEL,
        _ages,
    ),
    Family("ullage_cold_starts", "counter", "", "Loads that succeeded.", MODEL, _of_models("loads")),
    Family("ullage_load_failures", "counter", "", "Loads that failed.", MODEL, _of_counts(lambda s: s.failures)),
    Family("ullage_worker_deaths", "counter", "", "Worker processes that died.", MODEL, _of_counts(lambda s: s.deaths)),
    Family("ullage_leases_granted", "counter", "", "Leases granted.", MODEL, _of_counts(lambda s: s.grants)),
    Family(
        "ullage_requests_abandoned",
        "counter",
        "",
        "Requests whose clients went while they waited.",
        MODEL,
        _of_counts(lambda s: s.abandoned),
    ),
    Family("ullage_refusals", "counter", "", "Requests refused.", ("model", "reason"), _refusals),
    Family(
        "ullage_evictions",
        "counter",
        "",
        "Times that a model was sent away: for room, by time, under pressure, at the close.",
        ("model", "cause"),
        _evictions,
    ),
    Family(
        "ullage_event_gaps",
        "counter",
        "",
        "Times that events were lost uncounted; counts by reason and cause are too low then.",
        (),
        _gaps,
    ),
    Family(
        "ullage_memory_stall_seconds",
        "counter",
        "seconds",
        "Time in which some or all tasks waited for memory (PSI), where the kernel says.",
        ("kind",),
        _stalls,
    ),
)

DURATIONS = (
    DurationFamily("ullage_lease_wait_seconds", "From a request to its grant.", lambda s: s.waits),
    DurationFamily("ullage_load_seconds", "From the begin of a load to its success.", lambda s: s.loads),
)
