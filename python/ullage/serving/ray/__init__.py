"""Models over the nodes of a Ray cluster, and a safe `@serve.multiplexed`: `pip install 'ullage[ray]'`.

cluster = Cluster.start(budget="20GB")
cluster.register("llama", Llama, footprint="16GB", workspace="500MB")

async with cluster.lease("llama", timeout=30) as llama:
    answer = await llama.generate.remote("...")

`multiplexed` stands in for `@serve.multiplexed` in a deployment of Ray Serve.
"""

from ullage.serving.extras import needed

needed("ray", "ray")

from ullage.serving.ray.cluster import Cluster  # noqa: E402 - said in one sentence where it is missing
from ullage.serving.ray.hosting import Shard  # noqa: E402
from ullage.serving.ray.lease import AsyncClusterLease, ClusterLease  # noqa: E402
from ullage.serving.ray.multiplexing import Multiplexed, multiplexed  # noqa: E402

__all__ = ["AsyncClusterLease", "Cluster", "ClusterLease", "Multiplexed", "Shard", "multiplexed"]
