"""`ullage score`: how well the estimates do."""

from pathlib import Path

import click

from ullage import format_bytes
from ullage.cli import options
from ullage.cli.show import Page, print_json
from ullage.scoring import ClassScore, Scored, score_footprint

__all__ = ["score"]


@click.group()
def score() -> None:
    """Compare estimates with what was measured."""


@score.command(
    epilog="""\b
Examples:
  ullage score footprint --truth footprint_truth.csv
  ullage score footprint --truth footprint_truth.csv --models ./gguf --all
"""
)
@click.option("--truth", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A CSV of truth rows.")
@click.option(
    "--models",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Files called like the rows' models, such as header-only GGUFs; else the catalog and the rows' columns serve.",
)
@click.option("--all", "show_all", is_flag=True, help="List every row, not only those that miss their target.")
@options.as_json
def footprint(*, truth: Path, models: Path | None, show_all: bool, as_json: bool) -> int:
    """Score footprints and verdicts against measured rows.

    For each class: the median and the worst signed error, how many rows lie above the most that was predicted, and
    beside it what the file's size times 1.2 would have said. Every miss is listed with its reason. Weights, caches and
    state are to be met within 0.1 % where the row says their form and runtime.
    """
    classes = score_footprint(truth, models)
    if as_json:
        rows = [row.as_dict() for scored in classes for row in scored.rows]
        print_json({"classes": [scored.as_dict() for scored in classes], "rows": rows})
        return 0
    page = Page()
    _table(page, classes)
    _verdicts(page, classes)
    for scored in classes:
        _rows(page, scored, show_all=show_all)
    return 0


def _table(page: Page, classes: list[ClassScore]) -> None:
    page.line("Estimates against measured figures", "bold")
    page.line(
        "Errors are predicted / measured - 1; the median is of their sizes. Exact: within 0.1 %, of the rows that say "
        "form and runtime. Above: measured more than the most predicted. x1.2: the median and the worst error of the "
        "file's size times 1.2."
    )
    page.line()
    page.table(
        ("class", ">rows", ">exact", ">median", ">worst", ">inside", ">above", ">x1.2", ">worst"),
        [_cells(scored) for scored in classes if scored.key != "verdict"],
    )


def _cells(scored: ClassScore) -> tuple[str, ...]:
    met, known = scored.exact
    baseline = scored.baseline if scored.key == "total" else None
    is_exact = scored.key in ("weights", "kv", "state")
    return (
        scored.name,
        str(len(scored.rows)),
        f"{met}/{known}" if is_exact else "",
        _percent(scored.median, signed=False),
        _percent(scored.worst),
        f"{scored.inside}/{len(scored.errors)}",
        str(scored.under),
        _percent(baseline[0], signed=False) if baseline else "",
        _percent(baseline[1]) if baseline else "",
    )


def _verdicts(page: Page, classes: list[ClassScore]) -> None:
    for scored in classes:
        if scored.key == "verdict":
            counts = ", ".join(f"{count} {name}" for name, count in scored.verdicts.items())
            page.line()
            page.line(f"{scored.name}s, {len(scored.rows)} rows: {counts}")
        baseline = scored.baseline
        if scored.key == "total" and baseline:
            page.line(f"file x1.2 is under by more than a sixth on {baseline[2]} of {len(scored.rows)} process totals")


def _rows(page: Page, scored: ClassScore, *, show_all: bool) -> None:
    rows = [row for row in scored.rows if show_all or row.miss]
    if not rows:
        return
    page.title(f"{scored.name}: {'every row' if show_all else 'misses, and why'}")
    for row in rows:
        page.line(_sentence(row))
        page.line(
            "    " + "; ".join(text for text in (row.miss, row.prediction.basis, row.prediction.runtime) if text), "dim"
        )


def _sentence(row: Scored) -> str:
    measured = format_bytes(row.row.bytes) if row.row.bytes is not None else row.row.published_as
    what = f"{row.row.id} {row.row.model}, {row.row.component}: {measured}"
    if row.prediction.missing:
        return what
    if row.prediction.answer:
        return f"{what}, judged {row.prediction.answer}"
    return f"{what}, predicted {format_bytes(row.prediction.best)} ({_percent(row.error)})"


def _percent(share: float | None, *, signed: bool = True) -> str:
    if share is None:
        return ""
    return f"{share:+.2%}" if signed else f"{share:.2%}"
