"""A bar for work of which the share that is done is known, and a word for other work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["waiting", "worked"]

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


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what goes on, where stderr is a terminal, while work lasts of which nobody knows how much there is."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True, highlight=False).status(what):
        yield
