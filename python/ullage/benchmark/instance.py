"""What is to be solved: items for equal bins, or buffers for an arena."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

__all__ = ["ArenaInstance", "Instance", "PackingInstance", "of_dict"]


@dataclass(frozen=True)
class PackingInstance:
    """Items in as few equal bins as possible; with several resources, vector packing."""

    family: str
    """Where it comes from: a folder, an archive, a trace."""
    name: str
    """Its name, once in a family."""
    capacities: tuple[int, ...]
    """What a bin has of each resource."""
    kinds: tuple[tuple[tuple[int, ...], int], ...]
    """Items that are alike: what each needs of each resource, and how many there are."""
    resources: tuple[str, ...] = ("size",)
    """The names of the resources."""
    target: int | None = None
    """The fewest bins that are known to do, from a table of optima."""

    kind: Literal["packing"] = "packing"

    @cached_property
    def items(self) -> list[tuple[int, ...]]:
        """What each item needs, one by one: alike ones stand one after the other."""
        return [demand for demand, count in self.kinds for _ in range(count)]

    @property
    def sizes(self) -> list[int]:
        """The size of each item, where there is one resource."""
        if len(self.capacities) != 1:
            raise NotImplementedError(f"{len(self.capacities)} resources; this solves one")
        return [size for (size,) in self.items]

    @property
    def capacity(self) -> int:
        """What a bin holds, where there is one resource."""
        if len(self.capacities) != 1:
            raise NotImplementedError(f"{len(self.capacities)} resources; this solves one")
        return self.capacities[0]

    @cached_property
    def digest(self) -> str:
        """What is the same for the same numbers, whatever they are called and whatever is known of them."""
        return _digest(self)

    @property
    def count(self) -> int:
        """The number of items."""
        return sum(count for _, count in self.kinds)


@dataclass(frozen=True)
class ArenaInstance:
    """Buffers with lifetimes `[start, end)` in an arena as low as can be."""

    family: str
    """Where it comes from: a folder, an archive."""
    name: str
    """Its name, once in a family."""
    sizes: tuple[int, ...]
    """The bytes of each buffer."""
    starts: tuple[int, ...]
    """The first instant of each."""
    ends: tuple[int, ...]
    """The first instant after each."""
    alignments: tuple[int, ...]
    """What the offset of each is a multiple of."""
    target: int | None = None
    """The lowest height that is known to do: a number in the file's name, or from a table of optima."""

    kind: Literal["arena"] = "arena"

    @cached_property
    def digest(self) -> str:
        """What is the same for the same numbers, whatever they are called and whatever is known of them."""
        return _digest(self)

    @property
    def count(self) -> int:
        """The number of buffers."""
        return len(self.sizes)


Instance: TypeAlias = PackingInstance | ArenaInstance


def _digest(instance: PackingInstance | ArenaInstance) -> str:
    bare = asdict(instance) | {"family": "", "name": "", "target": None}
    return hashlib.sha256(json.dumps(bare).encode()).hexdigest()[:16]


def of_dict(fields: dict[str, Any]) -> Instance:
    """Make what `dataclasses.asdict` took apart, also after a way through JSON."""
    if fields["kind"] == "packing":
        kinds = tuple((tuple(demand), count) for demand, count in fields["kinds"])
        listed = {name: tuple(fields[name]) for name in ("capacities", "resources")}
        return PackingInstance(**(fields | listed | {"kinds": kinds}))
    columns = {name: tuple(fields[name]) for name in ("sizes", "starts", "ends", "alignments")}
    return ArenaInstance(**(fields | columns))
