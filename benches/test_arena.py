"""Layouts of arenas beside the greedy order of TFLite in plain Python, and on public instances.

PyPI has no arena planner to compare with: MiniMalloc and idealloc are built from source.
"""

import bisect
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import ullage

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
DATA = os.environ.get("ULLAGE_DATA")
INSTANCES = sorted((Path(DATA) / "arenas").glob("*.csv")) if DATA else []
SIMPLE = ["first_fit", "best_fit", "greedy_by_size", "greedy_by_length"]


def network(count: int) -> Columns:
    """Give sizes, starts and ends of `count` values of a made-up network: most are short-lived, one in ten is kept."""
    random = np.random.default_rng(20)
    starts = np.arange(count)
    lengths = random.integers(1, 6, count)
    kept = random.random(count) < 0.1  # noqa: PLR2004 - one in ten
    lengths[kept] = random.integers(6, 400, int(kept.sum()))
    return random.integers(1, 1 << 20, count), starts, starts + lengths


def training(operators: int) -> Columns:
    """Give a training step: activations live until their gradient, the rest for some operators."""
    random = np.random.default_rng(21)
    at = np.arange(operators)
    back, few = 2 * operators - at, random.integers(1, 5, operators)
    starts = np.concatenate([at, at, back, back])
    ends = np.concatenate([back + 1, at + few, back + 2, back + few])
    units = np.repeat([65_536, 1024, 4096, 1024], operators)
    return random.integers(1, 512, 4 * operators) * units, starts, ends


def nested(count: int) -> Columns:
    """Give lives between two instants at random: half of all are alive together."""
    random = np.random.default_rng(22)
    lives = np.sort(random.integers(0, count, (count, 2)), axis=1)
    return random.integers(1, 1 << 20, count), lives[:, 0], lives[:, 1] + 1


def cut_block(count: int) -> Columns:
    """Cut a block of 1,000 instants and 1,048,576 bytes at random: it can be put together again without a gap."""
    random = np.random.default_rng(count)
    pieces = [(0, 1000, 0, 1 << 20)]
    while len(pieces) < count:
        start, end, low, high = pieces.pop(int(random.integers(len(pieces))))
        if end - start > 1 and random.random() < 0.5:  # noqa: PLR2004 - half of all cuts
            middle = int(random.integers(start + 1, end))
            pieces += [(start, middle, low, high), (middle, end, low, high)]
        elif high - low > 1:
            middle = int(random.integers(low + 1, high))
            pieces += [(start, end, low, middle), (start, end, middle, high)]
        else:
            pieces.append((start, end, low, high))
    table = np.array(pieces)
    return table[:, 3] - table[:, 2], table[:, 0], table[:, 1]


def greedy_by_size(sizes: list[int], starts: list[int], ends: list[int]) -> int:
    """Place the largest first, each in the smallest gap between those alive with it; give the height."""
    placed: list[tuple[int, int, int, int]] = []
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        size, start, end = sizes[index], starts[index], ends[index]
        top, best, least = 0, None, 0
        for low, high, lower, upper in placed:
            if lower < end and start < upper:
                gap = low - top
                if gap >= size and (best is None or gap < least):
                    best, least = top, gap
                top = max(top, high)
        offset = top if best is None else best
        bisect.insort(placed, (offset, offset + size, start, end))
    return max(high for _, high, _, _ in placed)


@pytest.mark.benchmark(group="arena of 2,000 buffers")
def test_plain_python(benchmark: Benchmark) -> None:
    columns = [column.tolist() for column in network(2_000)]
    height = benchmark.pedantic(greedy_by_size, columns, rounds=3)
    benchmark.extra_info["height"] = height
    assert height == ullage.plan_arena(*network(2_000), strategy="greedy_by_size").height


@pytest.mark.benchmark(group="arena of 2,000 buffers")
@pytest.mark.parametrize("strategy", SIMPLE)
def test_ours(benchmark: Benchmark, strategy: str) -> None:
    layout = benchmark(ullage.plan_arena, *network(2_000), strategy=strategy)
    ullage.validate(layout)
    benchmark.extra_info |= {"height": layout.height, "lower bound": layout.lower_bound}


@pytest.mark.benchmark(group="arena of 200,000 buffers")
@pytest.mark.parametrize("strategy", SIMPLE)
def test_ours_large(benchmark: Benchmark, strategy: str) -> None:
    layout = benchmark.pedantic(ullage.plan_arena, network(200_000), {"strategy": strategy}, rounds=3)
    ullage.validate(layout)
    benchmark.extra_info |= {"height": layout.height, "lower bound": layout.lower_bound}


@pytest.mark.benchmark(group="arena of 100,000 buffers, auto, at most 2 s")
@pytest.mark.parametrize("columns", [training(25_000), nested(100_000)], ids=["training", "nested"])
def test_ours_traces(benchmark: Benchmark, columns: Columns) -> None:
    layout = benchmark.pedantic(ullage.plan_arena, columns, {"time_limit": 2.0}, rounds=1)
    ullage.validate(layout)
    benchmark.extra_info |= {"height": layout.height, "lower bound": layout.lower_bound}


@pytest.mark.benchmark(group="blocks cut into pieces, exact, at most 10 s each")
@pytest.mark.parametrize("count", [150, 300, 450])
def test_ours_cut_block(benchmark: Benchmark, count: int) -> None:
    layout = benchmark.pedantic(ullage.plan_arena, (*cut_block(count), 1 << 20), {"strategy": "exact"}, rounds=1)
    ullage.validate(layout)
    benchmark.extra_info |= {"status": layout.status, "height": layout.height, "steps": layout.steps}


@pytest.mark.benchmark(group="validator of 200,000 buffers")
def test_validate(benchmark: Benchmark) -> None:
    benchmark(ullage.validate, ullage.plan_arena(*network(200_000), strategy="best_fit"))


@pytest.mark.skipif(not INSTANCES, reason="ULLAGE_DATA does not name the folder of public data sets")
@pytest.mark.benchmark(group="public arenas, auto, at most 10 s each")
@pytest.mark.parametrize("path", INSTANCES, ids=lambda path: path.stem)
def test_public(benchmark: Benchmark, path: Path) -> None:
    ids, sizes, starts, ends, alignments, _ = ullage.read_arena_instance(path)
    options = {"alignments": alignments, "ids": ids}
    layout = benchmark.pedantic(ullage.plan_arena, (sizes, starts, ends), options, rounds=1)
    ullage.validate(layout)
    stated = path.stem.rpartition(".")[2]
    benchmark.extra_info |= {
        "status": layout.status,
        "height": layout.height,
        "lower bound": layout.lower_bound,
        "known to do": int(stated) if stated.isdigit() else None,
    }
