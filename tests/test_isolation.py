"""Models in worker processes: calls that travel, ends that are seen, and nothing that stays behind."""

import asyncio
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import isolation_world as world
import numpy as np
import psutil
import pytest
from pool_world import PATIENCE_S, in_thread, row, state, until

from ullage import Ledger, Pool
from ullage.errors import (
    ArgumentError,
    LeaseTimeoutError,
    LoadFailedError,
    PoolClosedError,
    WorkerDiedError,
    WorkerError,
)
from ullage.isolation import Proxy

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")
MB = world.MB
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="as Linux counts")


def workers() -> set[int]:
    """Give the processes that this one started, zombies among them."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def descriptors() -> int:
    """Count the open files of this process."""
    return psutil.Process().num_fds()


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Give a pool for 1 GB; at the end nothing of it may remain."""
    before, files = workers(), descriptors()
    threads = set(threading.enumerate())
    ledger = Ledger("1GB")
    pool = Pool(ledger)
    yield pool
    pool.close(PATIENCE_S)
    assert (ledger.used, ledger.peak <= 10**9) == (0, True)
    assert workers() <= before, "no worker and no zombie stays"
    mine = ("ullage-pool", "ullage-waiter", "ullage-receiver", "ullage-sender")
    until(lambda: not [t for t in set(threading.enumerate()) - threads if t.name.startswith(mine)])
    gc.collect()
    assert descriptors() <= files


def register(pool: Pool, name: str = "a", **options: Any) -> None:
    """Add a model of 20 MB in a process."""
    settings: dict[str, Any] = {"load": world.load, "footprint": "100MB", "isolation": "process"}
    pool.register(name, **settings | options)


def test_calls_attributes_and_results_travel(pool: Pool) -> None:
    register(pool, load_args=(1,), load_kwargs={"name": "mine"})
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        assert isinstance(model, Proxy)
        assert model.pid() == row(pool, "a")["pid"] != os.getpid()
        assert (model(20), model(20, plus=1), model.name) == (20, 21, "mine")
        model.scale = 3
        assert (model(20), model.scale, len(model), model[5]) == (60, 3, MB, 1)
        assert model.soon(4) == 4, "a coroutine is finished there"
        method = model.echo
        assert method is model.echo, "asked about once"
        assert method({"a": [1, (2, "x")]}) == {"a": [1, (2, "x")]}
        assert "in process" in repr(model)
        with pytest.raises(AttributeError, match="no_such"):
            _ = model.no_such
        with pytest.raises(TypeError, match="pickled or copied"):
            model.__reduce__()
        with pytest.raises(TypeError, match="iterated"):
            iter(model)


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
def test_arrays_travel_whole_and_may_be_written_to(pool: Pool, size: int) -> None:
    register(pool)
    given = np.arange(size, dtype=np.float64)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        got = model.double(given)
        np.testing.assert_array_equal(got, np.arange(size) * 2.0)
        np.testing.assert_array_equal(given, np.arange(size))
        got += 1
        many = model.echo([given[::2], given.reshape(-1, 1), {"x": given}] * 40)
        np.testing.assert_array_equal(many[0], given[::2])
        np.testing.assert_array_equal(many[-1]["x"], given)


@pytest.mark.parametrize(
    ("load", "arguments"),
    [
        ("isolation_world:load", (0, "it")),
        ("isolation_world:Weights", (0, "it")),
        (functools.partial(world.load, name="it"), ()),
        (world.load_async, ("it",)),
    ],
)
def test_loaders_of_every_kind(pool: Pool, load: Any, arguments: tuple[Any, ...]) -> None:
    register(pool, load=load, load_args=arguments)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        assert model.name == "it"


def test_a_reference_is_a_loader_for_threads_too(pool: Pool) -> None:
    pool.register("a", load="isolation_world:load", load_args=(0, "here"), footprint="1MB")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        assert (model.name, type(model)) == ("here", world.Weights)


