"""Files that are cut short, huge, unreadable or no files: notes, never exceptions, and never much memory."""

import os
import sys
import tracemalloc
from pathlib import Path

import pytest
from machine_world import GIB, MEMINFO, Files, in_v1, in_v2, tree, v1, v2

from ullage import machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the files are those of Linux")

LINUX: dict[str, Files] = {
    "v2": {
        **in_v2("/pod/job", v2("/pod/job", str(8 * GIB), 3 * GIB, GIB), v2("/pod", str(9 * GIB), 5 * GIB)),
        "sys/fs/cgroup/pod/job/memory.events": "low 0\nhigh 1\nmax 2\noom 0\noom_kill 0\n",
        "sys/fs/cgroup/pod/job/memory.peak": f"{4 * GIB}\n",
        "sys/fs/cgroup/pod/job/memory.pressure": "some avg10=1.00 avg60=0.00 avg300=0.00 total=7\n",
    },
    "v1": {
        **in_v1("/job", v1("/job", str(8 * GIB), 3 * GIB, GIB, str(7 * GIB))),
        "sys/fs/cgroup/memory/job/memory.failcnt": "3\n",
        "sys/fs/cgroup/memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    },
}
COMMON: Files = {
    "proc/meminfo": MEMINFO,
    "proc/self/statm": "900 500 10 1 0 70 0\n",
    "proc/self/status": "VmSize:\t16777216 kB\nVmRSS:\t 1048576 kB\n",
    "proc/self/limits": "Max address space   34359738368   unlimited   bytes  \n",
    "proc/pressure/memory": "some avg10=1.00 avg60=0.00 avg300=0.00 total=7\n",
}
CASES = [(kind, name) for kind, files in LINUX.items() for name in {**COMMON, **files}]


def look(root: Path) -> None:
    """Read everything there is, and check what always holds."""
    found = machine.memory(root)
    assert 0 <= found.available <= found.limit <= found.host_total
    assert found.used >= 0
    with machine.Watch(root) as watch:
        reading = watch.read()
    assert 0 <= reading.available <= reading.limit
    for group in machine.control_groups(root).groups:
        assert group.used is None or group.used >= 0
    for row in machine.domains(gpus=False, root=root).rows:
        assert 0 <= row.limit <= row.total


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_cut_at_every_byte(tmp_path: Path, kind: str, name: str) -> None:
    root = tree(tmp_path, {**COMMON, **LINUX[kind]})
    content = (root / name).read_bytes()
    for cut in range(len(content)):
        (root / name).write_bytes(content[:cut])
        look(root)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_file_of_a_tebibyte(tmp_path: Path, kind: str, name: str) -> None:
    """Sparse: it takes no room on the disk, and must take none in memory."""
    root = tree(tmp_path, {**COMMON, **LINUX[kind]})
    try:
        os.truncate(root / name, 2**40)
    except OSError:
        pytest.skip("this file system keeps no file of a tebibyte")
    tracemalloc.start()
    try:
        look(root)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_file_that_cannot_be_read(tmp_path: Path, kind: str, name: str) -> None:
    """Even by root: the memory of this process at address 0."""
    root = tree(tmp_path, {**COMMON, **LINUX[kind]})
    (root / name).unlink()
    (root / name).symlink_to("/proc/self/mem")
    look(root)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_what_is_no_file(tmp_path: Path, kind: str, name: str) -> None:
    root = tree(tmp_path, {**COMMON, **LINUX[kind]})
    for make in (
        os.mkfifo,
        os.mkdir,
        lambda path: Path(path).symlink_to("nowhere"),
        lambda path: Path(path).symlink_to(path),
    ):
        (root / name).unlink()
        make(root / name)
        look(root)
        if (root / name).is_dir():
            (root / name).rmdir()
            (root / name).touch()


@pytest.mark.parametrize("name", ["proc/self/cgroup", "proc/self/mountinfo"])
def test_thousands_of_lines(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path, {**COMMON, **LINUX["v2"]})
    with (root / name).open("a") as file:
        file.writelines(f"{line}::/x{line}\n" for line in range(20_000))
    look(root)


def test_a_group_of_a_thousand_levels(tmp_path: Path) -> None:
    path = "/g" * 1000
    files = {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": LINUX["v2"]["proc/self/mountinfo"]}
    look(tree(tmp_path, {**COMMON, **files}))
