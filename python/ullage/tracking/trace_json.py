"""Trace files in JSON, plain or gzip, whole or cut off where Chrome leaves the closing bracket out."""

import json
import zlib
from pathlib import Path
from typing import Any, NoReturn

from ullage.tracking.fault import fault

__all__ = ["GZIP", "load"]

GZIP = b"\x1f\x8b"
RATIO, FREE = 200, 1 << 20
"""A gzip file may unpack to so many times its size, and this much more: traces shrink ten to forty times."""
CHUNK = 1 << 20


def load(data: bytes, path: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Give the value of a trace file, or raise a `TraceFileError`."""
    if data.startswith(GZIP):
        data = _unpacked(data, path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fault(path, "is not UTF-8", offset=error.start) from None
    try:
        return _parsed(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("["):
            return _cut_off(text, error, path)
        raise fault(path, f"is no JSON: {error.msg}", offset=error.pos) from None
    except (ValueError, RecursionError) as error:
        raise fault(path, f"is no JSON of a trace: {error}") from None


def _parsed(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    return json.loads(text, parse_constant=_refuse)  # numbers of more than 4,300 digits are refused by Python itself


def _cut_off(text: str, error: json.JSONDecodeError, path: Path) -> Any:  # noqa: ANN401 - as above
    """Read an array whose end is missing, as Chrome's own viewer does: a comma more or a bracket less is no matter."""
    try:
        return _parsed(text.rstrip().rstrip(",") + "]")
    except (ValueError, RecursionError):
        raise fault(path, f"is no JSON: {error.msg}", offset=error.pos) from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _unpacked(data: bytes, path: Path) -> bytes:
    """Unpack gzip, every member of it, within bounds."""
    most = len(data) * RATIO + FREE
    parts: list[bytes] = []
    size = 0
    while data:
        machine = zlib.decompressobj(wbits=31)
        rest = data
        while not machine.eof:
            try:
                part = machine.decompress(rest, CHUNK)
            except zlib.error as error:
                raise fault(path, f"is no sound gzip: {error}") from None
            rest = machine.unconsumed_tail
            size += len(part)
            if size > most:
                raise fault(path, f"unpacks to more than {RATIO} times its size")
            parts.append(part)
            if not part and not rest and not machine.eof:
                raise fault(path, "is cut off in the middle of its gzip", offset=len(data))
        data = machine.unused_data.lstrip(b"\0")
    return b"".join(parts)
