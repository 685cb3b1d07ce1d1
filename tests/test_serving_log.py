"""A pool's log read on and on: nothing twice, nothing left out unsaid; and what is counted of it."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_world import PATIENCE_S, Thing, until, use

from ullage import Ledger, Pool
from ullage.serving.log import BUCKETS_S, START, Histogram, Tally, since
from ullage.serving.snapshot import Observer


def event(time_s: float, number: int) -> dict[str, Any]:
    return {"time_s": time_s, "event": "request", "model": "a", "request": number}


@given(st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=12))
def test_a_reader_sees_every_event_once(batches: list[list[int]]) -> None:
    log: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    cursor, now = START, 0
    for batch in batches:
        for step in batch:
            now += step  # 0: another event at the same instant, also after it was read
            log.append(event(float(now), len(log)))
        fresh = since(log, cursor)
        assert not fresh.has_gap
        seen += fresh.rows
        cursor = fresh.cursor
    assert seen == log


@given(st.lists(st.integers(0, 15), max_size=12), st.integers(1, 6))
def test_a_reader_of_a_short_log_learns_of_every_loss(batches: list[int], kept: int) -> None:
    log: deque[dict[str, Any]] = deque(maxlen=kept)
    cursor, count, read = START, 0, 0
    for batch in batches:
        for _ in range(batch):
            log.append(event(float(count), count))
            count += 1
        fresh = since(list(log), cursor)
        lost = count - read - len(fresh.rows)
        assert lost >= 0
        if lost and cursor != START:
            assert fresh.has_gap
        numbers = [row["request"] for row in fresh.rows]
        assert numbers == list(range(count - len(numbers), count))
        read, cursor = count, fresh.cursor


def test_an_empty_log_moves_nobody() -> None:
    assert since([], START) == ([], START, False)


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_a_histogram_counts_each_duration_once(durations: list[float]) -> None:
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    for index, end in enumerate(BUCKETS_S):
        assert sum(histogram.counts[: index + 1]) == sum(seconds <= end for seconds in durations)
    assert (histogram.count, histogram.sum_s) == (len(durations), sum(durations))


def test_causes_of_evictions() -> None:
    pool = Pool(Ledger(100))
    for name in "ab":
        pool.register(name, load=Thing, footprint=60)
    use(pool, "a")
    use(pool, "b")
    pool.close(PATIENCE_S)
    tally = Tally()
    tally.take(since(pool.events(), START))
    assert tally.evictions == {("a", "room"): 1, ("b", "close"): 1}
    assert tally.grants == {"a": 1, "b": 1}
    assert not tally.pending


@pytest.mark.parametrize("cause", ["pressure", None])
def test_a_cause_that_is_told_or_is_the_clock(cause: str | None) -> None:
    row: dict[str, Any] = {"time_s": 1.0, "event": "unload", "model": "a"}
    tally = Tally()
    tally.take(since([row | ({"cause": cause} if cause else {})], START))
    assert tally.evictions == {("a", cause or "time"): 1}


def test_what_a_short_log_lost_is_said_and_evictions_add_up_all_the_same() -> None:
    pool = Pool(Ledger(100), events=8)
    for name in "ab":
        pool.register(name, load=Thing, footprint=60)
    observer = Observer(pool)
    use(pool, "a")
    assert observer.snapshot().gaps == 0
    for name in "babab":
        use(pool, name)
    found = observer.snapshot()
    assert found.gaps == 1
    assert sum(count for (model, _), count in found.evictions.items() if model == "a") == 3
    assert found.evictions["a", "unknown"] >= 1
    pool.close(PATIENCE_S)


def test_an_observer_that_runs_misses_nothing() -> None:
    pool = Pool(Ledger(100), events=400)
    pool.register("a", load=Thing, footprint=60)
    with Observer(pool) as observer:
        total = 0
        for _ in range(4):
            for _ in range(50):
                use(pool, "a")
            total += 50
            until(lambda wanted=total: observer._tally.grants["a"] == wanted)  # type: ignore[misc]  # noqa: SLF001 - a snapshot would look
    assert (observer.snapshot().gaps, observer.snapshot().grants["a"]) == (0, 200)
    pool.close(PATIENCE_S)
