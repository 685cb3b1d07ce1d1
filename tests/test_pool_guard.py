"""The guard: what others on the machine take, what the pool gives back for it, and loaders that lie."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_world import PATIENCE_S, Thing, in_thread, row, state, until, use

from ullage import Ledger, Pool
from ullage._core import Gauge
from ullage.errors import ArgumentError, LeaseTimeoutError, MemoryPressureError
from ullage.pooling.guard import OTHERS, Machine


class Host:
    """A machine of 1,000 bytes on which others live."""

    def __init__(self) -> None:
        """Start with little in use."""
        self.used = 100
        self.looks = 0
        self.is_broken = False

    def __call__(self, domain: str) -> tuple[int, int] | None:
        """Look."""
        assert domain == "host"
        self.looks += 1
        if self.is_broken:
            raise OSError("not now")
        return 1000, self.used


@pytest.fixture
def host() -> Host:
    """Give a machine."""
    return Host()


@pytest.fixture
def watched(host: Host) -> Iterator[Pool]:
    """Give a pool on it."""
    with Pool(Ledger(800), guard=host, group_wait=0.0) as pool:
        for name in "abc":
            pool.register(name, load=Thing, footprint=200)
        yield pool


def test_a_neighbour_that_grows_costs_idle_models(watched: Pool, host: Host) -> None:
    for name in "abc":
        use(watched, name)
    with watched.lease_sync("a"):
        host.used = 960
        until(lambda: watched.pressure()["host"]["level"] == "hard")
        until(lambda: [row["state"] for row in watched.status()] == ["ready", "cold", "cold"])
        assert use(watched, "a") == "thing", "hits are served"
        with pytest.raises(MemoryPressureError) as caught:
            use(watched, "b")
        assert (caught.value.model, caught.value.retry_after is not None) == ("b", True)
    host.used = 300
    until(lambda: watched.pressure()["host"]["level"] == "none")
    assert use(watched, "b") == "thing"
    levels = [event["level"] for event in watched.events() if event["event"] == "pressure"]
    assert levels[0] == "hard"
    assert levels[-1] == "none"


def test_what_others_took_is_not_lent(watched: Pool, host: Host) -> None:
    """The ledger has 800 bytes; the machine has 150 below its mark."""
    host.used = 800
    until(lambda: watched.pressure()["host"]["others"] >= 650)
    assert any(holder.label == OTHERS for holder in watched.account.holders())
    with pytest.raises(LeaseTimeoutError):
        use(watched, "a", timeout=0.3)
    waiter = in_thread(lambda: use(watched, "a"))
    until(lambda: row(watched, "a")["waiting"] == 1)
    host.used = 100
    assert waiter.result(PATIENCE_S) == "thing"
    watched.close(PATIENCE_S)
    assert watched.account.used == 0


def test_a_machine_that_cannot_be_read_changes_nothing(watched: Pool, host: Host) -> None:
    host.is_broken = True
    looks = host.looks
    until(lambda: host.looks > looks + 1)
    assert use(watched, "a") == "thing"
    assert state(watched, "a") == "ready"


@pytest.mark.parametrize(
    "wrong", [(0.9,), (0.0, 0.9), (0.95, 0.9), (0.5, 1.5), 0.9, (0.9, "much"), (0.9, float("nan"))]
)
def test_marks_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(ArgumentError, match="watermarks"):
        Pool(Ledger(100), watermarks=wrong)  # type: ignore[arg-type] # that is the point


def test_without_a_guard_nobody_looks() -> None:
    with Pool(Ledger(100)) as pool:
        assert pool.pressure() == {}


def test_this_machine_can_be_read() -> None:
    found = Machine()("host")
    assert found is not None
    assert 0 < found.used <= found.limit
    assert found.stalled is None or 0 <= found.stalled <= 100
    assert Machine()("gpu:99") is None


def test_a_gauge_reads_and_answers() -> None:
    gauge = Gauge()
    assert gauge.read(0.0, limit=1000, used=100) == ("none", 0, 0)
    assert gauge.read(0.1, limit=1000, used=920, offered=500, coming=10) == ("soft", 70, 480)
    with pytest.raises(ArgumentError):
        gauge.read(-1.0, limit=1000, used=100)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is read from /proc")
@pytest.mark.parametrize("percent", [50, 150])
def test_loaders_that_lie_never_run_out_of_memory(percent: int) -> None:
    """Fifteen models of 20 MB said to be of 40 MB, or of 60 MB; memory for ten of the latter. Each allocates for real.

    Nobody measures them: what they take shows only in what the machine reports.
    """
    script = Path(__file__).with_name("pool_liars.py")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), MALLOC_ARENA_MAX="1")
    found = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script), str(percent)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.startswith("45 leases"), found.stdout
