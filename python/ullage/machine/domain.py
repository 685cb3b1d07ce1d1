"""The memories of this machine that are separate, and how much of each a ledger may book.

The host is one; each GPU is another, unless it works in the host's.
"""

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from ullage._core import Ledger, parse_bytes
from ullage._types import ByteCount
from ullage.errors import ArgumentError, UllageError
from ullage.machine.cgroup import Level
from ullage.machine.gpu import Gpu, Gpus
from ullage.machine.gpu import gpus as read_gpus
from ullage.machine.host import bounds
from ullage.machine.lineage import family
from ullage.machine.probe import Probe
from ullage.machine.unified import unified_memory

__all__ = ["Domain", "Domains", "domains", "domains_of", "ledger_of_machine"]

AnyLedger = TypeVar("AnyLedger", bound=Ledger)
Kind: TypeAlias = Literal["host", "unified", "gpu", "partition"]

FREE_PART = 16
"""One part in so many of a limit is kept free unless the caller says otherwise."""
FREE_MOST = 4 * 2**30
"""More bytes than this are not kept free for caution's sake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A memory with a limit of its own, in bytes."""

    path: str
    """Of its account: `host`, `gpu0`, `gpu0/mig1`; `host/gpu` is the part of a Mac's memory that the GPU may take."""
    kind: Kind
    """`unified` is a host's memory that a GPU works in as well."""
    limit: int
    """What may be booked: `total` less `reserve`."""
    total: int
    """What there is, or the limit that stands above it."""
    reserve: int
    """Kept out of the ledger."""
    source: str
    """Where `total` comes from."""
    reserve_source: str
    """Where `reserve` comes from."""
    name: str | None = None
    """What NVML calls the device."""
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """The separate memories of a machine, the host first."""

    rows: tuple[Domain, ...]
    notes: tuple[str, ...]
    """What could not be read, and what was assumed."""


def domains(
    reserve: ByteCount | None = None,
    *,
    gpus: bool = True,
    root: str | os.PathLike[str] = "/",
    nvml: Any = None,  # noqa: ANN401 - a module
    sysctl: Callable[[str], str | None] | None = None,
) -> Domains:
    """Find the separate memories of this machine.

    Of the host, `reserve` bytes stay free. By default that is what others hold now under the tightest limit, at least
    a sixteenth of it (4 GiB at most). A limit is the host's memory, `memory.max` or `memory.high` of a control group
    (past which everything crawls), `ulimit -v` or a job object. Of a GPU, what the driver reserves stays free. `root`,
    `nvml` and `sysctl` can stand in for the machine's own. Raises `ArgumentError` for a reserve beyond the memory.
    """
    probe = Probe(root)
    found = read_gpus(nvml) if gpus else Gpus(driver=None, devices=(), notes=())
    for text in found.notes:
        probe.note(text)
    shared = unified_memory(sysctl)
    is_unified = shared is not None or any(device.is_unified for device in found.devices)
    host = _host(probe, None if reserve is None else parse_bytes(reserve), found.devices, is_unified=is_unified)
    rows = [host]
    if shared is not None and gpus:
        limit = min(shared.gpu_limit, host.limit)
        rows.append(_domain("host/gpu", "unified", limit, shared.gpu_limit_source, reserve=0, why="part of the host"))
    for device in found.devices:
        rows += _of_gpu(probe, device)
    return Domains(rows=tuple(rows), notes=tuple(probe.notes))


