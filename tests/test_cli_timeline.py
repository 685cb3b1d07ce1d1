"""`ullage timeline`: what it prints, writes and refuses."""

import csv
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from allocator_world import Device, snapshot
from click.testing import CliRunner, Result

from ullage.cli.app import app
from ullage.tracking import import_trace

PROFILE = Path(__file__).parent / "data" / "traces" / "torch_profiler.json.gz"


def run(*arguments: object, width: str = "100") -> Result:
    words = ["timeline", *map(str, arguments)]
    return CliRunner(env={"COLUMNS": width, "NO_COLOR": "1"}).invoke(app, words, prog_name="ullage")


def answer(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def cut_snapshot(tmp_path: Path) -> Path:
    """Give a snapshot of two devices whose history lost its beginning."""
    devices = [Device(0), Device(1)]
    for number, device in enumerate(devices):
        first = device.alloc(3_000_000, 0)
        device.alloc(1_000_000 * (number + 1), 1)
        device.ask_free(first)
        device.complete_free(first)
    path = tmp_path / "snapshot.pickle"
    path.write_bytes(pickle.dumps(snapshot(devices, 3)))
    return path


def test_the_table_says_when_and_who() -> None:
    text = run(PROFILE).stdout
    assert "The peak is 85.08 kB (83.09 KiB), 52.5 ms after the first event." in text
    assert "79 events of chrome over 53.2 ms." in text
    assert re.search(r"38\.44 kB +cpu +aten::empty_strided\n.*37\.89 kB +cpu +aten::mm\n", text)
    assert "Still held at the end: 38.44 kB" in text


def test_json_has_whole_numbers_of_bytes_and_the_top_alone() -> None:
    found = answer(PROFILE, "--top", 2)
    assert found["peak"]["booked"] == 85_080
    assert found["peak"]["holders"] == [
        {"account": "cpu", "label": "aten::empty_strided", "bytes": 38_444},
        {"account": "cpu", "label": "aten::mm", "bytes": 37_888},
    ]
    assert (found["events"], found["dropped"], found["held_at_end"]) == (79, 0, 38_444)
    assert sum(holder["bytes"] for holder in found["end"]) == 38_444


def test_an_account_is_looked_at_alone(cut_snapshot: Path) -> None:
    assert answer(cut_snapshot)["peak"]["booked"] == 9_000_000
    found = answer(cut_snapshot, "--account", "gpu1")
    assert (found["account"], found["peak"]["booked"], found["held_at_end"]) == ("gpu1", 5_000_000, 2_000_000)
    assert "The peak of gpu1 is 5.00 MB" in run(cut_snapshot, "--account", "gpu1").stdout


def test_a_history_without_its_beginning_is_called_so(cut_snapshot: Path) -> None:
    assert not answer(cut_snapshot)["peak"]["exact"]
    assert "note: 2 earlier events are lost" in run(cut_snapshot).stdout.replace("\n", " ")


def test_more_holders_than_asked_for_are_summed_up() -> None:
    text = run(PROFILE, "--top", 1).stdout
    assert "and 4 more with 46.64 kB; --top shows more" in text


def test_lifetimes_and_counters_are_written(cut_snapshot: Path, tmp_path: Path) -> None:
    arena, chrome = tmp_path / "arena.csv", tmp_path / "counters.json"
    done = run(cut_snapshot, "--lifetimes", arena, "--chrome", chrome, "--account", "gpu0")
    assert done.exit_code == 0
    with arena.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(import_trace(cut_snapshot).lifetimes("gpu0")) == 2
    at_peak = answer(cut_snapshot, "--account", "gpu0")["peak"]
    alive = [row for row in rows if int(row["lower"]) <= at_peak["position"] < int(row["upper"])]
    assert sum(int(row["size"]) for row in alive) == at_peak["booked"]
    assert import_trace(chrome).peak().booked == 9_000_000


@pytest.mark.parametrize("width", ["1", "40", "72", "200"])
def test_any_width_will_do(cut_snapshot: Path, width: str) -> None:
    for path in (PROFILE, cut_snapshot):
        done = run(path, width=width)
        assert done.exit_code == 0
        assert max(map(len, done.stdout.splitlines())) <= max(int(width), 40)
        assert not re.search(r" $", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["nothing.json"], "ModelNotFoundError"),
        ([__file__], "TraceFileError"),
        ([PROFILE, "--account", "gpu9"], "ArgumentError"),
        ([PROFILE, "--top", "0"], "BadParameter"),
        ([PROFILE, "--lifetimes", "/nowhere/at/all.csv"], "BadParameter"),
        ([], "MissingParameter"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: list[object], kind: str) -> None:
    done = run(*arguments, "--json")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert json.loads(done.stdout)["error"] == kind


def test_a_hostile_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    event = {"ph": "C", "name": "heap\x1b[2J", "pid": 1, "ts": 1, "args": {"bytes\r\x1b]0;x\x07": 5}}
    path.write_text(json.dumps([event]))
    done = run(path)
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J" in done.stdout
