"""Prints what the ledger costs beside the floors, the peers and the targets: `make ledger-costs`.

Every figure is the least that was seen, or a low quantile where two threads meet, over many short rounds in several
passes that go through all designs: what the code costs where nobody interrupts it. Run it on a quiet machine all the
same.
"""

# ruff: noqa: T201 - it prints

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BENCHES = Path(__file__).parent
RUST_PASSES = 4
PYTHON_PASSES = 3
PYTHON_BENCHES = (
    "test_ledger.py",
    "test_ledger_batch.py",
    "test_ledger_tracking.py",
    "test_numpy_memory.py",
    "test_shared.py",
    "test_machine.py",
)
BATCHES = (16, 256, 4096, 65_536)
PLACES = ("1 thread", "separate trees", "sibling leaves", "same leaf")


@dataclass
class Figures:
    """What was measured, in nanoseconds but for memory and refusals."""

    rust: dict[str, float] = field(default_factory=dict)
    python: dict[str, float] = field(default_factory=dict)
    threads: dict[tuple[str, str], float] = field(default_factory=dict)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)

    def least(self, of: str, name: str, nanoseconds: float) -> None:
        """Keep the least of all passes."""
        known = getattr(self, of)
        known[name] = min(nanoseconds, known.get(name, nanoseconds))


@dataclass(frozen=True)
class Row:
    """One target, and how it is met."""

    what: str
    target: str
    most: float | None
    floor: tuple[str, float] | None
    ours: float | None
    unit: str = "ns"

    def cells(self) -> tuple[str, ...]:
        """Show it."""
        number = f"{{:,.{0 if self.unit == 'of 10 M' else 1}f}}".format
        if self.ours is None:
            return (self.what, self.target, "", "not here", "", "-")
        floor = f"{number(self.floor[1])} {self.floor[0]}" if self.floor else ""
        ratio = f"{self.ours / self.floor[1]:.2f}" if self.floor and self.floor[1] else ""
        met = "-" if self.most is None else "yes" if self.ours <= self.most else "NO"
        return (self.what, self.target, floor, f"{number(self.ours)} {self.unit}", ratio, met)


def run(command: list[str], **environment: str) -> None:
    """Run a bench; its own output is of interest only if it fails."""
    print(f"   {' '.join(command[:8])} ...", file=sys.stderr)
    done = subprocess.run(  # noqa: S603 - our own commands
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}\n{' '.join(command)} failed")


def cargo(bench: str, *arguments: str, **environment: str) -> None:
    """Run a bench of the core."""
    run(["cargo", "bench", "--locked", "-p", "ullage-core", "--bench", bench, "--", *arguments], **environment)


def measure_rust(figures: Figures, folder: Path, passes: int) -> None:
    """Measure the core."""
    for _ in range(passes):
        cargo("ledger", "--noplot", CRITERION_HOME=str(folder))
        for path in folder.glob("**/new/sample.json"):
            sample = json.loads(path.read_text())
            name = json.loads(path.with_name("benchmark.json").read_text())["full_id"]
            times = (time / count for time, count in zip(sample["times"], sample["iters"], strict=True))
            figures.least("rust", name, min(times))
    cargo("ledger_threads", LEDGER_COSTS=str(folder))
    for row in json.loads((folder / "threads.json").read_text()):
        if row["low_ns"] is not None:
            figures.threads[row["design"], row["place"]] = row["low_ns"]
    figures.refusals = json.loads((folder / "refusals.json").read_text())
    cargo("ledger_memory", LEDGER_COSTS=str(folder))
    if (folder / "memory.json").exists():
        rows = json.loads((folder / "memory.json").read_text())
        figures.memory |= {f"Rust, {row['form']}": row["bytes_each"] for row in rows}


def measure_python(figures: Figures, folder: Path, passes: int) -> None:
    """Measure the package."""
    benches = [str(BENCHES / name) for name in PYTHON_BENCHES if (BENCHES / name).exists()]
    report = folder / "pytest.json"
    for _ in range(passes):
        run([sys.executable, "-m", "pytest", *benches, "--benchmark-only", "-q", f"--benchmark-json={report}"])
        for bench in json.loads(report.read_text())["benchmarks"]:
            info = bench["extra_info"]
            count = info.get("count", 1) * info.get("elements", 1)
            name = f"{Path(bench['fullname'].split('::')[0]).stem}::{bench['name']}"
            figures.least("python", name, bench["stats"]["min"] / count * 1e9)
    live = folder / "live.json"
    run([sys.executable, str(BENCHES / "ledger_live.py"), f"--json={live}"])
    figures.memory |= {f"Python, {row['form']}": row["bytes_each"] for row in json.loads(live.read_text())}


