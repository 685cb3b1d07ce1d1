"""What a pool looks like from outside, as data: the one place that reads it for HTTP, Prometheus and OpenTelemetry."""

import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from ullage import machine
from ullage.errors import PoolClosedError, UllageError, UnknownModelError
from ullage.machine.pressure import Pressure
from ullage.pool import Pool
from ullage.serving.log import START, Histogram, Tally, since

__all__ = ["Observer", "Snapshot", "Source", "snapshot_of", "source_of"]

LOOK_MIN_S, LOOK_MAX_S = 0.25, 10.0
RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A pool at one instant. Bytes are integers, durations seconds."""

    accounts: list[dict[str, Any]]
    """`account` (its path), `booked`, `peak`, `limit` (`None` without one) and `available` (`None` without any)."""
    models: list[dict[str, Any]]
    """The rows of `Pool.status()`, with `oldest_wait_s`, `None` where nobody waits."""
    grants: dict[str, int]
    abandoned: dict[str, int]
    failures: dict[str, int]
    deaths: dict[str, int]
    refusals: dict[tuple[str, str], int]
    """By model and reason."""
    evictions: dict[tuple[str, str], int]
    """By model and cause; their sum is what the pool says, and `unknown` what the log did not explain."""
    waits: dict[str, Histogram]
    loads: dict[str, Histogram]
    gaps: int
    """How often events were lost before anybody looked; the counts by reason and cause are too low then."""
    pressure: Pressure | None
    """How much time was lost for want of memory, in the innermost control group that says, or on the host."""

    def as_dict(self) -> dict[str, Any]:
        """Give it ready for JSON."""
        return {
            "accounts": self.accounts,
            "models": self.models,
            "grants": self.grants,
            "abandoned": self.abandoned,
            "load_failures": self.failures,
            "worker_deaths": self.deaths,
            "refusals": [{"model": model, "reason": why, "count": n} for (model, why), n in self.refusals.items()],
            "evictions": [{"model": model, "cause": why, "count": n} for (model, why), n in self.evictions.items()],
            "event_gaps": self.gaps,
            "pressure": None if self.pressure is None else _pressure(self.pressure),
        }


def _pressure(pressure: Pressure) -> dict[str, Any]:
    stalls = {"some": pressure.some, "full": pressure.full}
    return {
        kind: {"avg10": stall.avg10, "avg60": stall.avg60, "total_s": stall.total_us / 1e6}
        for kind, stall in stalls.items()
        if stall is not None
    }


class Source(Protocol):
    """Whoever gives snapshots: an `Observer` of a pool here, the `observer` of a cluster's pool elsewhere."""

    @property
    def is_alive(self) -> bool:
        """Whether there is still something to see."""

    def snapshot(self) -> Snapshot:
        """Look, and give all that is known. Raises `PoolClosedError` if there is nothing to see any more."""


