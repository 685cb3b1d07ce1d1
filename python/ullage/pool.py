"""The live body of the pool: threads, futures and a clock around the state machine of the core.

The core decides (`Brain`); this module carries out. A lock guards the pairing of each event with its actions; no
loader, unloader or waiter runs inside it. One background thread, the heart, runs while there is anything to wait for:
it lets deadlines pass, notices memory that others gave back, and reports a model as unloaded when its object is
really gone. It knows the pool by a weak reference only, so that a pool that is not closed can still be collected.
"""

import asyncio
import gc
import inspect
import itertools
import os
import queue
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from ullage._core import Account, Brain, Footprint, Ledger, parse_bytes
from ullage._denial import denied
from ullage._lease import AsyncLease, SyncLease
from ullage._resident import Resident, forget_locals, isolated, watch
from ullage._types import ByteCount
from ullage.errors import LeaseTimeoutError, PoolClosedError, ProtocolError
from ullage.isolation.task import function_of
from ullage.isolation.worker import Worker
from ullage.machine.growth import Growth

__all__ = ["AsyncLease", "Pool", "SyncLease"]

Action: TypeAlias = tuple[Any, ...]

HEARTBEAT_S = 0.05
"""How often the heart looks for memory that somebody outside the pool gave back."""

WORKERS = 1 << 20
"""Loads and unloads under way at once: no bound but memory. A loader may wait for another model's load, which must not
wait for that loader's thread. Threads are made when none is idle."""

UNLOAD_GRACE_S = 5.0
"""How long a worker process may take to end when asked, and again when terminated, before it is killed."""

# What the values of a row of the event log stand for.
MODEL, REQUEST, MODEL_REQUEST, REQUEST_MODEL, NOTHING = (
    ("model",),
    ("request",),
    ("model", "request"),
    ("request", "model"),
    (),
)
OF_ACTION = {
    "load": MODEL,
    "unload": MODEL,
    "grant": REQUEST_MODEL,
    "queue": ("request", "behind"),
    "refuse": ("request", "denial"),
}


class _Waiter(NamedTuple):
    """A request that waits."""

    name: str
    future: "Future[None]"
    since: float
    deadline: float | None


@dataclass(slots=True)
class _Lost:
    """A model whose worker died. The scheduler has it in memory, unused; the next lease brings it up again."""

    waiting: dict[int, _Waiter] = field(default_factory=dict)
    """Leases granted meanwhile."""
    is_coming: bool = False


