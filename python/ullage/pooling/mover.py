"""The mover: loads and unloads models, and brings them into their compressed form and back, in worker threads."""

import asyncio
import contextlib
import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from ullage._resident import Instance, forget_locals, survivors
from ullage.errors import PoolClosedError, ProtocolError
from ullage.isolation.spawner import Keeper
from ullage.isolation.worker import Worker
from ullage.machine.growth import Growth
from ullage.pooling.journal import PLACED

if TYPE_CHECKING:
    from ullage._loops import Home
    from ullage.pooling.driver import Driver
    from ullage.pooling.need import Need

__all__ = ["Mover"]

WORKERS = 1 << 20
"""Moves under way at once: no bound but memory. A loader may wait for another model's load, which must not wait for
that loader's thread. Threads are made when none is idle."""

SIZED = (*PLACED, "bytes")
FAILED = (*PLACED, "error", "may_retry")
HOPELESS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    PoolClosedError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What a loader raises that is wrong, rather than out of luck: trying again would not help."""


class Mover:
    """Carries out what the scheduler wants done with models. It holds no driver, or a pool could not be dropped."""

    def __init__(self) -> None:
        """Have no thread yet."""
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="ullage-pool")
        self._growth = Growth()
        self._templates = Keeper()
        self.loop: Home | None = None
        """Where coroutines run, once the pool was entered on an event loop."""

    def move(self, driver: "Driver", kind: str, instance: Instance) -> None:
        """Have a move made."""
        self._threads.submit(self.MOVES[kind], self, driver, instance)

    def shutdown(self, *, wait: bool) -> None:
        """End the threads."""
        self._threads.shutdown(wait=wait)
        self._templates.let_go(wait=wait)

    # Up.

    def _load(self, driver: "Driver", instance: Instance) -> None:
        with instance.moving:
            try:
                size = self._bring_up(driver, instance)
            except BaseException as failure:  # noqa: BLE001 - whatever a loader raises ends its waiters' wait
                _tell_failed(driver, instance, failure)
                return
            _measured(driver, instance, size)
            _tell_up(driver, instance, "loaded", driver.brain.loaded)
        _check_up(driver, instance)

    def _bring_up(self, driver: "Driver", instance: Instance) -> dict[str, int] | None:
        """Make the model's object; gives what it was measured to take, if it was."""
        if instance.isolated is not None:
            self._templates.keep()
            worker, said = instance.isolated.bring_up(instance.name, partial(_ended, weakref.ref(driver), instance))
            instance.stand(worker)
            instance.highest = said or 0
            return instance.of_host(said)
        move = self._growth.begin(_uses(driver))
        try:
            instance.value = self._run(instance.load)
            size = self._measure(instance)
        except BaseException:
            self._growth.end(move, None)
            instance.value = None
            raise
        growth = self._growth.end(move, _uses(driver))
        instance.growth = instance.growth if growth is None else growth
        return size

    def _measure(self, instance: Instance) -> dict[str, int] | None:
        """Ask how much a model just loaded takes; one that cannot tell is taken down again."""
        resident = instance.resident
        if resident.measure is None:
            return None
        try:
            return instance.measured(resident.measure(instance.value))
        except BaseException:
            if resident.unload is not None:
                self._run(resident.unload, instance.value)
            raise

    # Down.

    def _unload(self, driver: "Driver", instance: Instance) -> None:
        with instance.moving:
            if instance.isolated is None:
                self._take_down(driver, instance)
                return
            failure = instance.take_down_worker()
            if failure is not None:
                instance.resident.failure = failure  # its process is gone all the same, and with it the memory
        driver.unloaded(instance)

    def _take_down(self, driver: "Driver", instance: Instance) -> None:
        move = self._growth.begin(None)
        value, instance.value, instance.compressed = instance.value, None, None
        try:
            unload = instance.resident.unload
            if unload is not None:
                self._run(unload, value)
        except BaseException as failure:  # noqa: BLE001 - whatever an unloader raises leaves the memory in doubt
            self._growth.end(move, None)
            instance.resident.failure = failure
            name, place = instance.name, instance.place
            driver.tell(
                "unload_failed", PLACED, (name, place), lambda now: driver.brain.unload_failed(now, name, place)
            )
            return
        values = [value]
        del value
        left = _gone(values)
        self._growth.end(move, None)
        # Somebody may still hold the object, and with it the memory: it stays booked until they let go.
        _when_gone(driver, left, partial(type(driver).unloaded, instance=instance))

    # Into the compressed form, and back.

    def _compress(self, driver: "Driver", instance: Instance) -> None:
        with instance.moving:
            try:
                size, weights = instance.demote()
            except BaseException as failure:  # noqa: BLE001 - the model is as it was
                instance.resident.failure = failure
                forget_locals(failure)
                name, place = instance.name, instance.place
                with _unless_lost(instance):
                    driver.tell(
                        "compress_failed",
                        PLACED,
                        (name, place),
                        lambda now: driver.brain.compress_failed(now, name, place),
                    )
                return
            instance.compressed = size
        # Who still holds an array holds its memory.
        _when_gone(driver, _gone(weights), partial(_compressed, instance=instance))

    def _promote(self, driver: "Driver", instance: Instance) -> None:
        with instance.moving:
            try:
                instance.promote()
            except BaseException as failure:  # noqa: BLE001 - as with a load
                with _unless_lost(instance):
                    _tell_failed(driver, instance, failure)
                return
            _tell_up(driver, instance, "promoted", driver.brain.promoted)
        _check_up(driver, instance)

    MOVES = {"load": _load, "unload": _unload, "compress": _compress, "promote": _promote, "drop": _unload}  # noqa: RUF012 - never changed
    """What is done for each kind of action."""

    # In use.

    def look(self, driver: "Driver", instance: Instance, request: int, need: "Need | None") -> None:
        """Book what a worker grew to in a lease that ends, and learn what the lease took while it lasted."""
        worker = instance.worker
        taken = None if worker is None else worker.memory.lease_ends(request)
        if taken is None:
            return
        held, passing = taken
        if passing is not None:
            held += driver.needs.see(need or driver.needs.plain(instance.name), passing)
        if held > instance.highest and instance.resident.measure is None and instance.is_up:
            instance.highest = held
            _measured(driver, instance, instance.of_host(held))

    def _run(self, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call a function; a coroutine that it gives is run on the pool's event loop, or on one of its own."""
        outcome = function(*arguments)
        if not inspect.iscoroutine(outcome):
            return outcome
        loop = self.loop
        if loop is not None and loop.is_running:
            return loop.run(outcome)
        return asyncio.run(outcome)


@contextlib.contextmanager
def _unless_lost(instance: Instance) -> Iterator[None]:
    """Let a worker that died in its move be: whoever saw it end has told the scheduler, or is about to."""
    try:
        yield
    except ProtocolError:
        if instance.isolated is None:
            raise


def _tell_up(driver: "Driver", instance: Instance, event: str, tell: Callable[[float, str, int], Any]) -> None:
    """Tell that a model is up; from now on a worker that ends is one that died."""
    name, place = instance.name, instance.place

    def up(now: float) -> Any:  # noqa: ANN401 - a list of actions
        instance.is_up = True
        return tell(now, name, place)

    driver.tell(event, PLACED, (name, place), up)


def _tell_failed(driver: "Driver", instance: Instance, failure: BaseException) -> None:
    instance.resident.failure = failure
    forget_locals(failure)
    name, place = instance.name, instance.place
    may_retry = isinstance(failure, Exception) and not isinstance(failure, HOPELESS)
    seen: dict[str, int] | None = {} if type(failure) is MemoryError else None
    driver.tell(
        "load_failed",
        FAILED,
        (name, place, type(failure).__name__, may_retry),
        lambda now: driver.brain.load_failed(now, name, place, seen, may_retry),
    )


def _measured(driver: "Driver", instance: Instance, size: dict[str, int] | None) -> None:
    if size:
        name, place = instance.name, instance.place
        driver.tell("measured", SIZED, (name, place, size), lambda now: driver.brain.measured(now, name, place, size))


def _compressed(driver: "Driver", instance: Instance) -> None:
    """Tell what the compressed form takes, now that the other is gone."""
    size = instance.of_home(instance.compressed or 0)
    name, place = instance.name, instance.place
    driver.tell("compressed", SIZED, (name, place, size), lambda now: driver.brain.compressed(now, name, place, size))


def _gone(values: list[Any]) -> list[Any]:
    """Let go of `values`; gives weak references to those that somebody else still holds."""
    left = survivors(values)
    if left:
        gc.collect()  # an object in a reference cycle would otherwise stay until the collector's next round
        left = [ref for ref in left if ref() is not None]
    return left


def _when_gone(driver: "Driver", left: list[Any], call: "Callable[[Driver], None]") -> None:
    """Call now if nothing is `left`, else once the last of it is gone."""
    remaining = [value for ref in left if (value := ref()) is not None]
    if not remaining:
        call(driver)
        return
    first = remaining.pop()
    rest = [weakref.ref(value) for value in remaining]
    with driver.lock:
        driver.heart.call_when_gone(first, partial(_when_gone, left=rest, call=call))


def _uses(driver: "Driver") -> int | None:
    """Give how many leases there have been, or `None` while there are any."""
    with driver.lock:
        return None if driver.leases else driver.granted


def _check_up(driver: "Driver", instance: Instance) -> None:
    """Notice a worker that died before it was expected to live."""
    worker = instance.worker
    if worker is not None and worker.gone.is_set():
        driver.worker_ended(instance, worker)


def _ended(ref: "weakref.ref[Driver]", instance: Instance, worker: Worker) -> None:
    """Tell a driver that a worker is gone, if there still is a driver."""
    driver = ref()
    if driver is not None:
        driver.worker_ended(instance, worker)
