"""Reading what processes hold, and the kernel's own high-water mark."""

import contextlib
import ctypes
import gc
import re
import sys
from pathlib import Path
from typing import NamedTuple

import psutil

__all__ = ["Gauge", "Reading"]

PROC = Path("/proc")
ROLLUP = re.compile(rb"^(Rss|Pss|SwapPss):\s+(\d+) kB$", re.MULTILINE)
HIGH_WATER = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
KIB = 1024


class Reading(NamedTuple):
    """Bytes held at one instant."""

    held: int
    """PSS, or RSS where there is no PSS."""
    own_rss: int
    """RSS of this process alone."""
    own_held: int
    """As `held`, of this process alone."""
    swapped: int
    """Swapped out, which `held` does not count."""

    @property
    def shared(self) -> int:
        """What others account for of the pages that this process has resident."""
        return max(self.own_rss - self.own_held, 0)


class Gauge:
    """Reads this process, and its children where `children` is set."""

    def __init__(self, *, children: bool) -> None:
        """Find out what the system offers."""
        self._children = children
        self._me = psutil.Process()
        self.metric = "pss" if _rollup(PROC / "self") is not None else "rss"
        self.notes: list[str] = []
        if self.metric == "rss":
            self.note("no PSS on this system: RSS counts pages that are shared with other processes in full")

    def note(self, text: str) -> None:
        """Keep a remark for the reader, once."""
        if text not in self.notes:
            self.notes.append(text)

    def read(self) -> Reading:
        """Read what is held now."""
        rss, held, swapped = self._of("self", self._me)
        total = held
        if self._children:
            for child in self._me.children(recursive=True):
                with contextlib.suppress(psutil.Error, OSError):  # it may end at any moment
                    _, of_child, child_swapped = self._of(str(child.pid), child)
                    total += of_child
                    swapped += child_swapped
        return Reading(total, rss, held, swapped)

    def _of(self, name: str, process: psutil.Process) -> tuple[int, int, int]:
        if self.metric == "pss":
            found = _rollup(PROC / name)
            if found is not None:
                return found
            if name == "self":  # RSS in its place would be no sample of the same quantity
                raise OSError("this process may not read its own smaps_rollup")
            self.note("the memory of a child was unreadable; it is not counted")
            return 0, 0, 0
        rss = process.memory_info().rss
        return rss, rss, 0

    def settle(self) -> None:
        """Give back what was freed and is only kept for later, so that its use again shows as growth."""
        gc.collect()
        if sys.platform == "linux":
            with contextlib.suppress(AttributeError, OSError):  # only glibc has it
                ctypes.CDLL(None).malloc_trim(0)

    def reset_high_water(self) -> bool:
        """Set the kernel's high-water mark of this process to what it holds now; tell whether that was allowed."""
        try:
            (PROC / "self" / "clear_refs").write_bytes(b"5")
        except OSError:
            return False
        return True

    def high_water(self) -> int | None:
        """Give the most RSS that this process had, in bytes, or `None` where the kernel does not say."""
        if sys.platform != "linux":
            return None
        try:
            found = HIGH_WATER.search((PROC / "self" / "status").read_bytes())
        except OSError:
            return None
        return int(found[1]) * KIB if found else None


def _rollup(folder: Path) -> tuple[int, int, int] | None:
    """Give RSS, PSS and swapped bytes of the process, or `None` where the kernel does not sum them up."""
    try:
        found = dict(ROLLUP.findall((folder / "smaps_rollup").read_bytes()))
    except OSError:
        return None
    if b"Rss" not in found or b"Pss" not in found:
        return None
    return int(found[b"Rss"]) * KIB, int(found[b"Pss"]) * KIB, int(found.get(b"SwapPss", 0)) * KIB
