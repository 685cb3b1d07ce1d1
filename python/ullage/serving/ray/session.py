"""Sessions: the processes that lease, and what each of them holds. A process that is gone holds nothing any more."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ullage.serving.ray.hosting import Identity

if TYPE_CHECKING:
    import asyncio

__all__ = ["Client", "Grant", "Refusal", "Session"]


class Client(NamedTuple):
    """Who leases."""

    session: str
    """A name that no other has."""
    node_id: str
    """The node that its process runs on."""
    process: Identity


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
    is_over: bool = False

    def end(self) -> list[Any]:
        """Take no more; gives the leases that it held."""
        self.is_over = True
        for task in list(self.waiting.values()):
            task.cancel()
        held = list(self.leases.values())
        self.leases.clear()
        return held
