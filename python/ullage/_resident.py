"""What the pool's body knows of one model, and how the model comes up and goes down."""

import math
import os
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ullage._core import parse_bytes
from ullage._types import ByteCount
from ullage.errors import ArgumentError
from ullage.isolation.proxy import Proxy
from ullage.isolation.task import Task
from ullage.isolation.worker import Worker

if TYPE_CHECKING:
    from ullage.pooling.places import Place, Size
    from ullage.pooling.tier import Tier

__all__ = ["Instance", "Isolated", "Resident", "forget_locals", "isolated", "survivors"]

HOST: Final = "host"
"""What the domain is called that processes are measured in."""


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
        worker = Worker(name, self.task, on_end, self.load_timeout)
        said = worker.load(self.load_timeout)
        return worker, worker.memory.read() if said is None else said


@dataclass(slots=True)
class Resident:
    """What was registered of one model."""

    name: str
    unload: Callable[[Any], Any] | None
    measure: Callable[[Any], Any] | None
    workspace: int
    """What each lease books, unless it says otherwise."""
    predict: Callable[[int, int], ByteCount] | None = None
    """Gives the workspace of a lease with a context and batch."""
    tier: "Tier | None" = None
    tier_bytes: int = 0
    """The most that its compressed form may take."""
    failure: BaseException | None = None
    instances: "list[Instance]" = field(default_factory=list)
    """One for each of its places."""
    stand: "Callable[[int, Place], Instance] | None" = None
    """Makes the instance of one more place, where it was registered with places."""
    size: "Size | None" = None
    plain: ByteCount | Mapping[str, ByteCount] = 0
    """Size and workspace, as they were registered."""

    def place_of(self, place: str | Mapping[str, ByteCount], domains: Iterable[str]) -> "Place":
        """Give one more place in bytes of `domains`. Raises `QuantityError`, `ArgumentError`."""
        from ullage.pooling.places import places_of  # noqa: PLC0415 - it knows models

        return places_of(self.size, [place], self.plain, domains)[1][0]


