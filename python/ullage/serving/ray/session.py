"""Sessions: the processes that lease, and what each of them holds. A process that is gone holds nothing any more."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ullage.serving.ray.hosting import Identity

if TYPE_CHECKING:
    import asyncio

__all__ = ["Asked", "Client", "Grant", "Lent", "Refusal", "Session"]

MOST_GIVEN_UP = 10_000
"""Requests of a session that are known to be given up."""


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


class Lent(NamedTuple):
    """A model in a client's hands."""

    lease: Any
    """The pool's lease."""
    grant: Grant
    """What the client was told; with all handles."""


@dataclass(slots=True, eq=False)
class Session:
    """What one client holds and waits for."""

    client: Client
    leases: dict[int, "Lent"] = field(default_factory=dict)
    """What it holds, by its own numbers."""
    waiting: "dict[int, asyncio.Task[Any]]" = field(default_factory=dict)
    _given_up: dict[int, None] = field(default_factory=dict)

    def give_up(self, number: int) -> None:
        """Take in that nobody wants the answer to a request any more: Ray may send it a second time."""
        self._given_up[number] = None
        if len(self._given_up) > MOST_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]

    def wants(self, number: int) -> bool:
        """Whether somebody may wait for the answer to a request."""
        return number not in self._given_up

    def end(self) -> list["Lent"]:
        """Give up what it waits for; gives what it held."""
        for task in list(self.waiting.values()):
            task.cancel()
        held = list(self.leases.values())
        self.leases.clear()
        return held
