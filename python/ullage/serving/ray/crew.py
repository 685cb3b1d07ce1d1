"""The crew: makes the actors of a model on the nodes of a place, and takes them down. The pool's threads call it."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ullage.errors import UllageError
from ullage.serving.ray import hosting
from ullage.serving.ray.hosting import Identity, Setting, Shard
from ullage.serving.ray.membership import Membership, Node
from ullage.serving.ray.records import Left, Records
from ullage.serving.ray.spec import HOST, Piece, Spec, kind_of, pieces_of

__all__ = ["Crew", "Loaded", "Member"]

T = TypeVar("T")

GONE_S = 30.0
"""How long an actor's process may take to be gone after it was killed."""
AGENT_S = 60.0
"""How long an agent may be out of reach on a node that is said to be alive."""
PAUSE_S = 0.1


class Member:
    """One actor of a model."""

    def __init__(self, model: str, handle: Any, node: Node, piece: Piece) -> None:  # noqa: ANN401 - of any class
        """Know an actor on its way up."""
        self.model = model
        self.handle = handle
        self.node = node
        self.piece = piece
        self.process: Identity | None = None
        self.introduced: Any = handle.__ray_call__.remote(hosting.identity)
        """Says which process it is, before the model is made: what never came up has to be seen to go, too."""
        self.made: Any = None
        """Comes when the model is made."""


class Loaded:
    """A model that is up at one place."""

    def __init__(self, serial: int, spec: Spec, place: Mapping[str, int]) -> None:
        """Have no actor yet."""
        self.serial = serial
        self.spec = spec
        self.place = dict(place)
        self.members: list[Member] = []
        self.is_ending = False
        """Whether its end is wanted."""
        self.death: str | None = None
        """What was seen of an end that nobody wanted."""

    @property
    def nodes(self) -> list[str]:
        """Where it stands, in the order of its shards."""
        return [member.node.name for member in self.members]

    @property
    def handles(self) -> list[Any]:
        """The handles of its actors."""
        return [member.handle for member in self.members]


