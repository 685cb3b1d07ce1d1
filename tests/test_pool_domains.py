"""Several memory domains, places, priorities, pins at run time, retries: what a caller sees of the scheduler."""

import threading
import time
from functools import partial
from typing import Any

import pytest
from pool_world import PATIENCE_S, Thing, in_thread, row, state, until, use

from ullage import Ledger, Pool
from ullage.errors import (
    ArgumentError,
    BudgetExceeded,
    LeaseTimeoutError,
    LoadFailedError,
    UnknownModelError,
)


def make(**options: Any) -> Pool:
    """Give a pool with a host and two accelerators."""
    return Pool(domains={"host": Ledger(1000), "gpu:0": Ledger(100), "gpu:1": Ledger(100)}, **options)


def test_a_model_books_on_each_domain_that_it_names() -> None:
    with make() as pool:
        pool.register("a", load=Thing, footprint={"gpu:0": 60, "host": 200}, workspace={"gpu:0": 10})
        with pool.lease_sync("a"):
            used = {name: account.used for name, account in pool.domains.items()}
            assert used == {"host": 200, "gpu:0": 70, "gpu:1": 0}
            assert row(pool, "a")["domains"] == {"host": 200, "gpu:0": 70}
        assert pool.plan("a")["demand"] == {"host": 200, "gpu:0": 70}
    assert {account.used for account in pool.domains.values()} == {0}


def test_a_plain_size_is_of_the_first_domain() -> None:
    with make() as pool:
        pool.register("a", load=Thing, footprint=60)
        use(pool, "a")
        assert (pool.account.used, pool.account.path) == (60, "pool")


def test_the_second_place_is_taken_where_the_first_is_full() -> None:
    with make() as pool:
        places: dict[str, Any] = {}

        def load(name: str, place: dict[str, int]) -> Thing:
            places[name] = place
            return Thing(name)

        for name in ("a", "b"):
            pool.register(name, load=partial(load, name), footprint=60, places=["gpu:0", "gpu:1"])
        first, second = pool.lease_sync("a"), pool.lease_sync("b")
        with first, second:
            assert (first.place, second.place) == (0, 1)
        assert places == {"a": {"gpu:0": 60}, "b": {"gpu:1": 60}}


def test_instances_share_the_load() -> None:
    """One lease each: the second who comes at once needs the second instance."""
    with make() as pool:
        pool.register(
            "a",
            load=lambda place: Thing(*place),
            footprint=60,
            places=["gpu:0", "gpu:1"],
            instances=2,
            max_concurrency=1,
        )
        with pool.lease_sync("a") as here, pool.lease_sync("a", timeout=PATIENCE_S) as there:
            assert {here.name, there.name} == {"gpu:0", "gpu:1"}
            assert [one["leases"] for one in row(pool, "a")["places"]] == [1, 1]
            del here, there


def test_a_model_larger_than_every_place_is_refused_with_the_nearest() -> None:
    with make() as pool:
        pool.register("a", load=lambda place: place, footprint=90, workspace=20, places=["gpu:0", "gpu:1"])
        with pytest.raises(BudgetExceeded) as caught:
            use(pool, "a")
        refused = caught.value
        assert (refused.requested, refused.available, refused.limit, refused.retry_after) == (110, 100, 100, None)
        assert refused.nearest == {"place": 0, "domain": "gpu:0", "short_by": 10, "workspace": 10}
        assert "gpu:0" in str(refused)
        with pool.lease_sync("a", workspace=10):
            assert pool.domains["gpu:0"].used == 100


def test_a_model_is_divided_over_all_accelerators() -> None:
    from ullage import split  # noqa: PLC0415 - of this test alone

    found = split("llama-3.2-1b", ["gpu:0=4GB", "gpu:1=4GB"], context=4096)
    with Pool(domains={"host": Ledger("1GB"), "gpu:0": Ledger("4GB"), "gpu:1": Ledger("4GB")}) as pool:
        pool.register("a", load=lambda place: Thing(str(sorted(place))), shard=found)
        assert use(pool, "a") == "['gpu:0', 'gpu:1']"
        loads = {place.name: place.load for place in found.places}
        assert row(pool, "a")["domains"] == loads
    with Pool(domains={"host": Ledger("1GB"), "gpu:0": Ledger("8GB"), "gpu:1": Ledger("8GB")}) as pool:
        pool.register("b", load=lambda place: Thing(*place), shard="llama-3.2-1b")
        assert set(pool.plan("b")["demand"]) <= {"gpu:0", "gpu:1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"footprint": {"gpu:7": 1}},
        {"footprint": 10, "places": ["gpu:7"]},
        {"footprint": 10, "places": []},
        {"places": ["gpu:0"]},
        {},
        {"footprint": {"gpu:0": 1}, "places": ["gpu:0"]},
        {"footprint": 10, "shard": "llama-3.2-1b"},
        {"footprint": 10, "instances": 2},
        {"footprint": 10, "workspace": {"nowhere": 1}},
        {"footprint": 10, "weights": dict},
        {"footprint": 10, "tier": "zip"},
        {"footprint": 10, "retries": -1},
    ],
)
def test_places_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with make() as pool:
        with pytest.raises(ArgumentError):
            pool.register("a", load=Thing, **wrong)
        assert pool.status() == []


