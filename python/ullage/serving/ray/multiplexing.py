"""`multiplexed`: many models in one replica of Ray Serve, by bytes, and none destroyed while a request uses it."""

import asyncio
import contextvars
import inspect
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, update_wrapper
from typing import Any, Self, TypeAlias, overload

from ullage._core import Footprint, Ledger, parse_bytes
from ullage._loops import home
from ullage._types import ByteCount
from ullage.errors import ArgumentError, LoadFailedError
from ullage.pool import AsyncLease, Pool
from ullage.serving.ray.spec import bytes_of, refused

__all__ = ["Multiplexed", "multiplexed"]

Size: TypeAlias = Footprint | ByteCount
Sizes: TypeAlias = Size | Mapping[str, Size] | Callable[[str], Size]
Loader: TypeAlias = Callable[..., Awaitable[Any]]

BYTES, MODELS = "host", "models"
USUAL_MODELS = 3
"""As many as `@serve.multiplexed` keeps, where nothing else is said."""
MOST_IDS = 100_000
"""Model ids that one replica remembers: they come from clients."""

log = logging.getLogger(__name__)


@overload
def multiplexed(func: Loader, /) -> "Multiplexed": ...
@overload
def multiplexed(
    func: None = None,
    max_num_models_per_replica: int | None = None,
    *,
    max_bytes: ByteCount | None = None,
    footprint: Sizes | None = None,
    workspace: ByteCount = 0,
    measure: Callable[[Any], int] | None = None,
    unload: Callable[[Any], Any] | None = None,
    policy: str = "value",
    timeout: float | None = None,
    **options: Any,  # noqa: ANN401 - as below
) -> "Callable[[Loader], Multiplexed]": ...
def multiplexed(
    func: Loader | None = None,
    max_num_models_per_replica: int | None = None,
    *,
    max_bytes: ByteCount | None = None,
    footprint: Sizes | None = None,
    workspace: ByteCount = 0,
    measure: Callable[[Any], int] | None = None,
    unload: Callable[[Any], Any] | None = None,
    policy: str = "value",
    timeout: float | None = None,
    **options: Any,
) -> "Multiplexed | Callable[[Loader], Multiplexed]":
    """Stand in for `@serve.multiplexed` on a replica's loader: `model = await self.get_model(model_id)`.

    The models of a replica take at most `max_bytes`, and are at most `max_num_models_per_replica`; one of the two, or
    both; three models where neither is said. `footprint` says what a model takes: bytes, a dictionary by model id, or a
    function of it. `measure` tells what a model that was loaded really takes; `workspace` is booked for each request on
    top.

    A model is borrowed from the first call for it until the request's task ends, a streamed answer included. One that
    is sent away makes room only once nobody holds its object any more; its `__del__` runs then, by Python's own rules,
    and never before. `unload` is called when it is sent away. Which goes is the `policy`'s to say. Loads of different
    models run at once; a load that fails sends nobody away for good, and raises what the loader raised.

    Waiting for room ends after `timeout` seconds in `LeaseTimeoutError`; a model that can never fit raises
    `BudgetExceeded`. Other `options` are those of `ullage.Pool`. The ids of what is loaded or on its way are reported
    to Serve's router as its own decorator does. Raises `ArgumentError` for options that make no sense, and `TypeError`
    as Serve does for what is no coroutine function of one model id.
    """
    if max_bytes is not None and footprint is None:
        raise refused("footprint", "by bytes, it has to be said how many a model takes")
    count: object = max_num_models_per_replica
    is_count = isinstance(count, int) and not isinstance(count, bool) and (count > 0 or count == -1)
    if count is not None and not is_count:
        raise refused("max_num_models_per_replica", f"{max_num_models_per_replica!r} is neither a count nor -1")
    if max_bytes is None and max_num_models_per_replica is None:
        max_num_models_per_replica = USUAL_MODELS
    budget = _Budget(
        None if max_bytes is None else parse_bytes(max_bytes),
        max_num_models_per_replica,
        footprint,
        parse_bytes(workspace),
    )
    make: Callable[[Loader], Multiplexed] = partial(
        Multiplexed,
        budget=budget,
        measure=measure,
        unload=unload,
        timeout=timeout,
        options={"policy": policy, **options},
    )
    return make if func is None else make(func)


