"""`ullage catalog`: models and devices as published."""

from dataclasses import asdict
from typing import Any

import click
from rich.text import Text

from ullage import catalog as tables
from ullage import format_bytes
from ullage.catalog import ArchitectureRow, Device, ModelRow, PoolAudit, PoolRow, Range
from ullage.catalog.device_lookup import gpu_count
from ullage.catalog.pool_rule import pool_row
from ullage.cli import catalog_inputs, catalog_own, options
from ullage.cli.show import Page, print_json, size, span
from ullage.errors import InputError, UnknownDeviceError, UnknownModelError

__all__ = ["catalog"]

PUBLISHED_WIDTH = 104
"""From so many columns on, models have the span of what was published, and devices a bar."""
RULE_WIDTH = 110
"""From so many columns on, the rule is shown with all it is made of."""

search = click.option("--search", metavar="TEXT", help="Only those that have every word of TEXT in one of their names.")


@click.group(
    epilog="""\b
Examples:
  ullage catalog devices --search iphone
  ullage catalog show rtx-4090
  ullage catalog rule
  ullage catalog add device "Our server" --memory 64GiB --class host
  ullage catalog measured
"""
)
def catalog() -> None:
    """Look up models, devices, runtimes and what was measured.

    Published rows carry their source. Rows that you add, and what was measured on this machine, are kept in your own
    folders (ULLAGE_HOME, where that is set) and found in the same way.
    """


@catalog.command()
@search
@options.as_json
def models(*, search: str | None, as_json: bool) -> int:
    """List models with the memory published for them.

    Of several figures the most likely is the largest: to book too little is the worse mistake. A row marked with an
    exclamation mark contradicts itself, and the note below says how; one marked own is yours. Models that are computed
    from their configuration are listed by 'ullage catalog architectures'.
    """
    found = tables.models(search)
    if as_json:
        print_json({"models": [_brief(row) for row in found]})
        return 0
    page = Page()
    flags = {row.key: checked.flag for row in found if (checked := pool_row(row)) is not None and checked.flag}
    marks = ("own" if row.is_own else "!" if row.key in flags else "" for row in found)
    columns = ("=name", "", ">memory")
    rows = [(row.key, mark, format_bytes(row.memory().best)) for row, mark in zip(found, marks, strict=True)]
    if page.width >= PUBLISHED_WIDTH:
        page.table(
            (*columns, "published", "task"),
            [
                (*cells, span(row.memory().lo, row.memory().hi), row.task)
                for cells, row in zip(rows, found, strict=True)
            ],
        )
    elif page.wide:
        page.table((*columns, "task"), [(*cells, row.task) for cells, row in zip(rows, found, strict=True)])
    else:
        page.table(columns, rows)
    for key, flag in flags.items():
        page.line(f"! {key} {flag} (see 'ullage catalog rule')")
    _counted(page, len(found), "model")
    if search and (described := tables.architectures(search)):
        page.line(f"Computed from their configuration: {', '.join(row.key for row in described)}")
    return 0


@catalog.command()
@search
@click.option("--gpus", is_flag=True, help="List the whole GPU table too, which otherwise only a search goes through.")
@options.as_json
def devices(*, search: str | None, gpus: bool, as_json: bool) -> int:
    """List devices with their memory.

    Usable is what an ordinary process may use of it; a limit that was not measured is by the rule of the class.
    """
    found = tables.devices(search, gpus=gpus or None)
    if as_json:
        print_json({"devices": [asdict(row) for row in found]})
        return 0
    page = Page()
    if page.wide:
        has_bars = page.width >= PUBLISHED_WIDTH
        page.table(
            ("=name", ">memory", ">usable", *(("",) if has_bars else ()), "limit", "class"),
            [
                (
                    row.key,
                    format_bytes(row.memory_bytes),
                    format_bytes(row.usable.best),
                    *((_usable_bar(page, row),) if has_bars else ()),
                    row.usable.origin,
                    f"{row.device_class}, own" if row.table == "own" else row.device_class,
                )
                for row in found
            ],
        )
        if has_bars:
            page.line(page.legend(), "dim")
    else:
        page.table(
            ("name", ">memory", ">usable"),
            [(row.key, format_bytes(row.memory_bytes), format_bytes(row.usable.best)) for row in found],
        )
    _counted(page, len(found), "device")
    if not search and not gpus:
        page.line(f"{gpu_count():,} more GPUs: --search TEXT looks among them too, --gpus lists them all", "dim")
    return 0


