"""Reading a catalog file field by field: what is amiss is a `CatalogError` that names file, row and key."""

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from ullage.errors import CatalogError

__all__ = ["TomlRow", "read_catalog"]


class TomlRow:
    """One table of a catalog file. Every key must be asked for, or `finish` refuses the table."""

    def __init__(self, path: str, where: str, table: dict[str, Any]) -> None:
        """Take `table`, which stands at `where` (such as `device[3].usable`) in the file `path`."""
        self.path = path
        self.where = where
        self._table = table
        self._asked: set[str] = set()

    def fail(self, name: str, reason: str) -> NoReturn:
        """Raise a `CatalogError` about the key `name`."""
        field = f"{self.where}.{name}" if self.where else name
        raise CatalogError(f"{self.path}: {field}: {reason}", path=self.path, field=field, reason=reason)

    def has(self, name: str) -> bool:
        """Tell whether the key is there."""
        return name in self._table

    def text(self, name: str) -> str:
        """Give a text that is not empty."""
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            self.fail(name, f"expected a text, found {value!r}")
        return value

    def text_or_none(self, name: str) -> str | None:
        """Give a text, or `None` where the key is absent."""
        return self.text(name) if self.has(name) else None

    def word(self, name: str, known: Collection[str]) -> str:
        """Give one of the `known` words."""
        value = self.text(name)
        if value not in known:
            self.fail(name, f"{value!r} is none of {', '.join(sorted(known))}")
        return value

    def count(self, name: str) -> int:
        """Give a whole number from 0 on that fits 64 bits."""
        value = self._get(name)
        if type(value) is not int or not 0 <= value < 2**64:
            self.fail(name, f"expected a whole number in 0 ... 2^64 - 1, found {value!r}")
        return value

    def count_or_none(self, name: str) -> int | None:
        """Give a whole number, or `None` where the key is absent."""
        return self.count(name) if self.has(name) else None

    def number_or_none(self, name: str) -> float | None:
        """Give a finite number above 0, or `None` where the key is absent."""
        if not self.has(name):
            return None
        value = self._get(name)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            self.fail(name, f"expected a number above 0, found {value!r}")
        return float(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Give a list of texts; an absent key is an empty one."""
        values = self._get(name) if self.has(name) else []
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            self.fail(name, f"expected a list of texts, found {values!r}")
        return tuple(values)

    def row(self, name: str) -> "TomlRow":
        """Give an inner table."""
        value = self._get(name)
        if not isinstance(value, dict):
            self.fail(name, "expected a table")
        return TomlRow(self.path, f"{self.where}.{name}" if self.where else name, value)

    def table(self, name: str) -> dict[str, Any]:
        """Give an inner table as it stands, whatever its keys."""
        value = self._get(name)
        if not isinstance(value, dict) or not value:
            self.fail(name, "expected a table that is not empty")
        return value

    def rows(self, name: str) -> list["TomlRow"]:
        """Give an array of tables that is not empty."""
        values = self._get(name)
        if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
            self.fail(name, "expected an array of tables")
        where = f"{self.where}.{name}" if self.where else name
        return [TomlRow(self.path, f"{where}[{index}]", value) for index, value in enumerate(values)]

    def finish(self) -> None:
        """Refuse keys that nobody asked for."""
        for name in self._table.keys() - self._asked:
            self.fail(name, "unknown key")

    def _get(self, name: str) -> Any:  # noqa: ANN401 - TOML decides the type
        self._asked.add(name)
        if name not in self._table:
            self.fail(name, "missing")
        return self._table[name]


def read_catalog(path: Path) -> TomlRow:
    """Read the TOML file at `path`; raises `CatalogError` where it is unreadable or not TOML."""
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = f"not readable as TOML: {error}"
        raise CatalogError(f"{path}: {reason}", path=str(path), field="", reason=reason) from error
    return TomlRow(str(path), "", table)
