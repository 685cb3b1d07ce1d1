"""What a warm lease costs, beside a look-up in the caches of PyPI and the least that two native calls cost.

`python benches/pool_costs.py [--models 1000] [--chunks 400]`. Contestants take turns, chunk by chunk, so that whatever
else the machine does meets all of them. Printed are the least, the 5th percentile and the median of the chunks, in
microseconds for one use.
"""

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import ullage
from ullage import Ledger, Pool

USES = 200
"""In one chunk."""
TARGET_US = 5.0
"""The median of a warm lease, from entry to exit."""


class Thing:
    """A model's object."""


def warm(models: int) -> Pool:
    """Give a pool in which everything is warm."""
    pool = Pool(Ledger("1TiB"))
    for number in range(models):
        pool.register(f"m{number}", load=Thing, footprint="1MB")
    for number in range(models):
        with pool.lease_sync(f"m{number}"):
            pass
    return pool


def ours(pool: Pool) -> Callable[[], object]:
    """Lease from a thread."""

    def run() -> None:
        for _ in range(USES):
            with pool.lease_sync("m3"):
                pass

    return run


def ours_async(pool: Pool, runner: asyncio.Runner) -> Callable[[], object]:
    """Lease on an event loop."""

    async def lease() -> None:
        for _ in range(USES):
            async with pool.lease("m3"):
                pass

    return lambda: runner.run(lease())


def cachetools(models: int) -> Callable[[], object]:
    """Look up under a lock, as its documentation has it: no lease, no bytes, no log."""
    import cachetools  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - a peer

    cache: Any = cachetools.LRUCache(models)
    for number in range(models):
        cache[f"m{number}"] = Thing()
    lock = threading.Lock()

    def run() -> None:
        for _ in range(USES):
            with lock:
                _ = cache["m3"]

    return run


def theine(models: int) -> Callable[[], object]:
    """Look up; it counts entries, not bytes, and protects none from eviction."""
    from theine import Cache  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - a peer

    cache: Any = Cache(models)
    for number in range(models):
        cache.set(f"m{number}", Thing())

    def run() -> None:
        for _ in range(USES):
            _ = cache.get("m3")

    return run


def native() -> Callable[[], object]:
    """Call into the core twice."""
    root = ullage.Ledger(100).root

    def run() -> None:
        for _ in range(USES):
            _ = root.used
            _ = root.used

    return run


def main() -> None:
    """Measure and print; ends with 1 if a lease takes more than its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=400)
    given = parser.parse_args()
    with warm(given.models) as pool, asyncio.Runner() as runner:
        contestants: dict[str, Callable[[], object]] = {
            "ullage, thread": ours(pool),
            "ullage, event loop": ours_async(pool, runner),
            "two native calls": native(),
        }
        for name, peer in (("cachetools.LRUCache", cachetools), ("theine.Cache", theine)):
            try:
                contestants[name] = peer(given.models)
            except ImportError:
                sys.stdout.write(f"{name}: not installed\n")
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(given.chunks):
            for name, run in contestants.items():
                begun = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - begun) / USES * 1e6)
    for name, taken in times.items():
        least, fifth, median = min(taken), statistics.quantiles(taken, n=20)[0], statistics.median(taken)
        sys.stdout.write(f"{name:22} least {least:6.2f}  5th percentile {fifth:6.2f}  median {median:6.2f} us\n")
    sys.exit(statistics.median(times["ullage, thread"]) > TARGET_US)


if __name__ == "__main__":
    main()
