"""Packing through the public face, checked by the package's validator and by a stranger's."""

import json
import math
import signal
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ullage
from ullage.errors import ArgumentError, ModelNotFoundError, ProblemError

STRATEGIES = ["auto", "first_fit_decreasing", "best_fit_decreasing", "exact"]


def check(sizes: list[int], capacities: list[int] | int, plan: ullage.Plan) -> None:
    """Check a plan of nameless items, trusting nothing but the numbers given."""
    loads: defaultdict[int, int] = defaultdict(int)
    for size, index in zip(sizes, plan.assignment, strict=True):
        if index is not None:
            loads[index] += size
    for index, load in loads.items():
        assert load <= (capacities if isinstance(capacities, int) else capacities[index])
        assert (plan.bins[index].load, plan.bins[index].items) == (
            load,
            [item for item, place in enumerate(plan.assignment) if place == index],
        )
    assert plan.unplaced == [item for item, place in enumerate(plan.assignment) if place is None]
    assert plan.bins_used == len(loads)
    assert (plan.status in {"optimal", "feasible"}) == (not plan.unplaced)
    assert (plan.status == "optimal") == (plan.gap == 0)
    ullage.validate(plan)


sizes_of_items = st.lists(st.integers(0, 40), max_size=12)


@given(sizes_of_items, st.lists(st.integers(1, 60), min_size=1, max_size=5), st.sampled_from(STRATEGIES))
def test_plans_into_given_bins_are_valid(sizes: list[int], capacities: list[int], strategy: str) -> None:
    plan = ullage.pack(sizes, capacities, strategy)
    assert [planned.capacity for planned in plan.bins] == capacities
    check(sizes, capacities, plan)


@given(sizes_of_items, st.integers(1, 60), st.sampled_from(STRATEGIES))
def test_plans_into_equal_bins_are_valid(sizes: list[int], capacity: int, strategy: str) -> None:
    plan = ullage.pack(sizes, capacity, strategy)
    check(sizes, capacity, plan)
    assert (plan.status == "infeasible") == (max(sizes, default=0) > capacity)
    assert plan.unplaced or plan.bins_used >= math.ceil(sum(sizes) / capacity)


@given(
    st.lists(st.integers(0, 2**31 - 1), max_size=50),
    st.sampled_from(["uint64", "int64", "uint32", "int32", "uint16", ">i8", ">u4"]),
)
def test_arrays_and_lists_are_the_same(sizes: list[int], dtype: str) -> None:
    array = np.array(sizes, dtype="int64").astype(dtype)
    plan = ullage.pack(array, 2**31, "first_fit_decreasing")
    same = ullage.pack(array.tolist(), 2**31, "first_fit_decreasing")
    assert plan.assignment == same.assignment == plan.assignment_array.tolist()
    strided = np.repeat(array, 2)[::2]
    assert ullage.pack(strided, 2**31, "first_fit_decreasing").assignment == plan.assignment


def test_names_come_back_as_given() -> None:
    models: dict[str, str | int] = {"llama-8b": "16GB", "minilm": "90MB", "whisper": "3GB", "none": 0}
    plan = ullage.pack(models, {"t4": ("16GB", 2), "cpu": "4GB"})
    assert (plan.status, plan.bins_used) == ("optimal", 2)
    assert plan.placement["llama-8b"] == "t4:0"
    assert set(plan.placement) == set(models)
    held = {planned.name: planned.items for planned in plan.bins}
    assert held[str(plan.placement["minilm"])] == [
        name for name, place in plan.placement.items() if place == plan.placement["minilm"]
    ]
    assert ullage.pack(list(models.items()), "16GB").placement["minilm"] == "bin:1"
    assert "4 of 4 items in 2 bins" in repr(plan)
    assert "items" in repr(plan.bins[0])
    ullage.validate(plan)


def test_infeasible_comes_with_its_reason() -> None:
    plan = ullage.pack({"a": 5, "big": 30}, {"gpu": 10, "rack": (20, None)})
    assert (plan.status, plan.unplaced, plan.gap) == ("infeasible", ["big"], None)
    assert plan.reason == '"big" of 30 bytes is larger than the largest bin, 20 bytes'
    shape = plan.as_dict()
    assert shape["reason"] | {"text": ""} == {
        "kind": "item_too_large",
        "item": "big",
        "size": 30,
        "largest": 20,
        "text": "",
    }
    assert plan.assignment_array.tolist() == [1, -1]
    assert ullage.pack([6, 6], [10]).as_dict()["reason"]["needed"] == 12
    assert "infeasible" in repr(plan)


def test_a_dict_is_ready_for_json() -> None:
    plan = ullage.pack([4, 3, 3, 2, 2, 2], 8)
    shape = json.loads(json.dumps(plan.as_dict()))
    assert shape["assignment"] == plan.assignment
    wanted = {
        "status": "optimal",
        "bins_used": 2,
        "lower_bound": 2,
        "gap": 0,
        "strategy": "auto",
        "reason": None,
    }
    assert wanted.items() <= shape.items()
    assert shape["seconds"] >= 0
    assert plan.nodes > 0
    greedy = ullage.pack([4, 3, 3, 2, 2, 2], 8, "first_fit_decreasing")
    assert (greedy.status, greedy.gap, greedy.nodes) == ("feasible", 1, 0)


