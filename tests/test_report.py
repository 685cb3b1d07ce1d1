"""`ullage report`: every kind of answer as a page, an image and a trace, and what is refused."""

import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as some
from report_world import answers, changed, long_timeline
from trace_rules import check_trace

from ullage import UllageError
from ullage.cli.app import app
from ullage.report import load_timeline, read, save_timeline, write_report
from ullage.report.parts import Axis, Boxes, Changes, Course, Points, numbers
from ullage.report.thinning import kept, thinned

TIMED = {"arena", "simulate", "policies", "optimize", "replay"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return answers(tmp_path_factory.mktemp("answers"))


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, words)], prog_name="ullage")


@pytest.mark.parametrize("kind", [*sorted(TIMED), "pack", "place", "compare", "timeline"])
def test_every_answer_becomes_an_image_and_a_trace_where_it_has_a_time(
    files: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    done = run(files[kind], "--out", tmp_path / "one.svg", "--out", tmp_path / "one.png")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "one.svg").read_text()
    done = run(files[kind], "--out", tmp_path / "one.json.gz")
    if kind in TIMED:
        assert done.exit_code == 0, done.output
        check_trace(json.loads(gzip.decompress((tmp_path / "one.json.gz").read_bytes())))
    else:
        assert done.exit_code == 2
        assert "nothing in this report has a time" in done.stderr