def test_a_function_of_the_main_program_can_be_a_loader(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import ullage\n"
        "def load(): return dict(answer=42)\n"
        "if __name__ == '__main__':\n"
        "    with ullage.Pool(ullage.Ledger('1GB')) as pool:\n"
        "        pool.register('a', load=load, footprint='50MB', isolation='process')\n"
        "        with pool.lease_sync('a') as model: print(model['answer'])\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    assert done.stdout == "42\n"


def test_calls_from_many_threads_run_at_once(pool: Pool) -> None:
    register(pool)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        waiting = [in_thread(model.wait) for _ in range(8)]
        assert [model.echo(number) for number in range(20)] == list(range(20))
        model.open()
        assert [waiter.result(PATIENCE_S) for waiter in waiting] == ["through"] * 8


async def test_calls_from_an_event_loop(pool: Pool) -> None:
    register(pool)
    async with pool.lease("a", timeout=PATIENCE_S) as model:
        waiting = [asyncio.create_task(model.acall.wait()) for _ in range(4)]
        assert await model.acall(20, plus=2) == 22
        assert await asyncio.gather(*(model.acall.soon(number) for number in range(50))) == list(range(50))
        big = await model.acall.echo(np.ones(1_000_000))
        assert big.sum() == 1_000_000
        await model.acall.open()
        assert await asyncio.gather(*waiting) == ["through"] * 4
        assert await model.echo.acall(7) == 7
        with pytest.raises(ValueError, match="no good"):
            await model.acall.fail("value")


async def test_a_cancelled_call_is_cancelled_there(pool: Pool) -> None:
    register(pool)
    async with pool.lease("a", timeout=PATIENCE_S) as model:
        call = asyncio.create_task(model.acall.never())
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        deadline = time.monotonic() + PATIENCE_S
        while await model.acall.echo(1) and model.cancelled != ["never"]:
            assert time.monotonic() < deadline
        assert not model._worker._waiting  # noqa: SLF001 - nothing else shows that the call is forgotten


def test_exceptions_come_back_with_their_traceback(pool: Pool) -> None:
    register(pool)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        with pytest.raises(ValueError, match="no good") as caught:
            model.fail("value")
        assert "isolation_world.py" in "".join(caught.value.__notes__)
        with pytest.raises(TimeoutError, match="own"):
            model.fail("timeout")
        for kind, name in (("odd", "OddError"), ("exit", "SystemExit"), ("local", "LocalError")):
            with pytest.raises(WorkerError) as odd:
                model.fail(kind)
            assert (odd.value.model, odd.value.kind) == ("a", name)
        with pytest.raises(TypeError, match="cannot be sent back"):
            model.secret()
        with pytest.raises((TypeError, AttributeError)):
            model.echo(threading.Lock())
        assert model(1) == 1, "the worker lives on"


# Deaths.


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_worker_that_is_killed_ends_its_calls_and_is_replaced(pool: Pool, number: signal.Signals) -> None:
    register(pool, max_concurrency=2)
    register(pool, "other")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model, pool.lease_sync("other", timeout=PATIENCE_S) as other:
        pid = model.pid()
        waiting = in_thread(model.wait)
        os.kill(pid, number)
        failure = waiting.exception(PATIENCE_S)
        assert isinstance(failure, WorkerDiedError)
        assert (failure.model, failure.pid, failure.signal, failure.status) == ("a", pid, number, None)
        with pytest.raises(WorkerDiedError, match=number.name):
            model(1)
        until(lambda: state(pool, "a") == "cold")
        assert (row(pool, "a")["leases"], row(pool, "a")["pid"]) == (1, None), "a lease goes on until it ends"
        assert other(5) == 5, "the others are not touched"
        assert pool.plan("a")["decision"] == "load"
        with pool.lease_sync("a", timeout=PATIENCE_S) as anew:
            assert anew.pid() not in {pid, other.pid()}
            assert anew(3) == 3
        assert (state(pool, "a"), row(pool, "a")["loads"]) == ("ready", 2)
    assert row(pool, "a")["leases"] == 0, "the lease that died is not counted twice"
    assert {"event": "worker_died", "model": "a", "pid": pid, "signal": int(number)}.items() <= next(
        event for event in pool.events() if event["event"] == "worker_died"
    ).items()


def test_a_worker_that_leaves_by_itself(pool: Pool) -> None:
    register(pool)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model, pytest.raises(WorkerDiedError) as caught:
        model.leave()
    assert (caught.value.signal, caught.value.status) == (None, 7)


def test_the_memory_of_a_dead_worker_is_there_for_others(pool: Pool) -> None:
    register(pool, footprint="600MB")
    register(pool, "b", footprint="600MB")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        with pytest.raises(LeaseTimeoutError), pool.lease_sync("b", timeout=0.05):
            pass
        os.kill(model.pid(), signal.SIGKILL)
        with pool.lease_sync("b", timeout=PATIENCE_S) as other:  # while the lease on the dead one goes on
            assert other(1) == 1
        with pytest.raises(WorkerDiedError):
            model(1)


def test_a_killed_worker_takes_what_it_started_along(pool: Pool) -> None:
    register(pool)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        child = psutil.Process(model.descendant())
        os.kill(model.pid(), signal.SIGKILL)
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_those_that_wait_for_a_replacement_may_give_up(pool: Pool) -> None:
    register(pool)
    async with pool.lease("a", timeout=PATIENCE_S) as model:
        os.kill(model.pid(), signal.SIGKILL)
        until(lambda: state(pool, "a") == "cold")
    with pytest.raises(LeaseTimeoutError):
        async with pool.lease("a", timeout=0.001):
            pass
    task = asyncio.create_task(pool.lease("a").__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert row(pool, "a")["leases"] == 0
    async with pool.lease("a", timeout=PATIENCE_S) as model:
        assert await model.acall(2) == 2


def test_workers_end_with_the_process_that_made_them() -> None:
    program = (
        "import ullage, sys, time\n"
        "pool = ullage.Pool(ullage.Ledger('1GB'))\n"
        "pool.register('a', load='isolation_world:load', footprint='50MB', isolation='process')\n"
        "lease = pool.lease_sync('a'); model = lease.__enter__()\n"
        "print(model.pid(), flush=True); time.sleep(600)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:  # noqa: S603
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


# Loading and unloading.


@pytest.mark.parametrize(
    ("load", "options", "cause", "text"),
    [
        (world.load_and_fail, {}, OSError, "the disk is gone"),
        (world.load_and_die, {}, WorkerDiedError, "SIGKILL"),
        (world.load_never, {"load_timeout": 0.5}, TimeoutError, "was not loaded within 0.5 s"),
        (world.load_too_much, {"memory_limit": "300MB"}, MemoryError, "allocate"),
        ("isolation_world:nothing", {}, AttributeError, "nothing"),
        ("no_such_module:load", {}, ModuleNotFoundError, "no_such_module"),
        (world.load, {"measure": os.getcwd}, TypeError, "argument"),
    ],
)
def test_loads_that_fail_leave_nothing(
    pool: Pool, load: Any, options: dict[str, Any], cause: type[BaseException], text: str
) -> None:
    before = workers()
    register(pool, load=load, retries=0, **options)
    with pytest.raises(LoadFailedError) as caught, pool.lease_sync("a", timeout=PATIENCE_S):
        pass
    assert isinstance(caught.value.__cause__, cause)
    assert text in str(caught.value.__cause__)
    assert (state(pool, "a"), pool.account.used, workers()) == ("failed", 0, before)


def test_a_limit_that_suffices_is_no_hindrance(pool: Pool) -> None:
    register(pool, load_args=(50,), memory_limit="400MB")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        assert model(1) == 1
        with pytest.raises(MemoryError):
            model.grow(500)
        assert model(2) == 2


def test_an_unload_runs_there_before_the_end(pool: Pool, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    register(pool, load_kwargs={"name": "mine"}, unload=functools.partial(world.note_in, str(trace)))
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        pass
    pool.close(PATIENCE_S)
    assert trace.read_text(encoding="utf-8") == "mine"
    with pytest.raises(WorkerDiedError, match="status 0"):
        model(1)


@pytest.mark.parametrize("unload", [world.unload_badly, world.unload_never])
def test_a_release_is_certain_whatever_unload_does(pool: Pool, unload: Any) -> None:
    register(pool, unload=unload, unload_grace=0.3)
    register(pool, "b", footprint="950MB")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        pid = model.pid()
    with pool.lease_sync("b", timeout=PATIENCE_S):
        assert not psutil.pid_exists(pid)
        assert state(pool, "a") == "cold"


def test_a_stopped_worker_is_unloaded_all_the_same(pool: Pool) -> None:
    register(pool, unload_grace=0.2)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        echo = model.echo
        os.kill(model.pid(), signal.SIGSTOP)
        stuck = in_thread(lambda: echo(np.zeros(MB)))  # more than the connection holds
        with suppress(TimeoutError):
            stuck.result(0.1)
    pool.close(PATIENCE_S)
    assert isinstance(stuck.exception(PATIENCE_S), WorkerDiedError)


@LINUX
def test_bytes_stay_booked_until_the_process_is_gone(pool: Pool) -> None:
    register(pool, unload=world.unload_never, unload_grace=0.3)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        pid = model.pid()
    closing = in_thread(lambda: pool.close(PATIENCE_S))
    while not closing.done():
        used = pool.account.used
        assert used > 0 or not psutil.pid_exists(pid), "booked free while the process lived"
    closing.result()


@LINUX
def test_a_worker_is_measured_and_booked_as_it_is(pool: Pool) -> None:
    register(pool, load_args=(120,), footprint="100MB", workspace="5MB")
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        measured = row(pool, "a")["measured"]
        assert 120 * MB < measured < 250 * MB
        assert pool.account.used == measured + 5 * MB
        model.grow(80)
    assert measured + 60 * MB < row(pool, "a")["measured"] < measured + 120 * MB
    assert pool.account.used == row(pool, "a")["measured"] + 5 * MB


def test_what_a_model_says_of_itself_counts_first(pool: Pool) -> None:
    register(pool, load_args=(30,), footprint="10MB", measure=world.size_of)
    with pool.lease_sync("a", timeout=PATIENCE_S) as model:
        model.grow(50)
    assert row(pool, "a")["measured"] == 30 * MB + 17


BAD: list[tuple[dict[str, Any], str]] = [
    ({"load": lambda: 1}, "load"),
    ({"unload": lambda _: 1}, "unload"),
    ({"measure": lambda _: 1}, "measure"),
    ({"load": "no reference"}, "load"),
    ({"load": "module:"}, "load"),
    ({"load": 7}, "load"),
    ({"isolation": "container"}, "isolation"),
    ({"isolation": "thread", "load_timeout": 1}, "load_timeout"),
    ({"isolation": "thread", "memory_limit": 1}, "memory_limit"),
    ({"load_timeout": 0}, "load_timeout"),
    ({"load_timeout": float("nan")}, "load_timeout"),
    ({"unload_grace": -1}, "unload_grace"),
]


@pytest.mark.parametrize(("wrong", "name"), BAD)
def test_bad_registrations_name_the_argument(pool: Pool, wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        register(pool, **wrong)
    assert caught.value.name == name
    assert pool.status() == []


# Prefetching, draining and forgetting.


def test_a_prefetch_loads_and_sends_nobody_away(pool: Pool) -> None:
    register(pool, footprint="600MB")
    register(pool, "b", footprint="600MB")
    assert pool.prefetch("a")
    until(lambda: state(pool, "a") == "ready" and row(pool, "a")["leases"] == 0)
    assert pool.prefetch("a")
    assert not pool.prefetch("b")
    assert (row(pool, "a")["loads"], row(pool, "b")["loads"], state(pool, "a")) == (1, 0, "ready")


def test_a_prefetch_that_fails_bothers_nobody(pool: Pool) -> None:
    register(pool, load=world.load_and_fail)
    assert pool.prefetch("a")
    until(lambda: state(pool, "a") == "failed" and row(pool, "a")["waiting"] == 0)
    assert pool.account.used == 0


def test_a_drained_pool_ends_what_is_under_way_and_takes_nothing_new(pool: Pool) -> None:
    register(pool, max_concurrency=1)
    go = threading.Event()

    def use() -> int:
        with pool.lease_sync("a") as model:
            assert go.wait(PATIENCE_S)
            return int(model(5))

    with pool.lease_sync("a", timeout=PATIENCE_S):
        waiting = in_thread(use)
        until(lambda: row(pool, "a")["waiting"] == 1)
        with pytest.raises(LeaseTimeoutError):
            pool.drain(0.01)
        with pytest.raises(PoolClosedError):
            pool.lease_sync("a").__enter__()
        with pytest.raises(PoolClosedError):
            pool.prefetch("a")
    until(lambda: row(pool, "a")["waiting"] == 0)
    with pytest.raises(LeaseTimeoutError):
        pool.drain(0.01)
    go.set()
    asyncio.run(pool.adrain(PATIENCE_S))
    assert waiting.result(PATIENCE_S) == 5
    assert state(pool, "a") == "ready", "still loaded"


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_pool_that_is_not_closed_is_collected_and_says_so(isolation: Any) -> None:
    before, threads = workers(), set(threading.enumerate())
    ledger = Ledger("1GB")
    pool = Pool(ledger)
    register(pool, isolation=isolation)
    register(pool, "b", isolation=isolation)
    with pool.lease_sync("a", timeout=PATIENCE_S):
        pass

    def drop() -> None:
        nonlocal pool
        pool = Pool(Ledger(1))
        until(lambda: bool(gc.collect() or True) and ledger.used == 0)

    with pytest.warns(ResourceWarning, match="dropped without being closed; it had a loaded"):
        drop()
    assert ledger.used == 0
    until(lambda: workers() <= before)
    until(lambda: not [t for t in set(threading.enumerate()) - threads if t.name.startswith("ullage-pool")])


def test_a_pool_with_nothing_loaded_goes_quietly() -> None:
    pool = Pool(Ledger(100))
    pool.register("a", load=dict, footprint=10)
    del pool
    gc.collect()
