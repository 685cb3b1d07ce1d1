"""`ullage score`: how well the estimates do."""

import os
from pathlib import Path

import click

from ullage import format_bytes
from ullage.cli import options
from ullage.cli.score_latency import latency
from ullage.cli.show import Page, print_json
from ullage.cli.values import INPUT
from ullage.cli.working import waiting
from ullage.scoring import ClassScore, RatioScore, Scored, SizeScore, score_footprint, score_ratios, score_sizes

__all__ = ["score"]

TRUTH = "coreml_truth.csv"
"""The file of real sizes."""


@click.group()
def score() -> None:
    """Compare estimates with what was measured."""


score.add_command(latency)


@score.command(
    epilog="""\b
Examples:
  ullage score footprint --truth footprint_truth.csv
  ullage score footprint --truth footprint_truth.csv --models ./gguf --all
"""
)
@click.option("--truth", type=INPUT, required=True, metavar="FILE", help="A CSV of truth rows.")
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
    with waiting("estimating"):
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


@score.command(
    epilog="""\b
Examples:
  ullage score compression
  ULLAGE_DATA=./data ullage score compression --all
"""
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=lambda: os.environ.get("ULLAGE_DATA") or None,
    metavar="FOLDER",
    help="Where coreml_truth.csv and coreml_layers.json lie. Default: what ULLAGE_DATA names.",
)
@click.option("--all", "show_all", is_flag=True, help="List every real size, not only those that are not met.")
@options.as_json
def compression(*, data: Path | None, show_all: bool, as_json: bool) -> int:
    """Score sizes of compressed Core ML packages against real files, and ratios against the published ones.

    Everything is computed from the shapes of layers. A published ratio is the quotient of two sizes of packages as they
    were printed, in decimal megabytes with one digit (below one, in whole kilobytes).
    """
    source = click.get_current_context().get_parameter_source("data")
    if data is not None and source is not None and source.name == "COMMANDLINE" and not (data / TRUTH).is_file():
        raise click.BadParameter(f"{data} has no {TRUTH}", param_hint="--data")
    with waiting("computing sizes"):
        ratios = score_ratios()
        sizes = score_sizes(data) if data is not None and (data / TRUTH).is_file() else None
    if as_json:
        print_json(
            {
                "ratios": [row.as_dict() for row in ratios],
                "sizes": None if sizes is None else [row.as_dict() for row in sizes],
            }
        )
        return 0
    page = Page()
    _ratios(page, ratios)
    if sizes is None:
        page.line()
        page.line("Real sizes: skipped, ULLAGE_DATA names no folder with coreml_truth.csv.")
    else:
        _sizes(page, sizes, show_all=show_all)
    return 0


def _ratios(page: Page, rows: list[RatioScore]) -> None:
    standard = [row for row in rows if row.is_standard]
    met = sum(row.is_met for row in standard)
    page.line(f"Published ratios: {met} of {len(standard)} to two digits", "bold")
    page.line("Rounded: the quotient of package sizes as printed. Plain: of the packages themselves.")
    page.line()
    page.table(
        ("model", "", ">published", ">rounded", ">plain", ">error", ""),
        [
            (
                row.model,
                row.what,
                f"{row.published:g}",
                f"{row.rounded:.2f}",
                f"{row.plain:.3f}",
                f"{row.rounded / row.published - 1:+.1%}",
                "" if row.is_met else "missed",
            )
            for row in rows
        ],
    )
    noted = [row for row in rows if row.note and (not row.is_met or not row.is_standard)]
    if noted:
        page.title("Missed or inferred, and why")
    for row in noted:
        page.line(f"{row.model}, {row.what}: {row.note} (computed {row.bytes:,} of {row.dense_bytes:,} bytes)")


def _sizes(page: Page, rows: list[SizeScore], *, show_all: bool) -> None:
    exact = sum(row.predicted == row.bytes for row in rows)
    near = sum(row.is_met for row in rows) - exact
    page.title(f"Real weight.bin files: {exact} of {len(rows)} to the byte, {near} pruned ones within 0.1 %")
    page.table(
        ("model", "target", "label", ">real", ">predicted", ">error"),
        [
            (row.model, row.target, row.label, f"{row.bytes:,}", f"{row.predicted:,}", f"{row.error:+.3%}")
            for row in rows
            if show_all or row.predicted != row.bytes
        ],
    )


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
