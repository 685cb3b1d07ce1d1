"""The balance of a cluster: where each model may stand, and what is loaded or moved as its memory comes and goes."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ullage.errors import UllageError
from ullage.serving.ray.homes import Move, Place, Resident, moves, places_of
from ullage.serving.ray.spec import Spec, node_of

if TYPE_CHECKING:
    from ullage.pool import Pool
    from ullage.serving.ray.crew import Crew, Loaded
    from ullage.serving.ray.membership import Membership

__all__ = ["Balance"]

GONE_S = 60.0
"""How long a model that is moved may take to leave its place."""
FRESH_S = 3600.0
"""A model that nobody has asked for in so long is not loaded for being found cold."""
LOOK_S = 0.02


class Balance:
    """Plans for one pool. Everything here runs on the scheduler's event loop."""

    def __init__(
        self, pool: "Pool", membership: "Membership", crew: "Crew", specs: Mapping[str, Spec], most_moves: int
    ) -> None:
        """Know no model yet."""
        self._pool = pool
        self._membership = membership
        self._crew = crew
        self._specs = specs
        self._most_moves = most_moves
        self._places: dict[str, list[Place]] = {}
        self._began = time.monotonic()
        self._moving = asyncio.Lock()

    # Places.

    def places(self, spec: Spec, *, on: str | None = None) -> list[Place]:
        """Give the places of a model on the nodes that are up, the preferred one first; with `on`, those on a node."""
        nodes = {node.name: node.kinds for node in self._membership.nodes.values() if node.state == "up"}
        known = [] if on is None else self._places.get(spec.name, [])
        return [place for place in places_of(spec, nodes, self._unplanned(), on=on) if place not in known]

    def took(self, spec: Spec, places: Iterable[Place]) -> None:
        """Note places that the pool knows from now on, in its order."""
        self._places.setdefault(spec.name, []).extend(places)

    def standing(self, up: "Iterable[Loaded]", death: str | None = None) -> list[tuple[str, int]]:
        """Give names and places of models that are up; with `death`, they are so no more.

        Who keeps the models themselves keeps their bytes booked.
        """
        found = []
        for loaded in up:
            loaded.death = loaded.death or death
            found.append((loaded.spec.name, self._places[loaded.spec.name].index(loaded.place)))
        return found

    def located(self, row: dict[str, Any]) -> dict[str, Any]:
        """Say of each place in a row of the status which nodes it is on, and where the model stands now."""
        places = self._places.get(row["name"], [])
        for one in row["places"]:
            one["nodes"] = [node_of(domain) for domain in places[one["place"]]]
        standing = [one["nodes"] for one in row["places"] if one["state"] in {"ready", "draining"}]
        row["nodes"] = [node for nodes in standing for node in dict.fromkeys(nodes)]
        return row

    def _unplanned(self) -> dict[str, int]:
        """Give what of each memory no model has its home in."""
        left = {domain: account.limit or 0 for domain, account in self._membership.domains().items()}
        for places in self._places.values():
            home = next((place for place in places if all(domain in left for domain in place)), {})
            for domain, size in home.items():
                left[domain] -= size
        return left

    # What follows when there is less room, or more.

    async def bring_back(self, leaving: Iterable[tuple[str, int]], *, is_gone: bool = True) -> None:
        """See that models which lose their place stand elsewhere: pinned ones by all means, others where it is free.

        Unless they are gone, they stay where they are until they stand there.
        """
        leaving = list(leaving)
        if is_gone:
            await asyncio.gather(*(self._until_gone(name, number) for name, number in leaving))
        await asyncio.gather(*(self._bring_up(name) for name in dict.fromkeys(name for name, _ in leaving)))

    async def _bring_up(self, name: str) -> None:
        with contextlib.suppress(UllageError):  # it does not fit, or the pool is closing: whoever asks will hear
            if self._specs[name].pinned:
                async with self._pool.lease(name):
                    pass
            else:
                self._pool.prefetch(name)

    async def rebalance(self, most_moves: int | None) -> list[dict[str, Any]]:
        """Load what is cold and lately used into free memory, moving at most so many idle models for that.

        Gives what was done: `model`, `leaves` (a node, or `None`), `to` (the node that was planned).
        """
        most = self._most_moves if most_moves is None else most_moves
        async with self._moving:
            done: list[Move] = []
            for move in self._plan(most):
                with contextlib.suppress(UllageError):
                    if await self._carry_out(move):
                        done.append(move)
            for move in done:
                if move.leaves is not None:  # what it made way for stands by now, or is on its way
                    await self._bring_up(move.name)
            return [
                {"model": move.name, "leaves": move.leaves and node_of(move.leaves), "to": node_of(move.to)}
                for move in done
            ]

    def _plan(self, most: int) -> list[Move]:
        rows = self._pool.status()
        now = time.monotonic() - self._began
        free = {domain: account.available or 0 for domain, account in self._membership.domains().items()}
        wanted, residents = {}, []
        for row in rows:
            spec = self._specs.get(row["name"])
            if spec is None or spec.is_sharded or len(spec.needs[0]) != 1 or row["waiting"]:
                continue  # who is waited for is the pool's own affair
            age_s = now - row["last_used_s"]
            if row["state"] == "cold" and (spec.pinned or (row["loads"] and age_s < FRESH_S)):
                wanted[spec.name] = (spec.total + spec.workspace, 1.0 / (1.0 + max(age_s, 0.0)))
            elif row["state"] == "ready" and not spec.pinned:
                places = self._places[spec.name]
                ready = [one for one in row["places"] if one["state"] == "ready" and not one["leases"]]
                residents += [
                    Resident(spec.name, dict.fromkeys(places[one["place"]], self._held(one))) for one in ready
                ]
        residents = [one for one in residents if all(domain in free for domain in one.place)]
        return moves(wanted, residents, free, most)

    @staticmethod
    def _held(place: Mapping[str, Any]) -> int:
        return sum(place["booked"].values())

    async def _carry_out(self, move: Move) -> bool:
        if move.leaves is None:
            return self._pool.prefetch(move.name)
        places = self._places[move.name]
        number = next((at for at, one in enumerate(places) if list(one) == [move.leaves]), None)
        if number is None or not self._pool.evict(move.name, place=number):
            return False
        await self._until_gone(move.name, number)
        return True

    async def _until_gone(self, name: str, number: int) -> None:
        until = time.monotonic() + GONE_S
        while self._is_there(name, number) and time.monotonic() < until:  # noqa: ASYNC110 - processes end elsewhere
            await asyncio.sleep(LOOK_S)

    def is_loading(self, name: str, number: int) -> bool:
        """Whether a model is on its way to a place, as far as the pool knows."""
        return self._state(name, number) == "loading"

    def _is_there(self, name: str, number: int) -> bool:
        return self._state(name, number) not in {None, "cold"}

    def _state(self, name: str, number: int) -> str | None:
        row = next(row for row in self._pool.status() if row["name"] == name)
        return next((one["state"] for one in row["places"] if one["place"] == number), None)
