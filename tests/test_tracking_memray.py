"""Captures of memray, made here, against memray's own figures; and damaged ones, which its reader may not survive."""

import importlib.util
import mmap
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullage.errors import TraceFileError, UllageError
from ullage.tracking import import_memray, import_trace, memray_file
from ullage.tracking.memray_child import Mappings

memray: Any = pytest.importorskip("memray", reason="memray does not exist for this system")


def work() -> list[bytearray]:
    """Allocate, give back, map and unmap."""
    gone = [bytearray(30_000 + number) for number in range(50)]
    mapped = [mmap.mmap(-1, 1 << 20) for _ in range(3)]
    mapped.pop().close()
    del gone
    return [bytearray(70_000 + number) for number in range(20)]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memray") / "capture.bin"
    with memray.Tracker(path):
        kept = work()
    assert len(kept) == 20
    return path


def test_the_peak_is_the_one_that_memray_finds(capture: Path) -> None:
    timeline = import_trace(capture)
    with memray.FileReader(capture) as reader:
        assert timeline.peak().booked == reader.metadata.peak_memory
        most = Counter[str]()
        for record in reader.get_high_watermark_allocation_records(merge_threads=True):
            stack = record.stack_trace(max_stacks=1)
            most[f"{Path(stack[0][1]).name}:{stack[0][2]} {stack[0][0]}" if stack else "(no Python stack)"] += (
                record.size
            )
    found = Counter[str]()
    for holder in timeline.peak().holders:
        found[holder.label] += holder.bytes
    assert found == +most
    assert timeline.accounts == ("/", "host", "host/heap", "host/mmap")
    assert timeline.peak("host/mmap").booked == 3 << 20


def test_what_is_left_is_what_memray_calls_leaked(capture: Path) -> None:
    timeline = import_memray(capture)
    with memray.FileReader(capture) as reader:
        left = sum(record.size for record in reader.get_leaked_allocation_records(merge_threads=True))
        first, last = (time.timestamp() * 1e9 for time in (reader.metadata.start_time, reader.metadata.end_time))
    assert sum(holder.bytes for holder in timeline.composition()) == left
    assert any(holder.label.startswith("test_tracking_memray.py:") for holder in timeline.composition())
    assert timeline.epoch_unix_ns is not None
    assert first - 1e6 <= timeline.epoch_unix_ns <= timeline.epoch_unix_ns + int(timeline.series()[0][-1]) <= last + 5e7


def test_a_capture_without_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "aggregated.bin"
    with memray.Tracker(path, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS):
        work()
    with pytest.raises(TraceFileError, match="aggregated") as caught:
        import_trace(path)
    assert caught.value.path == str(path)


def test_a_damaged_capture_is_an_error_or_a_shorter_history(capture: Path, tmp_path: Path) -> None:
    """Every byte was tried once by hand; each case here is a process, so a few must do."""
    data, path, chance = capture.read_bytes(), tmp_path / "damaged.bin", random.Random(3)  # noqa: S311 - no secret
    cases = [data[: chance.randrange(len(data))] for _ in range(4)]
    for _ in range(4):
        place = chance.randrange(len(data))
        cases.append(data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :])
    cases += [memray_file.MAGIC, memray_file.LZ4, memray_file.MAGIC + b"\xff" * 100, memray_file.LZ4 + b"\xff" * 100]
    ends = Counter[str]()
    for case in cases:
        path.write_bytes(case)
        try:
            import_memray(path).peak()
        except TraceFileError as error:
            assert error.path == str(path)  # noqa: PT017 - some damage is not seen
            ends["error"] += 1
        else:
            ends["read"] += 1
    assert ends["error"] >= 4


def test_a_reader_that_dies_is_an_error(capture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(TraceFileError, match="broke on it: signal 11"):
        import_memray(capture)


def test_without_memray_the_error_says_what_to_install(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UllageError, match=r"ullage\[memray\]"):
        import_memray(capture)


def test_another_file_is_refused_before_memray_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(b"memories")
    with pytest.raises(TraceFileError, match="no capture"):
        import_memray(path)


steps = st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 12)), max_size=25)


@given(steps)
def test_mappings_give_back_what_a_map_of_every_byte_does(actions: list[tuple[bool, int, int]]) -> None:
    ranges, owner = Mappings(), dict[int, int]()
    for identity, (add, begin, size) in enumerate(actions):
        touched = range(begin, begin + size)
        if add and not any(byte in owner for byte in touched):  # the system maps nothing over what is mapped
            ranges.add(begin, begin + size, identity, identity % 3)
            owner.update(dict.fromkeys(touched, identity))
        elif not add:
            gone = Counter[tuple[int, int]]()
            for count, of, label in ranges.remove(begin, begin + size):
                gone[of, label] += count
            assert +gone == Counter((owner[byte], owner[byte] % 3) for byte in touched if byte in owner)
            for byte in touched:
                owner.pop(byte, None)


@given(st.lists(st.integers(-2, 2), max_size=40), st.data())
def test_records_are_placed_where_their_amount_occurs(steps: list[int], data: st.DataObject) -> None:
    series = np.concatenate(([0], np.cumsum(np.array(steps, np.int64))))
    true = sorted(data.draw(st.lists(st.integers(0, len(steps)), max_size=6)))
    records = [(1000 + place, int(series[place])) for place in true]
    records.insert(data.draw(st.integers(0, len(records))), (0, 999))
    places, times = memray_file._aligned(series, records)  # noqa: SLF001 - what its time rests on
    assert times == [1000 + place for place in true]
    assert places == sorted(places)
    for guess, place in zip(places, true, strict=True):
        assert 0 <= guess <= len(steps)
        if sum(series == series[place]) == 1:
            assert guess == place
