"""The sample of instances that packing is measured on: from the public data sets, or made by their recipes."""

import random
from collections.abc import Iterator
from pathlib import Path

from ullage.benchmark import Instance, PackingInstance, read_instances

SAMPLE = {
    "falkenauer_u": 8,
    "falkenauer_t": 8,
    "scholl_1": 10,
    "scholl_2": 10,
    "scholl_3": 5,
    "schwerin_1": 5,
    "schwerin_2": 5,
    "waescher": 8,
    "hard28": 10,
    "random": 12,
    "ai": 14,
    "ani": 14,
    "gi_like": 8,
}
"""How many of each family; 117 in all."""


def published(data: Path) -> list[Instance]:
    """Take the sample from the folder of public data sets, evenly over the names; what is not there is made."""
    found = read_instances([data / "packing"]).instances
    chosen: list[Instance] = []
    for family, wanted in SAMPLE.items():
        group = [instance for instance in found if instance.family == family]
        if group:
            chosen += [group[index * len(group) // wanted] for index in range(min(wanted, len(group)))]
        elif family in RECIPES:
            chosen += made(family, wanted)
    return chosen


def generated(share: float = 1.0) -> list[Instance]:
    """Make instances by the published recipes, of each family that has one a share of the sample."""
    return [one for family in RECIPES for one in made(family, max(1, round(SAMPLE[family] * share)))]


def made(family: str, count: int) -> Iterator[PackingInstance]:
    """Make `count` instances of a family, the same each time."""
    for index in range(count):
        draw = random.Random(f"{family} {index}")  # noqa: S311 - not for secrets
        yield RECIPES[family](draw, index, family)


def _instance(family: str, index: int, capacity: int, sizes: list[int], target: int | None = None) -> PackingInstance:
    kinds = tuple(((size,), 1) for size in sizes)
    return PackingInstance(family, f"{family}_{index:02}", (capacity,), kinds, target=target)


def _falkenauer_u(draw: random.Random, index: int, family: str) -> PackingInstance:
    count = (120, 250, 500, 1000)[index % 4]
    return _instance(family, index, 150, [draw.randint(20, 100) for _ in range(count)])


def _falkenauer_t(draw: random.Random, index: int, family: str) -> PackingInstance:
    """Fill bins with three items each: the optimum is known."""
    count = (60, 120, 249, 501)[index % 4]
    sizes = []
    for _ in range(count // 3):
        first = draw.randint(380, 490)
        second = draw.randint(250, (1000 - first) // 2)
        sizes += [first, second, 1000 - first - second]
    draw.shuffle(sizes)
    return _instance(family, index, 1000, sizes, count // 3)


def _scholl_1(draw: random.Random, index: int, family: str) -> PackingInstance:
    count, capacity, least = (50, 100, 200, 500)[index % 4], (100, 120, 150)[index % 3], (1, 20, 30)[index // 4 % 3]
    return _instance(family, index, capacity, [draw.randint(least, 100) for _ in range(count)])


def _scholl_2(draw: random.Random, index: int, family: str) -> PackingInstance:
    count, mean, spread = (
        (50, 100, 200, 500)[index % 4],
        1000 // (3, 5, 7, 9)[index // 2 % 4],
        (0.2, 0.5, 0.9)[index % 3],
    )
    ends = round(mean * (1 - spread)), round(mean * (1 + spread))
    return _instance(family, index, 1000, [draw.randint(*ends) for _ in range(count)])


def _scholl_3(draw: random.Random, index: int, family: str) -> PackingInstance:
    return _instance(family, index, 100_000, [draw.randint(20_000, 35_000) for _ in range(200)])


def _schwerin(draw: random.Random, index: int, family: str) -> PackingInstance:
    count = 100 if family.endswith("1") else 120
    return _instance(family, index, 1000, [draw.randint(150, 200) for _ in range(count)])


def _random(draw: random.Random, index: int, family: str) -> PackingInstance:
    """Follow Delorme, Iori and Martello: n, c, and sizes between shares of c."""
    count, capacity = (50, 100, 200, 300, 500)[index % 5], (50, 100, 200, 500, 1000)[index // 2 % 5]
    least, most = (0.1, 0.2)[index % 2], (0.7, 0.8)[index // 3 % 2]
    ends = round(least * capacity), round(most * capacity)
    return _instance(family, index, capacity, [draw.randint(*ends) for _ in range(count)])


def _gi_like(draw: random.Random, index: int, family: str) -> PackingInstance:
    """Follow Gschwind and Irnich: large capacities, many sizes with demands from 1 to 20.

    The ends of the sizes were read back from the published numbers of items and bounds: 2/15 or 1/60 of the capacity to
    2/3 of it.
    """
    capacity, sizes = (500_000, 1_500_000)[index % 2], (125, 250)[index // 4 % 2]
    least = (2 / 15, 1 / 60)[index // 2 % 2]
    ends = round(least * capacity), round(2 / 3 * capacity)
    kinds = tuple(((draw.randint(*ends),), draw.randint(1, 20)) for _ in range(sizes))
    return PackingInstance(family, f"{family}_{index:02}", (capacity,), kinds)


RECIPES = {
    "falkenauer_u": _falkenauer_u,
    "falkenauer_t": _falkenauer_t,
    "scholl_1": _scholl_1,
    "scholl_2": _scholl_2,
    "scholl_3": _scholl_3,
    "schwerin_1": _schwerin,
    "schwerin_2": _schwerin,
    "random": _random,
    "gi_like": _gi_like,
}
"""The families that can be made; for the others none is published, or too little of it."""
