"""What it costs to know who allocated: a declared reservation beside tracers, an allocator that counts, and probes."""

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from looping import ONE_THREAD, Benchmark, Loop, measure

from ullage import Ledger

pytestmark = pytest.mark.benchmark(timer=ONE_THREAD)
PATH = "host/gpu0/resnet"
COUNT = 2_000


@contextlib.contextmanager
def tracemalloc_of(frames: int) -> Iterator[None]:
    """Have tracemalloc keep as many frames."""
    tracemalloc.start(frames)
    try:
        yield
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def memray_of(folder: Path) -> Iterator[None]:
    """Have memray write a capture."""
    memray = pytest.importorskip("memray")
    with memray.Tracker(folder / "capture.bin"):
        yield


@pytest.fixture(params=["plain", "tracemalloc, 1 frame", "tracemalloc, 25 frames", "memray"])
def tracer(request: pytest.FixtureRequest, tmp_path: Path, benchmark: Benchmark) -> Iterator[str]:
    """Enter one way of tracing."""
    ways: dict[str, contextlib.AbstractContextManager[None]] = {
        "plain": contextlib.nullcontext(),
        "tracemalloc, 1 frame": tracemalloc_of(1),
        "tracemalloc, 25 frames": tracemalloc_of(25),
        "memray": memray_of(tmp_path),
    }
    benchmark.extra_info["tracer"] = request.param
    with ways[request.param]:
        yield request.param


def objects() -> Loop:
    """Make the smallest object."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            object()

    return loop


def arrays(length: int) -> Loop:
    """Make an array of bytes."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            np.empty(length, dtype=np.uint8)

    return loop


def pairs(account: Any) -> Loop:  # noqa: ANN401 - of any ledger
    """Reserve and release."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            account.reserve(4096).release()

    return loop


DEPTH = 25


def at_depth(act: Callable[[], None], frames: int = DEPTH) -> None:
    """Act below as many small frames: tracers walk the stack, and that of a test runner is like no program's."""
    if frames:
        at_depth(act, frames - 1)
    else:
        act()


WORK = {
    "object()": objects,
    "np.empty, 64 B": lambda: arrays(64),
    "np.empty, 1 MiB": lambda: arrays(1 << 20),
    "reserve and release": lambda: pairs(Ledger(1 << 40).account(PATH)),
}


@pytest.mark.parametrize("work", WORK)
def test_traced(benchmark: Benchmark, tracer: str, work: str) -> None:
    benchmark.group = f"2,000 x {work}"
    loop = WORK[work]()
    with ThreadPoolExecutor(1) as fresh_stack:
        fresh_stack.submit(at_depth, lambda: measure(benchmark, loop, COUNT)).result()
    assert tracemalloc.is_tracing() == tracer.startswith("tracemalloc"), "the tracer under test is the one that ran"


@pytest.mark.parametrize("size", [64, 1 << 20], ids=["64 B", "1 MiB"])
@pytest.mark.parametrize("pool", ["default", "system", "proxy"])
def test_arrow(benchmark: Benchmark, pool: str, size: int) -> None:
    """An allocator that counts what it gives: exact, without names, limits or parents."""
    pyarrow = pytest.importorskip("pyarrow")
    pools = {
        "default": pyarrow.default_memory_pool,
        "system": pyarrow.system_memory_pool,
        "proxy": lambda: pyarrow.proxy_memory_pool(pyarrow.default_memory_pool()),
    }
    memory = pools[pool]()
    before = memory.bytes_allocated()
    held = pyarrow.allocate_buffer(size, memory_pool=memory)
    assert memory.bytes_allocated() >= before + size, "the pool counts"
    del held

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            pyarrow.allocate_buffer(size, memory_pool=memory)

    benchmark.group = f"2,000 x pyarrow allocates and frees {size:,} B"
    measure(benchmark, loop, COUNT)


def test_arrow_counter(benchmark: Benchmark) -> None:
    memory = pytest.importorskip("pyarrow").default_memory_pool()

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            memory.bytes_allocated()

    benchmark.group = "2,000 x what is booked"
    measure(benchmark, loop, COUNT)


def test_our_counter(benchmark: Benchmark) -> None:
    account = Ledger(1 << 40).account(PATH)

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            _ = account.used

    benchmark.group = "2,000 x what is booked"
    measure(benchmark, loop, COUNT)


@pytest.mark.parametrize("probe", ["memory_info", "virtual_memory", "memory_full_info"])
def test_psutil(benchmark: Benchmark, probe: str) -> None:
    process = psutil.Process()
    ask = psutil.virtual_memory if probe == "virtual_memory" else getattr(process, probe)

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            ask()

    benchmark.group = "100 x psutil"
    measure(benchmark, loop, 100, rounds=10)
