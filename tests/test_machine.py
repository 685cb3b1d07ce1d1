"""What the machine has: fixture trees for every shape of control group, and the real machine."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine_world import GIB, MEMINFO, MIB, UNLIMITED_V1, V1_MOUNT, V2_MOUNT, in_v1, in_v2, tree, v1, v2

from ullage import machine
from ullage.errors import ArgumentError


def test_version_2(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, in_v2("/job", v2("/job", str(8 * GIB), 3 * GIB))))
    assert (found.limit, found.limit_source) == (8 * GIB, "cgroup v2 memory.max /job")
    assert (found.used, found.available, found.high) == (3 * GIB, 5 * GIB, None)
    assert (found.host_total, found.host_available, found.swap) == (64 * GIB, 40 * GIB, GIB)
    assert found.notes == ()


def test_version_2_a_tighter_parent_binds(tmp_path: Path) -> None:
    files = in_v2(
        "/slice/pod/job",
        v2("/slice/pod/job", str(8 * GIB), 1 * GIB),
        v2("/slice/pod", str(6 * GIB), 5 * GIB, inactive=GIB),
        v2("/slice", "max", 30 * GIB),
    )
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.limit_source) == (6 * GIB, "cgroup v2 memory.max /slice/pod")
    assert (found.used, found.available, found.reclaimable_cache) == (4 * GIB, 2 * GIB, GIB)


def test_version_2_what_is_left_may_be_least_above_the_least_limit(tmp_path: Path) -> None:
    files = in_v2("/pod/job", v2("/pod/job", str(4 * GIB), GIB), v2("/pod", str(16 * GIB), 15 * GIB))
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.available) == (4 * GIB, GIB)


def test_version_2_high_is_told_apart_from_the_limit(tmp_path: Path) -> None:
    files = in_v2(
        "/pod/job",
        v2("/pod/job", "max", GIB, high=str(7 * GIB)),
        v2("/pod", str(16 * GIB), GIB, high=str(5 * GIB)),
    )
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.high) == (16 * GIB, 5 * GIB)


def test_version_2_no_limit_anywhere_leaves_the_host(tmp_path: Path) -> None:
    files = in_v2("/pod/job", v2("/pod/job", "max", GIB), v2("/pod", "max", GIB))
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.limit_source) == (64 * GIB, "host")
    assert (found.used, found.available, found.reclaimable_cache) == (24 * GIB, 40 * GIB, 20 * GIB)
    assert found.notes == ()


def test_version_2_a_limit_above_the_host_leaves_the_host(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, in_v2("/job", v2("/job", str(10**15), GIB))))
    assert (found.limit, found.limit_source, found.available) == (64 * GIB, "host", 40 * GIB)


def test_hot_page_cache_is_not_used_memory(tmp_path: Path) -> None:
    """A container that has just read a model file shows itself full; it is not."""
    files = in_v2("/job", v2("/job", str(8 * GIB), 8 * GIB - MIB, inactive=6 * GIB))
    found = machine.memory(tree(tmp_path, files))
    assert (found.used, found.available) == (2 * GIB - MIB, 6 * GIB + MIB)
    assert found.reclaimable_cache == 6 * GIB


def test_the_host_may_have_less_left_than_the_limit(tmp_path: Path) -> None:
    poor = MEMINFO.replace("41943040", "1048576")
    found = machine.memory(tree(tmp_path, in_v2("/job", v2("/job", str(8 * GIB), GIB)), meminfo=poor))
    assert (found.limit, found.available) == (8 * GIB, GIB)


@pytest.mark.parametrize(
    ("stat", "droppable"),
    [
        ("inactive_file 10\nactive_file 20\n", 30),
        ("inactive_file 10\nactive_file 20\nfile_mapped 5\nfile_dirty 4\nfile_writeback 3\n", 18),
        ("inactive_file 10\nactive_file 20\nfile_mapped 29\n", 10),
        ("active_file 20\n", 20),
        ("", 0),
    ],
)
def test_page_cache_is_droppable_unless_mapped_or_still_to_be_written(
    tmp_path: Path, stat: str, droppable: int
) -> None:
    files = in_v2("/job", v2("/job", str(8 * GIB), GIB))
    found = machine.memory(tree(tmp_path / "2", {**files, "sys/fs/cgroup/job/memory.stat": stat}))
    assert (found.used, found.reclaimable_cache) == (GIB - droppable, droppable)
    total = "".join(
        f"total_{line}\n" for line in stat.replace("file_", "").replace("mapped", "mapped_file").split("\n")
    )
    files = in_v1("/job", v1("/job", str(8 * GIB), GIB))
    found = machine.memory(tree(tmp_path / "1", {**files, "sys/fs/cgroup/memory/job/memory.stat": total}))
    assert (found.used, found.reclaimable_cache) == (GIB - droppable, droppable)


def test_use_beyond_the_limit_leaves_nothing(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, in_v2("/job", v2("/job", str(GIB), 2 * GIB))))
    assert (found.used, found.available) == (2 * GIB, 0)


def test_a_limit_of_zero_is_a_limit(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, in_v2("/job", v2("/job", "0", 0))))
    assert (found.limit, found.limit_source, found.available) == (0, "cgroup v2 memory.max /job", 0)


def test_cache_that_moved_between_two_reads_never_makes_use_negative(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, in_v2("/job", v2("/job", str(8 * GIB), GIB, inactive=2 * GIB))))
    assert (found.used, found.reclaimable_cache, found.available) == (0, GIB, 8 * GIB)


def test_version_1(tmp_path: Path) -> None:
    files = in_v1("/docker/abc", v1("/docker/abc", str(4 * GIB), 3 * GIB, inactive=2 * GIB))
    found = machine.memory(tree(tmp_path, files))
    assert found.limit_source == "cgroup v1 memory.limit_in_bytes /docker/abc"
    assert (found.limit, found.used, found.available) == (4 * GIB, GIB, 3 * GIB)


def test_version_1_nested_without_a_limit(tmp_path: Path) -> None:
    files = in_v1(
        "/api/job",
        v1("/api/job", UNLIMITED_V1, GIB),
        v1("/api", UNLIMITED_V1, 2 * GIB),
        v1("", UNLIMITED_V1, 9 * GIB),
    )
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.limit_source, found.notes) == (64 * GIB, "host", ())


def test_version_1_no_limit_on_a_kernel_with_large_pages(tmp_path: Path) -> None:
    files = in_v1("/job", v1("/job", str(2**63 - 2**16), GIB, hierarchical=str(2**63 - 2**16)))
    assert machine.memory(tree(tmp_path, files)).limit_source == "host"


def test_version_1_a_limit_of_an_ancestor_out_of_sight(tmp_path: Path) -> None:
    """A container sees its own group mounted; the kernel still tells what binds above it."""
    files = dict(in_v1("/docker/abc", v1("", UNLIMITED_V1, GIB, hierarchical=str(2 * GIB))))
    files["proc/self/mountinfo"] = V1_MOUNT.replace(" / /sys", " /docker/abc /sys")
    found = machine.memory(tree(tmp_path, files))
    assert found.limit_source == "cgroup v1 hierarchical_memory_limit /"
    assert (found.limit, found.available, found.notes) == (2 * GIB, GIB, ())


def test_hybrid_memory_in_version_1_beside_a_version_2_without_it(tmp_path: Path) -> None:
    files = in_v1("/api/job", v1("/api/job", UNLIMITED_V1, GIB), v1("/api", str(2 * GIB), GIB + MIB))
    found = machine.memory(tree(tmp_path, files))
    assert found.limit_source == "cgroup v1 memory.limit_in_bytes /api"
    assert (found.limit, found.available, found.notes) == (2 * GIB, GIB - MIB, ())


def test_a_namespaced_container_sees_itself_as_the_root(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, in_v2("/", v2("", str(2 * GIB), GIB))))
    assert (found.limit, found.limit_source) == (2 * GIB, "cgroup v2 memory.max /")


@pytest.mark.parametrize(("group", "root"), [("/../../pod", "/"), ("/", "/../.."), ("/", "/docker/abc")])
def test_a_group_outside_the_mount_takes_the_limits_of_the_mount(tmp_path: Path, group: str, root: str) -> None:
    files = dict(in_v2(group, v2("", str(2 * GIB), GIB)))
    files["proc/self/mountinfo"] = V2_MOUNT.replace(" / /sys", f" {root} /sys")
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.available) == (2 * GIB, GIB)
    assert "is not below" in found.notes[0]


def test_the_mount_that_shows_the_group_is_taken(tmp_path: Path) -> None:
    files = dict(in_v2("/pod/job", v2("/pod/job", str(2 * GIB), GIB)))
    files["proc/self/mountinfo"] = "40 23 0:28 /other /mnt/other rw - cgroup2 none rw\n" + V2_MOUNT
    assert machine.memory(tree(tmp_path, files)).limit == 2 * GIB


def test_of_two_mounts_the_one_with_more_ancestors_is_taken(tmp_path: Path) -> None:
    files = dict(in_v2("/pod/job", v2("/pod/job", "max", GIB), v2("", str(3 * GIB), GIB)))
    files["proc/self/mountinfo"] = "40 23 0:28 /pod /mnt/pod rw - cgroup2 none rw\n" + V2_MOUNT
    files["mnt/pod/job/memory.max"] = "max\n"
    assert machine.memory(tree(tmp_path, files)).limit == 3 * GIB


def test_a_mount_point_with_a_space(tmp_path: Path) -> None:
    files = dict(in_v2("/job"))
    files["proc/self/mountinfo"] = V2_MOUNT.replace("/sys/fs/cgroup", "/my\\040groups")
    files["my groups/job/memory.max"] = f"{GIB}\n"
    files["my groups/job/memory.current"] = "5\n"
    assert machine.memory(tree(tmp_path, files)).limit == GIB


def test_a_group_that_was_removed_leaves_its_ancestors(tmp_path: Path) -> None:
    files = in_v2("/pod/job (deleted)", v2("/pod", str(3 * GIB), GIB))
    found = machine.memory(tree(tmp_path, files))
    assert found.limit == 3 * GIB
    assert "does not exist" in found.notes[0]


def test_use_that_cannot_be_read_is_at_least_this_process(tmp_path: Path) -> None:
    files = dict(in_v2("/job", v2("/job", str(8 * GIB), 0)))
    files["sys/fs/cgroup/job/memory.current"] = "n/a\n"
    files["proc/self/status"] = "Name:\tpython\nVmSize:\t 9000000 kB\nVmRSS:\t 1048576 kB\n"
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.used, found.available) == (8 * GIB, GIB, 7 * GIB)
    assert any("is no byte count" in note for note in found.notes)
    assert any("use is unreadable" in note for note in found.notes)


def test_no_control_group_at_all(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, {}))
    assert (found.limit, found.limit_source, found.available) == (64 * GIB, "host", 40 * GIB)
    assert found.notes == ("no memory control group is in sight",)


def test_the_limit_on_address_space(tmp_path: Path) -> None:
    files = {
        "proc/self/limits": "Max cpu time  1 1 s\nMax address space   34359738368   unlimited   bytes  \n",
        "proc/self/status": "VmSize:\t16777216 kB\n",
    }
    found = machine.memory(tree(tmp_path, files))
    assert (found.limit, found.limit_source) == (32 * GIB, "RLIMIT_AS")
    assert (found.used, found.available) == (16 * GIB, 16 * GIB)


def test_no_meminfo_asks_psutil(tmp_path: Path) -> None:
    found = machine.memory(tree(tmp_path, {}, meminfo="garbage"))
    assert found.host_total == psutil.virtual_memory().total
    assert sys.platform != "linux" or "psutil was asked" in found.notes[0]


def test_an_old_kernel_without_mem_available(tmp_path: Path) -> None:
    old = "".join(line for line in MEMINFO.splitlines(keepends=True) if "Available" not in line)
    found = machine.memory(tree(tmp_path, {}, meminfo=old))
    assert found.host_available == 10 * GIB
    assert "MemFree is taken" in found.notes[0]


def test_directories_and_dead_links_in_place_of_files(tmp_path: Path) -> None:
    root = tree(tmp_path, in_v2("/pod/job", v2("/pod", str(3 * GIB), GIB)))
    job = root / "sys/fs/cgroup/pod/job"
    (job / "memory.max").mkdir(parents=True)
    (job / "memory.current").symlink_to("nowhere")
    os.mkfifo(job / "memory.stat")
    found = machine.memory(root)
    assert found.limit == 3 * GIB
    assert sum("no plain file" in note for note in found.notes) == 2


GARBAGE = [
    "",
    "max",
    "-1",
    "1e9",
    "٣",
    "9" * 5000,
    "12 34",
    "\x00",
    b"\xff\xfe",
    "0x10",
    "99999999999999999999",
]


@pytest.mark.parametrize("name", sorted(v2("/job", "1", 1)))
@pytest.mark.parametrize("content", GARBAGE)
def test_garbage_in_one_file_leaves_the_rest(tmp_path: Path, name: str, content: str | bytes) -> None:
    files = {**in_v2("/pod/job", v2("/pod/job", str(8 * GIB), GIB), v2("/pod", str(9 * GIB), 2 * GIB))}
    files[name.replace("/job/", "/pod/job/")] = content
    found = machine.memory(tree(tmp_path, files))
    assert found.limit in {8 * GIB, 9 * GIB}
    assert 0 <= found.available <= 7 * GIB or found.notes


PATHS = [
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "proc/self/limits",
    "proc/self/status",
    "proc/meminfo",
    *v2("/job", "1", 1),
]


@given(st.dictionaries(st.sampled_from(PATHS), st.binary(max_size=80) | st.sampled_from([b"0::/job\n", b"max\n"])))
def test_no_content_of_any_file_is_raised(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("root")
    found = machine.memory(tree(root, {**in_v2("/job", v2("/job", str(8 * GIB), GIB)), **content}))
    assert 0 <= found.limit <= found.host_total
    assert 0 <= found.available <= min(found.limit, found.host_available)
    assert found.used >= 0


@given(st.lists(st.tuples(st.none() | st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), min_size=1))
def test_limits_on_a_path_against_the_definition(
    tmp_path_factory: pytest.TempPathFactory, path: list[tuple[int | None, int, int]]
) -> None:
    """Every level in GiB as (limit, current, inactive file), innermost last, against the plain definition."""
    root = tmp_path_factory.mktemp("root")
    groups = []
    for depth, (limit, current, inactive) in enumerate(path):
        written = "max" if limit is None else str(limit * GIB)
        groups.append(v2("/g" * (depth + 1), written, current * GIB, inactive * GIB))
    found = machine.memory(tree(root, in_v2("/g" * len(path), *groups)))
    limits = [(limit, max(current - inactive, 0)) for limit, current, inactive in path if limit is not None]
    assert found.limit == min([64, *(limit for limit, _ in limits)]) * GIB
    assert found.available == min([40, *(max(limit - used, 0) for limit, used in limits)]) * GIB


def test_this_machine() -> None:
    found, host = machine.memory(), psutil.virtual_memory()
    assert found.host_total == host.total
    assert 0 < found.limit <= host.total
    assert 0 <= found.available <= found.limit
    assert found.limit_source


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is read from /proc")
def test_this_machine_under_ulimit() -> None:
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({GIB}, {GIB}))\n"
        "from ullage import machine\n"
        "found = machine.memory()\n"
        "print(found.limit_source, found.limit, 0 < found.used < found.limit)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["RLIMIT_AS", str(GIB), "True"]


def test_this_process() -> None:
    found = machine.process()
    assert found.rss > 0
    assert (found.uss, found.pss, found.swap) == (None, None, None)
    assert machine.process(os.getpid()).rss > 0


def test_this_process_in_full_sees_memory_come_and_go() -> None:
    before = machine.process(full=True)
    block = bytearray(64 * MIB)
    held = machine.process(full=True)
    assert before.uss is not None
    assert held.uss is not None
    assert held.uss - before.uss > 60 * MIB
    assert held.uss <= held.rss
    if sys.platform == "linux":
        assert held.pss is not None
        assert held.uss <= held.pss <= held.rss
        assert held.swap is not None
    del block


def test_another_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert machine.process(child.pid).rss > 0
        child.communicate(b"\n")
    with pytest.raises(ArgumentError) as caught:
        machine.process(child.pid)
    assert caught.value.name == "pid"


@pytest.mark.parametrize("pid", [-1, True, 1.5, "1", 2**70])
def test_what_is_no_process_is_refused(pid: object) -> None:
    with pytest.raises(ArgumentError) as caught:
        machine.process(pid)  # type: ignore[arg-type]
    assert caught.value.name == "pid"
