"""A cluster's models on a real Ray of three nodes: where they stand, who borrows them, and who goes away."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ullage[ray]'")

import ray
from prometheus_client import CollectorRegistry
from ray_world import BUDGET, MB, SIZE, Echo, booked, check_never_over, is_running, nodes_of, row, until

from ullage.errors import (
    ArgumentError,
    BudgetExceeded,
    LeaseLostError,
    LeaseTimeoutError,
    LoadFailedError,
    PoolClosedError,
    ProtocolError,
    UnknownModelError,
)
from ullage.serving.metrics import PoolCollector
from ullage.serving.ray import Cluster, Shard
from ullage.top.source import opened

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore"),  # the warnings are Ray's own
    pytest.mark.timeout(300),
]

LARGE = 900 * MB
"""More than half of a node, so that a node holds one."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Give a cluster of three nodes of 1 GB. Models of one test make way for those of the next."""
    with nodes_of(3):
        cluster = Cluster.start(budget=BUDGET)
        yield cluster
        check_never_over(cluster)
        cluster.close(20)


class Borrower:
    """A client in a process of its own."""

    def __init__(self, cluster: Cluster) -> None:
        """Borrow nothing yet."""
        self.cluster = cluster
        self.leases: list[Any] = []

    def take(self, name: str) -> tuple[int, str]:
        """Borrow a model and keep it."""
        lease = self.cluster.lease_sync(name)
        model = lease.__enter__()
        self.leases.append(lease)
        found: tuple[int, str] = ray.get(model.where.remote())
        return found


def where(cluster: Cluster, name: str) -> tuple[int, str]:
    """Borrow a model to ask where it is."""
    with cluster.lease_sync(name, timeout=60) as model:
        found: tuple[int, str] = ray.get(model.where.remote())
        return found


def test_replicas_serve_side_by_side_on_different_nodes(cluster: Cluster) -> None:
    cluster.register("twin", Echo, footprint=SIZE, replicas=2, max_concurrency=1)
    with cluster.lease_sync("twin") as one, cluster.lease_sync("twin", timeout=60) as two:  # there is room for both
        (pid, node), (other_pid, other_node) = ray.get([one.where.remote(), two.where.remote()])
        assert pid != other_pid
        assert node != other_node
        assert sorted(row(cluster, "twin")["nodes"]) == sorted([node, other_node])
        assert row(cluster, "twin")["booked"] == 2 * SIZE


def test_models_stand_on_the_node_where_their_bytes_are_booked(cluster: Cluster) -> None:
    names = [f"spread-{number}" for number in range(6)]
    for name in names:
        cluster.register(name, Echo, footprint=SIZE)
    places = {name: where(cluster, name) for name in names}
    assert booked(cluster) == {node["node"]: 2 * SIZE for node in cluster.nodes()}
    there = [name for name in names if row(cluster, name)["state"] == "ready"]
    assert len(there) >= 4  # the twins had a place each
    for name in there:
        pid, node = places[name]
        assert is_running(pid)
        assert row(cluster, name)["nodes"] == [node]
        assert row(cluster, name)["domains"] == {f"{node}/host": SIZE}

    before = sum(found["evictions"] for found in cluster.status())
    cluster.register("one more", Echo, footprint=SIZE)  # no room: one has to go
    where(cluster, "one more")
    assert sum(found["evictions"] for found in cluster.status()) == before + 1
    gone = [name for name in there if row(cluster, name)["state"] == "cold"]
    assert not any(is_running(places[name][0]) for name in gone)
    assert sum(booked(cluster).values()) == 6 * SIZE
    check_never_over(cluster)


def test_ray_is_told_what_is_given_out(cluster: Cluster) -> None:
    assert [node["ray_memory"] for node in cluster.nodes()] == [BUDGET] * 3
    tokens = ray.cluster_resources()["memory"] - ray.available_resources()["memory"]
    assert tokens == pytest.approx(3 * BUDGET, rel=1e-3)  # Ray counts in units of its own


def test_a_lease_reaches_the_actor_itself(cluster: Cluster) -> None:
    cluster.register("words", Echo, footprint=SIZE, args=("one",), max_concurrency=1)
    lease = cluster.lease_sync("words")
    with pytest.raises(ProtocolError):
        _ = lease.nodes
    with lease as model:
        assert ray.get(model.say.remote()) == "one"
        assert lease.nodes == row(cluster, "words")["nodes"]
        with pytest.raises(LeaseTimeoutError) as caught, cluster.lease_sync("words", timeout=0.2):
            pass
        assert caught.value.model == "words"
    until(lambda: row(cluster, "words")["leases"] == 0)


def test_a_function_makes_a_model_too(cluster: Cluster) -> None:
    cluster.register("made", partial(dict, a=1), footprint=SIZE, measure=lambda made: 300 * MB + len(made))
    with cluster.lease_sync("made") as model:
        assert ray.get(model.call.remote("get", "a")) == 1
    cluster.register("called", _maker, footprint=SIZE)
    with cluster.lease_sync("called") as model:
        assert ray.get(model.call.remote(None, 2)) == 3
    assert row(cluster, "made")["measured"] == 300 * MB + 1


