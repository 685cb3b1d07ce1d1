"""`ullage compress`: what a model takes with its weights compressed, and the file that holds them so."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

import ullage
from ullage import Compression, format_bytes
from ullage._codec import LayerRow
from ullage.cli import options
from ullage.cli.show import Page, print_json, size
from ullage.cli.values import INPUT, OUTPUT
from ullage.cli.working import waiting
from ullage.errors import not_utf8
from ullage.store import WriteProgress, Written

__all__ = ["compress"]

MOST_WORST = 5
"""Tensors whose errors are shown."""


@click.command(
    epilog="""\b
Schemes: dense:f16, sparse:0.75, sparse:2:4, palettized:4[,group=16]
[,vector=2][,scale][,lut=int8], linear:8[,symmetric|affine][,tensor|channel|
block=32], sparse:0.5+palettized:4, gguf:q4_k, lossless.

\b
Examples:
  ullage compress model.safetensors --scheme palettized:4,group=16
  ullage compress model.safetensors --scheme linear:8 --out small.safetensors
  ullage compress resnet50.safetensors --scheme linear:8 --container coreml:ios18
  ullage compress model.gguf --scheme gguf:q4_k --layer "*.ffn_*=gguf:q3_k" --json
  ullage compress layers.json --network resnet50 --scheme sparse:0.5 --container coreml:ios16
"""
)
@click.argument("model")
@click.option("--scheme", required=True, metavar="SCHEME", help="How weights are stored.")
@click.option(
    "--container",
    metavar="CONTAINER",
    default=None,
    help="raw, or the weight.bin of a Core ML package: coreml:ios16 or coreml:ios18. Default: raw.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="PATTERN=SCHEME",
    help="Another scheme for the weights of such names (* and ?); may be given again, the first that matches counts.",
)
@click.option(
    "--threshold",
    type=click.IntRange(0, 2**64 - 1),
    metavar="N",
    help="In a Core ML package, weights of so many elements or fewer stay dense. Default: 2048.",
)
@click.option(
    "--keep-batch-norm",
    is_flag=True,
    help="In a Core ML package, keep batch norms behind compressed convolutions, as training-time compression does.",
)
@click.option(
    "--network",
    metavar="NAME",
    help="MODEL is a JSON object of networks, each a list of [name, kind, shape]: this one.",
)
@click.option(
    "--top", type=click.IntRange(min=0), metavar="N", default=10, show_default=True, help="Show so many tensors."
)
@click.option(
    "--out",
    type=OUTPUT,
    metavar="FILE",
    help="Write the weights so compressed to a safetensors file, which `ullage.load` decodes just in time.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    metavar="N",
    default=1,
    show_default=True,
    help="Encode so many tensors at once.",
)
@click.option(
    "--inputs",
    type=INPUT,
    metavar="FILE",
    help="A safetensors file of what layers were given, rows under their weights' names: palettes are made for it.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there; the model itself is never replaced.")
@options.as_json
def compress(
    *,
    model: str,
    scheme: str,
    container: str | None,
    layers: tuple[str, ...],
    threshold: int | None,
    keep_batch_norm: bool,
    network: str | None,
    top: int,
    out: Path | None,
    jobs: int,
    inputs: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Say what a model takes with its weights compressed.

    With --out it is also written so.

    MODEL is what `ullage footprint` takes. Without a container, compressed weights are packed end to end and compared
    with the tensors as stored; in a Core ML package, weight.bin is sized as coremltools writes it, and compared with
    that of 16-bit numbers.
    """
    overrides: dict[str, str] = {}
    for pattern, other in map(_override, layers):
        overrides.setdefault(pattern, other)
    if out is not None and (network is not None or container not in {None, "raw"}):
        what = "--network" if network is not None else "--container"
        raise click.UsageError(f"--out writes a file of its own kind, without {what}", click.get_current_context())
    if inputs is not None and out is None:
        raise click.UsageError("--inputs is for the file that --out writes", click.get_current_context())
    with waiting(f"sizing {model}"):
        found = ullage.compress(
            model if network is None else _network(Path(model), network),
            scheme,
            container=container,
            overrides=overrides,
            threshold=threshold,
            keep_batch_norm=keep_batch_norm,
        )
    written = None if out is None else _write(model, out, scheme, overrides, jobs=jobs, inputs=inputs, force=force)
    if as_json:
        print_json(found.as_dict() | ({} if written is None else {"out": written.as_dict()}))
        return 0
    page = Page()
    _draw(page, found, top)
    if written is not None:
        _draw_written(page, written, top)
    return 0


