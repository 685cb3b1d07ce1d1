"""Ours beside CP-SAT, HiGHS and VPSolver's arc-flow, problem by problem: whoever proves an optimum proves the same.

`make bench-pack-differential` runs it. Each problem is small and random; each answer is checked by the validator, each
lower bound against each answer of the others.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ullage.benchmark import ArenaInstance, Instance, PackingInstance, Strategy, judge, own_names, run

PEERS = Path(__file__).parent / "peers"
TIME_LIMIT_S = 10.0
DRAWS: list[Callable[[random.Random], list[int]]] = [
    lambda draw: [draw.randint(1, 100) for _ in range(draw.randint(1, 24))],
    lambda draw: [draw.randint(20, 50) for _ in range(draw.randint(1, 24))],
    lambda draw: [draw.randint(15, 35) for _ in range(draw.randint(1, 20))],
    lambda draw: [draw.choice([50, 51, 34, 33, 25, 26]) for _ in range(draw.randint(1, 30))],
    lambda draw: [draw.choice([0, 1, 100, draw.randint(1, 100)]) for _ in range(draw.randint(0, 16))],
]
"""Sizes for a bin of 100: all, near thirds, near quarters, few different ones, and the ends."""


def packing(number: int) -> PackingInstance:
    """Make a problem of one resource."""
    draw = random.Random(number)  # noqa: S311 - not for secrets
    sizes = DRAWS[number % len(DRAWS)](draw)
    return PackingInstance("made", str(number), (100,), tuple(((size,), 1) for size in sizes))


def arena(number: int) -> ArenaInstance:
    """Make buffers with lifetimes."""
    draw = random.Random(number)  # noqa: S311 - not for secrets
    count = draw.randint(1, 14)
    starts = [draw.randint(0, 10) for _ in range(count)]
    ends = [start + draw.randint(1, 6) for start in starts]
    sizes = [draw.randint(1, 12) for _ in range(count)]
    return ArenaInstance("made", str(number), tuple(sizes), tuple(starts), tuple(ends), (1,) * count)


def compare(kind: str, instances: Sequence[Instance], peers: dict[str, str], jobs: int) -> bool:
    """Solve by all, each run in a process of its own; print what was proven, and every disagreement."""
    solvers = [Strategy(name, f"ullage:{name}") for name in own_names()[kind]]
    solvers += [Strategy(name, f"{PEERS / spec}:solve") for name, spec in peers.items()]
    judged = judge(run(instances, solvers, time_limit=TIME_LIMIT_S, jobs=jobs))
    wrong = [one.row for one in judged if one.row.status in {"invalid", "error"}]
    said = Counter((one.row.strategy, one.row.status) for one in judged)
    print(f"{len(instances)} problems, {kind}: {len(wrong) or 'no'} disagreements")  # noqa: T201 - a program
    for solver in solvers:
        counts = (f"{count} {status}" for (name, status), count in said.items() if name == solver.name)
        print(f"  {solver.name}: {', '.join(counts)}")  # noqa: T201 - a program
    for row in wrong:
        print(f"  problem {row.instance}: {row.strategy}: {row.fault}")  # noqa: T201 - a program
    return not wrong


def main() -> None:
    """Compare; exit status 1 where anybody is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=50, help="of each kind (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the first problem")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once (default: 2)")
    options = parser.parse_args()
    numbers = range(options.seed, options.seed + options.problems)
    packers = {"CP-SAT": "packing_cpsat.py", "HiGHS": "packing_highs.py", "arc-flow": "packing_vpsolver.py"}
    agree = [
        compare("packing", [packing(number) for number in numbers], packers, options.jobs),
        compare("arena", [arena(number) for number in numbers], {"CP-SAT": "arena_cpsat.py"}, options.jobs),
    ]
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()