def _maker() -> Any:
    return lambda number: number + 1


async def test_leases_on_an_event_loop(cluster: Cluster) -> None:
    cluster.register("looped", Echo, footprint=SIZE, args=("loop",), max_concurrency=1)
    async with cluster.lease("looped") as model:
        assert await model.say.remote() == "loop"
        waiting = asyncio.create_task(_borrow(cluster, "looped"))
        await asyncio.to_thread(until, lambda: row(cluster, "looped")["waiting"] == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(until, lambda: row(cluster, "looped")["waiting"] == 0)
    await asyncio.to_thread(until, lambda: row(cluster, "looped")["leases"] == 0)


async def _borrow(cluster: Cluster, name: str) -> None:
    async with cluster.lease(name):
        pass


def test_refusals_come_with_their_numbers(cluster: Cluster) -> None:
    cluster.register("vast", Echo, footprint=2 * BUDGET)
    with pytest.raises(BudgetExceeded) as caught, cluster.lease_sync("vast"):
        pass
    assert (caught.value.requested, caught.value.limit) == (2 * BUDGET, BUDGET)
    assert cluster.plan("vast")["decision"] == "refuse"
    with pytest.raises(UnknownModelError), cluster.lease_sync("nobody"):
        pass


def test_what_a_constructor_raises_is_the_cause(cluster: Cluster) -> None:
    class Wrong:
        def __init__(self) -> None:
            raise KeyError("weights")

    cluster.register("wrong", Wrong, footprint=SIZE)
    before = booked(cluster)
    with pytest.raises(LoadFailedError) as caught, cluster.lease_sync("wrong"):
        pass
    assert isinstance(caught.value.__cause__, KeyError)
    assert row(cluster, "wrong")["booked"] == 0
    assert sum(booked(cluster).values()) <= sum(before.values())


def test_a_load_that_takes_too_long_leaves_no_process(cluster: Cluster, tmp_path: Any) -> None:
    note = tmp_path / "pid"
    cluster.register("slow", _sleeper, args=(str(note),), footprint=SIZE, load_timeout=1.0, retries=0)
    with pytest.raises(LoadFailedError) as caught, cluster.lease_sync("slow"):
        pass
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert not note.exists() or not is_running(int(note.read_text()))
    assert row(cluster, "slow")["booked"] == 0


def _sleeper(note: str) -> None:
    import os  # noqa: PLC0415 - runs elsewhere
    import time  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    Path(note).write_text(str(os.getpid()))
    time.sleep(300)


def test_what_is_measured_beyond_the_footprint_is_booked(cluster: Cluster) -> None:
    cluster.register("swollen", Echo, footprint=10 * MB)  # an interpreter alone takes more
    pid, _ = where(cluster, "swollen")
    found = row(cluster, "swollen")
    assert is_running(pid)
    assert found["measured"] > 20 * MB
    assert found["booked"] >= found["measured"]


def test_a_bounded_process_cannot_take_more(cluster: Cluster) -> None:
    cluster.register("greedy", partial(bytearray, 2_000 * MB), footprint=SIZE, memory_limit=SIZE, retries=0)
    with pytest.raises((LoadFailedError, BudgetExceeded)), cluster.lease_sync("greedy"):
        pass
    assert row(cluster, "greedy")["booked"] == 0


class Part(Echo):
    """A shard, which knows which it is."""

    def __init__(self, word: str, shard: Shard) -> None:
        """Keep what it is told."""
        super().__init__(word)
        self.shard = shard

    def which(self) -> tuple[int, int, str, int]:
        """Tell it."""
        return self.shard.index, self.shard.count, self.shard.node, self.shard.bytes


def test_a_model_larger_than_any_node_stands_on_two(cluster: Cluster) -> None:
    with pytest.raises(ArgumentError, match="footprint"):
        cluster.register("too many", Part, footprint=0, shards=4, args=("x",))
    cluster.register("sharded", Part, footprint=2 * LARGE, shards=2, args=("part",))
    lease = cluster.lease_sync("sharded", timeout=60)
    with lease as parts:
        told = ray.get([part.which.remote() for part in parts])
        stand = ray.get([part.where.remote() for part in parts])
        assert [(index, count, size) for index, count, _, size in told] == [(0, 2, LARGE), (1, 2, LARGE)]
        assert lease.nodes == [node for _, node in stand] == [node for _, _, node, _ in told]
        assert len(set(lease.nodes)) == 2
        assert row(cluster, "sharded")["domains"] == {f"{node}/host": LARGE for node in lease.nodes}
        with pytest.raises(LeaseLostError) as caught, cluster.lease_sync("sharded") as again:
            ray.get(again[1].die.remote())
        assert caught.value.nodes == lease.nodes
        until(lambda: not is_running(stand[0][0]))  # one shard is of no use without the other
    assert where_parts(cluster)[0] != stand[0][0]


def where_parts(cluster: Cluster) -> list[int]:
    """Give the processes of the shards."""
    with cluster.lease_sync("sharded", timeout=60) as parts:
        return [pid for pid, _ in ray.get([part.where.remote() for part in parts])]


def test_a_dead_actor_fails_its_leases_and_comes_back(cluster: Cluster) -> None:
    cluster.register("mortal", Echo, footprint=SIZE)
    pid, _ = where(cluster, "mortal")
    with pytest.raises(LeaseLostError) as caught, cluster.lease_sync("mortal") as model:
        ray.get(model.die.remote())
    assert caught.value.model == "mortal"
    assert isinstance(caught.value.__cause__, ray.exceptions.ActorDiedError)
    again, _ = where(cluster, "mortal")
    assert again != pid
    assert "lost" in {event["event"] for event in cluster.events()}


def test_an_actor_killed_from_outside_is_noticed_without_a_call(cluster: Cluster) -> None:
    cluster.register("victim", Echo, footprint=SIZE, pinned=True)
    pid, _ = where(cluster, "victim")
    os.kill(pid, signal.SIGKILL)
    until(lambda: row(cluster, "victim")["state"] == "ready" and row(cluster, "victim")["loads"] == 2)  # pinned
    assert where(cluster, "victim")[0] != pid
    cluster.unpin("victim")


def test_what_the_block_itself_raises_stays_what_it_is(cluster: Cluster) -> None:
    cluster.register("calm", Echo, footprint=SIZE)
    with pytest.raises(ZeroDivisionError), cluster.lease_sync("calm"):
        _ = 1 / 0
    other = ray.remote(num_cpus=0)(Echo).remote()
    with pytest.raises(ray.exceptions.ActorDiedError), cluster.lease_sync("calm"):
        ray.get(other.die.remote())


def test_a_client_that_dies_holds_nothing_any_more(cluster: Cluster) -> None:
    cluster.register("held", Echo, footprint=LARGE, max_concurrency=1)
    borrower = ray.remote(num_cpus=0)(Borrower)
    holder, waiter = borrower.remote(cluster), borrower.remote(cluster)
    ray.get(holder.take.remote("held"))
    waiter.take.remote("held")
    until(lambda: (row(cluster, "held")["leases"], row(cluster, "held")["waiting"]) == (1, 1))
    ray.kill(waiter)
    until(lambda: row(cluster, "held")["waiting"] == 0)
    assert row(cluster, "held")["leases"] == 1
    ray.kill(holder)
    until(lambda: row(cluster, "held")["leases"] == 0)
    assert where(cluster, "held")


def test_a_cluster_is_found_by_name_and_travels_to_tasks(cluster: Cluster) -> None:
    cluster.register("far", Echo, footprint=SIZE, args=("away",))

    def ask_there(there: Cluster) -> str:
        with there.lease_sync("far", timeout=60) as model:
            return str(ray.get(model.say.remote()))

    ask = ray.remote(num_cpus=0)(ask_there)
    assert ray.get([ask.remote(cluster), ask.remote(Cluster.connect())]) == ["away", "away"]
    with pytest.raises(PoolClosedError, match="no cluster"):
        Cluster.connect("nobody")
    with pytest.raises(ArgumentError, match="name"):
        Cluster.start(budget=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ray.remote(Echo)},
        {"model": 3},
        {"on": "disk"},
        {"on": "gpu"},
        {"footprint": {"tape": 1}},
        {"footprint": "much"},
        {"shards": 0},
        {"shards": True},
        {"shards": []},
        {"shards": 2, "replicas": 2},
        {"measure": "weigh"},
    ],
    ids=str,
)
def test_registrations_that_make_no_sense_are_refused(cluster: Cluster, wrong: dict[str, Any]) -> None:
    options: dict[str, Any] = {"model": Echo, "footprint": SIZE} | wrong
    with pytest.raises(ValueError):  # noqa: PT011 - `ArgumentError` or `QuantityError`
        cluster.register("never", **options)
    assert "never" not in {row["name"] for row in cluster.status()}


def test_the_whole_cluster_in_one_picture(cluster: Cluster) -> None:
    found = opened("ray:")()
    assert found is not None
    assert {account.limit for account in found.accounts} == {BUDGET}
    assert {model.name for model in found.models} == {row["name"] for row in cluster.status()}
    assert found.decisions
    registry = CollectorRegistry()
    registry.register(PoolCollector(cluster.observer))
    for node in cluster.nodes():
        ((domain, figures),) = node["domains"].items()
        (account,) = [one.name for one in found.accounts if domain in one.name]
        assert registry.get_sample_value("ullage_account_limit_bytes", {"account": account}) == figures["limit"]
    starts = {row["name"]: row["loads"] for row in cluster.status()}
    for name, loads in starts.items():
        assert registry.get_sample_value("ullage_cold_starts_total", {"model": name}) == loads
    done = subprocess.run(
        [sys.executable, "-c", "from ullage.cli import main; main()", "top", "ray:ullage", "--once"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1.00 GB" in done.stdout
