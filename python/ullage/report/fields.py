"""Reading what a command wrote as JSON, and saying which field is not as it should be."""

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from ullage.errors import ProblemError, not_utf8

__all__ = ["Fields", "parse"]

MOST = 1 << 62
"""More bytes than this are refused, far below where 64-bit sums would wrap."""


class Fields:
    """An object of a JSON document, and where it stands."""

    def __init__(self, content: dict[str, Any], place: str) -> None:
        """Look into `content`, which `place` names in errors."""
        self.content = content
        self.place = place

    def __contains__(self, key: str) -> bool:
        """Tell whether there is such a field with something in it."""
        return self.content.get(key) is not None

    def at(self, key: str) -> Any:  # noqa: ANN401 - whatever stands there
        """Give what stands there."""
        if key not in self.content:
            self.refuse(key, "is missing")
        return self.content[key]

    def text(self, key: str) -> str:
        """Give a text."""
        value = self.at(key)
        return value if isinstance(value, str) else self.refuse(key, "must be a text")

    def count(self, key: str) -> int:
        """Give a whole number that is not negative."""
        return self._count(self.at(key), key)

    def number(self, key: str) -> float:
        """Give a finite number that is not negative."""
        return self._number(self.at(key), key)

    def maybe_count(self, key: str) -> int | None:
        """Give a whole number, or `None` where there is none."""
        return self.count(key) if key in self else None

    def maybe_number(self, key: str) -> float | None:
        """Give a number, or `None` where there is none."""
        return self.number(key) if key in self else None

    def texts(self, key: str) -> list[str]:
        """Give a list of texts; numbers become texts, as names may be either."""
        return [
            str(value) if isinstance(value, str | int) else self.refuse(f"{key}[{index}]", "must be a text")
            for index, value in enumerate(self._list(key))
        ]

    def counts(self, key: str) -> list[int]:
        """Give a list of whole numbers."""
        return [self._count(value, f"{key}[{index}]") for index, value in enumerate(self._list(key))]

    def figures(self, key: str) -> list[float]:
        """Give a list of numbers."""
        return [self._number(value, f"{key}[{index}]") for index, value in enumerate(self._list(key))]

    def rows(self, key: str) -> Iterator["Fields"]:
        """Give the objects of a list."""
        for index, value in enumerate(self._list(key)):
            if not isinstance(value, dict):
                self.refuse(f"{key}[{index}]", "must be an object")
            yield Fields(value, f"{self.place}{key}[{index}].")

    def below(self, key: str) -> "Fields":
        """Give an object."""
        value = self.at(key)
        if not isinstance(value, dict):
            self.refuse(key, "must be an object")
        return Fields(value, f"{self.place}{key}.")

    def refuse(self, key: str, reason: str) -> NoReturn:
        """Raise `ProblemError`."""
        field = f"{self.place}{key}"
        raise ProblemError(f"{field}: {reason}", field=field, reason=reason)

    def _list(self, key: str) -> list[Any]:
        value = self.at(key)
        return value if isinstance(value, list) else self.refuse(key, "must be a list")

    def _count(self, value: object, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            self.refuse(key, "must be a whole number from 0 to 2^62")
        return value

    def _number(self, value: object, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
            self.refuse(key, "must be a number from 0 to 2^62")
        return float(value)


def parse(text: str | bytes, place: str) -> Fields:
    """Read a JSON object. Raises `ProblemError`, also for `NaN`, which JSON does not know."""
    try:
        content = json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        reason = not_utf8(error)
        raise ProblemError(f"{place}: {reason}", field=place, reason=reason) from None
    except (ValueError, RecursionError) as error:
        reason = f"not JSON: {error}"
        raise ProblemError(f"{place}: {reason}", field=place, reason=reason) from None
    if not isinstance(content, dict):
        reason = "must be one JSON object"
        raise ProblemError(f"{place}: {reason}", field=place, reason=reason)
    return Fields(content, f"{place}: ")


def _no_number(text: str) -> float:
    if text and not math.isfinite(float(text)):
        raise ValueError(f"{text} is no number")
    return float(text)
