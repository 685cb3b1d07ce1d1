"""Models that are larger or smaller than they say, in a process whose memory really ends: `pool_liars.py PERCENT`."""

import resource
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ullage import Ledger, Pool
from ullage.errors import MemoryPressureError
from ullage.machine import memory

MB = 1_000_000
SAID = 40 * MB
MODELS = 15
ROOM = 800 * MB
"""Of it 100 MB for the stacks of threads."""


def load(size: int) -> list[npt.NDArray[np.uint8]]:
    """Allocate in ten steps, as readers of files do, slowly enough to be seen."""
    parts = []
    for _ in range(10):
        parts.append(np.ones(size // 10, np.uint8))
        time.sleep(0.01)
    return parts


def use(pool: Pool, name: str) -> int:
    """Lease a model; come back when told to."""
    while True:
        try:
            with pool.lease_sync(name, timeout=30) as model:
                assert len(model) == 10
                return 1
        except MemoryPressureError as error:
            time.sleep(error.retry_after or 0.1)


def main(percent: int) -> None:
    """Use every model three times; a loader that runs out of memory, or a lease refused for good, ends this."""
    np.ones(1)
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, resource.RLIM_INFINITY))
    limit = memory()
    assert limit.limit_source == "RLIMIT_AS", limit
    failures: list[str] = []
    leases = 0
    with Pool(Ledger(600 * MB), guard=True, watermarks=(0.85, 0.95), group_wait=0.0) as pool:
        for number in range(MODELS):
            pool.register(f"m{number}", load=partial(load, SAID * percent // 100), footprint=SAID, retries=0)
        for _ in range(3):
            for number in range(MODELS):
                leases += use(pool, f"m{number}")
                used = memory()
                if used.used > used.limit:
                    failures.append(f"{used.used} of {used.limit}")
        levels = [event["level"] for event in pool.events() if event["event"] == "pressure"]
        assert pool.account.peak <= 600 * MB
    assert not failures, failures
    sys.stdout.write(f"{leases} leases, levels {levels}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
