"""The pool under everything at once: threads, event loops, failures, cancellations and too little room."""

import asyncio
import os
import queue
import random
import threading
import time

import pytest
from pool_soak import storm
from pool_world import PATIENCE_S, Thing, in_thread, until

from ullage import Ledger, Pool
from ullage.errors import (
    LeaseTimeoutError,
    LoadFailedError,
)

MODELS = 50
SIZE = 10


class Storm:
    """Many models in the room of ten, used from threads and event loops; loads fail, clients vanish, patience ends."""

    def __init__(self, seed: int) -> None:
        """Register everything."""
        self.ledger = Ledger(SIZE * MODELS // 5)
        self.pool = Pool(self.ledger)
        self.random = random.Random(seed)  # noqa: S311 - repeatable
        self.ends: queue.SimpleQueue[str] = queue.SimpleQueue()
        for number in range(MODELS):
            self.pool.register(
                f"m{number}",
                load=self.load_async if number % 5 == 0 else self.load,
                unload=self.unload,
                footprint=SIZE,
                workspace=number % 3,
                max_concurrency=1 + number % 4,
                retries=number % 2,
            )

    def nap_s(self) -> float:
        """Give a short time to sleep."""
        return self.random.random() * 0.003

    def load(self) -> Thing:
        """Load, or fail, in a thread."""
        time.sleep(self.nap_s())
        if self.random.random() < 0.05:
            raise OSError("a bad disk")
        return Thing()

    async def load_async(self) -> Thing:
        """Load in an event loop."""
        await asyncio.sleep(self.nap_s())
        return Thing()

    def unload(self, thing: Thing) -> None:
        """Take a model down."""
        thing.is_down = True
        time.sleep(self.nap_s())

    def use(self) -> None:
        """Use some model from a thread."""
        name, timeout = self.choose()
        try:
            with self.pool.lease_sync(name, timeout=timeout) as thing:
                assert not thing.is_down, "given a model that is down"
                time.sleep(self.nap_s())
                assert not thing.is_down, "taken down in use"
            self.ends.put("used")
        except (LeaseTimeoutError, LoadFailedError) as error:
            self.ends.put(type(error).__name__)

    def use_often(self, times: int) -> None:
        """Use one model after another from a thread."""
        for _ in range(times):
            self.use()

    async def use_async(self) -> None:
        """Use some model from the event loop."""
        name, timeout = self.choose()
        try:
            async with self.pool.lease(name, timeout=timeout) as thing:
                assert not thing.is_down, "given a model that is down"
                await asyncio.sleep(self.nap_s())
                assert not thing.is_down, "taken down in use"
            self.ends.put("used")
        except (LeaseTimeoutError, LoadFailedError, asyncio.CancelledError) as error:
            self.ends.put(type(error).__name__)

    def choose(self) -> tuple[str, float | None]:
        """Prefer some models; mostly be patient."""
        name = f"m{min(self.random.randrange(MODELS), self.random.randrange(MODELS))}"
        return name, self.random.random() * 0.02 if self.random.random() < 0.2 else None

    def watch(self, stop: threading.Event) -> int:
        """Look at the ledger until told to stop; count the looks."""
        looks = 0
        while not stop.is_set():
            root, *_ = self.ledger.snapshot()
            assert root.used <= SIZE * MODELS // 5, "over the limit"
            assert all(row["state"] != "stuck" for row in self.pool.status())
            looks += 1
            time.sleep(0.0002)
        return looks

    async def run_async(self, clients: int) -> None:
        """Let so many clients loose on one event loop, and cancel a tenth of them."""
        tasks = [asyncio.create_task(self.use_async()) for _ in range(clients)]
        for task in self.random.sample(tasks, clients // 10):
            await asyncio.sleep(self.nap_s())
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}, outcomes


@pytest.mark.parametrize("seed", range(3))
def test_in_a_storm_every_promise_holds(seed: int) -> None:
    before = set(threading.enumerate())
    storm = Storm(seed)
    stop = threading.Event()
    watcher = in_thread(lambda: storm.watch(stop))
    threads = [in_thread(lambda: storm.use_often(25)) for _ in range(12)]
    loops = [in_thread(lambda: asyncio.run(storm.run_async(150))) for _ in range(2)]
    for worker in threads + loops:
        worker.result(60)
    storm.pool.close(PATIENCE_S)
    stop.set()
    assert watcher.result(PATIENCE_S) > 0
    ends = [storm.ends.get_nowait() for _ in range(storm.ends.qsize())]
    # A task that is cancelled before its first step ends without a word.
    assert 12 * 25 + 2 * 135 <= len(ends) <= 12 * 25 + 2 * 150
    assert ends.count("used") > 300
    assert {"LeaseTimeoutError", "LoadFailedError"} <= set(ends)
    assert (storm.ledger.used, storm.ledger.peak <= SIZE * MODELS // 5) == (0, True)
    assert {row["state"] for row in storm.pool.status()} <= {"cold", "failed"}
    assert sum(row["evictions"] for row in storm.pool.status()) > 50
    until(lambda: not {thread for thread in set(threading.enumerate()) - before if "ullage" in thread.name})


@pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
def test_workers_killed_in_a_storm_cost_not_a_byte() -> None:
    """`make soak` runs the same at full size; what must hold is checked there."""
    found = storm(150, isolated=8)
    assert found.ends["used"] > 75
    assert found.looks > 0
