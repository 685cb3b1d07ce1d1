"""Workspaces that are learned: what is booked for a lease after wrong predictions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_world import Thing

from ullage import Ledger, Pool
from ullage._core import Estimates
from ullage.errors import ArgumentError, ProtocolError, QuantityError


def test_one_report_is_enough_to_know_better() -> None:
    with Pool(Ledger(10_000)) as pool:
        pool.register("a", load=Thing, footprint=1000, workspace=lambda context, batch: context * batch)
        lease = pool.lease_sync("a", context=256, batch=2)
        with lease:
            assert pool.account.used == 1000 + 512
            lease.report_peak(768)
        with pool.lease_sync("a", context=256, batch=2):
            assert pool.account.used >= 1000 + 768
        assert pool.estimates()[0] | {"excess": None} == {
            "model": "a",
            "context": 256,
            "batch": 2,
            "samples": 1,
            "excess": None,
            "breaches": 1,
        }


def test_a_lease_that_says_nothing_is_learned_of_too() -> None:
    with Pool(Ledger(10_000)) as pool:
        pool.register("a", load=Thing, footprint=1000, workspace=100)
        lease = pool.lease_sync("a")
        for _ in range(19):
            with lease:
                lease.report_peak(50)
        with pool.lease_sync("a"), pool.lease_sync("a"), pool.lease_sync("a"):
            assert pool.account.used <= 1000 + 100 + 2 * 50, "the first has what is kept for a lease to come"


@pytest.mark.parametrize("error", [0.5, 0.8, 1.25, 1.5])
def test_wrong_predictions_are_wrong_once(error: float) -> None:
    """What leases really take is `error` times what was predicted, whatever their context."""
    with Pool(Ledger(1_000_000)) as pool:
        pool.register("a", load=Thing, footprint=1000, workspace=lambda context, batch: 10 * context * batch)
        for context in (100, 120, 1000, 1010, 4000, 100, 3500):
            lease = pool.lease_sync("a", context=context, batch=1)
            with lease:
                real = int(10 * context * error)
                booked = pool.account.used - 1000
                lease.report_peak(real)
                if context != 100 or error <= 1:
                    assert booked >= real, "after the first lease nothing is taken that was not booked"
        assert sum(cell["breaches"] for cell in pool.estimates()) <= 1


def test_a_model_of_two_sizes_is_as_wrong_as_it_was() -> None:
    estimates = Estimates()
    estimates.observe("a", predicted=100, booked=100, peak=150, context=1)
    assert estimates.book("a", 1000, context=64) == 1500
    assert not estimates.knows("a", context=64)
    estimates.forget("a")
    assert (estimates.book("a", 1000, context=64), estimates.breaches) == (1000, 0)


def test_reports_that_make_no_sense_are_refused() -> None:
    with Pool(Ledger(10_000)) as pool:
        pool.register("a", load=Thing, footprint=1000)
        lease = pool.lease_sync("a")
        with lease, pytest.raises(QuantityError):
            lease.report_peak(-1)
        with pytest.raises(ProtocolError):
            _ = lease.place
        for wrong in ({"context": -1}, {"batch": 2**65}):
            with pytest.raises(ArgumentError):
                pool.lease_sync("a", **wrong)
    for quantile in (0.0, 1.0, float("nan")):
        with pytest.raises(ArgumentError):
            Estimates(quantile)


@given(st.lists(st.integers(0, 2**63), min_size=1, max_size=18), st.integers(1, 2**63))
def test_nothing_that_was_seen_is_booked_too_low(peaks: list[int], predicted: int) -> None:
    estimates: Any = Estimates()
    for peak in peaks:
        estimates.observe("a", predicted=predicted, booked=predicted, peak=peak)
    assert estimates.book("a", predicted) >= min(max(peaks), 2**64 - 1)
