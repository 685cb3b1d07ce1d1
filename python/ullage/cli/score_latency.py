"""`ullage score latency`: published latencies beside those of a roofline that was fitted to half of them."""

import click

from ullage.cli import options
from ullage.cli.show import Page, print_json
from ullage.cli.working import waiting
from ullage.scoring.latency import LatencySummary, score_latencies

__all__ = ["latency"]

RATIOS_WIDTH = 100
"""From so many columns on, ratios stand beside latencies."""
PARTS = {
    "train": "fitted to",
    "test": "held back",
    "apart": "held back, time beyond the layers",
}


@click.command(
    epilog="""\b
Examples:
  ullage score latency
  ullage score latency --json
"""
)
@options.as_json
def latency(*, as_json: bool) -> int:
    """Score predicted latencies of compressed networks on an iPhone 14 Pro against the published ones.

    The figures of a roofline are fitted to every second row and held against the others. Rows of a network with much
    beside its layers, and those of quantised activations, are never fitted to and stand apart.
    """
    with waiting("fitting"):
        found = score_latencies()
    if as_json:
        print_json(found.as_dict())
        return 0
    page = Page()
    _summary(page, found)
    _figures(page, found)
    _rows(page, found)
    page.line()
    page.line(found.blindness())
    return 0


def _summary(page: Page, found: LatencySummary) -> None:
    page.line(f"Published latencies: {found.mape('test'):.1%} off on the rows held back", "bold")
    page.line("Errors are predicted / published - 1; ratios are to the 16-bit network of the same table.")
    page.line()
    page.table(
        ("rows", ">", ">mean |error|", ">mean error"),
        [
            (
                words,
                str(sum(row.part == part for row in found.rows)),
                f"{found.mape(part):.1%}",
                f"{found.bias(part):+.1%}",
            )
            for part, words in PARTS.items()
        ],
    )
    page.line()
    orders = (
        ("latencies, all", found.order()),
        ("latencies held back", found.order(part="test")),
        ("ratios, all", found.order(of_ratios=True)),
    )
    page.table(
        ("order of", ">Spearman", ">Kendall"),
        [(words, *("" if one is None else f"{one:.2f}" for one in both)) for words, both in orders],
    )
    page.line(f"Ratios are off by {found.ratio_error():.3f} in the mean.")
    apart = ", ".join(f"{model} {error:.0%}" for model, error in found.without.items())
    page.line(f"Fitted without a network and held against it: {apart}.")


def _figures(page: Page, found: LatencySummary) -> None:
    roofline = found.roofline
    page.title("The figures fitted: of this formula, not of the device")
    floors = zip(found.builds, roofline.floors_s, strict=True)
    page.table(
        ("figure", ">value", ""),
        [
            *((f"floor, {build}", f"{floor * 1000:.3f}", "ms") for build, floor in floors),
            ("compute", f"{roofline.flops_per_s / 1e12:.2f}", "TFLOPS"),
            ("depthwise compute", f"{roofline.depthwise_flops_per_s / 1e12:.2f}", "TFLOPS"),
            ("weights and activations", f"{roofline.bus_bytes_per_s / 1e9:.1f}", "GB/s"),
            ("decoding, 16-bit numbers", f"{roofline.decoded_bytes_per_s / 1e9:.1f}", "GB/s"),
            ("operations on zeros left out", f"{roofline.zeros_skipped:.0%}", ""),
        ],
    )


def _rows(page: Page, found: LatencySummary) -> None:
    for table in dict.fromkeys(row.row.table for row in found.rows):
        rows = [row for row in found.rows if row.row.table == table]
        page.title(f"Table {table!r}, {rows[0].row.build}")
        cells = [
            (
                row.row.model,
                row.row.what,
                f"{row.row.latency_ms:.2f}",
                f"{row.predicted_ms:.2f}",
                f"{row.error:+.1%}",
                "" if row.published_ratio is None else f"{row.published_ratio:.2f}",
                f"{row.predicted_ratio:.2f}",
                row.part,
            )
            for row in rows
        ]
        columns = ("=model", "", ">published ms", ">predicted", ">error", ">ratio", ">predicted", "=")
        page.table(columns, cells, None if page.width >= RATIOS_WIDTH else (0, 1, 2, 3, 4, 7))
