"""A process and all that it started: data loaders, workers, compilers."""

from contextlib import suppress
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
    """0 where it has none, or may not be asked."""
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
    memory, notes = process(pid, full=full), list[str]()
    elder = psutil.Process(pid)
    members = [_member(elder, memory)]
    for handle in _descendants(elder, notes):
        try:
            members.append(_member(handle, _measured(handle, notes, full=full)))
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


def _descendants(elder: psutil.Process, notes: list[str]) -> list[psutil.Process]:
    try:
        return elder.children(recursive=True)
    except (psutil.Error, OSError) as error:
        notes.append(f"the children of process {elder.pid} cannot be listed ({error})")
        return []


def _measured(handle: psutil.Process, notes: list[str], *, full: bool) -> ProcessMemory:
    try:
        return process(handle.pid, full=full)
    except UnreadableError:
        if not full:
            raise
    notes.append(f"process {handle.pid} lets only its resident memory be read")
    return process(handle.pid)


def _member(handle: psutil.Process, memory: ProcessMemory) -> Member:
    parent, name = 0, "?"
    with suppress(psutil.Error, OSError), handle.oneshot():  # its memory counts, whatever it is called
        parent, name = handle.ppid(), handle.name()
    return Member(pid=handle.pid, parent=parent, name=name, memory=memory)


def _share(memory: ProcessMemory) -> int:
    return memory.rss if memory.pss is None else memory.pss
