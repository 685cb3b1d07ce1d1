"""What leases of worker processes take: what stays is the model's, what goes again is learned as their workspace."""

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import isolation_world as world
import pytest
from pool_world import PATIENCE_S, in_thread, row, until

from ullage import Ledger, Pool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as Linux counts")
MB = world.MB


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(Ledger("4GB"))
    yield pool
    pool.close(PATIENCE_S)
    assert pool.account.used == 0


def register(pool: Pool, **options: Any) -> None:
    """Add a model that is booked as it is measured, which is more than it says."""
    settings: dict[str, Any] = {"load": world.load, "footprint": "10MB", "isolation": "process"}
    pool.register("a", **settings | options)


def measured(pool: Pool) -> int:
    return int(row(pool, "a")["measured"])


def test_what_goes_again_is_a_workspace_and_what_stays_is_the_models(pool: Pool) -> None:
    register(pool)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        before = measured(pool)
        model.pass_through(100)
    assert measured(pool) < before + 10 * MB
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        assert pool.account.used >= measured(pool) + 100 * MB, "it was wrong once"
        model.grow(80)
    assert before + 75 * MB < measured(pool) < before + 95 * MB


def test_leases_that_say_how_large_their_input_is_teach_what_such_take(pool: Pool) -> None:
    register(pool, workspace=lambda context, batch: context * batch * 100_000)
    for _ in range(3):
        with pool.lease_sync("a", timeout=PATIENCE_S, context=1000, batch=2) as model:
            model.pass_through(50)  # where 200 MB were predicted
    cell = next(cell for cell in pool.estimates() if cell["model"] == "a")
    assert cell["breaches"] == 0
    with pool.lease_sync("a", timeout=PATIENCE_S, context=1000, batch=2):
        assert 50 * MB < pool.account.used - measured(pool) < 150 * MB


def test_leases_that_compute_nothing_teach_nothing(pool: Pool) -> None:
    register(pool, workspace="60MB")
    for _ in range(25):
        with pool.lease_sync("a", timeout=PATIENCE_S):
            pass
    assert pool.estimates() == []
    with pool.lease_sync("a", timeout=PATIENCE_S):
        assert pool.account.used == measured(pool) + 60 * MB


def test_what_a_lease_said_it_needs_is_not_booked_twice(pool: Pool) -> None:
    register(pool)
    with pool.lease_sync("a", timeout=PATIENCE_S, workspace="150MB") as model:
        before = measured(pool)
        model.pass_through(100)
    assert measured(pool) < before + 10 * MB
    with pool.lease_sync("a", timeout=PATIENCE_S, workspace="20MB") as model:
        model.pass_through(100)
    assert before + 70 * MB < measured(pool) < before + 95 * MB, "what it did not say is booked with the model"
    assert pool.estimates() == []


def test_of_leases_beside_each_other_only_the_sum_is_known(pool: Pool) -> None:
    register(pool, workspace="50MB", max_concurrency=2)
    with pool.lease_sync("a", timeout=PATIENCE_S) as one:
        before = measured(pool)
        with pool.lease_sync("a", timeout=PATIENCE_S) as other:
            both = [in_thread(partial(model.pass_through, 45)) for model in (one, other)]
            assert [call.result(PATIENCE_S) for call in both] == [None, None]
    assert measured(pool) < before + 10 * MB
    assert pool.estimates() == []


def test_what_is_reported_counts_first(pool: Pool) -> None:
    register(pool)
    for _ in range(2):
        lease = pool.lease_sync("a", timeout=PATIENCE_S)
        with lease as model:
            model.pass_through(30)
            lease.report_peak("90MB")
    (cell,) = pool.estimates()
    assert cell["samples"] == 2, "nothing was learned beside it"


def test_a_lease_of_a_worker_that_died_says_nothing_of_the_next(pool: Pool) -> None:
    register(pool, max_concurrency=2)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        with pytest.raises(Exception, match="ended with"):
            model.leave()
        until(lambda: row(pool, "a")["state"] == "cold")
        with pool.lease_sync("a", timeout=PATIENCE_S) as anew:
            before = measured(pool)
            anew.pass_through(100)
    with pool.lease_sync("a", timeout=PATIENCE_S):
        assert pool.account.used >= measured(pool) + 100 * MB
    assert measured(pool) < before + 10 * MB
