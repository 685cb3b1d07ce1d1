"""One frame: memory bars, models with their three figures, who waits, and the last decisions."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ullage import format_bytes
from ullage.cli.text import printable
from ullage.top.snapshot import Account, Decision, Model, Snapshot

__all__ = ["frame"]

WIDE = 72
HEADINGS = 7
"""Lines that headings and blank lines take."""
FULL, NEARLY = 0.95, 0.8
STATES = {"ready": "green", "loading": "yellow", "unloading": "yellow", "stuck": "red", "cold": "dim"}
DECISIONS = {"grant", "queue", "refuse", "load", "loaded", "load_failed", "unload", "unloaded", "worker_died", "evict"}
"""What is shown of the events: not what merely came in."""
REFUSALS = {"refuse", "load_failed", "worker_died"}


def frame(snapshot: Snapshot, width: int, height: int | None = None, *, ascii_only: bool = False) -> RenderableType:
    """Draw a snapshot on `width` columns, and on at most `height` lines if given."""
    models = sorted(snapshot.models, key=lambda model: model.rank)
    room = None if height is None else max(height - len(snapshot.accounts) - HEADINGS, 2)
    decisions = [row for row in snapshot.named(snapshot.decisions) if row[0].event in DECISIONS]
    shown = len(models) if room is None else min(len(models), max(room * 2 // 3, 1))
    last = decisions[-10:] if room is None else decisions[len(decisions) - max(min(room - shown, len(decisions)), 0) :]
    parts: list[RenderableType] = [_accounts(snapshot.accounts, width, ascii_only=ascii_only), Text()]
    parts.append(_totals(snapshot))
    parts.append(_models(models[:shown], width))
    if shown < len(models):
        parts.append(Text(f"and {len(models) - shown:,} more models", style="dim"))
    if last:
        parts += [Text(), Text("Last decisions", style="bold"), _decisions(last)]
    return Group(*parts)


def _accounts(accounts: Sequence[Account], width: int, *, ascii_only: bool) -> Table:
    table = _table()
    cells = max(width - 64, 4) if width >= WIDE else 5
    for name, right in (("memory", False), ("", False), ("booked", True), ("of", True), ("full", True), ("peak", True)):
        if width >= WIDE or name != "peak":
            table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for account in accounts:
        share = account.booked / account.limit if account.limit else 0.0
        row = [
            Text(printable(account.name)[: max(width // 4, 8)]),
            _bar(share, cells, ascii_only=ascii_only) if account.limit else Text("no limit", style="dim"),
            Text(format_bytes(account.booked)),
            Text("-" if account.limit is None else format_bytes(account.limit)),
            Text(f"{share:.0%}" if account.limit else "-", style=_colour(share)),
        ]
        if width >= WIDE:
            row.append(Text("-" if account.peak is None else format_bytes(account.peak)))
        table.add_row(*row)
    return table


def _bar(share: float, cells: int, *, ascii_only: bool) -> Text:
    full, empty = ("#", ".") if ascii_only else ("█", "·")
    filled = min(max(round(share * cells), share > 0), cells)
    return Text.assemble((full * filled, _colour(share)), (empty * (cells - filled), "dim"))


def _colour(share: float) -> str:
    return "red" if share >= FULL else "yellow" if share >= NEARLY else "green"


def _totals(snapshot: Snapshot) -> Text:
    models = snapshot.models
    ready = sum(model.state == "ready" for model in models)
    waiting = sum(model.waiting for model in models)
    leases = sum(model.leases for model in models)
    oldest = max((model.oldest_wait_s for model in models if model.oldest_wait_s is not None), default=None)
    text = Text(f"{len(models):,} models, {ready:,} ready, {leases:,} lease{'s' * (leases != 1)}, ", style="bold")
    text.append(f"{waiting:,} waiting", style="yellow" if waiting else "")
    if oldest is not None:
        text.append(f", the longest for {oldest:.1f} s", style="yellow")
    return text


def _models(models: Sequence[Model], width: int) -> Table:
    table = _table()
    table.add_column("model", overflow="ellipsis", no_wrap=True, max_width=max(width - 66, 12))
    table.add_column("state")
    columns = ("leases", "queue", "estimated", "booked", "measured", "loads", "evicted")
    chosen = columns if width >= WIDE else ("queue", "booked", "measured")
    for name in chosen:
        table.add_column(name, justify="right", no_wrap=True)
    for model in models:
        cells = {
            "leases": Text(f"{model.leases:,}"),
            "queue": Text(f"{model.waiting:,}", style="yellow" if model.waiting else ""),
            "estimated": Text(format_bytes(model.estimated)),
            "booked": Text(format_bytes(model.booked)),
            "measured": _measured(model),
            "loads": Text(f"{model.loads:,}"),
            "evicted": Text(f"{model.evictions:,}"),
        }
        called = Text(printable(model.name) + (" (pinned)" if model.pinned else ""))
        state = Text(printable(model.state), style=STATES.get(model.state, ""))
        table.add_row(called, state, *(cells[column] for column in chosen))
    return table


def _measured(model: Model) -> Text:
    if model.measured is None:
        return Text("-", style="dim")
    beyond = model.booked and model.measured > model.booked
    return Text(format_bytes(model.measured), style="red" if beyond else "")


def _decisions(rows: Sequence[tuple[Decision, str]]) -> Table:
    table = _table(header=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_column(no_wrap=True, overflow="ellipsis")
    for decision, model in rows:
        about = " ".join(f"{key} {value}" for key, value in decision.about if key not in {"model", "request"})
        style = "red" if decision.event in REFUSALS else ""
        words = printable(f"{model} {about}".strip())
        table.add_row(Text(f"{decision.time_s:.2f} s"), Text(printable(decision.event), style=style), Text(words))
    return table


def _table(*, header: bool = True) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=header)
