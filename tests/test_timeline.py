"""Timelines against a slow book kept event by event, and the facts that must be true of their events."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ullage
from ullage import Ledger, Timeline
from ullage.errors import ArgumentError, Holder, TimelineError
from ullage.timeline import EVENT, LIFETIME

ACCOUNTS = ("/", "gpu0", "gpu0/a", "gpu0/b", "gpu01", "host")
LABELS = ("w", "kv", "w", "x", "y", "z")
LABEL_ACCOUNTS = (2, 2, 3, 1, 4, 5)


class Book(NamedTuple):
    """Events, and what each (reservation, label) pair holds after each of them, kept one by one."""

    events: list[tuple[int, int, int, int, int]]
    states: list[dict[tuple[int, int], int]]


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Make reservations, resize them, move them between labels, split them and give them back."""
    held: dict[tuple[int, int], int] = {}
    events: list[tuple[int, int, int, int, int]] = []
    states: list[dict[tuple[int, int], int]] = [{}]
    time, fresh = draw(st.integers(-5, 5)), 1

    def happen(identity: int, label: int, delta: int) -> None:
        events.append((time, delta, identity, LABEL_ACCOUNTS[label], label))
        held[identity, label] = held.get((identity, label), 0) + delta
        states.append({key: size for key, size in held.items() if size})

    for _ in range(draw(st.integers(0, 25))):
        time += draw(st.integers(0, 3))
        live = sorted(key for key, size in held.items() if size)
        action = draw(st.sampled_from(("reserve", "resize", "move", "split", "release"))) if live else "reserve"
        if action == "reserve":
            happen(fresh, draw(st.integers(0, 5)), draw(st.integers(0, 9)))
            fresh += 1
            continue
        identity, label = draw(st.sampled_from(live))
        size = held[identity, label]
        if action == "resize":
            happen(identity, label, draw(st.integers(0, 9)) - size)
        elif action == "move":
            happen(identity, label, -size)
            happen(identity, draw(st.integers(0, 5)), size)
        elif action == "split":
            part = draw(st.integers(0, size))
            happen(identity, label, -part)
            happen(fresh, label, part)
            fresh += 1
        else:
            happen(identity, label, -size)
    return Book(events, states)


def of(book: Book, first: int = 0) -> Timeline:
    start = Counter[int]()
    for (_, label), size in book.states[first].items():
        start[label] += size
    held = [start[label] for label in range(len(LABELS))]
    return Timeline.from_events(book.events[first:], ACCOUNTS, LABELS, LABEL_ACCOUNTS, held, dropped=first)


def below(account: str, label: int) -> bool:
    path = ACCOUNTS[LABEL_ACCOUNTS[label]]
    return account in {"/", path} or path.startswith(account + "/")


def booked(state: dict[tuple[int, int], int], account: str) -> int:
    return sum(size for (_, label), size in state.items() if below(account, label))


def by_label(state: dict[tuple[int, int], int], account: str = "/") -> dict[tuple[str, str], int]:
    found = defaultdict[tuple[str, str], int](int)
    for (_, label), size in state.items():
        if below(account, label):
            found[ACCOUNTS[LABEL_ACCOUNTS[label]], LABELS[label]] += size
    return dict(found)


def named(holders: list[Holder]) -> dict[tuple[str, str], int]:
    assert all(holder.bytes > 0 for holder in holders)
    assert [holder.bytes for holder in holders] == sorted((holder.bytes for holder in holders), reverse=True)
    return {(holder.account, holder.label): holder.bytes for holder in holders}


cut = st.integers(0, 10)
accounts = st.sampled_from(ACCOUNTS)


@given(books(), cut, accounts)
def test_series_and_peak_are_those_of_a_book_kept_event_by_event(book: Book, first: int, account: str) -> None:
    first = min(first, len(book.events))
    timeline, states = of(book, first), book.states[first:]
    sums = [booked(state, account) for state in states]
    own = [index for index, event in enumerate(timeline.events) if below(account, int(event["label"]))]
    time, values = timeline.series(account)
    assert values.tolist() == [sums[0], *(sums[index + 1] for index in own)]
    assert time[1:].tolist() == timeline.events["time_ns"][own].tolist()
    peak = timeline.peak(account)
    assert (peak.booked, peak.position) == (max(sums), sums.index(max(sums)))
    assert named(peak.holders) == by_label(states[peak.position], account)
    assert sum(holder.bytes for holder in peak.holders) == peak.booked
    assert peak.exact == (first == 0)


