"""Loading and lending, with real threads and event loops: who gets what, and how every wait ends."""

import asyncio
import functools
import gc
import queue
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest
from pool_world import (
    PATIENCE_S,
    Thing,
    in_thread,
    load_slowly,
    row,
    state,
    take_down,
    until,
    until_async,
    use,
    use_async,
)

from ullage import Ledger, Pool
from ullage.errors import (
    LeaseTimeoutError,
    LoadFailedError,
    PoolClosedError,
    ProtocolError,
    QuantityError,
    UnreadableError,
)


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
        "residue": 0,
        "loads": 0,
        "promotions": 0,
        "evictions": 0,
        "failures": 0,
        "retry_at_s": None,
        "last_used_s": 0,
        "domains": {"host": 60},
        "places": [
            {
                "place": 0,
                "state": "loading",
                "leases": 0,
                "booked": {"host": 60},
                "measured": None,
                "residue": {},
                "overdue": False,
                "retired": False,
            }
        ],
    }
    go.set()
    assert [user.result(PATIENCE_S) for user in users] == ["thing"] * waiters
    assert (loads, row(pool, "a")["loads"]) == ([1], 1)


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

    pool.register("a", load=load, footprint=60, retries=0)
    users = [in_thread(lambda: use(pool, "a")) for _ in range(3)]
    until(lambda: row(pool, "a")["waiting"] == 3)
    go.set()
    for user in users:
        failure = user.exception(PATIENCE_S)
        assert isinstance(failure, LoadFailedError)
        assert (failure.model, repr(failure.__cause__)) == ("a", "OSError('the disk is gone')")
        assert 0 < (failure.retry_after or 0) <= 0.1
    assert (state(pool, "a"), pool.account.used) == ("failed", 0)
    until(lambda: pool.plan("a")["decision"] == "load")  # once the pause is over
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
            await use_async(pool, "a", timeout=0.2)
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
    task = asyncio.create_task(use_async(pool, "a"))
    await until_async(lambda: state(pool, "a") == "loading")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert row(pool, "a")["waiting"] == 0
    go.set()
    await until_async(lambda: state(pool, "a") == "ready")
    assert await use_async(pool, "a") == "thing"


async def test_a_refusal_and_a_cancellation_at_once(pool: Pool) -> None:
    """The fixture checks that the lease that never was is not counted as ended."""
    pool.register("a", load=Thing, footprint=60, max_concurrency=1)
    async with pool.lease("a"):
        task = asyncio.create_task(use_async(pool, "a"))
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
            waiting = use_async(pool, "a")
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


async def test_waiting_on_the_loop_that_must_load_is_refused(pool: Pool) -> None:
    async def load() -> Thing:
        return Thing("a")

    pool.register("a", load=load, footprint=60)
    async with pool:
        with pytest.raises(ProtocolError) as caught, pool.lease_sync("a"):
            pass
        assert caught.value.event == "lease_sync"
        with pytest.raises(ProtocolError):
            pool.close()
        async with pool.lease("a", timeout=PATIENCE_S):
            pass
        with pool.lease_sync("a") as model:  # nothing to wait for
            assert model.name == "a"
            del model