class _Budget:
    """How much the models of one replica may take, and what each does."""

    def __init__(self, most_bytes: int | None, most_models: int | None, sizes: Sizes | None, workspace: int) -> None:
        self._most_bytes = most_bytes
        self._most_models = most_models
        self._sizes = sizes
        self.workspace = 0 if most_bytes is None else workspace

    def ledgers(self) -> dict[str, Ledger]:
        """Make the memories that the models stand in: one of bytes, one of places for so many models."""
        found = {}
        if self._most_bytes is not None:
            found[BYTES] = Ledger(self._most_bytes)
        if self._most_models is not None:
            found[MODELS] = Ledger(None if self._most_models == -1 else self._most_models)
        return found

    def of(self, model_id: str) -> dict[str, int]:
        """Give what a model takes. Raises `ArgumentError` for an id of which nobody says it, and `QuantityError`."""
        found: dict[str, int] = {}
        if self._most_bytes is not None:
            found[BYTES] = self._bytes(model_id)
        if self._most_models is not None:
            found[MODELS] = 1
        return found

    def _bytes(self, model_id: str) -> int:
        sizes = self._sizes
        if isinstance(sizes, Mapping):
            if model_id not in sizes:
                raise refused("footprint", f"it says nothing of model {model_id!r}")
            return bytes_of(sizes[model_id])
        if callable(sizes):
            return bytes_of(sizes(model_id))
        assert sizes is not None  # noqa: S101 - seen to by `multiplexed`
        return bytes_of(sizes)


class Multiplexed:
    """A loader whose models are kept in a pool: called with a model id, it gives the model.

    As a method of a deployment's class it has one pool for each instance, made with the first call.
    """

    __name__: str
    _serve_multiplexed_function = True  # Serve looks for this on the attributes of a deployment's class

    def __init__(
        self,
        func: Loader,
        owner: object = None,
        *,
        budget: _Budget,
        measure: Callable[[Any], int] | None,
        unload: Callable[[Any], Any] | None,
        timeout: float | None,
        options: Mapping[str, Any],
    ) -> None:
        """Made by `multiplexed`. Raises `TypeError` for what is no coroutine function of one model id."""
        if not inspect.iscoroutinefunction(func):
            raise TypeError("@multiplexed takes async functions and methods only")
        if len(inspect.signature(func).parameters) not in {1, 2}:
            raise TypeError("@multiplexed takes functions and methods with one argument, 'model_id: str'")
        update_wrapper(self, func)
        self._serve_multiplexed_function = True
        self._func = func
        self._owner = owner
        self._how: dict[str, Any] = {
            "budget": budget,
            "measure": measure,
            "unload": unload,
            "timeout": timeout,
            "options": dict(options),
        }
        self._shelf: _Shelf | None = None

    def __get__(self, owner: object, kind: type | None = None) -> Self:
        """Give the one of an instance."""
        if owner is None:
            return self
        name = f"_ullage_{self._func.__name__}"
        found = vars(owner).get(name)
        if found is None:
            found = type(self)(self._func, owner, **self._how)
            setattr(owner, name, found)
        bound: Self = found
        return bound

    async def __call__(self, model_id: str) -> Any:  # noqa: ANN401 - whatever the loader makes
        """Give a model, loaded if it is not there, and borrowed until the caller's task ends.

        Raises what the loader raises, `LeaseTimeoutError`, `BudgetExceeded`; `TypeError` and `ValueError` for what is
        no model id.
        """
        return await self._begun().take(model_id)

    def lease(self, model_id: str) -> AsyncLease:
        """Borrow a model for the time of an `async with` block instead. Raises what `ullage.Pool.lease` raises."""
        return self._begun().lease(model_id)

    @property
    def pool(self) -> Pool:
        """The pool with the models: its status, plans and events."""
        return self._begun().pool

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in `Pool.aclose`
        """Refuse what waits, let requests end, and unload every model.

        Raises `LeaseTimeoutError` if something is in use after `timeout` seconds; closing again goes on waiting.
        """
        shelf = self._shelf
        if shelf is not None:
            await shelf.pool.aclose(timeout)
            self._shelf = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel without models: a deployment is sent to its replicas before it has any."""
        return {**self.__dict__, "_shelf": None}

    def _begun(self) -> "_Shelf":
        if self._shelf is None:
            func = self._func if self._owner is None else partial(self._func, self._owner)
            self._shelf = _Shelf(func, **self._how)
        return self._shelf


class _Shelf:
    """The models of one replica."""

    def __init__(
        self,
        func: Loader,
        *,
        budget: _Budget,
        measure: Callable[[Any], int] | None,
        unload: Callable[[Any], Any] | None,
        timeout: float | None,
        options: Mapping[str, Any],
    ) -> None:
        self._func = func
        self._budget = budget
        self._measure = measure
        self._unload = unload
        self._timeout = timeout
        self.pool = Pool(domains=budget.ledgers(), **options)
        self._known: set[str] = set()
        self._held: weakref.WeakKeyDictionary[asyncio.Task[Any], dict[str, tuple[AsyncLease, Any]]]
        self._held = weakref.WeakKeyDictionary()
        self._waiting: dict[str, dict[object, contextvars.Context]] = {}
        """Contexts of the requests that wait for a model, the first one first."""
        self._asked: dict[str, contextvars.Context] = {}
        """The context in which a lease of a model was made last, for loads that nobody else waits for."""
        self._ending: set[asyncio.Task[None]] = set()
        self._report = _Report()

    async def take(self, model_id: str) -> Any:  # noqa: ANN401 - whatever the loader makes
        """Give a model until the caller's task ends."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        held = self._held.get(task)
        if held is not None and model_id in held:
            return held[model_id][1]
        lease = self._lease(model_id)
        waiting = self._waiting.setdefault(model_id, {})
        waiting[lease] = contextvars.copy_context()
        try:
            model = await lease.__aenter__()
        except LoadFailedError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None
        finally:
            del waiting[lease]
            if not waiting:
                self._waiting.pop(model_id, None)
        if held is None:
            held = self._held[task] = {}
            task.add_done_callback(self._give_back)
        held[model_id] = (lease, model)
        return model

    def lease(self, model_id: str) -> AsyncLease:
        """Give a lease of a model. Raises `TypeError` and `ValueError` for what is no model id."""
        lease = self._lease(model_id)
        self._asked[model_id] = contextvars.copy_context()
        return lease

    def _lease(self, model_id: str) -> AsyncLease:
        """Give a lease of a model, which the pool hears of here if it has not yet."""
        if not isinstance(model_id, str):
            raise TypeError("The model ID must be a string.")
        if not model_id:
            raise ValueError("The model ID cannot be empty.")
        self.pool._driver.mover.loop = home()  # noqa: SLF001 - loaders run where they are called
        if model_id not in self._known:
            self._register(model_id)
        return self.pool.lease(model_id, timeout=self._timeout)

    def _register(self, model_id: str) -> None:
        if len(self._known) >= MOST_IDS:
            raise ArgumentError(f"model_id: {MOST_IDS} model ids are known already", name="model_id", reason="too many")
        measure = self._measure
        size = self._budget.of(model_id)
        self.pool.register(
            model_id,
            load=partial(self._load, model_id),
            unload=partial(self._leave, model_id),
            measure=None if measure is None else lambda model: {BYTES: measure(model)} if BYTES in size else {},
            footprint=size,
            workspace={BYTES: self._budget.workspace} if BYTES in size else 0,
            retries=0,
        )
        self._known.add(model_id)

    async def _load(self, model_id: str) -> Any:  # noqa: ANN401 - whatever the loader makes
        """Load in the context of the request that asked first, as Serve does: loaders read the request's model id."""
        self._report.add(model_id)
        asked = self._asked.pop(model_id, None)
        context = next(iter(self._waiting.get(model_id, {}).values()), asked)
        try:
            return await asyncio.get_running_loop().create_task(self._load_here(model_id), context=context)
        except BaseException:
            self._report.discard(model_id)
            raise

    async def _load_here(self, model_id: str) -> Any:  # noqa: ANN401 - as above
        return await self._func(model_id)

    def _leave(self, model_id: str, model: object) -> Any:  # noqa: ANN401 - a coroutine, perhaps
        self._report.discard(model_id)
        return None if self._unload is None else self._unload(model)

    def _give_back(self, task: "asyncio.Task[Any]") -> None:
        """End what a task borrowed, now that it is done."""
        for lease, _ in (self._held.pop(task, None) or {}).values():
            ending = asyncio.get_running_loop().create_task(lease.__aexit__(None, None, None))
            self._ending.add(ending)  # the loop itself keeps no task alive
            ending.add_done_callback(self._ending.discard)


