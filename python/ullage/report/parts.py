"""What a report consists of, whatever draws it: a browser, an image or a trace viewer.

Every kind of answer becomes a `Section` of these parts, and each of the three writers knows only the parts.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Axis",
    "Boxes",
    "Changes",
    "Course",
    "Lines",
    "Part",
    "Points",
    "Section",
    "Table",
    "colours_of",
    "numbers",
]

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#882255")
"""Okabe and Ito's colours, black left out, and a wine red: any two differ also for the colour-blind."""
REST_COLOUR = "#c8c8c8"
COLOURS = (*PALETTE, REST_COLOUR)
INKS = tuple("white" if colour in {"#0072b2", "#d55e00", "#882255"} else "#1c2024" for colour in COLOURS)
"""What can be read on each."""

Unit: TypeAlias = Literal["bytes", "seconds", "position", "count", "name"]
"""How numbers are shown; a `name` is one of an axis's names by its index."""
Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis counts."""

    label: str
    unit: Unit
    names: tuple[str, ...] = ()
    """What stands at 0, 1, 2, … from the top down, where the unit is `name`."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Who takes or gives back how much at which instant; arrays of one length, by instant."""

    row: NDArray[np.uint32]
    """Index of the instant."""
    holder: NDArray[np.uint8]
    """Index of who."""
    delta: NDArray[np.int64]
    """Bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Bytes over time, stacked by who holds them. Between two instants nothing changes."""

    title: str
    x: Axis
    times: Numbers
    """The instants, ascending."""
    holders: tuple[str, ...]
    changes: Changes
    limit: int | None = None
    peak: float | None = None
    """When most is held."""
    rest: int | None = None
    """Which of the holders stands for all that have no colour of their own."""

    def colours(self) -> list[str]:
        """Give the colour of each holder."""
        several = range(len(self.holders))
        return [REST_COLOUR if index == self.rest else PALETTE[index % len(PALETTE)] for index in several]

    def totals(self) -> NDArray[np.int64]:
        """Give what is held at every instant."""
        steps = np.zeros(len(self.times), np.int64)
        np.add.at(steps, self.changes.row, self.changes.delta)
        return np.cumsum(steps)

    def held(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give what each holder has at the instants `rows`, ascending: an array of shape (holders, rows)."""
        changes = self.changes
        found = np.zeros((len(self.holders), len(rows)), np.int64)
        column = np.searchsorted(rows, changes.row)
        counted = column < len(rows)
        np.add.at(found, (changes.holder[counted], column[counted]), changes.delta[counted])
        return np.cumsum(found, axis=1)


@dataclass(frozen=True, slots=True)
class Lines:
    """Marks across a whole chart: `at` on the axis it belongs to."""

    label: str
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Rectangles: buffers in an arena, items in bins, layers on units, bars."""

    title: str
    x: Axis
    y: Axis
    left: Numbers
    right: Numbers
    bottom: Numbers
    top: Numbers
    names: tuple[str, ...]
    """What each is."""
    colours: NDArray[np.uint8]
    """A number for each; equal ones look alike."""
    facts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """More that is said of each when it is pointed at, by what it is."""
    frames: tuple[tuple[float, float, float, float], ...] = ()
    """Outlines, as (left, right, bottom, top): what could be filled."""
    vertical: tuple[Lines, ...] = ()
    horizontal: tuple[Lines, ...] = ()
    lanes: NDArray[np.int64] | None = None
    """Which of the names on the y axis each belongs to, where those stand for what does one thing at a time."""

    def drawn(self, chosen: NDArray[np.int64]) -> list[str]:
        """Give the colours of those at the indices `chosen`."""
        return [COLOURS[number % len(COLOURS)] for number in self.colours[chosen].tolist()]

    def ink(self, index: int) -> str:
        """Give the colour in which to write on the one at `index`."""
        return INKS[int(self.colours[index]) % len(INKS)]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Choices by what they cost in two respects, both better when smaller."""

    title: str
    x: Axis
    y: Axis
    at: tuple[tuple[float, float], ...]
    names: tuple[str, ...]
    vertical: tuple[Lines, ...] = ()
    horizontal: tuple[Lines, ...] = ()

    def front(self) -> list[int]:
        """Give the indices of those that no other one beats in both respects, by x."""
        order = sorted(range(len(self.at)), key=lambda index: self.at[index])
        best, found = float("inf"), []
        for index in order:
            if self.at[index][1] < best:
                best = self.at[index][1]
                found.append(index)
        return found

    def colours(self) -> list[str]:
        """Give the colour of each: those of the front stand out."""
        best = set(self.front())
        return [PALETTE[0] if index in best else REST_COLOUR for index in range(len(self.at))]

    def rulers(self) -> list[Lines]:
        """Give the horizontal lines, but for those whose label the vertical ones have said."""
        said = {line.label for line in self.vertical}
        return [line for line in self.horizontal if line.label not in said]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text. A column whose name begins with `>` is of figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Part: TypeAlias = Course | Boxes | Points | Table


@dataclass(frozen=True, slots=True)
class Section:
    """One answer."""

    title: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


def numbers(values: ArrayLike) -> Numbers:
    """Give the values as floating numbers."""
    return np.asarray(values, np.float64)


def colours_of(keys: list[Any]) -> NDArray[np.uint8]:
    """Give equal keys equal numbers, by first appearance."""
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(key, len(seen)) % 256 for key in keys], np.uint8)
