"""How the benches of the ledger measure what takes nanoseconds.

A round is one call that loops by itself, so that what pytest-benchmark does for each call weighs nothing; the empty
loop is measured beside it and is subtracted in the table of `make ledger-costs`. Rounds last about a millisecond and
are many: their minimum is what the code costs where nobody interrupts it. What one thread does is timed by the clock of
its own processor time (`ONE_THREAD`), which stands still while others run.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

Benchmark = Any  # the fixture of pytest-benchmark, which has no types
Loop = Callable[[int], object]
COUNT = 10_000
ROUNDS = 50
ONE_THREAD = time.thread_time


def measure(benchmark: Benchmark, loop: Loop, count: int = COUNT, rounds: int = ROUNDS) -> None:
    """Time rounds of `count` turns of a loop."""
    benchmark.extra_info["count"] = count
    benchmark.pedantic(loop, args=(count,), rounds=rounds, warmup_rounds=2)


def measure_two(benchmark: Benchmark, loops: tuple[Loop, Loop], count: int = COUNT * 5, rounds: int = 8) -> None:
    """Time rounds in which two threads do `count` turns each; counted are the turns of both."""

    def both() -> None:
        start = threading.Barrier(2)

        def turn(loop: Loop) -> None:
            start.wait()
            loop(count)

        other = threading.Thread(target=turn, args=(loops[1],))
        other.start()
        turn(loops[0])
        other.join()

    benchmark.extra_info["count"] = 2 * count
    benchmark.pedantic(both, rounds=rounds, warmup_rounds=1)
