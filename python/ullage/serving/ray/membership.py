"""The nodes of a cluster as the scheduler knows them: who joins, who is gone, and what memory each has."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ullage._core import Account, Ledger, parse_bytes
from ullage._types import ByteCount
from ullage.pooling.guard import Seen
from ullage.serving.ray.hosting import Identity
from ullage.serving.ray.node import Agent, Facts, facts_here
from ullage.serving.ray.spec import GPU, HOST, kind_of, node_of, refused

__all__ = ["Budget", "Membership", "Node", "budget_of"]

LOOK_S = 0.25
"""How often Ray is asked which nodes there are."""
JOIN_S = 60.0
"""How long a node may take to start its agent."""
NAME = 12
"""Characters of a node's id by which it is called."""

Budget: TypeAlias = ByteCount | Mapping[str, ByteCount] | Callable[[dict[str, Any]], Any] | None

log = logging.getLogger(__name__)


class Node:
    """One node: its agent, and the ledger of its memory."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        """Take a row of `ray.nodes()`."""
        self.node_id: str = row["NodeID"]
        self.name = self.node_id[:NAME]
        self.hostname: str = row["NodeManagerHostname"]
        self.resources: dict[str, float] = dict(row["Resources"])
        self.labels: dict[str, str] = dict(row.get("Labels") or {})
        self.state = "joining"
        """`joining`, `up`, `draining`, `gone`."""
        self.agent: Any = None
        self.tokens = 0
        """Bytes of Ray's resource `memory` that the agent holds."""
        self.ledger = Ledger()
        self.accounts: dict[str, Account] = {}
        """By memory domain: the node's name, a slash, and `host` or `gpu0` and so on."""
        self.seen: dict[str, Seen] = {}

    @property
    def is_alive(self) -> bool:
        """Whether Ray was not yet seen to have given the node up."""
        return self.state != "gone"

    @property
    def kinds(self) -> list[str]:
        """Its memories."""
        return [kind_of(domain) for domain in self.accounts]

    def describe(self, facts: Facts) -> dict[str, Any]:
        """Give what a function that sets budgets is told."""
        return {
            "node": self.name,
            "node_id": self.node_id,
            "hostname": self.hostname,
            "resources": self.resources,
            "labels": self.labels,
            HOST: facts["host"],
            "gpus": facts["gpus"],
        }

    def row(self) -> dict[str, Any]:
        """Give it as data."""
        return {
            "node": self.name,
            "node_id": self.node_id,
            "hostname": self.hostname,
            "state": self.state,
            "ray_memory": self.tokens,
            "domains": {
                domain: {"limit": account.limit, "booked": account.used, "peak": account.peak}
                for domain, account in self.accounts.items()
            },
        }


