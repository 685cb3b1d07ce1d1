"""Waiting for memory from Python: threads, tasks and callbacks that come, go, are cancelled and interrupted."""

import asyncio
import contextlib
import gc
import math
import random
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from ledger_world import together

from ullage import Account, Ledger, Reservation
from ullage.errors import ArgumentError, BudgetExceeded, WaitTimeoutError

PATIENCE_S = 20.0


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def in_queue(ledger: Ledger, count: int) -> Callable[[], bool]:
    """Tell whether so many requests were refused at first, and wait."""
    return lambda: ledger.snapshot()[0].refusals >= count


# In threads.


def test_a_wait_ends_with_the_memory_or_with_the_time() -> None:
    ledger = Ledger(10)
    held = ledger.root.reserve(8, label="held")
    with pytest.raises(WaitTimeoutError) as caught:
        ledger.root.reserve(5, wait=0.05)
    refusal = caught.value
    assert (refusal.account, refusal.requested, refusal.available, refusal.limit) == ("/", 5, 2, 10)
    assert refusal.waited_s >= 0.05
    assert isinstance(refusal, BudgetExceeded | TimeoutError)
    assert [(holder.label, holder.bytes) for holder in refusal.holders] == [("held", 8)]
    begun = time.monotonic()
    threading.Timer(0.05, held.release).start()
    with ledger.root.reserve(5, wait=PATIENCE_S):
        assert time.monotonic() - begun < PATIENCE_S / 2
    with pytest.raises(BudgetExceeded) as hopeless:
        ledger.root.reserve(11, wait=math.inf)
    assert not isinstance(hopeless.value, WaitTimeoutError), "no wait could help"
    assert ledger.used == 0


@pytest.mark.parametrize("wait", [math.nan, -1.0, -math.inf])
@pytest.mark.parametrize("size", [1, 11], ids=["fits", "does not fit"])
def test_a_wait_that_is_none_is_refused_whatever_fits(wait: float, size: int) -> None:
    ledger = Ledger(10)
    with pytest.raises(ArgumentError) as caught:
        ledger.root.reserve(size, wait=wait)
    assert caught.value.name == "wait"
    with pytest.raises(ArgumentError):
        asyncio.run(ledger.root.reserve_async(size, timeout=wait))
    assert (ledger.used, ledger.snapshot()[0].made) == (0, 0)


def test_equal_waiters_are_served_in_order() -> None:
    ledger = Ledger(1)
    held = ledger.root.reserve(1)
    order: list[int] = []

    def wait(number: int) -> None:
        with ledger.root.reserve(1, wait=PATIENCE_S):
            order.append(number)

    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        until(in_queue(ledger, number + 1))
        time.sleep(0.01)  # from its first refusal into the queue
    held.release()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == list(range(8))


def test_a_large_waiter_is_passed_by_eight_small_ones_at_most() -> None:
    ledger = Ledger(100)
    keeper = ledger.root.reserve(50)
    large = ledger.root.queue(60, label="large")
    passed = 0
    for _ in range(100):
        try:
            ledger.root.reserve(1).release()
            passed += 1
        except BudgetExceeded as refusal:
            assert refusal.holders[0].label == "large (waiting)"  # noqa: PT017 - most are not refused
    assert passed == 8
    keeper.release()
    taken = large.take()
    assert taken is not None
    assert taken.bytes == 60


def test_a_raised_limit_wakes_who_waits() -> None:
    ledger = Ledger(10)
    held = ledger.root.reserve(10)
    threading.Timer(0.05, ledger.root.set_limit, args=(15,)).start()
    begun = time.monotonic()
    with ledger.root.reserve(5, wait=PATIENCE_S):
        assert time.monotonic() - begun < PATIENCE_S / 2
    assert held.live


