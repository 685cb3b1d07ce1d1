"""GPUs of all years: memory, bandwidth and date from a public database, usable memory by the rule of their class."""

import csv
from pathlib import Path
from typing import NamedTuple, NoReturn

from ullage.catalog.device_table import CLASSES, Device, Rules, by_rule
from ullage.catalog.name_index import NameIndex
from ullage.errors import CatalogError

__all__ = ["GpuRow", "read_gpus"]

COLUMNS = ["key", "name", "vendor", "architecture", "class", "memory_bytes", "bandwidth_gb_s", "released", "note"]


class GpuRow(NamedTuple):
    """A row as it stands in the file; most are never asked for, so a `Device` is made of one only then."""

    key: str
    name: str
    vendor: str
    architecture: str
    device_class: str
    memory_bytes: int
    bandwidth_gb_s: float | None
    released: str | None
    note: str

    def device(self, rules: Rules, source: str) -> Device:
        """Give the row as a device; its usable memory is what the rule of its class makes of its memory."""
        rule = rules[self.device_class, "usable"]
        return Device(
            key=self.key,
            name=self.name,
            aliases=(),
            device_class=self.device_class,
            memory_bytes=self.memory_bytes,
            usable=by_rule(rule, self.memory_bytes, f"class rule of {self.device_class}; this device was not measured"),
            entitled=None,
            bandwidth_gb_s=self.bandwidth_gb_s,
            fp16_tflops=None,
            int8_tops=None,
            compute_basis=None,
            source=f"{source}; {self.note}" if self.note else source,
            confidence="spec",
            vendor=self.vendor,
            architecture=self.architecture,
            released=self.released,
            table="gpus",
        )


def read_gpus(path: Path) -> NameIndex[GpuRow]:
    """Read a file like `gpus.csv`; raises `CatalogError` that names the line and column at fault."""
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        _fail(path, "", f"not readable: {error}")
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    table = csv.reader(lines[head:], strict=True)
    try:
        columns = next(table, None)
        if columns != COLUMNS:
            _fail(path, f"line {head + 1}", f"the columns are not {','.join(COLUMNS)}")
        index: NameIndex[GpuRow] = NameIndex()
        for cells in table:
            if cells:
                row = _row(path, head + table.line_num, cells)
                index.add(row, row.key, (row.name,))
    except csv.Error as error:
        _fail(path, f"line {head + table.line_num}", str(error))
    return index


def _row(path: Path, line: int, cells: list[str]) -> GpuRow:
    if len(cells) != len(COLUMNS):
        _fail(path, f"line {line}", f"{len(cells)} columns instead of {len(COLUMNS)}")
    key, name, vendor, architecture, device_class, memory, bandwidth, released, note = cells
    if not key or not name:
        _fail(path, f"line {line}.key", "missing")
    if device_class not in CLASSES:
        _fail(path, f"line {line}.class", f"{device_class!r} is none of {', '.join(sorted(CLASSES))}")
    if not (memory.isascii() and memory.isdecimal() and 0 < int(memory) < 2**64):
        _fail(path, f"line {line}.memory_bytes", f"{memory!r} is no number of bytes")
    try:
        rate = float(bandwidth) if bandwidth else None
    except ValueError:
        rate = -1
    if rate is not None and not 0 < rate < float("inf"):
        _fail(path, f"line {line}.bandwidth_gb_s", f"{bandwidth!r} is no rate")
    return GpuRow(key, name, vendor, architecture, device_class, int(memory), rate, released or None, note)


def _fail(path: Path, field: str, reason: str) -> NoReturn:
    where = f"{path}: {field}" if field else str(path)
    raise CatalogError(f"{where}: {reason}", path=str(path), field=field, reason=reason)
