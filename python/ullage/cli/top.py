"""`ullage top`: a running pool, live."""

import time
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ullage.cli.show import NARROWEST
from ullage.cli.text import printable
from ullage.cli.values import Number
from ullage.errors import ArgumentError, UnreadableError
from ullage.top.frame import frame
from ullage.top.snapshot import Snapshot
from ullage.top.source import File, Server, opened

if TYPE_CHECKING:
    from ullage.serving.ray.watching import Running

__all__ = ["top"]


@click.command(
    epilog="""\b
Ctrl-C ends it.

\b
Examples:
  ullage top http://127.0.0.1:8000
  ullage top https://host/ullage/status --interval 0.5
  ullage top ray:
  ullage top snapshots.jsonl --once
"""
)
@click.argument("source")
@click.option(
    "--interval",
    type=Number(0.05, 3600),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="Between two looks.",
)
@click.option("--once", is_flag=True, help="Print one frame and end: of a file, the last.")
def top(*, source: str, interval: float, once: bool) -> int:
    """Watch a running pool: memory, models, queues, decisions.

    SOURCE is the URL of a server with the routes of `ullage.serving`, a cluster on Ray (`ray:`, `ray:NAME`,
    `ray:NAME@ADDRESS`), or a file with one JSON object a line, each what /ullage/status answered; a file is played from
    its beginning, a line each interval.
    """
    if not source:
        raise click.BadParameter("an empty name is no file and no URL", param_hint="SOURCE")
    snapshots = opened(source)
    if once:
        return _once(snapshots, source)
    _live(snapshots, source, interval)
    return 0


def _once(snapshots: "Server | File | Running", source: str) -> int:
    found = last = snapshots()
    while not snapshots.is_live and found is not None:
        last, found = found, snapshots()
    console = _console()
    with console.capture() as captured:
        console.print(_drawn(console, _given(last, source), height=None))
    # Without the blanks that columns put at the end of a line, which a pipe would keep.
    click.echo("\n".join(line.rstrip() for line in captured.get().split("\n")), nl=False)
    return 0


def _given(snapshot: Snapshot | None, source: str) -> Snapshot:
    if snapshot is None:
        raise ArgumentError(f"{source} has no snapshot in it", name="source", reason=f"{source} has no snapshot")
    return snapshot


def _live(snapshots: "Server | File | Running", source: str, interval: float) -> None:
    console = _console()
    shown = _given(snapshots(), source)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        trouble = ""
        while True:
            drawn = _drawn(console, shown, console.height - bool(trouble))
            live.update(Group(drawn, Text(printable(trouble), style="red")) if trouble else drawn, refresh=True)
            time.sleep(interval)
            trouble = ""
            try:
                found = snapshots()
            except UnreadableError as error:
                trouble = str(error)  # it may come back
                continue
            if found is None:
                return
            shown = found


def _console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = max(console.width, NARROWEST)
    return console


def _drawn(console: Console, snapshot: Snapshot, height: int | None) -> RenderableType:
    return frame(snapshot, console.width, height, ascii_only=console.options.ascii_only)
