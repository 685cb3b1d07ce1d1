"""Eviction policies in Python: asked like ours, and harmless whatever they say."""
# ruff: noqa: D102, D107 - the policies of tests need no words

import asyncio
import gc
import math
import random
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from pool_world import in_thread, use, use_async

import ullage
from ullage import EvictionPolicy, Ledger, Pool
from ullage._core import Brain, Candidate
from ullage.errors import ArgumentError, PolicyError, PolicyWarning, ProtocolError

MODELS = {name: (size, float(size)) for name, size in {"a": 3, "b": 4, "c": 5, "d": 2, "e": 1}.items()}
REQUESTS = [
    (float(second), random.Random(second).choice("aaabbcde"), 0.7)  # noqa: S311 - a made-up trace
    for second in range(400)
]


class Lru(EvictionPolicy):
    """What ours of that name does, in Python."""

    name = "own-lru"

    def __init__(self) -> None:
        self.used: dict[str, float] = {}

    def on_register(self, name: str, _bytes: int, _load_s: float) -> None:
        self.used[name] = 0.0

    def on_request(self, name: str, now: float) -> None:
        self.used[name] = now

    def on_release(self, name: str, now: float) -> None:
        self.used[name] = now

    def worth(self, candidate: Candidate, _now: float) -> float:
        return self.used[candidate.name]


def says(worth: Any) -> EvictionPolicy:
    """Give a policy that says one thing, or raises it."""

    class Says(EvictionPolicy):
        name = "says"

        def worth(self, candidate: Candidate, now: float) -> float:
            if isinstance(worth, BaseException):
                raise worth
            return worth(candidate, now) if callable(worth) else worth  # type: ignore[no-any-return] # anything

    return Says()


def pool_of(policy: Any, limit: int = 8) -> Pool:
    pool = Pool(Ledger(limit=limit), policy=policy)
    for name, (size, _) in MODELS.items():
        pool.register(name, load=Named(name), footprint=size)
    return pool


