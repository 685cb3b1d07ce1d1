"""What the tests of the pool share: objects that know whether they live, threads, and patience."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ullage import Pool

PATIENCE_S = 20.0
"""How long a test waits for what should happen at once: it bounds a hang and measures nothing."""


class Thing:
    """A model's object, which knows whether it was taken down."""

    def __init__(self, name: str = "thing") -> None:
        """Make one that stands."""
        self.name = name
        self.is_down = False


def take_down(thing: Thing) -> None:
    thing.is_down = True


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


async def until_async(holds: Callable[[], bool]) -> None:
    """Wait without blocking the event loop."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.002)


def state(pool: Pool, name: str) -> str:
    """Give the state of one model."""
    return str(row(pool, name)["state"])


def row(pool: Pool, name: str) -> dict[str, Any]:
    """Give the status of one model."""
    return next(row for row in pool.status() if row["name"] == name)


def in_thread(work: Callable[[], Any]) -> "Future[Any]":
    """Run `work` in a thread of its own."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as failure:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(failure)

    threading.Thread(target=run, daemon=True).start()
    return future


def use(pool: Pool, name: str, timeout: float | None = PATIENCE_S) -> str:
    """Lease a model for an instant."""
    with pool.lease_sync(name, timeout=timeout) as thing:
        return str(thing.name)


async def use_async(pool: Pool, name: str, timeout: float | None = PATIENCE_S) -> str:  # noqa: ASYNC109
    """Lease a model for an instant."""
    async with pool.lease(name, timeout=timeout) as thing:
        return str(thing.name)


async def load_slowly(name: str = "thing") -> Thing:
    """Load in an event loop."""
    await asyncio.sleep(0.001)
    return Thing(name)
