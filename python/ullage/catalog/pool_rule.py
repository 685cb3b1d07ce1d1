"""The twelve-model pool table held against its own arithmetic."""

from dataclasses import dataclass

from ullage.catalog.model_table import ModelRow, PoolTerms, pool_table
from ullage.errors import CatalogError

__all__ = ["Breach", "PoolAudit", "audit_pool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A row that books what the table's rule does not allow on the weights its own page states."""

    model: ModelRow
    booked_bytes: int
    least_bytes: int
    most_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAudit:
    """Sums recomputed from the rows, beside those the document states."""

    total_bytes: int
    stated_total_bytes: int
    subtotal_bytes: dict[str, int]
    """By task."""
    stated_subtotal_bytes: dict[str, int]
    breaches: tuple[Breach, ...]


def audit_pool() -> PoolAudit:
    """Recompute the sums and the rule: weights plus 10 to 20 %, rounded up to 100 MB."""
    table = pool_table()
    terms = table.terms
    if terms is None:
        raise CatalogError("model_pool.toml: terms: missing", path="model_pool.toml", field="terms", reason="missing")
    subtotals = dict.fromkeys(terms.subtotal_bytes, 0)
    for row in table.rows:
        subtotals[row.task] = subtotals.get(row.task, 0) + row.memory().best
    breaches = (_breach(row, terms) for row in table.rows)
    return PoolAudit(
        total_bytes=sum(row.memory().best for row in table.rows),
        stated_total_bytes=terms.total_bytes,
        subtotal_bytes=subtotals,
        stated_subtotal_bytes=terms.subtotal_bytes,
        breaches=tuple(breach for breach in breaches if breach is not None),
    )


def _breach(row: ModelRow, terms: PoolTerms) -> Breach | None:
    if row.weights is None:
        return None
    booked = row.memory().best
    least = _rounded_up(row.weights.bytes, terms.least_overhead_percent, terms.rounded_up_to_bytes)
    most = _rounded_up(row.weights.bytes, terms.most_overhead_percent, terms.rounded_up_to_bytes)
    if least <= booked <= most:
        return None
    return Breach(model=row, booked_bytes=booked, least_bytes=least, most_bytes=most)


def _rounded_up(weights: int, overhead_percent: int, step: int) -> int:
    return -(-weights * (100 + overhead_percent) // (100 * step)) * step