@given(books(), cut, accounts, st.data())
def test_composition_at_any_instant_is_what_the_book_says(
    book: Book, first: int, account: str, data: st.DataObject
) -> None:
    first = min(first, len(book.events))
    timeline, states = of(book, first), book.states[first:]
    position = data.draw(st.integers(0, len(timeline)))
    assert named(timeline.composition(account, position=position)) == by_label(states[position], account)
    assert named(timeline.composition(account)) == by_label(states[-1], account)
    instant = data.draw(st.integers(-10, 80))
    after = sum(event[0] <= instant for event in book.events[first:])
    assert named(timeline.composition(account, time_ns=instant)) == by_label(states[after], account)


@given(books(), cut, accounts)
def test_lifetimes_add_up_to_what_is_held_at_every_position(book: Book, first: int, account: str) -> None:
    first = min(first, len(book.events))
    timeline, states = of(book, first), book.states[first:]
    rows = timeline.lifetimes(account)
    assert rows.dtype == LIFETIME
    assert np.all(rows["lower"] < rows["upper"])
    assert np.all(rows["size"] > 0)
    assert rows["lower"].tolist() == sorted(rows["lower"].tolist())
    for position, state in enumerate(states):
        alive = rows[(rows["lower"] <= position) & (position < rows["upper"])]
        found = Counter[tuple[str, str]]()
        for row in alive:
            found[ACCOUNTS[row["account"]], LABELS[row["label"]]] += int(row["size"])
        assert found == by_label(state, account)
    if not first:
        for (identity, label), size in states[-1].items():
            if below(account, label):
                last = rows[(rows["id"] == identity) & (rows["upper"] == len(timeline) + 1) & (rows["label"] == label)]
                assert last["size"].tolist() == [size]


@given(books(), accounts)
def test_lifetimes_in_nanoseconds_add_up_between_events(book: Book, account: str) -> None:
    timeline = of(book)
    rows = timeline.lifetimes(account, unit="time_ns")
    assert np.all(rows["lower"] < rows["upper"])
    for instant in sorted({event[0] for event in book.events}):
        alive = rows[(rows["lower"] <= instant) & (instant < rows["upper"])]
        after = sum(event[0] <= instant for event in book.events)
        assert alive["size"].sum() == booked(book.states[after], account)


@given(books(), st.integers(-5, 60), st.integers(-5, 60))
def test_a_slice_starts_with_what_was_held(book: Book, lower: int, upper: int) -> None:
    whole = of(book)
    part = whole.slice(lower, upper)
    first = sum(event[0] < lower for event in book.events)
    inside = [event for event in book.events if lower <= event[0] < upper]
    assert [tuple(event) for event in part.events.tolist()] == inside
    assert named(part.composition(position=0)) == by_label(book.states[first])
    assert part.dropped == first
    Timeline.from_events(part.events, part.accounts, part.labels, part.label_accounts, part.start)
    assert whole.slice().events.tolist() == whole.events.tolist()


@given(books())
def test_what_chrome_would_draw_is_the_series(tmp_path_factory: pytest.TempPathFactory, book: Book) -> None:
    timeline, path = of(book), tmp_path_factory.mktemp("chrome") / "trace.json"
    timeline.to_chrome_trace(path)
    events = json.loads(path.read_text())["traceEvents"]
    counters = [event for event in events if event["ph"] == "C"]
    total = [event for event in counters if event["cat"] == "ullage.total"]
    assert [event["args"]["bytes"] for event in total] == timeline.series()[1].tolist()
    assert [round(event["ts"] * 1000) for event in total] == timeline.series()[0].tolist()
    own = {event["name"]: event["args"]["bytes"] for event in counters if event["cat"] == "ullage"}
    last = Counter[str]()
    for (account, _), size in by_label(book.states[-1]).items():
        last[account] += size
    assert {name: size for name, size in own.items() if size} == last


