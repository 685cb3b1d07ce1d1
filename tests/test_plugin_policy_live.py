"""Policies in Python that do their worst in a pool that is in use: it goes on by its own rule, and nothing hangs."""

import asyncio
import contextlib
import faulthandler
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from pool_world import PATIENCE_S, Thing, in_thread, take_down, use, use_async

from ullage import EvictionPolicy, Ledger, Pool
from ullage._core import Candidate
from ullage.errors import LeaseTimeoutError, PolicyWarning, ProtocolError
from ullage.pooling import faults

WATCHDOG_S = 100
NAMES = [f"m{number}" for number in range(20)]
LIMIT = 30


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """Show where everybody stands, and end this process, if a test hangs."""
    faulthandler.dump_traceback_later(WATCHDOG_S, exit=True, file=2)
    yield
    faulthandler.cancel_dump_traceback_later()


def pool_of(policy: Any) -> Pool:
    pool = Pool(Ledger(LIMIT), policy=policy)
    for number, name in enumerate(NAMES):
        pool.register(
            name, load=partial(Thing, name), unload=take_down, footprint=5 + number % 5, max_concurrency=1 + number % 2
        )
    return pool


def lease_often(pool: Pool, seed: int, times: int) -> int:
    """Lease at random from a thread; gives how often that worked."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    used = 0
    for _ in range(times):
        with contextlib.suppress(LeaseTimeoutError):
            timeout = dice.random() * 0.01 if dice.random() < 0.1 else PATIENCE_S
            with pool.lease_sync(dice.choice(NAMES), timeout=timeout) as thing:
                assert not thing.is_down, "taken down in use"
                time.sleep(dice.random() * 0.0005)
                assert not thing.is_down, "taken down in use"
                used += 1
            del thing
    return used


async def lease_often_async(pool: Pool, seed: int, times: int) -> int:
    """Lease at random from several tasks."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    names = [dice.choice(NAMES) for _ in range(times)]
    return len(await asyncio.gather(*(use_async(pool, name) for name in names)))


def survive(policy: Any) -> Pool:
    """Use a pool with a policy from threads and an event loop; what must hold holds."""
    pool = pool_of(policy)
    ledger_peaks = []
    work = [in_thread(partial(lease_often, pool, seed, 40)) for seed in range(6)]
    work.append(in_thread(lambda: asyncio.run(lease_often_async(pool, 99, 60))))
    for one in work:
        assert one.result(60) > 20
    ledger_peaks.append(pool.account.peak)
    pool.close(PATIENCE_S)
    assert max(ledger_peaks) <= LIMIT
    assert pool.account.used == 0
    rows = pool.status()
    assert {(row["state"], row["leases"], row["waiting"]) for row in rows} == {("cold", 0, 0)}
    assert sum(row["evictions"] for row in rows) > 10
    return pool


def deep(_candidate: Candidate, _now: float) -> float:
    """Recurse without an end."""
    return deep(_candidate, _now)


def tamper(candidate: Candidate, _now: float) -> float:
    """Write to what is given."""
    candidate.bytes = 0  # type: ignore[misc] # that is the fault
    return 0.0


def cancel(_candidate: Candidate, _now: float) -> float:
    """Look like a task that is cancelled."""
    raise asyncio.CancelledError


class Odd:
    """A number that raises when it is asked."""

    def __float__(self) -> float:
        """Raise."""
        raise OSError("no number today")


WORST: dict[str, Callable[[Candidate, float], Any]] = {
    "raises": lambda _candidate, _now: 1 // 0,
    "nan": lambda _candidate, _now: float("nan"),
    "none": lambda _candidate, _now: None,
    "text": lambda _candidate, _now: "much",
    "list": lambda candidate, _now: [candidate],
    "huge": lambda _candidate, _now: 10**400,
    "odd": lambda _candidate, _now: Odd(),
    "deep": deep,
    "tampers": tamper,
    "cancels": cancel,
    "exits": lambda _candidate, _now: sys.exit(3),
    "generator": lambda _candidate, _now: (_ for _ in ()),
}


@pytest.mark.parametrize("kind", WORST)
def test_a_pool_in_use_goes_on_without_a_policy_that_fails(kind: str) -> None:
    class Worst(EvictionPolicy):
        def worth(self, candidate: Candidate, now: float) -> float:
            return WORST[kind](candidate, now)  # type: ignore[no-any-return] # anything

    with pytest.warns(PolicyWarning) as warned:
        pool = survive(Worst())
    assert len([one for one in warned if one.category is PolicyWarning]) == 1
    failed = [row for row in pool.events() if row["event"] == "policy_failed"]
    assert len(failed) > 1
    assert {(row["policy"], row["hook"]) for row in failed} == {("Worst", "worth")}