def test_pools_that_make_no_sense_are_refused() -> None:
    for wrong in ({}, {"ledger": Ledger(1), "domains": {"a": Ledger(1)}}, {"ledger": Ledger(1), "min_residency": -1.0}):
        with pytest.raises(ArgumentError):
            Pool(**wrong)  # type: ignore[arg-type] # that is the point
    with pytest.raises(ArgumentError, match="quantile"):
        Pool(Ledger(1), quantile=2.0)


# Order.


def test_the_higher_priority_goes_first(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    order: list[int] = []

    def wait(priority: int) -> None:
        with pool.lease_sync("a", priority=priority, timeout=PATIENCE_S):
            order.append(priority)

    with pool.lease_sync("a"):
        waiters = []
        for count, priority in enumerate((0, 1, 2), 1):
            waiters.append(in_thread(partial(wait, priority)))
            until(lambda count=count: row(pool, "a")["waiting"] == count)  # type: ignore[misc]
    for waiter in waiters:
        waiter.result(PATIENCE_S)
    assert order == [2, 1, 0]


def test_a_plan_says_when() -> None:
    with Pool(Ledger(100)) as pool:
        for name in "ab":
            pool.register(name, load=Thing, footprint=60, load_time=2.0)
        assert pool.plan("a")["eta_s"] == pytest.approx(2.0)
        use(pool, "a")
        assert pool.plan("a")["eta_s"] == 0.0
        found = pool.plan("b")
        assert (found["decision"], found["evict"], found["whom"]) == ("wait", ["a"], ["a"])
        assert found["eta_s"] >= 2.0


def test_pins_come_and_go(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60)
    pool.register("b", load=Thing, footprint=60)
    use(pool, "a")
    pool.pin("a")
    assert row(pool, "a")["pinned"]
    with pytest.raises(BudgetExceeded) as caught:
        use(pool, "b")
    assert caught.value.blocked_by == ["a"]
    with pytest.raises(BudgetExceeded):
        pool.pin("b")
    pool.unpin("a")
    assert use(pool, "b") == "thing"
    for call in (pool.pin, pool.unpin):
        with pytest.raises(UnknownModelError):
            call("nobody")


def test_a_model_stays_for_its_minimum() -> None:
    with Pool(Ledger(100), min_residency=0.3, group_wait=0.0) as pool:
        for name in "ab":
            pool.register(name, load=Thing, footprint=60)
        use(pool, "a")
        begun = time.monotonic()
        with pytest.raises(LeaseTimeoutError):
            use(pool, "b", timeout=0.05)
        assert state(pool, "a") != "cold"
        use(pool, "b")
        assert time.monotonic() - begun >= 0.1


# Failures.


def test_a_load_that_failed_is_tried_again_for_those_who_wait(pool: Pool) -> None:
    attempts: list[int] = []

    def load() -> Thing:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("the disk is slow to wake")
        return Thing()

    pool.register("a", load=load, footprint=60)
    assert use(pool, "a") == "thing"
    assert (len(attempts), row(pool, "a")["failures"]) == (3, 0)


def test_a_loader_that_is_wrong_is_not_tried_again(pool: Pool) -> None:
    attempts: list[int] = []

    def load() -> Thing:
        attempts.append(1)
        raise TypeError("no such argument")

    pool.register("a", load=load, footprint=60)
    with pytest.raises(LoadFailedError) as caught:
        use(pool, "a")
    assert (len(attempts), caught.value.attempts) == (1, 1)
    assert caught.value.retry_after is not None
    assert state(pool, "a") == "failed"
    with pytest.raises(LoadFailedError):
        use(pool, "a")  # at once, in the pause
    assert len(attempts) == 1


def test_a_load_that_ran_out_of_memory_is_given_more(pool: Pool) -> None:
    booked: list[int] = []

    def load() -> Thing:
        booked.append(pool.account.used)
        if booked[-1] < 50:
            raise MemoryError
        return Thing()

    pool.register("a", load=load, footprint=40)
    pool.register("b", load=Thing, footprint=10)
    with pool.lease_sync("b") as other:
        assert use(pool, "a") == "thing"
        assert not other.is_down, "nobody else pays for it"
        del other
    assert booked[0] == 50
    assert booked == [50] or booked[1] >= 60


def test_memory_that_does_not_come_back_is_called_overdue() -> None:
    with Pool(Ledger(100), release_deadline=0.1, group_wait=0.0) as pool:
        for name in "ab":
            pool.register(name, load=Thing, footprint=60)
        leaked: list[Thing] = []
        with pool.lease_sync("a") as thing:
            leaked.append(thing)
        del thing
        with pytest.raises((LeaseTimeoutError, BudgetExceeded)):
            use(pool, "b", timeout=1.0)
        until(lambda: any(event["event"] == "overdue" for event in pool.events()))
        assert row(pool, "a")["places"][0]["overdue"]
        assert pool.account.used >= 60
        leaked.clear()
        until(lambda: pool.account.used == 0)
        assert use(pool, "b") == "thing"


def test_a_hit_is_not_held_up_by_a_load(pool: Pool) -> None:
    go = threading.Event()

    def load() -> Thing:
        assert go.wait(PATIENCE_S)
        return Thing()

    pool.register("slow", load=load, footprint=40)
    pool.register("warm", load=Thing, footprint=40)
    use(pool, "warm")
    waiter = in_thread(lambda: use(pool, "slow"))
    until(lambda: state(pool, "slow") == "loading")
    for _ in range(100):
        use(pool, "warm", timeout=0.5)
    go.set()
    assert waiter.result(PATIENCE_S) == "thing"
