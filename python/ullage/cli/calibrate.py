"""`ullage calibrate`: what this machine does in a second, as far as decompressing and multiplying weights goes."""

from pathlib import Path
from typing import Any

import click

from ullage import Profile, format_bytes
from ullage._jit import SCHEMES, Disturbance
from ullage._jit import calibrate as measure
from ullage._profiles import kept_path
from ullage.cli import options
from ullage.cli.show import Page, print_json
from ullage.cli.values import OUTPUT, Number
from ullage.cli.working import worked

__all__ = ["calibrate", "draw_disturbance"]

QUIET = 0.05
"""Up to this share of processor time in other hands, nothing is said of it."""


@click.command(
    epilog="""\b
Examples:
  ullage calibrate
  ullage calibrate --scheme palettized:4,group=16 --threads 1 --seconds 20
  ullage calibrate --json --out server.json
"""
)
@click.option(
    "--scheme",
    "schemes",
    multiple=True,
    metavar="SCHEME",
    help=f"Time this scheme; may be given again. Default: {'; '.join(SCHEMES)}.",
)
@click.option("--threads", type=click.IntRange(1, 1024), multiple=True, help="Default: 1, and all processors.")
@click.option("--seconds", type=Number(0, 3600), default=45.0, show_default=True, help="Time for rounds, of which two.")
@click.option("--storage/--no-storage", default=True, help="Whether reading a temporary file is timed too.")
@click.option("--out", type=OUTPUT, metavar="FILE", help="Write the profile to a file as well.")
@options.as_json
def calibrate(
    *,
    schemes: tuple[str, ...],
    threads: tuple[int, ...],
    seconds: float,
    storage: bool,
    out: Path | None,
    as_json: bool,
) -> int:
    """Measure what this machine does in a second.

    The profile is kept, for `ullage simulate --device this-machine`. Memory, caches and arithmetic are measured by
    themselves, then every policy with every scheme the way `ullage simulate --verify` executes it. A figure is stable
    where both halves of its measurements agree within a twentieth.
    """
    watch = Disturbance.begin()
    found = worked(
        lambda tell: measure(
            schemes=schemes or SCHEMES, threads=threads or None, seconds=seconds, storage=storage, progress=tell
        ),
        "calibrating",
    )
    disturbance = watch.end()
    if out is not None:
        out.write_text(found.to_json() + "\n", encoding="utf-8")
    if as_json:
        print_json(found.as_dict() | {"path": str(kept_path()), "disturbance": vars_of(disturbance)})
    else:
        _draw(Page(), found)
        draw_disturbance(Page(), disturbance)
    return 0


def vars_of(disturbance: Disturbance) -> dict[str, float]:
    """Give a disturbance ready for JSON."""
    names = ("load_before", "others", "stolen")
    return {name: getattr(disturbance, name) for name in names}


def draw_disturbance(page: Page, found: Disturbance) -> None:
    """Say what else the processors did meanwhile, if it was enough to show."""
    if found.others > QUIET:
        page.line(
            f"note: other processes took {found.others:.0%} of all processor time meanwhile; figures suffer by it"
        )
    if found.stolen > QUIET:
        page.line(f"note: the hypervisor gave {found.stolen:.0%} of processor time to other machines meanwhile")


def _draw(page: Page, found: Profile) -> None:
    data = found.as_dict()
    page.line(f"{found.name}, {found.threads} threads", "bold")
    page.line(found.note)
    page.line()
    named = [(name, data[name]) for name in ("read", "write", "copy", "storage", "dispatch") if data[name]]
    named += [(f"compute {name}", figure) for name, figure in data["compute"].items()]
    named += [(f"decode {name}", figure) for name, figure in data["decompression"].items()]
    page.table(("", ">figure", ">quartiles", ""), [_row(name, figure) for name, figure in named])
    caches = ", ".join(f"L{cache['level']} {format_bytes(cache['bytes'], binary=True)}" for cache in data["caches"])
    page.line(f"caches: {caches}")
    page.title("Dense numbers a second, by policy; the largest layer that was timed")
    page.table(("policy", "scheme", ">threads", ">rate", ""), [_timing(row) for row in data["timings"]])
    page.line(f"kept in {kept_path()}", "dim")


def _timing(row: dict[str, Any]) -> tuple[str, ...]:
    largest = max(row["points"], key=lambda point: point["weights"])
    steady = largest["spread"] is None or largest["spread"]["is_stable"]
    rate = _rate(2 * largest["weights"] / largest["seconds"], "bytes_per_second")
    return row["operation"], row["scheme"], str(row["threads"]), rate, "" if steady else "not stable"


def _row(name: str, figure: dict[str, Any]) -> tuple[str, ...]:
    spread = figure["spread"]
    if spread is None:
        return name, _rate(figure["value"], figure["unit"]), "", figure["origin"]
    quartiles = " ".join(_rate(spread[part], figure["unit"]) for part in ("q1", "median", "q3"))
    return name, _rate(figure["value"], figure["unit"]), quartiles, "" if spread["is_stable"] else "not stable"


def _rate(value: float, unit: str) -> str:
    if unit == "bytes_per_second":
        return f"{value / 1e9:.1f} GB/s"
    if unit == "flops_per_second":
        return f"{value / 1e9:.1f} GFLOPS"
    return f"{value * 1e6:.1f} us"
