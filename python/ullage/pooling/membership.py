"""Memory domains and places that come and go while a pool runs: machines that join, and machines that leave."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ullage._core import Account, Ledger
from ullage._types import ByteCount
from ullage.pooling.guard import Guard
from ullage.pooling.places import refused

if TYPE_CHECKING:
    from ullage.pooling.driver import Driver

__all__ = ["add_domain", "add_place", "drain_domain", "remove_domain", "set_instances"]

DOMAIN = ("domain",)


def add_domain(driver: "Driver", name: str, ledger: Account | Ledger, account: str) -> None:
    """Add a memory domain to the pool of `driver`, and have its guard look at it too. See `Pool.add_domain`."""
    if name in driver.domains:
        raise refused("domain", f"the pool has a memory domain {name!r} already")
    books = ledger.account(account) if isinstance(ledger, Ledger) else ledger
    with driver.lock:
        driver.brain.add_domain(name, books)
        driver.domains = {**driver.domains, name: books}
    if isinstance(driver.guard, Guard):
        driver.guard.watch(name, books)


def drain_domain(driver: "Driver", name: str) -> None:
    """Have a memory domain emptied. See `Pool.drain_domain`."""
    _check(driver, name)
    driver.tell("retire", DOMAIN, (name,), lambda now: driver.brain.retire(now, name))


def remove_domain(driver: "Driver", name: str) -> None:
    """Take in that a memory domain is gone. See `Pool.remove_domain`."""
    drain_domain(driver, name)
    with driver.lock:
        driver.domains = {other: books for other, books in driver.domains.items() if other != name}
        stood = [one for resident in driver.residents.values() for one in resident.instances if name in one.domains]
    if isinstance(driver.guard, Guard):
        driver.guard.forget(name)
    for instance in stood:
        driver.lost(instance)


def add_place(driver: "Driver", model: str, place: str | Mapping[str, ByteCount]) -> int:
    """Add a way to hold a model; gives its number. See `Pool.add_place`."""
    resident = driver.resident(model)
    stand = resident.stand
    if stand is None:
        raise refused("place", f"{model} was registered without places: its loader would not know where to load")
    found = resident.place_of(place, driver.domains)
    numbers: list[int] = []

    def add(now: float) -> list[tuple[object, ...]]:
        numbers.append(driver.brain.add_place(model, found.weights, found.workspace))
        resident.instances.append(stand(numbers[0], found))
        return driver.brain.tick(now)

    driver.tell("place", ("model", "bytes"), (model, found.weights), add)
    return numbers[0]


def set_instances(driver: "Driver", model: str, instances: int) -> None:
    """Say at how many of its places a model may be held at once. See `Pool.set_instances`."""

    def say(now: float) -> list[tuple[object, ...]]:
        driver.brain.set_instances(model, instances)
        return driver.brain.tick(now)

    driver.tell("instances", ("model", "instances"), (model, instances), say)


def _check(driver: "Driver", name: str) -> None:
    if name not in driver.domains:
        known = ", ".join(driver.domains)
        raise refused("domain", f"the pool has no memory domain {name!r}; it has {known}")
