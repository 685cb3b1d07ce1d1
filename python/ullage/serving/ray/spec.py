"""What was registered of a model, and from it where the model may stand on given nodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from ullage._core import Footprint, parse_bytes
from ullage._types import ByteCount
from ullage.errors import ArgumentError

__all__ = ["HOST", "Piece", "Spec", "bytes_of", "kind_of", "needs_of", "node_of", "pieces_of", "refused"]

HOST = "host"
GPU = "gpu"
Size: TypeAlias = Footprint | ByteCount
Needs: TypeAlias = dict[str, int]
"""Bytes by kind of memory: `host`, and `gpu` for any one GPU of a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A model as the scheduler knows it."""

    name: str
    model: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    needs: tuple[Needs, ...]
    """What each of its shards takes; one, where it is not divided."""
    is_sharded: bool
    instances: int
    workspace: int
    pinned: bool
    max_concurrency: int | None
    retries: int
    load_time: float | None
    load_timeout: float | None
    grace: float
    unload: str | None
    measure: Callable[[Any], int] | str | None
    memory_limit: int | None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of Ray for its actors."""

    @property
    def total(self) -> int:
        """All that it takes."""
        return sum(sum(needs.values()) for needs in self.needs)


class Piece(NamedTuple):
    """One shard of a model at a place."""

    node: str
    domains: dict[str, int]
    """Bytes by memory domain."""


def node_of(domain: str) -> str:
    """Give the node of a memory domain."""
    return domain.partition("/")[0]


def kind_of(domain: str) -> str:
    """Give which memory of its node a domain is."""
    return domain.partition("/")[2]


def needs_of(footprint: Size | Mapping[str, Size], on: str) -> Needs:
    """Read what a model takes. Raises `QuantityError`, and `ArgumentError` for a memory that no node has."""
    given = footprint if isinstance(footprint, Mapping) else {on: footprint}
    for kind in given:
        if kind not in {HOST, GPU}:
            raise refused("footprint" if given is footprint else "on", f"{kind!r} is neither 'host' nor 'gpu'")
    return {kind: bytes_of(size) for kind, size in given.items()}


def bytes_of(size: Size) -> int:
    """Give what is booked for a size: of a footprint, its upper end. Raises `QuantityError`."""
    return size.total.hi if isinstance(size, Footprint) else parse_bytes(size)


def divided(needs: Needs, shards: int | Sequence[Size] | None) -> tuple[Needs, ...]:
    """Give what each shard takes. Raises `ArgumentError`, `QuantityError`."""
    if shards is None:
        return (needs,)
    if len(needs) != 1:
        raise refused("shards", "a model that is divided stands on one kind of memory")
    (kind, size), *_ = needs.items()
    if isinstance(shards, int):
        if isinstance(shards, bool) or not 1 <= shards <= 1 << 16:
            raise refused("shards", f"{shards!r} is no number of shards")
        return tuple({kind: -(-size // shards)} for _ in range(shards))
    found = tuple({kind: bytes_of(one)} for one in shards)
    if not found:
        raise refused("shards", "there are none")
    return found


def homes_of(needs: Needs, node: str, kinds: Sequence[str]) -> list[dict[str, int]]:
    """Give the ways to hold one shard on a node with these memories: one for each GPU, where it needs one."""
    if GPU not in needs:
        return [{f"{node}/{HOST}": needs[HOST]}] if HOST in kinds else []
    rest = {f"{node}/{HOST}": needs[HOST]} if HOST in needs else {}
    if rest and HOST not in kinds:
        return []
    return [{f"{node}/{kind}": needs[GPU]} | rest for kind in kinds if kind != HOST]


def pieces_of(spec: Spec, place: Mapping[str, int]) -> list[Piece]:
    """Read a place as the pool has it: bytes by domain, the shards of a model in their order."""
    if not spec.is_sharded:
        return [Piece(node_of(next(iter(place))), dict(place))]
    return [Piece(node_of(domain), {domain: size}) for domain, size in place.items()]


def refused(name: str, reason: str) -> ArgumentError:
    """Give the exception for an argument that makes no sense."""
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)
