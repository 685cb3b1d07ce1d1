"""A reservation and its release in a ledger that processes share, beside what Python offers for the same."""

import fcntl
import mmap
import multiprocessing
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ullage import Ledger, SharedLedger

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
PATH = "host/gpu0/resnet"
SIZE = 1 << 20
LIMIT = 1 << 40


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SharedLedger]:
    with Ledger.shared(str(tmp_path / "ledger"), LIMIT) as ledger:
        yield ledger


@pytest.mark.benchmark(group="reserve and release between processes")
def test_ours_4_levels(benchmark: Benchmark, ledger: SharedLedger) -> None:
    account = ledger.account(PATH)

    def pair() -> None:
        account.reserve(SIZE).release()

    benchmark(pair)
    assert ledger.used == 0


@pytest.mark.benchmark(group="reserve and release between processes")
def test_ours_within_one_process(benchmark: Benchmark) -> None:
    account = Ledger(LIMIT).account(PATH)

    def pair() -> None:
        account.reserve(SIZE).release()

    benchmark(pair)


@pytest.mark.benchmark(group="reserve and release between processes")
def test_flock_around_a_mapped_counter(benchmark: Benchmark, tmp_path: Path) -> None:
    """One level, and nothing is reclaimed of the dead."""
    path = tmp_path / "counter"
    path.write_bytes(bytes(8))
    word = struct.Struct("q")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as counter:

        def add(size: int) -> None:
            fcntl.flock(file, fcntl.LOCK_EX)
            used = word.unpack(counter[:8])[0] + size
            if used > LIMIT:
                raise MemoryError(size)
            counter[:8] = word.pack(used)
            fcntl.flock(file, fcntl.LOCK_UN)

        def pair() -> None:
            add(SIZE)
            add(-SIZE)

        benchmark(pair)
        assert word.unpack(counter[:8]) == (0,)


@pytest.mark.benchmark(group="reserve and release between processes")
def test_multiprocessing_value(benchmark: Benchmark) -> None:
    """One level, nothing is reclaimed of the dead, and one that dies inside locks all others out."""
    counter = multiprocessing.Value("q", 0)

    def add(size: int) -> None:
        with counter.get_lock():
            used = counter.value + size
            if used > LIMIT:
                raise MemoryError(size)
            counter.value = used

    def pair() -> None:
        add(SIZE)
        add(-SIZE)

    benchmark(pair)
    assert counter.value == 0
