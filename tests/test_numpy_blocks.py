"""Where a tracking block reaches: blocks within blocks, generators, tasks, contexts and threads."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Generator

import numpy as np
import pytest
from numpy_world import Array, handler_name, in_thread

from ullage import Account, Ledger, NumpyTracking
from ullage.errors import ProtocolError


@pytest.fixture
def account() -> Account:
    return Ledger("1GiB").account("host/arrays", "64MiB")


def test_the_innermost_account_is_charged_once(account: Account) -> None:
    inner = Ledger().account("inner")
    with account.track_numpy():
        a = np.empty(100)
        with inner.track_numpy():
            b = np.empty(10)
        c = np.empty(1)
        assert (account.used, inner.used) == (a.nbytes + c.nbytes, b.nbytes)
        b.resize(20, refcheck=False)
    assert (account.used, inner.used) == (808, 160)
    assert handler_name() == "default_allocator"


def test_a_tracker_can_be_entered_again_and_within_itself(account: Account) -> None:
    tracking = account.track_numpy()
    keep = []
    with tracking:
        with tracking:
            keep.append(np.empty(1))
        assert handler_name() == "ullage"
        keep.append(np.empty(1))
    assert handler_name() == "default_allocator"
    with tracking as same:
        keep.append(np.empty(1))
    assert same is tracking
    keep.append(np.empty(1))
    assert (tracking.bytes, tracking.blocks) == (24, 3)


def test_two_trackers_of_one_account_have_books_of_their_own(account: Account) -> None:
    weights, batch = account.track_numpy("weights"), account.track_numpy("batch")
    with weights:
        a = np.empty(10)
    with batch:
        b = np.empty(20)
    assert (weights.bytes, batch.bytes, account.used) == (a.nbytes, b.nbytes, 240)
    held = [(holder.account, holder.label, holder.bytes) for holder in account.holders()]
    assert held == [(account.path, "batch", 160), (account.path, "weights", 80)]
    assert (weights.account, weights.label) == ("host/arrays", "weights")
    assert repr(batch) == 'NumpyTracking(160 B in 1 blocks on "host/arrays", label="batch")'


def test_an_exception_leaves_the_block(account: Account) -> None:
    with pytest.raises(ZeroDivisionError), account.track_numpy():
        raise ZeroDivisionError
    assert handler_name() == "default_allocator"


def counting(tracking: NumpyTracking, keep: list[Array]) -> Generator[None, None, None]:
    with tracking:
        while True:
            keep.append(np.empty(1))
            yield


def test_generators_resumed_in_turns_leave_in_any_order() -> None:
    ledger = Ledger()
    trackers = [ledger.account(name).track_numpy() for name in "abc"]
    keep: list[Array] = []
    generators = [counting(tracking, keep) for tracking in trackers]
    for generator in generators:
        next(generator)
    assert [tracking.blocks for tracking in trackers] == [1, 1, 1]
    keep.append(np.empty(1))
    assert trackers[2].blocks == 2, "a block stays entered while its generator waits"
    generators[1].close()
    keep.append(np.empty(1))
    assert [tracking.blocks for tracking in trackers] == [1, 1, 3]
    generators[2].close()
    keep.append(np.empty(1))
    assert [tracking.blocks for tracking in trackers] == [2, 1, 3]
    generators[0].close()
    assert handler_name() == "default_allocator"
    keep.clear()
    assert ledger.used == 0


async def test_tasks_are_charged_to_their_own_accounts() -> None:
    ledger = Ledger()

    async def work(name: str, count: int) -> list[Array]:
        kept = []
        with ledger.account(name).track_numpy():
            for _ in range(count):
                kept.append(np.empty(10))
                await asyncio.sleep(0)
        kept.append(np.empty(10))
        return kept

    results = await asyncio.gather(work("a", 3), work("b", 5), work("c", 7))
    assert [ledger.account(name).used for name in "abc"] == [240, 400, 560]
    assert (len(results), handler_name()) == (3, "default_allocator")


async def test_a_task_begun_inside_stays_inside(account: Account) -> None:
    go = asyncio.Event()

    async def work() -> Array:
        await go.wait()
        return np.empty(10)

    with account.track_numpy():
        task = asyncio.create_task(work())
    go.set()
    array = await task
    assert account.used == array.nbytes


def test_a_new_thread_is_outside_unless_it_carries_the_context(account: Account) -> None:
    keep: list[Array] = []

    def work() -> None:
        keep.append(np.empty(10))

    with account.track_numpy():
        assert in_thread(work) is None
        assert account.used == 0
        inside = contextvars.copy_context()
        assert in_thread(lambda: inside.run(work)) is None
        assert account.used == 80


def test_one_tracker_serves_many_threads(account: Account) -> None:
    tracking = account.track_numpy()
    barrier = threading.Barrier(4)

    def work() -> None:
        with tracking:
            barrier.wait()
            array = np.empty(100)
            barrier.wait()
            assert tracking.blocks == 4
            barrier.wait()
        del array

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tracking.blocks, account.used, account.peak) == (0, 0, 3200)


def test_a_block_is_left_where_it_was_entered(account: Account) -> None:
    tracking = account.track_numpy()
    with pytest.raises(ProtocolError, match=r"host/arrays.*not entered"):
        tracking.__exit__(None, None, None)
    with tracking:
        assert isinstance(in_thread(lambda: tracking.__exit__(None, None, None)), ProtocolError)
        with pytest.raises(ProtocolError):
            contextvars.Context().run(tracking.__exit__, None, None, None)
        assert handler_name() == "ullage"
        contextvars.copy_context().run(tracking.__exit__, None, None, None)
        assert handler_name() == "ullage", "a copy of the context is left on its own"
    with pytest.raises(ProtocolError):
        tracking.__exit__(None, None, None)
    assert handler_name() == "default_allocator"


def test_blocks_within_blocks_end_somewhere(account: Account) -> None:
    tracking = account.track_numpy()
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(tracking)
        with pytest.raises(ProtocolError, match="1000"):
            stack.enter_context(tracking)
        array = np.empty(1)
    assert (handler_name(), tracking.blocks) == ("default_allocator", 1)
    del array
    assert tracking.blocks == 0
