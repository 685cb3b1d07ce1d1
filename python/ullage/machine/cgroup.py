"""Memory limits of the control groups a process is in: its own and every ancestor's, versions 1 and 2.

A limit anywhere on the path binds. Page cache that the kernel can drop is charged to the group but is not used
memory: a container that has just read a model file is not full. That is the inactive list of files, and the active
one too (a file read twice moves there, and can be dropped as well) as far as it is neither mapped, which is in use,
nor still to be written.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from ullage.machine.probe import Probe

__all__ = ["INHERITED", "Group", "Hierarchy", "Level", "groups", "levels", "levels_by_group", "read"]

UNLIMITED_V1 = 2**62
"""Version 1 writes "no limit" as 2^63 less one page, whatever the page."""
INHERITED = "hierarchical_memory_limit"
"""In version 1's `memory.stat`: the least limit of all ancestors, those that a container cannot see among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One place where memory is counted, in bytes."""

    source: str
    """Such as `cgroup v2 memory.max /a/b`."""
    limit: int | None
    """What kills when passed; `None` where there is none."""
    used: int | None
    """Charged, less page cache that can be dropped; `None` where unreadable."""
    reclaimable: int
    """Page cache that can be dropped."""
    high: int | None = None
    """What throttles when passed; `None` where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """How one version of control groups writes memory down."""

    version: int
    name: str
    limit: str
    usage: str
    inactive: str
    active: str
    held: tuple[str, ...]
    """Page cache that cannot be dropped at once: mapped, dirty, being written."""
    high: str | None
    peak: str


V1 = Hierarchy(
    version=1,
    name="cgroup v1",
    limit="memory.limit_in_bytes",
    usage="memory.usage_in_bytes",
    inactive="total_inactive_file",
    active="total_active_file",
    held=("total_mapped_file", "total_dirty", "total_writeback"),
    high=None,
    peak="memory.max_usage_in_bytes",
)
V2 = Hierarchy(
    version=2,
    name="cgroup v2",
    limit="memory.max",
    usage="memory.current",
    inactive="inactive_file",
    active="active_file",
    held=("file_mapped", "file_dirty", "file_writeback"),
    high="memory.high",
    peak="memory.peak",
)


class Mount(NamedTuple):
    """Where a hierarchy is mounted: `root` is the group that `point` shows."""

    root: str
    point: str


class Group(NamedTuple):
    """One control group around this process."""

    hierarchy: Hierarchy
    path: str
    """Below the mount, such as `/a/b`."""
    directory: str
    """Where its files are."""


def groups(probe: Probe) -> list[Group]:
    """Give the memory control groups around this process that can be seen, innermost first."""
    found: list[Group] = []
    for hierarchy, group in _memberships(probe):
        mount = _mount(probe, hierarchy, group)
        if mount is not None:
            found += _on_path(probe, hierarchy, group, mount)
    return found


def levels(probe: Probe) -> list[Level]:
    """Give every level of memory accounting above this process, innermost first."""
    found = [level for _, levels in levels_by_group(probe) for level in levels]
    if not found:
        probe.note("no memory control group is in sight")
    return found


def levels_by_group(probe: Probe) -> list[tuple[Group, list[Level]]]:
    """Give each group that counts memory with its levels: its own and, the innermost of version 1, the inherited."""
    found: list[tuple[Group, list[Level]]] = []
    seen: set[int] = set()
    for group in groups(probe):
        at_group = read(probe, group, inherited=group.hierarchy.version not in seen)
        if at_group:
            seen.add(group.hierarchy.version)
            found.append((group, at_group))
    return found


def _memberships(probe: Probe) -> list[tuple[Hierarchy, str]]:
    groups: list[tuple[Hierarchy, str]] = []
    for line in (probe.text("/proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, group = rest.partition(":")
        if not colon or not group.startswith("/"):
            probe.note(f"/proc/self/cgroup: the line {line[:80]!a} makes no sense; ignored")
        elif "memory" in controllers.split(","):
            groups.append((V1, group))
        elif number == "0" and not controllers:
            groups.append((V2, group))
    return groups


def _mount(probe: Probe, hierarchy: Hierarchy, group: str) -> Mount | None:
    """Give the mount that shows `group` with the most ancestors, else any nearest the root, else `None`."""
    mounts = []
    for line in (probe.text("/proc/self/mountinfo") or "").splitlines():
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if not dash or len(fields) < 5 or len(kind) < 3:  # noqa: PLR2004 - proc(5): root 4th, point 5th; type, -, options
            continue
        is_v1 = kind[0] == "cgroup" and "memory" in kind[2].split(",")
        if is_v1 if hierarchy is V1 else kind[0] == "cgroup2":
            mounts.append(Mount(_unescaped(fields[3]), _unescaped(fields[4])))
    showing = [mount for mount in mounts if _below(group, mount.root) is not None]
    return min(showing or mounts, key=lambda mount: len(mount.root), default=None)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _below(group: str, root: str) -> list[str] | None:
    """Give the names on the way from `root` down to `group`, or `None` where `group` is not below it."""
    names, base = group.split("/"), root.rstrip("/").split("/")
    if ".." in names or ".." in base or names[: len(base)] != base:
        return None
    return [name for name in names[len(base) :] if name]


def _on_path(probe: Probe, hierarchy: Hierarchy, group: str, mount: Mount) -> list[Group]:
    names = _below(group, mount.root)
    if names is None:
        probe.note(
            f"{hierarchy.name}: the group {group!a} is not below {mount.root!a}, which is mounted; "
            f"the limits of {mount.point} are taken"
        )
        names = []
    found: list[Group] = []
    for depth in range(len(names), -1, -1):
        path = "/" + "/".join(names[:depth])
        directory = mount.point.rstrip("/") + path.rstrip("/")
        if probe.is_dir(directory):
            found.append(Group(hierarchy, path, directory))
        else:
            probe.note(f"{directory!a} does not exist; its ancestors are read")
    return found


def read(probe: Probe, group: Group, *, inherited: bool) -> list[Level]:
    """Read what one group counts: nothing, one level, or with `inherited` also the limit it inherits unseen."""
    hierarchy, path, directory = group
    limit = _finite(probe.count(f"{directory}/{hierarchy.limit}", unlimited="max"))
    high = probe.count(f"{directory}/{hierarchy.high}", unlimited="max") if hierarchy.high else None
    charged = probe.count(f"{directory}/{hierarchy.usage}")
    if limit is None and high is None and charged is None:
        return []
    wanted = {hierarchy.inactive, hierarchy.active, *hierarchy.held, INHERITED}
    stat = probe.fields(f"{directory}/memory.stat", wanted)
    reclaimable = min(_droppable(hierarchy, stat), charged or 0)
    used = None if charged is None else charged - reclaimable
    own = Level(
        source=f"{hierarchy.name} {hierarchy.limit} {path}",
        limit=limit,
        used=used,
        reclaimable=reclaimable,
        high=high,
    )
    above = _finite(stat.get(INHERITED)) if inherited else None
    if above is None or (limit is not None and limit <= above):
        return [own]
    source = f"{hierarchy.name} {INHERITED} {path}"
    return [own, Level(source=source, limit=above, used=used, reclaimable=reclaimable)]


def _droppable(hierarchy: Hierarchy, stat: dict[str, int]) -> int:
    """Give the page cache that can be dropped: never less than the inactive list, which holds no busy page."""
    inactive, active = stat.get(hierarchy.inactive, 0), stat.get(hierarchy.active, 0)
    return max(inactive, inactive + active - sum(stat.get(name, 0) for name in hierarchy.held))


def _finite(limit: int | None) -> int | None:
    return None if limit is None or limit >= UNLIMITED_V1 else limit
