"""The twelve-model pool table held against its own arithmetic."""

from dataclasses import dataclass

from ullage.catalog.model_lookup import pool_table
from ullage.catalog.model_table import ModelRow, PoolTerms
from ullage.errors import CatalogError

__all__ = ["Breach", "PoolAudit", "PoolRow", "RuleCheck", "audit_pool", "pool_row"]

USUAL_PERCENT = 15
"""The overhead that reproduces most rows, rounded to the nearest step; the document does not say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A row that books what the table's rule does not allow on the weights its own page states."""

    model: ModelRow
    booked_bytes: int
    least_bytes: int
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCheck:
    """The rule worked out on some weights."""

    weights_bytes: int
    overhead_percent: float
    """What the booking leaves over the weights, in percent of them."""
    least_bytes: int
    most_bytes: int
    usual_bytes: int
    """Weights plus 15 %, rounded to the nearest step: how most rows were made."""
    verdict: str
    """`follows`, `too little` or `too much`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """A row with the rule on the weights that its page states, and on those that are really there."""

    key: str
    booked_bytes: int
    stated: RuleCheck
    real: RuleCheck
    """Equal to `stated` where nothing else is known."""

    @property
    def flag(self) -> str | None:
        """What is wrong with the row in a few words, or `None`."""
        if self.stated.verdict != "follows":
            return f"books {self.stated.verdict} by its own rule"
        if self.real.verdict != "follows":
            return f"books {self.real.verdict} for its real weights"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAudit:
    """Sums recomputed from the rows, beside those the document states."""

    total_bytes: int
    stated_total_bytes: int
    subtotal_bytes: dict[str, int]
    """By task."""
    stated_subtotal_bytes: dict[str, int]
    breaches: tuple[Breach, ...]
    rows: tuple[PoolRow, ...]


def audit_pool() -> PoolAudit:
    """Recompute the sums and the rule: weights plus 10 to 20 %, rounded up to 100 MB."""
    table, terms = pool_table(), _terms()
    subtotals = dict.fromkeys(terms.subtotal_bytes, 0)
    for row in table.rows:
        subtotals[row.task] = subtotals.get(row.task, 0) + row.memory().best
    checked = [(row, pool_row(row)) for row in table.rows]
    return PoolAudit(
        total_bytes=sum(row.memory().best for row in table.rows),
        stated_total_bytes=terms.total_bytes,
        subtotal_bytes=subtotals,
        stated_subtotal_bytes=terms.subtotal_bytes,
        breaches=tuple(
            Breach(
                model=row,
                booked_bytes=found.booked_bytes,
                least_bytes=found.stated.least_bytes,
                most_bytes=found.stated.most_bytes,
            )
            for row, found in checked
            if found is not None and found.stated.verdict != "follows"
        ),
        rows=tuple(found for _, found in checked if found is not None),
    )


def pool_row(row: ModelRow) -> PoolRow | None:
    """Work the rule out for a row of the pool table; `None` for a row of another table or without weights."""
    if row.weights is None or row.document.key != "paraphym-model-pool":
        return None
    booked, terms = row.memory().best, _terms()
    real = row.weights.real_bytes
    stated = _check(booked, row.weights.bytes, terms)
    return PoolRow(
        key=row.key,
        booked_bytes=booked,
        stated=stated,
        real=stated if real is None else _check(booked, real, terms),
    )


def _terms() -> PoolTerms:
    terms = pool_table().terms
    if terms is None:
        raise CatalogError("model_pool.toml: terms: missing", path="model_pool.toml", field="terms", reason="missing")
    return terms


def _check(booked: int, weights: int, terms: PoolTerms) -> RuleCheck:
    step = terms.rounded_up_to_bytes
    least = -(-weights * (100 + terms.least_overhead_percent) // (100 * step)) * step
    most = -(-weights * (100 + terms.most_overhead_percent) // (100 * step)) * step
    return RuleCheck(
        weights_bytes=weights,
        overhead_percent=round((booked - weights) / weights * 100, 1),
        least_bytes=least,
        most_bytes=most,
        usual_bytes=(2 * weights * (100 + USUAL_PERCENT) + 100 * step) // (200 * step) * step,
        verdict="too little" if booked < least else "too much" if booked > most else "follows",
    )
