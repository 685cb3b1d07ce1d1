"""`ullage pack`: models on as few devices as possible."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, Unpack

import click

import ullage
from ullage import Plan, PlannedBin, format_bytes
from ullage._footprint import Workload
from ullage._subject import target
from ullage.catalog import Device
from ullage.cli import INTERRUPTED, options
from ullage.cli.show import Page, print_json
from ullage.cli.solving import solved
from ullage.cli.values import INPUT, SIZE, of_file
from ullage.cli.working import waiting

__all__ = ["Entry", "entries", "pack"]

Items: TypeAlias = list[int] | list[tuple[str, int]]
Bins: TypeAlias = int | dict[str, tuple[int, int | None]]

COPIES = re.compile(r"(?P<name>.*\S)\s+x(?P<copies>\d{1,9}|\*)\s*", re.DOTALL)
MOST_BINS = 50
MOST_COPIES = 1_000_000
MODELS = {".safetensors", ".gguf", ".onnx", ".pt", ".pth", ".bin", ".tflite", ".pte"}
"""Endings of models, which are no instances."""
MOST_NAMES = 12
INSTANT_S = 0.001


class Entry(NamedTuple):
    """One entry of a list such as `h100 x2,host=1TiB`."""

    text: str
    copies: int | None
    """`None` for as many as needed."""


@click.command(
    epilog="""\b
Exit status: 0 everything has a place, 1 it has not (infeasible) or no plan
was found in time, 2 bad usage or input, 130 after Ctrl-C, which shows the
best plan so far.

\b
Examples:
  ullage pack --models "all-minilm-l6-v2 x4,7GB,./llama" \\
              --devices "h100-sxm-80-gb x2,host=1TiB"
  ullage pack --models "13GB x9" --devices "rtx-4090 x*"
  ullage pack instance.txt --strategy exact --time-limit 60 --json
  ullage pack models.csv --capacity 24GiB
