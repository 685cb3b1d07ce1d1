"""One strategy on one instance in a process of its own, which is watched and ended where it must be."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

import psutil

from ullage.benchmark.answer import checked
from ullage.benchmark.instance import Instance
from ullage.benchmark.row import Row, Status, row_of
from ullage.benchmark.strategy import Strategy
from ullage.benchmark.worker import ANSWER, READY, TASK
from ullage.errors import ViolationError

__all__ = ["Limits", "execute"]

BETWEEN_LOOKS_S = 0.02
IMPORT_LIMIT_S = 120.0
SAID = "said"
MOST_PRINTED = 64 << 20
LAST_WORDS = 2000


@dataclass(frozen=True)
class Limits:
    """What a strategy may take."""

    time_limit: float
    """Seconds that it is told to take."""
    grace: float
    """Seconds after which it is killed if it takes more than that."""
    memory: int
    """Bytes resident of its processes together, above which they are killed."""


def execute(strategy: Strategy, instance: Instance, limits: Limits, stop: Event) -> Row | None:
    """Run `strategy` on `instance` and check its answer; `None` if `stop` was set before there was one."""
    with tempfile.TemporaryDirectory(prefix="ullage-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        task = {"strategy": asdict(strategy), "instance": asdict(instance), "time_limit": limits.time_limit}
        (folder / TASK).write_text(json.dumps(task), encoding="utf-8")
        with (folder / SAID).open("wb") as said:
            process = subprocess.Popen(  # noqa: S603 - ours
                [sys.executable, "-m", "ullage.benchmark.worker", name],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=os.environ | {"TMPDIR": name, "TEMP": name, "TMP": name},
                start_new_session=True,
            )
            try:
                found = _watched(process, folder, limits, stop)
            finally:
                _end(process)
        if found is None:
            return None
    return row_of(strategy, instance, limits.time_limit, **_judged(instance, found))


def _watched(process: subprocess.Popen[bytes], folder: Path, limits: Limits, stop: Event) -> dict[str, Any] | None:
    """Wait for the answer; say instead how the process ended, or why it has to."""
    began, ready, peak = time.monotonic(), None, 0
    while process.poll() is None and not (folder / ANSWER).exists():
        if stop.wait(BETWEEN_LOOKS_S):
            return None
        now = time.monotonic()
        if ready is None and (folder / READY).exists():
            ready = now
        peak = max(peak, _resident(process.pid))
        seconds = None if ready is None else now - ready
        over = _over(seconds, now - began, peak, folder / SAID, limits)
        if over is not None:
            status, fault = over
            return {"status": status, "fault": fault, "seconds": seconds, "peak_bytes": peak}
    try:
        found: dict[str, Any] = json.loads((folder / ANSWER).read_bytes())
    except (OSError, ValueError):
        return {"status": "error", "fault": _end_of(process.wait(), folder / SAID)}
    found["peak_bytes"] = max(peak, found.get("peak_bytes") or 0) or None
    return found


def _over(solving_s: float | None, alive_s: float, peak: int, said: Path, limits: Limits) -> tuple[Status, str] | None:
    """Say which limit is passed, if any."""
    if solving_s is None and alive_s > IMPORT_LIMIT_S:
        return "error", f"its import takes more than {IMPORT_LIMIT_S:.0f} s"
    if solving_s is not None and solving_s > limits.time_limit + limits.grace:
        return "timeout", f"no answer after {solving_s:.1f} s"
    if peak > limits.memory:
        return "memory", f"{peak:,} bytes resident, allowed are {limits.memory:,}"
    if said.stat().st_size > MOST_PRINTED:
        return "error", f"it printed more than {MOST_PRINTED:,} bytes"
    return None


def _end_of(code: int, said: Path) -> str:
    """Say how a process ended that gave no answer."""
    try:
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
    except ValueError:
        how = f"signal {-code}"
    words = _last_words(said)
    return f"the process ended with {how}{': ' + words if words else ''}"


def _judged(instance: Instance, found: dict[str, Any]) -> dict[str, Any]:
    """Check the answer here, out of the strategy's reach."""
    if found["status"] != "answered":
        return found
    places, bound = found.pop("places"), found["lower_bound"]
    if places is None:
        return found | {"status": "timeout", "fault": "it found no answer in its time"}
    try:
        objective = checked(instance, places)
    except ViolationError as error:
        return found | {"status": "invalid", "fault": error.fact, "lower_bound": None}
    except (OverflowError, TypeError) as error:
        return found | {"status": "invalid", "fault": f"no such place: {error}", "lower_bound": None}
    found["objective"] = objective
    if bound is not None and bound > objective:
        fault = f"claims that at least {bound} are needed and takes {objective} itself"
        return found | {"status": "invalid", "fault": fault, "lower_bound": None}
    return found | {"status": "proven" if bound == objective else "feasible"}


def _resident(pid: int) -> int:
    """Give the bytes resident of a process and of all below it."""
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started."""
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(process.pid).children(recursive=True)
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for child in below:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.kill()
    process.wait()


def _last_words(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - LAST_WORDS, 0))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
