"""Loads a server of many models over HTTP and prints what came of it: `python benches/serving_load.py`.

Three servers of the same FastAPI application, each a process of its own with the same budget, answer the same requests
in the same order from the same number of clients:

- `pool`: models lent by `ullage.serving.fastapi`,
- `lru`: models in a `cachetools.LRUCache` of so many bytes, each loaded once at a time (`cached` with a condition),
- `bare`: the real model in a global variable; only the warm latency is asked of it.

Memory is what the process holds beyond what it held before the first request, looked at every few milliseconds. Warm
latency is measured one request after the other, in turns between `pool` and `bare`: the difference is what lending
costs.
"""

# ruff: noqa: ANN401, T201 - applications and models of any kind; it prints

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil

REAL = "all-minilm-l6-v2"
NAMES = (
    REAL,
    "whisper-tiny",
    "all-mpnet-base-v2",
    "clip-vit-base-patch32-image",
    "jina-embeddings-v2-base-en",
    "efficientnet-v2-s",
    "ssdlite-320-mobilenet-v3-large",
)
WORKSPACE = 16_000_000
TEXTS = ["A cat sits on the mat, and the mat lies on a rug that nobody has swept since the cask was tapped."]
SEED = 1998
SAMPLE_S = 0.005


def make_app(kind: str, budget: int) -> Any:
    """Make one of the three applications."""
    import ullage  # noqa: PLC0415 - the servers need these, the client does not
    from ullage.cli.demo.minilm import MiniLM, find  # noqa: PLC0415
    from ullage.cli.demo.synthetic import Synthetic  # noqa: PLC0415

    directory = find()
    footprints = {REAL: ullage.footprint(directory, context=128)}
    footprints |= {name: ullage.footprint(name) for name in NAMES[1:]}

    def load(name: str) -> Any:
        return MiniLM(directory) if name == REAL else Synthetic(footprints[name].total.best)

    load(REAL).embed(TEXTS[0])  # threads and buffers that NumPy keeps belong to no model
    sizes = {name: footprint.total.hi for name, footprint in footprints.items()}
    return {"pool": pool_app, "lru": lru_app, "bare": bare_app}[kind](load, sizes, budget)


def answer(model: Any) -> str:
    if hasattr(model, "embed"):
        return str(float(model.embed(TEXTS[0])[0]))
    model.run(WORKSPACE)
    return "done"


def pool_app(load: Any, sizes: dict[str, int], budget: int) -> Any:
    from functools import partial  # noqa: PLC0415
    from typing import Annotated  # noqa: PLC0415

    from fastapi import FastAPI  # noqa: PLC0415

    import ullage  # noqa: PLC0415
    from ullage.serving.fastapi import Serving  # noqa: PLC0415

    pool = ullage.Pool(ullage.Ledger(budget))
    for name, size in sizes.items():
        pool.register(name, load=partial(load, name), footprint=size, workspace=WORKSPACE)
    serving = Serving(pool, timeout=60)
    app = FastAPI(lifespan=serving.lifespan)
    serving.install(app)

    @app.post("/models/{name}")
    def run(name: str, model: Annotated[Any, serving.lease(path="name")]) -> str:
        assert name in sizes
        return answer(model)

    @app.get("/facts")
    def facts() -> dict[str, Any]:
        return {"loads": sum(row["loads"] for row in pool.status()), "booked_peak": pool.account.peak}

    return app


def lru_app(load: Any, sizes: dict[str, int], budget: int) -> Any:
    import cachetools  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415

    app = FastAPI()
    loads: Counter[str] = Counter()
    cache: cachetools.LRUCache[Any, Any] = cachetools.LRUCache(budget, getsizeof=lambda entry: entry[0])

    @cachetools.cached(cache, condition=threading.Condition())
    def entry(name: str) -> tuple[int, Any]:
        loads[name] += 1
        return sizes[name] + WORKSPACE, load(name)

    @app.post("/models/{name}")
    def run(name: str) -> str:
        return answer(entry(name)[1])

    @app.get("/facts")
    def facts() -> dict[str, Any]:
        return {"loads": sum(loads.values()), "booked_peak": None}

    return app


def bare_app(load: Any, _sizes: dict[str, int], _budget: int) -> Any:
    from fastapi import FastAPI  # noqa: PLC0415

    app = FastAPI()
    model = load(REAL)

    @app.post("/models/{name}")
    def run(name: str) -> str:
        assert name == REAL
        return answer(model)

    return app


