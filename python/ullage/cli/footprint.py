"""`ullage footprint`: what a model needs."""

from typing import Unpack

import click

import ullage
from ullage import Footprint, Model, format_bytes
from ullage._footprint import Workload
from ullage.cli import options
from ullage.cli.show import Page, print_json, size, span
from ullage.cli.working import waiting

__all__ = ["footprint"]

MOST_PARTS = 20


@click.command(
    epilog="""\b
Examples:
  ullage footprint ./all-MiniLM-L6-v2 --batch 32
  ullage footprint model.safetensors --context 8192 --kv-dtype q8_0
  ullage footprint 12GB --json
  ullage footprint model.safetensors --measure
"""
)
@click.argument("model")
@options.workload
@click.option(
    "--measure",
    "is_measuring",
    is_flag=True,
    help="Load a safetensors or ONNX file in a fresh process (needs ullage[measure]), measure what that takes and keep "
    "it for the footprints to come.",
)
@options.as_json
def footprint(*, model: str, as_json: bool, is_measuring: bool, **workload: Unpack[Workload]) -> int:
    """Show what a model needs, part by part.

    MODEL is a file or a directory of safetensors, GGUF, ONNX, PyTorch, Core ML, ExecuTorch or TFLite, a config.json, a
    name of the catalog, or a plain size such as 12GB, taken as 16-bit weights. Only headers are read, never the
    weights. Every part is shown as the least, the most likely and the most that it can be, with where the figure comes
    from. What was measured on this machine counts.
    """
    figures = None
    if is_measuring:
        from ullage.cli import measure  # noqa: PLC0415 - SQLite and more

        found, figures = measure.taken(model, workload)
    else:
        with waiting(f"reading {model}"):
            found = ullage.footprint(model, **workload)
    if as_json:
        print_json(found.as_dict() | ({"measured": figures} if figures else {}))
        return 0
    page = Page()
    _header(page, found)
    _components(page, found)
    if figures:
        measure.compare(page, figures)
    _origins(page, found)
    _weights(page, found.model)
    return 0


def _header(page: Page, found: Footprint) -> None:
    model = found.model
    page.line(model.name, "bold")
    if model.path is None and model.format is None:
        page.line(f"No file was read: everything rests on one figure, {size(model.tensor_bytes or found.total.best)}.")
    else:
        architecture = model.architecture or "unknown architecture"
        packed = f", {model.quantization}" if model.quantization else ""
        page.line(f"{architecture}, {model.parameters:,} parameters in {_tensors(len(model.tensors))}{packed}")
    if model.format == "config":
        page.line("No weights were read: they follow from the configuration.")
    elif model.path is not None:
        dtypes = " + ".join(f"{dtype} {count:,}" for dtype, count in model.dtypes.items())
        page.line(f"tensors {model.tensor_bytes:,} bytes ({dtypes})")
        page.line(f"files {model.file_bytes:,} bytes, headers included: {size(model.file_bytes)}")
    page.line(f"for a context of {found.context:,} tokens, batch {found.batch:,}, KV cache {found.kv_dtype}")
    attention = "flash attention" if found.flash_attention else "no flash attention"
    page.line(f"in {found.runtime}, micro-batch {found.micro_batch:,}, {attention}")
    for note in model.notes:
        page.line(f"note: {note}")


def _tensors(count: int) -> str:
    return f"{count:,} tensor{'' if count == 1 else 's'}"


def _components(page: Page, found: Footprint) -> None:
    rows = [*found.parts.items(), ("total", found.total)]
    whole = found.total.hi
    page.line()
    if page.wide:
        cells = page.width - 69
        page.table(
            ("part", ">least", ">most likely", ">most", "", "origin"),
            [
                (
                    name.replace("_", " "),
                    format_bytes(part.lo),
                    size(part.best),
                    format_bytes(part.hi),
                    page.bar(part.lo, part.best, part.hi, whole, min(cells, 40)),
                    part.origin,
                )
                for name, part in rows
            ],
        )
    else:
        page.table(
            ("part", ">likely", ">most", ""),
            [
                (
                    name.replace("_", " "),
                    format_bytes(part.best),
                    format_bytes(part.hi),
                    page.bar(part.lo, part.best, part.hi, whole, max(page.width - 35, 1)),
                )
                for name, part in rows
            ],
        )
    page.line(page.legend(), "dim")


def _origins(page: Page, found: Footprint) -> None:
    page.title("Where the figures come from")
    rows = []
    for name, part in found.parts.items():
        formula = part.formula.replace("_", " ")
        figure = "" if page.wide else f"{span(part.lo, part.hi)}; "
        rows.append((name.replace("_", " "), f"{figure}{part.origin}: {formula}"))
    if "measured" in found.total.formula:
        rows.append(("total", f"{found.total.origin}: {found.total.formula}"))
    page.table(("", ""), rows)


def _weights(page: Page, model: Model) -> None:
    if model.format is None:
        return
    page.title("Weights by part")
    parts = sorted(model.parts.items(), key=lambda part: -part[1])
    largest = parts[0][1] if parts else 0
    page.table(
        ("", ">", ""),
        [
            (
                name,
                size(count) if page.wide else format_bytes(count),
                page.bar(count, count, count, largest, max(min(page.width // 4, 40), 8)),
            )
            for name, count in parts[:MOST_PARTS]
        ],
    )
    if len(parts) > MOST_PARTS:
        page.line(f"and {len(parts) - MOST_PARTS:,} smaller ones")
