"""Pressure stall information (PSI): how much time work lost waiting for memory, before anything was killed."""

import re
from dataclasses import dataclass

from ullage.machine.probe import Probe

__all__ = ["Pressure", "Stall", "pressure"]

LINE = re.compile(
    r"(some|full) avg10=(\d{1,3}(?:\.\d{1,9})?) avg60=(\d{1,3}(?:\.\d{1,9})?) avg300=(\d{1,3}(?:\.\d{1,9})?)"
    r" total=(\d{1,20})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Stall:
    """Share of time lost, in percent of the latest 10, 60 and 300 seconds, and since the start."""

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """Memory pressure of a host or control group. `some.avg10` above 0 is the earliest sign of too little memory."""

    some: Stall
    """Time in which at least one task waited."""
    full: Stall | None
    """Time in which all tasks waited at once; `None` where the kernel does not say."""


def pressure(probe: Probe, path: str, *, expected: bool = True) -> Pressure | None:
    """Read a file of pressure; `None` where there is none, with a note if one was `expected`."""
    text = probe.text(path)
    if text is None:
        if expected and not probe.exists(path):
            probe.note(f"{path!a} does not exist: this kernel keeps no pressure information (PSI)")
        return None
    stalls: dict[str, Stall] = {}
    for line in text.splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            probe.note(f"{path!a}: the line {line[:80]!a} is no pressure; ignored")
        else:
            name, avg10, avg60, avg300, total = found.groups()
            stalls[name] = Stall(float(avg10), float(avg60), float(avg300), int(total))
    if "some" not in stalls:
        probe.note(f"{path!a} does not say how much was stalled; ignored")
        return None
    return Pressure(stalls["some"], stalls.get("full"))