class Named:
    """Loads an object that knows its model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> "Named":
        return Named(self.name)


def events(pool: Pool, kind: str) -> list[dict[str, Any]]:
    return [row for row in pool.events() if row["event"] == kind]


@pytest.fixture
def fresh() -> Iterator[list[Pool]]:
    """Give a list of pools that are closed in the end."""
    pools: list[Pool] = []
    yield pools
    for pool in pools:
        pool.close()


@pytest.mark.parametrize("serial", [True, False])
def test_the_same_rule_in_python_decides_the_same(*, serial: bool) -> None:
    ours = ullage.replay(REQUESTS, MODELS, "9B", policy="lru", serial=serial, log=True)
    for given_policy in (Lru, Lru(), partial(Lru)):
        own = ullage.replay(REQUESTS, MODELS, "9B", policy=given_policy, serial=serial, log=True)
        assert own.log == ours.log
        assert own.policy in {"own-lru", "partial"}
    assert ours.evictions > 0


def test_it_is_told_what_happens() -> None:
    seen: list[tuple[Any, ...]] = []

    class Watches(EvictionPolicy):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("on_"):
                return lambda *facts: seen.append((name, *facts))
            return super().__getattribute__(name)

        def worth(self, candidate: Candidate, now: float) -> float:
            seen.append(("worth", candidate.name, candidate.bytes, candidate.turn, now))
            return float(candidate.turn)

    ullage.replay([(1.0, "a", 1.0), (5.0, "b", 1.0)], {"a": (3, 2.0), "b": (3, 0.5)}, 5, policy=Watches())
    assert [row for row in seen if row[0] not in {"worth", "on_cost"}] == [
        ("on_register", "a", 3, 2.0),
        ("on_register", "b", 3, 0.5),
        ("on_request", "a", 1.0),
        ("on_load", "a", 3.0),
        ("on_release", "a", 4.0),
        ("on_request", "b", 5.0),
        ("on_evict", "a", 5.0),
        ("on_load", "b", 5.5),
        ("on_release", "b", 6.5),
    ]
    assert ("worth", "a", 3) in [row[:3] for row in seen]


@pytest.mark.parametrize("serial", [True, False])
@pytest.mark.parametrize(
    ("worth", "reason"),
    [
        (math.nan, "gave nan, which is no number"),
        ("much", "gave 'much', which is no number"),
        (None, "gave None, which is no number"),
        (1j, "gave 1j, which is no number"),
        (KeyError("a"), "raised KeyError: 'a'"),
        (SystemExit(3), "raised SystemExit: 3"),
        (RecursionError("deep"), "raised RecursionError: deep"),
    ],
)
def test_a_replay_ends_with_what_is_wrong(*, worth: Any, reason: str, serial: bool) -> None:
    with pytest.raises(PolicyError) as caught:
        ullage.replay(REQUESTS, MODELS, "9B", policy=says(worth), serial=serial)
    assert caught.value.policy == "says"
    assert caught.value.hook == "worth"
    assert caught.value.model in MODELS
    assert caught.value.reason == reason
    assert str(caught.value) == f"policy says: worth of {caught.value.model} {reason}"
    assert caught.value.__cause__ is (worth if isinstance(worth, BaseException) else None)


@pytest.mark.parametrize("serial", [True, False])
@pytest.mark.parametrize("hook", ["on_register", "on_request", "on_release", "on_load", "on_evict"])
def test_every_method_may_be_the_one_at_fault(*, hook: str, serial: bool) -> None:
    policy = says(1.0)
    setattr(policy, hook, lambda *_: 1 // 0)
    with pytest.raises(PolicyError, match="ZeroDivisionError") as caught:
        ullage.replay(REQUESTS, MODELS, "9B", policy=policy, serial=serial)
    assert caught.value.hook == hook


def test_ctrl_c_is_no_fault_of_the_policy(fresh: list[Pool]) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
    with pytest.raises(KeyboardInterrupt):
        ullage.replay(REQUESTS, MODELS, "9B", policy=says(KeyboardInterrupt()))
    interrupts = [KeyboardInterrupt()]

    def once(_candidate: Candidate, _now: float) -> float:
        if interrupts:
            raise interrupts.pop()
        return 0.0

    pool = pool_of(says(once))
    fresh.append(pool)

    def ask() -> None:
        for name in "abcab":
            use(pool, name)
        for _ in range(200):
            time.sleep(0.1)  # in pieces: an interrupt that comes from within wakes nobody

    with pytest.raises(KeyboardInterrupt):
        ask()
    signal.signal(signal.SIGINT, before)
    assert not events(pool, "policy_failed")
    use(pool, "c")


@pytest.mark.parametrize("worth", [math.nan, "much", RuntimeError("no idea"), SystemExit(1)])
def test_a_pool_goes_on_without_it_and_warns_once(*, worth: Any, fresh: list[Pool]) -> None:
    pool = pool_of(says(worth))
    fresh.append(pool)
    with pytest.warns(PolicyWarning, match="policy says: worth of a .*the pool goes on") as warned:
        assert [use(pool, name) for name in "abcbacde"] == list("abcbacde")
    assert len(warned) == 1
    rows = events(pool, "policy_failed")
    assert len(rows) > 1
    assert {row["hook"] for row in rows} == {"worth"}
    # What it would not decide went by who was used least recently.
    ours = pool_of("lru")
    fresh.append(ours)
    for name in "abcbacde":
        use(ours, name)
    assert [row["model"] for row in events(pool, "unload")] == [row["model"] for row in events(ours, "unload")]


def test_infinite_worths_are_worths(fresh: list[Pool]) -> None:
    pool = pool_of(says(lambda candidate, _now: math.inf if candidate.name == "a" else -math.inf))
    fresh.append(pool)
    for name in "abcbcbd":
        use(pool, name)
    assert "a" not in {row["model"] for row in events(pool, "unload")}
    assert not events(pool, "policy_failed")


CALLS: list[Callable[[Pool], Any]] = [
    lambda pool: pool.status(),
    lambda pool: pool.plan("a"),
    lambda pool: pool.lease_sync("a").__enter__(),
    lambda pool: pool.register("new", load=object, footprint=1),
    lambda pool: pool.pin("a"),
    lambda pool: pool.prefetch("a"),
    lambda pool: pool.events(),
    lambda pool: pool.close(),
    lambda pool: pool._driver.brain.status(),  # noqa: SLF001 - past the lock of the driver
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.timeout(60)
def test_a_policy_that_calls_its_pool_is_refused_and_nothing_hangs(*, call: Callable[[Pool], Any]) -> None:
    caught: list[BaseException] = []

    class Calls(EvictionPolicy):
        def worth(self, _candidate: Candidate, _now: float) -> float:
            try:
                call(pool)
            except ProtocolError as error:
                caught.append(error)
                raise
            return 0.0

    pool = pool_of(Calls())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolicyWarning)
        for name in "abcde":
            assert use(pool, name) == name
    assert caught
    assert "a policy may not call the pool" in str(caught[0])
    assert {row["hook"] for row in events(pool, "policy_failed")} == {"worth"}
    assert "new" not in {row["name"] for row in pool.status()}
    pool.close()


def test_a_lease_that_ends_inside_of_a_policy_is_not_lost() -> None:
    held: list[Any] = []

    class Releases(EvictionPolicy):
        def on_request(self, _name: str, _now: float) -> None:
            if held:
                held.pop().__exit__(None, None, None)

        def worth(self, candidate: Candidate, _now: float) -> float:
            return float(candidate.turn)

    pool = pool_of(Releases())
    lease = pool.lease_sync("a", timeout=20)
    lease.__enter__()
    held.append(lease)
    use(pool, "d")
    pool.close(timeout=20)
    assert {row["state"] for row in pool.status()} == {"cold"}


def test_a_brain_alone_tells_whoever_listens() -> None:
    heard: list[PolicyError] = []
    account = Ledger(limit=9).account("memory")
    for listener, count in ((heard.append, 1), (None, 1)):
        policy = says(1.0)
        policy.on_request = lambda *_: 1 // 0  # type: ignore[assignment,method-assign] # that is the fault
        brain = Brain({"memory": account}, policy, on_fault=listener)
        places: list[Any] = [({"memory": 3}, {})]
        brain.register(
            "a",
            estimated=3,
            places=places,
            instances=1,
            pinned=False,
            max_concurrency=None,
            load_time=None,
            retries=0,
            compressed=None,
        )
        unraised: list[Any] = []
        was, sys.unraisablehook = sys.unraisablehook, unraised.append
        try:
            assert brain.request(0.0, 1, "a", None) == [("queue", 1, "load"), ("load", "a", 0)]
        finally:
            sys.unraisablehook = was
        assert len(heard) == count
        assert len(unraised) == (listener is None)
    assert heard[0].model == "a"


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (3, "int has no method worth"),
        (object(), "object has no method worth"),
        (object, "object has no method worth"),
        (type("Empty", (), {"worth": 3}), "has no method worth"),
        (type("Nameless", (), {"worth": lambda *_: 1.0, "name": ""})(), "the name of Nameless is no text"),
        (type("Odd", (), {"worth": lambda *_: 1.0, "on_load": 3})(), "Odd.on_load is no method"),
    ],
)
def test_what_is_no_policy_is_refused(*, policy: Any, reason: str) -> None:
    for call in (lambda: Pool(Ledger(limit=3), policy=policy), lambda: ullage.replay([], {}, 1, policy=policy)):
        with pytest.raises(ArgumentError, match=reason):
            call()


def test_the_base_class_has_no_worth_of_its_own() -> None:
    with pytest.raises(ArgumentError, match="EvictionPolicy has no method worth"):
        ullage.replay(REQUESTS, MODELS, "9B", policy=EvictionPolicy)
    with pytest.raises(NotImplementedError, match="no worth of its own"):
        EvictionPolicy().worth(SimpleNamespace(name="a"), 0.0)  # type: ignore[arg-type] # as good as one


@pytest.mark.timeout(120)
def test_threads_and_a_slow_policy_do_not_wait_for_each_other_for_ever(fresh: list[Pool]) -> None:
    class Slow(Lru):
        def worth(self, candidate: Candidate, now: float) -> float:
            time.sleep(0.0005)  # lets others have the interpreter while the pool is locked
            return super().worth(candidate, now)

    pool = pool_of(Slow())
    fresh.append(pool)
    brain = pool._driver.brain  # noqa: SLF001 - without the lock that usually stands before it
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            brain.status()

    looking = in_thread(look)

    def ask(name: str) -> list[str]:
        return [use(pool, name) for _ in range(15)]

    work = [in_thread(partial(ask, name)) for name in "abcde" * 2]
    assert all(len(done.result(60)) == 15 for done in work)
    is_over.set()
    looking.result(20)


async def test_a_pool_in_an_event_loop_asks_it_too() -> None:
    async with pool_of(Lru) as pool:
        names = await asyncio.gather(*(use_async(pool, name) for name in "abcdeabcde"))
    assert names == list("abcdeabcde")


def test_a_dropped_pool_that_its_policy_knows_is_collected() -> None:
    class Knows(Lru):
        pool: Any = None

    policy = Knows()
    pool = pool_of(policy)
    policy.pool = pool
    pool.close()
    gone = weakref.ref(pool._driver)  # noqa: SLF001 - what would be kept
    del pool, policy
    gc.collect()
    assert gone() is None
