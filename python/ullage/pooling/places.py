"""Where a model may stand: from what a caller says of its size to bytes for each memory domain."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ullage._core import Account, Footprint, Ledger, Split, parse_bytes
from ullage._split import SplitDevice, split
from ullage._subject import Subject
from ullage._types import ByteCount
from ullage.errors import ArgumentError

__all__ = ["Place", "Places", "Size", "accounts_of", "places_of", "sharded"]

Size: TypeAlias = Footprint | ByteCount | Mapping[str, Footprint | ByteCount]
"""What a model takes: of the pool's first memory domain, or of each that is named."""
Places: TypeAlias = Sequence[str | Mapping[str, ByteCount]]
"""Where a model may stand: names of domains, or the bytes it takes of each."""
Domains: TypeAlias = Mapping[str, Account | Ledger]

FIRST = "host"
"""What the only domain of a pool is called that was given no names."""


@dataclass(frozen=True, slots=True)
class Place:
    """One way to hold a model, in bytes for each domain."""

    weights: dict[str, int]
    workspace: dict[str, int]

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, that with the most of the weights first."""
        return tuple(sorted(self.weights, key=lambda domain: -self.weights[domain])) or tuple(self.workspace)


def accounts_of(ledger: Ledger | Account | None, domains: Domains | None, account: str) -> dict[str, Account]:
    """Give the accounts that a pool books on. Raises `ArgumentError` where there is none, or two ways to name them."""
    if (ledger is None) == (domains is None or not domains):
        raise refused("domains", "a pool books on one ledger or account, or on `domains`: give one of the two")
    if domains:
        return {name: one.account(account) if isinstance(one, Ledger) else one for name, one in domains.items()}
    assert ledger is not None  # noqa: S101 - one of the two is there
    return {FIRST: ledger.account(account) if isinstance(ledger, Ledger) else ledger}


def places_of(
    footprint: Size | None,
    places: Places | None,
    workspace: ByteCount | Mapping[str, ByteCount],
    known: Iterable[str],
) -> tuple[int, list[Place]]:
    """Give the most likely size of a model, and its places.

    Raises `QuantityError` for what is no size, `ArgumentError` for a domain that the pool does not have.
    """
    names = list(known)
    if footprint is None and places is None:
        raise refused("footprint", "nothing says how large the model is")
    if footprint is None:
        sized = [_vector(place, names) for place in places or () if isinstance(place, Mapping)]
        if len(sized) != len(places or ()):
            raise refused("places", "a place that is only named needs a footprint")
        estimated = sum(sized[0].values()) if sized else 0
    elif isinstance(footprint, Mapping):
        sized = [_vector({name: _booked(size) for name, size in footprint.items()}, names)]
        estimated = sum(_best(size) for size in footprint.values())
        if places is not None:
            raise refused("places", "the footprint says already what stands where")
    else:
        sized = [_vector(_at(place, footprint), names) for place in (names[:1] if places is None else places)]
        estimated = _best(footprint)
    if not sized:
        raise refused("places", "the model has none")
    return estimated, [Place(weights, _workspace(weights, workspace, names)) for weights in sized]


def sharded(
    model: Split | Subject, domains: Mapping[str, Account], context: int | None, batch: int
) -> dict[str, ByteCount]:
    """Give what each accelerator takes of a model that is divided over all of them; `ullage.split` says where.

    Raises `ArgumentError` where it does not fit, and what `split` raises.
    """
    if isinstance(model, Split):
        found = model
    else:
        devices = [
            SplitDevice(name=name, memory=account.used + available)  # what the pool itself holds can make way
            for name, account in domains.items()
            if (available := account.available) is not None and not name.startswith(FIRST)
        ]
        if not devices:
            raise refused("shard", "the pool has no domain with a limit beside the host")
        found = split(model, devices, context=context, batch=batch)
    if None in found.assignment:
        raise refused("shard", found.reason or f"nothing was placed: {found.status}")
    return {place.name: place.load for place in found.places if place.load}


def _at(place: str | Mapping[str, ByteCount], footprint: Footprint | ByteCount) -> Mapping[str, ByteCount]:
    return {place: _booked(footprint)} if isinstance(place, str) else place


def _booked(size: Footprint | ByteCount) -> int:
    return size.total.hi if isinstance(size, Footprint) else parse_bytes(size)


def _best(size: Footprint | ByteCount) -> int:
    return size.total.best if isinstance(size, Footprint) else parse_bytes(size)


def _vector(sizes: Mapping[str, ByteCount], names: Sequence[str], argument: str = "footprint") -> dict[str, int]:
    unknown = [name for name in sizes if name not in names]
    if unknown:
        raise refused(argument, f"the pool has no memory domain {unknown[0]!r}; it has {', '.join(names)}")
    return {name: parse_bytes(size) for name, size in sizes.items()}


def _workspace(
    weights: dict[str, int], workspace: ByteCount | Mapping[str, ByteCount], names: Sequence[str]
) -> dict[str, int]:
    """Give the workspace by domain; plain bytes are of the domain with the most of the weights."""
    if isinstance(workspace, Mapping):
        return _vector(workspace, names, "workspace")
    home = max(weights, key=weights.__getitem__, default=names[0])
    return {home: parse_bytes(workspace)}


def refused(name: str, reason: str) -> ArgumentError:
    """Give the exception for an argument that makes no sense."""
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)


Predict: TypeAlias = Callable[[int, int], ByteCount]
"""Gives the workspace of a lease from its context and batch."""
