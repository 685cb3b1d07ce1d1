"""Where models shall stand, and which to move: plans, without a Ray that runs."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ullage[ray]'")

from hypothesis import given
from hypothesis import strategies as st

from ullage import Ledger, Pool
from ullage.errors import ArgumentError, QuantityError
from ullage.pooling.guard import Seen
from ullage.serving.ray.balance import Balance
from ullage.serving.ray.homes import Move, Resident, moves, places_of
from ullage.serving.ray.hosting import Identity
from ullage.serving.ray.membership import Membership, Node
from ullage.serving.ray.scheduler import Options, Scheduler
from ullage.serving.ray.session import MOST_GIVEN_UP, Client, Grant, Refusal, Session
from ullage.serving.ray.spec import Spec, bytes_of, divided, homes_of, kind_of, needs_of, node_of, pieces_of

pytestmark = pytest.mark.filterwarnings("ignore")  # the warnings are Ray's own


def spec(needs: dict[str, int], shards: Any = None) -> Spec:
    """Make a model of so many bytes."""
    return Spec(
        name="model",
        model=object,
        arguments=(),
        named={},
        needs=divided(needs, shards),
        is_sharded=shards is not None,
        instances=1,
        workspace=0,
        pinned=False,
        max_concurrency=None,
        retries=0,
        load_time=None,
        load_timeout=None,
        grace=1.0,
        unload=None,
        measure=None,
        memory_limit=None,
    )


def test_the_packer_puts_a_model_where_it_fits() -> None:
    nodes = {"x": ["host"], "y": ["host"]}
    assert places_of(spec({"host": 50}), nodes, {"x/host": 40, "y/host": 60})[0] == {"y/host": 50}
    assert len(places_of(spec({"host": 50}), nodes, {"x/host": 40, "y/host": 60})) == 2
    assert places_of(spec({"host": 50}), nodes, {"x/host": 40, "y/host": 60}, on="x") == [{"x/host": 50}]


def test_a_model_that_fits_nowhere_now_goes_where_most_room_is() -> None:
    nodes = {"x": ["host"], "y": ["host"]}
    assert places_of(spec({"host": 50}), nodes, {"x/host": -10, "y/host": 20})[0] == {"y/host": 50}


def test_a_gpu_is_one_of_its_node_and_the_host_part_beside_it() -> None:
    nodes = {"x": ["host"], "y": ["host", "gpu0", "gpu1"]}
    free = {"x/host": 100, "y/host": 100, "y/gpu0": 10, "y/gpu1": 80}
    found = places_of(spec({"gpu": 50, "host": 5}), nodes, free)
    assert found == [{"y/gpu1": 50, "y/host": 5}, {"y/gpu0": 50, "y/host": 5}]
    assert homes_of({"host": 5}, "z", ["gpu0"]) == []
    assert homes_of({"gpu": 5, "host": 1}, "z", ["gpu0"]) == []


def test_shards_stand_on_memories_of_their_own() -> None:
    nodes = {"x": ["host"], "y": ["host"], "z": ["host"]}
    free = {"x/host": 10, "y/host": 30, "z/host": 20}
    found = places_of(spec({"host": 30}, 2), nodes, free)
    assert found == [{"y/host": 15, "z/host": 15}, {"z/host": 15, "x/host": 15}, {"x/host": 15, "y/host": 15}]
    assert [piece.node for piece in pieces_of(spec({"host": 30}, 2), found[0])] == ["y", "z"]
    assert places_of(spec({"host": 30}, 4), nodes, free) == []


@given(st.integers(0, 1 << 62), st.integers(1, 64))
def test_shards_are_never_less_than_the_whole(size: int, count: int) -> None:
    shards = divided({"host": size}, count)
    assert sum(one["host"] for one in shards) >= size
    assert sum(one["host"] for one in shards) < size + count


def test_sizes_are_read() -> None:
    assert needs_of("1GB", "host") == {"host": 10**9}
    assert needs_of({"gpu": 1, "host": "2kB"}, "host") == {"gpu": 1, "host": 2000}
    assert bytes_of(5) == 5
    assert (node_of("x/gpu0"), kind_of("x/gpu0")) == ("x", "gpu0")
    with pytest.raises(ArgumentError, match="on"):
        needs_of(1, "disk")
    with pytest.raises(QuantityError):
        needs_of("much", "host")
    with pytest.raises(ArgumentError, match="one kind"):
        divided({"gpu": 1, "host": 1}, 2)


def test_what_is_cold_goes_into_free_memory_without_a_move() -> None:
    found = moves({"a": (50, 1.0), "b": (40, 2.0)}, [], {"x/host": 50, "y/host": 45}, 2)
    assert sorted(found) == sorted([Move("a", None, "x/host"), Move("b", None, "y/host")])


def test_one_model_makes_way_where_that_makes_room() -> None:
    residents = [Resident("small", {"x/host": 20}), Resident("large", {"x/host": 60})]
    found = moves({"new": (40, 1.0)}, residents, {"x/host": 20, "y/host": 30}, 1)
    assert found == [Move("small", "x/host", "y/host"), Move("new", None, "x/host")]
    assert moves({"new": (40, 1.0)}, residents, {"x/host": 20, "y/host": 30}, 0) == []


SIZE = st.integers(1, 100)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(SIZE, st.floats(0.01, 10)), max_size=6),
    st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("123"), SIZE), max_size=8, unique_by=lambda r: r[0]),
    st.dictionaries(st.sampled_from([f"{node}/host" for node in "123"]), st.integers(0, 120), min_size=1),
    st.integers(0, 3),
)
def test_no_plan_needs_more_than_there_is(
    wanted: dict[str, tuple[int, float]], standing: list[tuple[str, str, int]], free: dict[str, int], most: int
) -> None:
    residents = [Resident(name, {f"{node}/host": size}) for name, node, size in standing if f"{node}/host" in free]
    sizes = {name: size for name, (size, _) in wanted.items()} | {
        one.name: sum(one.place.values()) for one in residents
    }
    left = dict(free)
    found = moves(wanted, residents, free, most)
    assert sum(move.leaves is not None for move in found) <= most
    assert len({move.name for move in found}) == len(found)
    for move in found:
        if move.leaves is not None:
            left[move.leaves] += sizes[move.name]
        left[move.to] -= sizes[move.name]
        assert left[move.to] >= 0


class Memories:
    """What a balance asks of the nodes."""

    def __init__(self, **limits: int) -> None:
        """Have a node of each name."""
        self.nodes: dict[str, Any] = {}
        self.ledgers = {f"{name}/host": Ledger(limit).account("host") for name, limit in limits.items()}

    def domains(self) -> dict[str, Any]:
        """Give them."""
        return self.ledgers


def standing(pool: Pool) -> dict[str, dict[str, int]]:
    """Give where each model is booked."""
    return {row["name"]: row["domains"] for row in pool.status() if row["domains"]}


async def test_a_model_leaves_the_memory_where_it_stands() -> None:
    memories = Memories()
    memories.ledgers = {domain: Ledger(100).account("memory") for domain in ("x/gpu0", "x/gpu1", "y/gpu0")}
    pool = Pool(domains=memories.domains(), policy="lru")
    specs: dict[str, Spec] = {}
    balance = Balance(pool, cast("Any", memories), cast("Any", None), specs, 1)
    ways = {"new": (90, ["x/gpu1"]), "first": (60, ["x/gpu0"]), "other": (40, ["y/gpu0"])}
    ways |= {"idle": (50, ["x/gpu0", "x/gpu1", "y/gpu0"])}
    for name, (size, domains) in ways.items():
        own = [{domain: size} for domain in domains]
        is_pinned = name in {"first", "other"}
        pool.register(name, load=_anything, places=own, pinned=is_pinned)
        specs[name] = replace(spec({"gpu": size}), name=name, pinned=is_pinned)
        balance.took(specs[name], own)
    for name in ("new", "first"):
        async with pool.lease(name, timeout=20):
            pass
    async with pool.lease("other", timeout=20, workspace=60), pool.lease("idle", timeout=20):
        pass  # while the second node was full
    assert standing(pool) == {"first": {"x/gpu0": 60}, "other": {"y/gpu0": 40}, "idle": {"x/gpu1": 50}}
    moved = await balance.rebalance(1)
    assert moved == [{"model": "idle", "leaves": "x", "to": "y"}, {"model": "new", "leaves": None, "to": "x"}]
    await pool.aclose(20)


async def test_one_idle_model_moves_so_that_another_fits() -> None:
    memories = Memories(x=1000, y=1000)
    pool = Pool(domains=memories.domains(), policy="lru")
    specs: dict[str, Spec] = {}
    balance = Balance(pool, cast("Any", memories), cast("Any", None), specs, 2)
    places = {"w": [("x", 400)], "b": [("x", 300), ("y", 300)], "c": [("y", 650)], "a": [("x", 600)]}
    for name, ways in places.items():
        own = [{f"{node}/host": size} for node, size in ways]
        pool.register(name, load=_anything, places=own)
        specs[name] = replace(spec(dict.fromkeys(["host"], ways[0][1])), name=name)
        balance.took(specs[name], own)
    for name in places:
        async with pool.lease(name, timeout=20):
            pass
    assert standing(pool) == {"b": {"x/host": 300}, "c": {"y/host": 650}, "a": {"x/host": 600}}  # w had to go
    assert await balance.rebalance(0) == []  # it fits nowhere by itself
    async with pool.lease("b"):
        assert await balance.rebalance(1) == []  # what is in use stays
    moved = await balance.rebalance(1)
    assert moved == [{"model": "b", "leaves": "x", "to": "y"}, {"model": "w", "leaves": None, "to": "x"}]
    assert standing(pool) == {
        "w": {"x/host": 400},
        "b": {"y/host": 300},
        "c": {"y/host": 650},
        "a": {"x/host": 600},
    }
    assert all(account.peak <= 1000 for account in memories.ledgers.values())
    await pool.aclose(20)


def _anything(*, place: dict[str, int]) -> Any:
    return set(place)


class Standing:
    """What the crew gives of a model that is up."""

    serial, nodes, handles = 7, ["x"], ["handle"]
    spec = spec({"host": 10})


async def test_a_call_that_ray_sends_twice_is_one_lease() -> None:
    scheduler = Scheduler(Options(title="twice"))
    pool = scheduler._pool = Pool(Ledger(100))  # noqa: SLF001 - without the nodes
    session = scheduler._sessions["s"] = Session(Client("s", "node", Identity(1, 0.0)))  # noqa: SLF001 - as above
    pool.register("a", load=Standing, footprint=10)
    how = (20.0, 0, None)
    first, second = await asyncio.gather(*(scheduler.lease("s", 1, "a", None, how) for _ in range(2)))
    assert first == second == Grant(7, ["x"], ["handle"], is_sharded=False)
    assert await scheduler.lease("s", 1, "a", 7, how) == first
    assert pool.status()[0]["leases"] == 1
    assert await scheduler.lease("s", 2, "a", 7, how) == Grant(7, ["x"], None, is_sharded=False)
    for number in (1, 2, 2, 3):  # the last of them before it is asked for
        await scheduler.release("s", number)
    assert isinstance(await scheduler.lease("s", 3, "a", None, how), Refusal)
    assert (pool.status()[0]["leases"], session.leases) == (0, {})
    assert await scheduler.lease("another", 1, "a", None, how) is None
    await pool.aclose(20)


def test_only_the_latest_requests_are_known_to_be_given_up() -> None:
    session = Session(Client("s", "node", Identity(1, 0.0)))
    for number in range(MOST_GIVEN_UP + 5):
        session.give_up(number)
    assert [session.wants(number) for number in (4, 5, MOST_GIVEN_UP + 4, MOST_GIVEN_UP + 5)] == [
        True,
        False,
        False,
        True,
    ]


class Looking:
    """An agent that says what it sees, or never says it."""

    def __init__(self, *, hangs: bool) -> None:
        """Stand in for the handle and for its method."""
        self.look = self
        self.hangs = hangs

    async def remote(self, kinds: list[str]) -> dict[str, Seen]:
        """Look."""
        if self.hangs:
            await asyncio.Event().wait()
        return dict.fromkeys(kinds, Seen(10, 5))


async def test_a_node_that_hangs_does_not_blind_the_others() -> None:
    membership = Membership(None, reserve=False)
    for name, hangs in (("x", True), ("y", False)):
        node = Node({"NodeID": name, "NodeManagerHostname": name, "Resources": {}})
        node.agent, node.accounts = Looking(hangs=hangs), {f"{name}/host": Ledger(10).account("host")}
        membership.nodes[name] = node
    looks = [asyncio.create_task(membership._look(node)) for node in membership.nodes.values()]  # noqa: SLF001 - no Ray
    while membership.seen("y/host") is None:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    assert (membership.seen("y/host"), membership.seen("x/host"), membership.seen("z/host")) == (
        Seen(10, 5),
        None,
        None,
    )
    membership.nodes["y"].state = "gone"
    await looks[1]
    looks[0].cancel()
