"""`ullage footprint --measure`: estimated and measured side by side."""

from typing import Any

import click

import ullage
from ullage import Footprint, format_bytes
from ullage._footprint import Workload
from ullage.cli.show import Page, size, span
from ullage.cli.working import waiting
from ullage.measuring.fresh import loader_of, measure_fresh
from ullage.measuring.recall import recalled
from ullage.measuring.runtime_identity import runtime_key

__all__ = ["compare", "taken"]


def taken(model: str, workload: Workload) -> tuple[Footprint, dict[str, Any]]:
    """Measure `model`; give its footprint as it is known now, and the measured figures beside the estimated ones."""
    asked = runtime_key(str(workload.get("runtime") or ""))
    if workload.get("weights") is not None:
        raise click.UsageError("--measure loads the file as it is; it does not go with --weights")
    subject = ullage.footprint(model, measured=False).model
    loader = loader_of(subject)
    if asked not in {"", loader.runtime}:
        raise click.UsageError(f"--measure runs {subject.format} files in {loader.runtime}, not in {asked}")
    here = workload.copy()
    here["runtime"], here["measured"] = loader.runtime, False
    estimated = ullage.footprint(subject, **here)
    with waiting(f"loading it in {loader.runtime}"):
        found = measure_fresh(estimated)
    known = recalled(estimated, device=None, is_stated=True)
    parts = list(estimated.parts.values()) if loader.runs else [estimated.weights, estimated.overhead]
    lo, best, hi = (sum(getattr(part, figure) for part in parts) for figure in ("lo", "best", "hi"))
    error = best - found.growth_bytes
    figures = {
        "bytes": found.growth_bytes,
        "resident_bytes": found.resident_bytes - found.baseline_bytes,
        "metric": found.metric,
        "seconds": found.seconds,
        "samples": found.samples,
        "runtime": loader.runtime,
        "covers": "run" if loader.runs else "load",
        "estimated": {"lo": lo, "best": best, "hi": hi},
        "error_bytes": error,
        "error": error / found.growth_bytes if found.growth_bytes else None,
        "inside": lo <= found.growth_bytes <= hi,
        "runs": known[1].count if known else 1,
        "notes": list(found.notes),
    }
    here["measured"] = True
    return ullage.footprint(subject, **here), figures


def compare(page: Page, figures: dict[str, Any]) -> None:
    """Show estimated and measured side by side."""
    page.title("Measured" if figures["covers"] == "run" else "Measured at load; nothing was run")
    estimated, error = figures["estimated"], figures["error_bytes"]
    sign, share = "-" if error < 0 else "+", f" ({figures['error']:+.1%})" if figures["error"] is not None else ""
    said = size if page.wide else format_bytes
    what = "all parts" if figures["covers"] == "run" else "weights and overhead"
    where = "inside the interval" if figures["inside"] else "outside the interval"
    page.table(
        ("", ">", ""),
        [
            ("estimated", said(estimated["best"]), f"{what}, {span(estimated['lo'], estimated['hi'])}"),
            ("measured", said(figures["bytes"]), f"growth at the peak, {figures['metric'].upper()}; {where}"),
            ("error", f"{sign}{format_bytes(abs(error))}{share}", "estimated less measured"),
            ("afterwards", said(figures["resident_bytes"]), "what stayed"),
        ],
    )
    runs = "1 run is" if figures["runs"] == 1 else f"{figures['runs']:,} runs are"
    page.line(f"in {figures['runtime']}, in a fresh process; {runs} kept, see: ullage catalog measured", "dim")
    for note in figures["notes"]:
        page.line(f"note: {note}")
