"""Rows side by side: who was right, who proved it, and in what time."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TypeAlias

from ullage.benchmark.row import ANSWERED, FAILED, Row

__all__ = ["ALL", "Judged", "Line", "judge", "summarise"]

ALL = "all"
"""The family of the lines over all families."""

Name: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True)
class Judged:
    """A row beside all others of its instance."""

    row: Row
    """The row; `invalid` where another answer disproves its lower bound."""
    reference: int | None
    """The best that is known to do: what the instance states, or the best valid answer of these rows."""
    gap: float | None
    """How much more than the reference the answer takes, as a share of it; `None` without a valid answer."""
    is_solved: bool
    """Whether the answer is valid and as good as the reference."""


@dataclass(frozen=True)
class Line:
    """One strategy on one family."""

    family: str
    """The family, or `all`."""
    strategy: str
    """The name of the strategy."""
    instances: int
    """On how many instances it ran."""
    solved: int
    """How many answers are valid and as good as the best that is known."""
    proven: int
    """How many of them it proved."""
    failed: int
    """How many runs were without a valid answer: invalid, timeout, memory, error."""
    invalid: int
    """How many of these gave an answer that is wrong."""
    mean_s: float | None
    """The mean of what the runs took, ended ones included."""
    median_s: float | None
    """Their median."""
    max_s: float | None
    """The longest."""
    mean_gap: float | None
    """The mean of the gaps of valid answers."""


def judge(rows: Iterable[Row]) -> list[Judged]:
    """Compare the rows of each instance with each other and with what is known of it."""
    listed = list(rows)
    best: dict[Name, int] = {}
    for row in listed:
        reached = [
            value for value in (row.target, row.objective if row.status in ANSWERED else None) if value is not None
        ]
        if reached:
            best[_name(row)] = min([*reached, *([best[_name(row)]] if _name(row) in best else [])])
    return [_judged(row, best.get(_name(row))) for row in listed]


def _name(row: Row) -> Name:
    return row.family, row.instance, row.digest


def _judged(row: Row, reference: int | None) -> Judged:
    if reference is not None and row.lower_bound is not None and row.lower_bound > reference:
        fault = f"claims that at least {row.lower_bound} are needed; {reference} do"
        row = replace(row, status="invalid", fault=fault)
    if reference is None or row.objective is None or row.status not in ANSWERED:
        return Judged(row, reference, None, is_solved=False)
    over = row.objective - reference
    return Judged(row, reference, over / max(reference, 1), is_solved=over == 0)


def summarise(judged: Iterable[Judged]) -> list[Line]:
    """Give a line for each family and strategy, and for each strategy one over all families where there are several.

    Families and strategies come in the order of the rows. What a strategy does not support is left out.
    """
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        if one.row.status != "unsupported":
            groups.setdefault((one.row.family, one.row.strategy), []).append(one)
    families = list(dict.fromkeys(family for family, _ in groups))
    names = list(dict.fromkeys(name for _, name in groups))
    lines = [
        _line(family, name, groups[family, name]) for family in families for name in names if (family, name) in groups
    ]
    if len(families) > 1:
        of = {name: [one for key, found in groups.items() if key[1] == name for one in found] for name in names}
        lines += [_line(ALL, name, found) for name, found in of.items()]
    return lines


def _line(family: str, strategy: str, found: list[Judged]) -> Line:
    seconds = [one.row.seconds for one in found if one.row.seconds is not None]
    gaps = [one.gap for one in found if one.gap is not None]
    return Line(
        family=family,
        strategy=strategy,
        instances=len(found),
        solved=sum(one.is_solved for one in found),
        proven=sum(one.row.status == "proven" for one in found),
        failed=sum(one.row.status in FAILED for one in found),
        invalid=sum(one.row.status == "invalid" for one in found),
        mean_s=fmean(seconds) if seconds else None,
        median_s=median(seconds) if seconds else None,
        max_s=max(seconds, default=None),
        mean_gap=fmean(gaps) if gaps else None,
    )