def rust_rows(figures: Figures) -> Iterable[Row]:
    """Give the targets of the core."""
    floor = figures.rust["ledger/floor/8 atomic updates"]
    word = figures.rust["ledger/floor/2 CAS of a word"]
    pair = {name.removeprefix("ledger/pair/"): cost for name, cost in figures.rust.items() if "/pair/" in name}
    atomics = ("8 atomic updates", floor)
    locks = figures.rust["ledger/floor/2 locks"]
    clock = ("clock in a lock", (figures.rust["ledger/floor/2 locks, the counter read in each"] - locks) / 2)
    for name in ("ours, exact", "ours, exact, held", "ours, exact, drawn"):
        yield Row(f"Rust: {name}, 4 levels", "1.15 x 8 atomics", 1.15 * floor, atomics, pair[name])
    for name in ("ours, credit, drawn", "ours, credit, held", "ours, credit"):
        yield Row(f"Rust: {name}", "15 ns", 15, ("2 CAS of a word", word), pair[name])
        alone, beside = (figures.threads.get((name, place)) for place in ("1 thread", "sibling leaves"))
        if alone and beside:
            yield Row(
                f"Rust: {name}, 2 threads, siblings", "as 1 thread (+10 %)", 1.1 * alone, ("1 thread", alone), beside
            )
        contended = figures.threads.get(("2 atomic updates", "same leaf"))
        floor_of_two = ("2 atomic updates", contended) if contended else None
        both = figures.threads.get((name, "same leaf"))
        yield Row(f"Rust: {name}, 2 threads, same leaf", "60 ns", 60, floor_of_two, both)
    more = (pair["ours, exact, timeline"] - pair["ours, exact"]) / 2
    yield Row("Rust: timeline, an event more", "10 ns", 10, clock, more)
    timed, untimed = (figures.rust[f"ledger/{name}/4096"] for name in ("batch", "batch, no timeline"))
    yield Row("Rust: timeline, an event more of a batch", "10 ns", 10, None, (timed - untimed) / (2 * 4096))
    for form in ("reservations", "a batch"):
        yield Row(f"Rust: 10 M live, {form}", "64 B each", 64, None, figures.memory.get(f"Rust, {form}"), "B")
    ours = [row for row in figures.refusals if row["design"].startswith("ours")]
    worst = max(row["refused"] * 10_000_000 / row["tries"] for row in ours)
    yield Row(f"Rust: wrong refusals, the worst of {len(ours)} forms and places", "0", 0, None, worst, "of 10 M")


def python_rows(figures: Figures) -> Iterable[Row]:
    """Give the targets of the package."""
    loop = figures.python["test_ledger::test_pair[the loop alone]"]

    def cost(name: str) -> float | None:
        known = figures.python.get(f"test_ledger::test_pair[{name}]")
        return None if known is None else known - loop

    by_hand, tree = cost("C"), cost("Python, tree")
    for name in ("ours", "ours, labelled", "ours, timeline", "ours, as it comes"):
        if by_hand:
            yield Row(f"Python: {name}", "1.6 x C by hand", 1.6 * by_hand, ("C by hand", by_hand), cost(name))
        if tree:
            yield Row(f"Python: {name}", "1/6 of Python tree", tree / 6, ("Python tree", tree), cost(name))
    yield Row("Python: ours, credit", "-", None, ("C by hand", by_hand) if by_hand else None, cost("ours, credit"))
    for count in BATCHES:
        known = {way: figures.python.get(f"test_ledger_batch::test_{way}[{count}]") for way in ("c", "ours")}
        floor = ("C by hand", known["c"]) if known["c"] else None
        yield Row(f"Python: reserve_many of {count:,}, an element", "20 ns", 20, floor, known["ours"])
    for form in ("objects in a list", "a batch"):
        yield Row(f"Python: 10 M live, {form}", "64 B each", 64, None, figures.memory.get(f"Python, {form}"), "B")
    shared = figures.python.get("test_shared::test_ours_4_levels")
    yield Row("Python: shared ledger, pair", "2,000 ns", 2_000, None, shared)
    look = figures.python.get("test_machine::test_kept_open[host]")
    yield Row("Python: one look at the machine", "15,000 ns", 15_000, None, look)


def show(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print(f"\n{title}\n")
    for row in [head, tuple("-" * width for width in widths), *rows]:
        print(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def shown(cost: float | None) -> str:
    """Show a figure, or that there is none."""
    return "-" if cost is None else f"{cost:,.1f}"


def show_peers(figures: Figures) -> None:
    """Print every design beside the others."""
    designs = list(dict.fromkeys(name for name, _ in figures.threads))
    wrong = {(row["design"], row["limit"]): 100 * row["refused"] / row["tries"] for row in figures.refusals}
    limits = list(dict.fromkeys(limit for _, limit in wrong))
    rows = [
        (
            design,
            *(shown(figures.threads.get((design, place))) for place in PLACES),
            shown(figures.rust.get(f"ledger/refused/{design}")),
            *(f"{wrong[design, limit]:.3f} %" if (design, limit) in wrong else "-" for limit in limits),
        )
        for design in designs
    ]
    head = ("design", *PLACES, "refusal", *(f"wrong: {limit}" for limit in limits))
    show("Rust: ns a pair in each thread (lower quartile), a refusal (least), wrong refusals", head, rows)
    rust = [
        (name, shown(cost)) for name, cost in figures.rust.items() if "/pair/" not in name and "/refused/" not in name
    ]
    show("Rust: floors, depths, batches (least, ns)", ("what", "ns"), rust)
    show("Python (least, ns; the loop included)", ("what", "ns"), [(n, shown(c)) for n, c in figures.python.items()])
    show("Memory of a live reservation", ("what", "B"), [(name, shown(size)) for name, size in figures.memory.items()])


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one pass of each")
    parser.add_argument("--json", type=Path, help="also write all figures there")
    given = parser.parse_args()
    quick = given.quick
    load = os.getloadavg()[0]
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        measure_rust(figures, Path(folder), 1 if quick else RUST_PASSES)
        measure_python(figures, Path(folder), 1 if quick else PYTHON_PASSES)
    if given.json:
        threads = [{"design": name, "place": place, "ns": cost} for (name, place), cost in figures.threads.items()]
        given.json.write_text(json.dumps(vars(figures) | {"threads": threads}, indent=1))
    print(f"{platform.machine()}, {os.cpu_count()} processors, CPython {platform.python_version()}")
    print(f"load {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end")
    rows = [row.cells() for row in [*rust_rows(figures), *python_rows(figures)]]
    show("Targets", ("what", "target", "beside", "ours", "ratio", "met"), rows)
    show_peers(figures)


if __name__ == "__main__":
    main()
