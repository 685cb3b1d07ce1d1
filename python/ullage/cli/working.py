"""A bar for work of which the share that is done is known."""

import sys
from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["worked"]

Answer = TypeVar("Answer")


def worked(work: Callable[[Callable[[float, str], None] | None], Answer], what: str) -> Answer:
    """Do `work`, which is given what to tell its progress to, with a bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        return work(None)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(what, total=1.0)

        def tell(done: float, at: str) -> None:
            bar.update(task, completed=done, description=f"{what}: {at:<48.48}")

        return work(tell)
