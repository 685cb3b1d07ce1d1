"""The driver: pairs each event with its actions, and sees that somebody carries them out.

The core decides (`Brain`); a lock guards the pairing of each event with its actions; no loader, unloader or waiter runs
inside it.
"""

import itertools
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from ullage._core import Account, Brain
from ullage._denial import denied
from ullage._resident import Instance, Resident
from ullage.errors import LeaseTimeoutError, PoolClosedError, ProtocolError, UnknownModelError
from ullage.isolation.worker import Worker
from ullage.pooling.faults import OwnersLock
from ullage.pooling.heart import HEARTBEAT_S, Heart
from ullage.pooling.journal import ASKED, GRANTED, MODEL, NOTHING, PLACED, REQUEST, Action, Journal
from ullage.pooling.mover import Mover
from ullage.pooling.need import Need, Needs

__all__ = ["Driver", "PolicyDriver", "Waiter"]

AT_REST = frozenset({"cold", "stuck", "failed"})
"""States in which nothing of a model moves or is used."""


class Waiter(NamedTuple):
    """A request that waits."""

    name: str
    future: "Future[Instance]"
    since: float
    workspace: int | None


class Driver:
    """What leases, the heart and those who load share: the scheduler and the books around it."""

    is_closed = True  # until it is made
    _lock: "Callable[[], threading.Lock | OwnersLock]" = threading.Lock

    def __init__(self, brain: Brain, domains: dict[str, Account], events: int, quantile: float) -> None:
        """Drive `brain`, which books on `domains`. Raises `ArgumentError` for a `quantile` that is none."""
        self.brain = brain
        self.domains = domains
        self.residents: dict[str, Resident] = {}
        self.needs = Needs(self.residents, quantile)
        self.leases: dict[int, Instance] = {}
        self.granted = 0
        """Leases so far."""
        self.is_draining = False
        self.lock: threading.Lock | OwnersLock = self._lock()
        self.started = time.monotonic()
        self.journal = Journal(events)
        self.mover = Mover()
        self.guard: object = None
        """Whoever watches the machine for this pool, so that it lives as long."""
        self.heart = Heart(self)
        self._write = self.journal.write
        self._waiters: dict[int, Waiter] = {}
        self._next = itertools.count(1).__next__
        self._expires = brain.idle_for is not None
        self._idle = threading.Condition(self.lock)  # type: ignore[arg-type] # it asks for what both have
        self._onlookers = 0
        self._owner = os.getpid()
        self.is_closed = False

    def __del__(self) -> None:
        """Warn of what is still loaded, and leave no thread or process behind."""
        if self.is_closed or self._owner != os.getpid():
            return
        self.is_closed = True
        self.heart.let_go()
        self.mover.shutdown(wait=False)
        loaded = self.moving()
        for resident in self.residents.values():
            for instance in resident.instances:
                if instance.worker is not None:
                    instance.worker.keep(self.brain)
                    instance.worker.kill()
        if loaded:
            text = f"a pool was dropped without being closed; it had {', '.join(loaded)} loaded"
            warnings.warn(text, ResourceWarning, stacklevel=2)

    # What leases call.

    def ask(
        self, name: str, timeout: float | None, priority: int = 0, workspace: int | None = None
    ) -> tuple[int, "Instance | Future[Instance]"]:
        """Ask for a model; gives the request's number, and the model if it is there, else what to wait for."""
        with self.lock:
            if self.is_draining:
                raise PoolClosedError("the pool drains: it takes no more requests")
            request = self._next()
            now = time.monotonic() - self.started
            deadline = None if timeout is None else now + timeout
            answer = self.brain.request(now, request, name, deadline, priority, workspace)
            self._write((now, "request", ASKED, name, request))
            if isinstance(answer, int):  # it is there: the number of its place
                self._write((now, "grant", GRANTED, request, name, answer))
                self.granted += 1
                self.leases[request] = instance = self.residents[name].instances[answer]
                if instance.isolated is None:
                    return request, instance
            else:
                self._take(now, answer)
                future: Future[Instance] = Future()
                self._waiters[request] = Waiter(name, future, now, workspace)
                self.heart.beat()
        if isinstance(answer, int):
            instance.lease_begins(request, workspace)
            return request, instance
        self._carry_out(answer)
        return request, future

    def enter(self) -> None:
        """Let a call of a program pass; what follows may take the lock."""

    def ask_modestly(self, name: str) -> bool:
        """Have a model loaded if all that it needs is free; tells whether it is loaded or on its way."""
        with self.lock:
            if self.is_draining:
                raise PoolClosedError("the pool drains: it takes no more requests")
            plan = self.brain.plan(name)
        if plan["decision"] not in {"grant", "load", "promote"} and plan.get("behind") != "load":
            return False
        request, answer = self.ask(name, None)
        if isinstance(answer, Future):
            answer.add_done_callback(lambda outcome: self._end_prefetch(request, outcome))
        else:
            self.release(request)
        return True

    def _end_prefetch(self, request: int, outcome: "Future[Instance]") -> None:
        """Give back what was only to be loaded."""
        if not outcome.cancelled() and outcome.exception() is None:
            self.release(request)
        else:
            self.cancel(request)

    def release(self, request: int, need: Need | None = None) -> None:
        """End a lease that asked for `need`; nothing happens to one that has ended."""
        instance = self.leases.get(request)
        if instance is None:
            return
        if instance.isolated is not None:
            self.mover.look(self, instance, request, need)
        with self.lock:
            if self.leases.pop(request, None) is None:
                return
            now = time.monotonic() - self.started
            actions = self.brain.released(now, request)
            self._write((now, "released", REQUEST, request))
            if actions:
                self._take(now, actions)
            if self._expires:
                self.heart.beat()  # what is idle from now on goes in time
            if self._onlookers:
                self._idle.notify_all()
        if actions:
            self._carry_out(actions)

    def cancel(self, request: int) -> None:
        """Give a request up, whether it waits or was granted just now; nothing happens to one that was refused."""
        with self.lock:
            waiter = self._waiters.pop(request, None)
            instance = self.leases.pop(request, None)
            if waiter is None and instance is None:
                return
        if instance is not None and instance.isolated is not None:
            self.mover.look(self, instance, request, None)
        self.tell("cancel", REQUEST, (request,), lambda now: self.brain.cancel(now, request))

    # Events and actions.

    def tell(
        self, event: str, names: tuple[str, ...], values: tuple[Any, ...], tell: Callable[[float], list[Action]]
    ) -> None:
        """Tell the scheduler of an event by `tell`, write it down, and have carried out what follows."""
        with self.lock:
            now = time.monotonic() - self.started
            actions = tell(now)
            if event != "tick":
                self._write((now, event, names, *values))
            self._take(now, actions)
            self._idle.notify_all()
            if self.brain.next_deadline is not None:
                self.heart.beat()  # what is due goes in time
        if actions:
            self._carry_out(actions)

    def unloaded(self, instance: "Instance") -> None:
        """Tell that a model's memory is free again."""
        name, place = instance.name, instance.place
        self.tell("unloaded", PLACED, (name, place), lambda now: self.brain.unloaded(now, name, place, {}))

    def press(self, domain: str, level: str, shed: int) -> None:
        """Tell that a memory domain is short of memory, or is so no more."""
        names, values = ("domain", "level", "shed"), (domain, level, shed)
        self.tell("pressure", names, values, lambda now: self.brain.pressure(now, domain, level, shed))

    def coming(self) -> dict[str, int]:
        """Give the bytes, by domain, that are booked for loads under way."""
        with self.lock:
            return self.brain.coming()

    def write(self, event: str, names: tuple[str, ...], *values: object) -> None:
        """Write down what the scheduler need not know. Called under the lock."""
        self._write((time.monotonic() - self.started, event, names, *values))

    def _take(self, now: float, actions: list[Action]) -> None:
        """Write actions down, under the lock: from now on a worker that ends is one that was told to."""
        self.journal.note(now, actions)
        for kind, subject, *rest in actions:
            if kind in {"unload", "drop"}:
                self.residents[subject].instances[rest[0]].is_up = False

    def _carry_out(self, actions: list[Action]) -> None:
        for kind, subject, *rest in actions:
            if kind == "grant":
                self._grant(subject, self.residents[rest[0]].instances[rest[1]])
            elif kind == "refuse":
                self._refuse(subject, rest[0])
            elif kind in Mover.MOVES:
                self.mover.move(self, kind, self.residents[subject].instances[rest[0]])

    def _grant(self, request: int, instance: Instance) -> None:
        with self.lock:
            waiter = self._waiters.pop(request, None)
            if waiter is None:
                return  # its owner gave up, and has said so or is about to
            self.granted += 1
            self.leases[request] = instance
        if instance.isolated is not None:
            instance.lease_begins(request, waiter.workspace)
        if waiter.future.set_running_or_notify_cancel():
            waiter.future.set_result(instance)

    def _refuse(self, request: int, denial: dict[str, Any]) -> None:
        with self.lock:
            waiter = self._waiters.pop(request, None)
        if waiter is not None and waiter.future.set_running_or_notify_cancel():
            failure = self.residents[waiter.name].failure
            waiter.future.set_exception(denied(waiter.name, denial, self.domains, failure))

    # What the heart calls.

    def pause(self) -> float | None:
        """Give how long the heart may rest: until somebody's wait has to be looked at, or a model goes by itself."""
        with self.lock:
            if self._waiters:
                return HEARTBEAT_S
            due = self.brain.next_deadline
            return None if due is None else max(due - (time.monotonic() - self.started), 0.0) + 0.001

    def tick(self) -> None:
        """Let time pass."""
        self.tell("tick", NOTHING, (), self.brain.tick)

    def check_thread(self, call: str, instead: str) -> None:
        """Refuse to block the event loop that coroutine loaders run on: both would wait for ever.

        Raises `ProtocolError`.
        """
        loop = self.mover.loop
        if loop is not None and loop.is_here:
            reason = f"it would block the event loop that the pool's coroutines run on; use {instead}"
            raise ProtocolError(f"{call}: {reason}", event=call, subject="pool", reason=reason)

    # The end.

    def close(self) -> None:
        """Refuse what waits, and have everything unloaded as soon as it is idle."""
        self.tell("close", NOTHING, (), self.brain.close)

    def end(self) -> None:
        """End the threads, now that nothing moves."""
        with self.lock:
            self.is_closed = True
        self.heart.stop()
        self.mover.shutdown(wait=True)

    def moving(self) -> list[str]:
        """Give the models of which something is loaded or moves."""
        return [row["name"] for row in self.brain.status() if row["state"] not in AT_REST]

    def in_use(self) -> list[str]:
        """Give the models that are leased or waited for. Called under the lock."""
        leased = {instance.name for instance in self.leases.values()}
        return list({waiter.name for waiter in self._waiters.values()} | leased)

    def wait_until_none(self, timeout: float | None, still: Callable[[], list[str]]) -> None:
        """Wait until `still`, called under the lock, names no model. Raises `LeaseTimeoutError`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._idle:
            self._onlookers += 1
            try:
                while names := still():
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        message = f"still in use after {timeout} s: {', '.join(names)}"
                        raise LeaseTimeoutError(message, model=names[0], waited_s=timeout)
                    self._idle.wait(left)
            finally:
                self._onlookers -= 1

    def resident(self, name: str) -> Resident:
        """Give what was registered of a model. Raises `UnknownModelError`."""
        with self.lock:
            found = self.residents.get(name)
            if found is None:
                self.brain.plan(name)  # which says what is wrong with the name
                raise UnknownModelError(f"{name!r} is not registered", name=name)
            return found

    # What goes by itself.

    def lost(self, instance: Instance, *, only_idle: bool = False) -> bool:
        """Take in that a model is gone from its place: what is left of it is cleared away.

        With `only_idle` it is still there, and sent away if nobody has it or waits for it. Tells whether it goes.
        """
        with self.lock:
            if not instance.is_up or (only_idle and self._is_wanted(instance)):
                return False
            instance.is_up = False
            now = time.monotonic() - self.started
            actions = self.brain.lost(now, instance.name, instance.place)
            self._write((now, "lost", PLACED, instance.name, instance.place))
            self._take(now, actions)
            self._idle.notify_all()
        self._carry_out(actions)
        self.mover.move(self, "unload", instance)
        return True

    def _is_wanted(self, instance: Instance) -> bool:
        """Whether anybody has a model at its place, or waits for it. Called under the lock."""
        row = next(row for row in self.brain.status() if row["name"] == instance.name)
        here = next(place for place in row["places"] if place["place"] == instance.place)
        return bool(row["waiting"] or here["leases"] or here["state"] != "ready")

    def worker_ended(self, instance: Instance, worker: Worker) -> None:
        """Take in that a worker is gone: if that was not wanted, its model has to be loaded anew."""
        with self.lock:
            if instance.worker is not worker or not instance.is_up or worker.is_ending:
                return
            instance.is_up = False
            error = worker.error
            now = time.monotonic() - self.started
            about = (*MODEL, "pid", "signal")
            self._write((now, "worker_died", about, instance.name, worker.pid, error.signal if error else None))
            actions = self.brain.lost(now, instance.name, instance.place)
            self._write((now, "lost", PLACED, instance.name, instance.place))
            self._take(now, actions)
            self._idle.notify_all()
        self._carry_out(actions)
        self.unloaded(instance)  # a process that is gone holds nothing


class PolicyDriver(Driver):
    """The driver of a pool whose policy is in Python: it is called with the lock held, and might call the pool.

    Such calls are refused. But a lease that ends inside of a policy, because that held its last reference or garbage
    was collected just then, is given back as soon as the lock is open.
    """

    _lock = OwnersLock

    def enter(self) -> None:
        """Let a call of a program pass. Raises `ProtocolError` inside of a policy, and where that decides too long."""
        assert isinstance(self.lock, OwnersLock)  # noqa: S101 - made so, above
        self.lock.enter()

    def ask(
        self, name: str, timeout: float | None, priority: int = 0, workspace: int | None = None
    ) -> tuple[int, "Instance | Future[Instance]"]:
        """Ask for a model, as of any driver."""
        self.enter()
        return super().ask(name, timeout, priority, workspace)

    def release(self, request: int, need: Need | None = None) -> None:
        """End a lease; nothing happens to one that has ended."""
        if self._is_inside():
            threading.Thread(target=super().release, args=(request, need), daemon=True).start()
        else:
            super().release(request, need)

    def cancel(self, request: int) -> None:
        """Give a request up, as a driver does."""
        if self._is_inside():
            threading.Thread(target=super().cancel, args=(request,), daemon=True).start()
        else:
            super().cancel(request)

    def _is_inside(self) -> bool:
        return isinstance(self.lock, OwnersLock) and self.lock.is_mine
