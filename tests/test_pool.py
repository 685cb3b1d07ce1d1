"""The live pool from registration to close: when bytes come back, what is refused, what it tells."""

import asyncio
import json
import math
import threading
from contextlib import suppress
from typing import Any

import pytest
from pool_world import PATIENCE_S, Thing, in_thread, load_slowly, row, state, take_down, until, use, use_async

from ullage import Ledger, Pool
from ullage.errors import (
    ArgumentError,
    BudgetExceeded,
    LeaseTimeoutError,
    LoadFailedError,
    PoolClosedError,
    QuantityError,
    UllageError,
    UnknownModelError,
)


def test_a_leaked_reference_keeps_its_bytes_booked(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60)
    pool.register("b", load=Thing, footprint=60)
    leaked: list[Thing] = []
    with pool.lease_sync("a") as a:
        leaked.append(a)
    del a
    waiter = in_thread(lambda: use(pool, "b"))
    until(lambda: state(pool, "a") == "unloading")
    with pytest.raises(LeaseTimeoutError):
        use(pool, "b", timeout=0.2)
    assert (pool.account.used, row(pool, "a")["booked"]) == (60, 60)
    leaked.clear()
    assert waiter.result(PATIENCE_S) == "thing"
    assert state(pool, "a") == "cold"


def test_an_object_in_a_cycle_is_seen_to_go(pool: Pool) -> None:
    def load() -> Thing:
        thing = Thing()
        thing.__dict__["me"] = thing
        return thing

    pool.register("a", load=load, footprint=60)
    pool.register("b", load=Thing, footprint=60)
    use(pool, "a")
    assert use(pool, "b") == "thing"


@pytest.mark.parametrize("value", [7, "text", (1, 2), None])
def test_an_object_whose_end_cannot_be_seen_goes_at_its_unload(pool: Pool, value: object) -> None:
    pool.register("a", load=lambda: value, footprint=60)
    pool.register("b", load=Thing, footprint=60)
    with pool.lease_sync("a") as got:
        assert got is value
    assert use(pool, "b") == "thing"


def test_a_failed_unload_keeps_its_bytes_and_ends_its_model(pool: Pool) -> None:
    def unload(_thing: Thing) -> None:
        raise OSError("the device hangs")

    pool.register("a", load=Thing, unload=unload, footprint=60)
    pool.register("b", load=Thing, footprint=60)
    use(pool, "a")
    with pytest.raises(BudgetExceeded) as caught:
        use(pool, "b")
    assert caught.value.blocked_by == ["a"]
    assert (caught.value.requested, caught.value.available, caught.value.limit) == (60, 40, 100)
    with pytest.raises(LoadFailedError, match="unload failed"):
        use(pool, "a")
    assert (state(pool, "a"), pool.account.used) == ("stuck", 60)


def test_pinned_models_stay(pool: Pool) -> None:
    pool.register("pinned", load=Thing, footprint=60, pinned=True)
    pool.register("large", load=Thing, footprint=60)
    use(pool, "pinned")
    with pytest.raises(BudgetExceeded) as caught:
        use(pool, "large")
    refused = caught.value
    assert (refused.requested, refused.available, refused.limit, refused.blocked_by) == (60, 40, 100, ["pinned"])
    assert (refused.account, refused.holders[0].label) == ("pool", "pinned weights")
    assert isinstance(refused, MemoryError)
    json.dumps(refused.as_dict())
    with pytest.raises(BudgetExceeded):
        pool.register("second", load=Thing, footprint=50, pinned=True)
    assert [row["name"] for row in pool.status()] == ["pinned", "large"]


def test_a_model_beyond_the_limit_is_refused_at_once(pool: Pool) -> None:
    pool.register("whale", load=Thing, footprint=90, workspace=11)
    with pytest.raises(BudgetExceeded) as caught:
        use(pool, "whale")
    assert (caught.value.requested, caught.value.limit, caught.value.blocked_by) == (101, 100, [])
    assert pool.plan("whale")["decision"] == "refuse"


# Beginning and end.


def test_closing_waits_for_leases(pool: Pool) -> None:
    things: list[Thing] = []

    def load() -> Thing:
        things.append(Thing())
        return things[0]

    pool.register("a", load=load, unload=take_down, footprint=60)
    with pool.lease_sync("a"):
        with pytest.raises(LeaseTimeoutError, match="still in use"):
            pool.close(timeout=0.01)
        assert not things[0].is_down
        with pytest.raises(PoolClosedError):
            use(pool, "a")
    until(lambda: things[0].is_down)
    things.clear()
    pool.close(PATIENCE_S)
    pool.close(PATIENCE_S)
    with pytest.raises(PoolClosedError):
        use(pool, "a")


async def test_a_pool_closes_with_its_block() -> None:
    ledger = Ledger(100)
    async with Pool(ledger) as pool:
        pool.register("a", load=load_slowly, footprint=60)
        assert await use_async(pool, "a") == "thing"
    assert (ledger.used, state(pool, "a")) == (0, "cold")


