"""Reading damaged memory traces in a process of its own, which may take little memory and little time.

Run as a program it is that process: it reads cases from stdin, imports each, and says which misbehaved.
"""

import pickle
import resource
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from hostile_world import MEMORY, PATIENCE_S, SLOW_S, STATM, judged_apart

from ullage.errors import TraceFileError
from ullage.tracking import import_trace


def misbehaving(cases: Iterable[tuple[str, bytes]]) -> list[str]:
    """Import every case and describe those that end otherwise than with a timeline or a `TraceFileError`."""
    return judged_apart(__file__, list(cases))


def _judge(path: Path) -> str | None:
    """Import what lies at `path` and ask it everything; give what is wrong with how that ends, or nothing."""
    try:
        timeline = import_trace(path)
    except TraceFileError as error:
        said = str(error).replace(error.path, "")
        return None if error.path == str(path) and 0 < len(said) < 1000 else f"says {said}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is wrong
        return f"raises {type(error).__name__}: {error}"
    peak, rows = timeline.peak(), timeline.lifetimes()
    alive = rows[(rows["lower"] <= peak.position) & (peak.position < rows["upper"])]
    return None if alive["size"].sum() == peak.booked else f"a peak of {peak.booked} and lifetimes of another"


def _main(folder: Path) -> None:
    cases: list[tuple[str, bytes]] = pickle.load(sys.stdin.buffer)  # noqa: S301 - from this very module
    if STATM.exists():
        limit = int(STATM.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    path, last = folder / "case", folder / "last"
    for name, data in cases:
        path.write_bytes(data)
        last.write_text(name)
        start = time.monotonic()
        signal.alarm(PATIENCE_S)
        wrong = _judge(path)
        signal.alarm(0)
        if wrong:
            sys.stdout.write(f"{name}: {wrong}\n")
        if time.monotonic() - start > SLOW_S:
            sys.stdout.write(f"{name}: took {time.monotonic() - start:.1f} s\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
