"""Layouts through the public face, checked by the package's validator and by a stranger's."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ullage
from ullage.errors import ArgumentError, ModelNotFoundError, ProblemError, QuantityError

STRATEGIES = [
    "auto",
    "exact",
    "first_fit",
    "best_fit",
    "greedy_by_size",
    "greedy_by_area",
    "greedy_by_length",
    "greedy_by_contention",
]
QUICK_S = 0.02
DATA = os.environ.get("ULLAGE_DATA")

lives = st.tuples(st.integers(0, 30), st.integers(-9, 9), st.integers(1, 9)).map(
    lambda life: (life[0], life[1], life[1] + life[2])
)


def columns(rows: list[tuple[int, int, int]]) -> tuple[list[int], list[int], list[int]]:
    """Give sizes, starts and ends."""
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def check(rows: list[tuple[int, int, int]], layout: ullage.Layout) -> None:
    """Check a layout pair by pair, trusting nothing but the numbers given."""
    offsets = layout.offsets.tolist()
    assert len(offsets) == len(rows) == len(layout)
    for index, (size, start, end) in enumerate(rows):
        for other in range(index):
            size2, start2, end2 = rows[other]
            together = start < end2 and start2 < end
            apart = offsets[index] + size <= offsets[other] or offsets[other] + size2 <= offsets[index]
            assert not together or apart or 0 in {size, size2}
    height = max((offset + row[0] for offset, row in zip(offsets, rows, strict=True)), default=0)
    load = max((sum(row[0] for row in rows if row[1] <= at < row[2]) for _, at, _ in rows), default=0)
    assert (layout.height, layout.gap) == (height, height - layout.lower_bound)
    assert load <= layout.lower_bound <= height
    assert layout.lower_bound == load or layout.strategy in {"auto", "exact"}
    assert (layout.status == "optimal") == (height == layout.lower_bound)
    ullage.validate(layout)


@given(st.lists(lives, max_size=25), st.sampled_from(STRATEGIES))
def test_layouts_are_valid(rows: list[tuple[int, int, int]], strategy: str) -> None:
    check(rows, ullage.plan_arena(*columns(rows), strategy=strategy, time_limit=QUICK_S))


@given(st.lists(lives, min_size=1, max_size=12), st.integers(0, 80))
def test_a_capacity_is_kept_or_the_answer_is_no(rows: list[tuple[int, int, int]], capacity: int) -> None:
    layout = ullage.plan_arena(*columns(rows), capacity, time_limit=QUICK_S)
    ullage.validate(layout)
    assert layout.capacity == capacity
    assert (layout.status in {"optimal", "feasible"}) == (layout.height <= capacity)
    assert (layout.status == "infeasible") == (layout.lower_bound > capacity) == (layout.reason is not None)


@given(st.lists(lives, max_size=20), st.sampled_from(["int64", "int32", "int16", "uint32", "uint64", ">i8", ">u4"]))
def test_arrays_and_lists_are_the_same(rows: list[tuple[int, int, int]], dtype: str) -> None:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    sizes = table[:, 0].astype(dtype)
    same = ullage.plan_arena(*columns(rows), strategy="best_fit")
    assert ullage.plan_arena(sizes, table[:, 1], table[:, 2], strategy="best_fit").offsets.tolist() == (
        same.offsets.tolist()
    )


def test_offsets_are_a_read_only_array_that_goes_with_sizes() -> None:
    sizes = np.array([4, 4, 4])
    layout = ullage.plan_arena(sizes, [0, 3, 0], [3, 9, 9])
    assert (layout.offsets + sizes).dtype == np.int64
    assert (layout.offsets + sizes).max() == layout.height == 8
    assert not layout.offsets.flags.writeable


def test_ids_and_texts_come_back() -> None:
    layout = ullage.plan_arena(["1KiB", "2 KiB", 0], [0, 1, 0], [2, 3, 9], "4KiB", ids=["a", "b", "none"])
    assert (layout.status, layout.height, layout.capacity, layout.ids) == ("optimal", 3072, 4096, ["a", "b", "none"])
    shape = json.loads(json.dumps(layout.as_dict()))
    assert shape["offsets"] == dict(zip(layout.ids, layout.offsets.tolist(), strict=True))
    wanted = {"status": "optimal", "height": 3072, "lower_bound": 3072, "gap": 0, "strategy": "auto", "reason": None}
    assert wanted.items() <= shape.items()
    assert repr(layout) == "<Layout optimal: 3 buffers in 3072 bytes; at least 3072>"
    assert ullage.plan_arena([1], [0], [1]).as_dict()["offsets"] == {"0": 0}


def test_infeasible_comes_with_its_reason() -> None:
    layout = ullage.plan_arena([6, 6], [0, 4], [5, 9], 10)
    assert (layout.status, layout.reason) == ("infeasible", "what is alive at 4 takes 12 bytes, the capacity is 10")
    assert layout.as_dict()["reason"] == {
        "kind": "load_too_high",
        "text": layout.reason,
        "at": 4,
        "load": 12,
        "capacity": 10,
        "buffers": ["0", "1"],
    }


def test_alignments_are_one_for_all_or_one_each() -> None:
    layout = ullage.plan_arena([3, 3, 3], [0] * 3, [1] * 3, alignments=64)
    assert sorted(layout.offsets.tolist()) == [0, 64, 128]
    assert (layout.status, layout.height) == ("optimal", 131)
    each = ullage.plan_arena([3, 3], [0] * 2, [1] * 2, alignments=np.array([1, 4]))
    assert (each.status, sorted(each.offsets.tolist())) == ("optimal", [0, 3])
    ullage.validate(layout)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (([1, -2], [0, 0], [1, 1]), "sizes[1]"),
        ((np.array([1, -2]), [0, 0], [1, 1]), "sizes[1]"),
        (([1, "8G"], [0, 0], [1, 1]), "sizes[1]"),
        (([math.nan], [0], [1]), "sizes[0]"),
        (([1.5], [0], [1]), "sizes[0]"),
        (([None], [0], [1]), "sizes[0]"),
        (("12", [0], [1]), "sizes"),
        ((12, [0], [1]), "sizes"),
        ((np.ones((2, 2), int), [0], [1]), "sizes"),
        (([1], [0.5], [1]), "starts[0]"),
        (([1], [True], [2]), "starts[0]"),
        (([1], [math.nan], [1]), "starts[0]"),
        (([1], np.array([0.0]), [1]), "starts[0]"),
        (([1], [0], [2**63]), "ends[0]"),
        (([1], [0], np.array([2**63], dtype=np.uint64)), "ends[0]"),
        (([1], [0], ["1"]), "ends[0]"),
        (([1], [0, 1], [1]), "starts"),
        (([1], [0], []), "ends"),
        (([1], [5], [5]), "buffers[0]"),
        (([1], [5], [4]), "buffers[0]"),
        (([2**62, 2**62], [0, 0], [1, 1]), "buffers[1]"),
    ],
)
def test_bad_problems_name_what_is_wrong(arguments: tuple[Any, Any, Any], field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        ullage.plan_arena(*arguments)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"time_limit": -1.0}, ArgumentError),
        ({"time_limit": math.nan}, ArgumentError),
        ({"strategy": "fastest"}, ArgumentError),
        ({"seed": -1}, ArgumentError),
        ({"seed": 2**64}, ArgumentError),
        ({"capacity": "many"}, QuantityError),
        ({"capacity": -1}, QuantityError),
        ({"ids": ["a", "b"]}, ProblemError),
        ({"ids": []}, ProblemError),
        ({"alignments": 0}, ProblemError),
        ({"alignments": [8, 8]}, ProblemError),
        ({"alignments": "many"}, ProblemError),
        ({"alignments": 2**63}, ProblemError),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        ullage.plan_arena([1], [0], [1], **options)
    with pytest.raises(ProblemError, match="taken by"):
        ullage.plan_arena([1, 1], [0, 0], [1, 1], ids=["a", "a"])


def test_conditions_are_kept() -> None:
    options: dict[str, Any] = {
        "fixed": [None, 8, -1, None],
        "alias": ["x", None, "x", None],
        "hints": [None] * 3 + [20],
    }
    layout = ullage.plan_arena([4, 4, 6, 2], [0, 0, 5, 0], [5, 9, 9, 9], 32, **options)
    ullage.validate(layout)
    offsets = layout.offsets.tolist()
    assert (offsets[0], offsets[1], offsets[3]) == (offsets[2], 8, 20)
    arrays: dict[str, Any] = {
        "fixed": np.array([-1, 8, -1, -1]),
        "alias": np.array([3, -1, 3, -1]),
        "hints": ["-1", None, "1kB", -1][1:],
    }
    assert ullage.plan_arena([4, 4, 6, 2], [0, 0, 5, 0], [5, 9, 9, 9], alias=arrays["alias"]).height == 12
    assert ullage.plan_arena([4, 4, 6], [0] * 3, [9] * 3, fixed=arrays["fixed"][:3]).offsets[1] == 8
    assert ullage.plan_arena([4, 4, 6], [0] * 3, [9] * 3, hints=arrays["hints"]).height == 14
    gaps = ullage.plan_arena([4, 4], [0, 3], [9, 5], gaps=[[(2, 6)], None])
    assert (gaps.height, gaps.status) == (4, "optimal")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"fixed": [0]}, "fixed"),
        ({"fixed": [0, -2]}, r"fixed\[1\]"),
        ({"fixed": np.array([0, -2])}, r"fixed\[1\]"),
        ({"fixed": [0, 2]}, r"fixed\[1\]"),
        ({"fixed": [3, None], "alignments": 2}, r"fixed\[0\]"),
        ({"fixed": [0, 8], "alias": ["a", "a"]}, r"fixed\[1\]"),
        ({"fixed": [2**63 - 1, None]}, r"fixed\[0\]"),
        ({"hints": 7}, "hints"),
        ({"alias": [1.5, 2]}, r"alias\[0\]"),
        ({"gaps": [[(0, 1)], None]}, r"gaps\[0\]"),
        ({"gaps": [[(1, 2), (2, 3)], None]}, r"gaps\[0\]"),
        ({"gaps": [7, None]}, r"gaps\[0\]"),
        ({"gaps": 7}, "gaps"),
    ],
)
def test_conditions_that_cannot_be_name_their_place(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError, match=field):
        ullage.plan_arena([4, 4], [0, 0], [9, 9], **options)


def test_infeasible_says_who_is_alive_or_that_the_search_ended() -> None:
    layout = ullage.plan_arena([6, 6, 1], [0, 4, 7], [5, 9, 9], 10, ids=["a", "b", "c"])
    assert layout.as_dict()["reason"]["buffers"] == ["a", "b"]
    # Four pieces around a hole: the load is 3, and no layout is that low.
    rows = [(2, 0, 2), (1, 0, 1), (2, 2, 4), (1, 1, 3), (1, 3, 4)]
    sizes, starts, ends = zip(*rows, strict=True)
    least = min(
        c for c in range(3, 7) if ullage.plan_arena(sizes, starts, ends, c, strategy="exact").status != "infeasible"
    )
    below = ullage.plan_arena(sizes, starts, ends, least - 1)
    assert below.status == "infeasible"
    assert ullage.plan_arena(sizes, starts, ends).height == least


def crowded(count: int) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(3)
    starts = random.integers(0, count, count)
    return random.integers(1, 1000, count), starts, starts + random.integers(1, 30, count)


def test_the_search_betters_the_heuristics() -> None:
    problem = crowded(120)
    simple = min(ullage.plan_arena(*problem, strategy=strategy).height for strategy in STRATEGIES[2:])
    searched = ullage.plan_arena(*problem, time_limit=1)
    ullage.validate(searched)
    assert searched.height < simple
    assert searched.steps > 0


def test_time_is_kept() -> None:
    layout = ullage.plan_arena(*crowded(20_000), time_limit=0.2)
    ullage.validate(layout)
    assert layout.seconds < 20


def test_ctrl_c_ends_a_long_search() -> None:
    program = textwrap.dedent("""
        import random, signal, threading, ullage
        chance = random.Random(3)
        pieces = [(0, 1_000_000, 0, 1_000_000)]  # cut at random: they fill a block but for a few gaps
        while len(pieces) < 450:
            start, end, low, high = pieces.pop(chance.randrange(len(pieces)))
            if chance.random() < 0.5:
                middle = chance.randrange(start, end)
                pieces += [(start, middle, low, high), (middle, end, low, high)]
            else:
                middle = chance.randrange(low, high)
                pieces += [(start, end, low, middle), (start, end, middle, high)]
            pieces = [piece for piece in pieces if piece[0] < piece[1] and piece[2] < piece[3]]
        starts, ends, lows, highs = zip(*chance.sample(pieces, 430))
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        try:
            ullage.plan_arena([h - l for l, h in zip(lows, highs)], starts, ends, time_limit=None)
        except ullage.Interrupted as stopped:
            ullage.validate(stopped.best)
            print("interrupted")
    """)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours
    assert done.stdout == "interrupted\n", done.stderr
    assert done.returncode != -signal.SIGINT


def test_a_ledger_s_history_is_laid_out() -> None:
    ledger = ullage.Ledger()
    account = ledger.account("gpu0")
    held = [account.reserve(1000 + 100 * index, f"layer{index % 4}") for index in range(8)]
    for reservation in held[::2]:
        reservation.release()
    ledger.account("host").reserve(5_000, "staging").release()
    held[1].resize(4_000)
    for reservation in held[1::2]:
        reservation.release()
    timeline = ledger.timeline()
    layout = timeline.plan_arena("gpu0")
    ullage.validate(layout)
    assert layout.lower_bound == timeline.peak("gpu0").booked
    assert len(layout) == len(timeline.lifetimes("gpu0")) == 9
    assert any(str(name).endswith(".2") for name in layout.ids)
    assert timeline.plan_arena(capacity="1kB").status == "infeasible"


def test_instance_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "three.csv"
    path.write_text("id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\n")
    ids, sizes, starts, ends, alignments, conditions = ullage.read_arena_instance(path)
    assert (ids, conditions) == (["b1", "b2", "b3"], {})
    layout = ullage.plan_arena(sizes, starts, ends, 12, alignments=alignments, ids=ids)
    assert (layout.status, layout.height) == ("optimal", 8)
    path.write_text("id,lower,upper,size,fixed,alias,hint,gaps\na,0,9,4,-1,x,,3-5\nb,3,5,8,0,,16,\n")
    conditions = ullage.read_arena_instance(path)[5]
    assert conditions == {"fixed": [None, 0], "alias": [0, None], "hints": [None, 16], "gaps": [[(3, 5)], []]}
    path.write_text("id,lower,upper,size\nb1,0,3,4\nb2,3,NaN,4\n")
    with pytest.raises(ProblemError, match="line 3, column upper"):
        ullage.read_arena_instance(path)
    with pytest.raises(ModelNotFoundError):
        ullage.read_arena_instance(tmp_path / "absent.csv")


@pytest.mark.skipif(DATA is None, reason="ULLAGE_DATA does not name the folder of public data sets")
def test_public_instances_are_laid_out() -> None:
    for path in sorted((Path(str(DATA)) / "arenas").glob("*.csv")):
        ids, sizes, starts, ends, alignments, _ = ullage.read_arena_instance(path)
        layout = ullage.plan_arena(sizes, starts, ends, alignments=alignments, ids=ids, time_limit=0.5)
        ullage.validate(layout)
        assert layout.status in {"optimal", "feasible"}, path
        assert layout.height < 1.4 * layout.lower_bound, path
