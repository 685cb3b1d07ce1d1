"""Results as CSV, JSON and Markdown."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from ullage.benchmark.profile import Profile
from ullage.benchmark.row import Row
from ullage.benchmark.summary import Judged, Line
from ullage.errors import UnreadableError
from ullage.timeline.writing import replaced

__all__ = ["HEADER", "as_dict", "as_markdown", "cells", "write_csv", "write_json", "write_markdown"]

HEADER = ("family", "strategy", "instances", "solved", "proven", "failed", "mean s", "median s", "max s", "mean gap")
"""Of the columns that `cells` gives."""


def cells(line: Line) -> tuple[str, ...]:
    """Give a line as text, a cell for each name of `HEADER`."""
    counts = (line.instances, line.solved, line.proven, line.failed)
    times = (_seconds(value) for value in (line.mean_s, line.median_s, line.max_s))
    gap = "-" if line.mean_gap is None else f"{line.mean_gap:.2%}"
    return line.family, line.strategy, *(str(count) for count in counts), *times, gap


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def as_markdown(lines: Sequence[Line]) -> str:
    """Give the lines as a table of Markdown."""
    rule = "|".join("---" if index < 2 else "--:" for index in range(len(HEADER)))  # noqa: PLR2004 - two names
    rows = ("|".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells(line)) for line in lines)
    return "\n".join(f"|{row}|" for row in ("|".join(HEADER), rule, *rows)) + "\n"


def as_dict(judged: Sequence[Judged], lines: Sequence[Line], profile: Profile) -> dict[str, Any]:
    """Give everything, ready for JSON."""
    rows = [asdict(one.row) | {"reference": one.reference, "gap": one.gap, "solved": one.is_solved} for one in judged]
    return {"summary": [asdict(line) for line in lines], "rows": rows, "profile": asdict(profile)}


def write_csv(path: Path, judged: Sequence[Judged]) -> None:
    """Write a line for each row."""
    names = [field.name for field in fields(Row)]
    with _file(path) as file:
        writer = csv.writer(file)
        writer.writerow([*names, "reference", "gap", "solved"])
        for one in judged:
            row = asdict(one.row)
            writer.writerow([*(row[name] for name in names), one.reference, one.gap, int(one.is_solved)])


def write_json(path: Path, judged: Sequence[Judged], lines: Sequence[Line], profile: Profile) -> None:
    """Write everything as one JSON object."""
    with _file(path) as file:
        json.dump(as_dict(judged, lines, profile), file, indent=1)
        file.write("\n")


def write_markdown(path: Path, lines: Sequence[Line]) -> None:
    """Write the table of the summary."""
    with _file(path) as file:
        file.write(as_markdown(lines))


@contextmanager
def _file(path: Path) -> Iterator[TextIO]:
    try:
        with replaced(path) as file:
            yield file
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}", path=str(path)) from error
