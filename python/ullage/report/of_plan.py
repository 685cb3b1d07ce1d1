"""A packing plan or a placement as a section: bins with what lies in them."""

from collections.abc import Sequence

import numpy as np

from ullage.report.fields import Fields
from ullage.report.parts import Axis, Boxes, Section, Table, colours_of, numbers
from ullage.report.words import both, shown

__all__ = ["section_of_placement", "section_of_plan"]

Bin = tuple[str, int, list[tuple[str, int]]]
"""Name, capacity, and what lies in it with its size."""
MOST_ROWS = 200
MOST_NAMES = 12


def section_of_plan(found: Fields, name: str) -> Section:
    """Show what `ullage pack --json` wrote."""
    if "items" not in found:
        found.refuse("items", "is missing: it is written by `ullage pack --json` of this version")
    bins: list[Bin] = [(row.text("name"), row.count("capacity"), []) for row in found.rows("bins")]
    items = [(row.text("name"), row.count("size")) for row in found.rows("items")]
    assignment = found.at("assignment")
    if not isinstance(assignment, list) or len(assignment) != len(items):
        found.refuse("assignment", f"must have an entry for each of {len(items)} items")
    left = []
    for index, (item, place) in enumerate(zip(items, assignment, strict=True)):
        if place is None:
            left.append(item)
        elif isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(bins):
            bins[place][2].append(item)
        else:
            found.refuse(f"assignment[{index}]", f"is none of {len(bins)} bins")
    facts = [
        ("status", found.text("status")),
        ("bins used", f"{found.count('bins_used'):,}"),
        ("at least", f"{found.count('lower_bound'):,}"),
        ("items", f"{len(items):,}"),
        ("booked", both(sum(size for *_, inside in bins for _, size in inside))),
    ]
    return _section(f"Packing: {name}", facts, bins, left)


def section_of_placement(found: Fields, name: str) -> Section:
    """Show what `ullage place --json` wrote: each device's memory, and the models on it."""
    parts: list[Boxes | Table] = []
    rows = []
    names, loads, limits = [], [], []
    for device in found.rows("devices"):
        load = device.below("load").count("memory")
        limit = device.below("usable").maybe_count("memory")
        names.append(device.text("name"))
        loads.append(load)
        limits.append(limit)
        held = ", ".join(device.texts("models"))
        rows.append((names[-1], shown(load, "bytes"), "no limit" if limit is None else shown(limit, "bytes"), held))
    place = numbers(np.arange(len(names)))
    parts.append(
        Boxes(
            "Memory of each device",
            Axis("memory", "bytes"),
            Axis("", "name", tuple(names)),
            numbers(np.zeros(len(names))),
            numbers(loads),
            place - 0.4,
            place + 0.4,
            tuple(names),
            colours_of(names),
            {"models": tuple(row[3] for row in rows)},
            tuple((0.0, float(limit), at - 0.4, at + 0.4) for at, limit in enumerate(limits) if limit is not None),
        )
    )
    parts.append(Table("What each holds", ("device", ">memory", ">of", "models"), tuple(rows[:MOST_ROWS])))
    facts = [("status", found.text("status")), ("devices used", f"{found.count('devices_used'):,}")]
    facts += [("cost", f"{found.number('cost'):,.6g}"), ("at least", f"{found.number('lower_bound'):,.6g}")]
    unplaced = found.texts("unplaced")
    facts.append(("without a place", ", ".join(unplaced[:MOST_NAMES]) or "none"))
    return Section(f"Placement: {name}", tuple(facts), tuple(parts))


def _section(title: str, facts: list[tuple[str, str]], bins: Sequence[Bin], left: list[tuple[str, int]]) -> Section:
    used = [one for one in bins if one[2]] or list(bins)
    starts, ends, rows, names = [], [], [], []
    for row, (_, _, inside) in enumerate(used):
        at = 0
        for item, size in inside:
            starts.append(at)
            at += size
            ends.append(at)
            rows.append(row)
            names.append(item)
    place = numbers(rows)
    boxes = Boxes(
        "What lies in each bin",
        Axis("bytes", "bytes"),
        Axis("", "name", tuple(name for name, *_ in used)),
        numbers(starts),
        numbers(ends),
        place - 0.4,
        place + 0.4,
        tuple(names),
        colours_of([name.rpartition(":")[0] or name for name in names]),
        {"bytes": tuple(f"{int(end - start):,}" for start, end in zip(starts, ends, strict=True))},
        tuple((0.0, float(capacity), row - 0.4, row + 0.4) for row, (_, capacity, _) in enumerate(used)),
    )
    lines = tuple(
        (
            name,
            shown(sum(size for _, size in inside), "bytes"),
            shown(capacity, "bytes"),
            f"{sum(size for _, size in inside) / max(capacity, 1):.1%}",
            f"{len(inside):,}",
            _listed(inside),
        )
        for name, capacity, inside in used[:MOST_ROWS]
    )
    heading = "The bins" if len(used) <= MOST_ROWS else f"The first {MOST_ROWS} of {len(used):,} bins"
    parts: list[Boxes | Table] = [boxes, Table(heading, ("bin", ">load", ">of", ">full", ">items", "which"), lines)]
    if left:
        rest = tuple((name, f"{size:,}") for name, size in left[:MOST_ROWS])
        parts.append(Table(f"Without a place: {len(left):,}", ("item", ">bytes"), rest))
    empty = len(bins) - len(used)
    notes = (f"{empty:,} of the bins stay empty, and are left out.",) if empty else ()
    return Section(title, tuple(facts), tuple(parts), notes)


def _listed(inside: Sequence[tuple[str, int]]) -> str:
    more = f" and {len(inside) - MOST_NAMES:,} more" if len(inside) > MOST_NAMES else ""
    return ", ".join(name for name, _ in inside[:MOST_NAMES]) + more
