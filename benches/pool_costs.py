"""What a warm lease costs, beside a look-up in the caches of PyPI and the least that two native calls cost.

`python benches/pool_costs.py [--models 1000] [--chunks 400]`. Contestants take turns, chunk by chunk, so that whatever
else the machine does meets all of them. Printed are the least, the 5th percentile and the median of the chunks, in
microseconds for one use.

With `--policies` it is what a decision costs: a request that sends one model away, with 10, 100 and 1,000 models in
memory, by a rule of ours and by the same rule in Python.
"""

import argparse
import asyncio
import itertools
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
MOVES = {"load", "unload"}
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


class OwnLru(ullage.EvictionPolicy):
    """What ours of that name does, in Python."""

    name = "own-lru"

    def __init__(self) -> None:
        """Know no model."""
        self.used: dict[str, float] = {}

    def on_request(self, name: str, now: float) -> None:
        """Remember."""
        self.used[name] = now

    def worth(self, candidate: "ullage._core.Candidate", _now: float) -> float:
        """Be worth the more the later it was used."""
        return self.used[candidate.name]


def decide(policy: str | ullage.EvictionPolicy, residents: int) -> Callable[[], float]:
    """Give what decides once: a request for one model more than fits; it gives the seconds that its decision took.

    The core alone is timed, as the pool calls it: loading and unloading are reported back at once.
    """
    account = Ledger(residents).account("memory")
    brain = ullage._core.Brain({"memory": account}, policy)  # noqa: SLF001 - what the pool drives
    for number in range(residents + 1):
        brain.register(
            f"m{number}",
            estimated=1,
            places=[({"memory": 1}, {})],
            instances=1,
            pinned=False,
            max_concurrency=None,
            load_time=None,
            retries=0,
            compressed=None,
        )
    numbers = itertools.count(1)
    clock = itertools.count(1)

    def ask(name: str) -> float | None:
        number = next(numbers)
        begun = time.perf_counter()
        actions = brain.request(float(next(clock)), number, name, None)
        taken = time.perf_counter() - begun
        is_full = not isinstance(actions, int) and any(one[0] == "unload" for one in actions)
        while not isinstance(actions, int) and (move := next((one for one in actions if one[0] in MOVES), None)):
            tell = brain.loaded if move[0] == "load" else brain.unloaded
            about = (move[1], move[2]) if move[0] == "load" else (move[1], move[2], {})
            actions = tell(float(next(clock)), *about)
        brain.released(float(next(clock)), number)
        return taken if is_full else None

    for number in range(residents):
        ask(f"m{number}")
    wanted = itertools.cycle(range(residents + 1))
    next(itertools.islice(wanted, residents, residents), None)

    def run() -> float:
        while (taken := ask(f"m{next(wanted)}")) is None:
            continue  # it is there: a good rule keeps some of those that come in turns
        return taken

    return run


def tell_policies(chunks: int) -> None:
    """Measure and print what decisions cost, in turns."""
    for residents in (10, 100, 1000):
        contestants = {"ours, lru": decide("lru", residents), "ours, value": decide("value", residents)}
        contestants["in Python, lru"] = decide(OwnLru(), residents)
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(chunks):
            for name, run in contestants.items():
                times[name].append(run() * 1e6)
        for name, taken in times.items():
            _print(f"{name}, {residents} in memory", taken)


def _print(name: str, taken: list[float]) -> None:
    least, fifth, median = min(taken), statistics.quantiles(taken, n=20)[0], statistics.median(taken)
    sys.stdout.write(f"{name:32} least {least:7.2f}  5th percentile {fifth:7.2f}  median {median:7.2f} us\n")


def main() -> None:
    """Measure and print; ends with 1 if a lease takes more than its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=400)
    parser.add_argument("--policies", action="store_true", help="what decisions cost")
    given = parser.parse_args()
    if given.policies:
        tell_policies(given.chunks)
        return
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
        _print(name, taken)
    sys.exit(statistics.median(times["ullage, thread"]) > TARGET_US)


if __name__ == "__main__":
    main()
