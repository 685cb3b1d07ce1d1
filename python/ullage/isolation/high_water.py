"""How much a process holds, and the most it has held since it was last asked in full."""

import contextlib
import re
from pathlib import Path

from ullage.errors import UllageError
from ullage.machine.lineage import family

__all__ = ["HighWater"]

PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
KIB = 1024


class HighWater:
    """Measures one process and what it started: in full once, then by the kernel's own high-water mark."""

    def __init__(self, pid: int) -> None:
        """Measure process `pid`, when told to."""
        self._folder = Path(f"/proc/{pid}")
        self._pid = pid
        self._held: int | None = None
        self._peak: int | None = None

    def begin(self) -> None:
        """Measure now, PSS where there is one, and set the kernel's mark to what is resident."""
        self._held = None
        with contextlib.suppress(UllageError, OSError):  # gone already, or not ours to read
            self._held = family(self._pid, full=True).held
        with contextlib.suppress(OSError):  # then growth is only seen beyond the peak of the load
            (self._folder / "clear_refs").write_bytes(b"5")
        self._peak = self._mark()

    def read(self) -> int | None:
        """Give the most bytes held since `begin`, or `None` where that cannot be known."""
        if self._held is None:
            return None
        peak = self._mark()
        if peak is None or self._peak is None:
            return self._held
        return self._held + max(peak - self._peak, 0)

    def _mark(self) -> int | None:
        try:
            found = PEAK.search((self._folder / "status").read_bytes())
        except OSError:
            return None
        return int(found[1]) * KIB if found else None
