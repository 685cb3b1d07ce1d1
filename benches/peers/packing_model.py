"""What the peers of packing share: equal items as one kind, a start by first fit decreasing, and the way back."""

import time
from typing import Any


class Shape:
    """The kinds of items of an instance, the largest first, and the time that is left."""

    def __init__(self, instance: Any, time_limit: float) -> None:  # noqa: ANN401 - an instance of ullage.benchmark
        """Merge what is alike, and pack it by first fit decreasing."""
        if instance.kind != "packing":
            raise NotImplementedError(instance.kind)
        self._end = time.monotonic() + time_limit
        self.capacities = instance.capacities
        members: dict[tuple[int, ...], list[int]] = {}
        for index, demand in enumerate(instance.items):
            members.setdefault(demand, []).append(index)
        self._members = sorted(members.items(), key=lambda member: (-self._share(member[0]), member[0]))
        self.demands = [demand for demand, _ in self._members]
        self.counts = [len(indices) for _, indices in self._members]
        self.items = sum(self.counts)
        self.start = self._first_fit()
        """What each bin holds of each kind, by a heuristic; bins of falling load of the first resource."""

    @property
    def seconds_left(self) -> float:
        """The time that is left."""
        return self._end - time.monotonic()

    @property
    def area_bound(self) -> int:
        """So many bins are needed to cover the total, and one for anything at all."""
        totals = [
            sum(demand[resource] * count for demand, count in zip(self.demands, self.counts, strict=True))
            for resource in range(len(self.capacities))
        ]
        least = [-(-total // has) for total, has in zip(totals, self.capacities, strict=True) if has]
        return max([*least, min(self.items, 1)])

    def _share(self, demand: tuple[int, ...]) -> float:
        return sum(need / has for need, has in zip(demand, self.capacities, strict=True) if has)

    def fitting(self, demand: tuple[int, ...], room: tuple[int, ...] | list[int]) -> int | None:
        """Say how many of `demand` fit into `room`; `None` for as many as one likes."""
        return min((has // need for need, has in zip(demand, room, strict=True) if need), default=None)

    def _first_fit(self) -> list[dict[int, int]]:
        bins: list[dict[int, int]] = []
        rooms: list[list[int]] = []
        for kind, (demand, count) in enumerate(zip(self.demands, self.counts, strict=True)):
            left, place = count, 0
            while left:
                if place == len(bins):
                    bins.append({})
                    rooms.append(list(self.capacities))
                most = self.fitting(demand, rooms[place])
                taken = left if most is None else min(left, most)
                if taken:
                    bins[place][kind] = taken
                    rooms[place] = [has - need * taken for has, need in zip(rooms[place], demand, strict=True)]
                    left -= taken
                place += 1
        order = sorted(range(len(bins)), key=lambda index: rooms[index][0])
        return [bins[index] for index in order]

    def places(self, bins: list[dict[int, int]]) -> list[int | None]:
        """Give each item its bin, from how many of each kind a bin holds; more than there are is passed over."""
        found: list[int | None] = [None] * self.items
        queues = [iter(indices) for _, indices in self._members]
        for place, held in enumerate(bins):
            for kind, count in held.items():
                for _ in range(count):
                    index = next(queues[kind], None)
                    if index is not None:
                        found[index] = place
        return found
