"""Finding a row by any way of writing one of its names."""

import difflib
import re
from collections.abc import Iterable
from typing import Generic, TypeVar

from ullage.errors import ArgumentError

__all__ = ["NameIndex", "brandless", "did_you_mean", "fold", "slug"]

Row = TypeVar("Row")

LONGEST_NAME = 200
"""Longer names are refused unseen: matching a text of megabytes against the catalog would take minutes."""


def fold(name: str) -> str:
    """Reduce a name to lower-case letters and digits: `iPhone 15 Pro` and `iphone_15_pro` are one."""
    return "".join(character for character in name.casefold() if character.isalnum())


BRANDS = (
    re.compile(r"(nvidia|amd|ati|intel|apple|google|samsung)(?=.)"),
    re.compile(r"geforce(?=rtx|gtx|gts|gt)"),
    re.compile(r"radeon(?=rx|pro|instinct|vii|r[579]|hd)"),
    re.compile(r"instinct(?=mi)"),
    re.compile(r"tesla(?=[a-z]\d)"),
)
"""What stands before the name proper, in the order in which makers write it."""


def brandless(folded: str) -> str:
    """Take the maker's words off the front of a folded name: `nvidiageforcertx4090` becomes `rtx4090`."""
    for brand in BRANDS:
        found = brand.match(folded)
        if found:
            folded = folded[found.end() :]
    return folded


def slug(name: str) -> str:
    """Give a name as a key, without its maker's words: `GeForce RTX 3060 12 GB` becomes `rtx-3060-12gb`."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=\d)\s+(?=[gm]b\b)", "", name.casefold().replace("+", " plus")))
    kept = brandless("".join(words))
    while words and len("".join(words)) > len(kept):
        del words[0]
    return "-".join(words)


def did_you_mean(suggestions: list[str]) -> str:
    """Give the end of a message about an unknown name: nothing where there is nothing to suggest."""
    return f"; did you mean {', '.join(suggestions)}?" if suggestions else ""


class NameIndex(Generic[Row]):
    """Rows by each of their names, folded."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: dict[str, tuple[str, Row]] = {}

    def add(self, row: Row, key: str, names: Iterable[str]) -> str | None:
        """Enter `row` under `key` and its other names; give the first name that another row has already."""
        for name in (key, *names):
            holder, _ = self._rows.setdefault(fold(name), (key, row))
            if holder != key:
                return name
        return None

    def get(self, name: str) -> Row | None:
        """Give the row of that name, with its maker or without, or `None`; raises `ArgumentError` for no text."""
        folded = fold(checked(name))
        found = self._rows.get(folded) or self._rows.get(brandless(folded))
        return found[1] if found else None

    def has(self, name: str) -> bool:
        """Tell whether a row answers to that very name."""
        return fold(name) in self._rows

    def suggestions(self, name: str, most: int = 5) -> list[str]:
        """Give keys that look like `name`: those that contain it first, then the closest."""
        inside, close = self.alike(name, most)
        return list(dict.fromkeys((*inside, *close)))[:most]

    def alike(self, name: str, most: int) -> tuple[list[str], list[str]]:
        """Give the keys of names that contain `name`, those that begin with it first, and of names close to it."""
        wanted = brandless(fold(name))
        inside = [folded for folded in self._rows if wanted and wanted in folded]
        inside.sort(key=lambda folded: not brandless(folded).startswith(wanted))
        close = difflib.get_close_matches(wanted, self._rows, n=2 * most, cutoff=0.6)
        return [self._rows[folded][0] for folded in inside], [self._rows[folded][0] for folded in close]

    def search(self, text: str | None) -> list[Row]:
        """Give the rows that have a name with every word of `text` in it, in the order of the file."""
        words = [fold(word) for word in re.findall(r"\w+", checked(text).replace("_", " "))] if text else []
        found = {key: row for folded, (key, row) in self._rows.items() if all(word in folded for word in words)}
        return list(found.values())


def checked(name: object) -> str:
    """Give `name` back if it is a text of a sane length."""
    if not isinstance(name, str):
        reason = f"expected a name, found {type(name).__name__}"
    elif len(name) > LONGEST_NAME:
        reason = f"a name of {len(name)} characters is longer than {LONGEST_NAME}"
    else:
        return name
    raise ArgumentError(f"name: {reason}", name="name", reason=reason)
