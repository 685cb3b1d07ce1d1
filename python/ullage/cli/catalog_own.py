"""`ullage catalog add`, `remove`, `measured` and `forget`: what is the user's own."""

from dataclasses import asdict

import click

from ullage import catalog as tables
from ullage import format_bytes, measuring
from ullage.catalog.device_table import CLASSES
from ullage.catalog.model_table import BACKENDS, PLATFORMS
from ullage.cli import options
from ullage.cli.show import Page, print_json, size
from ullage.cli.values import SIZE, Number

__all__ = ["commands"]

replace = click.option("--replace", is_flag=True, help="Take the place of a row that has the name already.")
source = click.option(
    "--source", metavar="TEXT", default="added by hand", show_default=True, help="Who measured it, and how."
)
alias = click.option(
    "--alias", "aliases", metavar="NAME", multiple=True, help="Another name; may be given several times."
)


@click.group()
def add() -> None:
    """Add a row of your own: a model or a device.

    It is kept in your data folder (ULLAGE_HOME, where that is set) and found like a published one.
    """


@add.command(
    epilog="""\b
Examples:
  ullage catalog add model my-llama --memory 3.1GB --platform android --device oneplus-12
  ullage catalog add model my-llama --memory 2.9GB --source "dumpsys meminfo, 3 runs" --replace
"""
)
@click.argument("name")
@click.option(
    "--memory", required=True, type=SIZE, metavar="SIZE", help="The most that it took, such as 3.1GB or 900MiB."
)
@click.option(
    "--task", default="other", show_default=True, metavar="TEXT", help="What it does, such as text-generation."
)
@click.option("--platform", type=click.Choice(sorted(PLATFORMS)), help="The system it ran on.")
@click.option("--backend", type=click.Choice(sorted(BACKENDS)), help="What it ran with.")
@click.option("--device", metavar="DEVICE", help="The device it ran on, as the catalog knows it.")
@click.option("--precision", metavar="FORMAT", help="Number format of the weights, such as fp16.")
@click.option("--quantization", metavar="TEXT", help="How its weights are quantized, such as Q4_K_M.")
@click.option("--registry-key", metavar="OWNER/NAME", help="Its name in a registry; it is found by that too.")
@click.option("--file", "file_size", type=SIZE, metavar="SIZE", help="Size of its file.")
@click.option("--library", default="own", show_default=True, metavar="TEXT", help="The library it ran with.")
@click.option("--library-version", default="unstated", show_default=True, metavar="TEXT", help="Its version.")
@click.option(
    "--metric", default="peak memory of the process", show_default=True, metavar="TEXT", help="What the figure counts."
)
@click.option("--note", metavar="TEXT", help="Whatever else is to be known of it.")
@source
@alias
@replace
@options.as_json
def model(
    *,
    name: str,
    memory: str,
    task: str,
    platform: str | None,
    backend: str | None,
    device: str | None,
    precision: str | None,
    quantization: str | None,
    registry_key: str | None,
    file_size: str | None,
    library: str,
    library_version: str,
    metric: str,
    note: str | None,
    source: str,
    aliases: tuple[str, ...],
    replace: bool,
    as_json: bool,
) -> int:
    """Add a model with the memory that it was seen to take."""
    row = tables.add_model(
        name,
        memory,
        source=source,
        task=task,
        library=library,
        library_version=library_version,
        metric=metric,
        platform=platform,
        backend=backend,
        precision=precision,
        device=tables.device(device).key if device else None,
        quantization=quantization,
        registry_key=registry_key,
        file=file_size,
        aliases=aliases,
        note=note,
        replace=replace,
    )
    if as_json:
        print_json({"kind": "model", "key": row.key, "memory": asdict(row.memory())})
    else:
        Page().line(f"added the model {row.key}: {size(row.memory().best)}")
    return 0


