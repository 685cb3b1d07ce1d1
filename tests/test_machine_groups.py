"""Control groups in full: peaks, events, pressure."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_world import GIB, UNLIMITED_V1, Files, in_v1, in_v2, tree, v1, v2

from ullage import machine
from ullage.machine import Events, Pressure, Stall
from ullage.machine.pressure import pressure
from ullage.machine.probe import Probe

PSI = "some avg10=1.53 avg60=0.40 avg300=0.10 total=58761459\nfull avg10=0.00 avg60=0.20 avg300=0.05 total=45231\n"
READ = Pressure(Stall(1.53, 0.4, 0.1, 58761459), Stall(0.0, 0.2, 0.05, 45231))
JOB = "sys/fs/cgroup/pod/job"
EVENTS = "low 0\nhigh 12\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\nsock_throttled 9\n"


def pod() -> Files:
    """Give two groups of version 2, of which the inner has everything."""
    return {
        **in_v2("/pod/job", v2("/pod/job", str(8 * GIB), 3 * GIB, GIB, str(7 * GIB)), v2("/pod", "max", 5 * GIB)),
        "proc/pressure/memory": PSI,
        f"{JOB}/memory.peak": f"{6 * GIB}\n",
        f"{JOB}/memory.events": EVENTS,
        f"{JOB}/memory.pressure": PSI.replace("1.53", "100.00"),
    }


def test_version_2(tmp_path: Path) -> None:
    found = machine.control_groups(tree(tmp_path, pod()))
    assert (found.pressure, found.notes) == (READ, ())
    job, above = found.groups
    assert (job.version, job.path, job.limit, job.high, job.peak) == (2, "/pod/job", 8 * GIB, 7 * GIB, 6 * GIB)
    assert (job.charged, job.reclaimable, job.used) == (3 * GIB, GIB, 2 * GIB)
    assert job.events == Events(low=0, high=12, max=3, oom=2, oom_kill=1, oom_group_kill=0)
    assert job.pressure is not None
    assert job.pressure.some.avg10 == 100.0
    assert (above.path, above.limit, above.used) == ("/pod", None, 5 * GIB)
    assert (above.peak, above.events, above.pressure) == (None, None, None)


def test_version_1(tmp_path: Path) -> None:
    base = "sys/fs/cgroup/memory/job"
    files = {
        **in_v1("/job", v1("/job", str(4 * GIB), 3 * GIB, 2 * GIB), v1("", UNLIMITED_V1, 9 * GIB)),
        f"{base}/memory.max_usage_in_bytes": f"{4 * GIB}\n",
        f"{base}/memory.failcnt": "17\n",
        f"{base}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }
    found = machine.control_groups(tree(tmp_path, files))
    job, above = found.groups
    assert (job.version, job.path, job.limit, job.peak, job.used) == (1, "/job", 4 * GIB, 4 * GIB, GIB)
    assert (job.events, job.pressure) == (Events(max=17, oom_kill=2), None)
    assert (above.limit, above.events) == (None, None)


def test_a_kernel_without_pressure_says_so(tmp_path: Path) -> None:
    files = {name: text for name, text in pod().items() if "pressure" not in name}
    found = machine.control_groups(tree(tmp_path, files))
    assert (found.pressure, found.groups[0].pressure) == (None, None)
    assert found.notes == ("'/proc/pressure/memory' does not exist: this kernel keeps no pressure information (PSI)",)


def test_a_kernel_that_counts_some_alone(tmp_path: Path) -> None:
    found = machine.control_groups(tree(tmp_path, {**pod(), "proc/pressure/memory": PSI.splitlines()[0]}))
    assert found.pressure == Pressure(READ.some, None)


def test_no_group_at_all(tmp_path: Path) -> None:
    found = machine.control_groups(tmp_path)
    assert (found.groups, found.pressure) == ((), None)
    assert "no memory control group is in sight" in found.notes


@pytest.mark.parametrize("cut", range(len(PSI)))
def test_pressure_cut_anywhere_is_none_or_what_was_whole(tmp_path: Path, cut: int) -> None:
    """A number that lost its last digits cannot be told from a whole one; anything else can."""
    (tmp_path / "psi").write_text(PSI[:cut])
    probe = Probe(tmp_path)
    found = pressure(probe, "/psi")
    first = PSI.index("total=") + len("total=")
    assert (found is None) == (cut <= first)
    if found is not None:
        assert (found.some.avg10, found.some.avg60, found.some.avg300) == (1.53, 0.4, 0.1)
        began = cut > PSI.index("full")
        assert found.full is not None or bool(probe.notes) == began
    else:
        assert probe.notes


GARBAGE = [
    "",
    "some",
    "some avg10=nan avg60=0 avg300=0 total=1",
    "some avg10=1e9 avg60=0 avg300=0 total=1",
    "full " * 9,
]


@pytest.mark.parametrize("content", [*GARBAGE, "some avg10=-1 avg60=0 avg300=0 total=1", "9" * 5000, "\x00\n", "٣"])
def test_what_is_no_pressure_is_noted(tmp_path: Path, content: str) -> None:
    found = machine.control_groups(tree(tmp_path, {**pod(), "proc/pressure/memory": content}))
    assert found.pressure is None
    assert any("/proc/pressure/memory" in note for note in found.notes)
    assert len(found.groups) == 2


NAMES = [name for name in pod() if not name.endswith(("cgroup", "mountinfo"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_in_place_of_any_file(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path, pod())
    (root / name).unlink()
    (root / name).mkdir()
    found = machine.control_groups(root)
    assert any("no plain file" in note for note in found.notes)
    assert found.groups


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(pod())), st.binary(max_size=120)))
def test_no_content_of_any_file_is_raised(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> None:
    found = machine.control_groups(tree(tmp_path_factory.mktemp("root"), {**pod(), **content}))
    for group in found.groups:
        assert group.used is None or group.charged is None or 0 <= group.used <= group.charged


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_flipped_byte_is_never_raised(tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    root = tree(tmp_path_factory.mktemp("root"), pod())
    for name in NAMES:
        content = bytearray((root / name).read_bytes())
        content[place % len(content)] = byte
        (root / name).write_bytes(content)
    assert machine.control_groups(root).groups is not None


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_this_machine() -> None:
    found = machine.control_groups()
    for group in found.groups:
        if group.charged is not None:
            assert group.used is not None
            assert group.used + group.reclaimable == group.charged
    if found.pressure is not None:
        assert 0 <= found.pressure.some.avg10 <= 100
        assert found.pressure.full is not None
        assert found.pressure.full.total_us <= found.pressure.some.total_us
