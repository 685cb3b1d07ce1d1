"""Replays as sections: what was loaded when, cold starts by model, and policies beside each other."""

from dataclasses import replace

import numpy as np

from ullage.report.fields import Fields
from ullage.report.parts import Axis, Boxes, Changes, Course, Lines, Part, Points, Section, Table, numbers
from ullage.report.thinning import thinned
from ullage.report.words import both, seconds, shown

__all__ = ["section_of_comparison", "section_of_replay"]

MOST_MODELS = 30
APART = 8


def section_of_replay(found: Fields, name: str) -> Section:
    """Show what `ullage replay --json` wrote, with what was loaded when if it was asked for by `--history`."""
    facts = [
        ("policy", found.text("policy")),
        ("capacity", both(found.count("capacity"))),
        ("cold starts", f"{found.count('cold_starts'):,} of {found.count('requests'):,}"),
        ("loading", seconds(found.number("load_seconds"))),
        ("peak", both(found.count("peak_bytes"))),
        ("evicted", both(found.count("evicted_bytes"))),
        ("refused", f"{found.count('refused'):,}"),
        ("overcommitted", f"{found.count('overcommits'):,}"),
    ]
    least = found.maybe_number("lower_bound_load_seconds")
    if least is not None:
        facts.insert(4, ("no policy loads less than", seconds(least)))
    models = list(found.rows("models"))
    busiest = sorted(models, key=lambda row: (-row.count("cold_starts"), -row.count("requests")))[:MOST_MODELS]
    parts: list[Part] = []
    notes: tuple[str, ...] = ()
    if "history" in found:
        parts.append(thinned(_history(found, models)))
    else:
        notes = ("What was loaded when is not in this file; `ullage replay --history --json` writes it.",)
    parts += [_cold(busiest, len(models)), _table(busiest)]
    return Section(f"Replay: {name}", tuple(facts), tuple(parts), notes)


def section_of_comparison(found: Fields, name: str) -> Section:
    """Show what `ullage replay --compare --json` wrote."""
    rows = list(found.rows("policies"))
    if not rows:
        found.refuse("policies", "names no policy")
    names = tuple(row.text("policy") for row in rows)
    least = rows[0].maybe_number("lower_bound_load_seconds")
    line = () if least is None else (Lines("lower bound", least),)
    waits = [row.below("delays").number("p99_s") for row in rows]
    evicted = [float(row.count("evicted_bytes")) for row in rows]
    serial = rows[0].content.get("serial") is True
    loads = [row.number("load_seconds") for row in rows]
    place = numbers(np.arange(len(rows)))
    bars = Boxes(
        "Seconds of loading",
        Axis("loading", "seconds"),
        Axis("", "name", names),
        numbers(np.zeros(len(rows))),
        numbers(loads),
        place - 0.4,
        place + 0.4,
        names,
        np.zeros(len(rows), np.uint8),
        {"cold starts": tuple(f"{row.count('cold_starts'):,}" for row in rows)},
        vertical=line,
    )
    second = Axis("evicted", "bytes") if serial else Axis("99 % waited up to", "seconds")
    points = Points(
        "What lies on the line is beaten by nothing in both",
        Axis("loading", "seconds"),
        second,
        tuple(zip(loads, evicted if serial else waits, strict=True)),
        names,
        vertical=line,
    )
    table = Table(
        "Every policy",
        ("policy", ">cold", ">loading", ">evicted", ">p99 wait", ">refused", ">overcommitted"),
        tuple(
            (
                row.text("policy"),
                f"{row.count('cold_starts'):,}",
                seconds(row.number("load_seconds")),
                shown(row.count("evicted_bytes"), "bytes"),
                seconds(wait),
                f"{row.count('refused'):,}",
                f"{row.count('overcommits'):,}",
            )
            for row, wait in zip(rows, waits, strict=True)
        ),
    )
    facts = [("requests", f"{rows[0].count('requests'):,}"), ("capacity", both(rows[0].count("capacity")))]
    if least is not None:
        facts.append(("no policy loads less than", seconds(least)))
    return Section(f"Policies of a replay: {name}", tuple(facts), (bars, points, table))


