"""A process and all that it started: data loaders, workers, compilers."""

from dataclasses import dataclass

import psutil

from ullage.errors import ArgumentError, UllageError, UnreadableError
from ullage.machine.usage import ProcessMemory, process

__all__ = ["Family", "Member", "family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One process of a family."""

    pid: int
    parent: int
    name: str
    memory: ProcessMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A process and its descendants, and the sums of what they hold, in bytes."""

    members: tuple[Member, ...]
    """The process itself first."""
    rss: int
    """Counts a page once for each process that maps it: too much where they share."""
    uss: int | None
    """Held by single processes alone: too little where they share. `None` unless `full`."""
    pss: int | None
    """Counts a shared page once in all, as far as it is shared among the family. `None` unless `full`, or where the
    system does not count it. A member whose share may not be read counts with its `rss`."""
    swap: int | None
    notes: tuple[str, ...]
    """Who vanished or could not be read."""

    @property
    def held(self) -> int:
        """The best count there is: `pss`, else `rss`."""
        return self.rss if self.pss is None else self.pss


def family(pid: int | None = None, *, full: bool = False) -> Family:
    """Measure a process, this one unless `pid` names another, and all its descendants.

    With `full`, shared pages are counted once: see `process` for what that costs, each member anew. Raises
    `ArgumentError` where there is no such process; a descendant that ended meanwhile is left out, and `notes` says so.
    """
    memory = process(pid, full=full)
    members, notes = list[Member](), list[str]()
    for handle in _line(pid, notes):
        try:
            members.append(_member(handle, full=full, memory=None if members else memory, notes=notes))
        except (psutil.NoSuchProcess, ArgumentError):
            notes.append(f"process {handle.pid} ended while it was measured; left out")
        except (psutil.Error, UllageError, OSError) as error:
            notes.append(f"process {handle.pid} may not be read ({error}); left out")
    memories = [member.memory for member in members]
    return Family(
        members=tuple(members),
        rss=sum(memory.rss for memory in memories),
        uss=None if memory.uss is None else sum(memory.uss or 0 for memory in memories),
        pss=None if memory.pss is None else sum(_share(memory) for memory in memories),
        swap=None if memory.swap is None else sum(memory.swap or 0 for memory in memories),
        notes=tuple(notes),
    )


def _line(pid: int | None, notes: list[str]) -> list[psutil.Process]:
    """Give a process and its descendants."""
    elder = psutil.Process(pid)
    try:
        return [elder, *elder.children(recursive=True)]
    except (psutil.Error, OSError) as error:
        notes.append(f"the children of process {elder.pid} cannot be listed ({error})")
        return [elder]


def _member(handle: psutil.Process, *, full: bool, memory: ProcessMemory | None, notes: list[str]) -> Member:
    if memory is None:
        try:
            memory = process(handle.pid, full=full)
        except UnreadableError:
            notes.append(f"process {handle.pid} lets only its resident memory be read")
            memory = process(handle.pid)
    with handle.oneshot():
        return Member(pid=handle.pid, parent=handle.ppid(), name=handle.name(), memory=memory)


def _share(memory: ProcessMemory) -> int:
    return memory.rss if memory.pss is None else memory.pss