class _Report:
    """Tells Serve's router which models a replica has, so that requests for them come here."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._is_due = False
        self._is_possible = True

    def add(self, model_id: str) -> None:
        """Report a model that is on its way."""
        with self._lock:
            self._ids.add(model_id)
        self._soon()

    def discard(self, model_id: str) -> None:
        """Report that a model is gone."""
        with self._lock:
            self._ids.discard(model_id)
        self._soon()

    def _soon(self) -> None:
        with self._lock:
            if self._is_due or not self._is_possible:
                return
            self._is_due = True
        threading.Thread(target=self._push, name="ullage-report", daemon=True).start()

    def _push(self) -> None:
        """Tell the controller. There is no public way: where Serve's own has changed, requests come by load alone."""
        with self._lock:
            self._is_due = False
            ids = sorted(self._ids)
        try:
            from ray import serve  # noqa: PLC0415 - slow, and of no use elsewhere
            from ray.serve._private.common import RequestRoutingInfo  # noqa: PLC0415
            from ray.serve.context import _get_global_client  # noqa: PLC0415
            from ray.serve.exceptions import RayServeException  # noqa: PLC0415
        except ImportError:
            self._is_possible = False
            log.warning("Ray Serve does not take reports of model ids any more: requests are routed without them")
            return
        try:
            replica = serve.get_replica_context().replica_id
        except RayServeException:  # no replica: called elsewhere, as in a test
            self._is_possible = False
            return
        try:
            info = RequestRoutingInfo(replica_id=replica, multiplexed_model_ids=ids)
            _get_global_client().record_request_routing_info(info)
        except Exception:  # a request shall not fail for it
            log.warning("the models of replica %s could not be reported", replica, exc_info=True)
