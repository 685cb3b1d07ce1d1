"""The scheduler: one actor with the pool of a whole cluster.

Its pool's memory domains are those of the nodes (`0a1b2c3d4e5f/host`, `0a1b2c3d4e5f/gpu0`), each booked in its node's
own ledger. It creates the models' actors, ends them, and lends their handles to clients.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from ullage.errors import BudgetExceeded, PoolClosedError, QueueFullError, UllageError
from ullage.pool import Pool
from ullage.serving.ray.balance import Balance
from ullage.serving.ray.crew import Crew, Loaded
from ullage.serving.ray.hosting import Identity
from ullage.serving.ray.membership import Budget, Membership, Node
from ullage.serving.ray.predecessor import cleared
from ullage.serving.ray.records import Left, Records
from ullage.serving.ray.session import Client, Grant, Lent, Refusal, Session
from ullage.serving.ray.spec import Spec, refused
from ullage.serving.snapshot import Observer, Snapshot

if TYPE_CHECKING:
    from ullage._core import Reservation

__all__ = ["Options", "Scheduler"]

log = logging.getLogger(__name__)

SUSPECT_S = 5.0
"""How long a client's word that a model is gone is looked into."""
LOOK_S = 0.02
DRAINED_S = 0.1
"""How often it is looked whether a draining node is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a scheduler is set up; `Cluster.start` explains each."""

    title: str
    """Under which its records are kept."""
    budget: Budget = None
    reserve: bool = True
    policy: str = "value"
    guard: bool = False
    most_moves: int = 2
    most_waiting: int = 10_000
    pool: dict[str, Any] = field(default_factory=dict)
    """Options of `Pool`."""


