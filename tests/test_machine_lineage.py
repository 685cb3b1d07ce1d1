"""A process and its descendants, against processes whose memory is known."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from ullage import machine
from ullage.errors import ArgumentError, UnreadableError
from ullage.machine import lineage, usage
from ullage.machine.usage import ProcessMemory

MIB = 2**20


CHILD = """
import subprocess, sys
block = bytearray({size} << 20)
if {depth}:
    subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[1]], stdin=sys.stdin)
print("ready", flush=True)
input()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """Give a process of 48 MiB that started another of 24."""
    inner = CHILD.format(size=24, depth=0)
    outer = CHILD.format(size=48, depth=1).replace("sys.argv[1], sys.argv[1]", repr(inner))
    with subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        yield process
        process.communicate("\n\n")


def test_descendants_are_measured_and_summed(child: subprocess.Popen[str]) -> None:
    found = machine.family(full=True)
    assert found.members[0].pid == os.getpid()
    assert found.members[0].memory.pss is not None
    by_pid = {member.pid: member for member in found.members}
    grandchildren = [member for member in found.members if member.parent == child.pid]
    assert len(grandchildren) == 1
    assert by_pid[child.pid].parent == os.getpid()
    assert (by_pid[child.pid].memory.uss or 0) > 48 * MIB
    assert (grandchildren[0].memory.uss or 0) > 24 * MIB
    memories = [member.memory for member in found.members]
    assert found.rss == sum(memory.rss for memory in memories)
    assert found.pss == sum(memory.pss or 0 for memory in memories)
    assert found.uss == sum(memory.uss or 0 for memory in memories)
    assert found.uss <= found.pss <= found.rss
    assert found.held == found.pss
    assert found.notes == ()


def test_of_another_process(child: subprocess.Popen[str]) -> None:
    found = machine.family(child.pid)
    assert len(found.members) == 2
    assert (found.uss, found.pss, found.swap) == (None, None, None)
    assert found.held == found.rss > (48 + 24) * MIB


def test_pages_that_a_fork_shares_count_once() -> None:
    code = textwrap.dedent(
        """
        import os
        from ullage import machine
        block = bytearray(64 << 20)
        reading, writing = os.pipe()
        children = []
        for _ in range(3):
            if (child := os.fork()) == 0:
                os.close(writing)
                os.read(reading, 1)
                os._exit(0)
            children.append(child)
        found = machine.family(full=True)
        os.close(writing)
        for child in children:
            os.waitpid(child, 0)
        print(len(found.members), found.pss >> 20, found.rss >> 20)
        """
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    members, pss, rss = map(int, done.stdout.split())
    assert members == 4
    assert 64 <= pss < 128
    assert rss > 4 * 64


def test_a_descendant_that_ends_meanwhile_is_left_out(
    child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = usage.process

    def process(pid: int | None = None, *, full: bool = False) -> ProcessMemory:
        if pid == child.pid:
            raise ArgumentError("gone", name="pid", reason="no such process")
        return real(pid, full=full)

    monkeypatch.setattr(lineage, "process", process)
    found = machine.family()
    assert child.pid not in {member.pid for member in found.members}
    assert found.notes == (f"process {child.pid} ended while it was measured; left out",)


def test_a_descendant_of_somebody_else_counts_with_its_resident_memory(
    child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = usage.process

    def process(pid: int | None = None, *, full: bool = False) -> ProcessMemory:
        if pid == child.pid and full:
            raise UnreadableError("not yours", path="/proc")
        return real(pid, full=full)

    monkeypatch.setattr(lineage, "process", process)
    found = machine.family(full=True)
    (member,) = [member for member in found.members if member.pid == child.pid]
    assert (member.memory.pss, member.memory.rss > 48 * MIB) == (None, True)
    assert found.pss == sum(one.memory.rss if one.memory.pss is None else one.memory.pss for one in found.members)
    assert found.notes == (f"process {child.pid} lets only its resident memory be read",)


def test_children_that_cannot_be_listed_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def children(self: psutil.Process, **_: Any) -> list[psutil.Process]:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "children", children)
    found = machine.family()
    assert len(found.members) == 1
    assert "cannot be listed" in found.notes[0]


@pytest.mark.parametrize("pid", [-1, True, "1", 2**70])
def test_what_is_no_process_is_refused(pid: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        machine.family(pid)
    assert caught.value.name == "pid"
