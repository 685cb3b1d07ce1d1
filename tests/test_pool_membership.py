"""Memory domains and places that come and go while a pool runs."""

import threading
from collections.abc import Callable, Iterator

import pytest
from pool_world import until

from ullage import Ledger, Pool
from ullage.errors import ArgumentError, LoadFailedError, UnknownModelError


class Shelf:
    """What a machine holds: models by name, and those that were taken down."""

    def __init__(self) -> None:
        """Be empty."""
        self.loaded: list[tuple[str, str]] = []
        self.gone: list[str] = []

    def load(self, name: str, place: dict[str, int]) -> dict[str, str]:
        """Take a model in."""
        where = "+".join(place)
        self.loaded.append((name, where))
        return {"name": name, "where": where}

    def unload(self, model: dict[str, str]) -> None:
        """Let it go."""
        self.gone.append(model["where"])


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def pool(shelf: Shelf) -> Iterator[Pool]:
    pool = Pool(domains={name: Ledger("10GB") for name in ("north", "south")}, policy="lru", group_wait=0.0)
    for name in ("a", "b", "c"):
        pool.register(
            name,
            load=shelf.load,
            load_args=(name,),
            unload=shelf.unload,
            footprint="8GB",
            places=["north", "south"],
        )
    with pool:
        yield pool


def used(pool: Pool) -> dict[str, int]:
    return {name: account.used // 10**9 for name, account in pool.domains.items()}


def test_who_waits_is_served_on_a_machine_that_joins(pool: Pool) -> None:
    with pool.lease_sync("a"), pool.lease_sync("b"):
        found: list[str] = []

        def wait() -> None:
            with pool.lease_sync("c", timeout=30) as model:
                found.append(model["where"])

        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: pool.status()[2]["waiting"] == 1)
        pool.add_domain("west", Ledger("9GB"))
        assert pool.add_place("c", "west") == 2
        waiting.join(30)
        assert found == ["west"]
        assert used(pool) == {"north": 8, "south": 8, "west": 8}


def test_a_drained_machine_is_emptied_and_its_models_come_up_elsewhere(pool: Pool, shelf: Shelf) -> None:
    with pool.lease_sync("a") as first:
        assert first["where"] == "north"
        pool.drain_domain("north")
        assert pool.status()[0]["state"] == "draining"
        with pool.lease_sync("a", timeout=30) as second:
            assert second["where"] == "south"
            del second
    del first
    until(lambda: used(pool) == {"north": 0, "south": 8})
    assert shelf.gone == ["north"]
    pool.remove_domain("north")
    assert list(pool.domains) == ["south"]


def test_a_machine_that_dies_takes_its_models_along_and_its_leases_end_in_their_own_time(
    pool: Pool, shelf: Shelf
) -> None:
    lease = pool.lease_sync("a")
    with lease as model:
        pool.remove_domain("north")
        assert model["where"] == "north"
        assert [(event["event"], event.get("model")) for event in pool.events()][-1] == ("lost", "a")
        with pool.lease_sync("a", timeout=30) as other:
            assert other["where"] == "south"
            del other
        del model
    until(lambda: pool.status()[0]["state"] == "ready")
    until(lambda: "north" in shelf.gone)
    with pytest.raises(ArgumentError, match="no memory domain 'north'"):
        pool.add_place("a", "north")
    pool.add_domain("north", Ledger("10GB"))
    assert pool.add_place("a", "north") == 2
    until(lambda: used(pool) == {"south": 8, "north": 0})


def test_a_model_without_a_place_is_refused_and_says_why(pool: Pool) -> None:
    for name in ("north", "south"):
        pool.remove_domain(name)
    assert pool.plan("a")["reason"] == "no_place"
    with pytest.raises(LoadFailedError, match="no place left") as refused, pool.lease_sync("a"):
        pass
    assert refused.value.retry_after is None


def test_a_shard_that_loses_one_machine_gives_the_other_back(pool: Pool, shelf: Shelf) -> None:
    pool.register(
        "wide",
        load=shelf.load,
        load_args=("wide",),
        unload=shelf.unload,
        places=[{"north": "6GB", "south": "6GB"}],
    )
    with pool.lease_sync("wide") as model:
        assert used(pool) == {"north": 6, "south": 6}
        pool.remove_domain("north")
        del model
    until(lambda: used(pool) == {"south": 0})
    assert shelf.gone == ["north+south"]


def test_a_model_that_is_gone_by_itself_is_loaded_again(pool: Pool, shelf: Shelf) -> None:
    with pool.lease_sync("a"):
        pass
    pool.lost("a")
    pool.lost("a")
    until(lambda: pool.status()[0]["state"] == "cold")
    with pool.lease_sync("a", timeout=30):
        pass
    assert shelf.loaded == [("a", "north"), ("a", "north")]


def test_more_instances_may_be_allowed_later(pool: Pool) -> None:
    pool.register("d", load=lambda place: [place], footprint="1GB", places=["north", "south"], max_concurrency=1)
    pool.set_instances("d", 2)
    with pool.lease_sync("d") as one, pool.lease_sync("d", timeout=30) as other:
        assert (list(one[0]), list(other[0])) == (["north"], ["south"])
    with pytest.raises(ArgumentError, match="at least 1 and at most 2"):
        pool.set_instances("d", 3)


def test_what_makes_no_sense_is_refused(pool: Pool) -> None:
    pool.register("plain", load=list, footprint="1GB")
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: pool.add_domain("north", Ledger("1GB")), "has a memory domain 'north' already"),
        (lambda: pool.add_domain("more", pool.account), "is one already"),
        (lambda: pool.drain_domain("east"), "no memory domain 'east'; it has north, south"),
        (lambda: pool.remove_domain("east"), "no memory domain 'east'"),
        (lambda: pool.add_place("a", "east"), "no memory domain 'east'"),
        (lambda: pool.add_place("plain", "south"), "registered without places"),
        (lambda: pool.lost("a", 2), "has no place 2"),
    ]
    for call, words in wrong:
        with pytest.raises(ArgumentError, match=words):
            call()
    unknown_models: list[Callable[[], object]] = [
        lambda: pool.add_place("z", "north"),
        lambda: pool.lost("z"),
        lambda: pool.set_instances("z", 1),
    ]
    for unknown in unknown_models:
        with pytest.raises(UnknownModelError):
            unknown()


def test_the_guard_looks_at_machines_that_join_and_no_more_at_those_that_left() -> None:
    seen: set[str] = set()

    def look(domain: str) -> tuple[int, int]:
        seen.add(domain)
        return 10**10, 0

    with Pool(domains={"north": Ledger("10GB")}, guard=look) as pool:
        pool.add_domain("west", Ledger("10GB"))
        until(lambda: "west" in seen)
        pool.remove_domain("north")
        assert list(pool.pressure()) == ["west"]


def test_a_model_is_sent_away_only_if_nobody_has_it() -> None:
    with Pool(Ledger(100)) as pool:
        pool.register("model", load=object, footprint=60, pinned=True)
        assert not pool.evict("model")  # it is not there
        with pool.lease_sync("model"):
            assert not pool.evict("model")
            assert pool.account.used == 60
        assert pool.evict("model")
        until(lambda: pool.account.used == 0)
        with pool.lease_sync("model"):
            assert pool.status()[0]["loads"] == 2
        with pytest.raises(ArgumentError, match="place"):
            pool.evict("model", place=1)
        with pytest.raises(UnknownModelError):
            pool.evict("other")
