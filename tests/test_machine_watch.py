"""Files that stay open: the same numbers as from files opened anew, whatever happens to process and descriptors."""

import contextlib
import gc
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_world import GIB, MIB, UNLIMITED_V1, Files, in_v1, in_v2, tree, v1, v2

from ullage import _core, machine
from ullage.errors import ArgumentError
from ullage.machine import Reading, Watch
from ullage.machine import watch as module

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the files are those of Linux")

PAGE = mmap.PAGESIZE
HOME = next(
    (
        line.split(":", 2)[2].lstrip("/")
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if ":memory:" in line
    ),
    "",
)
"""The group of version 1 that the tests run in."""
STATM = {"proc/self/statm": "900 500 10 1 0 70 0\n"}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have settings looked at in every reading."""
    monkeypatch.setattr(module, "RECHECK_S", 0.0)


def expected(root: Path) -> Reading:
    """Give what the files say when they are opened anew."""
    found = machine.memory(root)
    return Reading(500 * PAGE, found.limit, found.used, found.available)


def job(limit: str = str(8 * GIB), current: int = 3 * GIB, inactive: int = GIB) -> Files:
    """Give a process in a group of version 2."""
    return {**in_v2("/pod/job", v2("/pod/job", limit, current, inactive), v2("/pod", "max", 5 * GIB)), **STATM}


def test_this_machine() -> None:
    with Watch() as watch:
        assert watch.is_quick
        found, other = watch.read(), machine.memory()
    assert found.limit == other.limit
    assert abs(found.used - other.used) < 256 * MIB
    assert abs(found.available - other.available) < 256 * MIB
    assert abs(found.rss - machine.process().rss) < 16 * MIB


def test_memory_comes_and_goes() -> None:
    with Watch() as watch:
        before = watch.read().rss
        block = bytearray(64 * MIB)
        assert watch.read().rss - before > 60 * MIB
        del block


@settings(max_examples=60, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.none() | st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=4),
    st.none() | st.integers(0, 99),
)
def test_against_files_opened_anew(
    tmp_path_factory: pytest.TempPathFactory,
    is_v1: bool,  # noqa: FBT001 - hypothesis hands it over so
    path: list[tuple[int | None, int, int]],
    unseen: int | None,
) -> None:
    """Every level in GiB as (limit, current, inactive file), innermost last, and a limit above what is mounted."""
    root = tmp_path_factory.mktemp("root")
    groups: list[Files] = []
    for depth, (limit, current, inactive) in enumerate(path):
        name = "/g" * (depth + 1)
        if is_v1:
            written = UNLIMITED_V1 if limit is None else str(limit * GIB)
            inherited = UNLIMITED_V1 if unseen is None else str(unseen * GIB)
            groups.append(v1(name, written, current * GIB, inactive * GIB, inherited))
        else:
            groups.append(v2(name, "max" if limit is None else str(limit * GIB), current * GIB, inactive * GIB))
    where = "/g" * len(path)
    tree(root, {**(in_v1(where, *groups) if is_v1 else in_v2(where, *groups)), **STATM})
    with Watch(root) as watch:
        assert watch.is_quick
        assert watch.read() == watch.read() == expected(root)


@pytest.mark.parametrize("is_v1", [False, True])
def test_every_number_is_read_anew(tmp_path: Path, *, is_v1: bool) -> None:
    kind, into = (v1, in_v1) if is_v1 else (v2, in_v2)
    root = tree(tmp_path, {**into("/job", kind("/job", str(8 * GIB), GIB)), **STATM})
    with Watch(root) as watch:
        files = watch._files  # noqa: SLF001 - none of this may open anything
        for changed in (kind("/job", str(8 * GIB), 2 * GIB, GIB), kind("/job", str(4 * GIB), 3 * GIB)):
            tree(root, changed)
            assert watch.read() == expected(root)
        tree(root, {}, meminfo="MemTotal: 2097152 kB\nMemFree: 1 kB\nMemAvailable: 1048576 kB\n")
        assert watch.read() == expected(root)
        assert watch._files is files  # noqa: SLF001


def test_the_limit_on_address_space(tmp_path: Path) -> None:
    limits = {"proc/self/limits": f"Max address space   {GIB}   unlimited   bytes  \n"}
    status = {"proc/self/status": f"VmSize:\t{900 * PAGE // 1024} kB\n"}
    root = tree(tmp_path, {**STATM, **limits, **status})
    with Watch(root) as watch:
        assert watch.is_quick
        assert watch.read() == expected(root) == Reading(500 * PAGE, GIB, 900 * PAGE, GIB - 900 * PAGE)


@pytest.mark.usefixtures("at_once")
def test_a_move_to_another_group(tmp_path: Path) -> None:
    root = tree(tmp_path, job())
    with Watch(root) as watch:
        tree(root, {**v2("/other", str(2 * GIB), GIB), "proc/self/cgroup": "0::/other\n"})
        assert watch.read() == expected(root)
        assert watch.read().limit == 2 * GIB
        assert watch.is_quick


@pytest.mark.usefixtures("at_once")
def test_a_limit_that_appears_further_up(tmp_path: Path) -> None:
    root = tree(tmp_path, job())
    with Watch(root) as watch:
        tree(root, {"sys/fs/cgroup/pod/memory.max": f"{6 * GIB}\n"})
        assert watch.read() == expected(root)
        assert watch.read().limit == 6 * GIB


def test_a_move_goes_unnoticed_for_no_longer_than_promised(tmp_path: Path) -> None:
    root = tree(tmp_path, job())
    with Watch(root) as watch:
        tree(root, {**v2("/other", str(2 * GIB), GIB), "proc/self/cgroup": "0::/other\n"})
        end = time.monotonic() + 30
        while watch.read().limit != 2 * GIB:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_group_that_is_removed_leaves_what_is_above(tmp_path: Path) -> None:
    """A file on a disk stays readable when it is deleted; one of a control group does not, as a truncated one."""
    root = tree(tmp_path, job())
    with Watch(root) as watch:
        for file in (root / "sys/fs/cgroup/pod/job").iterdir():
            file.write_bytes(b"")
            file.unlink()
        assert watch.read() == expected(root)


@pytest.mark.parametrize("name", ["proc/meminfo", "proc/self/statm", *v2("/pod/job", "1", 1)])
@pytest.mark.parametrize(
    "content", [b"", b"max", b"-1", b"+5", b"1e9", b"\xff\xfe", b"9" * 5000, b"\x00", b" " * 70_000, b"12 34\n", b"1_0"]
)
def test_garbage_under_open_descriptors_is_never_raised(tmp_path: Path, name: str, content: bytes) -> None:
    root = tree(tmp_path, job())
    with Watch(root) as watch:
        (root / name).write_bytes(content)
        if name != "proc/self/statm":
            assert watch.read()[1:] == expected(root)[1:] or name == "proc/meminfo"
        assert watch.read().rss > 0


@pytest.mark.parametrize("name", ["proc/meminfo", "proc/self/statm", *v2("/pod/job", "1", 1)])
def test_a_directory_or_a_pipe_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path, job())
    (root / name).unlink()
    os.mkfifo(root / name)
    assert Watch(root).read().available >= 0
    (root / name).unlink()
    (root / name).mkdir()
    assert Watch(root).read().available >= 0


def test_without_any_file_there_is_an_answer(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        assert not watch.is_quick
        assert watch.read().limit == machine.memory(tmp_path).limit


@pytest.mark.usefixtures("at_once")
def test_files_that_come_back_are_kept_again(tmp_path: Path) -> None:
    root = tree(tmp_path, {**job(), "proc/self/statm": "garbage"})
    with Watch(root) as watch:
        assert not watch.is_quick
        assert watch.read().limit == 8 * GIB
        tree(root, STATM)
        assert watch.read() == expected(root)
        assert watch.is_quick


def descriptors() -> set[int]:
    """Give the numbers of open files."""
    return {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208 - as numbers


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    root = tree(tmp_path, job())
    gc.collect()
    before = len(descriptors())
    for _ in range(20):
        with Watch(root) as watch:
            watch.read()
            assert len(descriptors()) > before
    watch.read()
    watch.close()
    assert len(descriptors()) == before


def run(code: str) -> str:
    """Run code in a fresh interpreter; give what it prints."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_a_child_measures_itself() -> None:
    """Of the parent's descriptors, `statm` would go on to tell what the parent holds."""
    code = (
        "import os\nfrom ullage import machine\n"
        "watch = machine.Watch(); watch.read()\n"
        "if (child := os.fork()) == 0:\n"
        "    before = watch.read().rss\n"
        "    block = bytearray(64 << 20)\n"
        "    os._exit(0 if watch.read().rss - before > 60 << 20 and watch.is_quick else 1)\n"
        "block = bytearray(128 << 20)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), watch.is_quick)\n"
    )
    assert run(code).split() == ["0", "True"]


