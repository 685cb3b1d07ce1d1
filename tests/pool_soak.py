"""Fifty models in the memory of ten, in processes and threads: `python tests/pool_soak.py --leases 100000`.

Threads and an event loop lease at random; workers are killed by `kill -9` in use and idle, tasks are cancelled,
patience ends, loaders fail and lie about their size. All the while the books are looked at, and at the end there may
be nothing left: no byte booked, no process, no zombie, no open file.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from ullage import Ledger, Pool
from ullage.errors import BudgetExceeded, LeaseTimeoutError, LoadFailedError, WorkerDiedError

MB = 1_000_000
MODELS = 50
LIMIT = 600 * MB
BOOKED = 60 * MB
"""So that ten models fit."""
CLIENTS = 8
TASKS = 8
"""Clients on the event loop."""
PATIENCE_S = 120.0


class Model:
    """Real memory, and a way to see whether it is whole."""

    def __init__(self, megabytes: int, seed: int) -> None:
        """Fill the memory."""
        self.weights: npt.NDArray[np.uint8] | None = np.full(megabytes * MB, seed % 251, np.uint8)
        self.seed = seed

    def check(self, nap_s: float) -> int:
        """Use the model for some time; gives its seed as the weights say it."""
        first = self._look()
        time.sleep(nap_s)
        assert self._look() == first
        return first

    def _look(self) -> int:
        assert self.weights is not None, "taken down in use"
        return int(self.weights[:: len(self.weights) // 64].max())

    def clear(self) -> None:
        """Give the memory back."""
        self.weights = None


def load(megabytes: int, seed: int, failing: float) -> Model:
    """Make a model, or fail."""
    if random.random() < failing:  # noqa: S311 - whichever
        raise OSError("a bad disk")
    return Model(megabytes, seed)


def unload(model: Model) -> None:
    """Take a model down."""
    model.clear()


@dataclass
class Storm:
    """The pool, those who use it, and what became of them."""

    leases: int
    isolated: int
    """How many of the models stand in processes."""
    seed: int
    kills_every_s: float
    ends: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    looks: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Register everything; every fifth model is larger than it says."""
        self.ledger = Ledger(LIMIT)
        self.pool = Pool(self.ledger)
        self.lock = threading.Lock()
        self.left = self.leases
        self.stop = threading.Event()
        for number in range(MODELS):
            lies = number % 5 == 0
            options: dict[str, Any] = {"isolation": "process"} if number < self.isolated else {}
            self.pool.register(
                f"m{number}",
                load=load,
                load_args=(60 if lies and options else 10, number, 0.02),
                unload=unload,
                footprint=BOOKED,
                workspace=number % 3 * MB,
                max_concurrency=1 + number % 4,
                retries=number % 3,
                **options,
            )

    def take(self) -> bool:
        """Take one of the leases that are to be had."""
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def count(self, end: str) -> None:
        """Note how a lease ended."""
        with self.lock:
            self.ends[end] += 1

    def choose(self, dice: random.Random) -> tuple[int, float | None]:
        """Prefer some models, whichever kind; mostly be patient."""
        number = min(dice.randrange(MODELS), dice.randrange(MODELS)) * 7 % MODELS
        return number, dice.random() * 0.2 if dice.random() < 0.1 else None

    def use(self, dice: random.Random) -> None:
        """Lease from a thread until there are no more leases to be had."""
        while self.take():
            try:
                self.use_once(dice)
            except (LeaseTimeoutError, LoadFailedError, WorkerDiedError, BudgetExceeded) as error:
                self.count(type(error).__name__)

    def use_once(self, dice: random.Random) -> None:
        """Lease once. Nothing refers to the model when this returns: else its bytes would stay booked."""
        number, timeout = self.choose(dice)
        with self.pool.lease_sync(f"m{number}", timeout=timeout) as model:
            self.see(number, model.check(dice.random() * 0.003))

    async def use_async(self, dice: random.Random) -> None:
        """Lease from the event loop; be cancelled at times."""
        while self.take():
            patience = dice.random() * 0.1 if dice.random() < 0.1 else None
            try:
                async with asyncio.timeout(patience):
                    await self.use_once_async(dice)
            except (LeaseTimeoutError, LoadFailedError, WorkerDiedError, BudgetExceeded) as error:
                self.count(type(error).__name__)
            except TimeoutError:
                self.count("cancelled")

    async def use_once_async(self, dice: random.Random) -> None:
        """Lease once, likewise."""
        number, timeout = self.choose(dice)
        nap_s = dice.random() * 0.003
        async with self.pool.lease(f"m{number}", timeout=timeout) as model:
            if isinstance(model, Model):
                await asyncio.sleep(nap_s)
                self.see(number, model.check(0.0))
            else:
                self.see(number, await model.acall.check(nap_s))

    def see(self, number: int, found: int) -> None:
        """Check what a model computed."""
        self.count("used")
        if found != number:
            self.faults.append(f"m{number} computed {found}")

    def kill(self, dice: random.Random) -> None:
        """Kill workers until told to stop."""
        while not self.stop.wait(self.kills_every_s):
            pids = [row["pid"] for row in self.pool.status() if row.get("pid")]
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(pids), signal.SIGKILL)
                    self.kills += 1

    def watch(self) -> None:
        """Look at the books until told to stop."""
        while not self.stop.wait(0.002):
            self.looks += 1
            used = self.ledger.used
            if used > LIMIT:
                self.faults.append(f"{used} bytes booked")

    async def run_async(self) -> None:
        """Run the clients of the event loop."""
        await asyncio.gather(*(self.use_async(random.Random(f"{self.seed} {task}")) for task in range(TASKS)))  # noqa: S311

    def run(self) -> None:
        """Let everybody loose; then close, and see what is left."""
        dice = [random.Random(self.seed * 100 + number) for number in range(CLIENTS + 1)]  # noqa: S311 - repeatable
        clients = [threading.Thread(target=self.use, args=(one,)) for one in dice[:CLIENTS]]
        clients.append(threading.Thread(target=lambda: asyncio.run(self.run_async())))
        others = [threading.Thread(target=self.watch), threading.Thread(target=self.kill, args=(dice[-1],))]
        for thread in clients + others:
            thread.start()
        for thread in clients:
            thread.join()
        self.stop.set()
        for thread in others:
            thread.join()
        self.pool.close(PATIENCE_S)