class Membership:
    """Watches the nodes, and tells of what changes. Everything here runs on the scheduler's event loop."""

    def __init__(self, budget: Budget, *, reserve: bool) -> None:
        """Know no node yet. With `reserve` the agents hold Ray's tokens for what is given out."""
        self.nodes: dict[str, Node] = {}
        """By name; those that are gone stay as a memory of what they held at most."""
        self._budget = budget
        self._reserve = reserve
        self.on_join: Callable[[Node], Awaitable[None]] | None = None
        self.on_leave: Callable[[Node], Awaitable[None]] | None = None
        self.on_death: Callable[[Node, Identity], Awaitable[None]] | None = None
        self.processes: Callable[[Node], list[Identity]] = lambda _node: []
        """Gives whom an agent that was started again has to watch."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks = False

    def node(self, name: str) -> Node:
        """Give a node. Raises `ArgumentError` for one that there is not."""
        if name not in self.nodes:
            found = [one for one in self.nodes.values() if name and one.node_id.startswith(name)]
            if len(found) != 1:
                raise refused("node", f"there is no node {name!r}")
            return found[0]
        return self.nodes[name]

    def domains(self) -> dict[str, Account]:
        """Give the memory domains that may be given out, those of draining nodes not."""
        return {
            domain: account
            for node in self.nodes.values()
            if node.state == "up"
            for domain, account in node.accounts.items()
        }

    def seen(self, domain: str) -> Seen | None:
        """Give what a node's agent saw last of one of its memories."""
        node = self.nodes.get(node_of(domain))
        return None if node is None else node.seen.get(kind_of(domain))

    async def begin(self) -> None:
        """Adopt all nodes that there are."""
        await asyncio.gather(*(self._join(row) for row in await alive()))

    def keep_watch(self, *, looks: bool) -> None:
        """See who comes and goes from now on; with `looks`, have the agents look at what is used of their memories."""
        self._looks = looks
        self._spawn(self._watch())
        for node in self.nodes.values():
            if looks and node.state == "up":
                self._spawn(self._look(node))

    async def stop(self) -> None:
        """Watch no more, and end the agents."""
        for task in list(self._tasks):
            task.cancel()
        for node in self.nodes.values():
            if node.agent is not None:
                with contextlib.suppress(RayError):
                    ray.kill(node.agent, no_restart=True)

    # How.

    def _spawn(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the nodes of the cluster are not all known", exc_info=task.exception())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                rows = await alive()
            except Exception:  # Ray's head may be out of reach for a while
                log.warning("the nodes of the cluster cannot be listed", exc_info=True)
                continue
            there = {row["NodeID"] for row in rows}
            for node in [one for one in self.nodes.values() if one.is_alive and one.node_id not in there]:
                self._spawn(self._leave(node))
            known = {one.node_id for one in self.nodes.values()}
            for row in rows:
                if row["NodeID"] not in known:
                    self._spawn(self._join(row))
            await asyncio.sleep(0)  # so that it is known at the next look who joins and leaves

    async def _join(self, row: Mapping[str, Any]) -> None:
        node = Node(row)
        self.nodes[node.name] = node
        try:
            async with asyncio.timeout(JOIN_S):
                facts: Facts = await ray.remote(facts_here).options(num_cpus=0, **on(node.node_id)).remote()
                budget = budget_of(self._budget, node, facts)
                await self._start(node, budget.get(HOST, 0))
        except (RayError, TimeoutError):
            log.warning("node %s has no agent", node.name, exc_info=True)
            if node.agent is not None:
                ray.kill(node.agent, no_restart=True)
            if node.is_alive:
                del self.nodes[node.name]  # the next look finds it again
            return
        for kind, size in budget.items():
            if size:
                node.accounts[f"{node.name}/{kind}"] = node.ledger.account(f"{node.name}/{kind}", limit=size)
        if not node.is_alive:
            return
        node.state = "up"
        self._spawn(self._watch_processes(node))
        if self._looks:
            self._spawn(self._look(node))
        if self.on_join is not None:
            await self.on_join(node)

    async def _start(self, node: Node, budget: int) -> None:
        """Start the agent, with as many of Ray's tokens as are given out there and as the node has."""
        node.tokens = min(budget, int(node.resources.get("memory", 0))) if self._reserve else 0
        node.agent = agent_on(node, node.tokens)
        await node.agent.__ray_ready__.remote()

    async def _leave(self, node: Node) -> None:
        node.state = "gone"
        if self.on_leave is not None:
            await self.on_leave(node)

    async def _watch_processes(self, node: Node) -> None:
        """Hear from a node's agent who died, until the node is gone."""
        while node.is_alive:
            try:
                gone = await node.agent.deaths.remote(self.processes(node))
            except RayError:  # it is started again, or its node is gone
                await asyncio.sleep(LOOK_S)
                continue
            for process in gone:
                if self.on_death is not None:
                    await self.on_death(node, Identity(*process))

    async def _look(self, node: Node) -> None:
        """Have a node's agent look until the node is gone. Each by itself: one that hangs shall not blind the rest."""
        while node.is_alive:
            with contextlib.suppress(RayError):
                node.seen = await node.agent.look.remote(node.kinds)
            await asyncio.sleep(LOOK_S)


async def alive() -> list[dict[str, Any]]:
    """Give the rows of the nodes that live."""
    rows = await asyncio.to_thread(ray.nodes)
    return [row for row in rows if row["Alive"]]


def agent_on(node: Node, tokens: int) -> Any:  # noqa: ANN401 - an actor's handle
    """Start an agent on a node."""
    options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0, "max_concurrency": 10_000}
    if tokens:
        options["memory"] = tokens
    return ray.remote(Agent).options(**on(node.node_id), **options).remote()


def on(node_id: str) -> dict[str, Any]:
    """Give the options of what has to run on a node."""
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}


def budget_of(budget: Budget, node: Node, facts: Facts) -> dict[str, int]:
    """Give the bytes to give out of each memory of a node.

    Without a budget that is of its host memory what can be had, and no more than Ray has tokens for, and of each GPU
    what its driver leaves. Raises `QuantityError`, `ArgumentError`.
    """
    wanted = budget(node.describe(facts)) if callable(budget) else budget
    gpus = {f"gpu{index}": size for index, size in facts["gpus"].items()}
    if wanted is None:
        return {HOST: min(facts["host"], int(node.resources.get("memory", facts["host"])))} | gpus
    given = wanted if isinstance(wanted, Mapping) else {HOST: wanted}
    found: dict[str, int] = {}
    for kind, size in given.items():
        if kind == GPU:
            found |= {one: min(parse_bytes(size), most) for one, most in gpus.items()}
        elif kind == HOST or kind in gpus:
            found[kind] = parse_bytes(size)
        else:
            raise refused("budget", f"node {node.name} has no memory {kind!r}")
    return found