def test_descriptors_that_somebody_closed_are_opened_again() -> None:
    """As daemons do: all closed, and the numbers taken by other files, which then must be left open."""
    code = (
        "import gc, os, tempfile\nfrom ullage import machine\n"
        "from ullage.machine import watch as module\n"
        "module.RECHECK_S = 0.0\n"
        "watch = machine.Watch(); first = watch.read()\n"
        "os.closerange(3, 4096)\n"
        "assert watch.read().limit == first.limit and watch.is_quick\n"
        "os.closerange(3, 4096)\n"
        "with open('/dev/shm/ullage-theirs' if os.path.isdir('/dev/shm') else tempfile.mktemp(), 'w+b') as file:\n"
        "    os.unlink(file.name); file.write(b'1 2 3 4\\n'); file.flush()\n"
        "    theirs = [os.dup(file.fileno()) for _ in range(20)]\n"
        "    assert abs(watch.read().rss - first.rss) < 16 << 20 and watch.is_quick\n"
        "    watch.close(); gc.collect()\n"
        "    print(all(os.fstat(number) for number in theirs))\n"
    )
    assert run(code).split() == ["True"]


@pytest.mark.parametrize("recheck_s", [-1.0, float("nan"), float("inf")])
def test_a_senseless_rhythm_is_refused(recheck_s: float) -> None:
    with pytest.raises(ArgumentError) as caught:
        _core.Watch("/proc/self/statm", "/proc/meminfo", PAGE, [], None, [], recheck_s)
    assert caught.value.name == "recheck_s"


