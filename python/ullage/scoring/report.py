"""Scores: predictions beside what was measured, by class."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ullage.scoring.prediction import CLASSES, Prediction, class_of, predict
from ullage.scoring.truth import TruthRow, read_truth

__all__ = ["EXACT", "ClassScore", "Scored", "score_footprint"]

EXACT = 0.001
"""Weights, caches and state count as met within so much."""
BASELINE = 1.2
"""What calculators multiply the file by."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One row with its prediction."""

    row: TruthRow
    prediction: Prediction

    @property
    def error(self) -> float | None:
        """Give predicted / measured - 1; `None` without a figure on both sides."""
        if not self.row.bytes or self.prediction.missing:
            return None
        return self.prediction.best / self.row.bytes - 1

    @property
    def is_under(self) -> bool:
        """Tell whether more was measured than the most that was predicted, rounding of the print allowed for."""
        return (
            self.error is not None and self.row.bytes is not None and self.row.bytes > self.prediction.hi * (1 + EXACT)
        )

    @property
    def is_inside(self) -> bool:
        """Tell whether the measured figure lies in the interval, rounding of the print allowed for."""
        low = self.prediction.lo * (1 - EXACT)
        return self.error is not None and self.row.bytes is not None and self.row.bytes >= low and not self.is_under

    @property
    def baseline_error(self) -> float | None:
        """Give file * 1.2 / measured - 1."""
        if not self.row.bytes or not self.prediction.file_bytes:
            return None
        return BASELINE * self.prediction.file_bytes / self.row.bytes - 1

    @property
    def runs(self) -> bool:
        """Tell whether a verdict row says that the model ran."""
        return self.row.published_as.casefold().startswith("runs")

    @property
    def miss(self) -> str:
        """Say why the row misses its target; empty where it meets it."""
        if self.prediction.missing:
            return f"not predicted: {self.prediction.missing}"
        by_class = {"compute": self._miss_of_interval, "total": self._miss_of_total, "verdict": self._miss_of_verdict}
        return by_class.get(class_of(self.row), self._miss_of_exact)()

    def _miss_of_exact(self) -> str:
        if self.error is None or abs(self.error) <= EXACT:
            return ""
        if not self.prediction.is_policy_known:
            if "(TP" in self.row.model:
                return "one of several devices: what each of them holds whole is not said"
            return "the row does not say in which form or runtime: not exact"
        return "differs though form and runtime are known"

    def _miss_of_interval(self) -> str:
        return "" if self.is_inside else "outside its interval"

    def _miss_of_total(self) -> str:
        return "more than the most predicted" if self.is_under else ""

    def _miss_of_verdict(self) -> str:
        answer = self.prediction.answer
        if answer == "yes" and not self.runs:
            return "false 'fits'"
        if answer == "no" and self.runs:
            return "false 'does not fit'"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Give the row ready for JSON."""
        return {
            "id": self.row.id,
            "class": class_of(self.row),
            "model": self.row.model,
            "component": self.row.component,
            "runtime": self.prediction.runtime,
            "measured": self.row.bytes,
            "predicted": {"lo": self.prediction.lo, "best": self.prediction.best, "hi": self.prediction.hi},
            "answer": self.prediction.answer,
            "published": self.row.published_as,
            "error": self.error,
            "baseline_error": self.baseline_error,
            "basis": self.prediction.basis,
            "miss": self.miss,
        }


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The rows of one class."""

    key: str
    rows: tuple[Scored, ...]

    @property
    def name(self) -> str:
        """Give the class as the table calls it."""
        return CLASSES[self.key]

    @property
    def errors(self) -> list[float]:
        """Give the signed errors of the rows that were predicted."""
        return [row.error for row in self.rows if row.error is not None]

    @property
    def median(self) -> float | None:
        """Give the median of the absolute errors."""
        return statistics.median(map(abs, self.errors)) if self.errors else None

    @property
    def worst(self) -> float | None:
        """Give the signed error that is largest."""
        return max(self.errors, key=abs) if self.errors else None

    @property
    def exact(self) -> tuple[int, int]:
        """Count the rows met within 0.1 %, of those that say form and runtime."""
        known = [row for row in self.rows if row.prediction.is_policy_known and row.error is not None]
        return sum(not row.miss for row in known), len(known)

    @property
    def inside(self) -> int:
        """Count the rows inside their interval."""
        return sum(row.is_inside for row in self.rows)

    @property
    def under(self) -> int:
        """Count the rows above the most predicted."""
        return sum(row.is_under for row in self.rows)

    @property
    def baseline(self) -> tuple[float, float, int] | None:
        """Give the baseline's median and worst error and how often it is under by more than 20 %."""
        errors = [row.baseline_error for row in self.rows if row.baseline_error is not None]
        if not errors:
            return None
        under = sum(error < 1 / BASELINE - 1 for error in errors)
        return statistics.median(map(abs, errors)), max(errors, key=abs), under

    @property
    def verdicts(self) -> dict[str, int]:
        """Count verdicts: right, left open, and false either way."""
        counts = {"right": 0, "depends": 0, "false fits": 0, "false does not fit": 0}
        for row in self.rows:
            answer = row.prediction.answer
            if answer == "depends":
                counts["depends"] += 1
            elif answer:
                is_right = (answer == "yes") == row.runs
                false = "false fits" if answer == "yes" else "false does not fit"
                counts["right" if is_right else false] += 1
        return counts

    def as_dict(self) -> dict[str, Any]:
        """Give the class ready for JSON."""
        baseline = self.baseline
        return {
            "class": self.key,
            "rows": len(self.rows),
            "predicted": len(self.errors) if self.key != "verdict" else sum(self.verdicts.values()),
            "median_error": self.median,
            "worst_error": self.worst,
            "exact": {"met": self.exact[0], "of": self.exact[1]},
            "inside": self.inside,
            "above_hi": self.under,
            "baseline": dict(zip(("median_error", "worst_error", "under_20_percent"), baseline, strict=True))
            if baseline
            else None,
            "verdicts": self.verdicts if self.key == "verdict" else None,
        }


def score_footprint(truth: Path, models: Path | None = None) -> list[ClassScore]:
    """Predict every row of the file `truth` and group the scores by class.

    `models` is a folder with files named as the rows' models, such as header-only GGUFs. Raises `CatalogError` for a
    file that is no table of truth rows.
    """
    scored = [Scored(row, predict(row, models)) for row in read_truth(truth)]
    groups = {key: tuple(row for row in scored if class_of(row.row) == key) for key in CLASSES}
    return [ClassScore(key, rows) for key, rows in groups.items() if rows]
