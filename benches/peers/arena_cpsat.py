"""Arenas by CP-SAT of OR-tools: rectangles that do not overlap, and the load over time."""

import math
from typing import Any

from ortools.sat.python import cp_model

WORKERS = 2


def solve(instance: Any, time_limit: float) -> tuple[list[int] | None, int]:  # noqa: ANN401
    """Find offsets by `no_overlap_2d` with a redundant `cumulative`; sizes are divided by their common divisor."""
    if instance.kind != "arena":
        raise NotImplementedError(instance.kind)
    unit = math.gcd(*instance.sizes, *instance.alignments) or 1
    if any(alignment != instance.alignments[0] for alignment in instance.alignments) or unit % instance.alignments[0]:
        raise NotImplementedError("alignments that differ from the sizes' common divisor")
    model = cp_model.CpModel()
    sizes = [size // unit for size in instance.sizes]
    top = sum(sizes)
    height = model.new_int_var(0, top, "")
    offsets = [model.new_int_var(0, top - size, "") for size in sizes]
    lives, spans = [], []
    for offset, size, start, end in zip(offsets, sizes, instance.starts, instance.ends, strict=True):
        lives.append(model.new_fixed_size_interval_var(start, end - start, ""))
        spans.append(model.new_fixed_size_interval_var(offset, size, ""))
        model.add(offset + size <= height)
    model.add_no_overlap_2d(lives, spans)
    model.add_cumulative(lives, sizes, height)
    model.minimize(height)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = WORKERS
    solver.parameters.max_time_in_seconds = time_limit
    status = solver.solve(model)
    bound = round(solver.best_objective_bound) * unit
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, bound
    return [solver.value(offset) * unit for offset in offsets], bound
