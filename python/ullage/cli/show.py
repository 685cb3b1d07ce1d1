"""Tables and bars on the terminal, plain where the output is piped or NO_COLOR is set."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ullage import format_bytes
from ullage.cli.columns import GAP, fitted, wrapped
from ullage.cli.text import printable

__all__ = ["Page", "print_json", "size", "span"]

NARROWEST = 24
"""Narrower terminals are written to as if they were so wide; they wrap."""
WIDE = 72
"""From so many columns on, a table shows everything."""
STYLES = ("green", "yellow", "red")
"""Of the sure, the likely and the possible part of a bar."""


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object: indented for a reader, on one line for a pipe."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def size(count: int) -> str:
    """Show bytes in both kinds of unit: `4.20 GB (3.91 GiB)`."""
    decimal, binary = format_bytes(count), format_bytes(count, binary=True)
    return decimal if decimal == binary else f"{decimal} ({binary})"


def span(lo: int, hi: int) -> str:
    """Show a range of bytes: `1.00 GB to 2.00 GB`, or one figure where it is exact."""
    return format_bytes(lo) if lo == hi else f"{format_bytes(lo)} to {format_bytes(hi)}"


class Page:
    """What a command prints on, as wide as the terminal."""

    def __init__(self) -> None:
        """Take the terminal as it is now."""
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._console.width = self.width = max(self._console.width, NARROWEST)
        self.wide = self.width >= WIDE
        self._marks = tuple("#+-." if self._console.options.ascii_only else "█▓░·")

    def line(self, text: str = "", style: str = "") -> None:
        """Print a paragraph; without a text, an empty line."""
        self._print(Text(printable(text), style=style))

    def title(self, text: str) -> None:
        """Print the heading of what follows."""
        self.line()
        self.line(text, "bold")

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], keep: Sequence[int] | None = None
    ) -> None:
        """Print rows under `columns`: `>` before a name sets figures to the right, and that or `=` breaks none.

        `keep` are the places of the columns that are shown, where not all are.

        Of the others, what is too long breaks at blanks, else behind a mark such as `/` or `_`, so that a figure or a
        short word stays whole.
        """
        if keep is not None:
            columns, rows = [columns[index] for index in keep], [[row[index] for index in keep] for row in rows]
        headed = any(name.strip("=>") for name in columns)
        cells = [[cell if isinstance(cell, Text) else printable(cell) for cell in row] for row in rows]
        texts = [[name.lstrip("=>"), *(str(row[index]) for row in cells)] for index, name in enumerate(columns)]
        rigid = [
            name.startswith((">", "=")) or any(isinstance(row[index], Text) for row in cells)
            for index, name in enumerate(columns)
        ]
        widths = fitted(texts, rigid, self.width)
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim", show_header=headed)
        for name, text, is_rigid in zip(columns, texts, rigid, strict=True):
            side: Literal["left", "right"] = "right" if name.startswith(">") else "left"
            table.add_column(text[0], justify=side, no_wrap=is_rigid, overflow="fold")
        for row in cells:
            table.add_row(
                *(
                    cell
                    if isinstance(cell, Text)
                    else Text(cell if widths is None or rigid[index] else wrapped(cell, widths[index]))
                    for index, cell in enumerate(row)
                )
            )
        self._print(table)

    def _print(self, what: RenderableType) -> None:
        """Print without the blanks that a table puts at the end of its lines, which a pipe would keep."""
        with self._console.capture() as captured:
            self._console.print(what)
        click.echo("\n".join(line.rstrip() for line in captured.get().split("\n")), nl=False)

    def bar(self, lo: int, best: int, hi: int, whole: int, cells: int, *, track: bool = False) -> Text:
        """Draw up to `lo` for sure, up to `best` likely, up to `hi` possible, of `whole` over `cells` columns.

        What is not nothing has at least one cell. With `track`, the rest of `whole` is dotted.
        """
        ends = [min(max(round(part * cells / whole), part > 0), cells) if whole else 0 for part in (lo, best, hi)]
        bar = Text(no_wrap=True)
        start = 0
        for mark, style, end in zip(self._marks, STYLES, ends, strict=False):
            bar.append(mark * (end - start), style=style)
            start = max(start, end)
        if track:
            bar.append(self._marks[-1] * (cells - start), style="dim")
        return bar

    def fill(self, used: int, whole: int, cells: int) -> Text:
        """Draw how full something is."""
        return self.bar(used, used, used, whole, cells, track=True)

    def legend(self) -> str:
        """Say what the marks of a bar mean."""
        sure, likely, possible, _ = self._marks
        return f"{sure} least  {likely} most likely  {possible} most"