def test_a_page_asks_no_network_for_anything(files: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    done = run(*files.values(), "--out", tmp_path / "all.html", "--title", "<b>All</b>", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert len(said["sections"]) == len(files)
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert said["written"] == [{"path": str(tmp_path / "all.html"), "bytes": len(page.encode())}]
    assert "default-src 'none'" in page
    assert "&lt;b&gt;All&lt;/b&gt;" in page
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    for word in (" src=", "http://", "https://", "@import", "<iframe", 'rel="stylesheet"'):
        assert word not in markup
    assert len(page) < 3_000_000


def test_the_peak_of_a_long_timeline_survives_and_its_holders_add_up(tmp_path: Path) -> None:
    timeline = long_timeline(400_000)
    save_timeline(timeline, tmp_path / "long.npz")
    section = read(tmp_path / "long.npz")
    course = next(part for part in section.parts if isinstance(part, Course))
    assert len(course.times) < len(timeline)
    assert course.totals().max() == timeline.peak().booked
    assert any("are drawn" in note for note in section.notes)
    rows = np.arange(len(course.times))
    assert np.array_equal(course.held(rows).sum(axis=0), course.totals())


def test_a_saved_timeline_is_read_back_whole(tmp_path: Path) -> None:
    timeline = long_timeline(1_000, ("a", "@b{custom}$x", "</script>"))
    save_timeline(timeline, tmp_path / "some.npz")
    again = load_timeline(tmp_path / "some.npz")
    assert np.array_equal(again.events, timeline.events)
    assert (again.labels, again.accounts, again.source) == (timeline.labels, timeline.accounts, timeline.source)


def test_a_damaged_timeline_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    save_timeline(long_timeline(20), path)
    whole = path.read_bytes()
    draw = np.random.default_rng(5)
    broken = [whole[:length] for length in range(0, len(whole), 7)]
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[int(draw.integers(len(whole)))] ^= 1 << int(draw.integers(8))
        broken.append(bytes(flipped))
    for content in broken:
        path.write_bytes(content)
        try:
            load_timeline(path)
        except UllageError:
            continue
        assert len(content) == len(whole)  # a flip may hit what nobody reads


@given(some.lists(some.integers(-(10**6), 10**6), max_size=400), some.integers(10, 60))
def test_thinning_keeps_the_ends_the_highest_and_the_lowest(values: list[int], most: int) -> None:
    column = np.array(values, np.int64)
    rows = kept(column, most)
    assert np.all(np.diff(rows) > 0)
    assert len(rows) <= most + 3
    if values:
        assert rows[0] == 0
        assert rows[-1] == len(values) - 1
        assert column[rows].max() == max(values)
        assert column[rows].min() == min(values)


@given(some.lists(some.tuples(some.integers(0, 3), some.integers(1, 100)), min_size=30, max_size=200))
def test_a_thinned_course_holds_what_the_whole_one_does(steps: list[tuple[int, int]]) -> None:
    count = len(steps)
    holder = np.array([who for who, _ in steps], np.uint8)
    delta = np.array([size for _, size in steps], np.int64)
    changes = Changes(np.arange(count, dtype=np.uint32), holder, delta)
    course = Course("", Axis("", "seconds"), numbers(range(count)), ("a", "b", "c", "d"), changes)
    few = thinned(course, 20)
    rows = np.searchsorted(course.times, few.times)
    assert np.array_equal(few.held(np.arange(len(rows))), course.held(rows))
    assert np.array_equal(few.totals(), course.totals()[rows])


def test_the_front_is_what_nothing_beats_in_both() -> None:
    points = Points(
        "", Axis("", "bytes"), Axis("", "seconds"), ((1, 5), (2, 5), (3, 1), (2, 3), (4, 0.5), (4, 2)), ("",) * 6
    )
    assert points.front() == [0, 3, 2, 4]


def test_a_layout_in_csv_is_drawn_like_the_answer_in_json(files: dict[str, Path]) -> None:
    boxes = [
        next(part for part in read(path).parts if isinstance(part, Boxes))
        for path in (files["arena"], files["arena"].with_name("layout.csv"))
    ]
    assert boxes[0].names == boxes[1].names == ("a", "b", "c", "d")
    for side in ("left", "right", "bottom", "top"):
        assert np.array_equal(getattr(boxes[0], side), getattr(boxes[1], side))


def test_a_plan_shows_every_item_in_its_bin(files: dict[str, Path]) -> None:
    boxes = next(part for part in read(files["pack"]).parts if isinstance(part, Boxes))
    items = json.loads(files["pack"].read_text())["items"]
    drawn = [int(right - left) for left, right in zip(boxes.left, boxes.right, strict=True)]
    assert len(drawn) == 6
    assert sorted(drawn) == sorted(item["size"] for item in items)
    for _, capacity, bottom, _ in boxes.frames:
        assert boxes.right[boxes.bottom == bottom].max() <= capacity


WRONG: list[tuple[str, tuple[Any, ...], object, str]] = [
    ("arena", ("buffers",), ..., "buffers: is missing"),
    ("arena", ("buffers", "size", 1), -1, "buffers.size[1]: must be a whole number from 0 to 2^62"),
    ("arena", ("buffers", "size"), [1], "buffers.size: has 1 entries, and there are 4 ids"),
    ("pack", ("assignment", 0), 99, "assignment[0]: is none of"),
    ("pack", ("assignment", 0), True, "assignment[0]: is none of"),
    ("pack", ("items",), ..., "items: is missing"),
    ("pack", ("bins", 0, "capacity"), 1 << 70, "bins[0].capacity: must be"),
    ("place", ("devices", 0, "load"), 3, "devices[0].load: must be an object"),
    ("simulate", ("latency_s",), "soon", "latency_s: must be a number"),
    ("simulate", ("memory", 0), [1], "memory[0]: must be a pair"),
    ("policies", ("choose",), "nothing", "is not among the policies"),
    ("replay", ("history", "model", 0), 77, "history.model[0]: is none of 3 models"),
    ("replay", ("history", "event", 0), "evict", "history.event[0]"),
    ("compare", ("policies",), [], "names no policy"),
    ("timeline", ("peak", "holders"), [4], "peak.holders[0]: must be an object"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_field_is_named(
    files: dict[str, Path], tmp_path: Path, wrong: tuple[str, tuple[Any, ...], object, str]
) -> None:
    kind, keys, value, said = wrong
    path = Path(shutil.copy(files[kind], tmp_path))
    changed(path, keys, value)
    done = run(path, "--out", tmp_path / "out.svg")
    assert done.exit_code == 2
    assert said in done.stderr
    assert str(path.name) in done.stderr
    assert not (tmp_path / "out.svg").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "is no plan, layout, pass"),
        ('{"a": NaN}', "not JSON"),
        ('{"a": ' + "[" * 5_000, "not JSON"),
        ("{", "not JSON"),
    ],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(content, encoding="utf-8")
    done = run(path, "--out", tmp_path / "out.svg")
    assert done.exit_code == 2
    assert said in done.stderr


def test_truncated_answers_are_refused_at_every_byte(files: dict[str, Path], tmp_path: Path) -> None:
    whole = files["pack"].read_bytes().strip()
    path = tmp_path / "cut.json"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UllageError):
            read(path)


def test_endings_and_places_that_cannot_be_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    assert "ends in none of" in run(files["pack"], "--out", tmp_path / "a.doc").stderr
    assert "No such file" in run(files["pack"], "--out", tmp_path / "no" / "a.svg").stderr
    assert "No such file" in run(tmp_path / "absent.json", "--out", tmp_path / "a.svg").stderr


def test_images_are_the_same_each_time(files: dict[str, Path], tmp_path: Path) -> None:
    section = read(files["optimize"])
    for name in ("a.svg", "b.svg"):
        write_report([section], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