def test_one_pool_serves_two_event_loops_and_outlives_them(pool: Pool) -> None:
    pool.register("a", load=load_slowly, footprint=60)

    async def many() -> list[str]:
        return await asyncio.gather(*(use_async(pool, "a") for _ in range(50)))

    loops = [in_thread(lambda: asyncio.run(many())) for _ in range(2)]
    assert [len(loop.result(PATIENCE_S)) for loop in loops] == [50, 50]
    assert asyncio.run(use_async(pool, "a")) == "thing"
    assert row(pool, "a")["loads"] == 1


def test_two_pools_share_one_ledger() -> None:
    ledger = Ledger(100)
    with Pool(ledger, account="one") as one, Pool(ledger, account="two") as two:
        one.register("a", load=Thing, footprint=60)
        two.register("b", load=Thing, footprint=60)
        use(one, "a")
        assert two.plan("b")["available"] == 40
        waiter = in_thread(lambda: use(two, "b"))
        until(lambda: row(two, "b")["waiting"] == 1)
        one.close(PATIENCE_S)
        assert waiter.result(PATIENCE_S) == "thing"
    assert (ledger.used, ledger.peak) == (0, 60)


def test_a_neighbour_that_leaves_wakes_who_waits() -> None:
    ledger = Ledger(100)
    neighbour = ledger.account("neighbour").reserve(80, label="training")
    with Pool(ledger) as pool:
        pool.register("a", load=Thing, footprint=60)
        waiter = in_thread(lambda: use(pool, "a"))
        until(lambda: row(pool, "a")["waiting"] == 1)
        neighbour.release()
        assert waiter.result(PATIENCE_S) == "thing"


def test_what_a_pool_tells_is_ready_for_json(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60)
    pool.register("b", load=Thing, footprint=60)
    pool.register("whale", load=Thing, footprint="1GB")
    assert pool.plan("a") == {
        "model": "a",
        "place": 0,
        "needed": 60,
        "demand": {"host": 60},
        "available": 100,
        "ahead": 0,
        "eta_s": pytest.approx(0.5),
        "decision": "load",
    }
    use(pool, "a")
    assert pool.plan("a")["decision"] == "grant"
    with pool.lease_sync("a"):
        plan = pool.plan("b")
        assert (plan["decision"], plan["behind"], plan["evict"], plan["drain"]) == ("wait", "memory", [], ["a"])
    assert pool.plan("b")["evict"] == ["a"]
    with suppress(BudgetExceeded):
        use(pool, "whale")
    use(pool, "b")
    events = json.loads(json.dumps(pool.events()))
    assert [event["event"] for event in events[:4]] == ["request", "queue", "load", "loaded"]
    assert {"grant", "released", "unload", "unloaded", "refuse"} <= {event["event"] for event in events}
    assert [event["time_s"] for event in events] == sorted(event["time_s"] for event in events)
    json.dumps([pool.status(), pool.plan("whale")])


def test_the_event_log_is_bounded() -> None:
    with Pool(Ledger(100), events=5) as pool:
        pool.register("a", load=Thing, footprint=60)
        for _ in range(10):
            use(pool, "a")
        assert len(pool.events()) == 5


BAD_REGISTRATIONS: list[tuple[dict[str, Any], type[UllageError]]] = [
    ({"footprint": -1}, QuantityError),
    ({"footprint": math.nan}, QuantityError),
    ({"footprint": True}, QuantityError),
    ({"footprint": "much"}, QuantityError),
    ({"footprint": 2**64}, QuantityError),
    ({"workspace": -1}, QuantityError),
    ({"max_concurrency": 0}, ArgumentError),
    ({"max_concurrency": -1}, ArgumentError),
    ({"name": "there"}, ArgumentError),
    ({"pinned": True, "footprint": 101}, BudgetExceeded),
]


@pytest.mark.parametrize(("wrong", "error"), BAD_REGISTRATIONS)
def test_bad_registrations_leave_the_pool_as_it_was(
    pool: Pool, wrong: dict[str, Any], error: type[UllageError]
) -> None:
    pool.register("there", load=Thing, footprint=10)
    registration: dict[str, Any] = {"name": "a", "load": Thing, "footprint": 10} | wrong
    with pytest.raises(error):
        pool.register(**registration)
    assert [row["name"] for row in pool.status()] == ["there"]


def test_what_is_unknown_is_said_to_be(pool: Pool) -> None:
    with pytest.raises(UnknownModelError, match="llama"):
        use(pool, "llama")
    with pytest.raises(UnknownModelError):
        pool.plan("llama")
    with pytest.raises(ArgumentError, match="policy"):
        Pool(Ledger(100), policy="clever")


@pytest.mark.parametrize("timeout", [-1.0, math.nan, math.inf, 1e300])
def test_odd_timeouts_hold_no_lease(pool: Pool, timeout: float) -> None:
    pool.register("a", load=Thing, footprint=60)
    with suppress(ArgumentError, LeaseTimeoutError):
        use(pool, "a", timeout=timeout)
    assert row(pool, "a")["waiting"] == 0
    assert use(pool, "a") == "thing"


def test_registering_and_looking_go_together(pool: Pool) -> None:
    """No look may catch a model half registered."""
    stop = threading.Event()

    def look() -> int:
        looks = 0
        while not stop.is_set():
            looks += len(pool.status())
        return looks

    looker = in_thread(look)
    for number in range(300):
        pool.register(f"m{number}", load=Thing, footprint=1)
    stop.set()
    assert looker.result(PATIENCE_S) >= 0