def _write(
    model: str,
    out: Path,
    scheme: str,
    overrides: dict[str, str],
    *,
    jobs: int,
    inputs: Path | None,
    force: bool,
) -> Written:
    """Write the file, with a bar on a terminal."""

    def write(progress: Callable[[WriteProgress], None] | None) -> Written:
        return ullage.write_compressed(
            model, out, scheme, overrides=overrides, inputs=inputs, jobs=jobs, force=force, progress=progress
        )

    if not (sys.stderr.isatty() and sys.stdout.isatty()):
        return write(None)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task("compressing", total=None)
        return write(lambda found: bar.update(task, completed=found.bytes, total=found.of_bytes))


def _draw_written(page: Page, written: Written, top: int) -> None:
    worst = written.worst(min(top, MOST_WORST))
    if worst:
        page.title("The tensors that are farthest off")
        _tensors(
            page,
            (">signal to noise", ">largest error"),
            [
                (f"{tensor.snr_db:.1f} dB", f"{tensor.max_error:.3g}", tensor.scheme or "", tensor.name)
                for tensor in worst
            ],
        )
    page.line()
    header = f"{written.header_bytes:,} bytes of it the header"
    page.line(f"written to {written.path}: {size(written.file_bytes)}, {header}", "bold")


def _override(text: str) -> tuple[str, str]:
    pattern, equals, scheme = text.partition("=")  # the scheme may have more of them
    if not equals:
        raise click.UsageError(f"--layer {text!r} is not PATTERN=SCHEME", click.get_current_context())
    return pattern, scheme


def _network(path: Path, name: str) -> list[LayerRow]:
    try:
        networks = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        said = f"{path} is not JSON: {not_utf8(error)}"
        raise click.UsageError(said, click.get_current_context()) from None
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{path} is not JSON: {error}", click.get_current_context()) from None
    found = networks.get(name) if isinstance(networks, dict) else None
    layers = found.get("layers") if isinstance(found, dict) else found
    if not isinstance(layers, list):
        raise click.UsageError(f"{path} has no network {name!r}", click.get_current_context())
    return layers


def _draw(page: Page, found: Compression, top: int) -> None:
    ratio = f"{found.ratio:.2f} times smaller" if found.ratio is not None else "nothing left"
    page.line(f"{found.scheme} in {found.container}: {size(found.bytes)}, {ratio}", "bold")
    page.line()
    cells = 24 if page.wide else 5
    whole = max(found.dense_bytes, found.bytes)
    figures = (("before", found.dense_bytes), ("after", found.bytes))
    page.table(
        ("", "", ">bytes", ">"),
        [(name, page.fill(count, whole, cells), f"{count:,}", format_bytes(count)) for name, count in figures],
    )
    if found.container != "raw":
        page.line(f"the package, its program estimated: {size(found.package_bytes())}")
    rows = sorted(found.per_tensor, key=lambda row: -row["bytes"])[:top]
    if rows:
        page.title("The largest tensors")
        _tensors(
            page,
            (">before", ">after"),
            [
                (
                    format_bytes(row["dense_bytes"]),
                    format_bytes(row["bytes"]),
                    row["scheme"] or "as it was",
                    row["name"],
                )
                for row in rows
            ],
        )
    if 0 < top < len(found):
        page.line(f"and {len(found) - top:,} more; --top shows more, --json all")


def _tensors(page: Page, figures: tuple[str, str], rows: list[tuple[str, str, str, str]]) -> None:
    """Show tensors: their scheme only where it is not the same for all."""
    if len({scheme for _, _, scheme, _ in rows}) > 1:
        page.table((*figures, "scheme", "tensor"), rows)
    else:
        page.table((*figures, "tensor"), [(one, other, name) for one, other, _, name in rows])
