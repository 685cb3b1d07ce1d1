"""`ullage place`: models on unlike devices, under rules."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import click

import ullage
from ullage import PlacedDevice, Placement, format_bytes
from ullage._footprint import Workload
from ullage._placing import memory_of
from ullage._subject import target
from ullage.catalog import Device
from ullage.cli import INTERRUPTED, options
from ullage.cli.pack import Entry, entries
from ullage.cli.show import Page, print_json
from ullage.cli.solving import solved
from ullage.cli.values import INPUT, SIZE, of_file
from ullage.fleet import read_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

__all__ = ["place"]

MOST_DEVICES = 50
INSTANT_S = 0.001


@click.command(
    epilog="""\b
Exit status: 0 everything asked for has a place, 1 it has not (infeasible) or
no placement was found in time, 2 bad usage or input, 130 after Ctrl-C, which
shows the best placement so far.

\b
Examples:
  ullage place fleet.toml
  ullage place --models "chat=llama-3.1-8b,embed=all-minilm-l6-v2 x2" \\
               --devices "node=h100-sxm-80-gb x8,iphone-15-pro" \\
               --pin embed=iphone-15-pro,node --cost node=4 --reserve 1GiB
  ullage place --models "a=6GB,b=5GB,c=5GB" --devices "x=10GB" \\
               --keep best_value --value a=7 --json
