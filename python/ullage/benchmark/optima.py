"""Tables of what is known to be optimal."""

import csv
import io
from pathlib import Path
from typing import TypeAlias

from ullage.errors import ModelNotFoundError, ProblemError, UnreadableError, not_utf8

__all__ = ["Optima", "is_optima", "parse_optima", "read_optima"]

Optima: TypeAlias = dict[tuple[str, str], int]
"""From family and instance to the optimum."""

REQUIRED = ("family", "instance", "opt")


def is_optima(content: bytes) -> bool:
    """Tell whether the first line names the columns of such a table."""
    header = content[:1000].decode("utf-8-sig", errors="replace").partition("\n")[0]
    return set(REQUIRED) <= {name.strip() for name in header.split(",")}


def read_optima(path: Path) -> Optima:
    """Read CSV with the columns `family`, `instance` and `opt`, in any order among others.

    Raises `ModelNotFoundError` or `UnreadableError` for a file that cannot be read, `ProblemError` naming the line of
    what makes no sense.
    """
    try:
        return parse_optima(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: no such file", path=str(path)) from error
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror or error}", path=str(path)) from error


def parse_optima(content: bytes, where: str) -> Optima:
    """Read what `read_optima` reads, from the content of a file."""
    found: Optima = {}
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        missing = set(REQUIRED) - {name.strip() for name in rows.fieldnames or ()}
        if missing:
            raise _wrong(where, "line 1", f"lacks the columns {', '.join(sorted(missing))}")
        for row in rows:
            family, name, value = (str(row.get(key) or "").strip() for key in REQUIRED)
            if not (value.isascii() and value.isdigit() and len(value) < 20):  # noqa: PLR2004 - digits of 2^64
                raise _wrong(where, f"line {rows.line_num}", f"{value[:60]!r} is not an optimum, a whole number")
            if found.setdefault((family, name), int(value)) != int(value):
                raise _wrong(where, f"line {rows.line_num}", f"{family}/{name} has another optimum above")
    except UnicodeDecodeError as error:
        raise _wrong(where, "file", not_utf8(error)) from error
    except csv.Error as error:
        raise _wrong(where, "file", str(error)) from error
    return found


def _wrong(where: str, field: str, reason: str) -> ProblemError:
    return ProblemError(f"{where}: {field}: {reason}", field=field, reason=reason)
