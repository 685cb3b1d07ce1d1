"""Booked beside measured, account by account: what nobody declared shows as drift.

It warns and never gates: refusing loads because of drift was tried elsewhere and did not prevent overshoot, while
memory that runtimes hold for themselves made it refuse for nothing.
"""

import os
import re
import threading
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from ullage._core import AccountSnapshot, Ledger, format_bytes, parse_bytes
from ullage._types import ByteCount
from ullage.errors import ArgumentError, UllageError
from ullage.machine.gpu import Gpu, GpuProcess, gpus
from ullage.machine.host import Memory, memory
from ullage.machine.lineage import Family, family
from ullage.machine.probe import Probe

__all__ = ["Drift", "Mover", "Reconciliation", "reconcile"]

TOLERATED_PART = 10
"""Drift up to one part in so many of what is booked is nothing to warn of,"""
TOLERATED = 256 * 2**20
"""nor are so many bytes: an interpreter with its libraries."""
MOST_LABELS = 2**32 - 1
ON_GPU = re.compile(r"gpu\d+(/mig\d+)?", re.ASCII)
"""Accounts of GPUs and their partitions."""
FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""The host's own numbering of processes, the kernel's `PROC_PID_INIT_INO`."""


class Mover(NamedTuple):
    """Who changed what is booked the most since the reconciliation before, or since the ledger was made."""

    account: str
    label: str
    change: int
    """In bytes; negative where they were given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One account, in bytes; `None` where nothing could be measured."""

    account: str
    booked: int
    measured: int | None
    drift: int | None
    """`measured` less `booked`: what is held and was never declared; negative where more is booked than touched."""
    share: float | None
    """`drift` as a part of `measured`."""
    moved: int | None
    """By how much `drift` changed since the reconciliation before; `None` at the first."""
    last_mover: Mover | None
    """`None` where nothing moved."""
    source: str
    """What was measured."""
    why: str
    """Why that."""

    @property
    def is_large(self) -> bool:
        """Whether more is held undeclared than a tenth of what is booked, and than 256 MiB."""
        return self.drift is not None and self.drift > max(self.booked // TOLERATED_PART, TOLERATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What is booked beside what is held. `print` shows it as a table."""

    rows: tuple[Drift, ...]
    notes: tuple[str, ...]
    """What could not be measured, and what drifts too far."""

    def as_dict(self) -> dict[str, Any]:
        """Give it ready for JSON."""
        rows = [
            asdict(row) | {"last_mover": row.last_mover and row.last_mover._asdict(), "is_large": row.is_large}
            for row in self.rows
        ]
        return {"rows": rows, "notes": list(self.notes)}

    def __str__(self) -> str:
        """Show a table."""
        head = ("account", "booked", "measured", "drift", "last mover")
        return "\n".join([*_aligned([head, *map(_cells, self.rows)]), *(f"note: {note}" for note in self.notes)])


class Measured(NamedTuple):
    """What an account was found to hold."""

    bytes: int | None
    source: str
    why: str


@dataclass(slots=True)
class _Past:
    """What the reconciliation before saw of a ledger."""

    held: dict[tuple[str, str], int] = field(default_factory=dict)
    drift: dict[str, int] = field(default_factory=dict)


_past: weakref.WeakKeyDictionary[Ledger, _Past] = weakref.WeakKeyDictionary()
_past_lock = threading.Lock()


def reconcile(
    ledger: Ledger,
    measured: Mapping[str, ByteCount] | None = None,
    *,
    root: str | os.PathLike[str] = "/",
    nvml: Any = None,  # noqa: ANN401 - a module
) -> Reconciliation:
    """Set what `ledger` has booked beside what is really held.

    Measured are `host` and each `gpuN` where there are such accounts, the root where there is neither, and every
    account that `measured` names, whose bytes then count. Raises `ArgumentError` for a name of no account. Bookings
    go on meanwhile: two numbers of one row are some milliseconds apart.
    """
    accounts = {row.path: row for row in ledger.snapshot()}
    given = {path.strip("/") or "/": parse_bytes(size) for path, size in (measured or {}).items()}
    for path in given:
        if path not in accounts:
            reason = f"there is no account {path!r}"
            raise ArgumentError(f"measured: {reason}", name="measured", reason=reason)
    notes: list[str] = []
    found = _found(accounts, notes, given, root, nvml)
    found |= {path: Measured(size, "given by the caller", "the caller knows") for path, size in given.items()}
    held = _held(ledger, accounts.values())
    with _past_lock:
        past = _past.setdefault(ledger, _Past())
        rows = [_row(accounts[path], one, held, past) for path, one in sorted(found.items())]
        past.held = held
        past.drift |= {row.account: row.drift for row in rows if row.drift is not None}
    notes += [
        f"{row.account}: {format_bytes(row.drift or 0)} are held that nobody booked" for row in rows if row.is_large
    ]
    return Reconciliation(rows=tuple(rows), notes=tuple(notes))


def _found(
    accounts: Mapping[str, AccountSnapshot],
    notes: list[str],
    given: Mapping[str, int],
    root: str | os.PathLike[str],
    nvml: Any,  # noqa: ANN401 - a module
) -> dict[str, Measured]:
    """Measure what can be measured and was not given."""
    on_gpus = [path for path in accounts if ON_GPU.fullmatch(path) and path not in given]
    devices = {f"gpu{device.index}": device for device in _devices(nvml, notes)} if on_gpus else {}
    parts = {f"{path}/mig{part.index}": part for path, device in devices.items() for part in device.partitions}
    found: dict[str, Measured] = {}
    us = _family(notes)
    pids = {member.pid for member in us.members} if us is not None else set()
    is_numbered_alike = _is_numbered_alike(Probe(root))
    for path in on_gpus:
        device = (devices | parts).get(path)
        if device is None:
            found[path] = Measured(None, "nothing", "NVML shows no such GPU")
        else:
            found[path] = _on_gpu(device, pids, is_numbered_alike=is_numbered_alike)
    host = "host" if "host" in accounts else "/"
    if host not in given and not (host == "/" and found):
        found[host] = _on_host(memory(root), us)
    return found