def storm(leases: int, *, isolated: int = MODELS, seed: int = 0, kills_every_s: float = 0.2) -> Storm:
    """Run a storm and check what must hold after it; raises `AssertionError`."""
    me = psutil.Process()
    with Pool(Ledger(LIMIT)) as warm:  # what is made once and stays: the spawner, the pipes of the first worker
        warm.register("warm", load=partial(load, 1, 1, 0.0), footprint=BOOKED, isolation="process")
        with warm.lease_sync("warm"):
            pass
    children, files = {child.pid for child in me.children(recursive=True)}, me.num_fds()
    threads = set(threading.enumerate())
    found = Storm(leases, isolated, seed, kills_every_s)
    found.run()
    assert not found.faults, found.faults[:5]
    assert found.ledger.used == 0, f"{found.ledger.used} bytes are lost"
    assert found.ledger.peak <= LIMIT, f"{found.ledger.peak} bytes were booked"
    rows = found.pool.status()
    assert {(row["leases"], row["waiting"], row["residue"]) for row in rows} == {(0, 0, 0)}
    assert {row["state"] for row in rows} <= {"cold", "failed"}
    assert sum(found.ends.values()) == leases, found.ends
    left = {child.pid for child in me.children(recursive=True)} - children
    assert not left, f"processes {left} are left"
    deadline = time.monotonic() + 10
    while mine := {thread for thread in set(threading.enumerate()) - threads if thread.name.startswith("ullage-")}:
        assert time.monotonic() < deadline, mine
        time.sleep(0.01)
    gc.collect()
    assert me.num_fds() <= files, f"{me.num_fds() - files} files are left open"
    return found


def main() -> None:
    """Run the storm that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leases", type=int, default=100_000)
    parser.add_argument("--isolated", type=int, default=MODELS, help="models in processes; the others in threads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills-every", type=float, default=0.2, metavar="SECONDS")
    given = parser.parse_args()
    begun = time.monotonic()
    found = storm(given.leases, isolated=given.isolated, seed=given.seed, kills_every_s=given.kills_every)
    loads = sum(row["loads"] for row in found.pool.status())
    text = f"{given.leases} leases in {time.monotonic() - begun:.0f} s: {dict(found.ends)}, {loads} loads, "
    sys.stdout.write(text + f"{found.kills} kills, {found.looks} looks at the books; nothing is left\n")


if __name__ == "__main__":
    main()
