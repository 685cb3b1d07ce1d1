"""Many reservations at once: ours, a batch written by hand in C, and a loop in Python."""

from typing import Any

import numpy as np
import pytest
from looping import ONE_THREAD, Benchmark, measure
from peers import ledger_c

from ullage import Ledger

pytestmark = pytest.mark.benchmark(timer=ONE_THREAD)
COUNTS = [16, 256, 4096, 65_536]
SIZE = 1 << 20


def turns(count: int) -> int:
    """Make rounds long enough: 16,384 reservations at least."""
    return max(1, 16_384 // count)


@pytest.fixture(params=COUNTS)
def sizes(request: pytest.FixtureRequest, benchmark: Benchmark) -> Any:  # noqa: ANN401 - an array
    """Give as many sizes, and compare what does as many."""
    benchmark.group = f"a batch of {request.param:,} reservations and their release"
    benchmark.extra_info["elements"] = request.param
    return np.full(request.param, SIZE, dtype=np.int64)


def test_ours(benchmark: Benchmark, sizes: Any) -> None:  # noqa: ANN401 - an array
    account = Ledger(1 << 50, timeline=0, origins="off").account("host/gpu0/kv")

    def loop(count: int) -> None:
        for _ in range(count):
            account.reserve_many(sizes).release()

    measure(benchmark, loop, turns(len(sizes)))
    assert account.used == 0


def test_ours_by_handles(benchmark: Benchmark, sizes: Any) -> None:  # noqa: ANN401 - an array
    ledger = Ledger(1 << 50, timeline=0, origins="off")
    account = ledger.account("host/gpu0/kv")

    def loop(count: int) -> None:
        for _ in range(count):
            batch = account.reserve_many(sizes)
            ledger.release_many(batch.handles)

    measure(benchmark, loop, turns(len(sizes)))
    assert account.used == 0


def test_ours_as_it_comes(benchmark: Benchmark, sizes: Any) -> None:  # noqa: ANN401 - an array
    account = Ledger(1 << 50).account("host/gpu0/kv")

    def loop(count: int) -> None:
        for _ in range(count):
            account.reserve_many(sizes).release()

    measure(benchmark, loop, turns(len(sizes)))


def test_c(benchmark: Benchmark, sizes: Any) -> None:  # noqa: ANN401 - an array
    try:
        account = ledger_c.account(1 << 50)
    except ledger_c.NoCompilerError as reason:
        pytest.skip(str(reason))

    def loop(count: int) -> None:
        for _ in range(count):
            handles = np.empty(len(sizes), dtype=np.uint64)
            account.reserve_many(sizes, handles)
            account.release_many(handles)

    measure(benchmark, loop, turns(len(sizes)))
    assert account.used == 0


def test_loop_of_ours(benchmark: Benchmark, sizes: Any) -> None:  # noqa: ANN401 - an array
    account = Ledger(1 << 50, timeline=0, origins="off").account("host/gpu0/kv")

    def loop(count: int) -> None:
        for _ in range(count):
            held = [account.reserve(size) for size in sizes.tolist()]
            for one in held:
                one.release()

    measure(benchmark, loop, turns(len(sizes)), rounds=10)
    assert account.used == 0
