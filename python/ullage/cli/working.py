"""A bar for work of which the share that is done is known, and a word for other work."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["waiting", "worked"]

Answer = TypeVar("Answer")

PATIENCE_S = 0.5
"""Work that is done sooner is not spoken of."""


def worked(work: Callable[[Callable[[float, str], None] | None], Answer], what: str) -> Answer:
    """Do `work`, which is given what to tell its progress to, with a bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        return work(None)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(what, total=1.0)

        def tell(done: float, at: str) -> None:
            bar.update(task, completed=done, description=f"{what}: {at:<48.48}")

        return work(tell)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what goes on while work lasts of which nobody knows how much there is: on a terminal, and not at once."""
    if not sys.stderr.isatty():
        yield
        return
    status = Console(stderr=True, highlight=False).status(what)
    lock, over = threading.Lock(), threading.Event()

    def begin() -> None:
        with lock:
            if not over.is_set():
                status.start()

    timer = threading.Timer(PATIENCE_S, begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over.set()
            status.stop()
