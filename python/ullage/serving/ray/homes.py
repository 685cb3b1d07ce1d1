"""Where models shall stand by preference, and which to move when nodes come: the packer's answers, read for the pool.

The pool loads a model at the first of its places where there is room, so the order of the places is a plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ullage._placing import place
from ullage.serving.ray.spec import Needs, Spec, homes_of, node_of

__all__ = ["Move", "Resident", "moves", "places_of"]

FINE = 1_000_000
"""The packer counts worth in whole numbers: so many to one."""
PLAN_S = 0.5
"""How long the packer may think."""

Place = dict[str, int]


class Resident(NamedTuple):
    """A model at rest at a place, which may be moved."""

    name: str
    place: Place


class Move(NamedTuple):
    """A model that leaves a place for another, or that comes from nowhere."""

    name: str
    leaves: str | None
    """The memory domain that it leaves, of which a node may have several; `None` for one that is not loaded."""
    to: str
    """The memory domain that it goes to."""


def places_of(
    spec: Spec, nodes: Mapping[str, Sequence[str]], free: Mapping[str, int], *, on: str | None = None
) -> list[Place]:
    """Give the places of a model on nodes with these memories, the preferred one first.

    `free` is what of each memory domain no model has its home in. With `on`, only places that use that node.
    """
    if spec.is_sharded:
        found = _divided(spec.needs, nodes, free)
    else:
        ways = [way for node, kinds in nodes.items() for way in homes_of(spec.needs[0], node, kinds)]
        found = _packed_first(spec, ways, free)
    return [one for one in found if on is None or any(node_of(domain) == on for domain in one)]


def _packed_first(spec: Spec, ways: list[Place], free: Mapping[str, int]) -> list[Place]:
    """Put the way first that the packer chooses for the model, then those with most room."""
    roomy = sorted(ways, key=lambda way: -min(free.get(domain, 0) - size for domain, size in way.items()))
    rooms = {_main(way): max(free.get(_main(way), 0), 0) for way in ways}
    size = max((max(way.values()) for way in ways), default=0)
    if not rooms:
        return []
    chosen = place({spec.name: size}, rooms, keep="best_value", strategy="greedy").assignment[spec.name]
    return sorted(roomy, key=lambda way: _main(way) not in chosen)


def _main(way: Place) -> str:
    return max(way, key=lambda domain: way[domain])


def _divided(needs: Sequence[Needs], nodes: Mapping[str, Sequence[str]], free: Mapping[str, int]) -> list[Place]:
    """Give ways to hold the shards on different memories, one for each node that the first may stand on."""
    (kind,) = needs[0]
    domains = [domain for node, kinds in nodes.items() for way in homes_of({kind: 0}, node, kinds) for domain in way]
    domains.sort(key=lambda domain: -free.get(domain, 0))
    if len(domains) < len(needs):
        return []
    found: list[Place] = []
    for first in range(len(domains)):
        turned = domains[first:] + domains[:first]
        one = {domain: shard[kind] for domain, shard in zip(turned, needs, strict=False)}
        if one not in found:
            found.append(one)
    return found


def moves(
    wanted: Mapping[str, tuple[int, float]],
    residents: Iterable[Resident],
    free: Mapping[str, int],
    most_moves: int,
) -> list[Move]:
    """Plan what to load where now that there is more room, moving as few models as possible.

    `wanted` has for each model that is not loaded what it takes and what it is worth; `free` what of each domain is
    free. First the packer puts what is worth most into what is free. For what is left over, one resident model makes
    way where it fits into another domain's free bytes, the smallest that suffices, at most `most_moves` in all.
    """
    left = {domain: size for domain, size in free.items() if size > 0}
    sizes = {name: size for name, (size, _) in wanted.items()}
    found: list[Move] = []
    if sizes and left:
        values = {name: max(round(worth * FINE), 1) for name, (_, worth) in wanted.items()}
        plan = place(sizes, left, keep="best_value", values=values, time_limit=PLAN_S).assignment
        for name, domains in plan.items():
            for domain in domains:
                left[domain] -= sizes.pop(name)
                found.append(Move(name, None, domain))
    idle = sorted(residents, key=lambda one: sum(one.place.values()))
    for name in sorted(sizes, key=lambda name: -wanted[name][1]):
        if most_moves <= 0:
            break
        step = _one_step(name, sizes[name], idle, left)
        if step is not None:
            resident, to, home = step
            (size,) = resident.place.values()
            left[to] -= size
            left[home] = left.get(home, 0) + size - sizes[name]
            idle.remove(resident)
            found += [Move(resident.name, home, to), Move(name, None, home)]
            most_moves -= 1
    return found


def _one_step(
    name: str, size: int, idle: Sequence[Resident], left: Mapping[str, int]
) -> tuple[Resident, str, str] | None:
    """Find the smallest resident whose leaving makes room for `size` where it stands, and where it can go."""
    for resident in idle:
        if len(resident.place) != 1 or resident.name == name:
            continue
        ((home, held),) = resident.place.items()
        if left.get(home, 0) + held < size:
            continue
        for to in sorted(left, key=lambda domain: left[domain]):
            if to != home and left[to] >= held and node_of(to) != node_of(home):
                return resident, to, home
    return None
