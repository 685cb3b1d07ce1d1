"""`ullage machine`: the memory there is."""

import itertools
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import click
from rich.console import Group, RenderableType
from rich.live import Live

from ullage import format_bytes
from ullage import machine as probe
from ullage.cli import options
from ullage.cli.show import Page, print_json, size
from ullage.cli.values import Number
from ullage.machine import (
    ControlGroup,
    ControlGroups,
    Domains,
    Family,
    Gpu,
    Gpus,
    Member,
    Memory,
    Pressure,
    UnifiedMemory,
)

__all__ = ["machine"]

MOST_PROCESSES = 12
"""More children are summed up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All that the command shows, read at one time."""

    memory: Memory
    family: Family
    groups: ControlGroups
    gpus: Gpus
    unified: UnifiedMemory | None
    domains: Domains

    @classmethod
    def read(cls) -> Self:
        """Look at everything."""
        return cls(
            memory=probe.memory(),
            family=probe.family(full=True),
            groups=probe.control_groups(),
            gpus=probe.gpus(),
            unified=probe.unified_memory(),
            domains=probe.domains(),
        )

    def as_dict(self) -> dict[str, Any]:
        """Give it ready for JSON."""
        parts = {name: asdict(getattr(self, name)) for name in ("family", "gpus", "domains")}
        return (
            asdict(self.memory)
            | {"process": asdict(self.family.members[0].memory)}
            | asdict(self.groups)
            | {"notes": list(self.notes)}
            | parts
            | {"unified": None if self.unified is None else asdict(self.unified)}
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Every remark once."""
        parts = (self.memory, self.groups, self.family, self.gpus, self.domains)
        return tuple(dict.fromkeys(note for part in parts for note in part.notes))


class Sheet(Page):
    """A page that is kept instead of printed, for a picture that is drawn over and over."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self._parts: list[RenderableType] = []

    def _print(self, what: RenderableType) -> None:
        self._parts.append(what)

    def whole(self) -> Group:
        """Give all that was put on it."""
        return Group(*self._parts)


@click.command(
    epilog="""\b
Examples:
  ullage machine
  ullage machine --watch 1
  ullage machine --json | jq .available
"""
)
@options.as_json
@click.option("--watch", "every_s", type=Number(0.1), metavar="SECONDS", help="Look again so often.")
@click.option("--times", type=click.IntRange(min=1), metavar="N", help="With --watch, stop after so many looks.")
def machine(*, as_json: bool, every_s: float | None, times: int | None) -> int:
    """Show the memory of this machine: limits, GPUs, this process.

    The limit is the least of the host's memory, the control groups (containers) around this process and its own
    limits. Page cache that can be dropped at once does not count as used.
    """
    looks: Iterable[int] = range(times) if times and every_s else itertools.count() if every_s else range(1)
    if every_s and not as_json and sys.stdout.isatty():
        _watch(every_s, looks)
        return 0
    for look in looks:
        if look:
            time.sleep(every_s or 0)
        found = Machine.read()
        if as_json:
            print_json(found.as_dict())
        else:
            _draw(Page(), found)
    return 0


def _watch(every_s: float, looks: Iterable[int]) -> None:
    """Draw over the same place until told to stop."""
    with Live(auto_refresh=False) as live:
        for look in looks:
            if look:
                time.sleep(every_s)
            sheet = Sheet()
            _draw(sheet, Machine.read())
            live.update(sheet.whole(), refresh=True)


def _draw(page: Page, found: Machine) -> None:
    _draw_limits(page, found)
    _draw_groups(page, found.groups)
    _draw_family(page, found.family)
    _draw_gpus(page, found.gpus, found.unified)
    _draw_domains(page, found.domains)
    for note in found.notes:
        page.line(f"note: {note}")


def _draw_limits(page: Page, found: Machine) -> None:
    memory, process = found.memory, found.family.members[0].memory
    page.line(f"{size(memory.available)} can still be had.", "bold")
    page.line(f"The limit is {size(memory.limit)}, from {memory.limit_source}.")
    page.line()
    rows = [("host", memory.host_total - memory.host_available, memory.host_total)]
    if memory.limit_source != "host":
        rows.append(("limit", memory.used, memory.limit))
    rows.append(("this process", process.rss, memory.limit))
    _draw_bars(page, rows)
    page.line()
    counts = {
        "throttled from": memory.high,
        "page cache that can be dropped": memory.reclaimable_cache,
        "swap in use on the host": memory.swap,
        "this process alone (USS)": process.uss,
        "with its share of pages (PSS)": process.pss,
    }
    page.table(("", ""), [(name, size(count)) for name, count in counts.items() if count is not None])
    if found.groups.pressure is not None:
        page.line(f"Stalled for want of memory: {_stalled(found.groups.pressure)}.")


def _draw_bars(page: Page, rows: list[tuple[str, int, int]]) -> None:
    shown = size if page.wide else format_bytes
    cells = page.width - 62 if page.wide else 4
    page.table(
        ("", "", ">used", ">of"),
        [(name, page.fill(used, whole, cells), shown(used), shown(whole)) for name, used, whole in rows],
    )


def _stalled(pressure: Pressure) -> str:
    some = pressure.some
    return f"{some.avg10:g} % of 10 s, {some.avg60:g} % of 60 s, {some.avg300:g} % of 300 s"


def _draw_groups(page: Page, found: ControlGroups) -> None:
    if not found.groups:
        return
    page.title("Control groups, innermost first")
    if page.wide:
        columns = ("group", ">used", ">peak", ">limit", ">throttled", ">at limit", ">killed")
        page.table(columns, [_wide_group(group) for group in found.groups])
    else:
        page.table(
            ("group", ">used", ">limit"), [(group.path, _or(group.used), _or(group.limit)) for group in found.groups]
        )
    for group in found.groups:
        if group.pressure is not None:
            page.line(f"{group.path} stalled {_stalled(group.pressure)}.")


def _wide_group(group: ControlGroup) -> tuple[str, ...]:
    events = group.events
    counts = (None, None) if events is None else (events.max, events.oom_kill)
    cells = (_or(group.used), _or(group.peak), _or(group.limit), _or(group.high))
    return f"v{group.version} {group.path}", *cells, *("-" if count is None else str(count) for count in counts)


def _or(count: int | None) -> str:
    return "-" if count is None else format_bytes(count)


def _draw_family(page: Page, found: Family) -> None:
    children = sorted(found.members[1:], key=lambda member: member.memory.rss, reverse=True)
    if not children:
        return
    page.title(f"This process and {_descendants(children)} hold {size(found.held)}")
    shown, rest = children[:MOST_PROCESSES], children[MOST_PROCESSES:]
    page.table(
        ("process", ">RSS", ">PSS"),
        [(f"{row.pid} {row.name}", format_bytes(row.memory.rss), _or(row.memory.pss)) for row in shown],
    )
    if rest:
        page.line(f"and {len(rest)} more with {size(sum(row.memory.rss for row in rest))}; --json gives all")


def _descendants(members: Sequence[Member]) -> str:
    return "1 descendant" if len(members) == 1 else f"{len(members)} descendants"


def _draw_gpus(page: Page, found: Gpus, unified: UnifiedMemory | None) -> None:
    if unified is not None:
        limit = size(unified.gpu_limit)
        page.line(f"The GPU works in the same memory and may take {limit} of it ({unified.gpu_limit_source}).")
    if not found.devices:
        return
    page.title("GPUs" if found.driver is None else f"GPUs, driver {found.driver}")
    named = [(f"gpu{device.index}", device) for device in found.devices]
    parts = [(f"{path}/mig{part.index}", part) for path, device in named for part in device.partitions]
    rows = sorted(named + parts, key=lambda row: row[0])
    whole = [(path, device.used, device.total) for path, device in rows]
    _draw_bars(page, [(path, used, total) for path, used, total in whole if used is not None and total is not None])
    for path, device in rows:
        page.line(_of_device(path, device))


def _of_device(path: str, device: Gpu) -> str:
    text = f"{path}: {device.name or 'unnamed'}"
    if device.is_unified:
        text += ", works in the host's memory"
    if device.reserved:
        text += f", {format_bytes(device.reserved)} reserved by the driver"
    if device.processes:
        text += ", processes " + ", ".join(f"{row.pid} ({_or(row.used)})" for row in device.processes)
    return text


def _draw_domains(page: Page, found: Domains) -> None:
    page.title("What Ledger.of_machine() would book up to")
    for row in found.rows:
        page.line(
            f"{row.path}: {size(row.limit)}, that is {format_bytes(row.total)} ({row.source}) less "
            f"{format_bytes(row.reserve)} ({row.reserve_source})"
        )
