"""A warm lease from entry to exit, beside the least a cache can do and the least a native call costs."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import ullage
from ullage import Ledger, Pool

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
LEASES = 100
"""Leases a round, so that entering the event loop weighs little."""


class Thing:
    """A model's object."""


@pytest.fixture(params=[10, 1_000], ids=["10 models", "1,000 models"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Give a pool in which everything is warm."""
    with Pool(Ledger("1TiB")) as pool:
        for number in range(request.param):
            pool.register(f"m{number}", load=Thing, footprint="1MB")
        for number in range(request.param):
            with pool.lease_sync(f"m{number}"):
                pass
        yield pool


@pytest.mark.benchmark(group="100 warm leases")
def test_ours(benchmark: Benchmark, pool: Pool) -> None:
    def lease() -> None:
        for _ in range(LEASES):
            with pool.lease_sync("m3"):
                pass

    benchmark(lease)


@pytest.mark.benchmark(group="100 warm leases")
def test_ours_async(benchmark: Benchmark, pool: Pool) -> None:
    async def lease() -> None:
        for _ in range(LEASES):
            async with pool.lease("m3"):
                pass

    with asyncio.Runner() as runner:
        benchmark(lambda: runner.run(lease()))


@pytest.mark.benchmark(group="100 warm leases")
def test_cachetools(benchmark: Benchmark) -> None:
    """A look-up under a lock: nothing is protected from eviction, nothing is logged, no bytes are booked."""
    cachetools = pytest.importorskip("cachetools")
    cache: Any = cachetools.LRUCache(1_000)
    for number in range(1_000):
        cache[f"m{number}"] = Thing()
    lock = threading.Lock()

    def get() -> None:
        for _ in range(LEASES):
            with lock:
                _ = cache["m3"]

    benchmark(get)


@pytest.mark.benchmark(group="100 warm leases")
def test_two_native_calls(benchmark: Benchmark) -> None:
    """What entering and leaving cost at the least: one small call into the core each."""
    used = ullage.Ledger(100).root

    def call() -> None:
        for _ in range(LEASES):
            _ = used.used
            _ = used.used

    benchmark(call)