def test_many_threads_and_a_group_that_comes_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECHECK_S", 0.0)
    root = tree(tmp_path, {**job(), **v2("/pod/two", str(2 * GIB), GIB)})
    watch, stop, seen, wrong = Watch(root), threading.Event(), set[int](), list[object]()

    def look() -> None:
        while not stop.is_set():
            try:
                found = watch.read()
            except BaseException as error:  # noqa: BLE001 - told below
                wrong.append(error)
                return
            seen.add(found.limit)
            if found.rss != 500 * PAGE:
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    setting = os.open(root / "proc/self/cgroup", os.O_WRONLY)
    for turn in range(200):
        os.pwrite(setting, b"0::/pod/two\n" if turn % 2 else b"0::/pod/job\n", 0)
        time.sleep(0.001)
    os.close(setting)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen <= {2 * GIB, 8 * GIB}
    assert len(seen) == 2


@pytest.fixture
def real_group() -> Iterator[Path]:
    """Put this process into a real group of version 1 with a limit, where the test may."""
    group = Path("/sys/fs/cgroup/memory") / f"ullage-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group can be made here")
    try:
        (group / "memory.limit_in_bytes").write_text(str(4 * GIB))
        yield group
    finally:
        leave(group)


@pytest.mark.usefixtures("at_once")
def test_a_real_group(real_group: Path) -> None:
    with Watch() as watch:
        watch.read()
        (real_group / "cgroup.procs").write_text(str(os.getpid()))
        found, other = watch.read(), machine.memory()
        assert watch.is_quick
        assert (found.limit, other.limit) == (4 * GIB, 4 * GIB)
        assert abs(found.used - other.used) < 16 * MIB
        (real_group / "memory.limit_in_bytes").write_text(str(3 * GIB))
        assert watch.read().limit == 3 * GIB
        block = bytearray(64 * MIB)
        assert watch.read().used - found.used > 60 * MIB
        del block
        leave(real_group)
        assert watch.read().limit == machine.memory().limit != 3 * GIB
        assert watch.is_quick


def leave(group: Path) -> None:
    """Go back to where this process was, and remove the group."""
    with contextlib.suppress(OSError):
        (group.parent / HOME / "cgroup.procs").write_text(str(os.getpid()))
    with contextlib.suppress(OSError):
        group.rmdir()