@contextmanager
def server(kind: str, budget: int) -> Iterator[tuple[str, psutil.Process]]:
    """Run one of the servers as a process; gives its address and the process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        command = [sys.executable, __file__, "--serve", kind, "--budget", str(budget), "--fd", str(listener.fileno())]
        # Requests are what runs at once, not their parts; and what is freed goes back, or it would count as held.
        plain = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=plain)  # noqa: S603 - this very file
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            httpx2.get(f"{url}/openapi.json", timeout=60).raise_for_status()
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


class Sampler:
    """The most that a process ever held beyond what it held at first."""

    def __init__(self, process: psutil.Process) -> None:
        """Begin to look at once."""
        self._process = process
        self.baseline = process.memory_info().rss
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.peak = max(self.peak, self._process.memory_info().rss - self.baseline)

    def end(self) -> int:
        """Stop; gives the most in bytes."""
        self._stop.set()
        self._thread.join()
        return self.peak


def requests(count: int) -> list[str]:
    """Give which models are asked for, the popular ones more often."""
    randomness = random.Random(SEED)  # noqa: S311 - a repeatable crowd, not a secret
    return randomness.choices(NAMES, [1 / rank for rank in range(1, len(NAMES) + 1)], k=count)


async def storm(url: str, names: list[str], clients: int) -> dict[str, Any]:
    """Ask for each of `names`, so many at a time."""
    statuses: Counter[str] = Counter()
    seconds: list[float] = []
    todo = iter(names)

    async def visit(client: httpx2.AsyncClient) -> None:
        for name in todo:
            begun = time.perf_counter()
            response = await client.post(f"{url}/models/{name}")
            seconds.append(time.perf_counter() - begun)
            kind = ""
            if response.headers.get("content-type") == "application/problem+json":
                kind = " " + response.json()["type"].rpartition(":")[2]
            statuses[f"{response.status_code}{kind}"] += 1

    async with httpx2.AsyncClient(timeout=120) as client, asyncio.TaskGroup() as crowd:
        begun = time.perf_counter()
        for _ in range(clients):
            crowd.create_task(visit(client))
    took = time.perf_counter() - begun
    seconds.sort()
    return {
        "statuses": dict(statuses),
        "p50_s": seconds[len(seconds) // 2],
        "p99_s": seconds[int(len(seconds) * 0.99)],
        "wall_s": took,
    }


def loaded(kind: str, budget: int, names: list[str], clients: int) -> dict[str, Any]:
    """Give what a server made of the whole trace."""
    with server(kind, budget) as (url, process):
        sampler = Sampler(process)
        try:
            found = asyncio.run(storm(url, names, clients))
        finally:
            peak = sampler.end()
        facts = httpx2.get(f"{url}/facts").json()
    return {"server": kind, **found, **facts, "measured_peak": peak, "over_budget": max(0, peak - budget)}


def warm(budget: int, rounds: int) -> dict[str, Any]:
    """Give what a request for a model that is there takes with and without the pool, in turns."""
    seconds: dict[str, list[float]] = {"pool": [], "bare": []}
    with ExitStack() as stack:
        clients = {}
        for kind in seconds:
            url, _ = stack.enter_context(server(kind, budget))
            clients[kind] = stack.enter_context(httpx2.Client(base_url=url, timeout=60))
            for _ in range(20):
                clients[kind].post(f"/models/{REAL}").raise_for_status()
        for _ in range(rounds):
            for kind, client in clients.items():
                begun = time.perf_counter()
                client.post(f"/models/{REAL}")
                seconds[kind].append(time.perf_counter() - begun)
    found: dict[str, Any] = {}
    for name, pick in (
        ("min", min),
        ("p05", lambda all_: statistics.quantiles(all_, n=20)[0]),
        ("p50", statistics.median),
    ):
        figures = {kind: pick(all_) for kind, all_ in seconds.items()}
        found[name] = {**figures, "share": figures["pool"] / figures["bare"] - 1}
    return found


def show(rows: list[dict[str, Any]], warm_figures: dict[str, Any], budget: int) -> None:
    """Print it."""
    print(f"\nbudget {budget / 1e9:.2f} GB, load average {os.getloadavg()[0]:.1f}")
    columns = f"{'cold':>5} {'p50 ms':>8} {'p99 ms':>8} {'wall s':>7} {'peak GB':>8} {'over GB':>8} {'booked':>7}"
    print(f"{'server':8} {columns}  answers")
    for row in rows:
        booked = "-" if row["booked_peak"] is None else f"{row['booked_peak'] / 1e9:.3f}"
        waits = f"{row['p50_s'] * 1e3:8.1f} {row['p99_s'] * 1e3:8.1f} {row['wall_s']:7.1f}"
        print(
            f"{row['server']:8} {row['loads']:5} {waits} "
            f"{row['measured_peak'] / 1e9:8.3f} {row['over_budget'] / 1e9:8.3f} {booked:>7}  {row['statuses']}"
        )
    print("\nwarm request of the real model, ms")
    for name, figures in warm_figures.items():
        bare, pool = figures["bare"] * 1e3, figures["pool"] * 1e3
        print(f"{name:5} bare {bare:7.3f}  pool {pool:7.3f}  share {figures['share']:+.1%}")


def main() -> None:
    """Serve, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=1_200_000_000)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=500, help="warm requests of each kind")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=("pool", "lru", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        import uvicorn  # noqa: PLC0415 - the servers need it

        uvicorn.run(make_app(given.serve, given.budget), fd=given.fd, log_level="error")
        return
    names = requests(given.requests)
    rows = [loaded(kind, given.budget, names, given.clients) for kind in ("pool", "lru")]
    warm_figures = warm(given.budget, given.rounds)
    show(rows, warm_figures, given.budget)
    if given.json:
        given.json.write_text(json.dumps({"budget": given.budget, "servers": rows, "warm": warm_figures}, indent=1))


if __name__ == "__main__":
    main()
