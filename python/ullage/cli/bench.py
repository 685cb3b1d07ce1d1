"""`ullage bench`: strategies side by side on public instances."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import ullage
from ullage.benchmark import (
    Found,
    Instance,
    Judged,
    Line,
    Profile,
    Row,
    draw_profile,
    judge,
    own_names,
    performance_profile,
    problem_of,
    read_instances,
    read_optima,
    run,
    strategies,
    summarise,
    write_csv,
    write_json,
    write_markdown,
)
from ullage.benchmark.profile import check_drawable
from ullage.benchmark.summary import ALL
from ullage.benchmark.writing import HEADER, as_dict, cells
from ullage.cli import INTERRUPTED, options
from ullage.cli.show import Page, print_json
from ullage.cli.text import printable
from ullage.cli.values import INPUT, OUTPUT, SIZE, Number
from ullage.errors import ProblemError, UnreadableError
from ullage.solving import Interrupted

__all__ = ["bench"]

Told: TypeAlias = Callable[[Row, int, int], None]

HIDDEN = ("family", "instances")
HIDDEN_IF_NARROW = (*HIDDEN, "mean s", "median s", "max s")
MOST_FAULTS = 20
"""So many faults are shown; the files have all."""


@click.group(
    epilog="""\b
Examples:
  ullage bench pack instances/ --strategies auto,exact --time-limit 10
  ullage bench pack BPPLIB/*.tar.gz --optima optimal.csv --jobs 4
"""
)
def bench() -> None:
    """Compare strategies on public instances."""


@bench.command(
    epilog="""\b
Formats, told by name and content: BPPLIB text and .bpp (number of items,
capacity, sizes), .csp (number of sizes, capacity, then size and demand a
line), .vbp (dimensions, capacities, number of kinds, then demands and count a
line), CSV of buffers (id,lower,upper,size), OpenB's lists of pods and nodes
side by side, the Azure trace for packing as SQLite or CSV of its two tables;
also in .gz, .tar.gz and .zip.

\b
A strategy of your own is a Python function that takes an instance and the
seconds it has, and gives the bin of each item:
  def solve(instance, time_limit):
      return list(range(instance.count))

\b
Exit status: 0 done, 1 done and an answer was invalid or a strategy failed,
2 bad usage or input, 130 after Ctrl-C, with the results so far.

\b
Examples:
  ullage bench pack instances/ --strategies auto,exact --time-limit 10
  ullage bench pack a.txt b.csp --strategies auto,mine.py:solve
  ullage bench pack BPPLIB/ --optima optimal.csv --sample 10 --jobs 2 \\
      --journal run.jsonl --resume --profile profile.png
"""
)
@click.argument("paths", nargs=-1, required=True, metavar="DIR|FILE...", type=INPUT)
@click.option(
    "--strategies",
    "names",
    metavar="LIST",
    help="Strategies, separated by commas: names of ours or of installed ones, module:function or path.py:function, "
    "each with NAME= before it for another name. Default: all of ours.",
)
@click.option(
    "--time-limit",
    type=Number(0),
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    help="What each strategy is told to take for one instance.",
)
@click.option(
    "--grace",
    type=Number(0),
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    help="How much more it may take before it is killed.",
)
@click.option(
    "--memory-limit",
    type=SIZE,
    metavar="SIZE",
    help="What the processes of a strategy may hold. Default: what is available, shared by the jobs.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    metavar="N",
    default=1,
    show_default=True,
    help="Runs at once; more than one disturbs the times.",
)
@click.option(
    "--optima",
    type=INPUT,
    metavar="CSV",
    help="What is known to be optimal: columns family, instance and opt. Such a file among the instances counts, too.",
)
@click.option(
    "--family", "families", multiple=True, metavar="NAME", help="Only this family; may be given several times."
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of each family N instances, spread evenly over its names.",
)
@click.option(
    "--at-days",
    type=Number(),
    metavar="DAYS",
    default=7.0,
    show_default=True,
    help="Of an Azure trace, the instant that is looked at.",
)
@click.option("--journal", type=OUTPUT, metavar="JSONL", help="Keep every result as it comes.")
@click.option("--resume", is_flag=True, help="Take what the journal has already, and run the rest.")
@click.option("--csv", "csv_path", type=OUTPUT, metavar="OUT.csv", help="Write a line a run.")
@click.option("--markdown", type=OUTPUT, metavar="OUT.md", help="Write the table.")
@click.option("--output", type=OUTPUT, metavar="OUT.json", help="Write everything.")
@click.option(
    "--profile",
    type=OUTPUT,
    metavar="OUT.png",
    help="Draw the performance profile of Dolan and Moré, as PNG, SVG or PDF.",
)
@click.option(
    "--profile-of",
    type=click.Choice(["solved", "proven"]),
    default="solved",
    show_default=True,
    help="What counts in it: as good as the best that is known, or proven as well.",
)
@options.as_json
def pack(
    *,
    paths: tuple[Path, ...],
    names: str | None,
    time_limit: float,
    grace: float,
    memory_limit: str | None,
    jobs: int,
    optima: Path | None,
    families: tuple[str, ...],
    sample: int | None,
    at_days: float,
    journal: Path | None,
    resume: bool,
    csv_path: Path | None,
    markdown: Path | None,
    output: Path | None,
    profile: Path | None,
    profile_of: Literal["solved", "proven"],
    as_json: bool,
) -> int:
    """Compare strategies of packing on public instances.

    Every run has a process of its own, which is ended when it takes too much time or memory; every answer is checked
    by an independent validator. A run counts as solved if its answer is as good as the optimum that is known, or else
    as the best of all strategies here; as proven if the strategy's own lower bound says so and no other answer
    disproves it.
    """
    if resume and journal is None:
        raise click.UsageError("--resume needs --journal", click.get_current_context())
    _check_writable(journal, csv_path, markdown, output, profile)
    if profile is not None:
        check_drawable(profile)
    found = read_instances(paths, optima=None if optima is None else read_optima(optima), at_days=at_days)
    instances = _chosen(found, families, sample)
    problems = {problem_of(instance) for instance in instances}
    own = dict.fromkeys(name for problem in sorted(problems, reverse=True) for name in own_names()[problem])
    wanted = own if names is None else [name for name in names.split(",") if name.strip()]
    if not wanted:
        raise click.BadParameter("names no strategy", param_hint="--strategies")
    using = strategies(wanted)
    with _progress(as_json=as_json) as told:
        try:
            rows, is_interrupted = (
                run(
                    instances,
                    using,
                    time_limit=time_limit,
                    grace=grace,
                    jobs=jobs,
                    memory_limit=None if memory_limit is None else ullage.parse_bytes(memory_limit),
                    journal=journal,
                    resume=resume,
                    told=told,
                ),
                False,
            )
        except Interrupted as stopped:
            click.echo("interrupted; these are the results so far", err=True)
            rows, is_interrupted = stopped.best, True
    judged = judge(rows)
    lines, curves = summarise(judged), performance_profile(judged, profile_of)
    _write(judged, lines, curves, csv_path=csv_path, markdown=markdown, output=output, profile=profile)
    if as_json:
        left_out = [{"file": name, "reason": reason} for name, reason in found.left_out]
        print_json(as_dict(judged, lines, curves) | {"left_out": left_out})
    else:
        _draw(Page(), judged, lines, found.left_out)
    if is_interrupted:
        return INTERRUPTED
    return 1 if any(line.failed for line in lines) else 0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _check_writable(*paths: Path | None) -> None:
    """Refuse what could not be written, before hours of work."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise UnreadableError(f"{path}: there is no such folder", path=str(path))


def _chosen(found: Found, families: tuple[str, ...], sample: int | None) -> list[Instance]:
    groups: dict[str, list[Instance]] = {}
    for instance in found.instances:
        groups.setdefault(instance.family, []).append(instance)
    unknown = [family for family in families if family not in groups]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(groups) or 'none'}", param_hint="--family")
    if not groups:
        reasons = "".join(f"; {name}: {reason}" for name, reason in found.left_out[:1])
        raise ProblemError(f"no instance among the files{reasons}", field="files", reason="no instance")
    chosen = [groups[family] for family in (dict.fromkeys(families) or groups)]
    if sample is not None:
        chosen = [
            [group[i * len(group) // sample] for i in range(sample)] if sample < len(group) else group
            for group in chosen
        ]
    return [instance for group in chosen for instance in group]


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Told | None]:
    """Give what is called with each row: a bar on a terminal, else nothing."""
    if as_json or not (sys.stderr.isatty() and sys.stdout.isatty()):
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def told(row: Row, done: int, total: int) -> None:
            shown = row.objective if row.objective is not None else "-"
            text = f"{row.family}/{row.instance} {row.strategy} {row.status} {shown}"
            bar.update(task, completed=done, total=total, description=printable(text).replace("[", r"\["))

        yield told


def _write(
    judged: list[Judged],
    lines: list[Line],
    curves: Profile,
    *,
    csv_path: Path | None,
    markdown: Path | None,
    output: Path | None,
    profile: Path | None,
) -> None:
    wanted: list[tuple[Path | None, Callable[[Path], None]]] = [
        (csv_path, lambda path: write_csv(path, judged)),
        (markdown, lambda path: write_markdown(path, lines)),
        (output, lambda path: write_json(path, judged, lines, curves)),
        (profile, lambda path: draw_profile(curves, path)),
    ]
    for path, write in wanted:
        if path is not None:
            write(path)


def _draw(page: Page, judged: list[Judged], lines: list[Line], left_out: list[tuple[str, str]]) -> None:
    instances = len({(one.row.family, one.row.instance) for one in judged})
    page.line(f"{_count(instances, 'instance')}, {_count(len(judged), 'run')}; every answer was checked.", "bold")
    for family in dict.fromkeys(line.family for line in lines):
        among = [line for line in lines if line.family == family]
        size = _count(max(line.instances for line in among), "instance")
        page.title(f"{'All families' if family == ALL else family} ({size})")
        places = [place for place, name in enumerate(HEADER) if name not in (HIDDEN if page.wide else HIDDEN_IF_NARROW)]
        headed = [HEADER[place] if place < 2 else f">{HEADER[place]}" for place in places]  # noqa: PLR2004 - two names
        page.table(headed, [[cells(line)[place] for place in places] for line in among])
    faults = [one.row for one in judged if one.row.fault and one.row.status != "unsupported"]
    if faults:
        page.title("Faults")
        page.table(
            ("instance", "strategy", "status", "what"),
            [(f"{row.family}/{row.instance}", row.strategy, row.status, row.fault) for row in faults[:MOST_FAULTS]],
        )
        if len(faults) > MOST_FAULTS:
            page.line(f"and {len(faults) - MOST_FAULTS:,} more; --csv and --json have all")
    unsupported = sum(one.row.status == "unsupported" for one in judged)
    if unsupported:
        page.line(
            f"left out: {_count(unsupported, 'run')} of strategies that do not solve that kind of instance", "dim"
        )
    if left_out:
        name, reason = left_out[0]
        page.line(f"left out: {_count(len(left_out), 'file')} without an instance, such as {name}: {reason}", "dim")
