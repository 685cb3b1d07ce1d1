"""Loads a deployment of Ray Serve that holds more models than fit, and prints what came of it.

The same requests in the same order from the same number of clients, for the same replica with three decorators:

- `serve safe`: `@serve.multiplexed` with as many models as fit if all are as large as the largest,
- `serve mean`: the same with as many as fit if all are of the mean size, as people set it,
- `ullage`: `@ullage.serving.ray.multiplexed` by bytes.

A model is destroyed in use if its `__del__` ran before the request that has it was done. Memory is what the replica
holds beyond what it held before the first request. Then what is warm is timed, in turns: the loader's call inside the
replica, the whole request, and a lease of a `Cluster`.
"""

# ruff: noqa: ANN401, T201 - deployments of any kind; it prints

import argparse
import asyncio
import json
import logging
import os
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import ray
from ray import serve
from serving_crowd import NAMES, requests

import ullage
from ullage.cli.demo.synthetic import Synthetic
from ullage.serving.ray import Cluster, multiplexed

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = {name: ullage.footprint(name).total.hi for name in NAMES}
SAMPLE_S = 0.005
USE_S = 0.05
PATIENCE_S = 120.0


class Watched(Synthetic):
    """A model that knows whether it was destroyed, and counts its like."""

    made = 0

    def __init__(self, name: str) -> None:
        """Take as much memory as the model of that name."""
        super().__init__(SIZES[name])
        type(self).made += 1
        self.is_destroyed = False

    def __del__(self) -> None:
        """Be destroyed: Serve calls this itself, whoever still has the model."""
        self.is_destroyed = True


class Sampler:
    """The most that this process held beyond what it held at first."""

    def __init__(self) -> None:
        """Begin to look."""
        self._process = psutil.Process()
        self.baseline = self._process.memory_info().rss
        self.peak = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss - self.baseline)
            time.sleep(SAMPLE_S)


def deployment(name: str, decorator: Any) -> Any:
    """Make the replica with a decorator on its loader."""
    plain = {"env_vars": {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}}  # freed is given back

    @serve.deployment(
        name=name.replace(" ", "-"), max_ongoing_requests=100, ray_actor_options={"num_cpus": 0, "runtime_env": plain}
    )
    class Replica:
        def __init__(self) -> None:
            self.destroyed_in_use = 0
            self.sampler: Sampler | None = None

        @decorator
        async def get_model(self, model_id: str) -> Watched:
            return await asyncio.to_thread(Watched, model_id)

        async def __call__(self, seconds: float) -> None:
            self.sampler = self.sampler or Sampler()
            model = await self.get_model(serve.get_multiplexed_model_id())
            await asyncio.sleep(seconds)
            self.destroyed_in_use += model.is_destroyed

        async def facts(self) -> dict[str, Any]:
            peak = 0 if self.sampler is None else self.sampler.peak
            return {"loads": Watched.made, "destroyed_in_use": self.destroyed_in_use, "peak": peak}

        async def hits(self, model_id: str, count: int) -> float:
            """Time the loader's call for a model that is there."""
            await self.get_model(model_id)

            async def once() -> None:
                await self.get_model(model_id)

            begun = time.perf_counter()
            for _ in range(count):  # each as a request of its own would: in a task
                await asyncio.create_task(once())
            return (time.perf_counter() - begun) / count

    return Replica.bind()


async def storm(handle: Any, names: list[str], clients: int) -> list[float]:
    """Ask for each of `names`, so many at a time; gives the seconds that each took, in order."""
    todo, seconds = iter(names), []

    async def visit() -> None:
        for name in todo:
            begun = time.perf_counter()
            await handle.options(multiplexed_model_id=name).remote(USE_S)
            seconds.append(time.perf_counter() - begun)

    await asyncio.gather(*(visit() for _ in range(clients)))
    return sorted(seconds)


