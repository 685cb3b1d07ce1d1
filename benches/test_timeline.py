"""What a timeline of a million events answers, and how long that takes."""

from typing import Any

import numpy as np
import pytest

from ullage import Timeline
from ullage.timeline import EVENT

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
PAIRS = 500_000
LABELS = 50


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    """Give half a million reservations, each given back up to a thousand reservations later."""
    chance = np.random.default_rng(1)
    begin = np.arange(PAIRS, dtype=np.float64)
    order = np.argsort(np.concatenate((begin, begin + chance.integers(1, 1000, PAIRS) + 0.5)), kind="stable")
    size, label = chance.integers(1, 1 << 20, PAIRS), chance.integers(0, LABELS, PAIRS)
    events = np.zeros(2 * PAIRS, EVENT)
    events["time_ns"] = np.arange(2 * PAIRS)
    events["delta"] = np.concatenate((size, -size))[order]
    events["id"] = np.tile(np.arange(PAIRS), 2)[order]
    events["label"] = np.tile(label, 2)[order]
    owners = np.arange(LABELS, dtype=np.uint32) % 4 + 1
    events["account"] = owners[events["label"]]
    accounts = ("/", "gpu0", "gpu0/a", "gpu0/b", "host")
    return Timeline(events, accounts, ("weights",) * LABELS, owners, np.zeros(LABELS, np.uint64))


def test_checking_every_fact(benchmark: Benchmark, timeline: Timeline) -> None:
    made = benchmark(Timeline.from_events, timeline.events, timeline.accounts, timeline.labels, timeline.label_accounts)
    assert len(made) == 2 * PAIRS


@pytest.mark.parametrize("account", ["/", "gpu0"])
def test_the_peak_and_who_held_it(benchmark: Benchmark, timeline: Timeline, account: str) -> None:
    peak = benchmark(timeline.peak, account)
    assert sum(holder.bytes for holder in peak.holders) == peak.booked > 0


def test_lifetimes(benchmark: Benchmark, timeline: Timeline) -> None:
    assert len(benchmark(timeline.lifetimes)) == PAIRS