class Observer:
    """Counts what a pool does, by reading its event log.

    It looks whenever somebody asks. As a context manager it also looks by itself, twice in the time that the log takes
    to fill, so that the counts are whole. It keeps no pool alive.
    """

    def __init__(self, pool: Pool) -> None:
        """Watch `pool`, from the oldest event that it still has."""
        self._pool = weakref.ref(pool)
        self._lock = threading.Lock()
        self._tally = Tally()
        self._cursor = START
        self._outside: Counter[tuple[str, str]] = Counter()
        self._epoch: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def pool(self) -> Pool:
        """The pool. Raises `PoolClosedError` if it is gone."""
        pool = self._pool()
        if pool is None:
            raise PoolClosedError("the pool that was to be observed is gone")
        return pool

    @property
    def is_alive(self) -> bool:
        """Whether the pool still exists."""
        return self._pool() is not None

    def __enter__(self) -> Self:
        """Look by itself from now on."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="ullage-observer", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop that."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def count_refusal(self, model: str, reason: str) -> None:
        """Count a refusal that the pool itself knows nothing of."""
        with self._lock:
            self._outside[model, reason] += 1

    def snapshot(self) -> Snapshot:
        """Look, and give all that is known."""
        pool = self.pool
        self._look(pool)
        models = pool.status()
        with self._lock:
            tally, now = self._tally, self._now()
            oldest: dict[str, float] = {}
            for waiting in tally.pending.values():
                oldest.setdefault(waiting.model, waiting.since_s)
            for row in models:
                begun = oldest.get(row["name"]) if row["waiting"] else None
                row["oldest_wait_s"] = None if begun is None else max(0.0, now - begun)
            return Snapshot(
                accounts=[_account(account) for account in _accounts(pool)],
                models=models,
                grants=dict(tally.grants),
                abandoned=dict(tally.abandoned),
                failures=dict(tally.failures),
                deaths=dict(tally.deaths),
                refusals=dict(tally.refusals + self._outside),
                evictions=_explained(models, tally.evictions),
                waits={model: histogram.copy() for model, histogram in tally.waits.items()},
                loads={model: histogram.copy() for model, histogram in tally.loads.items()},
                gaps=tally.gaps,
                pressure=_stalls(),
            )

    def plan(self, model: str) -> dict[str, Any] | None:
        """Give the pool's plan for a request of `model` that comes now; `None` where there is no such model."""
        try:
            return self.pool.plan(model)
        except UnknownModelError:
            return None

    def retry_after_s(self, plan: Mapping[str, Any] | None) -> float:
        """Guess when a request for which `plan` holds is worth another try: after the loads ahead of it.

        The pool's own `eta_s` where the plan has one; else the mean load so far, times those ahead and the own.
        """
        if plan is None:
            return RETRY_MIN_S
        seconds = plan.get("eta_s")
        if seconds is None:
            with self._lock:
                loads = list(self._tally.loads.values())
                count, total_s = sum(load.count for load in loads), sum(load.sum_s for load in loads)
            seconds = total_s / count * (1 + plan.get("ahead", 0)) if count else 0.0
        return min(max(float(seconds), RETRY_MIN_S), RETRY_MAX_S)

    def _now(self) -> float:
        """Give the time on the pool's clock, as far as events have shown it: a little late at most, never early."""
        return 0.0 if self._epoch is None else time.monotonic() - self._epoch

    def _look(self, pool: Pool) -> float:
        """Count what is new; give after how long to look again."""
        with self._lock:
            rows = pool.events()
            seen_at = time.monotonic()
            fresh = since(rows, self._cursor)
            self._tally.take(fresh)
            self._cursor = fresh.cursor
            if not rows:
                return LOOK_MAX_S
            began = seen_at - float(rows[-1]["time_s"])
            self._epoch = began if self._epoch is None else min(self._epoch, began)
            span_s = float(rows[-1]["time_s"] - rows[0]["time_s"])
        return min(max(span_s / 2, LOOK_MIN_S), LOOK_MAX_S)

    def _run(self) -> None:
        pause_s = LOOK_MIN_S
        while not self._stop.wait(pause_s):
            pool = self._pool()
            if pool is None:
                return
            pause_s = self._look(pool)
            del pool


def source_of(pool: Pool | Source) -> Source:
    """Give what shows a pool."""
    return Observer(pool) if isinstance(pool, Pool) else pool


def snapshot_of(source: Source) -> Snapshot | None:
    """Give a snapshot; `None` where there is nothing to see any more."""
    with suppress(PoolClosedError):
        return source.snapshot() if source.is_alive else None
    return None


def _accounts(pool: Pool) -> list[Any]:
    """Give the accounts that the pool books on, one for each memory."""
    several: Mapping[str, Any] | None = getattr(pool, "domains", None)
    return list(several.values()) if several else [pool.account]


def _account(account: Any) -> dict[str, Any]:  # noqa: ANN401 - of a ledger, or one that processes share
    return {
        "account": account.path,
        "booked": account.used,
        "peak": account.peak,
        "limit": account.limit,
        "available": account.available,
    }


def _explained(models: list[dict[str, Any]], known: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Give the evictions by cause, so that they add up to what the pool counted."""
    causes: Counter[tuple[str, str]] = Counter(known)
    explained: Counter[str] = Counter()
    for (model, _), count in known.items():
        explained[model] += count
    for row in models:
        missing = row["evictions"] - explained[row["name"]]
        if missing > 0:
            causes[row["name"], "unknown"] += missing
    return dict(causes)


def _stalls() -> Pressure | None:
    with suppress(OSError, UllageError):
        found = machine.control_groups()
        return next((group.pressure for group in found.groups if group.pressure is not None), found.pressure)
    return None
