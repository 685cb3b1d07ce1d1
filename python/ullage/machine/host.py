"""How much memory this process can really have: the host, its control groups and its own limits together."""

import os
import re
import sys
from dataclasses import dataclass, replace
from typing import NamedTuple

import psutil

from ullage.machine.cgroup import Level, levels
from ullage.machine.job_object import job_limits
from ullage.machine.probe import Probe

__all__ = ["Memory", "address_space", "bounds", "memory"]

MEMINFO = {"MemTotal", "MemAvailable", "MemFree", "Inactive(file)", "SwapTotal", "SwapFree"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory in bytes, at one instant."""

    host_total: int
    host_available: int
    """What the host could give to new processes without swapping."""
    limit: int
    """The least limit above this process; never more than `host_total`."""
    limit_source: str
    """Where it stands: `cgroup v2 memory.max /a/b`, `cgroup v1 ...`, `RLIMIT_AS`, `job object ...`, or `host`."""
    high: int | None
    """The least `memory.high` above this process, where throttling begins; `None` where none is set."""
    used: int
    """Used under `limit`, without page cache that can be dropped at once."""
    available: int
    """What can still be had: the least of what each limit and the host have left."""
    reclaimable_cache: int
    """Page cache under `limit` that can be dropped at once."""
    swap: int
    """Swap in use on the host."""
    notes: tuple[str, ...]
    """What could not be read, and what was taken instead."""


class Host(NamedTuple):
    """What the host says of itself, in bytes."""

    total: int
    available: int
    inactive_file: int
    swap: int


def memory(root: str | os.PathLike[str] = "/") -> Memory:
    """Read what there is; every path is taken below `root`, so a directory can stand in for a machine.

    A file that is missing, unreadable or garbage is never an error: it is left out, and `notes` says so.
    Kernel memory that could be reclaimed (slabs) and page cache that is mapped count as used.
    """
    probe = Probe(root)
    host, limits, groups = bounds(probe)
    binding = min(limits, key=_limit)
    return Memory(
        host_total=host.total,
        host_available=host.available,
        limit=_limit(binding),
        limit_source=binding.source,
        high=min((level.high for level in groups if level.high is not None), default=None),
        used=binding.used or 0,
        available=min(max(_limit(level) - (level.used or 0), 0) for level in limits),
        reclaimable_cache=binding.reclaimable,
        swap=host.swap,
        notes=tuple(probe.notes),
    )


class Bounds(NamedTuple):
    """All that bounds this process."""

    host: Host
    limits: list[Level]
    """With a limit and a use, the host first."""
    groups: list[Level]
    """Of every control group, limited or not."""


def bounds(probe: Probe) -> Bounds:
    """Read what bounds this process."""
    host = _host(probe)
    used = host.total - host.available
    limits = [Level(source="host", limit=host.total, used=used, reclaimable=host.inactive_file)]
    groups = levels(probe)
    others = [*groups, *address_space(probe), *job_limits(probe)]
    limits += [_counted(probe, level) for level in others if level.limit is not None]
    return Bounds(host, limits, groups)


def _limit(level: Level) -> int:
    return level.limit or 0


def _counted(probe: Probe, level: Level) -> Level:
    """Give a level whose use is unreadable at least what this process itself holds."""
    if level.used is not None:
        return level
    probe.note(f"{level.source}: its use is unreadable; the resident memory of this process is taken")
    resident = probe.fields("/proc/self/status", {"VmRSS"}, unit=1024)
    return replace(level, used=resident.get("VmRSS", 0))


def address_space(probe: Probe) -> list[Level]:
    """Give the limit on address space, `ulimit -v`; mapped bytes count against it, resident or not."""
    found = re.search(r"^Max address space +(\d+) ", probe.text("/proc/self/limits") or "", re.MULTILINE)
    limit = probe.number(found[1], "/proc/self/limits") if found else None
    if limit is None:
        return []
    mapped = probe.fields("/proc/self/status", {"VmSize"}, unit=1024)
    return [Level(source="RLIMIT_AS", limit=limit, used=mapped.get("VmSize"), reclaimable=0)]


def _host(probe: Probe) -> Host:
    found = probe.fields("/proc/meminfo", MEMINFO, unit=1024)
    if not found.get("MemTotal"):
        if sys.platform == "linux":
            probe.note("/proc/meminfo is of no use; psutil was asked about the host")
        return _host_of_psutil()
    total = found["MemTotal"]
    if "MemAvailable" not in found:
        probe.note("/proc/meminfo has no MemAvailable; MemFree is taken")
    return Host(
        total=total,
        available=min(found.get("MemAvailable", found.get("MemFree", 0)), total),
        inactive_file=found.get("Inactive(file)", 0),
        swap=max(found.get("SwapTotal", 0) - found.get("SwapFree", 0), 0),
    )


def _host_of_psutil() -> Host:
    virtual = psutil.virtual_memory()
    return Host(
        total=virtual.total,
        available=min(virtual.available, virtual.total),
        inactive_file=0,
        swap=psutil.swap_memory().used,
    )