@given(books(), accounts)
def test_written_lifetimes_have_ids_of_their_own(
    tmp_path_factory: pytest.TempPathFactory, book: Book, account: str
) -> None:
    timeline, path = of(book), tmp_path_factory.mktemp("lifetimes") / "arena.csv"
    count = timeline.write_lifetimes(path, account)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count == len(timeline.lifetimes(account))
    assert len({row["id"] for row in rows}) == count
    assert path.read_text().startswith("id,lower,upper,size\n")
    read = [(int(row["id"].split(".")[0]), *(int(row[key]) for key in ("lower", "upper", "size"))) for row in rows]
    assert read == [tuple(row)[:4] for row in timeline.lifetimes(account).tolist()]


def test_a_transfer_keeps_the_id_and_a_resize_begins_another_lifetime() -> None:
    events = [(0, 8, 7, 2, 0), (1, -3, 7, 2, 0), (2, -5, 7, 2, 0), (2, 5, 7, 5, 5), (9, 1, 8, 5, 5)]
    timeline = Timeline.from_events(events, ACCOUNTS, LABELS, LABEL_ACCOUNTS)
    assert [tuple(row) for row in timeline.lifetimes().tolist()] == [
        (7, 1, 2, 8, 2, 0),
        (7, 2, 3, 5, 2, 0),
        (7, 4, 6, 5, 5, 5),
        (8, 5, 6, 1, 5, 5),
    ]


def test_what_no_event_names_is_one_lifetime_a_label() -> None:
    timeline = Timeline.from_events([(5, -2, 9, 2, 0)], ACCOUNTS, LABELS, LABEL_ACCOUNTS, [10, 0, 0, 0, 0, 3])
    assert [tuple(row) for row in timeline.lifetimes().tolist()] == [
        (9, 0, 1, 2, 2, 0),
        (2**64 - 1, 0, 2, 8, 2, 0),
        (2**64 - 6, 0, 2, 3, 5, 5),
    ]
    assert timeline.peak().position == 0
    assert timeline.peak().time_ns == 5


def test_nothing_ever_held_is_a_timeline_too() -> None:
    timeline = Timeline.from_events([], ["/"], [], [])
    assert timeline.peak().as_dict() == {"time_ns": 0, "booked": 0, "exact": True, "position": 0, "holders": []}
    assert len(timeline.lifetimes()) == 0
    assert timeline.composition() == []
    assert timeline.slice(0, 5).as_dict()["events"] == 0


def test_arrays_are_taken_without_a_copy_and_cannot_be_written() -> None:
    events = np.zeros(3, EVENT)
    start = np.zeros(len(LABELS), np.uint64)
    timeline = Timeline(events, ACCOUNTS, LABELS, np.array(LABEL_ACCOUNTS, np.uint32), start)
    assert np.shares_memory(timeline.events, events)
    assert np.shares_memory(timeline.start, start)
    assert events.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        timeline.events["delta"] = 1
    with pytest.raises(FrozenInstanceError):
        timeline.dropped = 1  # type: ignore[misc] # that is the point


def test_a_summary_is_ready_for_json() -> None:
    timeline = Timeline.from_events([(4, 8, 7, 2, 0)], ACCOUNTS, LABELS, LABEL_ACCOUNTS, source="test")
    told = json.loads(json.dumps(timeline.as_dict()))
    assert [(row["account"], row["label"], row["bytes"]) for row in told["end"]] == [("gpu0/a", "w", 8)]
    assert told["peak"]["holders"] == told["end"]
    assert (told["events"], told["first_ns"], told["last_ns"], told["source"]) == (1, 4, 4, "test")
    assert repr(timeline) == "Timeline(1 events, 6 accounts, source='test')"


