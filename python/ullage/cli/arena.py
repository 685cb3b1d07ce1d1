"""`ullage arena`: buffers with lifetimes in one block of memory."""

import csv
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

import ullage
from ullage import Layout, format_bytes
from ullage._core import parse_arena_csv
from ullage.cli import INTERRUPTED, options
from ullage.cli.show import Page, print_json, size
from ullage.cli.solving import solved
from ullage.cli.values import INPUT, OUTPUT, SIZE, of_file
from ullage.cli.working import waiting
from ullage.timeline.lifetime import names
from ullage.timeline.writing import replaced
from ullage.tracking import import_trace

__all__ = ["arena"]

INSTANT_S = 0.001


class Buffers(NamedTuple):
    """What is laid out, a column each."""

    ids: list[str]
    sizes: NDArray[Any]
    starts: NDArray[Any]
    ends: NDArray[Any]
    alignments: NDArray[Any] | None
    conditions: dict[str, list[Any]]


@click.command(
    epilog="""\b
Exit status: 0 a layout was found, within the capacity where one is given;
1 none is within the capacity (infeasible) or none was found in time; 2 bad
usage or input.

\b
Examples:
  ullage arena buffers.csv
  ullage arena buffers.csv --capacity 1MiB --time-limit 60 --json
  ullage arena snapshot.pickle --account gpu0 --output offsets.csv
"""
)
@click.argument("file", type=INPUT)
@click.option(
    "--capacity",
    type=SIZE,
    metavar="SIZE",
    help="How high the layout may reach, such as 1MiB. Default: look for the lowest.",
)
@click.option(
    "--account", metavar="PATH", help="Of a memory trace, lay out this account and those below. Default: everything."
)
@click.option(
    "--strategy",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="One of auto, exact, first_fit, best_fit, greedy_by_size, greedy_by_area, greedy_by_length, "
    "greedy_by_contention.",
)
@options.time_limit
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), metavar="N", default=0, show_default=True, help="Of the search."
)
@click.option("--output", type=OUTPUT, metavar="OUT.csv", help="Write id,lower,upper,size,offset.")
@click.option(
    "--top", type=click.IntRange(min=0), metavar="N", default=10, show_default=True, help="Show so many buffers."
)
@options.as_json
def arena(
    *,
    file: Path,
    capacity: str | None,
    account: str | None,
    strategy: str,
    time_limit: float,
    seed: int,
    output: Path | None,
    top: int,
    as_json: bool,
) -> int:
    """Lay buffers with lifetimes out in one block of memory.

    FILE is CSV if its name ends in .csv, or - for CSV on stdin: columns id, lower, upper and size, lifetimes from lower
    until before upper, and perhaps alignment, fixed (an offset), alias (a group at one offset), hint and gaps. Any
    other file is a memory trace, as `ullage timeline` reads. Every layout is checked by an independent validator before
    it is shown.
    """
    buffers = _buffers(file, account)
    layout, is_interrupted = solved(
        lambda told: ullage.plan_arena(
            buffers.sizes,
            buffers.starts,
            buffers.ends,
            capacity,
            alignments=buffers.alignments,
            **buffers.conditions,
            ids=buffers.ids,
            strategy=strategy,
            time_limit=time_limit,
            seed=seed,
            progress=told,
        ),
        "bytes",
        time_limit,
    )
    ullage.validate(layout)
    if output is not None:
        _write(output, buffers, layout)
    if as_json:
        print_json(layout.as_dict() | {"buffers": _columns(buffers, layout)})
    else:
        _draw(Page(), buffers, layout, top)
        if output is not None:
            click.echo(f"written: {output}", err=True)
    if is_interrupted:
        return INTERRUPTED
    return 0 if layout.status in {"optimal", "feasible"} else 1


def _buffers(file: Path, account: str | None) -> Buffers:
    is_csv = file.suffix.lower() == ".csv" or str(file) == "-"
    if is_csv and account is not None:
        raise click.UsageError("--account is for memory traces, not for CSV", click.get_current_context())
    if is_csv:
        with of_file(Path("stdin") if str(file) == "-" else file):
            found = parse_arena_csv(sys.stdin.buffer.read()) if str(file) == "-" else ullage.read_arena_instance(file)
        return Buffers(*found)
    with waiting(f"reading {file.name}"):
        rows = import_trace(file).lifetimes(account or "/")
    return Buffers(names(rows), rows["size"], rows["lower"], rows["upper"], None, {})


def _columns(buffers: Buffers, layout: Layout) -> dict[str, list[Any]]:
    """Give what was laid out and where, a list for each column of `--output`."""
    columns = {"lower": buffers.starts, "upper": buffers.ends, "size": buffers.sizes, "offset": layout.offsets}
    return {"id": list(buffers.ids), **{name: column.tolist() for name, column in columns.items()}}


def _write(path: Path, buffers: Buffers, layout: Layout) -> None:
    columns = (buffers.starts, buffers.ends, buffers.sizes, layout.offsets)
    with replaced(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("id", "lower", "upper", "size", "offset"))
        rows.writerows(zip(buffers.ids, *(column.tolist() for column in columns), strict=True))


def _draw(page: Page, buffers: Buffers, layout: Layout, top: int) -> None:
    page.line(_sentence(layout), "bold")
    if layout.reason:
        page.line(f"Reason: {layout.reason}.")
    page.line()
    whole = max(layout.height, layout.capacity or 0)
    cells = 24 if page.wide else 5
    figures = [("height", layout.height), ("lower bound", layout.lower_bound)]
    if layout.capacity is not None:
        figures.append(("capacity", layout.capacity))
    page.table(
        ("", "", ">bytes", ">"),
        [(name, page.fill(count, whole, cells), f"{count:,}", format_bytes(count)) for name, count in figures],
    )
    largest = np.argsort(-buffers.sizes.astype(np.int64), kind="stable")[:top]
    if len(largest):
        page.title("The largest buffers")
        page.table((">size", ">offset", ">from", ">until", "buffer"), [_row(buffers, layout, int(i)) for i in largest])
    if 0 < top < len(layout):
        page.line(f"and {len(layout) - top:,} more; --top shows more, --output writes all")


def _row(buffers: Buffers, layout: Layout, index: int) -> tuple[str, ...]:
    figures = (layout.offsets[index], buffers.starts[index], buffers.ends[index])
    return format_bytes(int(buffers.sizes[index])), *(f"{int(figure):,}" for figure in figures), buffers.ids[index]


def _sentence(layout: Layout) -> str:
    placed = f"{len(layout):,} buffer{'' if len(layout) == 1 else 's'} in {size(layout.height)}"
    took = f"{layout.seconds:.3g} s" if layout.seconds >= INSTANT_S else "under 1 ms"
    if layout.status == "optimal":
        return f"Optimal: {placed}; no layout is lower ({took})."
    if layout.status == "feasible":
        gap = f"{layout.gap / layout.lower_bound:.2%}"
        return f"Feasible: {placed}, {gap} above the highest load ({took})."
    if layout.status == "infeasible":
        return f"Infeasible: no layout is within the capacity; the lowest found has {placed} ({took})."
    return f"Timeout: nothing found within the capacity; the lowest found has {placed} ({took})."
