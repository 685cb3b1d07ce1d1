"""Fifty models in the memory of ten, in processes and threads: `python tests/pool_soak.py --leases 100000`.

Threads and an event loop lease, some models more often than others; workers are killed by `kill -9` in use and idle,
and at times what they are forked from; tasks are cancelled, patience ends, loaders fail and lie about their size. All
the while the books are looked at, and what the workers really hold. Once every liar was measured, the kernel kills who
takes the workers beyond what may be booked, where it lets itself be told. At the end there may be nothing left: no byte
booked, no process, no zombie, no open file.
"""

import argparse
import asyncio
import contextlib
import faulthandler
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

import psutil
from pool_meter import Meter
from storm_models import MB, Model, load, unload

from ullage import Ledger, Pool
from ullage.errors import BudgetExceeded, LeaseTimeoutError, LoadFailedError, WorkerDiedError

MODELS = 50
LIMIT = 600 * MB
BOOKED = 60 * MB
"""So that ten models fit."""
REAL_MB, LYING_MB = 40, 60
"""Weights of models in processes: with an interpreter some ten more."""
PRELOAD = ("numpy", "storm_models")
KERNEL = 20 * MB
"""What the kernel itself may hold for the workers, such as page tables: no process is shown it as its own."""
GROWTH = 10 * MB
"""What ten workers may have grown by in leases that are not over: it is booked when they end."""
LOOK_S = 0.25
TELL_S = 30.0
TOLD = 2000
"""Leases from which on it is said now and then how far the storm is."""
TEMPLATE = 50
"""So many kills of workers to one of what they are forked from."""
SHARES = [1 / (rank + 1) for rank in range(MODELS)]
"""How often a model is asked for, by rank (Zipf)."""
CLIENTS = 8
TASKS = 8
"""Clients on the event loop."""
PATIENCE_S = 120.0


