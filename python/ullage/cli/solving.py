"""A solve as a command runs it: a line on the terminal while it lasts, and what is left of one that was stopped."""

import sys
from collections.abc import Callable
from typing import TypeVar

import click
from rich.console import Console

from ullage.solving import Interrupted, Progress

__all__ = ["solved"]

Answer = TypeVar("Answer")


def solved(solve: Callable[[Callable[[Progress], None] | None], Answer], unit: str) -> tuple[Answer, bool]:
    """Solve, showing on a terminal how far it is in `unit`; the answer, and whether Ctrl-C ended the work."""
    console = Console(stderr=True, highlight=False)
    try:
        if not (sys.stderr.isatty() and sys.stdout.isatty()):
            return solve(None), False
        with console.status("solving") as line:
            return solve(lambda progress: line.update(_shown(progress, unit))), False
    except Interrupted as stopped:
        click.echo("interrupted; this is the best so far", err=True)
        return stopped.best, True


def _shown(progress: Progress, unit: str) -> str:
    best = "nothing complete yet" if progress.best is None else f"best {progress.best:,}"
    return f"{best}, at least {progress.lower_bound:,} {unit} ({progress.elapsed_s:.0f} s)"
