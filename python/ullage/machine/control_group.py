"""Everything the control groups around this process say of memory: use, peak, pressure, and who was killed."""

import os
from dataclasses import dataclass

from ullage.machine.cgroup import Group, groups, read
from ullage.machine.pressure import Pressure, pressure
from ullage.machine.probe import Probe

__all__ = ["ControlGroup", "ControlGroups", "Events", "control_groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """How often a group came to its bounds since it was made; `None` where the kernel does not count it."""

    low: int | None = None
    """Reclaimed although under its protection."""
    high: int | None = None
    """Throttled for passing `memory.high`."""
    max: int | None = None
    """About to pass the limit. In version 1, allocations that failed at first."""
    oom: int | None = None
    """At the limit, and nothing could be reclaimed."""
    oom_kill: int | None = None
    """Processes killed."""
    oom_group_kill: int | None = None
    """Killed whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """One group around this process, in bytes; `None` where there is no bound or no such file."""

    version: int
    path: str
    """Below its mount, such as `/pod/job`."""
    limit: int | None
    """Passing it kills."""
    high: int | None
    """Passing it throttles."""
    charged: int | None
    """What the kernel counts: page cache included."""
    reclaimable: int
    """The part of `charged` that is page cache and can be dropped at once."""
    used: int | None
    """`charged` less `reclaimable`: what a limit bites on."""
    peak: int | None
    """The largest `charged` so far, page cache included."""
    events: Events | None
    pressure: Pressure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroups:
    """The groups around this process, innermost first, and the pressure on the whole host."""

    groups: tuple[ControlGroup, ...]
    pressure: Pressure | None
    notes: tuple[str, ...]
    """What could not be read."""


def control_groups(root: str | os.PathLike[str] = "/") -> ControlGroups:
    """Read every memory control group around this process; every path is taken below `root`.

    A file that is missing, unreadable or garbage is never an error: it is left out, and `notes` says so.
    """
    probe = Probe(root)
    found = [row for group in groups(probe) if (row := _described(probe, group)) is not None]
    if not found:
        probe.note("no memory control group is in sight")
    host = pressure(probe, "/proc/pressure/memory")
    return ControlGroups(groups=tuple(found), pressure=host, notes=tuple(probe.notes))


def _described(probe: Probe, group: Group) -> ControlGroup | None:
    levels = read(probe, group, inherited=False)
    if not levels:
        return None
    (level,), hierarchy = levels, group.hierarchy
    is_v2 = hierarchy.version == 2  # noqa: PLR2004 - the version's name
    return ControlGroup(
        version=hierarchy.version,
        path=group.path,
        limit=level.limit,
        high=level.high,
        charged=None if level.used is None else level.used + level.reclaimable,
        reclaimable=level.reclaimable,
        used=level.used,
        peak=probe.count(f"{group.directory}/{hierarchy.peak}"),
        events=_events_v2(probe, group.directory) if is_v2 else _events_v1(probe, group.directory),
        pressure=pressure(probe, f"{group.directory}/memory.pressure", expected=False) if is_v2 else None,
    )


def _events_v2(probe: Probe, directory: str) -> Events | None:
    names = {"low", "high", "max", "oom", "oom_kill", "oom_group_kill"}
    found = probe.fields(f"{directory}/memory.events", names)
    return Events(**found) if found else None


def _events_v1(probe: Probe, directory: str) -> Events | None:
    failed = probe.count(f"{directory}/memory.failcnt")
    killed = probe.fields(f"{directory}/memory.oom_control", {"oom_kill"}).get("oom_kill")
    return None if failed is None and killed is None else Events(max=failed, oom_kill=killed)
