"""The process in which a strategy runs: `python -m ullage.benchmark.worker FOLDER`.

`task.json` in the folder says what to do. `ready` appears there once the strategy is imported, from when on its time
counts, and `answer.json` once it has answered. Whatever the strategy prints goes to the process's stderr.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ullage.benchmark.answer import answer_of
from ullage.benchmark.instance import of_dict
from ullage.benchmark.strategy import Strategy

__all__ = ["ANSWER", "READY", "TASK"]

TASK, READY, ANSWER = "task.json", "ready", "answer.json"
LONGEST_REASON = 2000


def _work(folder: Path) -> dict[str, Any]:
    task = json.loads((folder / TASK).read_text(encoding="utf-8"))
    instance, time_limit = of_dict(task["instance"]), task["time_limit"]
    try:
        solve = Strategy(**task["strategy"]).load()
        (folder / READY).touch()
        spent, began = sum(os.times()[:4]), time.perf_counter()
        said = solve(instance, time_limit)
        seconds, spent = time.perf_counter() - began, sum(os.times()[:4]) - spent
        answer = answer_of(said)
    except NotImplementedError as error:
        return {"status": "unsupported", "fault": str(error)[:LONGEST_REASON]}
    except MemoryError as error:
        return {"status": "memory", "fault": f"MemoryError: {error}"[:LONGEST_REASON]}
    except BaseException as error:  # noqa: BLE001 - a strategy may raise anything, also SystemExit
        return {"status": "error", "fault": f"{type(error).__name__}: {error}"[:LONGEST_REASON]}
    return {
        "status": "answered",
        "places": answer.places,
        "lower_bound": answer.lower_bound,
        "seconds": seconds,
        "cpu_s": spent,
        "peak_bytes": _peak(),
    }


def _peak() -> int | None:
    """Give the most memory that the process had resident, where the system counts it."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _main() -> None:
    os.dup2(2, 1)
    folder = Path(sys.argv[1])
    found = _work(folder)
    beside = folder / "answer.part"
    beside.write_text(json.dumps(found), encoding="utf-8")
    beside.replace(folder / ANSWER)
    sys.stderr.flush()
    os._exit(0)  # threads and exit handlers of a strategy are not waited for


if __name__ == "__main__":
    _main()
