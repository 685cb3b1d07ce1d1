"""What an owned array costs over NumPy's own, beside the tracers that count allocations too."""

import contextlib
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ullage import Ledger

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
CASES = {
    "empty, 16 numbers": (np.empty, 16),
    "empty, 1 KiB": (np.empty, 128),
    "empty, 2 KiB": (np.empty, 256),
    "zeros, 1 MiB": (np.zeros, 1 << 17),
    "empty, 8 MiB": (np.empty, 1 << 20),
}
TRACKED = Ledger(1 << 40).account("host/gpu0/resnet", 1 << 40).track_numpy()
TRACKERS = {
    "credit": Ledger(1 << 40).account("host/gpu0/resnet", 1 << 40, kind="credit").track_numpy(),
    "exact, no timeline": Ledger(1 << 40, timeline=0).account("host/gpu0/resnet", 1 << 40).track_numpy(),
    "exact": TRACKED,
}


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """Have tracemalloc count."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.fixture(params=["plain", "tracked", "tracked on the base of another", "tracemalloc", "memray"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Enter one way of counting."""
    with contextlib.ExitStack() as stack:
        match request.param:
            case "tracked":
                stack.enter_context(TRACKED)
            case "tracked on the base of another":
                stack.enter_context(Ledger().root.track_numpy())
                stack.enter_context(TRACKED)
            case "tracemalloc":
                stack.enter_context(traced())
            case "memray":
                memray = pytest.importorskip("memray")
                stack.enter_context(memray.Tracker(tmp_path / "memray.bin"))
        yield request.param


@pytest.mark.parametrize("case", CASES)
def test_an_array(benchmark: Benchmark, case: str, way: str) -> None:
    benchmark.group = case
    make, count = CASES[case]
    array = make(count)
    assert TRACKED.blocks == way.startswith("tracked"), "the bench must measure what it is named for"
    del array
    benchmark(make, count)
    assert TRACKED.blocks == 0


def nanoseconds(make: Callable[[int], object], count: int, arrays: int) -> float:
    """Time one array, made and dropped."""
    begin = time.perf_counter_ns()
    for _ in range(arrays):
        make(count)
    return (time.perf_counter_ns() - begin) / arrays


@pytest.mark.parametrize("kind", TRACKERS)
@pytest.mark.parametrize("case", CASES)
def test_what_tracking_adds(benchmark: Benchmark, case: str, kind: str) -> None:
    make, count = CASES[case]
    arrays = 10_000 if make is np.empty else 500
    plain, tracked = [], []
    for _ in range(20):  # in turns, so that both see the same machine
        plain.append(nanoseconds(make, count, arrays))
        with TRACKERS[kind]:
            tracked.append(nanoseconds(make, count, arrays))
    over = min(tracked) - min(plain), statistics.median(tracked) - statistics.median(plain)
    benchmark.group = f"{kind}, {case}: {over[0]:.0f} ns over plain at best, {over[1]:.0f} in the median"
    with TRACKERS[kind]:
        benchmark(make, count)


def test_a_block(benchmark: Benchmark) -> None:
    benchmark.group = "a block without arrays"

    def enter_and_leave() -> None:
        with TRACKED:
            pass

    benchmark(enter_and_leave)


def test_a_refusal(benchmark: Benchmark) -> None:
    benchmark.group = "a refused array"
    account = Ledger().account("a/b/c", 100)

    def refused() -> bool:
        try:
            np.empty(1000)
        except MemoryError:
            return True
        return False

    with account.track_numpy():
        assert benchmark(refused)
