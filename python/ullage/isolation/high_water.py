"""How much a process holds, and the most it has held since it was last asked in full."""

import contextlib
import os
import re
import threading
from typing import NamedTuple

from ullage.errors import UllageError
from ullage.machine.lineage import family

__all__ = ["HighWater", "Taken"]

MARKS = re.compile(rb"^VmHWM:\s+(\d+) kB\nVmRSS:\s+(\d+) kB$", re.MULTILINE)
KIB = 1024
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


class Taken(NamedTuple):
    """What was taken during a lease."""

    stays: int
    """The most bytes that the process held, less what only its leases needed: what the model takes by now."""
    passing: int | None
    """Bytes that the lease needed beyond what it found and what it left, or `None` where others ran beside it."""


class HighWater:
    """Measures one process and what it started: in full once, then by the kernel's own high-water mark.

    A lease that has the process to itself is seen from its begin to its end: what stays after it is the model's, what
    went again was its workspace. Of leases that ran beside each other only the sum is known.
    """

    def __init__(self, pid: int) -> None:
        """Measure process `pid`, when told to."""
        self._folder = f"/proc/{pid}"
        self._pid = pid
        self._held: int | None = None
        self._resident = 0
        """What was resident when all was measured."""
        self._lock = threading.Lock()
        self._leases: dict[int, int] = {}
        """What each lease under way has booked."""
        self._booked = 0
        """The most that they had booked together since there was one alone."""
        self._alone: int | None = None
        """The lease that has had the process to itself so far."""
        self._found = 0
        """What was resident when it began."""

    def begin(self) -> None:
        """Measure now, PSS where there is one, and set the kernel's mark to what is resident."""
        self._held = None
        with contextlib.suppress(UllageError, OSError):  # gone already, or not ours to read
            self._held = family(self._pid, full=True).held
        self._set_mark()
        # Where the mark could not be set, growth is only seen beyond the peak of the load.
        self._resident = (self._marks() or (0, 0))[0]

    def read(self) -> int | None:
        """Give the most bytes held since `begin`, or `None` where that cannot be known."""
        if self._held is None:
            return None
        marks = self._marks()
        return self._held if marks is None else self._held + max(marks[0] - self._resident, 0)

    def lease_begins(self, request: int, booked: int) -> None:
        """Note that a lease begins, with so many bytes of workspace."""
        with self._lock:
            self._leases[request] = booked
            self._booked = max(self._booked, sum(self._leases.values()))
            self._alone = None
            if len(self._leases) > 1 or self._held is None:
                return
            with contextlib.suppress(OSError, IndexError):  # gone already
                found = int(self._ask("/statm").split()[1]) * PAGE
                if self._set_mark():
                    self._alone, self._found, self._booked = request, found, booked

    def lease_ends(self, request: int) -> Taken | None:
        """Give what was taken during a lease, or `None` where that cannot be known."""
        with self._lock:
            if self._leases.pop(request, None) is None:
                return None  # of another process, that died
            is_alone = self._alone == request
            self._alone = None
            marks = self._marks()
            if self._held is None or marks is None:
                return None
            peak, resident = marks
            if not is_alone:
                return Taken(self._held + peak - self._resident - self._booked, None)
            return Taken(self._held + resident - self._resident, max(peak - max(resident, self._found), 0))

    def _set_mark(self) -> bool:
        """Set the kernel's high-water mark to what is resident; tell whether it could be."""
        with contextlib.suppress(OSError):
            file = os.open(self._folder + "/clear_refs", os.O_WRONLY)
            try:
                return os.write(file, b"5") == 1
            finally:
                os.close(file)
        return False

    def _ask(self, name: str) -> bytes:
        """Read what the kernel says of the process, for each lease and therefore without ado."""
        file = os.open(self._folder + name, os.O_RDONLY)
        try:
            return os.read(file, 1 << 14)
        finally:
            os.close(file)

    def _marks(self) -> tuple[int, int] | None:
        """Give the most that was resident since the mark was set, and what is."""
        try:
            found = MARKS.search(self._ask("/status"))
        except OSError:
            return None
        return (int(found[1]) * KIB, int(found[2]) * KIB) if found else None
