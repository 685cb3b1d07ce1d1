"""Sessions: the processes that lease, and what each of them holds. A process that is gone holds nothing any more."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ullage.serving.ray.hosting import Identity

if TYPE_CHECKING:
    import asyncio

__all__ = ["Asked", "Client", "Grant", "Refusal", "Session"]


class Client(NamedTuple):
    """Who leases."""

    session: str
    """A name that no other has."""
    node_id: str
    """The node that its process runs on."""
    process: Identity


class Asked(NamedTuple):
    """A request of a client for a model."""

    session: str
    number: int
    """A number that no other of the client has."""
    answer: Any
    """What comes: a `Grant`, a `Refusal`, or `None` from a scheduler that has no such session."""
    known: list[Any]
    """The model's handles, as far as the client has them."""


class Grant(NamedTuple):
    """A lease as its client gets it."""

    serial: int
    """Which load of the model it is of."""
    nodes: list[str]
    handles: list[Any] | None
    """`None` where the client knows them from an earlier lease."""
    is_sharded: bool


class Refusal(NamedTuple):
    """What is raised at the client instead."""

    error: BaseException
    cause: BaseException | None


@dataclass(slots=True, eq=False)
class Session:
    """What one client holds and waits for."""

    client: Client
    leases: dict[int, Any] = field(default_factory=dict)
    """Leases of the pool, by the client's numbers."""
    waiting: "dict[int, asyncio.Task[Any]]" = field(default_factory=dict)

    def end(self) -> list[Any]:
        """Give up what it waits for; gives the leases that it held."""
        for task in list(self.waiting.values()):
            task.cancel()
        held = list(self.leases.values())
        self.leases.clear()
        return held