@catalog.command()
@click.argument("name")
@options.as_json
def show(*, name: str, as_json: bool) -> int:
    """Show one model or device with its source, published or your own."""
    row = _find(name)
    if as_json:
        print_json(_whole(row))
        return 0
    page = Page()
    page.line(f"{row.name} ({row.key})", "bold")
    if isinstance(row, ArchitectureRow):
        _show_architecture(page, row)
    elif isinstance(row, ModelRow):
        _show_model(page, row)
    else:
        _show_device(page, row)
    return 0


@catalog.command()
@options.as_json
def audit(*, as_json: bool) -> int:
    """Check the table of twelve models by its own rule.

    Its sums are computed anew, and so is its rule for each model: weights plus 10 to 20 percent, rounded up to 100 MB.
    """
    found = tables.audit_pool()
    if as_json:
        breaches = [asdict(breach) | {"model": breach.model.key} for breach in found.breaches]
        print_json(asdict(found) | {"breaches": breaches})
        return 0
    _show_audit(Page(), found)
    return 0


@catalog.command()
@options.as_json
def rule(*, as_json: bool) -> int:
    """Work out the rule of the table of twelve models, row by row.

    The table books weights plus 10 to 20 percent, rounded up to 100 MB. The rule is worked out on the weights that the
    page of each model states, and on those that are really there. Usual is what 15 percent, rounded to the nearest
    100 MB, would give: most rows were made so.
    """
    rows = tables.audit_pool().rows
    if as_json:
        print_json({"rows": [asdict(row) | {"flag": row.flag} for row in rows]})
    else:
        _show_rule(Page(), rows)
    return 0


def _whole(row: ModelRow | ArchitectureRow | Device) -> dict[str, Any]:
    if isinstance(row, Device):
        return {"kind": "device"} | asdict(row)
    if isinstance(row, ArchitectureRow):
        return {"kind": "architecture"} | catalog_inputs.as_dict(row)
    checked = pool_row(row)
    return (
        {"kind": "model"}
        | asdict(row)
        | {
            "memory": asdict(row.memory()),
            "own": row.is_own,
            "flag": checked.flag if checked else None,
            "revisions": [other.key for other in tables.revisions(row.key)],
        }
    )


def _brief(row: ModelRow) -> dict[str, Any]:
    checked = pool_row(row)
    return {
        "key": row.key,
        "name": row.name,
        "aliases": row.aliases,
        "task": row.task,
        "quantization": row.quantization,
        "registry_key": row.registry_key,
        "memory": asdict(row.memory()),
        "document": row.document.key,
        "own": row.is_own,
        "flag": checked.flag if checked else None,
    }


def _find(name: str) -> ModelRow | ArchitectureRow | Device:
    try:
        return tables.device(name)
    except UnknownDeviceError as error:
        like_devices = error.suggestions
    try:
        return tables.model(name)
    except UnknownModelError as error:
        like_models = error.suggestions
    try:
        return tables.architecture(name)
    except UnknownModelError as error:
        suggestions = list(dict.fromkeys((*like_devices, *error.suggestions, *like_models)))
    hint = f"; did you mean {', '.join(suggestions)}?" if suggestions else ""
    raise InputError(f"no model or device is called {name!r}{hint}", name=name, suggestions=suggestions)


def _usable_bar(page: Page, row: Device) -> Text:
    return page.bar(row.usable.lo, row.usable.best, row.usable.hi, row.memory_bytes, 10, track=True)


def _counted(page: Page, number: int, noun: str) -> None:
    page.line(f"{number or 'no'} {noun}{'' if number == 1 else 's'}", "dim")


def _pairs(page: Page, pairs: dict[str, str | None]) -> None:
    page.table(("", ""), [(name, text) for name, text in pairs.items() if text])


def _range(found: Range) -> str:
    figures = size(found.best) if found.lo == found.hi else f"{size(found.best)}, {span(found.lo, found.hi)}"
    return f"{figures}; {found.origin}: {found.basis}"


