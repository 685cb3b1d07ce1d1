"""How well the estimates do against what was measured."""

from ullage.scoring.report import EXACT, ClassScore, Scored, score_footprint

__all__ = ["EXACT", "ClassScore", "Scored", "score_footprint"]
