"""The live pool, with real threads and real event loops: who gets what, when bytes come back, how all of it fails."""

import asyncio
import functools
import gc
import json
import math
import queue
import random
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest

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
    UnreadableError,
)

PATIENCE_S = 20.0
"""How long a test waits for what should happen at once: it bounds a hang and measures nothing."""


class Thing:
    """A model's object, which knows whether it was taken down."""

    def __init__(self, name: str = "thing") -> None:
        """Make one that stands."""
        self.name = name
        self.is_down = False


def take_down(thing: Thing) -> None:
    thing.is_down = True


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


async def until_async(holds: Callable[[], bool]) -> None:
    """Wait without blocking the event loop."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.002)


def state(pool: Pool, name: str) -> str:
    """Give the state of one model."""
    return str(row(pool, name)["state"])


def row(pool: Pool, name: str) -> dict[str, Any]:
    """Give the status of one model."""
    return next(row for row in pool.status() if row["name"] == name)


def in_thread(work: Callable[[], Any]) -> "Future[Any]":
    """Run `work` in a thread of its own."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as failure:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(failure)

    threading.Thread(target=run, daemon=True).start()
    return future


def use(pool: Pool, name: str, timeout: float | None = PATIENCE_S) -> str:
    """Lease a model for an instant."""
    with pool.lease_sync(name, timeout=timeout) as thing:
        return str(thing.name)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Give a pool for 100 bytes; at the end nothing of it may remain."""
    before = set(threading.enumerate())
    ledger = Ledger(100)
    pool = Pool(ledger)
    yield pool
    gc.collect()
    pool.close(PATIENCE_S)
    assert not pool._leases  # noqa: SLF001 - a wrong count would silence the measurements for ever
    stuck = sum(row["booked"] for row in pool.status() if row["state"] == "stuck")
    assert (ledger.used, ledger.peak <= 100) == (stuck, True)
    until(lambda: not {thread for thread in set(threading.enumerate()) - before if "ullage" in thread.name})


# Loads.


@pytest.mark.parametrize("waiters", [1, 20])
def test_a_model_is_loaded_once_however_many_wait(pool: Pool, waiters: int) -> None:
    loads: list[int] = []
    go = threading.Event()

    def load() -> Thing:
        loads.append(1)
        assert go.wait(PATIENCE_S)
        return Thing()

    pool.register("a", load=load, footprint=60)
    users = [in_thread(lambda: use(pool, "a")) for _ in range(waiters)]
    until(lambda: row(pool, "a")["waiting"] == waiters)
    assert row(pool, "a") | {"last_used_s": 0} == {
        "name": "a",
        "state": "loading",
        "pinned": False,
        "leases": 0,
        "waiting": waiters,
        "estimated": 60,
        "booked": 60,
        "measured": None,
        "loads": 0,
        "evictions": 0,
        "last_used_s": 0,
    }
    go.set()
    assert [user.result(PATIENCE_S) for user in users] == ["thing"] * waiters
    assert (loads, row(pool, "a")["loads"]) == ([1], 1)


async def load_slowly(name: str = "thing") -> Thing:
    await asyncio.sleep(0.001)
    return Thing(name)


class CallableLoader:
    """A loader that is an object."""

    async def __call__(self) -> Thing:
        """Load."""
        return await load_slowly()


LOADERS: dict[str, Callable[[], Any]] = {
    "coroutine function": load_slowly,
    "partial": functools.partial(load_slowly, "thing"),
    "lambda": lambda: load_slowly("thing"),
    "object": CallableLoader(),
}


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS.keys())
@pytest.mark.parametrize("is_entered", [True, False])
async def test_whatever_gives_a_coroutine_is_awaited(loader: Callable[[], Any], *, is_entered: bool) -> None:
    downs: list[str] = []
    loops: list[object] = []

    async def down(thing: Thing) -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        downs.append(thing.name)

    pool = Pool(Ledger(100))
    pool.register("a", load=loader, unload=functools.partial(down), footprint=60)
    if is_entered:
        await pool.__aenter__()
    async with pool.lease("a", timeout=PATIENCE_S) as thing:
        assert thing.name == "thing"
    del thing
    await pool.aclose(PATIENCE_S)
    assert downs == ["thing"]
    assert (loops[0] is asyncio.get_running_loop()) == is_entered


def test_a_failed_load_tells_everyone_and_is_tried_again(pool: Pool) -> None:
    attempts: list[int] = []
    go = threading.Event()

    def load() -> Thing:
        attempts.append(1)
        assert go.wait(PATIENCE_S)
        if len(attempts) == 1:
            raise OSError("the disk is gone")
        return Thing()

    pool.register("a", load=load, footprint=60)
    users = [in_thread(lambda: use(pool, "a")) for _ in range(3)]
    until(lambda: row(pool, "a")["waiting"] == 3)
    go.set()
    for user in users:
        failure = user.exception(PATIENCE_S)
        assert isinstance(failure, LoadFailedError)
        assert (failure.model, repr(failure.__cause__)) == ("a", "OSError('the disk is gone')")
    assert (state(pool, "a"), pool.account.used) == ("cold", 0)
    assert use(pool, "a") == "thing"


@pytest.mark.parametrize("failure", [SystemExit(1), KeyboardInterrupt(), MemoryError(), asyncio.CancelledError()])
def test_whatever_a_loader_raises_ends_the_wait(pool: Pool, failure: BaseException) -> None:
    def load() -> Thing:
        raise failure

    pool.register("a", load=load, footprint=60)
    with pytest.raises(LoadFailedError) as caught:
        use(pool, "a")
    assert caught.value.__cause__ is failure
    assert pool.account.used == 0


def test_a_failed_load_keeps_nothing_alive(pool: Pool) -> None:
    """The bytes are no longer booked, so what the loader had made must not live on in its traceback."""
    made: list[weakref.ref[Thing]] = []

    def load() -> Thing:
        half_done = Thing()
        made.append(weakref.ref(half_done))
        raise ValueError("no")

    pool.register("a", load=load, footprint=60)
    with pytest.raises(LoadFailedError) as caught:
        use(pool, "a")
    assert caught.value.__cause__ is not None
    assert "half_done = Thing()" not in "".join(traceback.format_exception(caught.value))
    assert "in load" in "".join(traceback.format_exception(caught.value)), "the traceback itself stays"
    gc.collect()
    assert made[0]() is None


def test_a_measurement_that_fails_takes_the_model_down_again(pool: Pool) -> None:
    things: list[Thing] = []

    def load() -> Thing:
        things.append(Thing())
        return things[0]

    def measure(_thing: Thing) -> int:
        return -5

    pool.register("a", load=load, unload=take_down, measure=measure, footprint=60)
    with pytest.raises(LoadFailedError) as caught:
        use(pool, "a")
    assert isinstance(caught.value.__cause__, QuantityError)
    assert things[0].is_down


def test_a_measured_model_is_booked_as_it_is(pool: Pool) -> None:
    sizes = iter([70, 200])
    pool.register("a", load=Thing, measure=lambda _: next(sizes), footprint=60)
    assert use(pool, "a") == "thing"
    assert [row(pool, "a")[key] for key in ("estimated", "booked", "measured")] == [60, 70, 70]


def test_a_process_that_may_not_look_at_itself_still_loads(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def process(**_: object) -> None:
        raise UnreadableError("not yours", path="/proc/self/smaps_rollup")

    monkeypatch.setattr("ullage.machine.growth.process", process)
    pool.register("a", load=Thing, footprint=60)
    assert use(pool, "a", timeout=5) == "thing"
    assert row(pool, "a")["measured"] is None


def test_a_loader_may_lease_what_it_stands_on(pool: Pool) -> None:
    def load() -> Thing:
        with pool.lease_sync("base", timeout=PATIENCE_S) as base:
            return Thing(f"adapter of {base.name}")

    pool.register("base", load=lambda: Thing("base"), footprint=40)
    pool.register("adapter", load=load, footprint=40)
    assert use(pool, "adapter") == "adapter of base"


def test_many_loaders_that_wait_for_one_do_not_block_it() -> None:
    """Each holds a worker while it waits, so the base must not need one of a limited number."""
    with Pool(Ledger(1000)) as pool:
        pool.register("base", load=lambda: Thing("base"), footprint=1)

        all_here = threading.Event()

        def load() -> Thing:
            assert all_here.wait(PATIENCE_S)
            with pool.lease_sync("base", timeout=PATIENCE_S / 2) as base:
                return Thing(base.name)

        for number in range(80):
            pool.register(f"adapter-{number}", load=load, footprint=1)
        users = [in_thread(functools.partial(use, pool, f"adapter-{number}")) for number in range(80)]
        until(lambda: [row["state"] for row in pool.status()].count("loading") == 80)
        all_here.set()
        assert {user.result(PATIENCE_S) for user in users} == {"base"}


# Leases.


def test_a_lease_protects_and_an_idle_model_goes(pool: Pool) -> None:
    for name in "abc":
        pool.register(name, load=functools.partial(Thing, name), unload=take_down, footprint=40)
    with pool.lease_sync("a") as a, pool.lease_sync("b") as b:
        waiter = in_thread(lambda: use(pool, "c"))
        until(lambda: row(pool, "c")["waiting"] == 1)
        assert not a.is_down
        assert not b.is_down
        assert pool.plan("c")["decision"] == "wait"
    del a, b
    assert waiter.result(PATIENCE_S) == "c"
    assert {state(pool, "a"), state(pool, "b")} == {"cold", "ready"}, "one was enough"


def test_a_body_that_raises_gives_its_lease_back(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60)
    with pytest.raises(ZeroDivisionError), pool.lease_sync("a"):
        raise ZeroDivisionError
    assert row(pool, "a")["leases"] == 0


def test_one_lease_object_may_be_entered_again(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60)
    lease = pool.lease_sync("a", timeout=PATIENCE_S)
    with lease, lease:
        assert row(pool, "a")["leases"] == 2
    assert row(pool, "a")["leases"] == 0


async def test_one_async_lease_object_may_be_entered_again(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60)
    lease = pool.lease("a", timeout=PATIENCE_S)
    async with lease, lease:
        assert row(pool, "a")["leases"] == 2
    assert row(pool, "a")["leases"] == 0


def test_leases_book_their_workspace_and_keep_to_their_number(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60, workspace=15, max_concurrency=2)
    with pool.lease_sync("a"), pool.lease_sync("a"):
        assert pool.account.used == 90
        assert pool.plan("a")["behind"] == "concurrency"
        with pytest.raises(LeaseTimeoutError), pool.lease_sync("a", timeout=0.01):
            pass
    assert pool.account.used == 75, "with the workspace of a lease to come"
    pool.register("b", load=Thing, footprint=60, workspace=25)
    with pool.lease_sync("b"), pytest.raises(LeaseTimeoutError), pool.lease_sync("b", timeout=0.01):
        pass


def test_a_bounded_wait_ends_in_order(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    ended: queue.SimpleQueue[float] = queue.SimpleQueue()

    def wait(timeout: float) -> None:
        with pytest.raises(LeaseTimeoutError) as caught, pool.lease_sync("a", timeout=timeout):
            pass
        assert caught.value.model == "a"
        assert caught.value.waited_s >= timeout
        ended.put(timeout)

    with pool.lease_sync("a"):
        waiters = [in_thread(functools.partial(wait, patience)) for patience in (0.6, 0.01, 0.3)]
        for waiter in waiters:
            waiter.result(PATIENCE_S)
    assert [ended.get(), ended.get(), ended.get()] == [0.01, 0.3, 0.6]


async def test_deadlines_pass_under_a_storm_of_requests(pool: Pool) -> None:
    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    async with pool.lease("a"):
        storm = asyncio.create_task(_storm(pool))
        with pytest.raises(LeaseTimeoutError):
            await _use_async(pool, "a", timeout=0.2)
        storm.cancel()


async def _storm(pool: Pool) -> None:
    while True:
        with suppress(LeaseTimeoutError):
            async with pool.lease("a", timeout=0.001):
                pass


async def test_cancelling_a_wait_leaves_nothing_behind(pool: Pool) -> None:
    go = threading.Event()

    def load() -> Thing:
        assert go.wait(PATIENCE_S)
        return Thing()

    pool.register("a", load=load, footprint=60)
    task = asyncio.create_task(_use_async(pool, "a"))
    await until_async(lambda: state(pool, "a") == "loading")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert row(pool, "a")["waiting"] == 0
    go.set()
    await until_async(lambda: state(pool, "a") == "ready")
    assert await _use_async(pool, "a") == "thing"


async def _use_async(pool: Pool, name: str, timeout: float | None = PATIENCE_S) -> str:  # noqa: ASYNC109
    async with pool.lease(name, timeout=timeout) as thing:
        return str(thing.name)


async def test_a_refusal_and_a_cancellation_at_once(pool: Pool) -> None:
    """The fixture checks that the lease that never was is not counted as ended."""
    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    async with pool.lease("a"):
        task = asyncio.create_task(_use_async(pool, "a"))
        await until_async(lambda: row(pool, "a")["waiting"] == 1)
        with pytest.raises(LeaseTimeoutError):
            pool.close(timeout=0)  # refuses the waiter, whose task has not run since
        task.cancel()
        with suppress(asyncio.CancelledError, PoolClosedError):
            await task


def test_a_coroutine_dropped_in_its_wait_gives_up(pool: Pool) -> None:
    """As when an event loop is closed over it."""
    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    with pool.lease_sync("a"):

        async def start() -> None:
            waiting = _use_async(pool, "a")
            waiting.send(None)
            assert row(pool, "a")["waiting"] == 1
            waiting.close()

        asyncio.run(start())
        assert row(pool, "a")["waiting"] == 0
    assert use(pool, "a") == "thing"


def test_an_exception_from_outside_ends_a_wait_whole(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal handlers raise what they like, wherever the main thread stands."""

    class AlarmError(Exception):
        pass

    def alarm(_self: object, _timeout: float | None = None) -> None:
        raise AlarmError

    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    with pool.lease_sync("a"):
        monkeypatch.setattr(Future, "result", alarm)
        with pytest.raises(AlarmError), pool.lease_sync("a"):
            pass
        monkeypatch.undo()
        assert row(pool, "a")["waiting"] == 0
    assert row(pool, "a")["leases"] == 0