def changed(**parts: Any) -> Timeline:
    whole: dict[str, Any] = {
        "events": [(0, 8, 7, 2, 0), (1, -8, 7, 2, 0)],
        "accounts": ACCOUNTS,
        "labels": LABELS,
        "label_accounts": LABEL_ACCOUNTS,
    }
    return Timeline.from_events(**(whole | parts))


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"events": [(0, 8, 7, 6, 0)]}, "events[0].account"),
        ({"events": [(0, 8, 7, 2, 0), (0, 1, 8, 2, 6)]}, "events[1].label"),
        ({"events": [(0, 8, 7, 3, 0)]}, "events[0].label"),
        ({"events": [(0, 8, 7, 2, 0), (-1, 1, 8, 2, 0)]}, "events[1].time_ns"),
        ({"events": [(0, 8, 7, 2, 0), (1, -9, 7, 2, 0)]}, "events[1].delta"),
        ({"events": [(0, 8, 7, 2, 0), (1, -8, 8, 2, 0)]}, "events[1].delta"),
        ({"events": [(0, -1, 7, 2, 0)]}, "events[0].delta"),
        ({"events": [(0, 1 << 61, id_, 2, 0) for id_ in range(3)]}, "events[2].delta"),
        ({"events": [(0, -(2**63), 7, 2, 0)]}, "events[0].delta"),
        ({"events": [(0, 8, -7, 2, 0)]}, "events"),
        ({"events": [(0, 8, 7, 2)]}, "events"),
        ({"events": np.zeros(2)}, "events"),
        ({"events": np.zeros((2, 2), EVENT)}, "events"),
        ({"events": "abc"}, "events"),
        ({"accounts": ()}, "accounts[0]"),
        ({"accounts": ("gpu0", "/")}, "accounts[0]"),
        ({"accounts": ("/", "gpu0/a", "gpu0")}, "accounts[1]"),
        ({"accounts": ("/", "a", "a")}, "accounts[2]"),
        ({"accounts": ("/", "a", "a//b")}, "accounts[2]"),
        ({"accounts": ("/", "")}, "accounts[1]"),
        ({"label_accounts": (2, 2, 3, 1, 4, 6)}, "label_accounts[5]"),
        ({"label_accounts": (2, 2, 3, 1, 4)}, "label_accounts"),
        ({"label_accounts": (2, 2, 3, 1, 4, -1)}, "label_accounts"),
        ({"label_accounts": (2, 2, 3, 1, 4, 0.5)}, "label_accounts"),
        ({"start": [1]}, "start"),
        ({"start": [-1, 0, 0, 0, 0, 0]}, "start"),
        ({"start": [2**63, 0, 0, 0, 0, 0]}, "start"),
        ({"dropped": -1}, "dropped"),
    ],
)
def test_events_that_cannot_have_happened_are_refused(parts: dict[str, Any], field: str) -> None:
    with pytest.raises(TimelineError) as caught:
        changed(**parts)
    assert caught.value.field == field
    assert str(caught.value) == f"{field} {caught.value.reason}"


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (lambda timeline: timeline.series("gpu"), "account"),
        (lambda timeline: timeline.peak("gpu0/"), "account"),
        (lambda timeline: timeline.composition("nope"), "account"),
        (lambda timeline: timeline.lifetimes("nope"), "account"),
        (lambda timeline: timeline.lifetimes(unit="s"), "unit"),
        (lambda timeline: timeline.composition(position=3), "position"),
        (lambda timeline: timeline.composition(position=-1), "position"),
        (lambda timeline: timeline.composition(position=1, time_ns=0), "time_ns"),
    ],
)
def test_questions_that_make_no_sense_are_refused(question: Callable[[Timeline], object], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        question(changed())
    assert caught.value.name == name


def test_sums_stay_exact_beyond_what_a_double_holds() -> None:
    big = (1 << 60) + 1
    timeline = changed(events=[(0, big, 1, 2, 0), (1, 1, 2, 2, 1), (2, -big, 1, 2, 0)])
    assert timeline.series("gpu0")[1].tolist() == [0, big, big + 1, 1]
    assert timeline.peak().booked == big + 1


def test_a_file_that_cannot_be_written_whole_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "arena.csv"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr("ullage.timeline.lifetime._lines", fail)
    with pytest.raises(OSError, match="no space"):
        changed().write_lifetimes(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_timeline_is_a_public_name() -> None:
    assert ullage.Timeline is Timeline


def test_a_timeline_is_the_array_of_its_events() -> None:
    ledger = Ledger(100)
    ledger.root.reserve(7).release()
    timeline = ledger.timeline()
    array = np.asarray(timeline)
    assert np.shares_memory(array, timeline.events)
    assert not array.flags.writeable
    assert timeline["delta"].tolist() == array["delta"].tolist() == [7, -7]
    assert len(timeline[1:]) == 1
    assert array.dtype.itemsize == 32
