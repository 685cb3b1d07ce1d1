"""`ullage report`: answers as a page, an image or a trace."""

from pathlib import Path

import click

from ullage.cli import options
from ullage.cli.show import print_json
from ullage.cli.values import INPUT, OUTPUT
from ullage.cli.working import worked
from ullage.report.source import read
from ullage.report.writing import ENDINGS, write_report

__all__ = ["report"]


@click.command(
    epilog="""\b
Examples:
  ullage arena buffers.csv --json > layout.json
  ullage report layout.json --out layout.html
  ullage report snapshot.pickle --account gpu0 --out memory.html
  ullage report pass.json --out pass.svg --out pass.trace.json.gz
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=INPUT)
@click.option(
    "--out",
    "outs",
    multiple=True,
    required=True,
    type=OUTPUT,
    metavar="FILE",
    help="Where to write, as its ending says: .html a page, .png, .svg or .pdf an image, .json or .json.gz a trace "
    "that ui.perfetto.dev opens; may be repeated.",
)
@click.option("--title", metavar="TEXT", help="Of the page; what it shows unless given.")
@click.option("--account", metavar="PATH", default="/", show_default=True, help="Of a memory trace, this and below.")
@options.as_json
def report(*, sources: tuple[Path, ...], outs: tuple[Path, ...], title: str | None, account: str, as_json: bool) -> int:
    """Draw plans, layouts, passes, replays and memory traces.

    Each SOURCE is what pack, place, arena, simulate, optimize, replay or timeline wrote with --json, a layout that
    `ullage arena --output` wrote, a timeline that `ullage.report.save_timeline` wrote, or a memory trace as `ullage
    timeline` reads. A page is one file with everything in it, and asks no network for anything.
    """
    for out in outs:
        if not out.name.lower().endswith(ENDINGS):
            raise click.BadParameter(f"{out.name} ends in none of {', '.join(ENDINGS)}", param_hint="--out")
    steps = len(sources) + len(outs)

    def work(tell: object) -> list[str]:
        sections = []
        for index, source in enumerate(sources):
            if callable(tell):
                tell(index / steps, source.name)
            sections.append(read(source, account))
        for index, out in enumerate(outs, start=len(sources)):
            if callable(tell):
                tell(index / steps, out.name)
            write_report(sections, out, title)
        return [section.title for section in sections]

    titles = worked(work, "drawing")
    if as_json:
        print_json({"sections": titles, "written": [{"path": str(out), "bytes": out.stat().st_size} for out in outs]})
    else:
        for out in outs:
            click.echo(f"written: {out}", err=True)
    return 0
