"""Strategies of packing side by side: public instances, any Python function, answers checked by strangers to it."""

from ullage.benchmark.answer import Answer
from ullage.benchmark.instance import ArenaInstance, Instance, PackingInstance
from ullage.benchmark.optima import read_optima
from ullage.benchmark.profile import Profile, draw_profile, performance_profile
from ullage.benchmark.row import Journal, Row
from ullage.benchmark.run import run
from ullage.benchmark.source import Found, read_instances
from ullage.benchmark.strategy import Solve, Strategy, own_names, problem_of, strategies
from ullage.benchmark.summary import Judged, Line, judge, summarise
from ullage.benchmark.writing import as_markdown, write_csv, write_json, write_markdown

__all__ = [
    "Answer",
    "ArenaInstance",
    "Found",
    "Instance",
    "Journal",
    "Judged",
    "Line",
    "PackingInstance",
    "Profile",
    "Row",
    "Solve",
    "Strategy",
    "as_markdown",
    "draw_profile",
    "judge",
    "own_names",
    "performance_profile",
    "problem_of",
    "read_instances",
    "read_optima",
    "run",
    "strategies",
    "summarise",
    "write_csv",
    "write_json",
    "write_markdown",
]
