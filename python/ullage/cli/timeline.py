"""`ullage timeline`: who held what at the peak of a memory trace."""

from collections.abc import Sequence
from pathlib import Path

import click

from ullage import Timeline, format_bytes
from ullage.cli import options
from ullage.cli.show import Page, print_json, size
from ullage.cli.values import INPUT, OUTPUT
from ullage.cli.working import waiting
from ullage.errors import Holder
from ullage.tracking import import_trace
from ullage.tracking.torch_snapshot import SOURCE

__all__ = ["timeline"]

UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))


@click.command(
    epilog="""\b
Examples:
  ullage timeline snapshot.pickle
  ullage timeline trace.json.gz --account gpu0 --top 20
  ullage timeline capture.bin --lifetimes arena.csv
"""
)
@click.argument("file", type=INPUT)
@click.option("--account", metavar="PATH", default="/", show_default=True, help="Look at this account and those below.")
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N", default=10, show_default=True, help="Show so many holders."
)
@click.option(
    "--lifetimes",
    type=OUTPUT,
    metavar="OUT.csv",
    help="Write from when until when which bytes were held: id,lower,upper,size, in positions of events.",
)
@click.option("--chrome", type=OUTPUT, metavar="OUT.json", help="Write counters that Perfetto draws.")
@options.as_json
def timeline(*, file: Path, account: str, top: int, lifetimes: Path | None, chrome: Path | None, as_json: bool) -> int:
    """Show when a memory trace peaked, and who held what then.

    FILE is a snapshot of PyTorch's CUDA allocator, a capture of memray, or a Chrome trace (JSON, also gzip) of
    PyTorch's profiler or with counters of bytes; its kind is told by its content.
    """
    with waiting(f"reading {file.name}"):
        history = import_trace(file)
        peak, end = history.peak(account), history.composition(account)
    if lifetimes is not None:
        history.write_lifetimes(lifetimes, account)
    if chrome is not None:
        history.to_chrome_trace(chrome)
    if as_json:
        found = history.as_dict() | {"account": account, "peak": peak.as_dict()}
        found["peak"]["holders"] = [holder._asdict() for holder in peak.holders[:top]]
        found["end"] = [holder._asdict() for holder in end[:top]]
        print_json(found | {"held_at_end": sum(holder.bytes for holder in end)})
    else:
        _draw(Page(), history, account, top)
        for written in filter(None, (lifetimes, chrome)):
            click.echo(f"written: {written}", err=True)
    return 0


def _draw(page: Page, history: Timeline, account: str, top: int) -> None:
    peak = history.peak(account)
    whose = "" if account == "/" else f" of {account}"
    page.line(f"The peak{whose} is {size(peak.booked)}, {_when(history, peak.position)}.", "bold")
    page.line(_extent(history))
    if not peak.exact:
        lost = f"{history.dropped:,} earlier event{'s are' if history.dropped > 1 else ' is'} lost"
        page.line(f"note: {lost}; what was held before the first is worked out from the rest.")
    _holders(page, "Who held it at the peak", peak.holders, top)
    end = history.composition(account)
    held = sum(holder.bytes for holder in end)
    if held:
        _holders(page, f"Still held at the end: {format_bytes(held)}", end, top)


def _when(history: Timeline, position: int) -> str:
    if not position:
        return "before the first event"
    first, then = (int(history.events["time_ns"][index]) for index in (0, position - 1))
    return f"{_span(then - first)} after the first event" if _timed(history) else f"after {position:,} events"


def _timed(history: Timeline) -> bool:
    """Tell whether times are times: snapshots before PyTorch 2.2 count their entries instead."""
    return history.source != SOURCE or history.epoch_unix_ns is not None


def _extent(history: Timeline) -> str:
    first, last = (int(time) for time in history.series()[0][[0, -1]])
    return f"{len(history):,} events of {history.source}" + (
        f" over {_span(last - first)}." if _timed(history) else "."
    )


def _holders(page: Page, title: str, holders: Sequence[Holder], top: int) -> None:
    if not holders:
        return
    page.title(title)
    whole = sum(holder.bytes for holder in holders)
    cells = max(min(24, page.width - 60), 4)
    rows = [
        (page.fill(holder.bytes, whole, cells), format_bytes(holder.bytes), holder.account, holder.label)
        for holder in holders[:top]
    ]
    if page.wide:
        page.table(("", ">held", "account", "label"), rows)
    else:
        page.table((">held", "label"), [(held, label) for _, held, _, label in rows])
    if len(holders) > top:
        rest = sum(holder.bytes for holder in holders[top:])
        page.line(f"and {len(holders) - top:,} more with {format_bytes(rest)}; --top shows more")


def _span(nanoseconds: int) -> str:
    """Show a time in the unit that leaves few digits."""
    for factor, unit in UNITS:
        if nanoseconds >= factor:
            return (
                f"{nanoseconds / factor:.3g} {unit}"
                if nanoseconds < 1000 * factor
                else f"{nanoseconds / factor:,.0f} {unit}"
            )
    return f"{nanoseconds} ns"