def _devices(nvml: Any, notes: list[str]) -> tuple[Gpu, ...]:  # noqa: ANN401 - a module
    answer = gpus(nvml)
    notes += answer.notes
    return answer.devices


def _family(notes: list[str]) -> Family | None:
    for full in (True, False):
        try:
            found = family(full=full)
        except (UllageError, OSError) as error:
            notes.append(f"this process cannot be measured ({error})")
        else:
            notes += found.notes
            return found
    return None


def _on_host(limits: Memory, us: Family | None) -> Measured:
    """Measure the control group where that is what kills, else this process and its children."""
    if limits.limit_source.startswith("cgroup"):
        others = "" if us is None else f", of which this process and its children hold {format_bytes(us.held)}"
        why = f"its limit is what kills, and it counts every process inside{others}"
        return Measured(limits.used, limits.limit_source, why)
    why = "no control group bounds this process, and the host has others"
    if us is None:
        return Measured(None, "this process", why)
    children = len(us.members) - 1
    of_whom = "this process" if not children else f"this process and its {children} descendants"
    return Measured(us.held, f"{'PSS' if us.pss is not None else 'RSS'} of {of_whom}", why)


def _is_numbered_alike(probe: Probe) -> bool:
    """Tell whether NVML's process numbers are ours: not inside a container."""
    space = probe.link("/proc/self/ns/pid")
    return space is None or space == FIRST_PID_NAMESPACE


def _on_gpu(device: Gpu, pids: set[int], *, is_numbered_alike: bool) -> Measured:
    """Count what we hold of a GPU, or failing that what others do not, or failing that all that is used."""
    whole = "used on GPU, by NVML" if device.used is not None else "nothing"
    if device.processes is None:
        return Measured(device.used, whole, "NVML lists no processes")
    if not is_numbered_alike:
        why = "inside a container NVML's process numbers are not ours, so co-tenants cannot be told apart"
        return Measured(device.used, whole, why)
    ours = [row for row in device.processes if row.pid in pids]
    others = [row for row in device.processes if row.pid not in pids]
    if (held := _sum(ours)) is not None:
        return Measured(held, "sum over our processes, by NVML", "NVML tells what each process uses")
    if (foreign := _sum(others)) is not None and device.used is not None:
        why = "NVML does not tell what our processes use"
        return Measured(max(device.used - foreign, 0), "used on GPU less that of co-tenants, by NVML", why)
    return Measured(device.used, whole, "NVML does not tell what each process uses")


def _sum(rows: Iterable[GpuProcess]) -> int | None:
    used = [row.used for row in rows]
    known = [one for one in used if one is not None]
    return sum(known) if len(known) == len(used) else None


def _held(ledger: Ledger, accounts: Iterable[AccountSnapshot]) -> dict[tuple[str, str], int]:
    """Give what is booked by account and label; what was drawn from credit without a label goes by none."""
    held: dict[tuple[str, str], int] = {}
    labelled: dict[str, int] = {}
    for holder in ledger.holders(MOST_LABELS):
        held[holder.account, holder.label] = holder.bytes
        labelled[holder.account] = labelled.get(holder.account, 0) + holder.bytes
    for row in accounts:
        rest = row.own - labelled.get(row.path, 0)
        if rest > 0:
            held[row.path, ""] = held.get((row.path, ""), 0) + rest
    return held


def _row(account: AccountSnapshot, found: Measured, held: Mapping[tuple[str, str], int], past: _Past) -> Drift:
    drift = None if found.bytes is None else found.bytes - account.used
    before = past.drift.get(account.path)
    return Drift(
        account=account.path,
        booked=account.used,
        measured=found.bytes,
        drift=drift,
        share=drift / found.bytes if drift is not None and found.bytes else None,
        moved=None if drift is None or before is None else drift - before,
        last_mover=_mover(account.path, held, past.held),
        source=found.source,
        why=found.why,
    )


def _mover(path: str, now: Mapping[tuple[str, str], int], before: Mapping[tuple[str, str], int]) -> Mover | None:
    """Find the account at or below `path`, and its label, of which most was booked or given back."""
    below = path.rstrip("/") + "/"
    changes = [
        Mover(account, label, now.get((account, label), 0) - before.get((account, label), 0))
        for account, label in sorted(now.keys() | before.keys())
        if path in {"/", account} or account.startswith(below)
    ]
    mover = max(changes, key=lambda change: abs(change.change), default=None)
    return mover if mover is not None and mover.change else None


def _cells(row: Drift) -> tuple[str, ...]:
    mover = row.last_mover
    moved = "" if mover is None else f"{mover.account} {mover.label} {_signed(mover.change)}".replace("  ", " ")
    measured = "?" if row.measured is None else format_bytes(row.measured)
    drift = "?" if row.drift is None else _signed(row.drift)
    return row.account, format_bytes(row.booked), measured, drift, moved


def _signed(size: int) -> str:
    return f"{'-' if size < 0 else '+'}{format_bytes(abs(size))}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *figures, last in rows:
        middle = "  ".join(cell.rjust(width) for cell, width in zip(figures, widths[1:-1], strict=True))
        lines.append(f"{first:<{widths[0]}}  {middle}  {last}".rstrip())
    return lines