def _host(probe: Probe, reserve: int | None, devices: tuple[Gpu, ...], *, is_unified: bool) -> Domain:
    _, limits, groups = bounds(probe)
    onlined = sum(_onlined(probe, device) for device in devices)
    limits = [*limits, *(_throttle(level) for level in groups if level.high is not None)]
    own = _own(probe)
    rows = []
    for level in limits:
        total = max((level.limit or 0) - (onlined if level.source == "host" else 0), 0)
        if reserve is None:
            others, caution = max((level.used or 0) - own, 0), min(total // FREE_PART, FREE_MOST)
            keep = max(others, caution)
            why = "held by others" if others >= caution else "a sixteenth, at most 4 GiB"
        else:
            keep, why = reserve, "as asked"
        kind: Kind = "unified" if is_unified else "host"
        rows.append(_domain("host", kind, total, level.source, reserve=keep, why=why))
    tightest = min(rows, key=lambda row: (row.limit, row.total))
    if reserve is not None and reserve > tightest.total:
        reason = f"{reserve} bytes to keep free of {tightest.total}, the limit by {tightest.source}"
        raise ArgumentError(f"reserve: {reason}", name="reserve", reason=reason)
    return tightest


def _throttle(level: Level) -> Level:
    return Level(
        source=level.source.replace("memory.max", "memory.high"),
        limit=level.high,
        used=level.used,
        reclaimable=level.reclaimable,
    )


def _own(probe: Probe) -> int:
    """Give what this process and its children hold, which is no reason to keep room from them."""
    if not probe.is_machine:
        return probe.fields("/proc/self/status", {"VmRSS"}, unit=1024).get("VmRSS", 0)
    try:
        found = family(full=True)
    except (UllageError, OSError):
        try:
            found = family()
        except (UllageError, OSError) as error:
            probe.note(f"this process cannot be measured ({error}); what it holds counts as held by others")
            return 0
    return found.held


def _onlined(probe: Probe, device: Gpu) -> int:
    """Give the memory of a GPU that the host counts as its own: a domain must not be counted twice."""
    if device.numa_node is None:
        return 0
    path = f"/sys/devices/system/node/node{device.numa_node}/meminfo"
    for line in (probe.text(path) or "").splitlines():
        words = line.split()  # Node 1 MemTotal: 97280000 kB
        if len(words) > 3 and words[2] == "MemTotal:":  # noqa: PLR2004 - as above
            size = (probe.number(words[3], path) or 0) * 1024
            probe.note(f"{size} bytes of the host's memory are GPU {device.index}'s (NUMA node {device.numa_node})")
            return size
    return 0


def _of_gpu(probe: Probe, device: Gpu) -> list[Domain]:
    path = f"gpu{device.index}"
    whole = _of_device(probe, device, path, "gpu")
    if whole is None:
        return []
    parts = [_of_device(probe, part, f"{path}/mig{part.index}", "partition") for part in device.partitions]
    return [whole, *(part for part in parts if part is not None)]


def _of_device(probe: Probe, device: Gpu, path: str, kind: Kind) -> Domain | None:
    if device.total is None:
        if not device.is_unified:
            probe.note(f"{path}: how much memory it has is not known; it gets no account")
        return None
    why = "reserved by the driver" if device.reserved is not None else "not told by this driver"
    return _domain(path, kind, device.total, "NVML", reserve=device.reserved or 0, why=why, device=device)


def _domain(
    path: str, kind: Kind, total: int, source: str, *, reserve: int, why: str, device: Gpu | None = None
) -> Domain:
    keep = min(reserve, total)
    return Domain(
        path=path,
        kind=kind,
        limit=total - keep,
        total=total,
        reserve=keep,
        source=source,
        reserve_source=why,
        name=None if device is None else device.name,
        uuid=None if device is None else device.uuid,
    )


_built: weakref.WeakKeyDictionary[Ledger, Domains] = weakref.WeakKeyDictionary()
_built_lock = threading.Lock()


def ledger_of_machine(kind: type[AnyLedger], reserve: ByteCount | None, gpus: bool) -> AnyLedger:  # noqa: FBT001 - as the extension calls it
    """Build what `Ledger.of_machine` gives."""
    return build(kind, domains(reserve, gpus=gpus))


def build(kind: type[AnyLedger], found: Domains) -> AnyLedger:
    """Make a ledger with an account for each domain. The root has no limit, since the domains are separate."""
    ledger = kind()
    for row in found.rows:
        ledger.account(row.path, limit=row.limit)
    with _built_lock:
        _built[ledger] = found
    return ledger


def domains_of(ledger: Ledger) -> Domains:
    """Give the domains that `Ledger.of_machine` built `ledger` from; `ArgumentError` where it did not."""
    with _built_lock:
        found = _built.get(ledger)
    if found is None:
        reason = "was not made by Ledger.of_machine()"
        raise ArgumentError(f"ledger: {reason}", name="ledger", reason=reason)
    return found