class Crew:
    """All models that are up."""

    def __init__(self, membership: Membership, records: Records) -> None:
        """Work on the nodes of a cluster."""
        self._membership = membership
        self._records = records
        self._serials = itertools.count(time.time_ns())  # clients know serials of the scheduler before this one
        self._lock = threading.Lock()
        self._up: dict[int, Loaded] = {}

    # What the pool's threads call.

    def load(self, spec: Spec, *, place: Mapping[str, int]) -> Loaded:
        """Make a model's actors on the nodes of `place`; none is left when this raises.

        Raises what its constructor raised, `TimeoutError`, `MemoryError` where the node ran out of memory, and Ray's
        `RayError` where a process or node died.
        """
        loaded = Loaded(next(self._serials), spec, place)
        try:
            pieces = pieces_of(spec, place)
            for index, piece in enumerate(pieces):
                loaded.members.append(self._member(spec, piece))
                self._begin(loaded, index, len(pieces))
            self._await_up(loaded)
            with self._lock:  # before anybody watches: a death that is told of one that is not there is lost
                self._up[loaded.serial] = loaded
            self._watch(loaded)
        except BaseException:
            with self._lock:
                self._up.pop(loaded.serial, None)
            self._end(loaded)
            raise
        return loaded

    def unload(self, loaded: Loaded) -> None:
        """Take a model down, or what is left of it, and return once its processes are gone."""
        loaded.is_ending = True
        with self._lock:
            self._up.pop(loaded.serial, None)
        method = loaded.spec.unload
        if method is not None and loaded.death is None:
            asked = [one.handle.__ray_call__.remote(hosting.take_down, method) for one in loaded.members]
            with contextlib.suppress(RayError):  # its process is ended all the same, and with it goes the memory
                ray.get(asked, timeout=loaded.spec.grace)
        self._end(loaded)

    def measure(self, loaded: Loaded) -> dict[str, int]:
        """Give what a model takes by domain, as its own `measure` says, or by what its processes hold of the host."""
        measure = loaded.spec.measure
        found: dict[str, int] = {}
        for member in loaded.members:
            if callable(measure):
                home = max(member.piece.domains, key=lambda domain: member.piece.domains[domain])
                found[home] = int(self._get(member.handle.__ray_call__.remote(hosting.measured, measure)))
                continue
            host = next((domain for domain in member.piece.domains if kind_of(domain) == HOST), None)
            if host is not None and member.process is not None:
                with contextlib.suppress(UllageError, RayError):  # not to be read there
                    found[host] = self._get(member.node.agent.held.remote(member.process.pid))
        return found

    # What the scheduler calls.

    def processes(self, node: Node) -> list[Identity]:
        """Give the processes of models on a node."""
        with self._lock:
            members = [member for loaded in self._up.values() for member in loaded.members]
        return [member.process for member in members if member.node is node and member.process is not None]

    def holds(self, serial: int) -> bool:
        """Whether a model was brought up and not yet taken down, dead or not."""
        with self._lock:
            return serial in self._up

    def is_up(self, serial: int) -> bool:
        """Whether a model is up, as far as is known."""
        with self._lock:
            loaded = self._up.get(serial)
            return loaded is not None and loaded.death is None and not loaded.is_ending

    def processes_of(self, serial: int) -> list[tuple[Node, Identity]]:
        """Give the processes of a model that is up, with their nodes."""
        with self._lock:
            loaded = self._up.get(serial)
            members = [] if loaded is None else list(loaded.members)
        return [(member.node, member.process) for member in members if member.process is not None]

    def died(self, node: Node, process: Identity) -> Loaded | None:
        """Give the model one of whose processes ended, if nobody wanted that; it is said to be dead from now on."""
        with self._lock:
            for loaded in self._up.values():
                if loaded.is_ending or loaded.death is not None:
                    continue
                if any(one.node is node and one.process == process for one in loaded.members):
                    loaded.death = f"its process {process.pid} on node {node.name} ended"
                    return loaded
        return None

    def on(self, node: Node) -> list[Loaded]:
        """Give the models that have an actor on a node, dead ones not."""
        with self._lock:
            return [one for one in self._up.values() if any(member.node is node for member in one.members)]

    # How.

    def _member(self, spec: Spec, piece: Piece) -> Member:
        node = self._membership.node(piece.node)
        affinity = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        options = {"num_cpus": 0, **spec.options, "scheduling_strategy": affinity, "max_restarts": 0}
        made = ray.remote(hosting.actor_class(spec.model)).options(**options).remote()
        return Member(spec.name, made, node, piece)

    def _begin(self, loaded: Loaded, index: int, count: int) -> None:
        spec, member = loaded.spec, loaded.members[index]
        gpu = next((kind_of(domain) for domain in member.piece.domains if kind_of(domain) != HOST), None)
        setting = Setting(None if gpu is None else int(gpu.removeprefix("gpu")), spec.memory_limit)
        named = dict(spec.named)
        if spec.is_sharded:
            named["shard"] = Shard(index, count, member.node.name, sum(member.piece.domains.values()))
        member.made = member.handle.__ray_call__.remote(hosting.construct, spec.model, spec.arguments, named, setting)

    def _await_up(self, loaded: Loaded) -> None:
        timeout = loaded.spec.load_timeout
        until = None if timeout is None else time.monotonic() + timeout
        for member in loaded.members:
            try:
                self._introduce(member, _left(until))
                self._get(member.made, _left(until))
            except GetTimeoutError:
                text = f"{loaded.spec.name} was not loaded on node {member.node.name} within {timeout} s"
                raise TimeoutError(text) from None
            except OutOfMemoryError as error:
                raise MemoryError(str(error)) from None

    def _watch(self, loaded: Loaded) -> None:
        """Have the agents see it when a process ends. Raises `RuntimeError` for one that cannot be seen."""
        asked = [member.node.agent.watch.remote(member.process) for member in loaded.members]
        for member, is_there in zip(loaded.members, ray.get(asked), strict=True):
            if not is_there:
                text = f"process {member.process} ended as it came up, or node {member.node.name} cannot see it"
                raise RuntimeError(text)

    def _introduce(self, member: Member, timeout: float | None) -> None:
        if member.process is None:
            member.process = process = Identity(*self._get(member.introduced, timeout))
            self._records.began(Left(member.model, member.node.node_id, process, member.piece.domains))

    def _get(self, answer: Any, timeout: float | None = None) -> Any:  # noqa: ANN401 - of any call
        """Wait for an answer; an exception of the other side is raised as it was there."""
        try:
            return ray.get(answer, timeout=timeout)
        except RayTaskError as error:
            raise _cause(error) from None

    def _end(self, loaded: Loaded) -> None:
        asked = [(member, self._ask_to_end(member)) for member in loaded.members]
        for member, ask in asked:
            ask()
            if member.process is not None:
                self._records.ended(member.node.node_id, member.process)
            member.process = None

    def _ask_to_end(self, member: Member) -> Callable[[], None]:
        """Have an actor ended; gives what waits until it is gone. On a node that is gone, so is the actor."""
        with contextlib.suppress(RayError):
            self._introduce(member, 0.0)
        if member.process is None:  # it never came up: Ray sees to its end
            ray.kill(member.handle, no_restart=True)
            return lambda: self._await_unknown(member)
        first = member.node.agent.end.remote(member.handle, member.process, GONE_S)
        return lambda: self._await_gone(member, first)

    def _await_gone(self, member: Member, asked: Any) -> None:  # noqa: ANN401 - an answer to come
        until = time.monotonic() + AGENT_S
        while member.node.is_alive:
            try:
                self._get(asked, GONE_S * 2)
            except RayError as error:  # the agent: it may come back, or its node is dying
                if time.monotonic() > until:
                    text = f"nobody on node {member.node.name} says whether process {member.process} is gone"
                    raise TimeoutError(text) from error
                time.sleep(PAUSE_S)
                asked = member.node.agent.end.remote(member.handle, member.process, GONE_S)
            else:
                return

    def _await_unknown(self, member: Member) -> None:
        """Wait until an actor that was killed answers no more: then Ray has seen its process end."""
        until = time.monotonic() + GONE_S
        while member.node.is_alive and time.monotonic() < until:
            try:
                ray.get(member.handle.__ray_ready__.remote(), timeout=PAUSE_S)
            except GetTimeoutError:
                continue
            except RayError:
                return
            time.sleep(PAUSE_S)


def _left(until: float | None) -> float | None:
    """Give how many seconds are left until an instant of `time.monotonic()`."""
    return None if until is None else max(until - time.monotonic(), 0.0)


def _cause(error: RayTaskError) -> BaseException:
    cause: object = error.cause
    return cause if isinstance(cause, BaseException) else error
