"""The live body of the pool: threads, futures and a clock around the state machine of the core.

The core decides (`Brain`); this module carries out. A lock guards the pairing of each event with its actions; no
loader, unloader or waiter runs inside it. One background thread, the heart, runs while there is anything to wait for:
it lets deadlines pass, notices memory that others gave back, and reports a model as unloaded when its object is
really gone.
"""

import asyncio
import gc
import inspect
import itertools
import queue
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from ullage._core import Account, Brain, Footprint, Ledger, parse_bytes
from ullage._denial import denied
from ullage._types import ByteCount
from ullage.errors import LeaseTimeoutError, ProtocolError
from ullage.machine.growth import Growth

__all__ = ["AsyncLease", "Pool", "SyncLease"]

Action: TypeAlias = tuple[Any, ...]

HEARTBEAT_S = 0.05
"""How often the heart looks for memory that somebody outside the pool gave back."""

WORKERS = 1 << 20
"""Loads and unloads under way at once: no bound but memory. A loader may wait for another model's load, which must not
wait for that loader's thread. Threads are made when none is idle."""


@dataclass(slots=True)
class _Resident:
    """What the body knows of one model."""

    load: Callable[[], Any]
    unload: Callable[[Any], Any] | None
    measure: Callable[[Any], int] | None
    value: Any = None
    failure: BaseException | None = None
    growth: int | None = None
    """By how much the process grew in the latest load that nothing else disturbed."""


