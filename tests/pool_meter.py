"""What the worker processes of a pool really hold, as the kernel counts it."""

import contextlib
import os
import threading
from pathlib import Path

import psutil

__all__ = ["Meter"]

KIB = 1024
CONTROLLERS = Path("/sys/fs/cgroup/memory")


class Meter:
    """Counts by a memory control group of its own where it may make one, and by the sum of PSS everywhere.

    Workers and what they are forked from are in the group because the thread that starts them is. That takes the first
    version of control groups: in the second, memory is counted by processes.
    """

    def __init__(self) -> None:
        """Begin: no worker may live yet, and none be started before this returns."""
        self.group = _new_group()
        self.base = 0
        """Bytes of what stays: what workers are forked from."""

    def begin(self) -> None:
        """Take what is held now for what stays."""
        self.base = max(self.held(), self.shares()[0])

    def held(self) -> int:
        """Give the bytes that the group holds now, kernel's own among them, or 0 without one."""
        return 0 if self.group is None else _number(self.group / "memory.usage_in_bytes")

    def most(self) -> int:
        """Give the most that it held since it was last limited."""
        return 0 if self.group is None else _number(self.group / "memory.max_usage_in_bytes")

    def limit(self, size: int) -> None:
        """Have whoever takes the group beyond `size` killed; count the most that it holds from here on."""
        if self.group is not None:
            (self.group / "memory.max_usage_in_bytes").write_text("0", encoding="ascii")
            (self.group / "memory.limit_in_bytes").write_text(str(size), encoding="ascii")

    def overruns(self) -> int:
        """Give how many processes the kernel killed for that."""
        if self.group is None:
            return 0
        found = (self.group / "memory.oom_control").read_text(encoding="ascii").split()
        return int(found[found.index("oom_kill") + 1])

    def shares(self) -> tuple[int, set[int]]:
        """Give the sum of PSS over all descendants of this process, and who they are."""
        pids = {child.pid for child in psutil.Process().children(recursive=True)}
        return sum(_share(pid) for pid in pids), pids

    def end(self) -> None:
        """Take the group down."""
        if self.group is not None:
            _move_spawner(self.group.parent)
            with contextlib.suppress(OSError):  # a storm that failed may have left somebody in it
                self.group.rmdir()


def _new_group() -> Path | None:
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        own = next((line.split(":", 2)[2] for line in lines if line.split(":")[1] == "memory"), None)
        if own is not None:
            group = CONTROLLERS / own.lstrip("/") / f"ullage-storm-{os.getpid()}"
            group.mkdir()
            if _move_spawner(group):
                return group
            group.rmdir()
    return None


def _move_spawner(group: Path) -> bool:
    """Move the thread that starts workers; tell whether there is one."""
    for thread in threading.enumerate():
        if thread.name == "ullage-spawner":
            (group / "tasks").write_text(str(thread.native_id), encoding="ascii")
            return True
    return False


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def _share(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * KIB
    return 0
