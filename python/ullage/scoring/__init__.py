"""How well the estimates do against what was measured."""

from ullage.scoring.compression import RatioScore, SizeScore, score_ratios, score_sizes
from ullage.scoring.latency import LatencyRow, LatencyScore, LatencySummary, latency_rows, score_latencies
from ullage.scoring.report import EXACT, ClassScore, Scored, score_footprint

__all__ = [
    "EXACT",
    "ClassScore",
    "LatencyRow",
    "LatencyScore",
    "LatencySummary",
    "RatioScore",
    "Scored",
    "SizeScore",
    "latency_rows",
    "score_footprint",
    "score_latencies",
    "score_ratios",
    "score_sizes",
]