@pytest.mark.parametrize("seed", range(3))
def test_a_policy_that_changes_its_mind_is_obeyed_and_one_that_does_anything_is_survived(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - repeatable

    class Fickle(EvictionPolicy):
        def worth(self, _candidate: Candidate, _now: float) -> float:
            return dice.choice([-1e300, float("-inf"), 0.0, float("inf"), dice.random()])

    assert not [row for row in survive(Fickle()).events() if row["event"] == "policy_failed"]

    class Anything(EvictionPolicy):
        pool: Any = None

        def _do(self, *_facts: object) -> None:
            what = dice.randrange(12)
            if what == 0:
                raise dice.choice([KeyError("a"), SystemExit(1), MemoryError(), GeneratorExit()])
            if what == 1:
                time.sleep(0.001)
            if what == 2 and self.pool is not None:
                dice.choice([self.pool.status, self.pool.events, partial(self.pool.plan, "m3")])()

        on_request = on_load = on_release = on_evict = on_cost = _do

        def worth(self, candidate: Candidate, now: float) -> float:
            self._do(candidate, now)
            return dice.choice([0.0, 1.0, float("nan")])

    policy = Anything()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolicyWarning)
        pool = pool_of(policy)
        policy.pool = pool
        work = [in_thread(partial(lease_often, pool, seed, 40)) for seed in range(6)]
        assert all(one.result(60) > 20 for one in work)
        pool.close(PATIENCE_S)
    assert (pool.account.used, pool.account.peak <= LIMIT) == (0, True)
    assert {row["hook"] for row in pool.events() if row["event"] == "policy_failed"} > {"worth"}


def test_a_warning_that_is_an_error_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where warnings are errors, as in this very test, there is nobody to raise one to: it is shown."""
    shown: list[Any] = []
    unraised: list[Any] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *facts: shown.append(facts))
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)
    pool = pool_of(type("Bad", (EvictionPolicy,), {"worth": lambda *_: None})())
    assert [use(pool, name) for name in NAMES] == NAMES
    pool.close(PATIENCE_S)
    assert pool.account.used == 0
    assert len([row for row in pool.events() if row["event"] == "policy_failed"]) > 1
    assert [one[1] for one in shown] == [PolicyWarning]
    assert not unraised


@pytest.mark.parametrize("call", ["lease", "status", "plan", "pin", "close", "on the loop"])
def test_a_policy_that_waits_for_somebody_who_calls_the_pool(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither can go on: whoever calls is told so."""
    monkeypatch.setattr(faults, "PATIENCE_S", 0.2)
    heard: list[BaseException | None] = []
    once = threading.Lock()
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()

    def ask() -> None:
        calls: dict[str, Callable[[], object]] = {
            "lease": lambda: use(pool, "m1"),
            "status": pool.status,
            "plan": lambda: pool.plan("m1"),
            "pin": lambda: pool.pin("m1"),
            "close": lambda: pool.close(1),
            "on the loop": lambda: asyncio.run_coroutine_threadsafe(use_async(pool, "m1"), loop).result(20),
        }
        calls[call]()

    class Waits(EvictionPolicy):
        def worth(self, candidate: Candidate, _now: float) -> float:
            if once.acquire(blocking=False):
                heard.append(in_thread(ask).exception(20))
            return float(candidate.turn)

    pool = pool_of(Waits())
    assert [use(pool, name) for name in NAMES] == NAMES
    assert isinstance(heard[0], ProtocolError)
    assert "policy has been deciding for 0.2 s" in str(heard[0])
    assert use(pool, "m1") == "m1"
    pool.close(PATIENCE_S)
    loop.call_soon_threadsafe(loop.stop)
    running.join(PATIENCE_S)
    loop.close()
    assert pool.account.used == 0


def test_a_policy_that_sleeps_makes_others_wait_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "PATIENCE_S", 60.0)

    class Sleeps(EvictionPolicy):
        def worth(self, candidate: Candidate, _now: float) -> float:
            time.sleep(0.02)
            return float(candidate.turn)

    pool = pool_of(Sleeps())
    work = [in_thread(partial(lease_often, pool, seed, 8)) for seed in range(4)]
    assert all(one.result(60) >= 4 for one in work)
    pool.close(PATIENCE_S)
    assert not [row for row in pool.events() if row["event"] == "policy_failed"]
