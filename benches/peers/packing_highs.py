"""Packing by HiGHS: the same assignment model of kinds to bins as for CP-SAT, from first fit decreasing on."""

import math
from typing import Any

import highspy
import numpy as np
from packing_model import Shape

THREADS = 2
LEAST_S = 0.05
FEASIBLE = 2
"""Of `primal_solution_status`."""


def solve(instance: Any, time_limit: float) -> tuple[list[int | None], int]:  # noqa: ANN401
    """Choose how many of each kind each bin holds; a bin is used only after the one before."""
    shape = Shape(instance, time_limit)
    count, kinds = len(shape.start), len(shape.counts)
    if count <= shape.area_bound:
        return shape.places(shape.start), shape.area_bound
    highs = highspy.Highs()
    for name, value in {"output_flag": False, "threads": THREADS, "mip_rel_gap": 0.0, "mip_abs_gap": 0.999}.items():
        highs.setOptionValue(name, value)
    model = _model(shape)
    if model is None:
        return shape.places(shape.start), shape.area_bound
    highs.passModel(model)
    start = highspy.HighsSolution()
    start.col_value = [1.0] * count + [float(held.get(kind, 0)) for held in shape.start for kind in range(kinds)]
    highs.setSolution(start)
    if shape.seconds_left < LEAST_S:
        return shape.places(shape.start), shape.area_bound
    highs.setOptionValue("time_limit", shape.seconds_left)
    highs.run()
    info = highs.getInfo()
    bound = shape.area_bound
    if math.isfinite(info.mip_dual_bound):
        bound = max(bound, math.ceil(info.mip_dual_bound - 1e-6))
    if not math.isfinite(info.objective_function_value) or info.primal_solution_status != FEASIBLE:
        return shape.places(shape.start), bound
    values = highs.getSolution().col_value
    rows = [values[count + place * kinds : count + (place + 1) * kinds] for place in range(count)]
    return shape.places([{kind: round(value) for kind, value in enumerate(row)} for row in rows]), bound


def _model(shape: Shape) -> highspy.HighsLp | None:
    """Give the model, or nothing once time is up.

    Columns are the use of each bin, then by bins what it holds of each kind; the matrix is given by columns.
    """
    count, kinds, resources = len(shape.start), len(shape.counts), len(shape.capacities)
    demands = np.array(shape.demands, dtype=np.float64).reshape(kinds, resources)
    lp = highspy.HighsLp()
    lp.num_col_ = count + count * kinds
    most = [shape.fitting(demand, shape.capacities) for demand in shape.demands]
    upper = [number if top is None else min(number, top) for number, top in zip(shape.counts, most, strict=True)]
    lp.col_cost_ = np.concatenate([np.ones(count), np.zeros(count * kinds)])
    lp.col_lower_ = np.zeros(lp.num_col_)
    lp.col_upper_ = np.concatenate([np.ones(count), np.tile(np.array(upper, dtype=np.float64), count)])
    lp.integrality_ = [highspy.HighsVarType.kInteger] * lp.num_col_
    first_load, first_order = kinds, kinds + count * resources
    lp.num_row_ = first_order + count - 1
    infinite = highspy.kHighsInf
    lp.row_lower_ = np.concatenate(
        [np.array(shape.counts, float), np.full(count * resources, -infinite), np.zeros(count - 1)]
    )
    lp.row_upper_ = np.concatenate(
        [np.array(shape.counts, float), np.zeros(count * resources), np.full(count - 1, infinite)]
    )
    starts, indices, values = [0], [], []
    for place in range(count):
        rows = [first_load + place * resources + resource for resource in range(resources)]
        entries = list(zip(rows, [-float(capacity) for capacity in shape.capacities], strict=True))
        entries += [(first_order + place, 1.0)] if place < count - 1 else []
        entries += [(first_order + place - 1, -1.0)] if place else []
        indices += [row for row, _ in entries]
        values += [value for _, value in entries]
        starts.append(len(indices))
    for place in range(count):
        rows = [first_load + place * resources + resource for resource in range(resources)]
        if shape.seconds_left < LEAST_S:
            return None
        for kind in range(kinds):
            indices += [kind, *rows]
            values += [1.0, *demands[kind]]
            starts.append(len(indices))
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = starts, indices, values
    return lp
