"""`ullage fit`: whether a model fits a device."""

from typing import Unpack

import click

import ullage
from ullage import Verdict, catalog, format_bytes
from ullage._footprint import Workload, needs_on
from ullage._subject import target
from ullage.catalog import Device
from ullage.cli import options
from ullage.cli.show import Page, print_json, size, span
from ullage.cli.working import waiting

__all__ = ["fit"]

LIMITS = {
    "assumed": "How much of it a process may use is assumed, not known",
    "bracket": "How much of it a process may use lies between what ran and what did not",
    "measured": "How much of it a process may use was measured",
    "reported": "How much of it a process may use was reported",
    "rule": "How much of it a process may use follows a rule",
}
"""What is said of a device's limit, by its origin."""


@click.command(
    epilog="""\b
Exit status: 0 for yes, 1 for no and for depends, 2 for bad usage or input.

\b
Examples:
  ullage fit model.safetensors --device iphone-15-pro
  ullage fit 7GB --device rtx-4060-8gb --json
  ullage fit ./llama --device 24GiB --context 8192 --batch 4
"""
)
@click.argument("model")
@click.option(
    "--device",
    "-d",
    required=True,
    metavar="DEVICE",
    help="A name of the catalog (see: ullage catalog devices), or the bytes a process may use, such as 24GiB.",
)
@options.workload
@options.as_json
def fit(*, model: str, device: str, as_json: bool, **workload: Unpack[Workload]) -> int:
    """Say whether a model fits a device, and what makes it fit.

    Yes: the most that MODEL can need is certainly there. No: even the least that it needs is not. It depends:
    anything between. MODEL is whatever 'ullage footprint' takes: a file, a directory, a name of the catalog or a size.
    """
    found = target(device)
    with waiting(f"reading {model}"):
        needed = needs_on(found, model, workload)
        verdict = ullage.fit(needed, found if isinstance(found, Device) else device)
    if isinstance(found, int):
        _warn_of_a_name(device)
    if as_json:
        print_json(verdict.as_dict())
    else:
        page = Page()
        page.line(_sentence(verdict), "bold")
        _bars(page, verdict)
        if isinstance(found, Device):
            _limits(page, found)
        for note in needed.model.notes:
            page.line(f"note: {note}")
        _remedies(page, verdict)
    return 0 if verdict.fits else 1


def _warn_of_a_name(device: str) -> None:
    """Speak up where a bare number is part of a device's name: `--device 4090` is 4,090 bytes."""
    meant = [row.key for row in catalog.devices(device)] if device.isdecimal() else []
    if meant:
        click.echo(f"note: {device} was read as bytes; devices with that in their name: {', '.join(meant)}", err=True)


def _sentence(verdict: Verdict) -> str:
    required, available = verdict.required, verdict.available
    figures = f"{format_bytes(required.best)} needed, {format_bytes(available)} available on {verdict.device}"
    if verdict.short_by:
        balance = f"{format_bytes(verdict.short_by)} short"
    else:
        balance = f"{format_bytes(available - required.best)} to spare"
    if verdict.verdict == "depends":
        return f"It depends: {figures}, most likely {balance}."
    return f"{verdict.verdict.capitalize()}: {figures}: {balance}."


def _bars(page: Page, verdict: Verdict) -> None:
    required = verdict.required
    lo, best, hi = verdict.available_range
    whole = max(required.hi, hi)
    rows = [("needed", required.lo, required.best, required.hi), ("available", lo, best, hi)]
    page.line()
    if page.wide:
        cells = min(page.width - 64, 60)
        page.table(
            ("", "", ">most likely", "range"),
            [
                (name, page.bar(lo, best, hi, whole, cells), size(best), span(lo, hi) if lo != hi else "exact")
                for name, lo, best, hi in rows
            ],
        )
    else:
        page.table(
            ("", "", ">likely"),
            [
                (name, page.bar(lo, best, hi, whole, max(page.width - 24, 1)), format_bytes(best))
                for name, lo, best, hi in rows
            ],
        )
    page.line(page.legend(), "dim")


def _limits(page: Page, device: Device) -> None:
    usable = device.usable
    page.line()
    page.line(f"{device.name}: {size(device.memory_bytes)} of memory. {LIMITS[usable.origin]}: {usable.basis}")


def _remedies(page: Page, verdict: Verdict) -> None:
    if verdict.fits:
        return
    if not verdict.remedies:
        page.line()
        page.line("No change that is known here makes it fit.")
        return
    page.title("What makes it fit, the least lossy first")
    if page.wide:
        page.table(
            ("change", ">needed", ">available", ">saves", "then"),
            [
                (
                    " + ".join(remedy.changes),
                    format_bytes(remedy.required.best),
                    format_bytes(remedy.available),
                    format_bytes(remedy.saves),
                    _then(remedy.verdict),
                )
                for remedy in verdict.remedies
            ],
        )
    else:
        page.table(
            ("change", ">needed", "then"),
            [
                (" + ".join(remedy.changes), format_bytes(remedy.required.best), _then(remedy.verdict))
                for remedy in verdict.remedies
            ],
        )


def _then(verdict: str) -> str:
    return {"yes": "fits", "no": "too big"}.get(verdict, verdict)
