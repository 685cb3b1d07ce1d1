"""Nodes that die, join and drain under a cluster's models: typed errors, no booking left, nothing overcommitted."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ullage[ray]'")

import ray
from ray.cluster_utils import Cluster as Nodes
from ray_world import BUDGET, MB, SIZE, STORE, Echo, booked, check_never_over, is_running, nodes_of, row, until

from ullage.errors import LeaseLostError, LoadFailedError, UllageError
from ullage.serving.ray import Cluster

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore"),  # the warnings are Ray's own
    pytest.mark.timeout(300),
]

NAMES = [f"model-{number}" for number in range(6)]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Nodes, Cluster]]:
    """Give Ray's nodes and a cluster on them. The head has no budget, so that any node with models may die."""
    with nodes_of(3) as nodes:
        cluster = Cluster.start(budget=_budget)
        yield nodes, cluster
        check_never_over(cluster)
        cluster.close(20)


def _budget(node: dict[str, Any]) -> int:
    return 0 if "node:__internal_head__" in node["resources"] else BUDGET


class Load:
    """Clients in threads, who use models until told to stop, and note what they met."""

    def __init__(self, cluster: Cluster, names: list[str], threads: int = 4) -> None:
        """Begin."""
        self.met: Counter[str] = Counter()
        self._stop = threading.Event()
        self._cluster = cluster
        self._threads = [
            threading.Thread(target=self._run, args=(names[at:] + names[:at],), daemon=True) for at in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, names: list[str]) -> None:
        while not self._stop.is_set():
            for name in names:
                try:
                    with self._cluster.lease_sync(name, timeout=60) as model:
                        ray.get(model.nap.remote(0.02))
                    self.met["served"] += 1
                except UllageError as error:
                    self.met[type(error).__name__] += 1
                except Exception as error:  # noqa: BLE001 - nothing else may come: the test looks
                    self.met[f"untyped {error!r}"] += 1

    def end(self) -> Counter[str]:
        """Stop; gives what was met."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in self._threads)
        return self.met


def node_with(cluster: Cluster, nodes: Nodes, name: str) -> Any:
    """Give Ray's node on which a model stands."""
    (at,) = row(cluster, name)["nodes"]
    return next(node for node in nodes.worker_nodes if node.node_id.startswith(at))


def end(nodes: Nodes, node: Any, model: Any) -> None:
    """Kill a node in the midst of a call."""
    asked = model.nap.remote(120)
    nodes.remove_node(node, allow_graceful=False)
    ray.get(asked)


def test_a_node_dies_under_load(site: tuple[Nodes, Cluster]) -> None:
    nodes, cluster = site
    for name in NAMES:
        cluster.register(name, Echo, footprint=SIZE)
    cluster.register("steady", Echo, footprint=100 * MB, pinned=True)
    with cluster.lease_sync("steady") as model:
        pid, _ = ray.get(model.where.remote())
    doomed = node_with(cluster, nodes, "steady")
    name = doomed.node_id[:12]
    load = Load(cluster, NAMES)
    until(lambda: load.met["served"] > 20)

    with pytest.raises(LeaseLostError) as caught, cluster.lease_sync("steady") as model:
        end(nodes, doomed, model)
    assert (caught.value.model, caught.value.nodes) == ("steady", [name])

    until(lambda: name not in booked(cluster))  # its bookings are gone with it
    until(lambda: row(cluster, "steady")["state"] == "ready")  # pinned: it comes back without being asked for
    assert row(cluster, "steady")["nodes"] != [name]
    assert not is_running(pid)
    before = load.met["served"]
    until(lambda: load.met["served"] > before + 20)  # the others came back, too
    met = load.end()
    assert set(met) <= {"served", "LeaseLostError", "LoadFailedError"}, met
    assert all(found["state"] != "stuck" for found in cluster.status())
    until(lambda: not sum(found["leases"] for found in cluster.status()))
    check_never_over(cluster)
    assert next(node["state"] for node in cluster.nodes() if node["node"] == name) == "gone"
    assert sum(booked(cluster).values()) == sum(found["booked"] for found in cluster.status())


def test_who_waits_is_served_by_a_node_that_joins(site: tuple[Nodes, Cluster]) -> None:
    nodes, cluster = site
    cluster.unpin("steady")
    cluster.register("first", Echo, footprint=900 * MB)
    cluster.register("second", Echo, footprint=900 * MB)
    with cluster.lease_sync("first") as first:
        found: list[Any] = []

        def wait() -> None:
            with cluster.lease_sync("second", timeout=120) as second:
                found.extend(ray.get([first.where.remote(), second.where.remote()]))

        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        until(lambda: row(cluster, "second")["waiting"] == 1)
        assert row(cluster, "second")["state"] == "cold"
        added = nodes.add_node(num_cpus=1, object_store_memory=STORE)
        waiter.join(120)
    assert [node for _, node in found] == [row(cluster, "first")["nodes"][0], added.node_id[:12]]
    assert added.node_id[:12] in booked(cluster)


def test_what_was_sent_away_comes_back_when_there_is_room(site: tuple[Nodes, Cluster]) -> None:
    nodes, cluster = site
    cold = {name for name in NAMES if row(cluster, name)["state"] == "cold"}
    assert cold  # the two large ones took their places
    added = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    until(lambda: len(cold - {name for name in NAMES if row(cluster, name)["state"] == "cold"}) >= 2)
    assert booked(cluster)[added.node_id[:12]] >= 2 * SIZE
    assert row(cluster, "first")["state"] == row(cluster, "second")["state"] == "ready"  # nobody had to go for that


def test_a_drained_node_is_empty_and_its_models_stand_elsewhere(site: tuple[Nodes, Cluster]) -> None:
    nodes, cluster = site
    added = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    target = added.node_id[:12]
    until(lambda: booked(cluster).get(target, 0) > 0 or _use(cluster, NAMES))
    leaving = next(node for node, size in booked(cluster).items() if size and node != target)
    cluster.drain_node(leaving, timeout=60)
    assert booked(cluster)[leaving] == 0
    _use(cluster, NAMES)
    assert booked(cluster)[leaving] == 0
    assert next(node["state"] for node in cluster.nodes() if node["node"] == leaving) == "draining"
    with contextlib.suppress(StopIteration):
        nodes.remove_node(next(node for node in nodes.worker_nodes if node.node_id.startswith(leaving)))
    until(lambda: leaving not in booked(cluster))


def _use(cluster: Cluster, names: list[str]) -> bool:
    for name in names:
        with cluster.lease_sync(name, timeout=60):
            pass
    return False


def test_with_the_last_node_gone_it_says_so(site: tuple[Nodes, Cluster]) -> None:
    nodes, cluster = site
    for node in list(nodes.worker_nodes):
        nodes.remove_node(node, allow_graceful=False)
    until(lambda: len(booked(cluster)) == 1)  # the head, which has no budget
    with pytest.raises((LoadFailedError, LeaseLostError)), cluster.lease_sync(NAMES[0], timeout=30):
        pass
    added = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    up = (added.node_id[:12], "up")
    until(lambda: up in [(node["node"], node["state"]) for node in cluster.nodes()])
    with cluster.lease_sync(NAMES[0], timeout=60) as model:
        assert ray.get(model.where.remote())[1] == added.node_id[:12]
