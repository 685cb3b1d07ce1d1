"""What the tests on Ray share: a cluster of several nodes on this machine, and models that say where they are."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster as Nodes

import ullage
from ullage.serving.ray import Cluster

MB = 1_000_000
BUDGET = 1000 * MB
"""Bytes of each node: room for two models of 400 MB."""
SIZE = 400 * MB
PATIENCE_S = 60.0
"""How long a test waits for what should happen soon: it bounds a hang and measures nothing."""
STORE = 80 << 20
PATIENT = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 15_000,
    "gcs_rpc_server_reconnect_timeout_s": 600,
    "health_check_failure_threshold": 3,
    "memory_monitor_refresh_ms": 0,  # else Ray ends workers when anybody else on this machine fills it
}
"""A node that is killed refuses at once and is called dead within seconds; one that is held up may take its time."""


class Echo:
    """A model that says which process it is."""

    def __init__(self, word: str = "") -> None:
        """Keep a word."""
        self.word = word
        self.is_down = False

    def where(self) -> tuple[int, str]:
        """Give process and node."""
        return os.getpid(), ray.get_runtime_context().get_node_id()[:12]

    def say(self) -> str:
        """Give the word."""
        return self.word

    def nap(self, seconds: float) -> float:
        """Take a while."""
        time.sleep(seconds)
        return seconds

    def die(self) -> None:
        """End the process as a crash would."""
        os._exit(1)


@contextmanager
def nodes_of(count: int) -> Iterator[Nodes]:
    """Run Ray on so many nodes, of which the first is the head."""
    paths = [str(Path(__file__).parent), str(Path(ullage.__file__).parents[1])]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        dict.fromkeys([*paths, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    )
    common = {"num_cpus": 1, "object_store_memory": STORE}
    nodes = Nodes(
        initialize_head=True, head_node_args={**common, "include_dashboard": False, "_system_config": dict(PATIENT)}
    )
    try:
        # With the head alone, so that this process is its client, and no other node's that a test may end.
        ray.init(address=nodes.address, namespace="tests", log_to_driver=False, logging_level="error")
        for _ in range(count - 1):
            nodes.add_node(**common, wait=False)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def until(holds: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds; fail if it never does."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def row(cluster: Cluster, name: str) -> dict[str, Any]:
    """Give the status of one model."""
    return next(row for row in cluster.status() if row["name"] == name)


def booked(cluster: Cluster) -> dict[str, int]:
    """Give what is booked on each node that is not gone."""
    return {
        node["node"]: sum(domain["booked"] for domain in node["domains"].values())
        for node in cluster.nodes()
        if node["state"] != "gone"
    }


def check_never_over(cluster: Cluster) -> None:
    """See that no node ever had more booked than it may."""
    for node in cluster.nodes():
        for name, domain in node["domains"].items():
            assert domain["peak"] <= domain["limit"], name


def is_running(pid: int) -> bool:
    """Whether a process is there."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