"""
)
@click.argument("file", required=False, type=INPUT)
@click.option(
    "--models",
    metavar="LIST",
    help="Models, separated by commas: files, directories, names of the catalog or sizes, each as it is or as "
    "NAME=MODEL, and with xN for N replicas on different devices.",
)
@click.option(
    "--devices",
    metavar="LIST",
    help="Devices, separated by commas: names of the catalog or sizes, each as it is or as NAME=DEVICE, and with xN "
    "for copies or x* for as many as needed.",
)
@click.option("--pin", "pins", multiple=True, metavar="MODEL=DEVICE[,DEVICE]", help="Where a model may go.")
@click.option("--together", multiple=True, metavar="MODEL,MODEL", help="Models that share their devices.")
@click.option("--apart", multiple=True, metavar="MODEL,MODEL", help="Models that share no device.")
@click.option("--value", "values", multiple=True, metavar="MODEL=NUMBER", help="What a model is worth. Default: 1.")
@click.option("--cost", "costs", multiple=True, metavar="DEVICE=NUMBER", help="What a device costs. Default: 1.")
@click.option("--reserve", type=SIZE, metavar="SIZE", help="What stays free on every device, such as 1GiB.")
@click.option("--keep", metavar="NAME", help="all (the default), or best_value where not all fit.")
@options.book
@options.workload
@click.option(
    "--strategy",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="One of auto, greedy, local_search or exact.",
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Of the local search.")
@options.time_limit
@options.as_json
def place(
    *,
    file: Path | None,
    models: str | None,
    devices: str | None,
    pins: tuple[str, ...],
    together: tuple[str, ...],
    apart: tuple[str, ...],
    values: tuple[str, ...],
    costs: tuple[str, ...],
    reserve: str | None,
    keep: str | None,
    book: str,
    strategy: str,
    seed: int,
    time_limit: float,
    as_json: bool,
    **workload: Unpack[Workload],
) -> int:
    """Decide which model goes onto which of unlike devices.

    FILE is a fleet: models, devices and rules in TOML or JSON (see docs/placement.md). Or give --models and --devices.
    Options add to what FILE says. Every placement is checked by an independent validator before it is shown. The
    workload options hold for each of --models.
    """
    fleet: dict[str, Any] = {"models": {}, "devices": {}} if file is None else _fleet(file, book)
    if file is None and (models is None or devices is None):
        raise click.UsageError("give either FILE, or --models and --devices", click.get_current_context())
    if models is not None:
        _add_models(fleet, models, book, workload)
    if devices is not None:
        _add_devices(fleet, devices)
    fleet["pins"] = {**fleet.get("pins", {}), **{name: on.split(",") for name, on in _pairs(pins, "--pin").items()}}
    for key, option, pairs in (("values", "--value", values), ("costs", "--cost", costs)):
        fleet[key] = {**fleet.get(key, {}), **{name: _number(x, option) for name, x in _pairs(pairs, option).items()}}
    for key, groups in (("together", together), ("apart", apart)):
        fleet[key] = [*fleet.get(key, []), *([name.strip() for name in group.split(",")] for group in groups)]
    fleet |= {key: given for key, given in (("reserve", reserve), ("keep", keep)) if given is not None}
    placement, is_interrupted = solved(
        lambda told: ullage.place(**fleet, strategy=strategy, time_limit=time_limit, seed=seed, progress=told),
        "of cost",
        time_limit,
    )
    ullage.validate(placement)
    if as_json:
        print_json(placement.as_dict())
    else:
        _draw(Page(), placement)
    if is_interrupted:
        return INTERRUPTED
    return 0 if placement.status in {"optimal", "feasible"} else 1


def _fleet(file: Path, book: str) -> dict[str, Any]:
    with of_file(file):
        return read_fleet(file, book=book)


def _named(entry: Entry, option: str) -> tuple[str, str]:
    name, equals, what = entry.text.partition("=")
    if equals and not (name.strip() and what.strip()):
        raise click.BadParameter(
            f"{entry.text!r} lacks what is {'behind' if name.strip() else 'before'} its =", param_hint=option
        )
    return (name.strip(), what.strip()) if equals else (entry.text, entry.text)


def _add_models(fleet: dict[str, Any], text: str, book: str, workload: Workload) -> None:
    for entry in entries(text, "--models"):
        if entry.copies is None:
            raise click.BadParameter("x* is for devices; a model has a number of replicas", param_hint="--models")
        name, model = _named(entry, "--models")
        if name in fleet["models"]:
            raise click.BadParameter(f"{name} stands there twice; write NAME={model}", param_hint="--models")
        fleet["models"][name] = {"memory": memory_of(model, book, **workload), "replicas": entry.copies}


def _add_devices(fleet: dict[str, Any], text: str) -> None:
    for entry in entries(text, "--devices"):
        name, device = _named(entry, "--devices")
        found = target(device)
        if name == device and isinstance(found, Device):
            name = found.key
        if name in fleet["devices"]:
            raise click.BadParameter(f"{name} stands there twice; write {name} xN", param_hint="--devices")
        fleet["devices"][name] = (found, entry.copies)


def _pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, what = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=…", param_hint=option)
        pairs[name.strip()] = what.strip()
    return pairs


def _number(text: str, option: str) -> float:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a number", param_hint=option) from None


def _draw(page: Page, placement: Placement) -> None:
    page.line(_sentence(placement), "bold")
    if placement.reason:
        page.line(f"Reason: {placement.reason}.")
        if placement.conflict and not placement.conflict["minimal"]:
            page.line("There was no time to find out whether less than that is impossible too.", "dim")
    used = [device for device in placement.devices if device.models]
    if used:
        page.line()
        _table(page, placement, used[:MOST_DEVICES])
    if len(used) > MOST_DEVICES:
        page.line(f"and {len(used) - MOST_DEVICES:,} more; --json gives all")
    unused = [device.name for device in placement.devices if not device.models]
    if unused:
        page.line(f"not needed: {', '.join(unused)}")
    if placement.unplaced:
        page.title("Without a place")
        page.line(", ".join(placement.unplaced))


def _sentence(placement: Placement) -> str:
    count, used = len(placement.assignment), placement.devices_used
    models = f"{count} model{'' if count == 1 else 's'}"
    placed = f"{count - len(placement.unplaced)} of {models}" if placement.unplaced else models
    took = f"{placement.seconds:.3g} s" if placement.seconds >= INSTANT_S else "under 1 ms"
    where = f"{placed} on {used} device{'' if used == 1 else 's'}"
    worth = f"worth {placement.value}" if placement.keep == "best_value" else ""
    cost = f"at a cost of {placement.cost}"
    figures = f"{where}, {worth}, {cost}" if worth else f"{where}, {cost}"
    if placement.status == "optimal":
        return f"Optimal: {figures}; better is impossible ({took})."
    if placement.status == "feasible":
        value = f" (at most {placement.value_bound})" if placement.value != placement.value_bound else ""
        return f"Feasible: {figures}; at least {placement.lower_bound} of cost{value} ({took})."
    if placement.status == "infeasible":
        return f"Infeasible: not everything can be placed; {where} ({took})."
    return f"Timeout: no complete placement found in time; {where} ({took})."


def _table(page: Page, placement: Placement, devices: list[PlacedDevice]) -> None:
    others = [name for name, _ in placement.resources[1:]] if page.wide else []
    rows: list[Sequence[str | Text]] = []
    for device in devices:
        load, usable = device.load["memory"], device.usable["memory"]
        bar = page.fill(load, usable or load, 12 if page.wide else 5)
        of = "no limit" if usable is None else format_bytes(usable)
        figures = [f"{device.load[name]:,}" for name in others]
        rows.append((device.name, bar, format_bytes(load), of, *figures, ", ".join(device.models)))
    page.table(("device", "", ">load", ">of", *(f">{name}" for name in others), "models"), rows)
