"""`ullage arena`: what it prints, writes and refuses."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ullage.cli.app import app
from ullage.tracking import import_trace

PROFILE = Path(__file__).parent / "data" / "traces" / "torch_profiler.json.gz"
HEADER = "id,lower,upper,size\n"
SMALL = f"{HEADER}b1,0,3,4\nb2,3,9,4\nb3,0,9,4\n"


def run(*arguments: object, width: str = "100", stdin: str | bytes = "") -> Result:
    words = ["arena", *map(str, arguments)]
    return CliRunner(env={"COLUMNS": width, "NO_COLOR": "1"}).invoke(app, words, prog_name="ullage", input=stdin)


def answer(*arguments: object, status: int = 0, stdin: str = "") -> dict[str, Any]:
    done = run(*arguments, "--json", stdin=stdin)
    assert done.exit_code == status, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.CSV"
    path.write_text(SMALL)
    return path


def test_the_table_says_how_high(small: Path) -> None:
    text = run(small, "--capacity", "12").stdout
    assert text.startswith("Optimal: 3 buffers in 8 B; no layout is lower (")
    assert re.search(r"\nheight +\S+ +8 +8 B\nlower bound +\S+ +8 +8 B\ncapacity +\S+ +12 +12 B\n", text)
    assert re.search(r"\n +4 B +\d +3 +9  b2\n", text)


def test_json_has_the_promised_keys(small: Path) -> None:
    found = answer(small, "--capacity", "12", "--time-limit", "10")
    assert {"status", "height", "lower_bound", "seconds", "offsets"} <= found.keys()
    assert (found["status"], found["height"], found["lower_bound"]) == ("optimal", 8, 8)
    assert set(found["offsets"]) == {"b1", "b2", "b3"}
    assert found["offsets"]["b1"] == found["offsets"]["b2"] != found["offsets"]["b3"]


def test_stdin_is_csv(small: Path) -> None:
    assert answer("-", stdin=SMALL)["offsets"] == answer(small)["offsets"]


def test_no_is_an_exit_status(small: Path) -> None:
    found = answer(small, "--capacity", "7", status=1)
    assert (found["status"], found["reason"]["load"]) == ("infeasible", 8)
    assert "Reason: what is alive at 0 takes 8 bytes, the capacity is 7." in run(small, "--capacity", "7").stdout
    hard = "".join(f"{i},{i * 7 % 41},{i * 7 % 41 + 3 + i % 9},{1 + i * i * 37 % 101}\n" for i in range(60))
    bound = answer("-", "--time-limit", "0", stdin=HEADER + hard)["lower_bound"]
    words = ("-", "--time-limit", "0", "--strategy", "first_fit", "--capacity", bound)
    assert answer(*words, status=1, stdin=HEADER + hard)["status"] == "timeout"
    assert run(*words, stdin=HEADER + hard).stdout.startswith("Timeout: nothing found within the capacity")


def test_traces_are_laid_out() -> None:
    found = answer(PROFILE, "--time-limit", "1")
    history = import_trace(PROFILE)
    assert found["lower_bound"] == history.peak().booked == 85_080
    assert len(found["offsets"]) == len(history.lifetimes())
    assert answer(PROFILE, "--account", "cpu", "--strategy", "best_fit")["strategy"] == "best_fit"


def test_offsets_are_written(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = run(small, "--output", out, "--top", "1")
    assert done.exit_code == 0
    assert "and 2 more" in done.stdout
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [["id", "lower", "upper", "size", "offset"]] * 3
    assert {row["id"]: int(row["offset"]) for row in rows} == answer(small)["offsets"]
    assert answer(out)["height"] == 8


@pytest.mark.parametrize("width", ["1", "40", "72", "200"])
def test_any_width_will_do(small: Path, width: str) -> None:
    for path in (small, PROFILE):
        done = run(path, "--strategy", "best_fit", width=width)
        assert done.exit_code == 0
        assert not re.search(r" $", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("", "file"),
        ("id,lower,upper\n1,0,1\n", "line 1, column size"),
        (f"{HEADER}1,0,NaN,4\n", "line 2, column upper"),
        (f"{HEADER}1,0,1,-4\n", "line 2, column size"),
        (f"{HEADER}1,0,1,4\n1,3,4,4\n", "line 3, column id"),
        (f"{HEADER}1,0,1\n", "line 2"),
        (f"{HEADER}1,3,3,4\n", "line 2"),
        (f"{HEADER}1,0,1,99999999999999999999\n", "line 2, column size"),
        (f"{HEADER}1,0,1,9223372036854775807\n2,0,1,1\n", "buffers[1]"),
    ],
)
def test_a_bad_row_is_named(content: str, place: str) -> None:
    done = run("-", "--json", stdin=content)
    assert done.exit_code == 2
    file = "" if place.startswith("buffers") else "stdin: "  # what no row alone is at fault for names no file
    named = "" if place == "file" else f"{place}: "
    assert done.stderr.startswith(f"error: {file}{named}")
    assert done.stderr.count("\n") == 1
    shape = json.loads(done.stdout)
    assert (shape["error"], shape["field"]) == ("ProblemError", place)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["nothing.csv"], "ModelNotFoundError"),
        ([__file__], "TraceFileError"),
        ([PROFILE, "--account", "gpu9"], "ArgumentError"),
        (["-", "--account", "gpu9"], "UsageError"),
        (["-"], "ProblemError"),
        ([PROFILE, "--time-limit", "nan"], "BadParameter"),
        ([PROFILE, "--capacity", "many"], "QuantityError"),
        ([PROFILE, "--strategy", "fastest"], "ArgumentError"),
        ([PROFILE, "--output", "/nowhere/at/all.csv"], "BadParameter"),
        ([], "MissingParameter"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: list[object], kind: str) -> None:
    done = run(*arguments, "--json")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert json.loads(done.stdout)["error"] == kind


def test_bytes_that_are_no_text_are_refused() -> None:
    done = run("-", "--json", stdin=HEADER.encode() + b"\xff,0,1,4\n")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["field"] == "file"


def test_a_hostile_id_cannot_steer_the_terminal() -> None:
    done = run("-", stdin=f"{HEADER}\x1b[2J,0,1,4\n")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
