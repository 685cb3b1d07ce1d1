"""Ours beside the packers of PyPI on a sample of public instances: a table, a journal and a profile.

`make bench-pack` runs it. At 10 s a run, the default, it takes more than an hour; `--quick` gives each run 2 s.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from packing_instances import generated, published

from ullage import _core
from ullage.benchmark import (
    Row,
    Strategy,
    as_markdown,
    draw_profile,
    judge,
    own_names,
    performance_profile,
    run,
    strategies,
    summarise,
    write_csv,
    write_markdown,
)
from ullage.solving import Interrupted

PEERS = Path(__file__).parent / "peers"
ADAPTERS = {
    "CP-SAT": ("ortools", "packing_cpsat.py:solve"),
    "HiGHS": ("highspy", "packing_highs.py:solve"),
    "arc-flow": ("pyvpsolver", "packing_vpsolver.py:solve"),
    "binpacking": ("binpacking", "packing_greedy.py:binpacking"),
    "prtpy FFD": ("prtpy", "packing_greedy.py:prtpy_ffd"),
    "prtpy BC": ("prtpy", "packing_greedy.py:prtpy_bin_completion"),
    "rectpack": ("rectpack", "packing_greedy.py:rectpack"),
}
"""By the name in the table: the package, and the function."""


def peers() -> list[Strategy]:
    """Give the peers that are installed."""
    return [
        Strategy(name, f"{PEERS / spec}")
        for name, (package, spec) in ADAPTERS.items()
        if importlib.util.find_spec(package) is not None
    ]


def main() -> None:
    """Run, and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 s a run instead of 10")
    parser.add_argument("--time-limit", type=float, help="seconds a run")
    parser.add_argument("--share", type=float, default=1.0, help="this share of the sample (default: all of it)")
    parser.add_argument("--ours", help="strategies of ours, separated by commas (default: all)")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; more than one disturbs the times")
    parser.add_argument("--folder", type=Path, default=Path("target/bench-pack"), help="where results are kept")
    options = parser.parse_args()
    if _core.DEBUG_BUILD:
        sys.exit("ullage is a debug build; `make build` makes the one to measure")
    data = os.environ.get("ULLAGE_DATA")
    instances = published(Path(data)) if data else generated()
    instances = instances[:: max(1, round(1 / options.share))]
    ours = strategies(options.ours.split(",") if options.ours else own_names()["packing"])
    time_limit = options.time_limit or (2.0 if options.quick else 10.0)
    options.folder.mkdir(parents=True, exist_ok=True)
    kept = options.folder / f"{'public' if data else 'made'}-{time_limit:g}s.jsonl"

    def told(row: Row, done: int, total: int) -> None:
        shown = f"{done}/{total} {row.family}/{row.instance} {row.strategy}: {row.status} {row.objective or ''}"
        sys.stderr.write(f"{shown} {row.fault[:60]}\n")

    try:
        rows = run(
            instances,
            ours + ([] if options.no_peers else peers()),
            time_limit=time_limit,
            grace=max(1.0, time_limit / 10),
            jobs=options.jobs,
            journal=kept,
            resume=True,
            told=told,
        )
    except Interrupted as stopped:
        rows = stopped.best
    judged = judge(rows)
    lines = summarise(judged)
    write_csv(kept.with_suffix(".csv"), judged)
    write_markdown(kept.with_suffix(".md"), lines)
    if importlib.util.find_spec("matplotlib") is not None:
        draw_profile(performance_profile(judged), kept.with_suffix(".png"))
    print(as_markdown(lines), end="")  # noqa: T201 - what was asked for


if __name__ == "__main__":
    main()