@add.command(
    epilog="""\b
Examples:
  ullage catalog add device "Our server" --memory 64GiB --class host
  ullage catalog add device pixel-9 --memory 12GiB --class phone-android --usable 6GB
"""
)
@click.argument("name")
@click.option("--memory", required=True, type=SIZE, metavar="SIZE", help="All its memory, such as 64GiB.")
@click.option("--class", "device_class", required=True, type=click.Choice(sorted(CLASSES)), help="What kind it is.")
@click.option(
    "--usable",
    metavar="SIZE[,SIZE,SIZE]",
    help="What a process may use: one size, or at least, most likely and at most. Default: the rule of its class.",
)
@click.option(
    "--entitled",
    metavar="SIZE[,SIZE,SIZE]",
    help="Likewise for an iOS app with the increased-memory-limit entitlement.",
)
@click.option("--bandwidth", type=Number(0, min_open=True), metavar="GB/S", help="Memory bandwidth.")
@source
@alias
@replace
@options.as_json
def device(
    *,
    name: str,
    memory: str,
    device_class: str,
    usable: str | None,
    entitled: str | None,
    bandwidth: float | None,
    source: str,
    aliases: tuple[str, ...],
    replace: bool,
    as_json: bool,
) -> int:
    """Add a device."""
    row = tables.add_device(
        name,
        memory,
        device_class=device_class,
        source=source,
        usable=_bounds(usable, "--usable"),
        entitled=_bounds(entitled, "--entitled"),
        bandwidth_gb_s=bandwidth,
        aliases=aliases,
        replace=replace,
    )
    if as_json:
        print_json({"kind": "device", "key": row.key, "memory_bytes": row.memory_bytes, "usable": asdict(row.usable)})
    else:
        Page().line(f"added the device {row.key}: {size(row.memory_bytes)}, usable {size(row.usable.best)}")
    return 0


def _bounds(text: str | None, option: str) -> tuple[str, str, str] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1:
        parts *= 3
    if len(parts) != 3:  # noqa: PLR2004 - at least, most likely, at most
        raise click.BadParameter(f"{text!r} is neither one size nor three", param_hint=f"'{option}'")
    return parts[0], parts[1], parts[2]


@click.command()
@click.argument("name")
@options.as_json
def remove(*, name: str, as_json: bool) -> int:
    """Take a row of your own out of the catalog.

    Published rows cannot be removed; one that yours had hidden is found again.
    """
    key = tables.remove(name)
    if as_json:
        print_json({"removed": key})
    else:
        Page().line(f"removed {key}")
    return 0


@click.command()
@options.as_json
def measured(*, as_json: bool) -> int:
    """List what was measured on this machine.

    Growth is by how much the process grew at its peak: the least, the median and the most of all runs.
    """
    found = measuring.Store().summaries()
    if as_json:
        print_json({"measured": [row.as_dict() for row in found]})
        return 0
    page = Page()
    if not found:
        page.line("nothing was measured yet", "dim")
    elif page.wide:
        page.table(
            ("model", "runtime", "device", ">context", ">batch", ">runs", ">growth", "", "last"),
            [
                (
                    row.model,
                    row.runtime,
                    row.device,
                    f"{row.context:,}" if row.context else "",
                    f"{row.batch:,}" if row.batch else "load",
                    f"{row.measured.count:,}",
                    format_bytes(row.measured.best),
                    f"{format_bytes(row.measured.lo)} to {format_bytes(row.measured.hi)}",
                    row.measured.last[:10],
                )
                for row in found
            ],
        )
    else:
        page.table(
            ("model", ">runs", ">growth"),
            [(row.model, f"{row.measured.count:,}", format_bytes(row.measured.best)) for row in found],
        )
    return 0


@click.command(
    epilog="""\b
Examples:
  ullage catalog forget my-model
  ullage catalog forget --all
"""
)
@click.argument("model", required=False)
@click.option("--all", "everything", is_flag=True, help="Forget every measurement.")
@options.as_json
def forget(*, model: str | None, everything: bool, as_json: bool) -> int:
    """Forget what was measured of a model.

    It is named as 'ullage catalog measured' shows it, or by its fingerprint. Exit status 1 where there was nothing to
    forget.
    """
    if everything == (model is not None):
        raise click.UsageError("name a model, or give --all")
    count = measuring.Store().forget(None if everything else model)
    if as_json:
        print_json({"forgotten": count})
    else:
        Page().line(
            f"forgot {count:,} measurement{'' if count == 1 else 's'}" if count else "there was nothing to forget"
        )
    return int(count == 0)


commands = (add, remove, measured, forget)
