"""One look at memory: files kept open, beside files opened at each look and beside psutil.

`Watch` answers what the least limit is, how much is used under it and what is left, of which psutil knows the host's
part alone. What the kernel takes to write its files is a floor that no reader passes: `test_floor`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ullage import machine

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture(params=["host", "container"])
def where(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run on the host as it is, and in a control group of version 1 with a limit where one can be made."""
    if request.param == "host":
        yield "host"
        return
    home = [line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line]
    group = GROUPS / f"ullage-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group can be made here")
    try:
        (group / "memory.limit_in_bytes").write_text(str(4 << 30))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield "container"
    finally:
        (GROUPS / home[0].lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


def test_kept_open(benchmark: Benchmark, where: str) -> None:
    benchmark.group = f"one look, {where}"
    with machine.Watch() as watch:
        found = benchmark(watch.read)
        assert watch.is_quick
    assert (found.limit == 4 << 30) == (where == "container")


def test_opened_at_each_look(benchmark: Benchmark, where: str) -> None:
    benchmark.group = f"one look, {where}"
    benchmark(lambda: (machine.memory(), machine.process()))


def test_psutil(benchmark: Benchmark, where: str) -> None:
    benchmark.group = f"one look, {where}"
    ours = psutil.Process()
    benchmark(lambda: (psutil.virtual_memory(), ours.memory_info()))


def test_floor(benchmark: Benchmark, where: str) -> None:
    """The same files on kept descriptors, neither parsed nor checked."""
    benchmark.group = f"one look, {where}"
    names = ["/proc/self/statm", "/proc/meminfo"]
    if where == "container":
        group = GROUPS / f"ullage-bench-{os.getpid()}"
        names += [str(group / name) for name in ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat")]
    files = [os.open(name, os.O_RDONLY) for name in names]
    benchmark(lambda: [os.pread(file, 8192, 0) for file in files])
    for file in files:
        os.close(file)


@pytest.mark.benchmark(group="resident memory alone")
def test_psutil_of_a_kept_process(benchmark: Benchmark) -> None:
    benchmark(psutil.Process().memory_info)


@pytest.mark.benchmark(group="resident memory alone")
def test_ours(benchmark: Benchmark) -> None:
    benchmark(machine.process)


@pytest.mark.benchmark(group="on demand")
def test_shared_pages_counted_once(benchmark: Benchmark) -> None:
    benchmark(machine.process, full=True)


@pytest.mark.benchmark(group="on demand")
def test_family(benchmark: Benchmark) -> None:
    benchmark(machine.family, full=True)


@pytest.mark.benchmark(group="on demand")
def test_every_control_group(benchmark: Benchmark) -> None:
    benchmark(machine.control_groups)