class Pool:
    """Keeps models in memory under a limit, and lends them out.

    Bytes are booked in the ledger before a load starts and stay booked until the model's object is gone, so what the
    pool holds never passes a limit. Usable from any number of threads and event loops at once.
    """

    def __init__(
        self, ledger: Ledger | Account, *, policy: str = "value", account: str = "pool", events: int = 10_000
    ) -> None:
        """Make an empty pool that books on `ledger`'s account called `account`, or on the account given.

        `policy` says which model goes first when memory is needed: `value` learns when each will be asked for again
        and sends away the least expected loss; `ullage.replaying.policies()` lists the others. `events` is how many
        past events are kept. Raises `ArgumentError` for an unknown policy.
        """
        self._account = ledger.account(account) if isinstance(ledger, Ledger) else ledger
        self._brain = Brain(self._account, policy)
        self._expires = self._brain.idle_for is not None
        self._lock = threading.Lock()
        self._residents: dict[str, _Resident] = {}
        self._futures: dict[int, tuple[str, Future[None]]] = {}
        self._numbers = itertools.count(1)
        self._started = time.monotonic()
        self._events: deque[dict[str, Any]] = deque(maxlen=events)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="ullage-pool")
        self._growth = Growth()
        self._granted = 0
        self._leases: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Filled from finalizers, which may run in any thread at any moment: `put` is the one call safe there.
        self._gone: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._heart: threading.Thread | None = None
        self._closed = False
        self._idle = threading.Condition(self._lock)

    @property
    def account(self) -> Account:
        """The account that the pool books on."""
        return self._account

    def register(
        self,
        name: str,
        *,
        load: Callable[[], Any],
        footprint: Footprint | ByteCount,
        unload: Callable[[Any], Any] | None = None,
        measure: Callable[[Any], int] | None = None,
        pinned: bool = False,
        max_concurrency: int | None = None,
        workspace: ByteCount = 0,
    ) -> None:
        """Add a model, cold. It is loaded when it is first asked for.

        `load` makes the model's object, `unload` (optional) takes it down; each a function, run in a worker thread,
        or one that gives a coroutine. `footprint` is booked before the load, at its upper end; `workspace` is booked
        by each lease on top. `measure` tells how many bytes the object really takes; if that is more than was booked,
        it is booked from then on. Without `measure` the status shows by how much the process grew during a load that
        nothing else in the pool disturbed; that is shown only, because who else allocated cannot be known. A pinned
        model stays once loaded. Raises `ArgumentError` for a name in use, `QuantityError` for sizes that are none,
        `BudgetExceeded` for pins that cannot be in memory together.
        """
        if isinstance(footprint, Footprint):
            estimated, booked = footprint.total.best, footprint.total.hi
        else:
            estimated = booked = parse_bytes(footprint)
        with self._lock:
            self._brain.register(
                name,
                estimated=estimated,
                booked=booked,
                workspace=workspace,
                pinned=pinned,
                max_concurrency=max_concurrency,
            )
            self._residents[name] = _Resident(load, unload, measure)

    def lease(self, name: str, *, timeout: float | None = None) -> "AsyncLease":
        """Borrow a model: `async with pool.lease("minilm", timeout=30) as model: ...`.

        Entering raises `BudgetExceeded` for a model that can never fit beside what is pinned, `LeaseTimeoutError`
        after `timeout` seconds, `LoadFailedError` if its loader raised, `PoolClosedError` and `UnknownModelError`.
        """
        return AsyncLease(self, name, timeout)

    def lease_sync(self, name: str, *, timeout: float | None = None) -> "SyncLease":
        """Borrow a model from a thread: `with pool.lease_sync("minilm", timeout=30) as model: ...`.

        Raises what `lease` raises, and `ProtocolError` where it would have to wait on the event loop that coroutine
        loaders run on.
        """
        return SyncLease(self, name, timeout)

    def plan(self, name: str) -> dict[str, Any]:
        """Give what a request for a model would meet now, as data; nothing changes.

        `decision` is `grant`, `load`, `wait` (with `behind`, `evict`, `drain`) or `refuse` (with `reason` and the
        numbers). Raises `UnknownModelError`.
        """
        return self._brain.plan(name)

    def status(self) -> list[dict[str, Any]]:
        """Give every model: state, leases, requests waiting, and its estimated, booked and measured bytes."""
        with self._lock:
            rows = self._brain.status()
            for row in rows:
                if row["measured"] is None:
                    row["measured"] = self._residents[row["name"]].growth
        return rows

    def events(self) -> list[dict[str, Any]]:
        """Give the latest events, oldest first: `time_s` since the pool was made, `event`, and what it concerns."""
        with self._lock:
            return list(self._events)

    def close(self, timeout: float | None = None) -> None:
        """Refuse what waits, let leases end, unload everything, and wait for that at most `timeout` seconds.

        Raises `LeaseTimeoutError` if something is then still in use (closing again goes on waiting), and
        `ProtocolError` on the event loop that coroutine loaders run on, which it would block: there, use `aclose`.
        """
        self._check_thread("close", "aclose")
        self._tell("close", self._brain.close)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._idle:
            while still := [row["name"] for row in self._brain.status() if row["state"] not in {"cold", "stuck"}]:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    message = f"still in use after {timeout} s: {', '.join(still)}"
                    raise LeaseTimeoutError(message, model=still[0], waited_s=timeout)
                self._idle.wait(left)
            self._closed = True
            heart, self._heart = self._heart, None
        if heart is not None:
            self._gone.put(None)
            heart.join()
        self._workers.shutdown()

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in `close`
        """Close without blocking the event loop."""
        await asyncio.to_thread(self.close, timeout)

    def __enter__(self) -> Self:
        """Give the pool itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Give the pool itself; its coroutine loaders will run on this event loop."""
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close without blocking the event loop."""
        await self.aclose()

    # What leases call.

    def _ask(self, name: str, timeout: float | None) -> tuple[int, Future[None] | None]:
        """Ask for a model; gives the request's number and, unless it was granted at once, what to wait for."""
        request = next(self._numbers)
        with self._lock:
            now = self._now()
            deadline = None if timeout is None else now + timeout
            actions = self._brain.request(now, request, name, deadline)
            self._note(now, "request", actions, model=name, request=request)
            if len(actions) == 1 and actions[0][0] == "grant":
                self._granted += 1
                self._leases.add(request)
                return request, None
            future: Future[None] = Future()
            self._futures[request] = (name, future)
            self._beat()
        self._carry_out(actions)
        return request, future

    def _check_thread(self, call: str, instead: str) -> None:
        """Refuse to block the event loop that coroutine loaders run on: both would wait for ever.

        Raises `ProtocolError`.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        if running is self._loop:
            reason = f"it would block the event loop that the pool's coroutines run on; use {instead}"
            raise ProtocolError(f"{call}: {reason}", event=call, subject="pool", reason=reason)

    def _value(self, name: str) -> Any:  # noqa: ANN401 - whatever the loader made
        return self._residents[name].value

    def _release(self, request: int) -> None:
        self._tell("released", lambda now: self._brain.released(now, request), ends=request, request=request)

    def _cancel(self, request: int) -> None:
        """Give a request up, whether it waits or was granted just now; nothing happens to one that was refused."""
        with self._lock:
            is_waiting = self._futures.pop(request, None) is not None
            is_live = is_waiting or request in self._leases
        if is_live:
            self._tell("cancel", lambda now: self._brain.cancel(now, request), ends=request, request=request)

    # Events and actions.

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _tell(
        self,
        event: str,
        tell: Callable[[float], list[Action]],
        *,
        ends: int | None = None,
        **about: Any,  # noqa: ANN401
    ) -> None:
        with self._lock:
            now = self._now()
            actions = tell(now)
            if ends is not None:
                self._leases.discard(ends)
            self._note(now, event, actions, **about)
            self._idle.notify_all()
            if ends is not None and self._expires:
                self._beat()  # what is idle from now on goes in time
        if actions:
            self._carry_out(actions)

    def _note(self, now: float, event: str, actions: list[Action], **about: Any) -> None:  # noqa: ANN401
        if event != "tick":
            self._events.append({"time_s": now, "event": event, **about})
        for kind, subject, *rest in actions:
            row: dict[str, Any] = {"time_s": now, "event": kind}
            if kind in {"load", "unload"}:
                row["model"] = subject
            else:
                row["request"] = subject
                row["model" if kind == "grant" else "behind" if kind == "queue" else "denial"] = rest[0]
            self._events.append(row)

    def _carry_out(self, actions: list[Action]) -> None:
        for kind, subject, *rest in actions:
            if kind == "load":
                self._workers.submit(self._load, subject)
            elif kind == "unload":
                self._workers.submit(self._unload, subject)
            elif kind == "grant":
                self._settle(subject, None)
            elif kind == "refuse":
                self._settle(subject, rest[0])

    def _settle(self, request: int, denial: dict[str, Any] | None) -> None:
        with self._lock:
            name, future = self._futures.pop(request, ("", None))
            if future is not None and denial is None:
                self._granted += 1
                self._leases.add(request)
        if future is None or not future.set_running_or_notify_cancel():
            return  # its owner gave up, and has said so or is about to
        if denial is None:
            future.set_result(None)
        else:
            future.set_exception(denied(name, denial, self._account, self._residents[name].failure))

    # Loading and unloading, in worker threads.

    def _load(self, name: str) -> None:
        resident = self._residents[name]
        move = self._growth.begin(self._uses())
        try:
            resident.value = self._run(resident.load)
            size = self._measure(resident)
        except BaseException as failure:  # noqa: BLE001 - whatever a loader raises ends its waiters' wait
            self._growth.end(move, None)
            resident.failure, resident.value = failure, None
            _forget_locals(failure)
            self._tell("load_failed", lambda now: self._brain.load_failed(now, name), model=name)
            return
        growth = self._growth.end(move, self._uses())
        resident.growth = resident.growth if growth is None else growth
        if size is not None:
            self._tell("measured", lambda now: self._brain.measured(now, name, size), model=name, bytes=size)
        self._tell("loaded", lambda now: self._brain.loaded(now, name), model=name)

    def _measure(self, resident: _Resident) -> int | None:
        """Ask how much a model just loaded takes; one that cannot tell is taken down again."""
        if resident.measure is None:
            return None
        try:
            return parse_bytes(resident.measure(resident.value))
        except BaseException:
            if resident.unload is not None:
                self._run(resident.unload, resident.value)
            raise

    def _uses(self) -> int | None:
        """Give how many leases there have been, or `None` while there are any."""
        with self._lock:
            return None if self._leases else self._granted

    def _unload(self, name: str) -> None:
        resident = self._residents[name]
        move = self._growth.begin(None)
        value, resident.value = resident.value, None
        try:
            if resident.unload is not None:
                self._run(resident.unload, value)
        except BaseException as failure:  # noqa: BLE001 - whatever an unloader raises leaves the memory in doubt
            self._growth.end(move, None)
            resident.failure = failure
            self._tell("unload_failed", lambda now: self._brain.unload_failed(now, name), model=name)
            return
        watch = _watch(value)
        del value
        if watch() is not None:
            gc.collect()  # an object in a reference cycle would otherwise stay until the collector's next round
        survivor = watch()
        self._growth.end(move, None)
        if survivor is None:
            self._unloaded(name)
        else:
            # Somebody still holds the object, and with it the memory: it stays booked until they let go.
            weakref.finalize(survivor, self._gone.put, name).atexit = False

    def _run(self, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call a function; a coroutine that it gives is run on the pool's event loop, or on one of its own."""
        outcome = function(*arguments)
        if not inspect.iscoroutine(outcome):
            return outcome
        loop = self._loop
        if loop is not None and loop.is_running():
            return asyncio.run_coroutine_threadsafe(outcome, loop).result()
        return asyncio.run(outcome)

    # The heart.

    def _beat(self) -> None:
        """See that the heart beats, now that somebody waits. Called under the lock."""
        if self._heart is not None:
            self._gone.put("")
        elif not self._closed:
            self._heart = threading.Thread(target=self._run_heart, name="ullage-pool-heart", daemon=True)
            self._heart.start()

    def _pause(self) -> float | None:
        """Give how long the heart may rest: until somebody's wait has to be looked at, or a model is idle too long."""
        with self._lock:
            if self._futures:
                return HEARTBEAT_S
            due = self._brain.next_deadline if self._expires else None
            return None if due is None else max(due - self._now(), 0.0) + 0.001

    def _run_heart(self) -> None:
        while True:
            try:
                name = self._gone.get(timeout=self._pause())
            except queue.Empty:
                self._tell("tick", self._brain.tick)
                continue
            if name is None:
                return
            if name:
                time.sleep(HEARTBEAT_S)  # a finalizer runs before its object's memory is given back
                self._unloaded(name)

    def _unloaded(self, name: str) -> None:
        self._tell("unloaded", lambda now: self._brain.unloaded(now, name), model=name)