def _show_model(page: Page, row: ModelRow) -> None:
    document = row.document
    _pairs(
        page,
        {
            "also called": ", ".join(row.aliases),
            "task": row.task,
            "quantization": row.quantization,
            "registry": row.registry_key,
            "memory": _range(row.memory()),
            "file": f"{row.file.published} {row.file.unit}, {row.file.bytes:,} bytes" if row.file else None,
            "but": checked.flag if (checked := pool_row(row)) else None,
        },
    )
    page.title("As published")
    page.table(
        (">figure", ">bytes", ">on", ""),
        [
            (
                f"{figure.published} {figure.unit}",
                f"{figure.bytes:,}",
                figure.platform or "",
                ", ".join(filter(None, (figure.backend, figure.precision, figure.device))),
            )
            for figure in row.figures
        ],
    )
    if row.weights:
        weights = row.weights
        page.title("Weights")
        _pairs(
            page,
            {
                "published": f"{weights.published} {weights.unit}, {weights.precision}",
                "really": size(weights.real_bytes) if weights.real_bytes is not None else None,
                "note": weights.note,
                "page": weights.page,
            },
        )
    page.title("Source")
    library = f"{document.library} {document.library_version}"
    _pairs(page, {"title": document.title, "from": document.citation, "date": document.date, "library": library})
    for note in document.notes:
        page.line(f"note: {note}")
    others = [other for other in tables.revisions(row.key) if other.key != row.key]
    if others:
        page.title("The same model elsewhere")
        page.table(
            ("name", ">memory", "library"),
            [
                (
                    other.key,
                    format_bytes(other.memory().best),
                    f"{other.document.library} {other.document.library_version}",
                )
                for other in others
            ],
        )


def _show_architecture(page: Page, row: ArchitectureRow) -> None:
    model = row.model()
    _pairs(
        page,
        {
            "also called": ", ".join(row.aliases),
            "architecture": model.architecture,
            "parts": ", ".join(part.name for part in row.components if part.name),
            "parameters": f"{row.parameters:,}",
            "weights": size(model.tensor_bytes),
            "page": row.page,
            "date": row.date,
            "note": row.note,
        },
    )


def _show_device(page: Page, row: Device) -> None:
    def rate(number: float | None, unit: str) -> str | None:
        return None if number is None else f"{number:g} {unit}"

    _pairs(
        page,
        {
            "also called": ", ".join(row.aliases),
            "class": row.device_class,
            "architecture": " ".join(filter(None, (row.vendor, row.architecture))),
            "released": row.released,
            "memory": size(row.memory_bytes),
            "usable": _range(row.usable),
            "with the entitlement": _range(row.entitled) if row.entitled else None,
            "bandwidth": rate(row.bandwidth_gb_s, "GB/s"),
            "FP16": rate(row.fp16_tflops, "TFLOPS"),
            "INT8": rate(row.int8_tops, "TOPS"),
            "rates count": row.compute_basis,
            "source": row.source,
            "confidence": row.confidence,
        },
    )


def _show_rule(page: Page, rows: tuple[PoolRow, ...]) -> None:
    for title, which in (
        ("On the weights its page states", "stated"),
        ("On the weights that are really there", "real"),
    ):
        page.title(title)
        checks = [getattr(row, which) for row in rows]
        columns = ["name", ">booked", ">weights", ">over", "rule allows", ">usual", "verdict"]
        cells = [
            (
                row.key,
                format_bytes(row.booked_bytes),
                format_bytes(check.weights_bytes),
                f"{check.overhead_percent:+.1f} %",
                span(check.least_bytes, check.most_bytes),
                format_bytes(check.usual_bytes),
                check.verdict,
            )
            for row, check in zip(rows, checks, strict=True)
        ]
        keep = None if page.width >= RULE_WIDTH else (0, 1, 6) if not page.wide else (0, 1, 2, 3, 6)
        page.table(columns, cells, keep)
    page.line()
    flagged = [row for row in rows if row.flag]
    for row in flagged:
        page.line(f"! {row.key} {row.flag}")
    page.line(f"{len(flagged)} of {len(rows)} rows break the rule on one of their weights", "dim")


def _show_audit(page: Page, found: PoolAudit) -> None:
    page.table(
        ("task", ">stated", ">summed", ""),
        [
            (task, format_bytes(stated), format_bytes(summed), "equal" if stated == summed else "differs")
            for task, stated, summed in [
                *(
                    (task, found.stated_subtotal_bytes.get(task, 0), count)
                    for task, count in found.subtotal_bytes.items()
                ),
                ("total", found.stated_total_bytes, found.total_bytes),
            ]
        ],
    )
    page.title("Rows that break the rule")
    for breach in found.breaches:
        page.line(
            f"{breach.model.key} books {format_bytes(breach.booked_bytes)}; the rule gives "
            f"{span(breach.least_bytes, breach.most_bytes)}."
        )
        if breach.model.weights and breach.model.weights.note:
            page.line(f"note: {breach.model.weights.note}")
    if not found.breaches:
        page.line("none")


for command in (*catalog_own.commands, catalog_inputs.architectures, catalog_inputs.runtimes):
    catalog.add_command(command)