def _cold(models: list[Fields], of: int) -> Boxes:
    names = tuple(row.text("model") for row in models)
    place = numbers(np.arange(len(models)))
    title = f"The {len(models)} of {of:,} models with most cold starts" if len(models) < of else "Cold starts"
    return Boxes(
        title,
        Axis("cold starts", "count"),
        Axis("", "name", names),
        numbers(np.zeros(len(models))),
        numbers([row.count("cold_starts") for row in models]),
        place - 0.4,
        place + 0.4,
        names,
        np.zeros(len(models), np.uint8),
        {
            "requests": tuple(f"{row.count('requests'):,}" for row in models),
            "size": tuple(shown(row.count("bytes"), "bytes") for row in models),
        },
    )


def _table(models: list[Fields]) -> Table:
    rows = []
    for row in models:
        waits = row.below("delays")
        rows.append(
            (
                f"{row.count('requests'):,}",
                f"{row.count('cold_starts'):,}",
                f"{row.count('refused'):,}",
                shown(row.count("bytes"), "bytes"),
                *(seconds(waits.number(key)) for key in ("p50_s", "p99_s", "max_s")),
                row.text("model"),
            )
        )
    columns = (">requests", ">cold", ">refused", ">size", ">p50 wait", ">p99 wait", ">longest", "model")
    return Table("The models", columns, tuple(rows))


def _history(found: Fields, models: list[Fields]) -> Course:
    """Give the bytes of the models loaded or on their way, those with most cold starts apart."""
    sizes = [row.count("bytes") for row in models]
    order = sorted(range(len(models)), key=lambda index: (-models[index].count("cold_starts") * sizes[index], index))
    group = {model: place for place, model in enumerate(order[:APART])}
    history = found.below("history")
    times, whats, which = history.figures("time_s"), history.texts("event"), history.counts("model")
    if not len(times) == len(whats) == len(which):
        history.refuse("model", "has another number of entries than time_s and event")
    present: set[int] = set()
    row, holder, delta = [], [], []
    for index, (what, model) in enumerate(zip(whats, which, strict=True)):
        if model >= len(models):
            history.refuse(f"model[{index}]", f"is none of {len(models)} models")
        if index and times[index] < times[index - 1]:
            history.refuse(f"time_s[{index}]", "goes back in time")
        if (what == "load") == (model in present):
            history.refuse(f"event[{index}]", f"{what!r} of a model that is{'' if model in present else ' not'} there")
        if what not in {"load", "evict"}:
            history.refuse(f"event[{index}]", f"{what!r} is neither load nor evict")
        present ^= {model}
        row.append(index)
        holder.append(group.get(model, APART))
        delta.append(sizes[model] if what == "load" else -sizes[model])
    end = history.maybe_number("end_s")
    if end is not None and times and end > times[-1]:
        times.append(end)  # what is there stays so until then
    changes = Changes(np.array(row, np.uint32), np.array(holder, np.uint8), np.array(delta, np.int64))
    names = [models[index].text("model") for index in order[:APART]]
    totals = np.cumsum(changes.delta)
    peak = times[int(np.argmax(totals))] if len(totals) else None
    holders = (*names, *[""] * (APART - len(names)), "all others")
    course = Course(
        "Models in memory or on their way there",
        Axis("time", "seconds"),
        numbers(times),
        holders,
        changes,
        found.count("capacity"),
        peak,
    )
    return _without_empty(course)


def _without_empty(course: Course) -> Course:
    """Leave holders out that never hold anything."""
    used = np.unique(course.changes.holder)
    changes = Changes(
        course.changes.row, np.searchsorted(used, course.changes.holder).astype(np.uint8), course.changes.delta
    )
    names = tuple(course.holders[index] for index in used.tolist())
    rest = len(names) - 1 if APART in used else None
    return replace(course, holders=names, changes=changes, rest=rest)