class Scheduler:
    """The actor. What may wait is a coroutine on one event loop; the pool's own threads load and unload."""

    def __init__(self, options: Options) -> None:
        """Know no node yet; see `begin`."""
        self._options = options
        self._membership = Membership(options.budget, reserve=options.reserve)
        self._records = Records(options.title)
        self._crew = Crew(self._membership, self._records)
        self._specs: dict[str, Spec] = {}
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting = 0
        self._is_up = False
        self._coming_up = asyncio.Lock()
        self._kept: list[Reservation] = []
        self._pool: Pool | None = None
        self._balance: Balance | None = None
        self._observer: Observer | None = None

    # From its beginning to its end.

    async def begin(self) -> None:
        """Adopt the nodes that there are, and know no model. Raises `ArgumentError` where none has memory to give."""
        async with self._coming_up:
            if not self._is_up:
                _, stuck = await cleared(self._records)  # of a cluster of this name that was not closed
                await asyncio.to_thread(self._records.clear)
                await self._adopt()
                for left in stuck:
                    self._keep_booked(left)
                self._is_up = True

    async def ask(self, method: str, /, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - of any method
        """Have a method called; in an actor that Ray had to start again, once everything is as it was before."""
        if not self._is_up:
            async with self._coming_up:
                if not self._is_up:
                    await self._resume()
        return await getattr(self, method)(*arguments, **named)

    async def _resume(self) -> None:
        """Go on where the process before this one ended: Ray ends all actors that it had made.

        What is known of their processes is seen to be gone before any memory is given out.
        """
        before, stuck = await cleared(self._records)
        await self._adopt()
        for left in stuck:
            self._keep_booked(left)
        for spec in await asyncio.to_thread(self._records.specs):
            try:
                self._take_in(spec)
            except UllageError:  # the nodes are others by now
                log.exception("model %s is not registered any more", spec.name)
        self._is_up = True
        loaded = {left.model for left in before}
        back = [(name, 0) for name, spec in self._specs.items() if spec.pinned or name in loaded]
        self._spawn(self.balance.bring_back(back, is_gone=False))

    def _keep_booked(self, left: Left) -> None:
        """Book for good what a process holds that cannot be ended, and keep it on record."""
        self._records.began(left)
        log.error("process %s of %s is still there on node %s", left.process.pid, left.model, left.node_id)
        for domain, size in left.domains.items():
            account = self._membership.domains().get(domain)
            if account is not None:
                with contextlib.suppress(BudgetExceeded):  # a budget that counts it already
                    self._kept.append(account.reserve(size, label=f"left of {left.model}"[:100]))

    async def _adopt(self) -> None:
        if self._pool is not None:
            return
        membership = self._membership
        await membership.begin()
        domains = membership.domains()
        if not domains:
            await membership.stop()
            raise refused("budget", "no node of the cluster has memory to give out")
        guard = membership.seen if self._options.guard else False
        self._pool = Pool(domains=domains, policy=self._options.policy, guard=guard, **self._options.pool)
        self._observer = Observer(self._pool).__enter__()
        self._balance = Balance(self._pool, membership, self._crew, self._specs, self._options.most_moves)
        membership.on_join = self._joined
        membership.on_leave = self._left
        membership.on_death = self._died
        membership.processes = self._processes
        membership.keep_watch(looks=self._options.guard)

    async def end(self, timeout: float | None) -> None:  # noqa: ASYNC109 - as in `Pool.aclose`
        """Refuse what waits, let leases end, and unload everything. Raises `LeaseTimeoutError`."""
        if self._pool is not None:
            await self._pool.aclose(timeout)
        if self._observer is not None:
            self._observer.__exit__(None, None, None)
        await self._membership.stop()
        await asyncio.to_thread(self._records.clear)

    @property
    def pool(self) -> Pool:
        """The pool. Raises `PoolClosedError` before there is one."""
        if self._pool is None:
            raise PoolClosedError("the cluster has not begun")
        return self._pool

    @property
    def balance(self) -> Balance:
        """Who knows where models shall stand. Raises `PoolClosedError` before there is one."""
        if self._balance is None:
            raise PoolClosedError("the cluster has not begun")
        return self._balance

    # Models.

    async def register(self, spec: Spec) -> None:
        """Add a model. Raises what `Pool.register` raises, `ArgumentError` where no node has such memory."""
        self._take_in(spec)
        await asyncio.to_thread(self._records.keep, spec)

    def _take_in(self, spec: Spec) -> None:
        places = self.balance.places(spec)
        if not places:
            kind = " and ".join(spec.needs[0])
            many = f"{len(spec.needs)} memories" if spec.is_sharded else "a memory"
            raise refused("footprint", f"the cluster has not {many} of the kind {kind} for it")
        crew = self._crew
        self.pool.register(
            spec.name,
            load=partial(crew.load, spec),
            unload=crew.unload,
            measure=None if spec.measure is None else crew.measure,
            places=places,
            instances=spec.instances,
            workspace=spec.workspace,
            pinned=spec.pinned,
            max_concurrency=spec.max_concurrency,
            retries=spec.retries,
            load_time=spec.load_time,
        )
        self._specs[spec.name] = spec
        self.balance.took(spec, places)

    async def prefetch(self, name: str) -> bool:
        """See `Pool.prefetch`."""
        return self.pool.prefetch(name)

    async def pin(self, name: str, *, is_pinned: bool) -> None:
        """See `Pool.pin` and `Pool.unpin`."""
        (self.pool.pin if is_pinned else self.pool.unpin)(name)
        self._specs[name] = spec = replace(self._specs[name], pinned=is_pinned)
        await asyncio.to_thread(self._records.keep, spec)

    # Leases.

    async def open(self, client: Client) -> None:
        """Begin a session. It ends with its process. Raises `ArgumentError` for one that no agent can see."""
        client = Client(client.session, client.node_id, Identity(*client.process))
        node = self._membership.node(client.node_id[:12])
        self._sessions[client.session] = Session(client)
        if not await node.agent.watch.remote(client.process):
            del self._sessions[client.session]
            raise refused("client", f"process {client.process.pid} cannot be seen on node {node.name}")

    async def lease(
        self, session: str, number: int, name: str, known: int | None, how: tuple[float | None, int, int | None]
    ) -> Grant | Refusal | None:
        """Wait for a model, `how` being timeout, priority and workspace; `None` where there is no such session.

        A client that has the handles of load `known` of it is not sent them again.
        """
        timeout, priority, workspace = how
        client = self._sessions.get(session)
        task = asyncio.current_task()
        if client is None or task is None:
            return None
        if number in client.waiting:  # Ray sends a call again whose answer was lost on its way
            await asyncio.wait([client.waiting[number]])
        if number in client.leases:
            return client.leases[number].grant
        if not client.wants(number):
            return Refusal(PoolClosedError(f"{name}: the request was given up"), None)
        if self._waiting >= self._options.most_waiting:
            text = f"{name}: {self._waiting} requests wait already"
            return Refusal(QueueFullError(text, model=name, waiting=self._waiting), None)
        lease = None
        client.waiting[number] = task
        self._waiting += 1
        try:
            lease = self.pool.lease(name, timeout=timeout, priority=priority, workspace=workspace)
            loaded: Loaded = await lease.__aenter__()
        except UllageError as error:
            return _refusal(error)
        finally:
            self._waiting -= 1
            client.waiting.pop(number, None)
        grant = Grant(loaded.serial, loaded.nodes, loaded.handles, loaded.spec.is_sharded)
        client.leases[number] = Lent(lease, grant)
        return grant._replace(handles=None) if loaded.serial == known else grant

    async def release(self, session: str, number: int) -> None:
        """End a lease, or a wait for one; nothing happens to one that has ended."""
        client = self._sessions.get(session)
        if client is None:
            return
        task = client.waiting.pop(number, None)
        if task is not None:
            task.cancel()
        lent = client.leases.pop(number, None)
        if lent is None:
            client.give_up(number)
        else:
            await lent.lease.__aexit__(None, None, None)

    async def suspect(self, serial: int) -> None:
        """See whether a model of which a client says so is gone, so that nobody else gets it."""
        until = time.monotonic() + SUSPECT_S
        while self._crew.is_up(serial) and time.monotonic() < until:
            for node, process in self._crew.processes_of(serial):
                with contextlib.suppress(RayError):
                    if node.is_alive and not await node.agent.watch.remote(process):
                        await self._died(node, process)
            await asyncio.sleep(LOOK_S)

    async def close_session(self, session: str) -> None:
        """End all that a client holds and waits for."""
        client = self._sessions.pop(session, None)
        if client is None:
            return
        for lent in client.end():
            await lent.lease.__aexit__(None, None, None)

    # What is told of itself.

    async def plan(self, name: str, workspace: int | None) -> dict[str, Any]:
        """See `Pool.plan`."""
        return self.pool.plan(name, workspace=workspace)

    async def status(self) -> list[dict[str, Any]]:
        """Give the rows of `Pool.status()`, with the nodes that each model stands on."""
        return [self.balance.located(row) for row in self.pool.status()]

    async def nodes(self) -> list[dict[str, Any]]:
        """Give every node, those that are gone too."""
        return [node.row() for node in self._membership.nodes.values()]

    async def events(self, last: int | None) -> list[dict[str, Any]]:
        """See `Pool.events`."""
        rows = self.pool.events()
        return rows if last is None else rows[-last:]

    async def observed(self) -> Snapshot:
        """Give what metrics are read from, with the nodes that each model stands on."""
        if self._observer is None:
            raise PoolClosedError("the cluster has not begun")
        found = await asyncio.to_thread(self._observer.snapshot)
        for row in found.models:
            self.balance.located(row)
        return found

    async def snapshot(self, last: int) -> dict[str, Any]:
        """Give all that `ullage top` shows."""
        return (await self.observed()).as_dict() | {
            "events": await self.events(last),
            "nodes": await self.nodes(),
            "sessions": len(self._sessions),
            "pressure_by_domain": self.pool.pressure(),
        }

    # Nodes.

    async def drain(self, name: str, timeout: float | None) -> None:  # noqa: ASYNC109 - a wait that ends by itself
        """Load nothing more on a node, and wait until nothing stands there. Raises `ArgumentError`, `TimeoutError`."""
        node = self._membership.node(name)
        if node.state != "up":
            raise refused("node", f"{node.name} is {node.state}")
        node.state = "draining"
        leaving = self.balance.standing(self._crew.on(node))
        for domain in node.accounts:
            self.pool.drain_domain(domain)
        self._spawn(self.balance.bring_back(leaving, is_gone=False))
        until = None if timeout is None else time.monotonic() + timeout
        while any(account.used for account in node.accounts.values()):
            if until is not None and time.monotonic() > until:
                held = sum(account.used for account in node.accounts.values())
                raise TimeoutError(f"node {node.name}: {held} bytes are still booked after {timeout} s")
            await asyncio.sleep(DRAINED_S)

    async def rebalance(self, most_moves: int | None) -> list[dict[str, Any]]:
        """Use free memory by few moves; gives those made."""
        return await self.balance.rebalance(most_moves)

    async def _joined(self, node: Node) -> None:
        for domain, account in node.accounts.items():
            self.pool.add_domain(domain, account)
        for spec in self._specs.values():
            for place in self.balance.places(spec, on=node.name):
                self.pool.add_place(spec.name, place)
                self.balance.took(spec, [place])
        if self._options.most_moves:
            self._spawn(self.balance.rebalance(None))

    async def _left(self, node: Node) -> None:
        leaving = self.balance.standing(self._crew.on(node), f"node {node.name} is gone")
        for session in [one for one in self._sessions.values() if one.client.node_id == node.node_id]:
            await self.close_session(session.client.session)
        for domain in node.accounts:
            self.pool.remove_domain(domain)
        self._spawn(self.balance.bring_back(leaving))

    async def _died(self, node: Node, process: Identity) -> None:
        for session in [one for one in self._sessions.values() if one.client.process == process]:
            if session.client.node_id == node.node_id:
                await self.close_session(session.client.session)
        loaded = self._crew.died(node, process)
        if loaded is None:
            return
        ((name, number),) = leaving = self.balance.standing([loaded])
        serial = loaded.serial
        del loaded  # its bytes are booked for as long as anybody has it
        while self._crew.holds(serial) and self.balance.is_loading(name, number):  # noqa: ASYNC110 - threads load
            await asyncio.sleep(LOOK_S)
        if self._crew.holds(serial):
            self.pool.lost(name, number)
        self._spawn(self.balance.bring_back(leaving))

    def _processes(self, node: Node) -> list[Identity]:
        clients = [one.client for one in self._sessions.values() if one.client.node_id == node.node_id]
        return self._crew.processes(node) + [client.process for client in clients]

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("something of the cluster was left undone", exc_info=task.exception())


def _refusal(error: UllageError) -> Refusal:
    """Give what can travel of an exception: the chained cause, too, if it can."""
    cause: BaseException | None = error.__cause__
    if cause is not None:
        cause.__traceback__ = None
        with contextlib.suppress(Exception):
            ray.cloudpickle.dumps(cause)
            return Refusal(error.with_traceback(None), cause)
        cause = RuntimeError(f"{type(cause).__name__}: {cause}")
    return Refusal(error.with_traceback(None), cause)
