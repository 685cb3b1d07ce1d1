"""Simulated passes as sections: what was busy when, memory over a pass, and what policies cost beside each other."""

import numpy as np

from ullage.report.fields import Fields
from ullage.report.parts import Axis, Boxes, Changes, Course, Lines, Part, Points, Section, Table, colours_of, numbers
from ullage.report.words import both, seconds

__all__ = ["section_of_optimum", "section_of_pass", "section_of_policies"]

MOST_ROWS = 20


def section_of_pass(found: Fields, name: str) -> Section:
    """Show what `ullage simulate --json` wrote."""
    title = " on ".join(found.text(key) for key in ("model", "device") if key in found) or name
    return Section(f"Pass: {title}", tuple(_facts(found)), tuple(_parts(found)))


def section_of_policies(found: Fields, name: str) -> Section:
    """Show what `ullage simulate --policy all --json` wrote: every policy, and the pass of the one to choose."""
    policies = found.below("policies")
    each = {policy: policies.below(policy) for policy in policies.content}
    choose = found.text("choose") if "choose" in found else None
    if choose is not None and choose not in each:
        found.refuse("choose", f"{choose!r} is not among the policies")
    at = [(one.number("peak_bytes"), one.number("latency_s")) for one in each.values()]
    table = Table(
        "Every policy",
        ("policy", ">a pass", ">first output", ">peak"),
        tuple(
            (
                policy,
                seconds(one.number("latency_s")),
                seconds(one.number("first_output_s")),
                both(one.count("peak_bytes")),
            )
            for policy, one in each.items()
        ),
    )
    parts: list[Part] = [_pareto(at, tuple(each), None, None), table]
    facts = [("device", found.text("device")), ("policies", f"{len(each):,}")]
    notes = [f"{policy}: {found.below('refused').text(policy)}" for policy in found.content.get("refused") or ()]
    if choose is not None:
        facts += [("to choose", choose), *_facts(each[choose])]
        parts += _parts(each[choose])
    return Section(f"Policies: {name}", tuple(facts), tuple(parts), tuple(notes))


def section_of_optimum(found: Fields, name: str) -> Section:
    """Show what `ullage optimize --json` wrote: the best found, beside one policy for all layers."""
    front = list(found.rows("front"))
    uniform = list(found.rows("uniform"))
    at = [(row.number("peak_bytes"), row.number("latency_s")) for row in (*front, *uniform)]
    names = [_mixed(row) for row in front] + [f"{row.text('policy')}, {row.text('scheme')}" for row in uniform]
    chosen = (found.maybe_number("peak_bytes"), found.maybe_number("latency_s"))
    facts = [("status", found.text("status")), ("device", found.text("device")), ("objective", found.text("objective"))]
    parts: list[Part] = [_pareto(at, tuple(names), *chosen)]
    if chosen[1] is None:
        return Section(f"Optimum: {name}", tuple(facts), tuple(parts), (str(found.content.get("reason")),))
    return Section(f"Optimum: {name}", (*facts, *_facts(found)), (*parts, *_parts(found)))


def _mixed(row: Fields) -> str:
    policies = row.below("policies")
    return ", ".join(f"{policies.count(policy)} {policy}" for policy in policies.content)


def _pareto(at: list[tuple[float, float]], names: tuple[str, ...], peak: float | None, latency: float | None) -> Points:
    return Points(
        "Latency and memory: what lies on the line is beaten by nothing in both",
        Axis("peak memory", "bytes"),
        Axis("a pass", "seconds"),
        tuple(at),
        names,
        () if peak is None else (Lines("chosen", peak),),
        () if latency is None else (Lines("chosen", latency),),
    )


def _facts(found: Fields) -> list[tuple[str, str]]:
    facts = [("a pass", seconds(found.number("latency_s")))]
    if "first_output_s" in found:
        facts.append(("first output", seconds(found.number("first_output_s"))))
    facts += [("peak", both(found.count("peak_bytes"))), ("between passes", both(found.count("resident_bytes")))]
    if "bytes_moved" in found:
        facts.append(("moved in a pass", both(found.count("bytes_moved"))))
    return facts


def _parts(found: Fields) -> list[Part]:
    parts: list[Part] = []
    if found.content.get("timeline"):
        parts.append(_busy(found))
    if found.content.get("memory"):
        parts.append(_memory(found))
    layers = [
        (row.number("seconds"), (row.text("policy"), row.text("bound") if "bound" in row else "", row.text("name")))
        for row in found.rows("layers")
    ]
    layers.sort(key=lambda layer: -layer[0])
    rows = tuple((seconds(took), *words) for took, words in layers[:MOST_ROWS])
    heading = f"The slowest {MOST_ROWS} of {len(layers):,} layers" if len(layers) > MOST_ROWS else "The layers"
    parts.append(Table(heading, (">time", "policy", "bound", "layer"), rows))
    return parts


def _busy(found: Fields) -> Boxes:
    rows = [
        (row.text("layer") if "layer" in row else "", row.text("resource"), row.number("start_s"), row.number("end_s"))
        for row in found.rows("timeline")
    ]
    lanes = list(dict.fromkeys(resource for _, resource, _, _ in rows))
    lane = np.array([lanes.index(resource) for _, resource, _, _ in rows], np.int64)
    layers = tuple(layer for layer, *_ in rows)
    return Boxes(
        "What was busy when in a pass",
        Axis("time", "seconds"),
        Axis("", "name", tuple(lanes)),
        numbers([start for _, _, start, _ in rows]),
        numbers([end for _, _, _, end in rows]),
        numbers(lane - 0.4),
        numbers(lane + 0.4),
        layers,
        colours_of(list(layers)),
        {"took": tuple(seconds(end - start) for _, _, start, end in rows)},
        lanes=lane,
    )


def _memory(found: Fields) -> Course:
    pairs = found.at("memory")
    rows = [
        Fields({"at": pair[0], "bytes": pair[1]}, f"{found.place}memory[{index}].")
        if isinstance(pair, list) and len(pair) == 2  # noqa: PLR2004 - a pair
        else found.refuse(f"memory[{index}]", "must be a pair of seconds and bytes")
        for index, pair in enumerate(pairs if isinstance(pairs, list) else found.refuse("memory", "must be a list"))
    ]
    ends = max((row.number("end_s") for row in found.rows("timeline")), default=0.0) if "timeline" in found else 0.0
    times = numbers([row.number("at") for row in rows])
    held = np.array([row.count("bytes") for row in rows], np.int64)
    if len(held) and ends > times[-1]:
        times, held = np.append(times, ends), np.append(held, held[-1])  # what is in use stays so until the end
    if np.any(np.diff(times) < 0):
        found.refuse("memory", "goes back in time")
    changes = Changes(np.arange(len(times), dtype=np.uint32), np.zeros(len(times), np.uint8), np.diff(held, prepend=0))
    peak = float(times[int(np.argmax(held))]) if len(held) else None
    return Course("Memory in use", Axis("time", "seconds"), times, ("in use",), changes, None, peak)
