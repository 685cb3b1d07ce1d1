"""A solve as a command runs it: a bar on the terminal while it lasts, and what is left of one that was stopped."""

import sys
from collections.abc import Callable
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from ullage.solving import Interrupted, Progress

__all__ = ["solved"]

Answer = TypeVar("Answer")


def solved(
    solve: Callable[[Callable[[Progress], None] | None], Answer], unit: str, time_limit: float
) -> tuple[Answer, bool]:
    """Solve, showing on a terminal how much of `time_limit` is gone, and how far it is in `unit`.

    Gives the answer, and whether Ctrl-C ended the work.
    """
    try:
        if not (sys.stderr.isatty() and sys.stdout.isatty()):
            return solve(None), False
        columns = (TextColumn("solving"), BarColumn(20), TextColumn("{task.description}", markup=False))
        with Bar(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
            task = bar.add_task("", total=max(time_limit, 1e-9))
            return solve(
                lambda found: bar.update(task, completed=found.elapsed_s, description=_shown(found, unit, time_limit))
            ), False
    except Interrupted as stopped:
        click.echo("interrupted; this is the best so far", err=True)
        return stopped.best, True


def _shown(progress: Progress, unit: str, time_limit: float) -> str:
    best = "nothing complete yet" if progress.best is None else f"best {progress.best:,}"
    return f"{progress.elapsed_s:.0f} of {time_limit:g} s: {best}, at least {progress.lower_bound:,} {unit}"
