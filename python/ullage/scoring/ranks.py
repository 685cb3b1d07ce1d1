"""How far two lists of figures agree on an order: Spearman's and Kendall's coefficients, ties counted."""

from collections.abc import Sequence
from itertools import combinations

__all__ = ["kendall", "spearman"]


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Give the correlation of ranks, ties sharing the mean of theirs; `None` where one list has no order."""
    a, b = _ranks(first), _ranks(second)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    spread = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    together = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return together / spread**0.5 if spread else None


def kendall(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Give Kendall's tau-b: pairs in the same order less pairs in another, of all that are not tied."""
    agreed = ties_first = ties_second = 0
    for (x, u), (y, v) in combinations(zip(first, second, strict=True), 2):
        agreed += ((x > y) - (x < y)) * ((u > v) - (u < v))
        ties_first += x == y
        ties_second += u == v
    pairs = len(first) * (len(first) - 1) // 2
    untied = (pairs - ties_first) * (pairs - ties_second)
    return agreed / untied**0.5 if untied else None


def _ranks(figures: Sequence[float]) -> list[float]:
    order = sorted(figures)
    return [order.index(figure) + (order.count(figure) - 1) / 2 for figure in figures]