"""
)
@click.argument("file", required=False, type=INPUT)
@click.option(
    "--models",
    metavar="LIST",
    help="Models, separated by commas: files, directories, names of the catalog or sizes, each with xN for copies.",
)
@click.option(
    "--devices",
    metavar="LIST",
    help="Devices, separated by commas: names of the catalog, sizes, or NAME=SIZE, each with xN for copies, or x* for "
    "as many as needed.",
)
@click.option(
    "--capacity", type=SIZE, metavar="SIZE", help="Bytes of every bin, such as 24GiB; as many bins as needed."
)
@options.book
@options.workload
@click.option(
    "--strategy",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto, exact, local_search, first_fit_decreasing, best_fit_decreasing or another that `ullage.pack` knows.",
)
@options.time_limit
@options.as_json
def pack(
    *,
    file: Path | None,
    models: str | None,
    devices: str | None,
    capacity: str | None,
    book: str,
    strategy: str,
    time_limit: float,
    as_json: bool,
    **workload: Unpack[Workload],
) -> int:
    """Place models on as few devices as possible.

    What to place is either FILE, an instance in BPPLIB text or CSV with the columns name and size, or --models. Where
    to place it is --devices, --capacity, or the capacity that a BPPLIB file states. Every plan is checked by an
    independent validator before it is shown. The workload options hold for each of --models.
    """
    if (file is None) == (models is None):
        raise click.UsageError("give either FILE or --models", click.get_current_context())
    stated = None
    items: Items
    if file is not None:
        is_model = file.suffix.lower() in MODELS
        with of_file(file, "; FILE is an instance, models go behind --models" if is_model else ""):
            items, stated = ullage.read_packing_instance(file)
    else:
        with waiting("reading the models"):
            items = _models(models or "", book, **workload)
    bins = _bins(devices, capacity, stated)
    plan, is_interrupted = solved(
        lambda told: ullage.pack(items, bins, strategy, time_limit, progress=told), "bins", time_limit
    )
    ullage.validate(plan)
    if as_json:
        print_json(plan.as_dict() | {"items": _sized(items)})
    else:
        _draw(Page(), plan, len(items), bytes_meant=capacity is not None or devices is not None or stated is None)
    if is_interrupted:
        return INTERRUPTED
    return 0 if plan.status in {"optimal", "feasible"} else 1


def _models(text: str, book: str, **workload: Unpack[Workload]) -> list[tuple[str, int]]:
    items: list[tuple[str, int]] = []
    seen: dict[str, int] = {}
    for entry in entries(text, "--models"):
        if entry.copies is None:
            raise click.BadParameter("x* is for devices; a model has a number of copies", param_hint="--models")
        if len(items) + entry.copies > MOST_COPIES:
            raise click.BadParameter(f"more than {MOST_COPIES:,} copies in all", param_hint="--models")
        total = ullage.footprint(entry.text, **workload).total
        for _ in range(entry.copies):
            seen[entry.text] = copy = seen.get(entry.text, 0) + 1
            name = entry.text if copy == 1 else f"{entry.text}:{copy}"
            items.append((name, total.hi if book == "hi" else total.best))
    return items


def _sized(items: Items) -> list[dict[str, Any]]:
    """Give what was placed with its sizes, in the order of the assignment; what has no name is called by its place."""
    named = (item if isinstance(item, tuple) else (str(index), item) for index, item in enumerate(items))
    return [{"name": name, "size": size} for name, size in named]


def _bins(devices: str | None, capacity: str | None, stated: int | None) -> Bins:
    if devices is not None and capacity is not None:
        raise click.UsageError("give either --devices or --capacity", click.get_current_context())
    if devices is not None:
        return _devices(devices)
    if capacity is not None:
        return ullage.parse_bytes(capacity)
    if stated is None:
        raise click.UsageError("give --devices or --capacity", click.get_current_context())
    return stated


def _devices(text: str) -> dict[str, tuple[int, int | None]]:
    bins: dict[str, tuple[int, int | None]] = {}
    for entry in entries(text, "--devices"):
        name, equals, amount = entry.text.partition("=")
        if equals and not (name.strip() and amount.strip()):
            lacking = "behind" if name.strip() else "before"
            raise click.BadParameter(f"{entry.text!r} lacks what is {lacking} its =", param_hint="--devices")
        found = ullage.parse_bytes(amount) if equals else target(entry.text)
        if isinstance(found, Device):
            name, found = found.key, found.usable.best
        name = name.strip()
        if name in bins:
            raise click.BadParameter(f"{name} stands there twice; write {name} xN", param_hint="--devices")
        bins[name] = (found, entry.copies)
    return bins


def entries(text: str, option: str) -> list[Entry]:
    """Read a list of entries separated by commas, each with xN or x* for copies."""
    entries = []
    for part in text.split(","):
        if not part.strip():
            raise click.BadParameter("an entry between two commas is empty", param_hint=option)
        match = COPIES.fullmatch(part)
        if match is None and (wrong := re.search(r"\sx[\d.-]\S*\s*$", part)):
            count = wrong[0].strip()
            raise click.BadParameter(f"{part.strip()}: {count} is no number of copies, such as x2", param_hint=option)
        copies = match["copies"] if match else "1"
        if copies.strip("0") == "":
            raise click.BadParameter(f"no copies of {part.strip()}", param_hint=option)
        entries.append(Entry(match["name"].strip() if match else part.strip(), None if copies == "*" else int(copies)))
    return entries


def _draw(page: Page, plan: Plan, items: int, *, bytes_meant: bool) -> None:
    page.line(_sentence(plan, items), "bold")
    if plan.reason:
        page.line(f"Reason: {plan.reason}.")
    used = [place for place in plan.bins if place.items] or plan.bins
    empty = len(plan.bins) - len(used)
    if used:
        page.line()
        _bars(page, used[:MOST_BINS], bytes_meant=bytes_meant)
    if len(used) > MOST_BINS:
        page.line(f"and {len(used) - MOST_BINS:,} more; --json gives all")
    if empty:
        page.line(f"not needed: {', '.join(place.name for place in plan.bins if not place.items)}")
    if any(isinstance(item, str) for place in used[:1] for item in place.items):
        page.title("What each holds")
        page.table(("", ""), [(place.name, _listed(place.items)) for place in used[:MOST_BINS]])
    if plan.unplaced:
        page.title("Without a place")
        page.line(_listed(plan.unplaced))


def _sentence(plan: Plan, items: int) -> str:
    placed = f"{_count(items, 'item')} in {_count(plan.bins_used, 'bin')}"
    took = f"{plan.seconds:.3g} s" if plan.seconds >= INSTANT_S else "under 1 ms"
    if plan.status == "optimal":
        return f"Optimal: {placed}; fewer are impossible ({took})."
    if plan.status == "feasible":
        return f"Feasible: {placed}; at least {plan.lower_bound:,} are needed, gap {plan.gap:,} ({took})."
    missing = f"{len(plan.unplaced):,} of {_count(items, 'item')}"
    if plan.status == "infeasible":
        return f"Infeasible: not everything fits; {missing} without a place ({took})."
    return f"Timeout: no complete plan found in time; {missing} without a place ({took})."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _bars(page: Page, places: Sequence[PlannedBin], *, bytes_meant: bool) -> None:
    def shown(number: int) -> str:
        return format_bytes(number) if bytes_meant else f"{number:,}"

    rows = [
        (
            place.name,
            page.fill(place.load, place.capacity, 24 if page.wide else 5),
            shown(place.load),
            shown(place.capacity),
        )
        for place in places
    ]
    if page.wide:
        counted = [(*row, f"{len(place.items):,}") for row, place in zip(rows, places, strict=True)]
        page.table(("bin", "", ">load", ">of", ">items"), counted)
    else:
        page.table(("bin", "", ">load", ">of"), rows)


def _listed(names: Sequence[str | int]) -> str:
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(str(name) for name in names[:MOST_NAMES]) + more
