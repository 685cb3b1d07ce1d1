"""`ullage bench pack`: what it prints and writes, and what it says of bad input."""

import json
import os
import pty
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from child_world import ended
from click.testing import CliRunner, Result

from ullage.cli.app import app

ULLAGE = str(Path(sysconfig.get_path("scripts"), "ullage"))
WORLD = Path(__file__).with_name("benchmark_world.py")


def bench(*arguments: str | Path, width: str = "100") -> Result:
    words = ["bench", "pack", *map(str, arguments)]
    return CliRunner(env={"COLUMNS": width}).invoke(app, words, prog_name="ullage")


def easy(folder: Path) -> Path:
    folder.mkdir()
    for index in range(4):
        (folder / f"{index}.txt").write_text(f"4\n10\n6\n5\n5\n{4 - index}\n")
    (folder / "optimal.csv").write_text("family,instance,opt\neasy,0,2\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return easy(tmp_path / "easy")


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[str | Path, ...]:
    """Give the arguments of a run whose answers are in a journal."""
    place = tmp_path_factory.mktemp("answered")
    strategies = f"auto,worst={WORLD}:one_each"
    arguments = (easy(place / "easy"), "--strategies", strategies, "--journal", place / "a.jsonl")
    assert bench(*arguments).exit_code == 0
    return (*arguments, "--resume")


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_the_table_says_who_solved_what(answered: tuple[str | Path, ...], width: str) -> None:
    done = bench(*answered, width=width)
    assert done.exit_code == 0, done.output
    assert "4 instances, 8 runs; every answer was checked." in " ".join(done.stdout.split())
    lines = [line.split() for line in done.stdout.splitlines()]
    auto, worst = (next(line for line in lines if line[:1] == [name]) for name in ("auto", "worst"))
    assert auto[1:4] == ["4", "4", "0"]
    assert worst[1:4] == ["0", "0", "0"]
    assert "easy (4 instances)" in done.stdout


def test_json_and_files_say_the_same(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    names = {"--csv": "a.csv", "--markdown": "a.md", "--output": "a.json", "--profile": "a.svg", "--journal": "a.jsonl"}
    written = [word for option, name in names.items() for word in (option, tmp_path / name)]
    done = bench(folder, "--strategies", "auto", "--json", *written)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["objective"] for row in found["rows"]] == [2, 2, 2, 2]
    assert found["rows"][0]["target"] == 2
    assert found["summary"][0]["proven"] == 4
    assert found["profile"]["curves"] == {"auto": [[1.0, 1.0]]}
    assert found["left_out"] == []
    assert json.loads((tmp_path / "a.json").read_text())["rows"] == found["rows"]
    assert all((tmp_path / name).stat().st_size for name in names.values())


def test_all_of_ours_are_taken_unless_others_are_named(folder: Path, tmp_path: Path) -> None:
    found = json.loads(bench(folder, "--sample", "1", "--json").stdout)
    assert {"auto", "first_fit_decreasing"} <= {row["strategy"] for row in found["rows"]}
    assert {row["instance"] for row in found["rows"]} == {"0"}
    arena = tmp_path / "arena.csv"
    arena.write_text("id,lower,upper,size\na,0,3,4\nb,3,9,4\n")
    both = json.loads(bench(folder, arena, "--sample", "1", "--strategies", "greedy_by_size", "--json").stdout)
    assert [row["status"] for row in both["rows"]] == ["unsupported", "proven"]


def test_faults_are_shown_and_end_in_status_1(folder: Path) -> None:
    done = bench(folder, "--sample", "1", "--strategies", f"auto,wrong={WORLD}:all_in_one")
    assert done.exit_code == 1
    assert "bin 0 holds" in done.stdout


def test_families_are_chosen(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("1\n2\n1\n")
    found = json.loads(bench(folder, other, "--family", "other", "--strategies", "auto", "--json").stdout)
    assert [row["family"] for row in found["rows"]] == ["other"]
    refused = bench(folder, "--family", "nothing")
    assert (refused.exit_code, "none of easy" in refused.stderr) == (2, True)


def test_work_is_resumed(folder: Path, tmp_path: Path) -> None:
    journal = tmp_path / "a.jsonl"
    arguments = (folder, "--strategies", "auto", "--journal", journal)
    assert bench(*arguments, "--sample", "2").exit_code == 0
    refused = bench(*arguments)
    assert (refused.exit_code, "is there already" in refused.stderr) == (2, True)
    assert bench(*arguments, "--resume").exit_code == 0
    assert sum("objective" in line for line in journal.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{}", "--strategies", "nonsense"), "first_fit_decreasing"),
        (("{}", "--resume"), "--resume needs --journal"),
        (("{}/nowhere",), "no such file"),
        (("{}/optimal.csv",), "no instance among the files"),
        (("{}", "--optima", "{}/0.txt"), "lacks the columns"),
        (("{}", "--time-limit", "-1"), "--time-limit"),
        (("{}", "--journal", "{}/a.jsonl", "--profile", "a.docx"), "does not end in .png"),
        (("{}", "--journal", "{}/a.jsonl", "--csv", "{}/nowhere/a.csv"), "nowhere/a.csv"),
        ((), "DIR|FILE"),
    ],
)
def test_bad_usage_is_one_sentence(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    done = bench(*(word.format(folder) for word in arguments))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.output
    assert says in done.stderr
    assert not list(folder.glob("*.jsonl"))


def test_a_terminal_sees_how_far_it_is(folder: Path) -> None:
    ours, theirs = pty.openpty()
    command = [ULLAGE, "bench", "pack", str(folder), "--strategies", "auto"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process, ended(process):  # noqa: S603
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is gone
                break
            if not part:
                break
            said += part
    os.close(ours)
    assert process.returncode == 0
    assert b"4/4" in said


def test_ctrl_c_shows_what_is_there_and_ends_in_status_130(folder: Path, tmp_path: Path) -> None:
    journal = tmp_path / "a.jsonl"
    command = [
        ULLAGE,
        "bench",
        "pack",
        str(folder),
        "--strategies",
        f"auto,hangs={WORLD}:hangs",
        "--journal",
        str(journal),
    ]
    with (
        subprocess.Popen(  # noqa: S603 - ours
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process,
        ended(process),
    ):
        while "objective" not in (journal.read_text() if journal.exists() else ""):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "1 instance, 1 run;" in out
    assert "interrupted" in err