def test_waits_that_race_their_timeouts_lose_nothing() -> None:
    ledger = Ledger(3)
    counts = [0, 0]

    def work(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - no secrets
        for _ in range(150):
            try:
                with ledger.root.reserve(dice.randint(1, 3), wait=dice.random() * 0.002):
                    counts[0] += 1
                    if dice.random() < 0.3:
                        time.sleep(0.0005)
            except WaitTimeoutError:
                counts[1] += 1

    together(*(lambda seed=seed: work(seed) for seed in range(8)))
    row = ledger.snapshot()[0]
    assert (row.used, row.reservations, row.leaked) == (0, 0, 0)
    assert row.peak <= 3
    assert counts[0] > 100
    assert ledger.root.queue(3).take() is not None


def test_an_interrupt_ends_a_wait() -> None:
    script = """
        import os, signal, threading, time
        from ullage import Ledger
        ledger = Ledger(1)
        held = ledger.root.reserve(1)
        threading.Timer(0.3, os.kill, args=(os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        try:
            ledger.root.reserve(1, wait=60)
        except KeyboardInterrupt:
            assert time.monotonic() - begun < 20
        else:
            raise SystemExit("not interrupted")
        held.release()
        assert ledger.root.reserve(1).release(), "the place in the queue is gone"
    """
    assert run(script) == ("", "")


# In tasks.


def test_tasks_share_what_there_is() -> None:
    async def main() -> None:
        ledger = Ledger(5)
        counts = [0, 0]

        async def work(seed: int) -> None:
            dice = random.Random(seed)  # noqa: S311 - no secrets
            for _ in range(30):
                try:
                    with await ledger.root.reserve_async(dice.randint(1, 5), timeout=dice.choice([None, 0.0, 0.001])):
                        counts[0] += 1
                        await asyncio.sleep(0)
                except WaitTimeoutError:
                    counts[1] += 1

        await asyncio.gather(*(work(seed) for seed in range(20)))
        assert ledger.used == 0
        assert counts[0] > 200
        assert ledger.peak <= 5

    asyncio.run(main())


def test_tasks_cancelled_at_any_point_lose_nothing() -> None:
    async def main() -> None:
        ledger = Ledger(4)
        dice = random.Random(7)  # noqa: S311 - no secrets

        async def work() -> None:
            for _ in range(20):
                with await ledger.root.reserve_async(dice.randint(1, 4)):
                    await asyncio.sleep(0)

        for _ in range(150):
            tasks = [asyncio.create_task(work()) for _ in range(5)]
            for _ in range(dice.randint(0, 12)):
                await asyncio.sleep(0)
            for task in tasks:
                if dice.random() < 0.8:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            gc.collect()
            assert ledger.used == 0
            assert ledger.root.reserve(4).release(), "nobody of them waits any more"

    asyncio.run(main())


def test_memory_freed_in_threads_wakes_tasks() -> None:
    async def main() -> None:
        ledger = Ledger(2)
        done = threading.Event()

        def free() -> None:
            while not done.is_set():
                with ledger.root.reserve(2, wait=PATIENCE_S):
                    pass

        threads = [threading.Thread(target=free) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            held = await ledger.root.reserve_async(2, timeout=PATIENCE_S)
            held.release()
        done.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert ledger.used == 0

    asyncio.run(main())


def test_a_loop_that_is_closed_while_a_task_waits_leaves_the_queue() -> None:
    ledger = Ledger(1)
    held = ledger.root.reserve(1)
    loop = asyncio.new_event_loop()
    task: Any = loop.create_task(ledger.root.reserve_async(1))
    loop.run_until_complete(asyncio.sleep(0.01))
    task.get_coro().close()
    loop.close()
    held.release()
    assert ledger.root.reserve(1).release()
    task._log_destroy_pending = False  # noqa: SLF001 - it is destroyed on purpose
    # And one that still waits when its loop is gone.
    held = ledger.root.reserve(1)
    loop = asyncio.new_event_loop()
    task = loop.create_task(ledger.root.reserve_async(1))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    held.release()  # grants it: nobody is left to be told
    task._log_destroy_pending = False  # noqa: SLF001
    del task
    gc.collect()
    assert ledger.used == 0


@pytest.mark.parametrize("is_early", [True, False])
def test_the_callback_of_a_place_may_take_it_at_once_or_later(*, is_early: bool) -> None:
    ledger = Ledger(1)
    held = ledger.root.reserve(1)
    pending = ledger.root.queue(1)
    taken: list[Reservation | None] = []
    if is_early:
        pending.on_granted(lambda: taken.append(pending.take()))
        held.release()
    else:
        held.release()
        pending.on_granted(lambda: taken.append(pending.take()))
    assert [reservation is not None for reservation in taken] == [True]
    assert pending.take() is None
    taken.clear()
    assert ledger.used == 0


def test_memory_freed_by_an_exception_on_its_way_up_leaves_it_alone() -> None:
    """The temporary reservation dies while ZeroDivisionError is set, and its bytes wake a waiter."""
    ledger = Ledger(1)
    woken: list[int] = []

    def nothing(*_values: object) -> None:
        raise AssertionError

    for _ in range(20):
        ready: list[Reservation] = []
        holder = [ledger.root.reserve(1)]
        pending = ledger.root.queue(1)
        pending.on_granted(lambda: woken.append(len(sorted([3, 1, 2]))))
        with pytest.raises(ZeroDivisionError):
            nothing(holder.pop(), 1 // len(ready))
        taken = pending.take()
        assert taken is not None
        taken.release()
    assert woken == [3] * 20


# Callbacks that free memory.


def test_a_callback_may_do_anything_with_the_ledger() -> None:
    ledger = Ledger(100)
    account = ledger.account("cache")
    cache = [account.reserve(10, label="entry") for _ in range(10)]
    calls: list[int] = []

    def evict(missing: int) -> None:
        calls.append(missing)
        with pytest.raises(BudgetExceeded):
            account.reserve(1_000)  # refused at once, without callbacks
        spare = account.reserve(0)
        spare.release()
        inner = account.on_pressure(lambda _: None)
        while missing > 0 and cache:
            missing -= cache.pop().bytes
            # What was popped is collected here: live, and given back all the same.
        inner.remove()
        guard.remove()

    guard = account.on_pressure(evict)
    held = ledger.account("other").reserve(35)
    assert (calls, ledger.used, len(cache)) == ([35], 95, 6)
    with pytest.raises(BudgetExceeded):
        ledger.root.reserve(6)
    assert calls == [35], "it took itself off"
    held.release()


def test_what_a_callback_raises_is_reported_and_refuses_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = Ledger(10)
    held = ledger.root.reserve(10)
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    def fail(_missing: int) -> None:
        raise ValueError("on purpose")

    def interrupt(_missing: int) -> None:
        held.release()
        raise KeyboardInterrupt

    with ledger.root.on_pressure(fail):
        with pytest.raises(BudgetExceeded):
            ledger.root.reserve(1)
        assert [str(report.exc_value) for report in reported] == ["on purpose"]
        with ledger.root.on_pressure(interrupt), pytest.raises(KeyboardInterrupt):
            ledger.root.reserve(1)
    reported.clear()
    assert ledger.used == 0, "what was granted to the interrupted request is given back"
    assert ledger.root.reserve(10).release(), "the interrupt came once"


def test_a_callback_dies_with_its_ledger() -> None:
    class Cache:
        def evict(self, _missing: int) -> None:
            """Free nothing."""

    cache = Cache()
    gone = weakref.ref(cache)
    ledger = Ledger(10)
    ledger.root.on_pressure(cache.evict)  # the guard is ignored: it stays
    del cache
    gc.collect()
    assert gone() is not None
    del ledger
    gc.collect()
    assert gone() is None
    ledger = Ledger(10)
    cache = Cache()
    gone = weakref.ref(cache)
    ledger.root.on_pressure(cache.evict)
    del cache
    ledger.close()
    gc.collect()
    assert gone() is None


def test_callbacks_in_many_threads() -> None:
    ledger = Ledger(100)
    account = ledger.account("cache", 80)
    lock = threading.Lock()
    cache: list[Reservation] = []

    def evict(_missing: int) -> None:
        with lock:
            if cache:
                cache.pop().release()

    account.on_pressure(evict)

    def work(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - no secrets
        for _ in range(200):
            try:
                held = account.reserve(dice.randint(1, 30), label=str(seed))
            except BudgetExceeded:
                continue
            with lock:
                cache.append(held)

    together(*(lambda seed=seed: work(seed) for seed in range(8)))
    assert account.peak <= 80
    while cache:
        cache.pop().release()
    assert ledger.used == 0


# The ends of reservations nobody released.


def run(script: str, *options: str) -> tuple[str, str]:
    """Run a script in an interpreter of its own; it must end well."""
    command = [sys.executable, *options, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_collected_reservation_is_told_of_with_its_place() -> None:
    ledger = Ledger(100)
    with pytest.warns(ResourceWarning, match=r"test_ledger_waiting.py:\d+") as caught:
        ledger.account("a").reserve(7, label="lost")  # nobody keeps it
    text = str(caught[0].message)
    for part in ("7 B", '"a"', '"lost"', "test_a_collected_reservation_is_told_of_with_its_place"):
        assert part in text
    assert ledger.snapshot()[1].leaked == 1


def test_a_program_that_ends_with_reservations_ends_quietly() -> None:
    script = """
        import threading
        from ullage import Ledger
        ledger = Ledger(10)
        kept = ledger.root.reserve(4)
        cycle = [ledger.root.reserve(1)]
        cycle.append(cycle)
        leaf = ledger.account("leaf", kind="credit").reserve(1)
        ledger.root.on_pressure(lambda missing: None)
        pending = ledger.root.queue(10)
        pending.on_granted(lambda: print("late"))
    """
    assert run(script) == ("", "")


def test_a_program_that_ends_while_a_thread_waits_ends_well() -> None:
    script = """
        import threading, time
        from ullage import Ledger
        ledger = Ledger(1)
        held = ledger.root.reserve(1)
        def again(work):
            while True:
                work()
        def look():
            ledger.account("b").reserve_many([0] * 1000).release()
        for _ in range(4):
            threading.Thread(target=lambda: ledger.root.reserve(1, wait=30), daemon=True).start()
        for work in (ledger.snapshot, lambda: ledger.root.set_limit(1), look):
            threading.Thread(target=again, args=(work,), daemon=True).start()
        time.sleep(0.2)
    """
    for _ in range(5):
        assert run(script) == ("", "")


def test_a_warning_that_is_an_error_is_reported_and_loses_no_exception() -> None:
    script = """
        import sys
        from ullage import Ledger
        ledger = Ledger(10)
        reported = []
        sys.unraisablehook = lambda report: reported.append(type(report.exc_value).__name__)
        def f(*_): pass
        try:
            f(ledger.root.reserve(3), 1 // 0)
        except ZeroDivisionError:
            pass
        assert reported == ["ResourceWarning"], reported
        assert ledger.used == 0
    """
    assert run(script, "-W", "error") == ("", "")


def test_a_fork_goes_on_with_a_copy() -> None:
    """Threads hold the ledger in all ways that let go of the interpreter while another forks."""
    script = """
        import os, signal, threading, numpy as np
        from ullage import Ledger
        ledger = Ledger(10_000_000)
        account = ledger.account("a")
        done = threading.Event()
        sizes = np.ones(2_000, dtype=np.int64)
        def batch():
            while not done.is_set():
                try:
                    account.reserve_many(sizes).release()
                except MemoryError:
                    pass
        def look():
            while not done.is_set():
                ledger.snapshot(), ledger.timeline(), ledger.holders(), account.reservations(9)
        def wait():
            while not done.is_set():
                try:
                    account.reserve(9_990_000, wait=0.001).release()
                except MemoryError:
                    pass
        threads = [threading.Thread(target=work, daemon=True) for work in (batch, look, wait, wait)]
        keep = account.reserve(7, label="before")
        for thread in threads:
            thread.start()
        for number in range(60):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                used = ledger.used
                mine = ledger.account("b").reserve(0)
                batch_of_mine = ledger.account("b").reserve_many(np.zeros(3, dtype=np.int64))
                assert ledger.used == used >= 7
                mine.release(), batch_of_mine.release(), keep.release()
                assert ledger.snapshot()[0].used == used - 7
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, number
        done.set()
        for thread in threads:
            thread.join()
        assert ledger.used == 7
    """
    assert run(script, "-W", "ignore") == ("", "")


def test_a_second_interpreter_is_refused_or_served() -> None:
    pytest.importorskip("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")
    script = """
        import sys
        import ullage
        if sys.version_info < (3, 13):
            import _xxsubinterpreters as interpreters
        else:
            import _interpreters as interpreters
        other = interpreters.create()
        try:
            failure = interpreters.run_string(other, "import ullage._core; ullage._core.Ledger(10).root.reserve(5)")
        except Exception as raised:
            failure = raised
        assert failure is None or "ImportError" in repr(failure) or "ImportError" in str(failure), failure
        interpreters.destroy(other)
        assert ullage.Ledger(10).root.reserve(5).release()
    """
    assert run(script) == ("", "")


def test_every_account_is_told_apart_in_the_queue() -> None:
    ledger = Ledger(100)
    full, free = ledger.account("full", 10), ledger.account("free")
    keeper = full.reserve(10)
    waiting = [full.queue(10) for _ in range(3)]
    for _ in range(50):
        assert free.reserve(90).release(), "nobody who waits elsewhere is in the way"
    keeper.release()
    for pending in waiting:
        taken = pending.take()
        assert taken is not None
        taken.release()


def test_places_that_are_dropped_or_cancelled_are_free() -> None:
    ledger = Ledger(1)
    held = ledger.root.reserve(1)
    first, second, third = (ledger.root.queue(1) for _ in range(3))
    first.cancel()
    del second
    gc.collect()
    held.release()
    taken = third.take()
    assert taken is not None
    with pytest.raises(ArgumentError):
        raise first.timed_out(1.0)
    assert first.take() is None
    first.on_granted(lambda: None)
    third.cancel()
    assert ledger.used == 1
    taken.release()


def act(dice: random.Random, accounts: list[Account], held: list[Reservation]) -> None:
    """Do one thing at random."""
    account = dice.choice(accounts)
    match dice.randrange(6):
        case 0:
            held.append(account.reserve(dice.randint(0, 60), wait=dice.random() * 0.002))
        case 1:
            held.append(account.reserve(dice.randint(0, 60), label=dice.choice(["", "x"])))
        case 2 if held:
            held[-1].transfer(account)
        case 3 if held:
            held.append(held[-1].split(held[-1].bytes // 2))
        case 4 if len(held) > 1 and held[-1].account == held[-2].account:
            held[-2].merge(held.pop())
        case _ if held:
            held.pop(dice.randrange(len(held))).release()
        case _:
            account.reserve_many([1, 2, 3]).release()


def work(seed: int, accounts: list[Account]) -> None:
    """Do many things at random, and give everything back."""
    dice = random.Random(seed)  # noqa: S311 - no secrets
    held: list[Reservation] = []
    for _ in range(250):
        with contextlib.suppress(BudgetExceeded):
            act(dice, accounts, held)
    for reservation in held:
        reservation.release()


async def task(seed: int, accounts: list[Account]) -> None:
    """Reserve at random, and be refused at random."""
    dice = random.Random(seed)  # noqa: S311 - no secrets
    for _ in range(40):
        try:
            held = await dice.choice(accounts).reserve_async(dice.randint(0, 60), timeout=0.005)
        except WaitTimeoutError:
            continue
        with held:
            await asyncio.sleep(0)


async def tasks(accounts: list[Account]) -> None:
    """Run ten of them."""
    await asyncio.gather(*(task(seed, accounts) for seed in range(10)))


def watch(ledger: Ledger, done: threading.Event) -> None:
    """Check every instant."""
    while not done.is_set():
        rows = ledger.snapshot()
        for row in rows:
            assert row.used == row.own + sum(other.used for other in rows if other.parent == row.path)
            assert row.used <= row.charged <= (row.limit or 2**64)
            assert row.used <= row.peak
            assert row.reservations <= row.made


def test_everything_at_once_in_threads_tasks_and_callbacks() -> None:
    ledger = Ledger(200)
    accounts = [ledger.account(path) for path in ("a/x", "a/y", "b")]
    accounts.append(ledger.account("c", 150, kind="credit", quantum=8))
    ledger.account("a").set_limit(120)
    ledger.account("a").on_pressure(lambda _missing: None)
    done = threading.Event()

    def stop() -> None:
        try:
            workers = (lambda seed=seed: work(seed, accounts) for seed in range(8))
            together(*workers, lambda: asyncio.run(tasks(accounts)))
        finally:
            done.set()

    together(stop, lambda: watch(ledger, done))
    gc.collect()
    assert {row.used for row in ledger.snapshot()} == {0}
    assert {row.reservations for row in ledger.snapshot()} == {0}
