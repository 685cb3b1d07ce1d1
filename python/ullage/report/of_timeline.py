"""A timeline as a section: what was held over time, by whom, and who held what at the peak."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np

from ullage import Timeline
from ullage.errors import Holder
from ullage.report.fields import Fields
from ullage.report.parts import Axis, Boxes, Changes, Course, Section, Table, numbers
from ullage.report.thinning import MOST_ROWS, thinned
from ullage.report.words import both, seconds, shown
from ullage.tracking.torch_snapshot import SOURCE

__all__ = ["holders_bars", "section_of_summary", "section_of_timeline"]

MOST_HOLDERS = 8
"""So many have a colour of their own; the others are drawn as one."""
MOST_ROWS_OF_TABLE = 50
REST = "everything else"


def section_of_timeline(timeline: Timeline, name: str, account: str = "/") -> Section:
    """Show a timeline of a ledger or a memory trace, below `account`."""
    peak = timeline.peak(account)
    course = _course(timeline, account, peak.holders)
    end = timeline.composition(account)
    timed = timeline.source != SOURCE or timeline.epoch_unix_ns is not None
    first, last = (int(time) for time in timeline.series()[0][[0, -1]])
    facts = [
        ("peak", both(peak.booked)),
        ("reached", f"after {peak.position:,} events" + (f", {seconds((peak.time_ns - first) / 1e9)}" * timed)),
        ("events", f"{len(timeline):,}"),
    ]
    if timeline.epoch_unix_ns is not None:
        with suppress(ValueError, OverflowError, OSError):  # of a date that no calendar has, nothing is said
            began = datetime.fromtimestamp((timeline.epoch_unix_ns + first) / 1e9, UTC)
            facts.append(("recorded", f"{began:%Y-%m-%d %H:%M} UTC"))
    if timed:
        facts.append(("extent", seconds((last - first) / 1e9)))
    facts.append(("held at the end", both(sum(holder.bytes for holder in end))))
    notes = []
    if timeline.dropped:
        notes.append(f"{timeline.dropped:,} earlier events are lost; an earlier peak may have been higher.")
    drawn = thinned(course)
    if drawn is not course:
        notes.append(
            f"Of {len(course.times):,} instants {len(drawn.times):,} are drawn, at most {MOST_ROWS:,}: of each slot "
            "the first, the lowest and the highest, so that no peak is lost."
        )
    tables = [drawn, *_holders("Who held what at the peak", peak.holders)]
    tables += _holders("Still held at the end", end)
    return Section(f"Memory over time: {name}", tuple(facts), tuple(tables), tuple(notes))


def section_of_summary(found: Fields, name: str) -> Section:
    """Show what `ullage timeline --json` wrote: the peak and who held it, without the course."""
    peak = found.below("peak")
    facts = (("peak", both(peak.count("booked"))), ("events", f"{found.count('events'):,}"))
    parts = _holders("Who held what at the peak", _read(peak, "holders"))
    parts += _holders("Still held at the end", _read(found, "end"))
    note = "This summary has no events; give the trace itself, or a timeline that was saved, to see its course."
    return Section(f"Memory over time: {name}", facts, tuple(parts), (note,))


def holders_bars(title: str, holders: Sequence[Holder]) -> Boxes:
    """Give a bar for each holder."""
    shown_holders = holders[:MOST_HOLDERS]
    names = tuple(_name(holder) for holder in shown_holders)
    place = numbers(np.arange(len(names)))
    return Boxes(
        title,
        Axis("held", "bytes"),
        Axis("", "name", names),
        numbers(np.zeros(len(names))),
        numbers([holder.bytes for holder in shown_holders]),
        place - 0.4,
        place + 0.4,
        names,
        np.arange(len(names), dtype=np.uint8),
    )


def _holders(title: str, holders: Sequence[Holder]) -> list[Table | Boxes]:
    if not holders:
        return []
    whole = sum(holder.bytes for holder in holders)
    rows = tuple(
        (
            shown(holder.bytes, "bytes"),
            f"{holder.bytes:,}",
            f"{holder.bytes / max(whole, 1):.1%}",
            holder.account,
            holder.label,
        )
        for holder in holders[:MOST_ROWS_OF_TABLE]
    )
    more = len(holders) - MOST_ROWS_OF_TABLE
    heading = f"{title}: the largest {MOST_ROWS_OF_TABLE} of {len(holders):,}" if more > 0 else title
    return [
        holders_bars(title, holders),
        Table(f"{heading}, in figures", (">held", ">bytes", ">share", "account", "label"), rows),
    ]


def _course(timeline: Timeline, account: str, holders: Sequence[Holder]) -> Course:
    """Give the course below `account`: the largest holders of the peak apart, all others together."""
    below = timeline._below(account)  # noqa: SLF001 - the report is the timeline's own drawing
    numbered = {
        (timeline.accounts[owner], label): index
        for index, (owner, label) in enumerate(zip(timeline.label_accounts.tolist(), timeline.labels, strict=True))
    }
    apart = holders[:MOST_HOLDERS]
    group = np.full(len(timeline.labels), len(apart), np.uint8)
    for index, holder in enumerate(apart):
        group[numbered[holder.account, holder.label]] = index
    events = timeline.events[below[timeline.events["account"]]] if account != "/" else timeline.events
    first = int(timeline.events["time_ns"][0]) if len(timeline) else 0
    start = np.zeros(len(apart) + 1, np.int64)
    inside = below[timeline.label_accounts]
    np.add.at(start, group[inside], timeline.start[inside].astype(np.int64))
    given = np.flatnonzero(start)
    changes = Changes(
        np.concatenate((np.zeros(len(given)), np.arange(1, len(events) + 1))).astype(np.uint32),
        np.concatenate((given.astype(np.uint8), group[events["label"]])),
        np.concatenate((start[given], events["delta"])),
    )
    times = numbers(np.concatenate(([first], events["time_ns"])) - first) / 1e9
    peak = float(timeline.peak(account).time_ns - first) / 1e9
    names = (*(_name(holder) for holder in apart), REST)
    return Course(
        "What was held", Axis("time since the first event", "seconds"), times, names, changes, None, peak, len(apart)
    )


def _name(holder: Holder) -> str:
    if not holder.label:
        return holder.account
    return holder.label if holder.account == "/" else f"{holder.account}: {holder.label}"


def _read(found: Fields, key: str) -> list[Holder]:
    return [Holder(row.text("account"), row.text("label"), row.count("bytes")) for row in found.rows(key)]
