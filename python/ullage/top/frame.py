"""One frame: memory bars, models with their three figures, who waits, and the last decisions."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ullage import format_bytes
from ullage.cli.text import printable
from ullage.top.snapshot import Account, Decision, Model, Snapshot

__all__ = ["frame"]

WIDE, WIDEST = 72, 96
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
        parts += [Text(), Text("Last decisions", style="bold"), _decisions(last, width)]
    return Group(*parts)


def _accounts(accounts: Sequence[Account], width: int, *, ascii_only: bool) -> Table:
    table = _table()
    cells = max(width - 64 if width >= WIDE else width - 48, 5)
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
    columns: tuple[str, ...] = ("leases", "queue", "estimated", "booked", "measured", "loads", "evicted")
    if width < WIDEST:
        columns = (
            ("leases", "queue", "booked", "measured", "loads") if width >= WIDE else ("queue", "booked", "measured")
        )
    rows = [(model, {column: cell for column, cell in _cells(model).items() if column in columns}) for model in models]
    taken = 2 + max([len("state"), *(len(printable(model.state)) for model in models)])
    for column in columns:
        taken += 2 + max([len(column), *(len(cells[column]) for _, cells in rows)])
    table = _table()
    table.add_column("model", overflow="ellipsis", no_wrap=True, max_width=max(width - taken - 2, 8))
    table.add_column("state", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for model, cells in rows:
        called = Text(printable(model.name) + (" (pinned)" if model.pinned else ""))
        state = Text(printable(model.state), style=STATES.get(model.state, ""))
        table.add_row(called, state, *(cells[column] for column in columns))
    return table


def _cells(model: Model) -> dict[str, Text]:
    return {
        "leases": Text(f"{model.leases:,}"),
        "queue": Text(f"{model.waiting:,}", style="yellow" if model.waiting else ""),
        "estimated": Text(format_bytes(model.estimated)),
        "booked": Text(format_bytes(model.booked)),
        "measured": _measured(model),
        "loads": Text(f"{model.loads:,}"),
        "evicted": Text(f"{model.evictions:,}"),
    }


def _measured(model: Model) -> Text:
    if model.measured is None:
        return Text("-", style="dim")
    beyond = model.booked and model.measured > model.booked
    return Text(format_bytes(model.measured), style="red" if beyond else "")


def _decisions(rows: Sequence[tuple[Decision, str]], width: int) -> Table:
    times = [f"{decision.time_s:.2f} s" for decision, _ in rows]
    events = [printable(decision.event) for decision, _ in rows]
    left = width - max(map(len, times)) - max(map(len, events)) - 4
    table = _table(header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(left, 4))
    for time, event, (decision, model) in zip(times, events, rows, strict=True):
        about = " ".join(f"{key} {value}".strip() for key, value in decision.about if key not in {"model", "request"})
        style = "red" if decision.event in REFUSALS else ""
        table.add_row(Text(time), Text(event, style=style), Text(printable(f"{model} {about}".strip())))
    return table


def _table(*, header: bool = True) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=header)