@dataclass(slots=True, eq=False)
class Instance:
    """A model at one of its places."""

    resident: Resident
    place: int
    """The number of the place."""
    load: Callable[[], Any]
    domains: tuple[str, ...]
    """The memory domains it books on, that with the most of its weights first."""
    isolated: Isolated | None = None
    value: Any = None
    compressed: int | None = None
    """Bytes of the compressed form, while the model is in it."""
    growth: int | None = None
    """By how much the process grew in the latest load that nothing else disturbed."""
    worker: Worker | None = None
    is_up: bool = False
    """Whether the worker is expected to live."""
    highest: int = 0
    """The most bytes that the worker was told to have held."""
    moving: threading.Lock = field(default_factory=threading.Lock)
    """Held while the model comes up or goes down."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.resident.name

    def of_home(self, size: int) -> dict[str, int]:
        """Give `size` as bytes of the domain that has the most of the model."""
        return {self.domains[0]: size}

    def of_host(self, size: int | None) -> dict[str, int] | None:
        """Give what a process holds as bytes of the domain it is in, if the model books there."""
        if size is None:
            return None
        if len(self.domains) == 1:
            return {self.domains[0]: size}
        return {HOST: size} if HOST in self.domains else None

    def measured(self, said: object) -> dict[str, int]:
        """Read what `measure` said: bytes, or bytes by domain. Raises `QuantityError`, `ArgumentError`."""
        if not isinstance(said, Mapping):
            return self.of_home(parse_bytes(said))  # type: ignore[arg-type] # whatever it gave is judged there
        unknown = [domain for domain in said if domain not in self.domains]
        if unknown:
            raise _refused("measure", f"{self.name} books nothing on {unknown[0]!r}")
        return {domain: parse_bytes(size) for domain, size in said.items()}

    def demote(self) -> tuple[int, list[Any]]:
        """Compress the model where it is; gives the bytes that it takes now, and what it has let go here."""
        from ullage.pooling import tier as tiers  # noqa: PLC0415 - NumPy is not for everybody

        tier = self.tier
        if self.worker is None:
            size, arrays = tiers.demote(self.value, tier)
        else:
            size, arrays = self.worker.apply(tiers.demote_there, tier), []
            self.worker.memory.begin()
            held = self.worker.memory.read()
            self.highest, size = 0, size if held is None else held
        most = self.resident.tier_bytes
        if size > most:
            arrays.clear()
            self.promote()
            reason = f"takes {size} bytes, where {most} were expected"
            raise ArgumentError(
                f"tier_bytes: the compressed form of {self.name} {reason}", name="tier_bytes", reason=reason
            )
        return size, arrays

    def promote(self) -> None:
        """Make the model whole again."""
        from ullage.pooling import tier as tiers  # noqa: PLC0415 - as above

        if self.worker is None:
            tiers.promote(self.value, self.tier)
        else:
            self.worker.apply(tiers.promote, self.tier)
            self.worker.memory.begin()
            self.highest = self.worker.memory.read() or 0
        self.compressed = None

    @property
    def tier(self) -> "Tier":
        """How it is compressed: the scheduler has that done only with what was registered so."""
        assert self.resident.tier is not None  # noqa: S101 - see above
        return self.resident.tier

    def stand(self, worker: Worker) -> None:
        """Take a worker that has loaded."""
        self.worker, self.value, self.highest = worker, Proxy(worker), 0

    def take_down_worker(self) -> BaseException | None:
        """End the worker, if there is one, and return once it is gone; gives what its `unload` raised."""
        worker, self.worker = self.worker, None  # the proxy stays: a late call to it tells that the worker is gone
        return worker.end(self.isolated.grace) if worker is not None and self.isolated is not None else None

    def lease_begins(self, request: int, workspace: int | None) -> None:
        """Note that a lease of a worker begins."""
        worker = self.worker
        if worker is not None:
            worker.memory.lease_begins(request, self.resident.workspace if workspace is None else workspace)


def isolated(
    load: Callable[[], Any],
    resident: Resident,
    isolation: str,
    *,
    load_timeout: float | None,
    grace: float,
    memory_limit: ByteCount | None,
    preload: Sequence[str] = (),
) -> Isolated | None:
    """Give how `resident` is run in a process, or `None` for a thread. Raises `ArgumentError` for what cannot be."""
    if isolation == "thread":
        for name, value in (("load_timeout", load_timeout), ("memory_limit", memory_limit)):
            if value is not None:
                raise _refused(name, "a thread cannot be stopped or bounded; it takes isolation='process'")
        if preload:
            raise _refused("preload", "it is for worker processes: it takes isolation='process'")
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
    task = Task.of(load, resident.unload, resident.measure, limit, _modules(preload))
    return Isolated(task, load_timeout, grace)


def _modules(preload: Sequence[str]) -> tuple[str, ...]:
    """Give the names of modules, in order. Raises `ArgumentError` for what is none."""
    given: object = preload
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise _refused("preload", f"{preload!r} is no list of modules")
    for name in given:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise _refused("preload", f"{name!r} is no name of a module")
    return tuple(given)


def _refused(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)


def survivors(values: list[Any]) -> "list[weakref.ref[Any]]":
    """Empty `values`; gives weak references to those that live on, as far as that can be seen."""
    refs = list(_references(values))
    values.clear()
    return [ref for ref in refs if ref() is not None]


def _references(values: Iterable[object]) -> "Iterable[weakref.ref[Any]]":
    for value in values:
        try:
            yield weakref.ref(value)
        except TypeError:  # such as a number: its end cannot be seen
            continue


def forget_locals(failure: BaseException) -> None:
    """Free what the functions in a failure's traceback still hold: its bytes are booked no longer."""
    seen: set[int] = set()
    link: BaseException | None = failure
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