class Pool:
    """Keeps models in memory under a limit, and lends them out.

    Bytes are booked in the ledger before a load starts and stay booked until the model's object is gone, so what the
    pool holds never passes a limit. Usable from any number of threads and event loops at once. A pool that is dropped
    without being closed warns of what is still loaded and kills its worker processes.
    """

    _closed = True  # until it is made

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
        self._residents: dict[str, Resident] = {}
        self._waiters: dict[int, _Waiter] = {}
        self._numbers = itertools.count(1)
        self._started = time.monotonic()
        self._events: deque[tuple[Any, ...]] = deque(maxlen=events)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="ullage-pool")
        self._growth = Growth()
        self._granted = 0
        self._leases: dict[int, str] = {}
        self._lost: dict[str, _Lost] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        # Filled from finalizers, which may run in any thread at any moment: `put` is the one call safe there.
        self._gone: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._heart: threading.Thread | None = None
        self._idle = threading.Condition(self._lock)
        self._onlookers = 0
        self._is_draining = False
        self._owner = os.getpid()
        self._closed = False

    def __del__(self) -> None:
        """Warn of what is still loaded, and leave no thread or process behind."""
        if self._closed or self._owner != os.getpid():
            return
        self._closed = True
        self._gone.put(None)
        self._workers.shutdown(wait=False)
        loaded = [row["name"] for row in self._brain.status() if row["state"] not in {"cold", "stuck"}]
        for resident in self._residents.values():
            if resident.worker is not None:
                resident.worker.keep(self._brain)
                resident.worker.kill()
        if loaded:
            text = f"a pool was dropped without being closed; it had {', '.join(loaded)} loaded"
            warnings.warn(text, ResourceWarning, stacklevel=2)

    @property
    def account(self) -> Account:
        """The account that the pool books on."""
        return self._account

    def register(
        self,
        name: str,
        *,
        load: Callable[..., Any] | str,
        footprint: Footprint | ByteCount,
        load_args: tuple[Any, ...] = (),
        load_kwargs: Mapping[str, Any] | None = None,
        unload: Callable[[Any], Any] | str | None = None,
        measure: Callable[[Any], int] | str | None = None,
        pinned: bool = False,
        max_concurrency: int | None = None,
        workspace: ByteCount = 0,
        isolation: Literal["thread", "process"] = "thread",
        load_timeout: float | None = None,
        unload_grace: float = UNLOAD_GRACE_S,
        memory_limit: ByteCount | None = None,
    ) -> None:
        """Add a model, cold. It is loaded when it is first asked for.

        `load` makes the model's object, `unload` (optional) takes it down; each a function, run in a worker thread,
        or one that gives a coroutine, or `"module:function"`. `footprint` is booked before the load, at its upper end;
        `workspace` is booked by each lease on top. `measure` tells how many bytes the object really takes; if that is
        more than was booked, it is booked from then on. Without `measure` the status shows by how much the process grew
        during a load that nothing else in the pool disturbed; that is shown only, because who else allocated cannot be
        known. A pinned model stays once loaded.

        With `isolation="process"` the model is loaded in a process of its own, and leases give a `Proxy` that passes
        calls on; the functions must be such as can be pickled. Its bytes are booked until that process is gone. Without
        `measure` all that the process holds counts (PSS), interpreter included, and so does what it holds at most
        during leases, less their workspaces. A load that takes more than `load_timeout` seconds is killed;
        `memory_limit` bounds the address space that the process may take beyond what its interpreter starts with;
        an unload that takes more than `unload_grace` seconds is terminated, and after as many more killed.

        Raises `ArgumentError` for a name in use, a function that cannot be sent to a process or an option that is of no
        use here, `QuantityError` for sizes that are none, `BudgetExceeded` for pins that cannot be in memory together.
        """
        if isinstance(footprint, Footprint):
            estimated, booked = footprint.total.best, footprint.total.hi
        else:
            estimated = booked = parse_bytes(footprint)
        loader = function_of("load", load)
        if load_args or load_kwargs:
            loader = partial(loader, *load_args, **(load_kwargs or {}))
        resident = Resident(
            loader,
            None if unload is None else function_of("unload", unload),
            None if measure is None else function_of("measure", measure),
            parse_bytes(workspace),
            None,
        )
        resident.isolated = isolated(resident, isolation, load_timeout, unload_grace, memory_limit)
        with self._lock:
            self._brain.register(
                name,
                estimated=estimated,
                booked=booked,
                workspace=workspace,
                pinned=pinned,
                max_concurrency=max_concurrency,
            )
            self._residents[name] = resident

    def lease(self, name: str, *, timeout: float | None = None) -> AsyncLease:
        """Borrow a model: `async with pool.lease("minilm", timeout=30) as model: ...`.

        Entering raises `BudgetExceeded` for a model that can never fit beside what is pinned, `LeaseTimeoutError`
        after `timeout` seconds, `LoadFailedError` if its loader raised, `PoolClosedError` and `UnknownModelError`.
        If the model's worker process dies, the lease's calls raise `WorkerDiedError`; the next lease loads it again.
        """
        return AsyncLease(self, name, timeout)

    def lease_sync(self, name: str, *, timeout: float | None = None) -> SyncLease:
        """Borrow a model from a thread: `with pool.lease_sync("minilm", timeout=30) as model: ...`.

        Raises what `lease` raises, and `ProtocolError` where it would have to wait on the event loop that coroutine
        loaders run on.
        """
        return SyncLease(self, name, timeout)

    def prefetch(self, name: str) -> bool:
        """See that a model is loaded soon if that costs nobody anything; tells whether it is loaded or on its way.

        Nothing is sent away for it and no request that waits is overtaken. Raises `UnknownModelError`,
        `PoolClosedError`.
        """
        request, future = self._ask(name, None, is_modest=True)
        if future is not None:
            future.add_done_callback(partial(_end_prefetch, self, request))
        elif request:
            self._release(request)
        return bool(request)

    def plan(self, name: str) -> dict[str, Any]:
        """Give what a request for a model would meet now, as data; nothing changes.

        `decision` is `grant`, `load`, `wait` (with `behind`, `evict`, `drain`) or `refuse` (with `reason` and the
        numbers). Raises `UnknownModelError`.
        """
        with self._lock:
            plan = self._brain.plan(name)
            if plan["decision"] == "grant" and name in self._lost:
                plan["decision"] = "load"
        return plan

    def status(self) -> list[dict[str, Any]]:
        """Give every model: state, leases, requests waiting, and its estimated, booked and measured bytes.

        A model in a worker process has its `pid` too, `None` while there is none.
        """
        with self._lock:
            rows = self._brain.status()
            for row in rows:
                resident = self._residents[row["name"]]
                if row["measured"] is None:
                    row["measured"] = resident.growth
                row["loads"] += resident.reloads
                if row["name"] in self._lost:
                    row["state"] = "cold"
                if resident.isolated is not None:
                    row["pid"] = resident.worker.pid if resident.is_up and resident.worker is not None else None
        return rows

    def events(self) -> list[dict[str, Any]]:
        """Give the latest events, oldest first: `time_s` since the pool was made, `event`, and what it concerns."""
        with self._lock:
            rows = list(self._events)
        return [
            {"time_s": now, "event": event, **dict(zip(names, values, strict=True))}
            for now, event, names, *values in rows
        ]

    def drain(self, timeout: float | None = None) -> None:
        """Take no more requests, and wait at most `timeout` seconds for those waiting and for leases to end.

        Models stay loaded until the pool is closed. A loader that leases another model is refused like anybody. Raises
        what `close` raises.
        """
        self._check_thread("drain", "adrain")
        self._is_draining = True
        self._await(
            timeout, lambda: list({waiter.name for waiter in self._waiters.values()} | {*self._leases.values()})
        )

    async def adrain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in `drain`
        """Drain without blocking the event loop."""
        await asyncio.to_thread(self.drain, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Refuse what waits, let leases end, unload everything, and wait for that at most `timeout` seconds.

        Raises `LeaseTimeoutError` if something is then still in use (closing again goes on waiting), and
        `ProtocolError` on the event loop that coroutine loaders run on, which it would block: there, use `aclose`.
        """
        self._check_thread("close", "aclose")
        self._tell("close", NOTHING, (), self._brain.close)
        self._await(
            timeout, lambda: [row["name"] for row in self._brain.status() if row["state"] not in {"cold", "stuck"}]
        )
        with self._lock:
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

    def _await(self, timeout: float | None, in_use: Callable[[], list[str]]) -> None:
        """Wait until `in_use`, called under the lock, names no model. Raises `LeaseTimeoutError`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._idle:
            self._onlookers += 1
            try:
                while still := in_use():
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        message = f"still in use after {timeout} s: {', '.join(still)}"
                        raise LeaseTimeoutError(message, model=still[0], waited_s=timeout)
                    self._idle.wait(left)
            finally:
                self._onlookers -= 1

    # What leases call.

    def _ask(self, name: str, timeout: float | None, *, is_modest: bool = False) -> tuple[int, Future[None] | None]:
        """Ask for a model; gives the request's number and, unless it was granted at once, what to wait for.

        A modest request is not made, and its number is 0, unless all that it needs is free.
        """
        with self._lock:
            if self._is_draining:
                raise PoolClosedError("the pool drains: it takes no more requests")
            if is_modest and not self._is_cheap(name):
                return 0, None
            request = next(self._numbers)
            now = time.monotonic() - self._started
            deadline = None if timeout is None else now + timeout
            actions = self._brain.request(now, request, name, deadline)
            self._events.append((now, "request", MODEL_REQUEST, name, request))
            if len(actions) == 1 and actions[0][0] == "grant" and name not in self._lost:
                self._events.append((now, "grant", REQUEST_MODEL, request, name))
                self._granted += 1
                self._leases[request] = name
                return request, None
            self._note(now, actions)
            future: Future[None] = Future()
            self._waiters[request] = _Waiter(name, future, now, deadline)
            self._beat()
        self._carry_out(actions)
        return request, future

    def _is_cheap(self, name: str) -> bool:
        plan = self._brain.plan(name)
        return plan["decision"] in {"grant", "load"} or plan.get("behind") == "load"

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

    def _release(self, request: int) -> None:
        """End a lease; nothing happens to one that ended with its model's worker."""
        name = self._leases.get(request)
        if name is None:
            return
        if self._residents[name].isolated is not None:
            self._look(name)
        with self._lock:
            if self._leases.pop(request, None) is None:
                return
            now = time.monotonic() - self._started
            actions = self._brain.released(now, request)
            self._events.append((now, "released", REQUEST, request))
            if self._expires:
                self._beat()  # what is idle from now on goes in time
            if actions:
                self._note(now, actions)
            if self._onlookers:
                self._idle.notify_all()
        if actions:
            self._carry_out(actions)

    def _look(self, name: str) -> None:
        """Book what a worker grew to while it was leased."""
        resident = self._residents[name]
        with self._lock:
            leases = sum(1 for other in self._leases.values() if other == name)
        held = resident.growth_beyond(leases)
        if held is not None and resident.measure is None:
            self._tell("measured", ("model", "bytes"), (name, held), lambda now: self._brain.measured(now, name, held))

    def _cancel(self, request: int) -> None:
        """Give a request up, whether it waits or was granted just now; nothing happens to one that was refused."""
        with self._lock:
            waiter = self._waiters.pop(request, None)
            name = self._leases.pop(request, None)
            if waiter is None and name is None:
                return
            if name in self._lost:
                self._lost[name].waiting.pop(request, None)
        self._tell("cancel", REQUEST, (request,), lambda now: self._brain.cancel(now, request))

    # Events and actions.

    def _tell(
        self,
        event: str,
        names: tuple[str, ...],
        values: tuple[Any, ...],
        tell: Callable[[float], list[Action]],
    ) -> None:
        with self._lock:
            now = time.monotonic() - self._started
            actions = tell(now)
            if event != "tick":
                self._events.append((now, event, names, *values))
            self._note(now, actions)
            self._idle.notify_all()
            if event == "cancel" and self._expires:
                self._beat()  # what is idle from now on goes in time
        if actions:
            self._carry_out(actions)

    def _note(self, now: float, actions: list[Action]) -> None:
        for kind, *values in actions:
            self._events.append((now, kind, OF_ACTION[kind], *values))

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
            waiter = self._waiters.pop(request, None)
            if waiter is None:
                return  # its owner gave up, and has said so or is about to
            if denial is None:
                self._granted += 1
                self._leases[request] = waiter.name
                lost = self._lost.get(waiter.name)
                if lost is not None:
                    lost.waiting[request] = waiter
                    if not lost.is_coming:
                        lost.is_coming = True
                        self._workers.submit(self._reload, waiter.name)
                    return
        if denial is None:
            _answer(waiter, None)
        else:
            _answer(waiter, denied(waiter.name, denial, self._account, self._residents[waiter.name].failure))

    # Loading and unloading, in worker threads.

    def _load(self, name: str) -> None:
        resident = self._residents[name]
        with resident.moving:
            try:
                size = self._bring_up(name, resident)
            except BaseException as failure:  # noqa: BLE001 - whatever a loader raises ends its waiters' wait
                resident.failure = failure
                forget_locals(failure)
                self._tell("load_failed", MODEL, (name,), lambda now: self._brain.load_failed(now, name))
                return
            self._measured(name, size)

            def loaded(now: float) -> list[Action]:
                resident.is_up = True
                return self._brain.loaded(now, name)

            self._tell("loaded", MODEL, (name,), loaded)
        self._check_up(name, resident)

    def _bring_up(self, name: str, resident: Resident) -> int | None:
        """Make the model's object; gives what it was measured to take, if it was."""
        if resident.isolated is not None:
            worker, size = resident.isolated.bring_up(name, partial(_ended, weakref.ref(self), name))
            resident.stand(worker)
            resident.highest = size or 0
            return size
        move = self._growth.begin(self._uses())
        try:
            resident.value = self._run(resident.load)
            size = self._measure(resident)
        except BaseException:
            self._growth.end(move, None)
            resident.value = None
            raise
        growth = self._growth.end(move, self._uses())
        resident.growth = resident.growth if growth is None else growth
        return size

    def _measure(self, resident: Resident) -> int | None:
        """Ask how much a model just loaded takes; one that cannot tell is taken down again."""
        if resident.measure is None:
            return None
        try:
            return parse_bytes(resident.measure(resident.value))
        except BaseException:
            if resident.unload is not None:
                self._run(resident.unload, resident.value)
            raise

    def _measured(self, name: str, size: int | None) -> None:
        if size is not None:
            self._tell("measured", ("model", "bytes"), (name, size), lambda now: self._brain.measured(now, name, size))

    def _uses(self) -> int | None:
        """Give how many leases there have been, or `None` while there are any."""
        with self._lock:
            return None if self._leases else self._granted

    def _unload(self, name: str) -> None:
        resident = self._residents[name]
        with resident.moving:
            if resident.isolated is None:
                self._take_down(name, resident)
                return
            with self._lock:
                resident.is_up = False
                self._lost.pop(name, None)
            failure = resident.take_down_worker()
            if failure is not None:
                resident.failure = failure  # its process is gone all the same, and with it the memory
        self._unloaded(name)

    def _take_down(self, name: str, resident: Resident) -> None:
        move = self._growth.begin(None)
        value, resident.value = resident.value, None
        try:
            if resident.unload is not None:
                self._run(resident.unload, value)
        except BaseException as failure:  # noqa: BLE001 - whatever an unloader raises leaves the memory in doubt
            self._growth.end(move, None)
            resident.failure = failure
            self._tell("unload_failed", MODEL, (name,), lambda now: self._brain.unload_failed(now, name))
            return
        present = watch(value)
        del value
        if present() is not None:
            gc.collect()  # an object in a reference cycle would otherwise stay until the collector's next round
        survivor = present()
        self._growth.end(move, None)
        if survivor is None:
            self._unloaded(name)
        else:
            # Somebody still holds the object, and with it the memory: it stays booked until they let go.
            weakref.finalize(survivor, self._gone.put, name).atexit = False

    def _unloaded(self, name: str) -> None:
        self._tell("unloaded", MODEL, (name,), lambda now: self._brain.unloaded(now, name))

    def _run(self, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call a function; a coroutine that it gives is run on the pool's event loop, or on one of its own."""
        outcome = function(*arguments)
        if not inspect.iscoroutine(outcome):
            return outcome
        loop = self._loop
        if loop is not None and loop.is_running():
            return asyncio.run_coroutine_threadsafe(outcome, loop).result()
        return asyncio.run(outcome)

    # Workers that die.

    def _check_up(self, name: str, resident: Resident) -> None:
        """Notice a worker that died before it was expected to live."""
        worker = resident.worker
        if worker is not None and worker.gone.is_set():
            self._worker_ended(name, worker)

    def _worker_ended(self, name: str, worker: Worker) -> None:
        """Take in that a worker is gone: if that was not wanted, its leases end, and its memory is anybody's.

        The scheduler keeps the model's bytes as those of an idle model: to whoever needs them they are free at once,
        and they are there for the load that replaces it.
        """
        resident = self._residents[name]
        actions: list[Action] = []
        with self._lock:
            if resident.worker is not worker or not resident.is_up or worker.is_ending:
                return
            resident.is_up = False
            self._lost[name] = _Lost()
            error = worker.error
            now = time.monotonic() - self._started
            about = ("model", "pid", "signal")
            self._events.append((now, "worker_died", about, name, worker.pid, error.signal if error else None))
            for request in [request for request, leased in self._leases.items() if leased == name]:
                del self._leases[request]
                found = self._brain.released(now, request)
                self._events.append((now, "released", REQUEST, request))
                self._note(now, found)
                actions += found
            self._idle.notify_all()
        self._carry_out(actions)

    def _reload(self, name: str) -> None:
        """Bring a model up again whose worker died, in the memory that is booked for it, and serve who waits."""
        resident = self._residents[name]
        failure: BaseException | None = None
        with resident.moving:
            with self._lock:
                if name not in self._lost:
                    return  # sent away meanwhile, when all who waited had given up
                self._events.append((time.monotonic() - self._started, "load", MODEL, name))
            try:
                self._measured(name, self._bring_up(name, resident))
            except BaseException as error:  # noqa: BLE001 - as in `_load`
                failure = resident.failure = error
                forget_locals(error)
            with self._lock:
                lost = self._lost[name]
                waiting = list(lost.waiting.values())
                if failure is None:
                    del self._lost[name]
                    resident.is_up = True
                    resident.reloads += 1
                else:
                    self._lost[name] = _Lost()
                event = "loaded" if failure is None else "load_failed"
                self._events.append((time.monotonic() - self._started, event, MODEL, name))
        for waiter in waiting:
            denial = {"reason": "load_failed"}
            _answer(waiter, None if failure is None else denied(name, denial, self._account, failure))
        self._check_up(name, resident)

    def _expire(self) -> None:
        """Refuse those that wait for a model to come up again and whose time is up."""
        now = time.monotonic() - self._started
        late: list[_Waiter] = []
        with self._lock:
            for lost in self._lost.values():
                for request, waiter in list(lost.waiting.items()):
                    if waiter.deadline is not None and waiter.deadline <= now:
                        late.append(lost.waiting.pop(request))
        for waiter in late:
            denial = {"reason": "timeout", "waited_s": now - waiter.since}
            _answer(waiter, denied(waiter.name, denial, self._account, None))

    # The heart.

    def _beat(self) -> None:
        """See that the heart beats, now that somebody waits. Called under the lock."""
        if self._heart is not None:
            self._gone.put("")
        elif not self._closed:
            arguments = (weakref.ref(self), self._gone)
            self._heart = threading.Thread(target=_run_heart, args=arguments, name="ullage-pool-heart", daemon=True)
            self._heart.start()

    def _pause(self) -> float | None:
        """Give how long the heart may rest: until somebody's wait has to be looked at, or a model is idle too long."""
        with self._lock:
            if self._waiters or any(lost.waiting for lost in self._lost.values()):
                return HEARTBEAT_S
            due = self._brain.next_deadline if self._expires else None
            return None if due is None else max(due - (time.monotonic() - self._started), 0.0) + 0.001

    def _tick(self) -> None:
        self._tell("tick", NOTHING, (), self._brain.tick)
        self._expire()


def _run_heart(ref: "weakref.ref[Pool]", gone: "queue.SimpleQueue[str | None]") -> None:
    """Beat until told to stop, or until the pool is no more."""
    while (pool := ref()) is not None:
        pause_s = pool._pause()
        del pool  # nothing may hold it while this thread sleeps
        try:
            name = gone.get(timeout=pause_s)
        except queue.Empty:
            name = ""
            if (pool := ref()) is not None:
                pool._tick()
                del pool
        if name is None:
            return
        if name:
            time.sleep(HEARTBEAT_S)  # a finalizer runs before its object's memory is given back
            if (pool := ref()) is not None:
                pool._unloaded(name)
                del pool


def _ended(ref: "weakref.ref[Pool]", name: str, worker: Worker) -> None:
    """Tell a pool that a worker is gone, if there still is a pool."""
    pool = ref()
    if pool is not None:
        pool._worker_ended(name, worker)


def _end_prefetch(pool: Pool, request: int, outcome: "Future[None]") -> None:
    """Give back what was only to be loaded."""
    if not outcome.cancelled() and outcome.exception() is None:
        pool._release(request)
    else:
        pool._cancel(request)


def _answer(waiter: _Waiter, failure: BaseException | None) -> None:
    """End a wait, unless its owner gave it up."""
    future = waiter.future
    if not future.set_running_or_notify_cancel():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)
