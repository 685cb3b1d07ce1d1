"""`ullage catalog architectures` and `runtimes`: what estimates are computed from."""

from typing import Any

import click

from ullage import catalog as tables
from ullage._core import runtime_policies
from ullage.catalog import ArchitectureRow
from ullage.cli import options
from ullage.cli.show import Page, print_json

__all__ = ["architectures", "as_dict", "runtimes"]

DATES_WIDTH = 104
"""From so many columns on, architectures have their dates."""


@click.command()
@click.option("--search", metavar="TEXT", help="Only those that have every word of TEXT in one of their names.")
@options.as_json
def architectures(*, search: str | None, as_json: bool) -> int:
    """List public models that are known by their configuration.

    Their tensors and caches are computed; none is downloaded. 'ullage footprint' takes the name or the page of one.
    """
    found = tables.architectures(search)
    if as_json:
        print_json({"architectures": [as_dict(row) for row in found]})
        return 0
    page = Page()
    columns = ("=name", ">parameters", "page", "=published")
    shown = 2 if not page.wide else 3 if page.width < DATES_WIDTH else 4
    rows = [(row.key, f"{row.parameters:,}", row.page, row.date) for row in found]
    page.table(columns[:shown], [row[:shown] for row in rows])
    page.line()
    page.line(f"{len(found)} architecture{'' if len(found) == 1 else 's'}")
    return 0


def as_dict(row: ArchitectureRow) -> dict[str, Any]:
    """Give an architecture as it stands in JSON."""
    return {
        "key": row.key,
        "name": row.name,
        "aliases": list(row.aliases),
        "parameters": row.parameters,
        "page": row.page,
        "date": row.date,
        "note": row.note,
        "components": [part.name for part in row.components if part.name],
    }


@click.command()
@options.as_json
def runtimes(*, as_json: bool) -> int:
    """List the runtimes whose use of memory is known, and how it is known.

    The first version of a runtime is its default; name another with @, as in --runtime coreml@ios16.
    """
    found = runtime_policies()
    if as_json:
        print_json({"runtimes": found})
        return 0
    page = Page()
    for policy in found:
        page.line(f"{policy['runtime']}@{policy['version']}", "bold")
        others = f"; also called {', '.join(policy['aliases'])}" if policy["aliases"] else ""
        page.line(f"  weights {policy['residency']}{others}")
        page.line(f"  {policy['date']}: {policy['source']}", "dim")
    return 0
