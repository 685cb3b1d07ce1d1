"""`ullage report`: every kind of answer as a page, an image and a trace, and what is refused."""

import gzip
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray
from report_world import answers, changed, long_timeline
from trace_rules import check_trace

from ullage import UllageError
from ullage.cli.app import app
from ullage.report import load_timeline, read, save_timeline, write_report
from ullage.report.parts import COLOURS, Axis, Boxes, Changes, Course, Points, numbers
from ullage.report.placing import named_points, ranges_of
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
    assert "there is no folder" in run(files["pack"], "--out", tmp_path / "no" / "a.svg").stderr
    assert "No such file" in run(tmp_path / "absent.json", "--out", tmp_path / "a.svg").stderr


def test_images_are_the_same_each_time(files: dict[str, Path], tmp_path: Path) -> None:
    section = read(files["optimize"])
    for name in ("a.svg", "b.svg"):
        write_report([section], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_page_says_what_it_shows_and_when_it_was_made(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bokeh")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    write_report([read(files["pack"])], tmp_path / "one.html")
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert page.count("Packing: pack.json</h") == 1
    assert "<h1>Packing: pack.json</h1>" in page
    assert "Made 2009-02-13 23:31 UTC by ullage" in page
    write_report([read(files["pack"]), read(files["arena"])], tmp_path / "two.html")
    assert "<h1>ullage report</h1>" in (tmp_path / "two.html").read_text(encoding="utf-8")


def test_a_timeline_of_a_known_time_says_when_it_was_recorded(tmp_path: Path) -> None:
    known = replace(long_timeline(100), epoch_unix_ns=1_234_567_890 * 10**9)
    for name, timeline in (("known", known), ("odd", replace(known, epoch_unix_ns=2**62)), ("not", long_timeline(100))):
        save_timeline(timeline, tmp_path / f"{name}.npz")
    found = {name: dict(read(tmp_path / f"{name}.npz").facts).get("recorded") for name in ("known", "odd", "not")}
    assert found["known"] == "2009-02-13 23:31 UTC"
    assert found["not"] is None


def test_a_replay_is_drawn_to_its_end(files: dict[str, Path]) -> None:
    course = next(part for part in read(files["replay"]).parts if isinstance(part, Course))
    assert course.times[-1] == 148.5
    assert course.held(np.array([len(course.times) - 1])).sum() == course.totals()[-1] == 30 * 10**9


VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What the colour-blind see, in linear light: Machado, Oliveira and Fernandes (2009), severity 1."""


def lightness_and_hue(colour: str, vision: str) -> NDArray[np.float64]:
    """Give a colour as somebody sees it, in CIELAB."""
    share = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ seen / [0.9505, 1.0, 1.089], 0.00886))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_the_colour_blind_tell_any_two_colours_apart(vision: str) -> None:
    seen = [lightness_and_hue(colour, vision) for colour in COLOURS]
    least = min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2))
    assert least > 12  # a just noticeable difference is 2.3


def test_names_stand_where_there_is_room() -> None:
    points = Points(
        "",
        Axis("", "bytes"),
        Axis("", "seconds"),
        ((0, 0), (0, 0), (50, 50), (51, 50), (100, 100)),
        ("here", "here too", "left of it", "right of it", "at the far end"),
    )
    named = named_points(points, 800, 250)
    (x, right), (y, top) = ranges_of(points)
    boxes = []
    for name in named:
        at = ((points.at[name.index][0] - x) / (right - x) * 800, (points.at[name.index][1] - y) / (top - y) * 250)
        wide = 5 * len(points.names[name.index])
        left = at[0] + name.right - (wide if name.align == "right" else 0)
        boxes.append((left, left + wide, at[1] + name.up, at[1] + name.up + 10))
        assert boxes[-1][0] >= 0
        assert boxes[-1][1] <= 800
        assert 0 <= boxes[-1][2] <= boxes[-1][3] <= 250
    for one, other in itertools.combinations(boxes, 2):
        assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]
    assert {"at the far end", "left of it"} <= {points.names[name.index] for name in named}


@pytest.mark.parametrize("at", [((6.0, 0.0),), (), ((0.0, 0.0),), ((1.0, 5.0), (1.0, 5.0)), ((-1.0, 2.0),)], ids=str)
def test_every_point_is_in_view(at: tuple[tuple[float, float], ...]) -> None:
    (left, right), (low, high) = ranges_of(Points("", Axis("", "bytes"), Axis("", "seconds"), at, ("x",) * len(at)))
    assert left < right
    assert low < high
    assert all(left < x < right and low < y < high for x, y in at)