@pytest.mark.parametrize(
    ("items", "bins", "field"),
    [
        ([1, -2], 10, "items[1]"),
        (np.array([1, 2, -3]), 10, "items[2]"),
        (np.array([1, -3], dtype="int16"), 10, "items[1]"),
        (np.array([[1, 2]]), 10, "items"),
        ([1, "8G"], 10, "items[1]"),
        ([1, None], 10, "items[1]"),
        ([1.5], 10, "items[0]"),
        ([float("nan")], 10, "items[0]"),
        ([2**64], 10, "items[0]"),
        ([True], 10, "items[0]"),
        ({"a": "x"}, 10, 'items["a"]'),
        ({1: 2}, 10, "items"),
        ([("a", 1), 2], 10, "items[1]"),
        ([2, ("a", 1)], 10, "items[1]"),
        ([("a", 1), ("a", 2)], 10, "items[1]"),
        ([("a", 1, 2)], 10, "items[0]"),
        ("12GB", 10, "items"),
        (12, 10, "items"),
        ([1], [], "bins"),
        ([1], {}, "bins"),
        ([1], 0, "bins[0]"),
        ([1], [4, 0], "bins[1]"),
        ([1], [4, -1], "bins[1]"),
        ([1], None, "bins"),
        ([1], "many", "bins"),
        ([1], {"a": (4, 0)}, "bins[0]"),
        ([1], {"a": (4, -1)}, 'bins["a"]'),
        ([1], {"a": (4, 1, 1)}, 'bins["a"]'),
        ([1], {"a": (4, 2**64)}, 'bins["a"]'),
        ([1], {3: 4}, "bins"),
    ],
)
def test_bad_problems_name_what_is_wrong(items: Any, bins: Any, field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        ullage.pack(items, bins)
    assert caught.value.field == field
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("time_limit", [-1.0, math.nan, math.inf, 1e300])
def test_bad_time_limits_are_refused(time_limit: float) -> None:
    with pytest.raises(ArgumentError, match="time_limit"):
        ullage.pack([1], 10, time_limit=time_limit)


def test_unknown_strategies_are_refused_with_the_known() -> None:
    with pytest.raises(ArgumentError) as caught:
        ullage.pack([1], 10, "fastest")
    assert caught.value.name == "strategy"
    assert all(strategy in caught.value.reason for strategy in STRATEGIES)


def test_huge_numbers_are_only_numbers() -> None:
    plan = ullage.pack([2**64 - 1] * 3, {"all": (2**64 - 1, 10**18)})
    assert (plan.status, plan.bins_used) == ("optimal", 3)
    assert ullage.pack([2**64 - 1] * 3, [2**64 - 1] * 2).as_dict()["reason"]["needed"] == 3 * (2**64 - 1)


def test_no_time_still_gives_a_plan() -> None:
    sizes = [(index * 7919) % 991 + 5 for index in range(150)]
    plan = ullage.pack(sizes, 1000, "exact", time_limit=0)
    check(sizes, 1000, plan)
    assert plan.nodes == 0


def test_ctrl_c_ends_a_long_solve() -> None:
    program = textwrap.dedent("""
        import threading, signal, ullage
        sizes = [(index * 7919) % 401 + 200 for index in range(180)]
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        try:
            ullage.pack(sizes, 1000, "exact", time_limit=None)
        except ullage.Interrupted as stopped:
            ullage.validate(stopped.best)
            print("interrupted", len(stopped.best.assignment))
    """)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours
    assert done.stdout == "interrupted 180\n", done.stderr
    assert done.returncode != -signal.SIGINT


def test_instance_files_are_read(tmp_path: Path) -> None:
    text = tmp_path / "four.txt"
    text.write_text("4\n10\n6\n5\n5\n4\n")
    items, capacity = ullage.read_packing_instance(text)
    assert (items, capacity) == ([6, 5, 5, 4], 10)
    table = tmp_path / "models.csv"
    table.write_text("name,size\nminilm,90MB\nllama,16 GB\n")
    assert ullage.read_packing_instance(str(table)) == (
        [("minilm", 90_000_000), ("llama", 16_000_000_000)],
        None,
    )
    text.write_text("4\n10\n6\nfive\n5\n4\n")
    with pytest.raises(ProblemError, match="line 4"):
        ullage.read_packing_instance(text)
    with pytest.raises(ModelNotFoundError):
        ullage.read_packing_instance(tmp_path / "absent.txt")


def test_progress_is_told_and_can_end_the_work() -> None:
    sizes = [(index * 7919) % 401 + 200 for index in range(180)]
    heard: list[ullage.Progress] = []
    plan = ullage.pack(sizes, 1000, "exact", time_limit=0.6, progress=heard.append)
    assert heard[-1].best == plan.bins_used
    assert heard[-1].lower_bound == plan.lower_bound
    assert heard[-1].gap == plan.gap
    assert [told.elapsed_s for told in heard] == sorted(told.elapsed_s for told in heard)

    def refuse(_: ullage.Progress) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        ullage.pack(sizes, 1000, "exact", time_limit=None, progress=refuse)
