"""How well the estimates do against what was measured."""

from ullage.scoring.compression import RatioScore, SizeScore, score_ratios, score_sizes
from ullage.scoring.report import EXACT, ClassScore, Scored, score_footprint

__all__ = [
    "EXACT",
    "ClassScore",
    "RatioScore",
    "Scored",
    "SizeScore",
    "score_footprint",
    "score_ratios",
    "score_sizes",
]
