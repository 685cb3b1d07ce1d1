"""The pool under trio: the same leases, with trio's cancellation and deadlines."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import isolation_world
import pytest
from pool_world import PATIENCE_S, Thing, row, state, take_down

from ullage import Ledger, Pool
from ullage.errors import LeaseTimeoutError, LoadFailedError, PoolClosedError, ProtocolError, WorkerDiedError

trio: Any = pytest.importorskip("trio")


def run(main: Callable[[Pool], Coroutine[Any, Any, None]], limit: int = 10) -> Pool:
    """Run `main` with a pool, under trio, and see that nothing is left."""
    pool = Pool(Ledger(limit))

    async def within() -> None:
        with trio.fail_after(60):
            async with pool:
                await main(pool)

    trio.run(within)
    assert pool.account.used == 0
    assert {(one["state"], one["leases"], one["waiting"]) for one in pool.status()} <= {
        ("cold", 0, 0),
        ("failed", 0, 0),
    }
    return pool


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not holds():
            await trio.sleep(0.002)


@asynccontextmanager
async def held(pool: Pool, name: str) -> AsyncIterator[Any]:
    """Hold a lease in another task until the event is set."""
    go, has_it = trio.Event(), trio.Event()

    async def hold() -> None:
        async with pool.lease(name):
            has_it.set()
            await go.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await has_it.wait()
        yield go
        go.set()


def test_leases_load_wait_and_evict() -> None:
    async def main(pool: Pool) -> None:
        for name in "abc":
            pool.register(name, load=partial(Thing, name), unload=take_down, footprint=6, max_concurrency=1)
        seen: list[str] = []

        async def use(name: str) -> None:
            async with pool.lease(name, timeout=PATIENCE_S) as thing:
                assert not thing.is_down
                await trio.sleep(0.001)
                assert not thing.is_down
                seen.append(thing.name)

        async with trio.open_nursery() as nursery:
            for name in "abcabcabc" * 5:
                nursery.start_soon(use, name)
        assert sorted(seen) == sorted("abcabcabc" * 5)

    assert sum(one["evictions"] for one in run(main).status()) > 0


def test_a_wait_that_is_cancelled_leaves_the_queue_at_once() -> None:
    async def main(pool: Pool) -> None:
        for name in "ab":
            pool.register(name, load=partial(Thing, name), footprint=6)
        async with held(pool, "a"):
            with trio.move_on_after(0.05) as scope:
                async with pool.lease("b") as thing:
                    thing.is_down = True  # there is no room: it never gets here
            assert scope.cancelled_caught
            assert row(pool, "b")["waiting"] == 0
            with pytest.raises(LeaseTimeoutError):
                async with pool.lease("b", timeout=0.02):
                    pytest.fail("nor now")
        async with pool.lease("b", timeout=PATIENCE_S) as thing:
            assert thing.name == "b"

    run(main)


def test_a_grant_that_meets_a_cancellation_is_given_back() -> None:
    async def main(pool: Pool) -> None:
        pool.register("a", load=partial(Thing, "a"), footprint=6, max_concurrency=1)
        for delay in range(40):

            async def use(delay: int = delay) -> None:
                with trio.move_on_after(delay / 10_000):
                    async with pool.lease("a"):
                        await trio.sleep(0.001)

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(use)
            assert (row(pool, "a")["leases"], row(pool, "a")["waiting"]) == (0, 0)

    run(main)


def test_loaders_that_are_coroutines_run_on_the_loop_of_the_program() -> None:
    here = threading.get_ident()

    async def load() -> Thing:
        await trio.sleep(0.001)
        return Thing(str(threading.get_ident()))

    async def fail() -> None:
        await trio.sleep(0)
        raise OSError("no luck")

    async def main(pool: Pool) -> None:
        pool.register("a", load=load, footprint=6)
        pool.register("bad", load=fail, footprint=1, retries=0)
        async with pool.lease("a", timeout=PATIENCE_S) as thing:
            assert thing.name == str(here)
        del thing  # it holds the memory
        with pytest.raises(LoadFailedError, match="no luck"):
            async with pool.lease("bad"):
                pytest.fail("it cannot be loaded")
        pool.evict("a")
        await until(lambda: state(pool, "a") == "cold")
        with pytest.raises(ProtocolError, match="use lease"), pool.lease_sync("a"):
            pytest.fail("it would wait for itself")

    run(main)


def test_a_thread_of_trio_may_lease_too() -> None:
    async def main(pool: Pool) -> None:
        pool.register("a", load=partial(Thing, "a"), footprint=6)

        def use() -> str:
            with pool.lease_sync("a", timeout=PATIENCE_S) as thing:
                return str(thing.name)

        assert await trio.to_thread.run_sync(use) == "a"

    run(main)


def test_draining_and_closing_do_not_block_the_loop() -> None:
    async def main(pool: Pool) -> None:
        pool.register("a", load=partial(Thing, "a"), footprint=6)
        async with held(pool, "a") as go, trio.open_nursery() as nursery:
            nursery.start_soon(pool.adrain, PATIENCE_S)
            await trio.sleep(0.02)
            with pytest.raises(PoolClosedError):
                async with pool.lease("a"):
                    pytest.fail("it drains")
            with trio.move_on_after(0.02) as scope:
                await pool.aclose()
            assert scope.cancelled_caught
            go.set()
        await pool.aclose(PATIENCE_S)
        assert state(pool, "a") == "cold"

    run(main)


@pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
def test_worker_processes_are_called_and_die() -> None:
    async def main(pool: Pool) -> None:
        pool.register("a", load=isolation_world.load, footprint="100MB", isolation="process")
        async with pool.lease("a", timeout=PATIENCE_S) as model:
            assert await model.acall(20, plus=2) == 22
            assert await model.acall.soon(4) == 4
            with pytest.raises(ValueError, match="no good"):
                await model.acall.fail("value")
            with trio.move_on_after(0.05) as scope:
                await model.acall.never()
            assert scope.cancelled_caught
            await until(lambda: model.cancelled == ["never"])
            with pytest.raises(WorkerDiedError):
                await model.acall.leave()

    run(main, 10**9)


def test_a_pool_is_closed_even_where_its_block_is_cancelled() -> None:
    pool = Pool(Ledger(10))
    pool.register("a", load=partial(Thing, "a"), footprint=6)

    async def main() -> None:
        with trio.move_on_after(0.05):
            async with pool:
                async with pool.lease("a", timeout=PATIENCE_S) as thing:
                    assert thing.name == "a"
                del thing
                await trio.sleep_forever()

    trio.run(main)
    assert (state(pool, "a"), pool.account.used) == ("cold", 0)
    with pytest.raises(PoolClosedError):
        pool.lease_sync("a").__enter__()


def test_a_loop_that_ended_is_no_longer_where_loaders_run() -> None:
    pool = Pool(Ledger(10))

    async def load() -> Thing:
        return Thing("late")

    async def enter() -> None:
        await pool.__aenter__()

    trio.run(enter)
    pool.register("a", load=load, footprint=6)
    with pool.lease_sync("a", timeout=PATIENCE_S) as thing:
        assert thing.name == "late", "run on a loop of its own"
    del thing
    pool.close(PATIENCE_S)
