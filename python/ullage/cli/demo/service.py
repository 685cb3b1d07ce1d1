"""The last chapter: a live pool serves the real MiniLM and models of real size under a budget smaller than their sum.

Everything here really happens: memory is taken and given back, requests arrive while models load, and what the process
holds is read from the system every few milliseconds and held against the ledger.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import ullage
from ullage import machine
from ullage.cli.demo.minilm import MiniLM
from ullage.cli.demo.synthetic import Synthetic
from ullage.errors import BudgetExceeded, LeaseTimeoutError

BUDGET = 1_200_000_000
WORKSPACE = 16_000_000
REAL = "all-minilm-l6-v2"
SYNTHETIC = (
    "all-mpnet-base-v2",
    "clip-vit-base-patch32-image",
    "efficientnet-v2-s",
    "jina-embeddings-v2-base-en",
    "ssdlite-320-mobilenet-v3-large",
    "whisper-tiny",
)
IMPOSSIBLE = "llava-1-5-7b"
"""17 GB: asked for once, to be refused."""

REQUESTS = 120
SEED = 1998
STEPS = len(SYNTHETIC) + 1 + REQUESTS
"""How often `advance` is called."""
SAMPLE_S = 0.004
TEXTS = ("A cat sits on the mat.", "A kitten rests on a rug.", "Quarterly revenue grew by nine percent.")


@dataclass
class Sampler:
    """Reads, every few milliseconds, what this process holds and what the ledger says it does."""

    account: ullage.Account
    baseline: int = field(default_factory=lambda: machine.process().rss)
    measured_peak: int = 0
    worst_excess: int = 0
    """The most by which the process held more than was booked at that moment; 0 if it never did."""
    samples: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="ullage-demo-sampler", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            # Booked is read on both sides of the measurement: memory may come or go in between.
            before = self.account.used
            held = machine.process().rss - self.baseline
            booked = max(before, self.account.used)
            self.measured_peak = max(self.measured_peak, held)
            self.worst_excess = max(self.worst_excess, held - booked)
            self.samples += 1


@dataclass
class Tally:
    """How the requests ended, and how long they waited."""

    ends: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)


async def serve(directory: Path, advance: Callable[[str], None]) -> dict[str, Any]:
    """Serve, and give the facts. `advance` is told of each step, for a progress bar."""
    footprints: dict[str, ullage.Footprint] = {REAL: ullage.footprint(directory, context=128)}
    footprints |= {name: ullage.footprint(name) for name in (*SYNTHETIC, IMPOSSIBLE)}
    ledger = ullage.Ledger(BUDGET)
    MiniLM(directory).embed(TEXTS[0])  # threads and buffers that NumPy keeps are not the pool's: warm up, then measure
    tally = Tally()
    async with ullage.Pool(ledger) as pool:
        _register(pool, directory, footprints)
        with Sampler(pool.account) as sampler:
            await _each_alone(pool, advance)
            cosines = await _cosines(pool)
            started = time.monotonic()
            await _storm(pool, tally, advance)
            seconds = time.monotonic() - started
            await _refused(pool, tally)
            status = pool.status()
            events = pool.events()
        peak = pool.account.peak
    rows = [
        {
            "name": row["name"],
            "real": row["name"] == REAL,
            "estimated": row["estimated"],
            "booked": footprints[row["name"]].total.hi,
            "measured": row["measured"],
            "loads": row["loads"],
            "evictions": row["evictions"],
            "state": row["state"],
        }
        for row in status
        if row["name"] != IMPOSSIBLE
    ]
    kinds = Counter(event["event"] for event in events)
    waits = sorted(tally.waits)
    return {
        "budget": BUDGET,
        "sum_of_models": sum(row["booked"] for row in rows),
        "models": rows,
        "requests": REQUESTS + 1,
        "ends": dict(tally.ends),
        "refusals": tally.refusals,
        "loads": kinds["load"],
        "evictions": sum(row["evictions"] for row in rows),
        "leases": kinds["grant"],
        "wait_median_s": waits[len(waits) // 2],
        "wait_max_s": waits[-1],
        "seconds": seconds,
        "text": TEXTS[0],
        "cosines": cosines,
        "estimated_peak": _estimated_peak(events, footprints),
        "booked_peak": peak,
        "measured_peak": sampler.measured_peak,
        "worst_excess": sampler.worst_excess,
        "samples": sampler.samples,
        "overcommits": int(peak > BUDGET) + int(sampler.measured_peak > BUDGET),
        "booked_at_the_end": ledger.used,
        "residency": _residency(events, [row["name"] for row in rows]),
    }


def _register(pool: ullage.Pool, directory: Path, footprints: dict[str, ullage.Footprint]) -> None:
    pool.register(
        REAL,
        load=partial(MiniLM, directory),
        footprint=footprints[REAL],
        workspace=WORKSPACE,
        pinned=True,
        max_concurrency=1,  # one forward pass keeps every core busy; two at once only get in each other's way
    )
    for name in (*SYNTHETIC, IMPOSSIBLE):
        load = partial(Synthetic, footprints[name].total.best)
        pool.register(name, load=load, footprint=footprints[name], workspace=WORKSPACE)


async def _each_alone(pool: ullage.Pool, advance: Callable[[str], None]) -> None:
    """Use each model once with nothing else going on, so that its growth of the process is its own."""
    for name in (REAL, *SYNTHETIC):
        async with pool.lease(name, timeout=60):
            pass
        advance(name)


async def _cosines(pool: ullage.Pool) -> dict[str, float]:
    """Say with real embeddings that the first two texts are alike and the third is not."""
    async with pool.lease(REAL, timeout=60) as model:
        first, second, third = [await asyncio.to_thread(model.embed, text) for text in TEXTS]
    return {TEXTS[1]: float(first @ second), TEXTS[2]: float(first @ third)}


async def _storm(pool: ullage.Pool, tally: Tally, advance: Callable[[str], None]) -> None:
    """Let requests arrive at random, some with little patience, and wait for the last to end."""
    randomness = random.Random(SEED)  # noqa: S311 - a repeatable crowd, not a secret
    names = (REAL, *SYNTHETIC)
    popularity = [1 / rank for rank in range(1, len(names) + 1)]
    async with asyncio.TaskGroup() as crowd:
        for number in range(REQUESTS):
            name = randomness.choices(names, popularity)[0]
            patience = 0.15 if number % 10 == 9 else 60.0  # noqa: PLR2004 - every tenth is in a hurry
            hold = randomness.uniform(0.01, 0.08)
            visit = _Visit(name, patience, hold, randomness.choice(TEXTS))
            crowd.create_task(_request(pool, visit, tally, advance))
            await asyncio.sleep(randomness.expovariate(60))


@dataclass(frozen=True)
class _Visit:
    """One request: what it wants, how long it waits for it, and what it does with it."""

    name: str
    patience_s: float
    hold_s: float
    text: str


async def _request(pool: ullage.Pool, visit: _Visit, tally: Tally, advance: Callable[[str], None]) -> None:
    asked = time.monotonic()
    try:
        async with pool.lease(visit.name, timeout=visit.patience_s) as model:
            tally.waits.append(time.monotonic() - asked)
            if isinstance(model, MiniLM):
                await asyncio.to_thread(model.embed, visit.text)
            else:
                await asyncio.to_thread(model.run, WORKSPACE)
                await asyncio.sleep(visit.hold_s)
        tally.ends["served"] += 1
    except LeaseTimeoutError as late:
        tally.ends["timed out"] += 1
        tally.refusals.append(late.as_dict())
    finally:
        model = None  # a name that outlives its lease keeps the memory, and so its booking
        advance(visit.name)


async def _refused(pool: ullage.Pool, tally: Tally) -> None:
    try:
        async with pool.lease(IMPOSSIBLE, timeout=60):
            tally.ends["served"] += 1
    except BudgetExceeded as refusal:
        tally.ends["refused"] += 1
        tally.refusals.append(refusal.as_dict())


def _estimated_peak(events: list[dict[str, Any]], footprints: dict[str, ullage.Footprint]) -> int:
    """Give the largest sum of estimates over the models that were in memory at once."""
    held = peak = 0
    for event in events:
        if event["event"] == "load":
            held += footprints[event["model"]].total.best
        elif event["event"] in {"unloaded", "load_failed"}:
            held -= footprints[event["model"]].total.best
        peak = max(peak, held)
    return peak


def _residency(events: list[dict[str, Any]], names: list[str]) -> dict[str, list[tuple[float, float, str]]]:
    """Give for each model the spans `(from_s, to_s, "loading" | "ready" | "unloading")` of its life in memory."""
    after = {"load": "loading", "loaded": "ready", "unload": "unloading"}
    ends = {"load", "loaded", "load_failed", "unload", "unloaded"}
    since: dict[str, tuple[float, str]] = {}
    spans: dict[str, list[tuple[float, float, str]]] = {name: [] for name in names}
    for event in events:
        name = event.get("model")
        if name not in spans or event["event"] not in ends:
            continue
        if name in since:
            start, state = since.pop(name)
            spans[name].append((start, event["time_s"], state))
        if event["event"] in after:
            since[name] = event["time_s"], after[event["event"]]
    last = events[-1]["time_s"] if events else 0.0
    for name, (start, state) in since.items():
        spans[name].append((start, last, state))
    return spans
