"""One look at memory, made cheap: the kernel's files stay open and are read again from their start.

`memory()` opens some fifteen files at each call. A `Watch` finds out once which of them matter and keeps those. What
it keeps may turn stale: the process forks, moves to another control group, has its descriptors closed, or a limit
appears further up. The first and third are noticed at once, the others within `RECHECK_S`, and everything is opened
anew. Files that the quick way does not understand are left to `memory()`, which has an answer for all of them.
"""

import os
import time
from contextlib import suppress
from mmap import PAGESIZE
from types import TracebackType
from typing import NamedTuple, Self

from ullage import _core
from ullage.machine.cgroup import INHERITED, Group, levels_by_group
from ullage.machine.host import address_space, memory
from ullage.machine.probe import Probe
from ullage.machine.usage import process

__all__ = ["Reading", "Watch"]

RECHECK_S = 1.0
"""How long a move to another control group, or a limit where there was none, may go unnoticed."""
SETTINGS = ("/proc/self/cgroup", "/proc/self/limits")


class Reading(NamedTuple):
    """Memory at one instant, in bytes; as in `Memory`."""

    rss: int
    """Resident memory of this process."""
    limit: int
    """The least limit above this process, or the host's memory."""
    used: int
    """Used under `limit`, without page cache that can be dropped at once."""
    available: int
    """What can still be had."""


class Watch:
    """Reads memory over and over: `with machine.Watch() as watch: watch.read()`.

    Usable from any thread, and on both sides of a fork.
    """

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        """Open what is needed; every path is taken below `root`."""
        self._root = os.fspath(root)
        self._retry_at = 0.0
        self._files = self._open()

    def read(self) -> Reading:
        """Look once."""
        files = self._files
        found = files.read() if files is not None else None
        return self._read_anew() if found is None else Reading(*found)

    @property
    def is_quick(self) -> bool:
        """Whether files are kept; else each reading opens them."""
        return self._files is not None

    def close(self) -> None:
        """Give the descriptors back. A later reading opens the files again."""
        self._files, self._retry_at = None, 0.0

    def __enter__(self) -> Self:
        """Give the watch itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _read_anew(self) -> Reading:
        if self._files is not None or time.monotonic() >= self._retry_at:
            self._files = files = self._open()
            found = None if files is None else files.read()
            if found is not None:
                return Reading(*found)
        self._files = None
        return _read_slowly(self._root)

    def _open(self) -> _core.Watch | None:
        """Open the files, or give `None` where that will not do; then wait a while before it is tried again."""
        self._retry_at = time.monotonic() + RECHECK_S
        with suppress(OSError, ValueError):
            files = _opened(self._root)
            if files.read() is not None:
                return files
        return None


def _opened(root: str) -> _core.Watch:
    probe = Probe(root)
    settings = {path: _content(probe, path) for path in SETTINGS}  # before what rests on them is looked at
    groups, seen = [], set[int]()
    for group, found in levels_by_group(probe):
        is_innermost = group.hierarchy.version not in seen
        seen.add(group.hierarchy.version)
        if any(level.limit is not None for level in found):
            groups.append(_files(probe, group, is_innermost=is_innermost))
        else:
            path = f"{group.directory}/{group.hierarchy.limit}"
            settings[path] = _content(probe, path)
    space = [level.limit for level in address_space(probe) if level.limit is not None]
    return _core.Watch(
        statm=probe.at("/proc/self/statm"),
        meminfo=probe.at("/proc/meminfo"),
        page=PAGESIZE,
        groups=groups,
        address_space=min(space, default=None),
        settings=[(probe.at(path), said) for path, said in settings.items() if said is not None],
        recheck_s=RECHECK_S,
    )


def _content(probe: Probe, path: str) -> bytes | None:
    text = probe.text(path)
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _files(
    probe: Probe, group: Group, *, is_innermost: bool
) -> tuple[str, str, str, str, str, tuple[str, ...], str | None]:
    hierarchy, directory = group.hierarchy, probe.at(group.directory)
    limit, usage = f"{directory}/{hierarchy.limit}", f"{directory}/{hierarchy.usage}"
    inherited = INHERITED if is_innermost else None
    return limit, usage, f"{directory}/memory.stat", hierarchy.inactive, hierarchy.active, hierarchy.held, inherited


def _read_slowly(root: str) -> Reading:
    found = memory(root)
    pages = (Probe(root).text("/proc/self/statm") or "").split()
    if len(pages) > 1 and pages[1].isascii() and pages[1].isdecimal() and len(pages[1]) <= len(str(2**64)):
        rss = int(pages[1]) * PAGESIZE
    else:
        rss = process().rss
    return Reading(rss, found.limit, found.used, found.available)
