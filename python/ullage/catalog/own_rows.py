"""The user's own rows: one small file each in the user's data folder, read by the reader of the published tables."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ullage.catalog.device_table import Device, Rules, read_device_file
from ullage.catalog.model_table import ModelRow, names_of, read_models
from ullage.catalog.name_index import NameIndex, slug
from ullage.errors import ArgumentError, CatalogError
from ullage.folders import data_folder

__all__ = ["delete", "device_index", "key_of", "model_index", "save"]

Row = TypeVar("Row", Device, ModelRow)
Signature = tuple[tuple[str, int, int], ...]

LONGEST_KEY = 100
_read: dict[tuple[str, Signature], NameIndex[Any]] = {}
"""The last index of each folder, with what the folder looked like when it was read."""


def device_index(rules: Rules) -> NameIndex[Device]:
    """Give the user's own devices; raises `CatalogError` naming the file that is damaged."""
    return _index("devices", lambda path: read_device_file(path, rules=rules, table="own")[0], _device_names)


def model_index() -> NameIndex[ModelRow]:
    """Give the user's own models; raises `CatalogError` naming the file that is damaged."""
    return _index("models", lambda path: read_models(path).rows, names_of)


def _device_names(row: Device) -> tuple[str, ...]:
    return row.name, *row.aliases


def _index(
    kind: str, read: Callable[[Path], tuple[Row, ...]], names: Callable[[Row], tuple[str, ...]]
) -> NameIndex[Row]:
    folder = data_folder() / kind
    looks = _signature(folder)
    known = _read.get((str(folder), looks))
    if known is not None:
        return known
    index: NameIndex[Row] = NameIndex()
    for name, _, _ in looks:
        for row in read(folder / name):
            index.add(row, row.key, names(row))
    for other in [key for key in _read if key[0] == str(folder)]:
        del _read[other]
    _read[str(folder), looks] = index
    return index


def _signature(folder: Path) -> Signature:
    """Give name, time and size of every file: cheap to take, and different after any change."""
    try:
        with os.scandir(folder) as entries:
            files = [entry for entry in entries if entry.name.endswith(".toml") and not entry.name.startswith(".")]
            return tuple(sorted((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in files))
    except FileNotFoundError:
        return ()
    except OSError as error:
        reason = f"not readable: {error.strerror}"
        raise CatalogError(f"{folder}: {reason}", path=str(folder), field="", reason=reason) from error


def key_of(name: str) -> str:
    """Give the key of a row that is to be called `name`; raises `ArgumentError` where nothing of it is left."""
    key = slug(name)
    if not key or len(key) > LONGEST_KEY:
        reason = f"{name[:LONGEST_KEY]!r} cannot be made a key: letters and digits are needed, {LONGEST_KEY} at most"
        raise ArgumentError(f"name: {reason}", name="name", reason=reason)
    return key


def save(kind: str, key: str, tables: dict[str, Any], check: Callable[[Path], object], *, replace: bool) -> Path:
    """Write one row, whole or not at all, after `check` has read it; gives its file.

    Raises `ArgumentError` where there is a row of that key and `replace` is not set, and what `check` raises.
    """
    folder = data_folder() / kind
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{key}.toml"
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{key}.", suffix=".new")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(_toml(tables))
            file.flush()
            os.fsync(file.fileno())
        check(temporary)
        _put(temporary, target, replace=replace)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(folder)
    return target


def _put(temporary: Path, target: Path, *, replace: bool) -> None:
    if replace:
        temporary.replace(target)
        return
    try:
        os.link(temporary, target)  # unlike a rename, this fails where somebody else was faster
    except FileExistsError:
        reason = f"there is a row {target.stem!r} already"
        raise ArgumentError(f"name: {reason}", name="name", reason=reason) from None
    except OSError:  # a file system without links
        if target.exists():
            reason = f"there is a row {target.stem!r} already"
            raise ArgumentError(f"name: {reason}", name="name", reason=reason) from None
        temporary.replace(target)


def delete(kind: str, key: str) -> bool:
    """Delete the row's file, damaged or not; tell whether there was one."""
    target = data_folder() / kind / f"{key}.toml"
    try:
        target.unlink()
    except FileNotFoundError:
        return False
    _sync(target.parent)
    return True


def _sync(folder: Path) -> None:
    """Make a change of the folder itself survive a power cut, where the system offers that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _toml(tables: dict[str, Any]) -> str:
    """Write tables of texts, numbers, lists and inline tables as TOML."""
    lines: list[str] = []
    for name, table in tables.items():
        rows = table if isinstance(table, list) else [table]
        for row in rows:
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            lines += [f"{key} = {_value(value)}" for key, value in row.items() if value is not None]
            lines.append("")
    return "\n".join(lines)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(_escaped(character) for character in value) + '"'
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items() if entry is not None)
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    raise TypeError(type(value).__name__)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0xD800 <= code < 0xE000:  # noqa: PLR2004 - a lone surrogate, which no TOML file can hold
        return "\N{REPLACEMENT CHARACTER}"
    return f"\\u{code:04x}" if code < 0x20 or code == 0x7F else character  # noqa: PLR2004 - the control characters
