"""Rows of a truth file: what real runtimes were seen to allocate."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from ullage.errors import CatalogError, not_utf8

__all__ = ["TruthRow", "read_truth"]

NEEDED = ("id", "kind", "model", "runtime", "device", "component", "value_bytes", "published_as", "note")
SIZE = r"([\d.,]+) ?(kB|MB|GB|KiB|MiB|GiB)"
UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthRow:
    """One figure, with what is needed to predict it."""

    id: str
    kind: str
    model: str
    runtime: str
    device: str
    component: str
    published_as: str
    weight_format: str
    bytes: int | None
    """The figure; `None` for a verdict."""
    file_bytes: int | None
    """Bytes of the model's file, where the note states them."""
    context: int | None
    sequences: int | None
    kv_dtype: str | None
    micro_batch: int | None
    flash_attention: bool
    layers: int | None
    kv_heads: int | None
    key: int | None
    value: int | None
    latent: int | None
    window_layers: int | None
    window: int | None
    vocabulary: int | None
    hidden: int | None


def read_truth(path: Path) -> list[TruthRow]:
    """Read a CSV file of truth rows; raises `CatalogError` that names line and column at fault."""
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except OSError as error:
        raise _fault(path, "", f"not readable: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise _fault(path, "", f"not readable as CSV: {not_utf8(error)}") from error
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise _fault(path, "", f"no column {', '.join(missing)}")
    return [_row(path, number, cells) for number, cells in enumerate(reader, start=2)]


def _row(path: Path, line: int, cells: dict[str, str]) -> TruthRow:
    def text(name: str) -> str:
        return (cells.get(name) or "").strip()

    def number(name: str) -> int | None:
        written = text(name)
        if not written:
            return None
        if not written.isascii() or not written.isdigit():
            raise _fault(path, f"line {line}, {name}", f"expected a whole number, found {written[:40]!r}")
        return int(written)

    return TruthRow(
        id=text("id"),
        kind=text("kind"),
        model=text("model"),
        runtime=text("runtime"),
        device=text("device"),
        component=text("component"),
        published_as=text("published_as"),
        weight_format=text("weight_format"),
        bytes=number("value_bytes"),
        file_bytes=_size(f"file {SIZE}", text("note")) or _size(SIZE, text("weight_format")),
        context=number("ctx_tokens"),
        sequences=number("n_seq"),
        kv_dtype=text("kv_dtype") or None,
        micro_batch=number("n_ubatch"),
        flash_attention=text("flash_attn") != "off",
        layers=number("n_kv_layers") or number("n_layers"),
        kv_heads=number("n_kv_heads"),
        key=number("head_dim_k"),
        value=number("head_dim_v"),
        latent=number("mla_latent"),
        window_layers=number("n_swa_layers"),
        window=number("swa_window"),
        vocabulary=number("n_vocab"),
        hidden=number("n_embd"),
    )


def _size(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    return round(float(found[1].replace(",", "")) * UNITS[found[2]]) if found else None


def _fault(path: Path, field: str, reason: str) -> CatalogError:
    place = f"{path}: {field}: " if field else f"{path}: "
    return CatalogError(f"{place}{reason}", path=str(path), field=field, reason=reason)
