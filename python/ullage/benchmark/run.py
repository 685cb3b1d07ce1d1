"""All strategies on all instances."""

import datetime as dt
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import psutil

import ullage
from ullage.benchmark.instance import Instance
from ullage.benchmark.process import Limits, execute
from ullage.benchmark.row import Journal, Key, Row, key_of, row_of
from ullage.benchmark.strategy import Strategy, strategies
from ullage.errors import ArgumentError
from ullage.solving import Interrupted

__all__ = ["run"]

SHARE_OF_MEMORY = 0.8


def run(
    instances: Sequence[Instance],
    using: Sequence[str | Strategy],
    *,
    time_limit: float = 10.0,
    grace: float = 5.0,
    jobs: int = 1,
    memory_limit: int | None = None,
    journal: str | Path | None = None,
    resume: bool = False,
    told: Callable[[Row, int, int], None] | None = None,
) -> list[Row]:
    """Run each strategy on each instance, each time in a process of its own, and check every answer.

    A strategy is told to take `time_limit` seconds and killed `grace` seconds after. `memory_limit` bytes, by default
    what is available shared by `jobs`, are what its processes may hold. With a `journal`, every row is appended to that
    file of JSON lines as it comes; with `resume`, rows that are there already are taken as they are. `told` is called
    with each new row, the number of rows there are and the number there will be. Ctrl-C raises `Interrupted`, a
    `KeyboardInterrupt` that holds the rows so far.

    Raises `ArgumentError` for a strategy that nobody knows, limits that make no sense, or a journal that is there
    without `resume`.
    """
    found = [one for text in using for one in ([text] if isinstance(text, Strategy) else strategies([text]))]
    limits = _limits(time_limit, grace, jobs, memory_limit)
    if len({strategy.name for strategy in found}) < len(found):
        raise _refused("using", "two strategies of one name")
    kept = Journal(Path(journal)) if journal is not None else None
    known = _known(kept, resume=resume)
    work: list[tuple[Strategy, Instance]] = []
    rows: list[Row] = []
    for instance in instances:
        for strategy in found:
            old = known.get(key_of(row_of(strategy, instance, time_limit, status="error")))
            if old is None:
                work.append((strategy, instance))
            else:
                rows.append(replace(old, target=instance.target))
    if kept is not None:
        kept.begin(_header(limits, jobs))
    total = len(rows) + len(work)

    def add(row: Row) -> None:
        rows.append(row)  # before it is kept: Ctrl-C may come in between
        if kept is not None:
            kept.add(row)
        if told is not None:
            told(row, len(rows), total)

    _work(work, limits, jobs, add, rows)
    return rows


def _work(
    work: list[tuple[Strategy, Instance]], limits: Limits, jobs: int, add: Callable[[Row], None], rows: list[Row]
) -> None:
    stop = Event()
    left = iter(work)
    running: set[Future[Row | None]] = set()
    with ThreadPoolExecutor(jobs, thread_name_prefix="ullage-bench") as threads:
        try:
            while True:
                while len(running) < jobs and (next_one := next(left, None)) is not None:
                    running.add(threads.submit(execute, *next_one, limits, stop))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    row = future.result()
                    if row is not None:
                        add(row)
        except KeyboardInterrupt:
            raise Interrupted(best=rows) from None
        finally:
            stop.set()


def _known(journal: Journal | None, *, resume: bool) -> dict[Key, Row]:
    if journal is None:
        if resume:
            raise _refused("resume", "there is no journal to resume from")
        return {}
    if not resume and journal.path.exists():
        raise _refused("journal", f"{journal.path} is there already; resume it, or name another file")
    return {key_of(row): row for row in journal.rows()} if resume else {}


def _limits(time_limit: float, grace: float, jobs: int, memory: int | None) -> Limits:
    for name, value in (("time_limit", time_limit), ("grace", grace)):
        if not 0 <= value < float("inf"):
            raise _refused(name, f"{value} is not a number of seconds, zero or more")
    if jobs < 1:
        raise _refused("jobs", f"{jobs} is less than 1")
    if memory is not None and memory < 1:
        raise _refused("memory_limit", f"{memory} bytes are too little")
    available = int(psutil.virtual_memory().available * SHARE_OF_MEMORY / jobs)
    return Limits(float(time_limit), float(grace), memory if memory is not None else available)


def _header(limits: Limits, jobs: int) -> dict[str, Any]:
    """Give what must be known to read times rightly."""
    return {
        "ullage": ullage.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "began": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "time_limit_s": limits.time_limit,
        "grace_s": limits.grace,
        "memory_bytes": limits.memory,
        "jobs": jobs,
    }


def _refused(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)
