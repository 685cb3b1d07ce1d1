"""Packing beside the sort it must keep up with, and beside the packers of PyPI."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import ullage

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
CAPACITY = 80 << 30


def sizes(count: int) -> npt.NDArray[np.int64]:
    """Give `count` sizes in bytes, spread evenly below two fifths of a bin."""
    return np.random.default_rng(20).integers(0, CAPACITY // 5 * 2, count)


def many_bins() -> npt.NDArray[np.int64]:
    """Give a million sizes of up to a bin."""
    return np.random.default_rng(21).integers(0, CAPACITY, 1_000_000)


@pytest.mark.benchmark(group="1,000,000 items in half as many bins")
def test_sort_many(benchmark: Benchmark) -> None:
    benchmark(np.sort, many_bins())


@pytest.mark.benchmark(group="1,000,000 items in half as many bins")
@pytest.mark.parametrize("strategy", ["first_fit_decreasing", "best_fit_decreasing"])
def test_ours_many(benchmark: Benchmark, strategy: str) -> None:
    ullage.validate(benchmark(ullage.pack, many_bins(), CAPACITY, strategy))


@pytest.mark.benchmark(group="1,000,000 items")
def test_sort(benchmark: Benchmark) -> None:
    benchmark(np.sort, sizes(1_000_000))


@pytest.mark.benchmark(group="1,000,000 items")
@pytest.mark.parametrize("strategy", ["first_fit_decreasing", "best_fit_decreasing"])
def test_ours_large(benchmark: Benchmark, strategy: str) -> None:
    ullage.validate(benchmark(ullage.pack, sizes(1_000_000), CAPACITY, strategy))


@pytest.mark.benchmark(group="20,000 items")
@pytest.mark.parametrize("strategy", ["first_fit_decreasing", "best_fit_decreasing"])
def test_ours(benchmark: Benchmark, strategy: str) -> None:
    plan = benchmark(ullage.pack, sizes(20_000), CAPACITY, strategy)
    ullage.validate(plan)
    benchmark.extra_info["bins"] = plan.bins_used


@pytest.mark.benchmark(group="20,000 items")
def test_binpacking(benchmark: Benchmark) -> None:
    peer = pytest.importorskip("binpacking")
    bins = benchmark.pedantic(peer.to_constant_volume, (sizes(20_000).tolist(), CAPACITY), rounds=1)
    benchmark.extra_info["bins"] = len(bins)


@pytest.mark.benchmark(group="20,000 items")
def test_prtpy(benchmark: Benchmark) -> None:
    peer = pytest.importorskip("prtpy")
    arguments = {
        "algorithm": peer.packing.first_fit_decreasing,
        "items": sizes(20_000).tolist(),
        "binsize": CAPACITY,
        "outputtype": peer.out.BinCount,
    }
    benchmark.extra_info["bins"] = benchmark.pedantic(peer.pack, kwargs=arguments, rounds=1)
