"""What hurts users of other servers: what no other test of the pool shows, and that the page about it is true."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from pool_world import PATIENCE_S, Thing, in_thread, row, state, until, use

from ullage import Ledger, Pool
from ullage.errors import BudgetExceeded
from ullage.replaying import replay

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/explanation/pains.md"
NAMED = re.compile(r"`(?P<file>\w+(?:\.py|::\w+(?:::\w+)*))::(?P<test>\w+)`")
GB = 10**9


def test_no_more_goes_than_is_needed() -> None:
    """Of what made way for a load, nothing could have stayed: never all at once, never one too many."""
    sizes = [(11 * number) % 37 + 3 for number in range(12)]
    models = {f"m{number}": (size, 1.0) for number, size in enumerate(sizes)}
    requests = [(float(n), f"m{(n * n + n // 7) % 12}", 0.5) for n in range(3_000)]
    came = replay(requests, models, 100, serial=True, bound=False, log=True)
    assert came.log is not None
    resident: set[int] = set()
    gone: list[int] = []
    for line in came.log.decode().splitlines()[1:]:
        _, event, text = line.split(",")
        number = int(text)
        if event == "evict":
            resident.remove(number)
            gone.append(number)
        elif event == "load":
            free = 100 - sum(sizes[other] for other in resident) - sizes[number]
            assert all(sizes[victim] > free for victim in gone)
            resident.add(number)
            gone.clear()
    assert came.evictions > 500


def test_bytes_are_evicted_not_models() -> None:
    """Models of very different sizes: never over the budget, and far fewer bytes than by counting models."""
    sizes = {"whale": (60 * GB, 60.0)} | {f"minnow{number}": (2 * GB, 2.0) for number in range(20)}
    requests = [(10.0 * n, "whale" if n % 40 == 0 else f"minnow{n % 20}", 1.0) for n in range(2_000)]
    by_bytes = replay(requests, sizes, "80GB", serial=True, bound=False)
    # To be safe whatever comes, one who counts may keep as many as fit were all of them the largest: one.
    by_count_evicted = sum(sizes[name][0] for _, name, _ in requests[:-1])
    assert (by_bytes.overcommits, by_bytes.refused) == (0, 0)
    assert by_bytes.peak_bytes <= 80 * GB
    assert by_bytes.evicted_bytes < by_count_evicted / 3


def test_where_everything_is_pinned_a_request_is_refused_with_names() -> None:
    with Pool(Ledger(100)) as pool:
        pool.register("a", load=Thing, footprint=60, pinned=True)
        pool.register("b", load=Thing, footprint=30, pinned=True)
        pool.register("c", load=Thing, footprint=20)
        for name in "ab":
            use(pool, name)
        with pytest.raises(BudgetExceeded) as refused:
            use(pool, "c")
        assert refused.value.blocked_by == ["a", "b"]
        assert (refused.value.requested, refused.value.available) == (20, 10)
        with pytest.raises(BudgetExceeded):
            pool.register("d", load=Thing, footprint=20, pinned=True)
        pool.unpin("b")
        assert use(pool, "c") == "thing"
        assert state(pool, "a") == "ready"


def test_a_pipeline_around_more_models_than_fit_stays_mostly_warm() -> None:
    stages = {f"stage{number}": (8 * GB, 10.0) for number in range(5)}
    rounds = [(60.0 * number, f"stage{number % 5}", 20.0) for number in range(2_000)]
    came = replay(rounds, stages, "32GB", serial=True)
    assert came.lower_bound_load_seconds is not None
    assert came.load_seconds <= 1.2 * came.lower_bound_load_seconds


def test_a_process_that_hogs_memory_costs_idle_models_and_nothing_else() -> None:
    """A real process beside the pool: seen by what its pages are, and given way to until it ends."""
    limit, model = 1_000_000_000, 200_000_000
    hogs: list[psutil.Process] = []
    ledger = Ledger(limit)

    def look(domain: str) -> tuple[int, int]:
        assert domain == "host"
        others = sum(hog.memory_info().rss for hog in hogs if hog.is_running())
        return limit, sum(one["booked"] for one in pool.status()) + others if made else 0

    made = False
    with Pool(ledger, guard=look, watermarks=(0.75, 0.9), group_wait=0.0) as pool:
        for name in "abc":
            pool.register(name, load=Thing, footprint=model)
        made = True
        for name in "abc":
            use(pool, name)
        with pool.lease_sync("a"):
            text = "held = bytearray(b'x') * 350_000_000; print('ready', flush=True); input()"
            with subprocess.Popen(  # noqa: S603 - our own line of Python
                [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as hog:
                assert hog.stdout is not None
                assert hog.stdout.readline() == "ready\n"
                hogs.append(psutil.Process(hog.pid))
                until(lambda: sum(state(pool, name) == "ready" for name in "abc") < 3)
                until(lambda: pool.pressure()["host"]["level"] == "none")
                assert state(pool, "a") == "ready", "it is in use"
                hog.communicate("\n", timeout=PATIENCE_S)
        hogs.clear()
        until(lambda: pool.pressure()["host"]["others"] <= limit // 4)
        for name in "abc":
            use(pool, name)
        assert [state(pool, name) for name in "abc"] == ["ready"] * 3


def test_an_idle_model_stays_while_nobody_needs_its_memory() -> None:
    """No time to live unless somebody asks for one."""
    requests = [(0.0, "a", 1.0), (86_400.0, "a", 1.0)]
    kept = replay(requests, {"a": (GB, 5.0)}, "2GB", serial=True, bound=False)
    limited = replay(requests, {"a": (GB, 5.0)}, "2GB", policy="ttl", serial=True, bound=False)
    assert (kept.cold_starts, limited.cold_starts) == (1, 2)


def test_a_load_under_way_holds_nobody_else_up() -> None:
    go = threading.Event()

    def load() -> Thing:
        assert go.wait(PATIENCE_S)
        return Thing("slow")

    with Pool(Ledger(100)) as pool:
        pool.register("slow", load=load, footprint=40)
        pool.register("quick", load=Thing, footprint=40)
        use(pool, "quick")
        waits = in_thread(lambda: use(pool, "slow"))
        until(lambda: state(pool, "slow") == "loading")
        for _ in range(1_000):
            use(pool, "quick", timeout=1.0)
        go.set()
        assert waits.result(PATIENCE_S) == "slow"
        assert row(pool, "quick")["loads"] == 1


def test_the_page_names_tests_that_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = list(NAMED.finditer(text))
    assert len(found) > 20
    rust = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rust").rglob("*.rs"))
    for match in found:
        python = ROOT / "tests" / match["file"]
        where = python.read_text(encoding="utf-8") if python.suffix == ".py" else rust
        assert f"def {match['test']}(" in where or f"fn {match['test']}(" in where, match[0]
