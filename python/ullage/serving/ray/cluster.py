"""A cluster: models over the nodes of Ray, lent to any process of it."""

import asyncio
import itertools
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.client import ray as client

from ullage._core import Footprint, parse_bytes
from ullage._types import ByteCount
from ullage.errors import PoolClosedError, UllageError
from ullage.serving.ray.hosting import identity
from ullage.serving.ray.lease import AsyncClusterLease, ClusterLease
from ullage.serving.ray.membership import Budget
from ullage.serving.ray.scheduler import Options, Scheduler
from ullage.serving.ray.session import Asked, Client, Grant
from ullage.serving.ray.spec import HOST, Spec, divided, needs_of, refused
from ullage.serving.snapshot import Snapshot

__all__ = ["Cluster", "ClusterObserver"]

HEAD = "node:__internal_head__"
"""The resource that only the head node has: the scheduler lives and dies with it, as Ray itself does."""
MOST_CALLS = 100_000
"""Calls of the scheduler under way at once. Those that wait for a model are bounded by `most_waiting`."""
MOST_RESTARTS = 20
"""How often the scheduler's process is started again: one that dies of what it is asked to do has to end some time."""
PROCESS = "process"


class Cluster:
    """Keeps models in the memory of a Ray cluster's nodes, and lends their actors out.

    One actor decides for all nodes. It books a model's bytes in the ledger of the node before its actor is created
    there, and until that actor's process was seen to be gone. A cluster can be sent to any process of the Ray cluster.
    """

    def __init__(self, scheduler: Any, name: str, namespace: str) -> None:  # noqa: ANN401 - an actor's handle
        """Made by `start` and `connect`."""
        self._scheduler = scheduler
        self._name = name
        self._namespace = namespace
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._session: str | None = None
        self._owner = 0
        self._handles: dict[str, tuple[int | None, list[Any]]] = {}

    @classmethod
    def start(
        cls,
        *,
        name: str = "ullage",
        namespace: str = "ullage",
        budget: Budget = None,
        policy: str = "value",
        reserve: bool = True,
        guard: bool = False,
        most_moves: int = 2,
        most_waiting: int = 10_000,
        detached: bool = False,
        **options: Any,  # noqa: ANN401 - the pool's
    ) -> Self:
        """Start the scheduler on the head node, and an agent on every node; returns once each has said what it has.

        `budget` is what may be given out of each node: bytes of its host memory; bytes by memory (`{"host": "20GB",
        "gpu": "10GB"}`); or a function that gives either for a node, described by `node`, `node_id`, `hostname`,
        `resources`, `labels`, `host` and `gpus` in bytes. Without one it is what the node can still give and Ray has
        tokens of, and what the drivers of GPUs leave. With `reserve` the agents hold Ray's resource `memory` for it, so
        that Ray places nothing else there that asks for `memory=`. With a `guard` the agents look four times a second
        what the nodes really use, and the pool gives memory back before it runs out.

        A node that joins is used at once, and at most `most_moves` idle models are moved for that. At most
        `most_waiting` requests wait. The scheduler ends with the job that started it unless it is `detached`. `policy`
        and other `options` are those of `ullage.Pool`.

        A scheduler whose process dies is started again, up to twenty times: what is registered stays so, who waits goes
        on waiting, and what was loaded is ended and comes back.

        Raises `ArgumentError` for a name in use and where no node has memory to give out.
        """
        given = Options(
            title=f"{namespace}\0{name}",
            budget=budget,
            reserve=reserve,
            policy=policy,
            guard=guard,
            most_moves=most_moves,
            most_waiting=most_waiting,
            pool=options,
        )
        actor = ray.remote(Scheduler).options(
            name=name,
            namespace=namespace,
            lifetime="detached" if detached else None,
            num_cpus=0,
            resources={HEAD: 0.001},
            max_concurrency=MOST_CALLS,
            max_restarts=MOST_RESTARTS,
            max_task_retries=-1,
        )
        try:
            scheduler = actor.remote(given)
        except ValueError as error:  # Ray's word for it
            raise refused("name", f"there is an actor {name!r} in namespace {namespace!r} already") from error
        cluster = cls(scheduler, name, namespace)
        try:
            cluster._get(scheduler.begin.remote())
        except BaseException:
            ray.kill(scheduler)
            raise
        return cluster

    @classmethod
    def connect(cls, name: str = "ullage", *, namespace: str = "ullage") -> Self:
        """Find a cluster that was started. Raises `PoolClosedError` where there is none of that name."""
        try:
            scheduler = ray.get_actor(name, namespace)
        except ValueError as error:
            raise PoolClosedError(f"there is no cluster {name!r} in namespace {namespace!r}") from error
        return cls(scheduler, name, namespace)

    def register(
        self,
        name: str,
        model: Callable[..., Any],
        *,
        footprint: Footprint | ByteCount | Mapping[str, Footprint | ByteCount],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        on: str = HOST,
        shards: int | Sequence[Footprint | ByteCount] | None = None,
        replicas: int = 1,
        workspace: ByteCount = 0,
        pinned: bool = False,
        max_concurrency: int | None = None,
        retries: int = 2,
        load_time: float | None = None,
        load_timeout: float | None = None,
        unload: str | None = None,
        unload_grace: float = 5.0,
        measure: Callable[[Any], int] | str | None = PROCESS,
        memory_limit: ByteCount | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a model, cold. It is loaded when it is first asked for, where the packer would have it.

        `model` is a class, whose actor is made with `args` and `kwargs`, or a function that makes any object; leases
        then give an actor that has one method, `call(method, ...)`, where `None` calls the object itself. `footprint`
        is what it takes of one node's host memory, with `on="gpu"` of one GPU; or both, `{"gpu": ..., "host": ...}`.
        It is booked, with `workspace` for each lease on top, before the actor is created. What the processes hold is
        measured then (PSS, interpreter included) and booked if it is more; `measure` is a function that is asked
        instead, in the model's process, or `None`.

        A model that is larger than any node is divided into `shards`: their number, or the size of each. Every shard
        is an actor, on a memory of its own; its constructor gets `shard`, a `Shard`, and leases give the list of
        handles. At most `replicas` instances are up at once, on different memories: one more is loaded when those that
        are up have `max_concurrency` leases each, and its memory is free.

        `unload` names a method that is called before the process is ended, for at most `unload_grace` seconds;
        `memory_limit` bounds the address space of the process. `options` are Ray's for the actor, such as
        `runtime_env`. `pinned`, `retries`, `load_time` and `load_timeout` are as for `ullage.Pool.register`.

        Raises `ArgumentError` for a name in use, a class that is an actor's already, and where no node has such memory;
        `QuantityError`, `BudgetExceeded` for pins that cannot be in memory together.
        """
        given: object = model
        if not callable(given) or isinstance(given, ray.actor.ActorClass):
            raise refused("model", "give a class or function without @ray.remote; its options are `options`")
        if replicas != 1 and shards is not None:
            raise refused("replicas", "a model that is divided has one instance")
        if not (callable(measure) or measure in {None, PROCESS}):
            raise refused("measure", f"{measure!r} is neither a function, 'process' nor None")
        spec = Spec(
            name=name,
            model=model,
            arguments=tuple(args),
            named=dict(kwargs or {}),
            needs=divided(needs_of(footprint, on), shards),
            is_sharded=shards is not None,
            instances=replicas,
            workspace=parse_bytes(workspace),
            pinned=pinned,
            max_concurrency=max_concurrency,
            retries=retries,
            load_time=load_time,
            load_timeout=load_timeout,
            grace=unload_grace,
            unload=unload,
            measure=measure,
            memory_limit=None if memory_limit is None else parse_bytes(memory_limit),
            options=dict(options or {}),
        )
        self._call("register", spec)

    def lease(
        self, name: str, *, timeout: float | None = None, priority: int = 0, workspace: ByteCount | None = None
    ) -> AsyncClusterLease:
        """Borrow a model: `async with cluster.lease("llama") as model: await model.generate.remote(...)`.

        Entering raises what `ullage.Pool.lease` raises, `QueueFullError`, and `PoolClosedError` where the scheduler is
        gone for good. If an actor of the model dies meanwhile, its calls raise Ray's `ActorDiedError`, and the block
        that fails with it `LeaseLostError`. A lease ends with the process that holds it, whatever becomes of that.
        """
        return AsyncClusterLease(self, name, timeout, priority, None if workspace is None else parse_bytes(workspace))

    def lease_sync(
        self, name: str, *, timeout: float | None = None, priority: int = 0, workspace: ByteCount | None = None
    ) -> ClusterLease:
        """Borrow a model from a thread: `with cluster.lease_sync("llama") as model: ...`. Raises as `lease` does."""
        return ClusterLease(self, name, timeout, priority, None if workspace is None else parse_bytes(workspace))

    def prefetch(self, name: str) -> bool:
        """See that a model is loaded soon if that costs nobody anything. Raises `UnknownModelError`."""
        return bool(self._call("prefetch", name))

    def pin(self, name: str) -> None:
        """Have a model stay once it is loaded. Raises `UnknownModelError`, `BudgetExceeded`."""
        self._call("pin", name, is_pinned=True)

    def unpin(self, name: str) -> None:
        """Let a model go like any other. Raises `UnknownModelError`."""
        self._call("pin", name, is_pinned=False)

    def plan(self, name: str, *, workspace: ByteCount | None = None) -> dict[str, Any]:
        """Give what a request for a model would meet now, as `ullage.Pool.plan` does. Raises `UnknownModelError`."""
        found: dict[str, Any] = self._call("plan", name, None if workspace is None else parse_bytes(workspace))
        return found

    def status(self) -> list[dict[str, Any]]:
        """Give every model as `ullage.Pool.status` does, with the `nodes` that it stands on."""
        found: list[dict[str, Any]] = self._call("status")
        return found

    def nodes(self) -> list[dict[str, Any]]:
        """Give every node: `node`, `node_id`, `hostname`, `state` (`joining`, `up`, `draining`, `gone`), `ray_memory`
        (Ray's tokens held) and `domains`, each memory's `limit`, `booked` and `peak`.
        """  # noqa: D205 - one sentence
        found: list[dict[str, Any]] = self._call("nodes")
        return found

    def events(self, last: int | None = None) -> list[dict[str, Any]]:
        """Give the latest events, oldest first, as `ullage.Pool.events` does."""
        found: list[dict[str, Any]] = self._call("events", last)
        return found

    def snapshot(self, last: int = 100) -> dict[str, Any]:
        """Give accounts, models, nodes, counts and the `last` events as data, as `/ullage/status` has them."""
        found: dict[str, Any] = self._call("snapshot", last)
        return found

    @property
    def observer(self) -> "ClusterObserver":
        """What the metrics of the cluster's pool are read from: `PoolCollector(cluster.observer)`."""
        return ClusterObserver(self)

    def drain_node(self, node: str, timeout: float | None = None) -> None:
        """Load nothing more on a node, and wait until nothing stands there; its models come back elsewhere.

        `node` is a node's name or the beginning of its id. Models in use go when their leases end. Raises
        `ArgumentError` for a node that there is not, `TimeoutError` if something stands there after `timeout` seconds.
        """
        self._call("drain", node, timeout)

    def rebalance(self, most_moves: int | None = None) -> list[dict[str, Any]]:
        """Load what is cold and was used lately into free memory, moving at most so many idle models to make it fit.

        Gives what was done: `model`, `leaves` (the node it left, or `None`) and `to` (the node that was planned). It is
        done by itself when a node joins.
        """
        found: list[dict[str, Any]] = self._call("rebalance", most_moves)
        return found

    def close(self, timeout: float | None = None) -> None:
        """Refuse what waits, let leases end, end every actor, and the scheduler.

        Raises `LeaseTimeoutError` if something is in use after `timeout` seconds; closing again goes on waiting.
        """
        self._check()
        self._get(self._scheduler.end.remote(timeout))
        ray.kill(self._scheduler, no_restart=True)

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in `close`
        """Close without blocking the event loop."""
        await asyncio.to_thread(self.close, timeout)

    def __enter__(self) -> Self:
        """Give the cluster itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Give the cluster itself."""
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close without blocking the event loop."""
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes of the cluster: there it is the same one, with a session of its own."""
        return type(self), (self._scheduler, self._name, self._namespace)

    def __repr__(self) -> str:
        """Say which one it is."""
        return f"<Cluster {self._name!r} in namespace {self._namespace!r}>"

    # What leases use.

    def _ask(self, name: str, timeout: float | None, priority: int, workspace: int | None) -> Asked:
        """Ask for a model."""
        self._check()
        session = self._begun()
        number = next(self._numbers)
        known, handles = self._handles.get(name, (None, []))
        answer = self._scheduler.lease.remote(session, number, name, known, (timeout, priority, workspace))
        return Asked(session, number, answer, handles)

    def _learn(self, name: str, grant: Grant, known: list[Any]) -> list[Any]:
        """Give the handles of a lease, and remember them for the next."""
        if grant.handles is None:
            return known
        self._handles[name] = (grant.serial, grant.handles)
        return grant.handles

    def _release(self, asked: Asked) -> None:
        self._scheduler.release.remote(asked.session, asked.number)

    @property
    def _has_begun(self) -> bool:
        return self._session is not None and self._owner == os.getpid()

    def _begin_again(self, session: str) -> None:
        """Take in that the scheduler knows nothing of a session: it had to be started again."""
        with self._lock:
            if self._session == session:
                self._session = None

    def _begun(self) -> str:
        """Give this process's session, begun with the first lease."""
        session = self._session
        if session is None or self._owner != os.getpid():
            with self._lock:
                session = self._session
                if session is None or self._owner != os.getpid():
                    if client.is_connected():
                        raise refused("client", "leases end with their process, which Ray Client hides: submit a job")
                    session = uuid.uuid4().hex
                    node_id = ray.get_runtime_context().get_node_id()
                    self._call("open", Client(session, node_id, identity()))
                    self._session, self._owner = session, os.getpid()
        return session

    def _suspect(self, serial: int) -> Any:  # noqa: ANN401 - an answer to come
        """Have the scheduler see for itself whether a model is gone."""
        return self._scheduler.suspect.remote(serial)

    def _check(self) -> None:
        """Refuse to ask where this process has left Ray: asking would start another Ray. Raises `PoolClosedError`."""
        if not ray.is_initialized():
            raise PoolClosedError("this process is not connected to Ray")

    def _gone(self) -> PoolClosedError:
        """Give what is raised where the scheduler is gone and does not come back."""
        return PoolClosedError(f"the scheduler of cluster {self._name!r} is gone: connect to one that is started anew")

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - of any method
        """Ask the scheduler; what it raises is raised as it was there."""
        self._check()
        return self._get(self._scheduler.ask.remote(method, *arguments, **named))

    def _get(self, answer: Any) -> Any:  # noqa: ANN401 - of any method
        try:
            return ray.get(answer)
        except RayTaskError as error:
            cause: object = error.cause
            if isinstance(cause, (UllageError, TimeoutError)):
                raise cause from None
            raise
        except RayActorError as error:
            raise self._gone() from error


class ClusterObserver:
    """Snapshots of a cluster's pool, taken by its scheduler, which counts all the time."""

    def __init__(self, cluster: Cluster) -> None:
        """Made by `Cluster.observer`."""
        self._cluster = cluster

    @property
    def is_alive(self) -> bool:
        """Whether this process can ask; whether the scheduler is there shows then."""
        return bool(ray.is_initialized())

    def snapshot(self) -> Snapshot:
        """Ask. Raises `PoolClosedError` where the cluster is gone."""
        found: Snapshot = self._cluster._call("observed")  # noqa: SLF001 - its other half
        return found
