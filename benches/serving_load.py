"""Loads a server of many models over HTTP and prints what came of it: `python benches/serving_load.py`.

Servers of the same FastAPI application, each a process of its own with the same budget, answer the same requests in the
same order from the same number of connections:

- `pool`: models lent by `ullage.serving.fastapi`,
- `lru`: models in a `cachetools.LRUCache` of so many bytes, each loaded once at a time (`cached` with a condition),
- `lru-half`: the same cache of half as many bytes, as what it takes is more than what it counts,
- `strict`: as `pool`, asked by eight times as many at once, for a model that can never fit too, and with little
  patience: what it refuses must be said by its type,
- `bare`: the real model, and one that does nothing, in a global variable; only the warm latency is asked of it.

Requests come from `wrk` where it is installed (Debian has it), else from httpx2 in this process; the output says which.
Memory is what the process holds beyond what it held before the first request, looked at every few milliseconds. Warm
latency is measured on one connection, in turns between `pool` and `bare`: the difference is what lending costs.
Exit status 1 says that something broke: a 5xx without a type, or more booked than there is.
"""

# ruff: noqa: ANN401, T201 - applications and models of any kind; it prints

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
from serving_crowd import NAMES, REAL, requests

WORKSPACE = 16_000_000
NOTHING = "nothing"
"""A model that does nothing, so that what a request takes is the server's own."""
IMPOSSIBLE = "llava-1-5-7b"
"""17 GB: refused at once where there is less."""
TEXTS = ["A cat sits on the mat, and the mat lies on a rug that nobody has swept since the cask was tapped."]
SAMPLE_S = 0.005
BURST_S = 2
"""How long one server is asked before it is the other's turn."""
PERCENTILES = (0.0, 5.0, 50.0, 95.0, 99.0)

WRK = shutil.which("wrk")
SCRIPT = """
local names, place, answered = {}, -1, 0 -- the first request is one that wrk only looks at
for line in io.lines(os.getenv("LOAD_NAMES")) do names[#names + 1] = line end
local threads = {}
statuses = ""
local counts = {}
function setup(thread) threads[#threads + 1] = thread end
local once = os.getenv("LOAD_ONCE")
if once then
  function delay() return place < #names and 0 or 3600000 end -- who has nothing left to ask for waits for the end
end
function request()
  place = place + 1
  if once and place > #names then return wrk.format("GET", "/facts") end
  return wrk.format("POST", "/models/" .. names[(math.max(place, 1) - 1) % #names + 1])
end
function response(status, headers, body)
  if body:find('"booked_peak"', 1, true) then return end
  local kind = body:match('"urn:ullage:problem:([a-z-]+)"')
  local key = status .. (kind and " " .. kind or "")
  counts[key] = (counts[key] or 0) + 1
  statuses = ""
  for name, count in pairs(counts) do statuses = statuses .. name .. "=" .. count .. ";" end
  answered = answered + 1
  if once and answered == #names then
    io.stdout:write("ALL\\n")
    io.stdout:flush()
  end
end
function done(summary, latency, requests)
  io.stdout:write("FOUND ", summary.duration, " ", summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout)
  for _, share in ipairs({0.001, 5, 50, 95, 99}) do io.stdout:write(" ", latency:percentile(share)) end
  io.stdout:write(" ", threads[1]:get("statuses"), "\\n")
end
"""
"""Asks for the models of a file, in its order; all once, or in turn for as long as wrk runs."""


