"""Snapshots of PyTorch's CUDA allocator: against an allocator whose every byte is known, and PyTorch's own files."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from allocator_world import ROUNDED, Device, Entry, each, label, snapshot
from hypothesis import given
from hypothesis import strategies as st

from ullage import Timeline
from ullage.errors import ModelNotFoundError, TraceFileError, UnreadableError
from ullage.tracking import import_torch_snapshot, import_trace

TRACES = Path(__file__).parent / "data" / "traces"
BEFORE = "(allocated before the trace)"
POOLS = ((0, 0), (0, 1), (3, 0))


def read(value: object, folder: Path, protocol: int = 4) -> Timeline:
    path = folder / "snapshot.pickle"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return import_torch_snapshot(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch")


@st.composite
def devices(draw: st.DrawFn) -> list[Device]:
    made = [Device(number) for number in range(draw(st.integers(1, 3)))]
    for _ in range(draw(st.integers(0, 40))):
        device = draw(st.sampled_from(made))
        choices = ["alloc", *(["ask"] if device.held else []), *(["complete"] if device.waiting else []), "other"]
        match draw(st.sampled_from(choices)):
            case "alloc":
                device.alloc(draw(st.integers(0, 2000)), draw(st.integers(0, 2)), draw(st.sampled_from(POOLS)))
            case "ask":
                device.ask_free(draw(st.sampled_from(sorted(device.held))))
            case "complete":
                device.complete_free(draw(st.sampled_from(sorted(device.waiting))))
            case _:
                device.other(draw(st.sampled_from(["oom", "snapshot", "segment_alloc", "segment_free", "segment_map"])))
    return made


def at_the_end(device: Device) -> dict[tuple[str, str], int]:
    found = Counter[tuple[str, str]]()
    for held in (*device.held.values(), *device.waiting.values()):
        pool = "default" if held.pool == (0, 0) else f"pool-{held.pool[0]}-{held.pool[1]}"
        found[f"gpu{device.number}/{pool}", label(held.place)] += held.size
    return dict(+found)


@given(devices(), st.sampled_from([2, 3, 4, 5]))
def test_a_whole_history_is_read_as_it_happened(folder: Path, made: list[Device], protocol: int) -> None:
    timeline = read(snapshot(made), folder, protocol)
    assert timeline.dropped == 0
    assert timeline.start.sum() == 0
    for device in made:
        account = f"gpu{device.number}"
        if account not in timeline.accounts:
            assert not device.total()
            continue
        moments = [0, *(total for entry, total in zip(device.entries, device.totals, strict=True)
            if entry["action"] in {"alloc", "free_completed"})]  # fmt: skip
        assert timeline.series(account)[1].tolist() == moments
        assert timeline.peak(account).booked == max(moments)
        ending = {(account, label): size for account, label, size in timeline.composition(account)}
        assert ending == at_the_end(device)


@given(devices(), st.integers(0, 30))
def test_a_history_without_its_beginning_is_completed_backwards(folder: Path, made: list[Device], kept: int) -> None:
    whole = snapshot(made, kept) if kept else snapshot(made) | {"device_traces": [[] for _ in made]}
    timeline = read(whole, folder)
    for device in made:
        account = f"gpu{device.number}"
        if account not in timeline.accounts:
            continue
        first = max(len(device.entries) - kept, 0)
        totals = [0, *device.totals]
        moments = [totals[first], *(totals[index + 1] for index in range(first, len(device.entries))
            if device.entries[index]["action"] in {"alloc", "free_completed"})]  # fmt: skip
        assert timeline.series(account)[1].tolist() == moments
        ending = {(account, label): size for account, label, size in timeline.composition(account)}
        assert ending == at_the_end(device)
        assert all(holder.label == BEFORE or holder.label.startswith(("model.py", "train.py", "data.py"))
            for holder in timeline.composition(account, position=0))  # fmt: skip


@given(devices())
def test_events_of_all_devices_are_in_order_of_time(folder: Path, made: list[Device]) -> None:
    timeline = read(snapshot(made), folder)
    stamps = sorted(entry["time_us"] for device in made for entry in device.entries
        if entry["action"] in {"alloc", "free_completed"})  # fmt: skip
    assert (timeline.events["time_ns"] + (timeline.epoch_unix_ns or 0)).tolist() == [stamp * 1000 for stamp in stamps]


def small() -> tuple[Device, list[int]]:
    """Three allocations, one of them given back and one about to be."""
    device = Device(0)
    addresses = [device.alloc(1000, 0), device.alloc(600, 1, (0, 1)), device.alloc(50, 2)]
    device.ask_free(addresses[0])
    device.complete_free(addresses[0])
    device.ask_free(addresses[2])
    return device, addresses


def without(*names: str) -> Any:
    def change(entry: Entry) -> None:
        for name in names:
            entry.pop(name, None)

    return change


def test_entries_without_times_are_counted(folder: Path) -> None:
    device, _ = small()
    timeline = read(each(snapshot([device]), without("time_us")), folder)
    assert timeline.epoch_unix_ns is None
    assert timeline.events["time_ns"].tolist() == [0, 1, 2, 4]
    assert timeline.series()[1].tolist() == [0, 1000, 1600, 1650, 650]


def test_entries_without_a_pool_are_those_of_the_segment_there(folder: Path) -> None:
    device, _ = small()
    timeline = read(each(snapshot([device]), without("pool_id")), folder)
    assert timeline.composition("gpu0/pool-0-1") == [("gpu0/pool-0-1", "train.py:11 step", 600)]
    assert timeline.composition("gpu0/default") == [("gpu0/default", "data.py:12 step", 50)]


def test_blocks_of_the_oldest_snapshots_have_a_history_and_no_address(folder: Path) -> None:
    frames = [{"filename": "/app/old.py", "line": 3, "name": "run"}]
    blocks: list[Entry] = [
        {"size": 1024, "state": "inactive"},
        {"size": 512, "state": "active_allocated", "history": [{"addr": 5120, "real_size": 400, "frames": frames}]},
        {"size": 512, "state": "active_allocated"},
    ]
    segment = {"device": 1, "address": 4096, "total_size": 2048, "stream": 0, "blocks": blocks}
    trace = [{"action": "alloc", "addr": 5632, "size": 500, "stream": 0, "frames": frames}]
    timeline = read({"segments": [segment], "device_traces": [[], trace]}, folder, 2)
    assert timeline.series("gpu1")[1].tolist() == [400, 900]
    assert timeline.composition() == [("gpu1/default", "old.py:3 run", 900)]
    assert timeline.dropped == 1
    alone = read([segment], folder)
    assert [holder.bytes for holder in alone.composition()] == [512, 400]


def test_what_the_segments_do_not_have_was_given_back(folder: Path) -> None:
    device, _ = small()
    timeline = read(snapshot([device]) | {"segments": []}, folder)
    assert timeline.series()[1].tolist() == [0, 1000, 1600, 1650, 650, 50, 0]
    kept = read({"device_traces": [device.entries]}, folder)
    assert kept.series()[1].tolist() == [0, 1000, 1600, 1650, 650]


def test_an_address_taken_twice_was_given_back_between(folder: Path) -> None:
    device, addresses = small()
    entries = [entry for entry in device.entries if entry["action"] != "free_completed"]
    entries.append(device.entries[0] | {"size": 7})
    whole = snapshot([device]) | {"device_traces": [entries]}
    whole["segments"] = [*whole["segments"], Device(0)._segment(addresses[0], device_held(7), "active_allocated")]  # noqa: SLF001
    timeline = read(whole, folder)
    assert timeline.series()[1].tolist() == [0, 1000, 1600, 1650, 650, 657]
    assert timeline.dropped == 1


def device_held(size: int) -> Any:
    device = Device(0)
    return device.held[device.alloc(size, 0)]


def test_a_block_of_another_size_than_its_entry_has_the_last_word(folder: Path) -> None:
    device, addresses = small()
    whole = snapshot([device])
    for segment in whole["segments"]:
        for block in segment["blocks"]:
            if block["address"] == addresses[1]:
                block["requested_size"] = 601
    assert read(whole, folder).series()[1].tolist() == [0, 1000, 1600, 1650, 650, 651]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([], "(no stack)"),
        ([{"filename": "??", "line": 0, "name": "malloc"}], "??:0 malloc"),
        ([{"filename": "a/torch/x.py", "line": 4, "name": "f"}], "x.py:4 f"),
        ([{"filename": "C:\\env\\torch\\x.py", "line": 4, "name": "f"},
          {"filename": "C:\\app\\y.py", "line": 5, "name": "g"}], "y.py:5 g"),
        ([{"filename": "<frozen importlib>", "line": 4, "name": "f"},
          {"filename": "<stdin>", "line": 1, "name": "<module>"}], "<stdin>:1 <module>"),
        ([{"filename": "none", "line": 0, "name": "<built-in method relu of type object at 0x7f77>"},
          {"filename": "none", "line": 0, "name": "torch/nn/functional.py(17): relu"},
          {"filename": "none", "line": 0, "name": "app/run.py(8): <module>"}], "run.py:8 <module>"),
        ([{"filename": "none", "line": 0, "name": "<built-in method x at 0x7f77>"}], "<built-in method x>"),
        ([{"filename": "/app/" + "d" * 300 + ".py", "line": 4, "name": "f"}], "d" * 197 + "..."),
    ],
)  # fmt: skip
def test_a_label_is_the_innermost_line_of_the_program(folder: Path, frames: list[Entry], expected: str) -> None:
    entry = {"action": "alloc", "addr": 1, "size": 5, "frames": frames}
    assert read({"device_traces": [[entry]]}, folder).labels == (expected,)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"category": "gradient"}, "(no stack) [gradient]"),
        ({"category": "unknown"}, "(no stack)"),
        ({"user_metadata": "layer 3"}, "(no stack) [layer 3]"),
        ({"user_metadata": ""}, "(no stack)"),
    ],
)
def test_a_label_has_the_category_where_there_is_one(folder: Path, more: Entry, expected: str) -> None:
    entry = {"action": "alloc", "addr": 1, "size": 5} | more
    assert read({"device_traces": [[entry]]}, folder).labels == (expected,)


def test_a_snapshot_that_pytorch_wrote_ends_with_its_active_blocks() -> None:
    path = TRACES / "torch_profiler_snapshot.pickle"
    raw = pickle.loads(path.read_bytes())  # noqa: S301 - ours
    timeline = import_trace(path)
    active = [block for segment in raw["segments"] for block in segment["blocks"] if block["state"] != "inactive"]
    assert timeline.series()[1][-1] == sum(block["requested_size"] for block in active) == 81_108
    taken = [entry for entry in raw["device_traces"][0] if entry["action"] in {"alloc", "free_completed"}]
    assert len(timeline) == len(taken)
    assert "snap.py:8 <module> [gradient]" in timeline.labels


def test_more_memo_entries_than_a_byte_can_name_are_read(folder: Path) -> None:
    frames = [[{"filename": f"{n}.py", "line": n, "name": "f"}] for n in range(2000)]
    trace = [{"action": "alloc", "addr": 512 * n, "size": n, "frames": frames[n]} for n in range(2000)]
    timeline = read({"device_traces": [trace]}, folder, 2)
    assert timeline.series()[1][-1] == sum(range(2000))
    assert len(timeline.labels) == 2000


def refused(value: object, folder: Path) -> TraceFileError:
    with pytest.raises(TraceFileError) as caught:
        read(value, folder)
    assert caught.value.path == str(folder / "snapshot.pickle")
    assert str(caught.value).startswith(caught.value.path)
    return caught.value


ALLOC = {"action": "alloc", "addr": 1, "size": 5}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, None),
        (7, None),
        ({"segments": {}}, "segments"),
        ({"segments": [7]}, "segments[0]"),
        ({"segments": [{}]}, "segments[0]"),
        ({"segments": [{"address": 0, "blocks": 7}]}, "segments[0].blocks"),
        ({"segments": [{"address": 0, "blocks": [{"size": -1, "state": ""}]}]}, "segments[0]"),
        ({"segments": [{"address": 0, "blocks": [{"size": True, "state": ""}]}]}, "segments[0]"),
        ({"segments": [{"address": 0, "blocks": [{"size": 1 << 62, "state": ""}]}]}, "segments[0]"),
        ({"segments": [{"address": None, "blocks": []}]}, "segments[0]"),
        ({"segments": [{"address": 0, "device": 4000, "blocks": []}]}, "segments[0]"),
        ({"segments": [{"address": 0, "segment_pool_id": 3, "blocks": []}]}, "segments[0]"),
        ({"device_traces": 7}, "device_traces"),
        ({"device_traces": [[]] * 2000}, "device_traces"),
        ({"device_traces": [7]}, "device_traces[0]"),
        ({"device_traces": [[7]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC, {}]]}, "device_traces[0][1]"),
        ({"device_traces": [[ALLOC | {"size": "5"}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"size": -5}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"size": 5.0}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"addr": [1]}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"frames": 7}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"frames": [{}]}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"frames": [{"filename": 1, "line": 1, "name": ""}]}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"time_us": 1 << 70}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"time_us": float("nan")}]]}, "device_traces[0][0]"),
        ({"device_traces": [[ALLOC | {"time_us": 1}, ALLOC]]}, "device_traces[0][1]"),
        ({"device_traces": [[ALLOC | {"time_us": -(1 << 50)}, ALLOC | {"time_us": 1 << 53}]]}, None),
        ({"device_traces": [[ALLOC | {"addr": n, "size": 1 << 60} for n in range(5)]]}, None),
    ],
)
def test_an_entry_of_an_unknown_shape_is_named(folder: Path, value: object, field: str | None) -> None:
    assert refused(value, folder).field == field


def test_a_list_shared_many_times_is_not_read_many_times(folder: Path) -> None:
    trace = [ALLOC] * 1000
    assert "more entries" in refused({"device_traces": [trace] * 1000}, folder).reason
    segment = {"address": 0, "blocks": [{"size": ROUNDED, "state": "inactive"}] * 1000}
    assert "more entries" in refused({"segments": [segment] * 1000}, folder).reason


def test_a_missing_or_unreadable_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        import_torch_snapshot(tmp_path / "nothing")
    with pytest.raises(UnreadableError):
        import_torch_snapshot(tmp_path)
    with pytest.raises(UnreadableError):
        import_torch_snapshot("a\0b")