def loaded(kind: str, decorator: Any, names: list[str], clients: int) -> dict[str, Any]:
    """Give what a replica made of the whole trace."""
    handle = serve.run(deployment(kind, decorator), name="bench", route_prefix=None)
    begun = time.perf_counter()
    seconds = asyncio.run(storm(handle, names, clients))
    wall_s = time.perf_counter() - begun
    facts = handle.facts.remote().result(timeout_s=PATIENCE_S)
    serve.delete("bench")
    tail = seconds[int(len(seconds) * 0.99)]
    return {"kind": kind, **facts, "p50_s": statistics.median(seconds), "p99_s": tail, "wall_s": wall_s}


def warm(decorators: dict[str, Any], rounds: int) -> dict[str, dict[str, float]]:
    """Time what is warm, in turns; gives the least, the fifth percentile and the median of each in seconds."""
    name = NAMES[0]
    calls: dict[str, Callable[[], Any]] = {}
    seconds: dict[str, list[float]] = {}
    for kind, decorator in decorators.items():
        handle = serve.run(deployment(kind, decorator), name=kind.replace(" ", "-"), route_prefix=None)
        sticky = handle.options(multiplexed_model_id=name)
        seconds[f"{kind}: loader's call"] = [
            handle.hits.remote(name, 200).result(timeout_s=PATIENCE_S) for _ in range(max(rounds // 50, 5))
        ]
        calls[f"{kind}: request"] = lambda sticky=sticky: sticky.remote(0.0).result(timeout_s=PATIENCE_S)
    cluster = Cluster.start(budget="1GB")
    cluster.register("warm", Warm, footprint="200MB")

    def lease() -> None:
        with cluster.lease_sync("warm"):
            pass

    lease()
    actor = ray.remote(num_cpus=0)(Warm).remote()
    calls["Cluster: lease"] = lease
    calls["bare call of an actor"] = lambda: ray.get(actor.nothing.remote())
    for call in calls.values():
        for _ in range(20):
            call()
    for _ in range(rounds):
        for kind, call in calls.items():
            begun = time.perf_counter()
            call()
            seconds.setdefault(kind, []).append(time.perf_counter() - begun)
    cluster.close(10)
    return {
        kind: {"min": min(all_), "p05": statistics.quantiles(all_, n=20)[0], "p50": statistics.median(all_)}
        for kind, all_ in seconds.items()
    }


class Warm:
    """An actor that does nothing."""

    def nothing(self) -> None:
        """Do it."""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=1_200_000_000)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=500, help="warm calls of each kind")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    largest, mean = max(SIZES.values()), sum(SIZES.values()) / len(SIZES)
    by_bytes = multiplexed(max_bytes=given.budget, footprint=SIZES, timeout=PATIENCE_S)
    decorators = {
        "serve safe": serve.multiplexed(max_num_models_per_replica=max(int(given.budget / largest), 1)),
        "serve mean": serve.multiplexed(max_num_models_per_replica=max(int(given.budget / mean), 1)),
        "ullage": by_bytes,
    }
    ray.init(num_cpus=2, object_store_memory=100 << 20, log_to_driver=False, logging_level=logging.ERROR)
    serve.start(proxy_location="Disabled")
    names = requests(given.requests)
    rows = [loaded(kind, decorator, names, given.clients) for kind, decorator in decorators.items()]
    figures = warm({kind: decorators[kind] for kind in ("serve mean", "ullage")}, given.rounds)
    print(f"budget {given.budget / 1e9:.2f} GB, load average {os.getloadavg()[0]:.1f}")
    print(f"{'':12} {'loads':>6} {'destroyed':>10} {'p50 ms':>8} {'p99 ms':>8} {'wall s':>7} {'peak GB':>8}")
    for row in rows:
        waits = f"{row['p50_s'] * 1e3:8.1f} {row['p99_s'] * 1e3:8.1f} {row['wall_s']:7.1f}"
        print(f"{row['kind']:12} {row['loads']:6} {row['destroyed_in_use']:10} {waits} {row['peak'] / 1e9:8.3f}")
    print(f"\n{'warm, microseconds':28} {'min':>8} {'p05':>8} {'p50':>8}")
    for kind, found in figures.items():
        print(f"{kind:28} " + " ".join(f"{found[name] * 1e6:8.1f}" for name in ("min", "p05", "p50")))
    if given.json:
        given.json.write_text(json.dumps({"budget": given.budget, "replicas": rows, "warm": figures}, indent=1))
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
