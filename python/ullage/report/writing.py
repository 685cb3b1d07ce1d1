"""Writing sections: as a page, an image or a trace, by the ending of the file."""

import gzip
import importlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ullage.errors import ArgumentError, UnreadableError
from ullage.report.parts import Section
from ullage.report.traces import trace_of

__all__ = ["ENDINGS", "write_report"]

MOST_DIGITS = 11
"""Of the seconds of a time that has a date."""
ENDINGS = (".html", ".png", ".svg", ".pdf", ".json", ".json.gz")


def write_report(sections: Sequence[Section], path: Path, title: str | None = None) -> None:
    """Write `sections` to `path`, as its ending says.

    `.html` is one page that needs no network; `.png`, `.svg` and `.pdf` an image; `.json` and `.json.gz` a trace that
    Perfetto and chrome://tracing open. A page is titled as its only section unless `title` says otherwise, and says
    when it was made (`SOURCE_DATE_EPOCH`, if that is set).

    Raises `ArgumentError` for another ending, a missing extra, or a trace of what has no time, and `UnreadableError`
    where the file cannot be written.
    """
    name = path.name.lower()
    ending = next((ending for ending in reversed(ENDINGS) if name.endswith(ending)), None)
    if ending is None:
        raise _refuse("out", f"{path.name} ends in none of {', '.join(ENDINGS)}")
    if ending == ".html":
        content = _extra("ullage.report.browser", "bokeh").page(sections, title or _title(sections), _now()).encode()
    elif ending.startswith(".json"):
        content = json.dumps(trace_of(sections), separators=(",", ":")).encode()
        if ending.endswith(".gz"):
            content = gzip.compress(content, mtime=0)
    else:
        content = _extra("ullage.report.image", "matplotlib").image(sections, ending.removeprefix("."))
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}", path=str(path)) from error


def _title(sections: Sequence[Section]) -> str:
    return sections[0].title if len(sections) == 1 else "ullage report"


def _now() -> str:
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    when = (
        datetime.fromtimestamp(int(fixed), UTC)
        if fixed.isdecimal() and len(fixed) <= MOST_DIGITS
        else datetime.now(UTC)
    )
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _extra(module: str, package: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ullage"):
            raise
        raise _refuse("report", f"drawing needs {package}: pip install 'ullage[report]'") from None


def _refuse(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)