def _watch(value: object) -> Callable[[], object]:
    """Give a function that tells whether `value` is still there; one that says no where that cannot be seen."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: None


def _forget_locals(failure: BaseException) -> None:
    """Free what the functions in a failure's traceback still hold: its bytes are booked no longer."""
    seen: set[int] = set()
    link: BaseException | None = failure
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


class _Lease:
    """What both kinds of lease share. Entered again, a lease is one more lease."""

    def __init__(self, pool: Pool, name: str, timeout: float | None) -> None:
        """Made by `Pool.lease` and `Pool.lease_sync`."""
        self._pool, self._name, self._timeout = pool, name, timeout
        self._requests: list[int] = []

    def _begin(self, request: int) -> Any:  # noqa: ANN401 - whatever the loader made
        self._requests.append(request)
        return self._pool._value(self._name)

    def _end(self) -> None:
        self._pool._release(self._requests.pop())


class AsyncLease(_Lease):
    """A model borrowed for the time of an `async with` block."""

    async def __aenter__(self) -> Any:  # noqa: ANN401 - whatever the loader made
        """Wait for the model; gives the object that its loader made."""
        request, future = self._pool._ask(self._name, self._timeout)
        if future is not None:
            try:
                await asyncio.wrap_future(future)
            except BaseException:  # a cancellation, the end of the coroutine, or the refusal itself
                self._pool._cancel(request)
                raise
            finally:
                del future  # it holds its exception, whose traceback holds this frame
        return self._begin(request)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back."""
        self._end()


class SyncLease(_Lease):
    """A model borrowed for the time of a `with` block."""

    def __enter__(self) -> Any:  # noqa: ANN401 - whatever the loader made
        """Wait for the model; gives the object that its loader made."""
        request, future = self._pool._ask(self._name, self._timeout)
        if future is not None:
            try:
                self._pool._check_thread("lease_sync", "lease")
                future.result()
            except BaseException:  # whatever a signal handler raised, or the refusal itself
                self._pool._cancel(request)
                raise
            finally:
                del future  # it holds its exception, whose traceback holds this frame
        return self._begin(request)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back."""
        self._end()
