"""Processes that share a ledger and are killed at random instants: `python tests/shared_storm.py --kills 5000`.

Workers book at random. Again and again some of them are killed by `kill -9`; the rest is halted and asked what it
holds, and the ledger must hold just that: no byte of a dead worker refuses the next request, no byte of a living one
is lost.
A script of its own, because it forks.
"""

import argparse
import contextlib
import json
import mmap
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ullage import Ledger, SharedLedger, SharedReservation
from ullage.errors import BudgetExceeded

LIMIT = 1 << 20
PATHS = ("/", "a", "a/b", "a/b/c", "d")
MOST = 6
"""Reservations that a thread of a worker holds at most."""
LOCK_BYTE = 128
"""Where the lock word stands in the file."""


class Worker:
    """What runs in a worker process: books at random until it is killed."""

    def __init__(self, path: str, seed: int) -> None:
        """Open the ledger."""
        self.random = random.Random(seed)  # noqa: S311 - repeatable
        self.path = path
        self.ledger = Ledger.shared(path)
        self.held: list[SharedReservation] = []
        self.turn = threading.Lock()

    def step(self) -> None:
        """Do one random thing."""
        die = self.random.random()
        account = self.ledger.account(self.random.choice(PATHS))
        with contextlib.suppress(BudgetExceeded):
            if die < 0.5 and len(self.held) < MOST:
                wait = None if die < 0.4 else 0.002
                self.held.append(account.reserve(self.random.randrange(LIMIT // 6), "x", wait=wait))
            elif die < 0.7 and self.held:
                self.random.choice(self.held).resize(self.random.randrange(LIMIT // 6))
            elif die < 0.9 and self.held:
                self.held.pop(self.random.randrange(len(self.held))).release()
            elif die < 0.92:
                self.ledger.snapshot()
            elif die < 0.94:
                self.ledger.account(f"d/{self.random.randrange(40)}")
            elif die < 0.95:
                with Ledger.shared(self.path) as second:
                    second.root.reserve(1)

    def work(self) -> None:
        """Go on for ever, beside another thread that does the same."""
        while True:
            with self.turn:
                self.step()

    def obey(self, commands: int, answers: int) -> None:
        """Work; at each byte that comes say what is held, and go on at the next."""
        threading.Thread(target=self.work, daemon=True).start()
        while True:
            with self.turn:
                self.step()
                if not select.select([commands], [], [], 0)[0]:
                    continue
                if not os.read(commands, 1):
                    return
                held: dict[str, int] = {}
                for reservation in self.held:
                    held[reservation.account] = held.get(reservation.account, 0) + reservation.bytes
                os.write(answers, json.dumps(held).encode() + b"\n")
                if not os.read(commands, 1):
                    return


@dataclass
class Child:
    """A worker process as the storm sees it."""

    pid: int
    commands: int
    answers: int

    def ask(self) -> dict[str, int]:
        """Halt it and learn what it holds."""
        os.write(self.commands, b"?")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += os.read(self.answers, 1 << 16)
        held: dict[str, int] = json.loads(answer)
        return held

    def go_on(self) -> None:
        """Let it go on."""
        os.write(self.commands, b"!")


class Storm:
    """The process that starts, kills and compares."""

    def __init__(self, path: str, seed: int, workers: int, spawned: float) -> None:
        """Start the first workers."""
        self.random = random.Random(seed)  # noqa: S311 - repeatable
        self.path, self.spawned = path, spawned
        self.ledger: SharedLedger = Ledger.shared(path, LIMIT)
        self.file = Path(path).open("rb")  # noqa: SIM115 - as long as the storm
        self.words = mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ)
        self.counts = {"kills": 0, "inside the lock": 0, "checks": 0, "spawned": 0, "booked at checks": 0}
        self.children = [self.start() for _ in range(workers)]

    def start(self) -> Child:
        """Start a worker: forked from here, ledger and all, or from scratch."""
        (commands, ours), (theirs, answers) = os.pipe(), os.pipe()
        seed = self.random.getrandbits(32)
        if self.random.random() < self.spawned:
            self.counts["spawned"] += 1
            line = [sys.executable, __file__, "--worker", self.path, str(seed), str(commands), str(answers)]
            pid = subprocess.Popen(line, pass_fds=(commands, answers)).pid  # noqa: S603 - this very file
        else:
            pid = os.fork()
            if pid == 0:
                os.close(ours)
                os.close(theirs)
                try:
                    Worker(self.path, seed).obey(commands, answers)
                finally:
                    os._exit(1)
        os.close(commands)
        os.close(answers)
        return Child(pid, ours, theirs)

    def kill(self, child: Child) -> None:
        """Kill one at whatever it does; half of them stay zombies until the end of the round."""
        os.kill(child.pid, signal.SIGKILL)
        os.close(child.commands)
        os.close(child.answers)
        self.children.remove(child)
        self.counts["kills"] += 1
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        word = int.from_bytes(self.words[LOCK_BYTE : LOCK_BYTE + 8], sys.byteorder)
        self.counts["inside the lock"] += word >> 42 == child.pid
        if self.random.random() < 0.5:
            os.waitpid(child.pid, 0)

    def round(self) -> None:
        """Let them work, kill some, and compare."""
        time.sleep(self.random.random() * 0.004)
        dead = self.random.sample(self.children, self.random.randint(1, len(self.children) // 2))
        for child in dead:
            self.kill(child)
        held = {child.pid: child.ask() for child in self.children}
        self.compare(held)
        for child in self.children:
            child.go_on()
        for child in dead:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)
        self.children += [self.start() for _ in dead]

    def compare(self, held: dict[int, dict[str, int]]) -> None:
        """Hold the ledger against what the living say."""
        total = sum(sum(worker.values()) for worker in held.values())
        free = LIMIT - total
        try:
            self.ledger.root.reserve(free + 1)
        except BudgetExceeded as refusal:
            assert (refusal.available, refusal.limit) == (free, LIMIT), f"{free} are free: {refusal}"  # noqa: PT017
        else:
            raise AssertionError("more was granted than there is")
        self.ledger.root.reserve(free).release()
        used: dict[str, int] = {}
        for row in self.ledger.snapshot():
            own = {pid: paths[row.path] for pid, paths in held.items() if paths.get(row.path)}
            assert row.processes == own, f"{row.path}: {row.processes} stand there, {own} are held"
            used[row.path] = row.used
            assert row.used == sum(
                size
                for paths in held.values()
                for path, size in paths.items()
                if row.path in ("/", path) or path.startswith(f"{row.path}/")
            )
            assert row.used <= row.peak <= LIMIT
        pids = {process.pid: process.bytes for process in self.ledger.processes()}
        assert pids == {os.getpid(): 0} | {pid: sum(paths.values()) for pid, paths in held.items()}
        self.counts["checks"] += 1
        self.counts["booked at checks"] += total > 0

    def end(self) -> None:
        """Kill all; the ledger must be empty."""
        for child in list(self.children):
            self.kill(child)
        self.ledger.root.reserve(LIMIT).release()
        assert self.ledger.used == 0
        self.ledger.close()


def main() -> None:
    """Run a worker, or a storm that prints what it counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFF)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--spawned", type=float, default=0.02, help="share of workers that are not forked")
    parser.add_argument("--worker", nargs=4, metavar=("PATH", "SEED", "COMMANDS", "ANSWERS"))
    arguments = parser.parse_args()
    if arguments.worker:
        path, seed, commands, answers = arguments.worker
        Worker(path, int(seed)).obey(int(commands), int(answers))
        return
    name = f"storm-{os.getpid()}"
    with Ledger.shared(name) as ledger:
        path = str(ledger.path)
    try:
        storm = Storm(path, arguments.seed, arguments.workers, arguments.spawned)
        while storm.counts["kills"] < arguments.kills:
            storm.round()
        storm.end()
        print(json.dumps({"seed": arguments.seed, **storm.counts}))  # noqa: T201 - a script
    finally:
        SharedLedger.unlink(path)


if __name__ == "__main__":
    main()
