"""What the pool's body knows of one model, and how the model comes up and goes down."""

import math
import os
import threading
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ullage._core import parse_bytes
from ullage._types import ByteCount
from ullage.errors import ArgumentError
from ullage.isolation.proxy import Proxy
from ullage.isolation.task import Task
from ullage.isolation.worker import Worker

__all__ = ["Isolated", "Resident", "forget_locals", "isolated", "watch"]


@dataclass(frozen=True, slots=True)
class Isolated:
    """How a model is run in a worker process."""

    task: Task
    load_timeout: float | None
    grace: float

    def bring_up(self, name: str, on_end: Callable[[Worker], object]) -> tuple[Worker, int | None]:
        """Start a worker and have it load; gives it and the bytes it takes, as its `measure` says or as it is seen.

        Raises what the loader raised, `TimeoutError`, `WorkerDiedError`; the process is then gone.
        """
        worker = Worker(name, self.task, on_end)
        said = worker.load(self.load_timeout)
        return worker, worker.memory.read() if said is None else said


@dataclass(slots=True)
class Resident:
    """What the body knows of one model."""

    load: Callable[[], Any]
    unload: Callable[[Any], Any] | None
    measure: Callable[[Any], int] | None
    workspace: int
    isolated: Isolated | None
    value: Any = None
    failure: BaseException | None = None
    growth: int | None = None
    """By how much the process grew in the latest load that nothing else disturbed."""
    worker: Worker | None = None
    is_up: bool = False
    """Whether the worker is expected to live."""
    highest: int = 0
    """The most bytes that the worker was told to have held."""
    reloads: int = 0
    """Loads that the scheduler did not ask for: in place of a worker that died."""
    moving: threading.Lock = field(default_factory=threading.Lock)
    """Held while the model comes up or goes down."""

    def stand(self, worker: Worker) -> None:
        """Take a worker that has loaded."""
        self.worker, self.value, self.highest = worker, Proxy(worker), 0

    def take_down_worker(self) -> BaseException | None:
        """End the worker, if there is one, and return once it is gone; gives what its `unload` raised."""
        worker, self.worker = self.worker, None  # the proxy stays: a late call to it tells that the worker is gone
        return worker.end(self.isolated.grace) if worker is not None and self.isolated is not None else None

    def growth_beyond(self, leases: int) -> int | None:
        """Give what the worker held at most, less the workspaces of `leases`, if that is more than was told before."""
        worker = self.worker
        held = worker.memory.read() if worker is not None else None
        if held is None:
            return None
        held -= self.workspace * leases
        if held <= self.highest:
            return None
        self.highest = held
        return held


def isolated(
    resident: Resident, isolation: str, load_timeout: float | None, grace: float, memory_limit: ByteCount | None
) -> Isolated | None:
    """Give how `resident` is run in a process, or `None` for a thread. Raises `ArgumentError` for what cannot be."""
    if isolation == "thread":
        for name, value in (("load_timeout", load_timeout), ("memory_limit", memory_limit)):
            if value is not None:
                raise _refused(name, "a thread cannot be stopped or bounded; it takes isolation='process'")
        return None
    if isolation != "process":
        raise _refused("isolation", f"{isolation!r} is neither 'thread' nor 'process'")
    if os.name != "posix":
        raise _refused("isolation", "worker processes need POSIX; here there is isolation='thread' only")
    if load_timeout is not None and not load_timeout > 0:
        raise _refused("load_timeout", f"{load_timeout!r} is no time to load in; give seconds above 0")
    if not 0 <= grace < math.inf:
        raise _refused("unload_grace", f"{grace!r} is no time to end in; give seconds from 0")
    limit = None if memory_limit is None else parse_bytes(memory_limit)
    return Isolated(Task.of(resident.load, resident.unload, resident.measure, limit), load_timeout, grace)


def _refused(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)


def watch(value: object) -> Callable[[], object]:
    """Give a function that tells whether `value` is still there; one that says no where that cannot be seen."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: None


def forget_locals(failure: BaseException) -> None:
    """Free what the functions in a failure's traceback still hold: its bytes are booked no longer."""
    seen: set[int] = set()
    link: BaseException | None = failure
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