# Unloads, and when bytes are free again.


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
        assert await _use_async(pool, "a") == "thing"
    assert (ledger.used, state(pool, "a")) == (0, "cold")


def test_one_pool_serves_two_event_loops_and_outlives_them(pool: Pool) -> None:
    pool.register("a", load=load_slowly, footprint=60)

    async def many() -> list[str]:
        return await asyncio.gather(*(_use_async(pool, "a") for _ in range(50)))

    loops = [in_thread(lambda: asyncio.run(many())) for _ in range(2)]
    assert [len(loop.result(PATIENCE_S)) for loop in loops] == [50, 50]
    assert asyncio.run(_use_async(pool, "a")) == "thing"
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
    assert pool.plan("a") == {"model": "a", "needed": 60, "available": 100, "ahead": 0, "decision": "load"}
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


# All of it at once.

MODELS = 50
SIZE = 10


class Storm:
    """Many models in the room of ten, used from threads and event loops; loads fail, clients vanish, patience ends."""

    def __init__(self, seed: int) -> None:
        """Register everything."""
        self.ledger = Ledger(SIZE * MODELS // 5)
        self.pool = Pool(self.ledger)
        self.random = random.Random(seed)  # noqa: S311 - repeatable
        self.ends: queue.SimpleQueue[str] = queue.SimpleQueue()
        for number in range(MODELS):
            self.pool.register(
                f"m{number}",
                load=self.load_async if number % 5 == 0 else self.load,
                unload=self.unload,
                footprint=SIZE,
                workspace=number % 3,
                max_concurrency=1 + number % 4,
            )

    def nap_s(self) -> float:
        """Give a short time to sleep."""
        return self.random.random() * 0.003

    def load(self) -> Thing:
        """Load, or fail, in a thread."""
        time.sleep(self.nap_s())
        if self.random.random() < 0.05:
            raise OSError("a bad disk")
        return Thing()

    async def load_async(self) -> Thing:
        """Load in an event loop."""
        await asyncio.sleep(self.nap_s())
        return Thing()

    def unload(self, thing: Thing) -> None:
        """Take a model down."""
        thing.is_down = True
        time.sleep(self.nap_s())

    def use(self) -> None:
        """Use some model from a thread."""
        name, timeout = self.choose()
        try:
            with self.pool.lease_sync(name, timeout=timeout) as thing:
                assert not thing.is_down, "given a model that is down"
                time.sleep(self.nap_s())
                assert not thing.is_down, "taken down in use"
            self.ends.put("used")
        except (LeaseTimeoutError, LoadFailedError) as error:
            self.ends.put(type(error).__name__)

    def use_often(self, times: int) -> None:
        """Use one model after another from a thread."""
        for _ in range(times):
            self.use()

    async def use_async(self) -> None:
        """Use some model from the event loop."""
        name, timeout = self.choose()
        try:
            async with self.pool.lease(name, timeout=timeout) as thing:
                assert not thing.is_down, "given a model that is down"
                await asyncio.sleep(self.nap_s())
                assert not thing.is_down, "taken down in use"
            self.ends.put("used")
        except (LeaseTimeoutError, LoadFailedError, asyncio.CancelledError) as error:
            self.ends.put(type(error).__name__)

    def choose(self) -> tuple[str, float | None]:
        """Prefer some models; mostly be patient."""
        name = f"m{min(self.random.randrange(MODELS), self.random.randrange(MODELS))}"
        return name, self.random.random() * 0.02 if self.random.random() < 0.2 else None

    def watch(self, stop: threading.Event) -> int:
        """Look at the ledger until told to stop; count the looks."""
        looks = 0
        while not stop.is_set():
            root, *_ = self.ledger.snapshot()
            assert root.used <= SIZE * MODELS // 5, "over the limit"
            assert all(row["state"] != "stuck" for row in self.pool.status())
            looks += 1
            time.sleep(0.0002)
        return looks

    async def run_async(self, clients: int) -> None:
        """Let so many clients loose on one event loop, and cancel a tenth of them."""
        tasks = [asyncio.create_task(self.use_async()) for _ in range(clients)]
        for task in self.random.sample(tasks, clients // 10):
            await asyncio.sleep(self.nap_s())
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}, outcomes


@pytest.mark.parametrize("seed", range(3))
def test_in_a_storm_every_promise_holds(seed: int) -> None:
    before = set(threading.enumerate())
    storm = Storm(seed)
    stop = threading.Event()
    watcher = in_thread(lambda: storm.watch(stop))
    threads = [in_thread(lambda: storm.use_often(25)) for _ in range(12)]
    loops = [in_thread(lambda: asyncio.run(storm.run_async(150))) for _ in range(2)]
    for worker in threads + loops:
        worker.result(60)
    storm.pool.close(PATIENCE_S)
    stop.set()
    assert watcher.result(PATIENCE_S) > 0
    ends = [storm.ends.get_nowait() for _ in range(storm.ends.qsize())]
    # A task that is cancelled before its first step ends without a word.
    assert 12 * 25 + 2 * 135 <= len(ends) <= 12 * 25 + 2 * 150
    assert ends.count("used") > 300
    assert {"LeaseTimeoutError", "LoadFailedError"} <= set(ends)
    assert (storm.ledger.used, storm.ledger.peak <= SIZE * MODELS // 5) == (0, True)
    assert {row["state"] for row in storm.pool.status()} == {"cold"}
    assert sum(row["evictions"] for row in storm.pool.status()) > 50
    until(lambda: not {thread for thread in set(threading.enumerate()) - before if "ullage" in thread.name})