@dataclass
class Storm:
    """The pool, those who use it, and what became of them."""

    leases: int
    isolated: int
    """How many of the models stand in processes."""
    seed: int
    kills_every_s: float
    meter: Meter
    ends: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    told: float = 0.0
    looks: int = 0
    weighings: int = 0
    is_bound: bool = False
    """Whether every liar was measured, and the kernel told what there is."""
    most: int = 0
    """Bytes that the workers held at most beyond what stays, once every liar was measured."""
    most_by_group: int = 0
    """Bytes that the kernel counted at most, likewise."""
    beyond: int = -LIMIT
    """Bytes that they held at most beyond what was booked just then: less than 0 if never so."""
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
            options: dict[str, Any] = {}
            if number < self.isolated:
                options = {"isolation": "process", "preload": PRELOAD if number % 25 else ()}
            self.pool.register(
                f"m{number}",
                load=load,
                load_args=((LYING_MB if lies else REAL_MB) if options else 10, number, 0.02),
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
        (rank,) = dice.choices(range(MODELS), SHARES)
        return rank * 7 % MODELS, dice.random() * 0.2 if dice.random() < 0.1 else None

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
            if dice.randrange(TEMPLATE) == 0:
                pids = [child.pid for child in psutil.Process().children()]
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

    def weigh(self) -> None:
        """Hold what the workers really take against the books until told to stop."""
        while not self.stop.wait(LOOK_S):
            if not self.is_bound:
                rows = {row["name"]: row for row in self.pool.status()}
                self.is_bound = all(rows[f"m{number}"]["measured"] for number in range(0, self.isolated, 5))
                if self.is_bound:
                    self.meter.limit(self.meter.base + LIMIT + KERNEL)
                continue
            before, (held, pids), booked = self.ledger.used, self.meter.shares(), self.ledger.used
            if pids != self.meter.shares()[1]:
                continue  # somebody came or went meanwhile: the sum is of no moment that ever was
            self.weighings += 1
            held -= self.meter.base
            self.most = max(self.most, held)
            self.beyond = max(self.beyond, held - max(before, booked))
            if self.beyond > GROWTH:
                self.faults.append(f"{held} bytes held beside what stays, and {booked} booked")

    async def run_async(self) -> None:
        """Run the clients of the event loop."""
        await asyncio.gather(*(self.use_async(random.Random(f"{self.seed} {task}")) for task in range(TASKS)))  # noqa: S311

    def tell(self) -> None:
        """Say how far it is, where that takes long."""
        if self.leases > TOLD and time.monotonic() > self.told + TELL_S:
            self.told = time.monotonic()
            sys.stderr.write(f"{self.left} leases to go, {self.kills} kills, faults: {self.faults[:3]}\n")
            sys.stderr.flush()

    def run(self) -> None:
        """Let everybody loose; then close, and see what is left."""
        dice = [random.Random(self.seed * 100 + number) for number in range(CLIENTS + 1)]  # noqa: S311 - repeatable
        clients = [threading.Thread(target=self.use, args=(one,)) for one in dice[:CLIENTS]]
        clients.append(threading.Thread(target=lambda: asyncio.run(self.run_async())))
        others = [threading.Thread(target=work) for work in (self.watch, self.weigh, partial(self.kill, dice[-1]))]
        for thread in clients + others:
            thread.start()
        for thread in clients:
            while thread.is_alive():
                thread.join(TELL_S)
                self.tell()
        self.stop.set()
        for thread in others:
            thread.join()
        self.most_by_group = self.meter.most()
        self.pool.close(PATIENCE_S)


def storm(leases: int, *, isolated: int = MODELS, seed: int = 0, kills_every_s: float = 0.2) -> Storm:
    """Run a storm and check what must hold after it; raises `AssertionError`."""
    me = psutil.Process()
    with Pool(Ledger(LIMIT)) as warm:  # it has what workers are forked from stay, so that it can be told apart
        for name, preload in (("with", PRELOAD), ("without", ())):
            warm.register(
                name, load=load, load_args=(1, 1, 0.0), footprint=BOOKED, isolation="process", preload=preload
            )
        bring_up(warm, "without")
        meter = Meter()
        try:
            for name in ("with", "without"):
                bring_up(warm, name)
            meter.begin()
            found = Storm(leases, isolated, seed, kills_every_s, meter)
            check(found, me)
        finally:
            warm.close(PATIENCE_S)
            meter.end()
    assert not (left := me.children(recursive=True)), f"processes {left} are left"
    return found


def bring_up(pool: Pool, name: str) -> None:
    """Load a model once, and have it go."""
    with pool.lease_sync(name):
        pass
    pool.evict(name)
    while next(row for row in pool.status() if row["name"] == name)["state"] != "cold":
        time.sleep(0.01)


def check(found: Storm, me: psutil.Process) -> None:
    """Let everybody loose, and check what must hold after it."""
    threads, files, children = set(threading.enumerate()), me.num_fds(), len(me.children(recursive=True))
    found.run()
    assert not found.faults, found.faults[:5]
    assert found.ledger.used == 0, f"{found.ledger.used} bytes are lost"
    assert found.ledger.peak <= LIMIT, f"{found.ledger.peak} bytes were booked"
    rows = found.pool.status()
    assert {(row["leases"], row["waiting"], row["residue"]) for row in rows} == {(0, 0, 0)}
    assert {row["state"] for row in rows} <= {"cold", "failed"}
    assert sum(found.ends.values()) == found.leases, found.ends
    assert found.meter.overruns() == 0, "the workers took more than could be booked"
    left = me.children(recursive=True)
    assert len(left) <= children, f"processes {left} are left"
    deadline = time.monotonic() + 10
    while mine := {thread for thread in set(threading.enumerate()) - threads if thread.name.startswith("ullage-")}:
        assert time.monotonic() < deadline, mine
        time.sleep(0.01)
    gc.collect()
    assert me.num_fds() <= files, f"{me.num_fds() - files} files are left open"


def main() -> None:
    """Run the storm that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leases", type=int, default=100_000)
    parser.add_argument("--isolated", type=int, default=MODELS, help="models in processes; the others in threads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills-every", type=float, default=0.2, metavar="SECONDS")
    given = parser.parse_args()
    faulthandler.register(signal.SIGUSR1)
    begun = time.monotonic()
    found = storm(given.leases, isolated=given.isolated, seed=given.seed, kills_every_s=given.kills_every)
    loads = sum(row["loads"] for row in found.pool.status())
    text = f"{given.leases} leases in {time.monotonic() - begun:.0f} s: {dict(found.ends)}, {loads} loads, "
    text += f"{found.kills} kills, {found.looks} looks at the books; nothing is left\n"
    text += f"held beside the {found.meter.base // MB} MB that stay: at most {found.most // MB} of {LIMIT // MB} MB "
    text += f"in {found.weighings} sums of PSS, {found.beyond / MB:.1f} MB beyond what was booked; "
    sys.stdout.write(text + f"by the kernel's count {(found.most_by_group - found.meter.base) // MB} MB")
    sys.stdout.write(", and it was told to kill beyond\n" if found.is_bound else "\n")


if __name__ == "__main__":
    main()
