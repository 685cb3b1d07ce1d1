"""Leases of a cluster's models: an actor's handle for the time of a `with` or `async with` block."""

import asyncio
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import ray
from ray.exceptions import ActorUnschedulableError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from ullage.errors import LeaseLostError, ProtocolError
from ullage.serving.ray.session import Asked, Grant, Refusal

if TYPE_CHECKING:
    from ullage.serving.ray.cluster import Cluster

__all__ = ["AsyncClusterLease", "ClusterLease"]

SUSPECT_S = 10.0
"""How long it may take the scheduler to see for itself that a model is gone."""
ENDS = (RayActorError, ActorUnschedulableError, OutOfMemoryError)
"""What calls of an actor raise whose process or node is gone."""


class _Lease:
    """What both kinds of lease share. Entered again, a lease is one more lease."""

    __slots__ = ("_cluster", "_held", "_name", "_priority", "_timeout", "_workspace")

    def __init__(
        self, cluster: "Cluster", name: str, timeout: float | None, priority: int, workspace: int | None
    ) -> None:
        """Made by `Cluster.lease` and `Cluster.lease_sync`."""
        self._cluster = cluster
        self._name = name
        self._timeout = timeout
        self._priority = priority
        self._workspace = workspace
        self._held: list[tuple[Asked, Grant, list[Any]]] = []

    @property
    def nodes(self) -> list[str]:
        """The nodes that the model stands on, by shard. Raises `ProtocolError` outside of the block."""
        if not self._held:
            reason = "the lease has not begun"
            raise ProtocolError(f"nodes: {reason}", event="nodes", subject=self._name, reason=reason)
        return list(self._held[-1][1].nodes)

    def _ask(self) -> Asked:
        return self._cluster._ask(self._name, self._timeout, self._priority, self._workspace)  # noqa: SLF001 - its other half

    def _is_unknown(self, asked: Asked, answer: Grant | Refusal | None) -> bool:
        """Whether to ask again, in a new session: the scheduler was started again and knows nobody."""
        if answer is None:
            self._cluster._begin_again(asked.session)  # noqa: SLF001 - its other half
        return answer is None

    def _take(self, asked: Asked, answer: Grant | Refusal) -> Any:  # noqa: ANN401 - handles
        """Begin the lease, or raise what refused it."""
        if isinstance(answer, Refusal):
            answer.error.__cause__ = answer.cause
            raise answer.error
        handles = self._cluster._learn(self._name, answer, asked.known)  # noqa: SLF001 - as above
        self._held.append((asked, answer, handles))
        return handles if answer.is_sharded else handles[0]

    def _give_up(self, asked: Asked, error: BaseException) -> NoReturn:
        """Tell that nobody waits any more, and raise what is to be raised for that."""
        if isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
            raise error.cause from None
        if isinstance(error, RayActorError):
            raise self._cluster._gone() from error  # noqa: SLF001 - as above
        self._cluster._release(asked)  # noqa: SLF001 - as above
        raise error

    def _leave(self, error: BaseException | None) -> tuple[LeaseLostError, Any] | None:
        """End the lease; what the end of the model's own actor raised is a lost lease.

        Gives its exception, and what is to be waited for before it is raised: that the scheduler knows.
        """
        asked, grant, handles = self._held.pop()
        self._cluster._release(asked)  # noqa: SLF001 - as above
        if not isinstance(error, ENDS):
            return None
        actor = getattr(error, "actor_id", None)
        if actor is not None and actor not in {_id_of(handle) for handle in handles}:
            return None  # another actor's end
        reason = str(error).partition("\n")[0].rstrip(".")
        text = f"{self._name}: it is gone from {', '.join(grant.nodes)} while it was leased: {reason}"
        lost = LeaseLostError(text, model=self._name, nodes=list(grant.nodes), reason=reason)
        return lost, self._cluster._suspect(grant.serial)  # noqa: SLF001 - as above


class AsyncClusterLease(_Lease):
    """A model borrowed for the time of an `async with` block: gives its actor's handle, or those of its shards."""

    __slots__ = ()

    async def __aenter__(self) -> Any:  # noqa: ANN401 - one handle, or several
        """Wait for the model."""
        while True:
            if not self._cluster._has_begun:  # noqa: SLF001 - its other half
                await asyncio.to_thread(self._cluster._begun)  # noqa: SLF001 - the event loop shall not wait for it
            asked = self._ask()
            try:
                found = await asked.answer
            except BaseException as error:  # noqa: BLE001 - a cancellation, too
                self._give_up(asked, error)
            if not self._is_unknown(asked, found):
                return self._take(asked, found)

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back. Raises `LeaseLostError` where the block failed because its actor died."""
        lost = self._leave(error)
        if lost is not None:
            with contextlib.suppress(RayError, TimeoutError):
                await asyncio.wait_for(lost[1], SUSPECT_S)
            raise lost[0] from error


class ClusterLease(_Lease):
    """A model borrowed for the time of a `with` block: gives its actor's handle, or those of its shards."""

    __slots__ = ()

    def __enter__(self) -> Any:  # noqa: ANN401 - one handle, or several
        """Wait for the model."""
        while True:
            asked = self._ask()
            try:
                found = ray.get(asked.answer)
            except BaseException as error:  # noqa: BLE001 - what a signal handler raised, too
                self._give_up(asked, error)
            if not self._is_unknown(asked, found):
                return self._take(asked, found)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back. Raises `LeaseLostError` where the block failed because its actor died."""
        lost = self._leave(error)
        if lost is not None:
            with contextlib.suppress(RayError, TimeoutError):
                ray.get(lost[1], timeout=SUSPECT_S)
            raise lost[0] from error


def _id_of(handle: Any) -> str:  # noqa: ANN401 - of an actor of any class
    return str(handle._actor_id.hex())  # noqa: SLF001 - no other name for it
