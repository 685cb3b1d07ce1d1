"""A cluster whose scheduler dies: what comes back by itself, what is lost, and what is said where it does not come."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ullage[ray]'")

import ray
from ray_world import BUDGET, MB, SIZE, Echo, booked, check_never_over, is_running, nodes_of, row, until

from ullage.errors import ArgumentError, LeaseLostError, PoolClosedError
from ullage.serving.ray import Cluster

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore"),  # the warnings are Ray's own
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Give a cluster of two nodes of 1 GB."""
    with nodes_of(2):
        yield Cluster.start(budget=BUDGET)


def kill(cluster: Cluster) -> None:
    """End the scheduler's process as a crash would."""
    scheduler = cluster._scheduler  # noqa: SLF001 - nobody else needs it
    os.kill(ray.get(scheduler.__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)


class Waiter:
    """Somebody who waits for a model in a thread."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        """Wait."""
        self.found: Any = None
        self._thread = threading.Thread(target=self._run, args=(cluster, name), daemon=True)
        self._thread.start()

    def _run(self, cluster: Cluster, name: str) -> None:
        try:
            with cluster.lease_sync(name) as model:
                self.found = ray.get(model.say.remote())
        except PoolClosedError as error:
            self.found = error

    def end(self) -> Any:
        """Give what came: the model's word, or an exception."""
        self._thread.join(120)
        assert not self._thread.is_alive()
        return self.found


def use(cluster: Cluster, name: str) -> int:
    """Borrow a model; gives its process."""
    with cluster.lease_sync(name, timeout=120) as model:
        pid, _ = ray.get(model.where.remote())
        return int(pid)


def die_in_use(cluster: Cluster, model: Any, waiters: list[Waiter]) -> None:
    """Have the scheduler die while `narrow` is in use and somebody waits for it."""
    waiters.append(Waiter(cluster, "narrow"))
    until(lambda: row(cluster, "narrow")["waiting"] == 1)
    asked = model.nap.remote(120)
    kill(cluster)
    ray.get(asked)  # Ray ends what the scheduler had made


def test_a_scheduler_that_dies_comes_back_with_its_models(cluster: Cluster) -> None:
    cluster.register("pinned", Echo, footprint=SIZE, args=("p",), pinned=True)
    cluster.register("narrow", Echo, footprint=900 * MB, args=("n",), max_concurrency=1)
    cluster.register("cold", Echo, footprint=SIZE, args=("c",))
    cluster.pin("cold")
    cluster.unpin("cold")
    with pytest.raises(ArgumentError):
        cluster.register("cold", Echo, footprint=SIZE)
    before = use(cluster, "pinned")
    held = use(cluster, "narrow")
    waiters: list[Waiter] = []
    with pytest.raises(LeaseLostError) as caught, cluster.lease_sync("narrow") as model:
        die_in_use(cluster, model, waiters)
    assert caught.value.model == "narrow"

    assert waiters[0].end() == "n"  # it went on waiting
    assert [found["name"] for found in cluster.status()] == ["pinned", "narrow", "cold"]
    assert [found["pinned"] for found in cluster.status()] == [True, False, False]
    until(lambda: row(cluster, "pinned")["state"] == "ready")  # nobody asked for it
    assert use(cluster, "pinned") != before
    assert use(cluster, "narrow") != held
    assert not is_running(before)
    assert not is_running(held)
    assert use(cluster, "cold")
    until(lambda: not sum(found["leases"] for found in cluster.status()))
    assert sum(booked(cluster).values()) == sum(found["booked"] for found in cluster.status())
    check_never_over(cluster)

    cluster.register("later", Echo, footprint=SIZE)
    kill(cluster)
    assert [found["name"] for found in cluster.status()] == ["pinned", "narrow", "cold", "later"]
    assert use(cluster, "later")


async def test_who_leases_on_an_event_loop_goes_on_too(cluster: Cluster) -> None:
    async with cluster.lease("cold") as model:
        assert await model.say.remote() == "c"
    kill(cluster)
    async with cluster.lease("cold") as model:
        assert await model.say.remote() == "c"


def test_of_one_that_is_gone_for_good_everybody_hears(cluster: Cluster) -> None:
    with cluster.lease_sync("narrow", timeout=120) as model:
        before, _ = ray.get(model.where.remote())
        waiter = Waiter(cluster, "narrow")
        until(lambda: row(cluster, "narrow")["waiting"] == 1)
        ray.kill(cluster._scheduler)  # noqa: SLF001 - as above
        assert isinstance(waiter.end(), PoolClosedError)
    for use_it in (cluster.status, cluster.lease_sync("narrow").__enter__, cluster.close):
        with pytest.raises(PoolClosedError, match="gone"):
            use_it()
    with pytest.raises(PoolClosedError):
        Cluster.connect()

    # The way back: another of the same name, with nothing registered. This one looks at its nodes.
    with Cluster.start(budget=BUDGET, guard=True) as again:
        assert not is_running(before)
        found = Cluster.connect()
        assert found.status() == []
        found.register("narrow", Echo, footprint=900 * MB, args=("anew",))
        assert Waiter(found, "narrow").end() == "anew"
        memories = {domain for node in found.nodes() for domain in node["domains"]}
        until(lambda: found.snapshot()["pressure_by_domain"].keys() == memories)
        check_never_over(again)