def make_app(kind: str, budget: int) -> Any:
    """Make one of the three applications."""
    import ullage  # noqa: PLC0415 - the servers need these, the client does not
    from ullage.cli.demo.minilm import MiniLM, find  # noqa: PLC0415
    from ullage.cli.demo.synthetic import Synthetic  # noqa: PLC0415

    directory = find()
    footprints = {REAL: ullage.footprint(directory, context=128)}
    footprints |= {name: ullage.footprint(name) for name in NAMES[1:]}

    def load(name: str) -> Any:
        if name == NOTHING:
            return object()
        return MiniLM(directory) if name == REAL else Synthetic(footprints[name].total.best)

    load(REAL).embed(TEXTS[0])  # threads and buffers that NumPy keeps belong to no model
    sizes = {name: footprint.total.hi for name, footprint in footprints.items()}
    if kind == "strict":
        sizes[IMPOSSIBLE] = ullage.footprint(IMPOSSIBLE).total.hi
        return pool_app(load, sizes, budget, timeout_s=2.0, max_waiting=32)
    if kind == "lru-half":
        return lru_app(load, sizes, budget // 2)
    return {"pool": pool_app, "lru": lru_app, "bare": bare_app}[kind](load, sizes, budget)


def answer(model: Any) -> str:
    if hasattr(model, "embed"):
        return str(float(model.embed(TEXTS[0])[0]))
    if hasattr(model, "run"):
        model.run(WORKSPACE)
    return "done"


def pool_app(load: Any, sizes: dict[str, int], budget: int, timeout_s: float = 60.0, max_waiting: int = 512) -> Any:
    from functools import partial  # noqa: PLC0415
    from typing import Annotated  # noqa: PLC0415

    from fastapi import FastAPI  # noqa: PLC0415

    import ullage  # noqa: PLC0415
    from ullage.serving.fastapi import Serving  # noqa: PLC0415

    pool = ullage.Pool(ullage.Ledger(budget))
    for name, size in sizes.items():
        pool.register(name, load=partial(load, name), footprint=size, workspace=WORKSPACE)
    pool.register(NOTHING, load=partial(load, NOTHING), footprint=1)
    serving = Serving(pool, timeout=timeout_s, max_waiting=max_waiting)
    app = FastAPI(lifespan=serving.lifespan)
    serving.install(app)

    @app.post("/models/{name}")
    def run(name: str, model: Annotated[Any, serving.lease(path="name")]) -> str:
        assert name == NOTHING or name in sizes
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
    models = {name: load(name) for name in (REAL, NOTHING)}

    @app.post("/models/{name}")
    def run(name: str) -> str:
        return answer(models[name])

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


def storm(url: str, names: list[str], clients: int) -> dict[str, Any]:
    """Ask for each of `names`, so many at a time."""
    return wrk(url, names, clients) if WRK else asyncio.run(_storm(url, names, clients))


def wrk(url: str, names: list[str], clients: int, seconds: int | None = None) -> dict[str, Any]:
    """Have wrk ask for each of `names` once, or in turn for so long."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("names", "\n".join(names) + "\n"), ("load.lua", SCRIPT)):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        environment = os.environ | {"LOAD_NAMES": f"{folder}/names"} | ({"LOAD_ONCE": "1"} if seconds is None else {})
        command = [str(WRK), "-t1", f"-c{clients}", f"-d{seconds or 600}s", "--timeout", "120s"]
        command += ["-s", f"{folder}/load.lua", url]
        words = []
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603 - wrk
            for line in running.stdout or ():
                if line.startswith("ALL"):
                    running.send_signal(signal.SIGINT)  # it would sit out its time
                elif line.startswith("FOUND"):
                    words = line.strip().split(maxsplit=8)
        if not words:
            raise SystemExit(f"wrk ended with {running.returncode} and said nothing")
    took_us, failed, *latencies_us = map(float, words[1:8])
    counts = dict(part.rsplit("=", 1) for part in words[8].split(";") if part)
    statuses = {kind: int(count) for kind, count in counts.items()}
    if failed:
        statuses["no answer"] = int(failed)
    return _row(statuses, [each / 1e6 for each in latencies_us], took_us / 1e6)


async def _storm(url: str, names: list[str], clients: int) -> dict[str, Any]:
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
    return _row(dict(statuses), [seconds[int((len(seconds) - 1) * share / 100)] for share in PERCENTILES], took)


def _row(statuses: dict[str, int], latencies_s: list[float], took_s: float) -> dict[str, Any]:
    found = dict(zip(("min_s", "p05_s", "p50_s", "p95_s", "p99_s"), latencies_s, strict=True))
    return {"statuses": statuses, **found, "wall_s": took_s}


def loaded(kind: str, budget: int, names: list[str], clients: int) -> dict[str, Any]:
    """Give what a server made of the whole trace."""
    with server(kind, budget) as (url, process):
        sampler = Sampler(process)
        try:
            found = storm(url, names, clients)
        finally:
            peak = sampler.end()
        facts = httpx2.get(f"{url}/facts").json()
    return {"server": kind, **found, **facts, "measured_peak": peak, "over_budget": max(0, peak - budget)}


def warm(budget: int, bursts: int) -> dict[str, Any]:
    """Give what requests for a model that is there take with and without the pool, in turns."""
    with ExitStack() as stack:
        urls = {kind: stack.enter_context(server(kind, budget))[0] for kind in ("pool", "bare")}
        for url in urls.values():
            storm(url, [REAL, NOTHING] * 20, 1)
        return {name: _warm(urls, name, bursts) for name in (REAL, NOTHING)}


def _warm(urls: dict[str, str], name: str, bursts: int) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in urls}
    for burst in range(bursts):
        for kind in sorted(urls, reverse=burst % 2 == 0):
            asked = [name] * 40
            rows[kind].append(wrk(urls[kind], asked, 1, BURST_S) if WRK else storm(urls[kind], asked, 1))
    found: dict[str, Any] = {"requests": sum(sum(row["statuses"].values()) for row in rows["pool"])}
    for key, pick in (("min_s", min), ("p05_s", statistics.median), ("p50_s", statistics.median)):
        figures = {kind: pick(row[key] for row in each) for kind, each in rows.items()}
        ratios = [one[key] / other[key] - 1 for one, other in zip(rows["pool"], rows["bare"], strict=True)]
        found[key] = {**figures, "share": figures["pool"] / figures["bare"] - 1, "of_turns": statistics.median(ratios)}
    return found


def broken(rows: list[dict[str, Any]], budget: int) -> list[str]:
    """Say what must not be: an answer of 5xx without a type, or more booked than the budget."""
    wrong = []
    for row in rows:
        for kind, count in row["statuses"].items():
            if (not kind.startswith("2") and " " not in kind) or kind.startswith("500") or kind == "no answer":
                wrong.append(f"{row['server']}: {count} answers of {kind}")
        if (row["booked_peak"] or 0) > budget:
            wrong.append(f"{row['server']}: {row['booked_peak']} booked of {budget}")
    return wrong


def show(rows: list[dict[str, Any]], warm_figures: dict[str, Any] | None, budget: int) -> None:
    """Print it."""
    by = "wrk" if WRK else "httpx2"
    print(f"\nbudget {budget / 1e9:.2f} GB, asked by {by}, load average {os.getloadavg()[0]:.1f}")
    columns = f"{'cold':>5} {'p50 ms':>8} {'p99 ms':>8} {'wall s':>7} {'peak GB':>8} {'over GB':>8} {'booked':>7}"
    print(f"{'server':8} {columns}  answers")
    for row in rows:
        booked = "-" if row["booked_peak"] is None else f"{row['booked_peak'] / 1e9:.3f}"
        waits = f"{row['p50_s'] * 1e3:8.1f} {row['p99_s'] * 1e3:8.1f} {row['wall_s']:7.1f}"
        print(
            f"{row['server']:8} {row['loads']:5} {waits} "
            f"{row['measured_peak'] / 1e9:8.3f} {row['over_budget'] / 1e9:8.3f} {booked:>7}  {row['statuses']}"
        )
    if warm_figures is None:
        return
    for model, found in warm_figures.items():
        print(f"\nwarm requests of {model}, {found['requests']} of each kind, ms")
        for name in ("min_s", "p05_s", "p50_s"):
            figures = found[name]
            bare, pool = figures["bare"] * 1e3, figures["pool"] * 1e3
            share, turns = figures["share"], figures["of_turns"]
            print(
                f"{name[:3]:5} bare {bare:7.3f}  pool {pool:7.3f}  share {share:+.1%}, median of the turns {turns:+.1%}"
            )
    added = min(
        found_["pool"] - found_["bare"] for found_ in (warm_figures[NOTHING][key] for key in ("min_s", "p50_s"))
    )
    real = warm_figures[REAL]["p50_s"]["bare"]
    print(f"lending adds {added * 1e6:,.0f} us, {added / real:.1%} of a request of the real model")


def main() -> None:
    """Serve, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=1_200_000_000)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--bursts", type=int, default=20, help=f"warm bursts of {BURST_S} s of each kind")
    parser.add_argument(
        "--only", choices=("pool", "lru", "lru-half", "strict", "warm"), action="append", help="leave the rest out"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=("pool", "lru", "lru-half", "strict", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        import uvicorn  # noqa: PLC0415 - the servers need it

        # By `fd=` it would be taken for a Unix socket, and answers would wait 40 ms for the client's acknowledgement.
        listener = socket.socket(fileno=given.fd)
        server_ = uvicorn.Server(uvicorn.Config(make_app(given.serve, given.budget), log_level="error"))
        server_.run(sockets=[listener])
        return
    names = requests(given.requests)
    crowds = {
        "pool": (names, given.clients),
        "lru": (names, given.clients),
        "lru-half": (names, given.clients),
        "strict": ([name if index % 20 else IMPOSSIBLE for index, name in enumerate(names)], 8 * given.clients),
    }
    only = given.only or [*crowds, "warm"]
    rows = [loaded(kind, given.budget, *crowd) for kind, crowd in crowds.items() if kind in only]
    warm_figures = warm(given.budget, given.bursts) if "warm" in only else None
    show(rows, warm_figures, given.budget)
    if given.json:
        given.json.write_text(json.dumps({"budget": given.budget, "servers": rows, "warm": warm_figures}, indent=1))
    wrong = broken(rows, given.budget)
    for line in wrong:
        print(f"broken: {line}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
