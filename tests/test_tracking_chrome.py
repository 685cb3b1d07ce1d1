"""Chrome traces: those of PyTorch's profiler against its own running totals, counters of bytes, and cut off files."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ullage import Timeline
from ullage.errors import TraceFileError
from ullage.tracking import import_chrome_trace, import_trace

TRACES = Path(__file__).parent / "data" / "traces"
BEFORE = "(allocated before the trace)"
OUTSIDE = "(outside any operation)"


def read(value: object, folder: Path) -> Timeline:
    path = folder / "trace.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return import_chrome_trace(path)


def memory(ts: float, size: int, address: int, total: int | None = None, **more: Any) -> dict[str, Any]:
    args = {"Bytes": size, "Addr": address, "Device Type": 0, "Device Id": -1} | more
    if total is not None:
        args["Total Allocated"] = total
    return {"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "pid": 1, "tid": 2, "ts": ts, "args": args}


def ran(ts: float, dur: float, name: str, tid: int = 2) -> dict[str, Any]:
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": tid, "ts": ts, "dur": dur}


def counter(ts: float, name: str, **args: Any) -> dict[str, Any]:
    return {"ph": "C", "name": name, "pid": 1, "ts": ts, "args": args}


def raw_events(path: Path) -> list[dict[str, Any]]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    events: list[dict[str, Any]] = json.loads(data)["traceEvents"]
    return events


@pytest.mark.parametrize("name", ["torch_profiler.json.gz", "torch_profiler_small.json"])
def test_what_the_profiler_wrote_adds_up_to_its_own_totals(name: str) -> None:
    timeline = import_trace(TRACES / name)
    told = sorted(
        (event for event in raw_events(TRACES / name) if event["name"] == "[memory]"), key=lambda event: event["ts"]
    )
    assert timeline.series("cpu")[1][1:].tolist() == [event["args"]["Total Allocated"] for event in told]
    assert timeline.peak().booked == max(event["args"]["Total Allocated"] for event in told)
    assert timeline.dropped == 0
    assert timeline.accounts == ("/", "cpu")


@pytest.mark.parametrize("name", ["torch_profiler.json.gz", "torch_profiler_small.json"])
def test_a_label_is_the_shortest_span_round_the_event(name: str) -> None:
    events, timeline = raw_events(TRACES / name), import_trace(TRACES / name)
    spans = [event for event in events if event["ph"] == "X" and event.get("cat") != "Trace"]
    told = sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"])
    for place, event in enumerate(told):
        if event["args"]["Bytes"] > 0:
            over = [
                span
                for span in spans
                if span["tid"] == event["tid"] and span["ts"] <= event["ts"] <= span["ts"] + span["dur"]
            ]
            innermost = min(over, key=lambda span: span["dur"], default={"name": OUTSIDE})["name"]
            assert timeline.labels[timeline.events["label"][place]] == innermost


def test_times_count_from_what_the_file_says(tmp_path: Path) -> None:
    trace = {"traceEvents": [memory(5.25, 8, 1), memory(7, -8, 1)], "baseTimeNanoseconds": 1_000_000}
    timeline = read(trace, tmp_path)
    assert timeline.events["time_ns"].tolist() == [0, 1750]
    assert timeline.epoch_unix_ns == 1_005_250
    assert read(trace["traceEvents"], tmp_path).epoch_unix_ns is None


def test_what_is_older_than_the_trace_is_there_at_its_beginning(tmp_path: Path) -> None:
    gpu = {"Device Type": 1, "Device Id": 1}
    events = [
        memory(3, 8, 1, 108, **gpu),
        memory(5, -30, 7, 78, **gpu),
        memory(4, 2, 7),
        memory(6, -8, 1, 70, **gpu),
    ]
    timeline = read(events, tmp_path)
    assert timeline.series("gpu1")[1].tolist() == [100, 108, 78, 70]
    assert timeline.series("cpu")[1].tolist() == [0, 2]
    assert timeline.composition("gpu1") == [("gpu1", BEFORE, 70)]
    assert timeline.dropped == 2
    assert not timeline.peak().exact


def test_an_address_taken_twice_was_given_back_between(tmp_path: Path) -> None:
    timeline = read([memory(1, 8, 1), memory(2, 9, 1), memory(3, -9, 1)], tmp_path)
    assert timeline.series()[1].tolist() == [0, 8, 0, 9, 0]


def test_operations_of_another_thread_do_not_count(tmp_path: Path) -> None:
    events = [ran(0, 10, "outer"), ran(2, 3, "inner"), ran(0, 99, "else", 3), *(
        memory(time, 1, int(time)) for time in (1.0, 2.0, 5.0, 6.0, 10.0, 11.0))]  # fmt: skip
    timeline = read(events, tmp_path)
    named = [timeline.labels[label] for label in timeline.events["label"]]
    assert named == ["outer", "inner", "inner", "outer", "outer", OUTSIDE]


def test_a_counter_of_bytes_is_a_history_of_its_changes(tmp_path: Path) -> None:
    events = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "app/server"}},
        counter(3, "Memory", weights=70, cache=5),
        counter(1, "Memory", weights=50, cache=0),
        counter(2, "Utilisation", percent=93),
        counter(4, "Memory", weights=20, cache=5),
        counter(5, "pool", used_kb=3),
        counter(6, "Pool (MiB)", used=1.5),
    ]
    timeline = read(events, tmp_path)
    assert timeline.accounts == ("/", "app|server", "app|server/Memory", "app|server/pool", "app|server/Pool (MiB)")
    assert timeline.series("app|server/Memory")[1].tolist() == [0, 50, 70, 75, 25]
    assert timeline.composition("app|server/pool") == [("app|server/pool", "used_kb", 3000)]
    assert timeline.composition("app|server/Pool (MiB)")[0].bytes == 3 << 19
    assert timeline.composition("app|server/Memory", time_ns=2000)[0] == ("app|server/Memory", "weights", 70)


def test_counters_of_several_processes_are_told_apart(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "worker"}},
        {"ph": "M", "name": "process_name", "pid": 2, "args": {"name": "worker"}},
        counter(1, "heap", bytes=1),
        counter(2, "heap", bytes=2) | {"pid": 2},
        counter(3, "heap", bytes=4) | {"pid": 3, "id": "0x7"},
    ]
    timeline = read(events, tmp_path)
    assert set(timeline.accounts) >= {"worker 1/heap", "worker 2/heap", "process 3/heap[0x7]"}
    assert timeline.series()[1].tolist() == [0, 1, 3, 7]


def test_a_timeline_written_for_chrome_is_read_back(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    events = []
    for identity in range(1, 60):
        time, size, label = chance.randrange(1000), chance.randrange(1 << 40), chance.randrange(3)
        events += [(time, size, identity, label + 1, label), (time + 5, -size, identity, label + 1, label)][: 1 + label]
    events.sort(key=lambda event: event[0])
    accounts = ("/", "gpu0", "gpu0/a", "host")
    whole = Timeline.from_events(events, accounts, ("w", "x", "y"), (1, 2, 3), (5, 0, 7))
    whole.to_chrome_trace(tmp_path / "out.json")
    back = import_trace(tmp_path / "out.json")
    assert set(back.accounts) == set(accounts)
    for account in accounts:
        for time in range(0, 1010, 10):
            stamp = int(whole.events["time_ns"][0]) + time
            before = sum(holder.bytes for holder in whole.composition(account, time_ns=stamp))
            assert sum(holder.bytes for holder in back.composition(account, time_ns=time)) == before
        assert back.peak(account).booked >= whole.peak(account).booked > 0


def dump(ts: float, allocators: dict[str, int | None], edges: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    nodes = {
        name: {
            "guid": name,
            "attrs": {} if size is None else {"size": {"type": "scalar", "units": "bytes", "value": f"{size:x}"}},
        }
        for name, size in allocators.items()
    }
    graph = [{"source": source, "target": target, "importance": 1, "type": "ownership"} for source, target in edges]
    return {
        "ph": "v",
        "id": "0x1",
        "pid": 1,
        "ts": ts,
        "args": {"dumps": {"allocators": nodes, "allocators_graph": graph}},
    }


def test_a_memory_dump_counts_every_allocator_by_its_parts(tmp_path: Path) -> None:
    first: dict[str, int | None] = {
        "malloc": 1000,
        "malloc/allocated_objects": 700,
        "malloc/allocated_objects/small": 300,
        "v8/main/heap/old": 40,
        "v8/main/heap/new": 5,
        "v8/main": None,
        "skia/glyphs": 100,
        "global/shared": 9999,
    }
    timeline = read(
        [dump(9, {"malloc": 1200}), dump(1, first, (("skia/glyphs", "malloc/allocated_objects"),))], tmp_path
    )
    at_first = {(account, label): size for account, label, size in timeline.composition(time_ns=0)}
    assert at_first == {
        ("process 1/malloc", "allocated_objects"): 600,
        ("process 1/malloc", "(the rest)"): 300,
        ("process 1/v8", "main"): 45,
        ("process 1/skia", "glyphs"): 100,
    }
    assert timeline.composition() == [("process 1/malloc", "(the rest)", 1200)]


@pytest.mark.parametrize(
    "damage",
    [
        {"args": 7},
        {"args": {"dumps": {"allocators": 7}}},
        {"args": {"dumps": {"allocators": {"a": 7}}}},
        {"args": {"dumps": {"allocators": {"a": {"attrs": {"size": 7}}}}}},
        {"args": {"dumps": {"allocators": {"a": {"attrs": {"size": {"units": "bytes", "value": "zz"}}}}}}},
        {"args": {"dumps": {"allocators": {"a": {"attrs": {"size": {"units": "bytes", "value": "f" * 40}}}}}}},
        {"args": {"dumps": {"allocators": {"a": {}}, "allocators_graph": [7]}}},
        {"pid": []},
    ],
)
def test_a_damaged_memory_dump_says_where(tmp_path: Path, damage: dict[str, Any]) -> None:
    with pytest.raises(TraceFileError) as caught:
        read([dump(1, {"a": 1}), dump(2, {"a": 1}) | damage], tmp_path)
    assert caught.value.field == "traceEvents[1]"


def test_an_endless_tree_of_allocators_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="levels deep"):
        read([dump(1, {"a/" * 100_000: 1})], tmp_path)


@pytest.mark.parametrize("form", ["{}", '{{"traceEvents":{}}}', "\ufeff{}", "\n {}\n"])
def test_every_form_of_a_file_is_read(tmp_path: Path, form: str) -> None:
    text = form.format(json.dumps([counter(1, "heap", bytes=3)]))
    path = tmp_path / "trace.json"
    for data in (
        text.encode(),
        gzip.compress(text.encode()),
        gzip.compress(text[:9].encode()) + gzip.compress(text[9:].encode()),
    ):
        path.write_bytes(data)
        assert import_trace(path).peak().booked == 3


@pytest.mark.parametrize("end", ["", ",", ",\n", "\n", "]"])
def test_an_array_may_lack_its_closing_bracket(tmp_path: Path, end: str) -> None:
    text = "[" + ",".join(json.dumps(counter(time, "heap", bytes=time)) for time in (1, 2, 3)) + end
    assert read(text, tmp_path).series()[1].tolist() == [0, 1, 2, 3]


def test_every_end_of_an_array_is_whole_events_or_an_error(tmp_path: Path) -> None:
    text = json.dumps([memory(time, time, time) for time in (1, 2, 3)])
    read_so_far = []
    for end in range(len(text)):
        try:
            read_so_far.append(len(read(text[:end], tmp_path)))
        except TraceFileError as error:
            assert error.path == str(tmp_path / "trace.json")  # noqa: PT017 - most ends are errors, some are not
    assert read_so_far == sorted(read_so_far)
    assert set(read_so_far) == {1, 2, 3}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("", None),
        ("7", None),
        ('{"traceEvents":7}', None),
        ('{"traceEvents":[', None),
        ("[]", None),
        ("nonsense", None),
        ([7], "traceEvents[0]"),
        ([counter(1, "Utilisation", percent=3)], None),
        ([counter(1, "heap", bytes=-1)], "traceEvents[0]"),
        ([counter(1, "heap", bytes=1e30)], "traceEvents[0]"),
        ([counter(1e30, "heap", bytes=1)], "traceEvents[0]"),
        ([counter(1, "heap", bytes=1), {"ph": "C", "args": {}}], "traceEvents[1]"),
        ([counter(1, "heap", bytes=1) | {"pid": [1]}], "traceEvents[0]"),
        ([counter(1, "heap", bytes=1) | {"ts": True}], "traceEvents[0]"),
        ([counter(1, "heap", bytes=1) | {"ts": "soon"}], "traceEvents[0]"),
        ([counter(1, "heap", bytes=1) | {"ts": "nan"}], "traceEvents[0]"),
        ("[" + json.dumps(counter(1, "heap", bytes=7)).replace("7", "NaN") + "]", None),
        ("[" + json.dumps(counter(1, "heap", bytes=7)).replace("7", "1e999") + "]", "traceEvents[0]"),
        ("[" + json.dumps(counter(1, "heap", bytes=7)).replace("7", "9" * 5000) + "]", None),
        ("[" * 100_000, None),
        ('{"traceEvents":' + "[" * 100_000, None),
        ([memory(1, 8, 1) | {"args": 7}], "traceEvents[0]"),
        ([memory(1, 8, 1) | {"args": {"Bytes": 8}}], "traceEvents[0]"),
        ([memory(1, 1 << 70, 1)], "traceEvents[0]"),
        ([memory(1, 8, -(1 << 70))], "traceEvents[0]"),
        ([memory(1, 8, 1) | {"tid": {}}], "traceEvents[0]"),
        ([memory(1, 1 << 60, n) for n in range(5)], None),
        ({"traceEvents": [memory(1, 8, 1)], "baseTimeNanoseconds": "now"}, "baseTimeNanoseconds"),
    ],
)  # fmt: skip
def test_a_damaged_file_says_where(tmp_path: Path, value: object, field: str | None) -> None:
    with pytest.raises(TraceFileError) as caught:
        read(value, tmp_path)
    assert caught.value.field == field
    assert len(str(caught.value)) < 1000


def test_a_hex_address_and_a_quoted_time_are_read(tmp_path: Path) -> None:
    first = memory(1, 8, 1)
    first["args"]["Addr"], first["ts"] = "0x10", "1.5"
    assert read([first, memory(2, -8, 16)], tmp_path).series()[1].tolist() == [0, 8, 0]


def test_gzip_that_unpacks_beyond_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b"[" + b" " * (64 << 20)))
    with pytest.raises(TraceFileError, match="unpacks to more than"):
        import_trace(path)


def test_gzip_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.json.gz"
    data = gzip.compress(json.dumps([counter(time, "heap", bytes=time) for time in range(1, 9)]).encode())
    for end in range(2, len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(TraceFileError):
            import_trace(path)


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes('[{"name":"é"}]'.encode("latin-1"))
    with pytest.raises(TraceFileError) as caught:
        import_trace(path)
    assert caught.value.offset == 10


def test_a_name_with_half_a_character_can_be_told(tmp_path: Path) -> None:
    timeline = read('[{"ph":"C","name":"heap \\ud800","pid":1,"ts":1,"args":{"bytes":5}}]', tmp_path)
    timeline.to_chrome_trace(tmp_path / "out.json")
    assert json.dumps(timeline.as_dict())
