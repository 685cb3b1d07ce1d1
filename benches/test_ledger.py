"""A reservation and its release from Python, beside a ledger in pure Python and beside one lock."""

import threading
from typing import Any

import pytest

from ullage import Ledger

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
PATH = "host/gpu0/resnet"
SIZE = 1 << 20


class PureAccount:
    """What somebody would write: the same decision under one lock, without holders, labels or peaks by name."""

    def __init__(self, lock: threading.Lock, parent: "PureAccount | None", limit: int) -> None:
        """Make an account below `parent`."""
        self.lock, self.limit, self.used, self.peak = lock, limit, 0, 0
        self.path: list[PureAccount] = [self, *(parent.path if parent else [])]

    def reserve(self, size: int) -> "PureReservation":
        """Book on every level or on none."""
        with self.lock:
            for level in self.path:
                if level.used + size > level.limit:
                    raise MemoryError(size)
            for level in self.path:
                level.used += size
                level.peak = max(level.peak, level.used)
        return PureReservation(self, size)


class PureReservation:
    """Bytes of a `PureAccount`."""

    __slots__ = ("account", "live", "size")

    def __init__(self, account: PureAccount, size: int) -> None:
        """Hold `size` bytes."""
        self.account, self.size, self.live = account, size, True

    def release(self) -> None:
        """Give back, once."""
        with self.account.lock:
            if self.live:
                self.live = False
                for level in self.account.path:
                    level.used -= self.size


@pytest.mark.benchmark(group="reserve and release, 4 levels")
def test_ours(benchmark: Benchmark) -> None:
    account = Ledger(1 << 40).account(PATH, 1 << 40)

    def pair() -> None:
        account.reserve(SIZE).release()

    benchmark(pair)
    assert account.used == 0


@pytest.mark.benchmark(group="reserve and release, 4 levels")
def test_ours_with_label_in_a_block(benchmark: Benchmark) -> None:
    account = Ledger(1 << 40).account(PATH, 1 << 40)

    def pair() -> None:
        with account.reserve(SIZE, label="weights"):
            pass

    benchmark(pair)


@pytest.mark.benchmark(group="reserve and release, 4 levels")
def test_pure_python(benchmark: Benchmark) -> None:
    lock = threading.Lock()
    account = None
    for _ in range(4):
        account = PureAccount(lock, account, 1 << 40)
    assert account is not None
    leaf = account

    def pair() -> None:
        leaf.reserve(SIZE).release()

    benchmark(pair)
    assert leaf.used == 0


@pytest.mark.benchmark(group="reserve and release, 4 levels")
def test_two_locks(benchmark: Benchmark) -> None:
    lock = threading.Lock()

    def pair() -> None:
        with lock:
            pass
        with lock:
            pass

    benchmark(pair)
