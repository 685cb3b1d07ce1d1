"""Packing by CP-SAT of OR-tools: an assignment model of kinds to bins, from first fit decreasing on."""

from typing import Any

from ortools.sat.python import cp_model
from packing_model import Shape

WORKERS = 2
LEAST_S = 0.05


def solve(instance: Any, time_limit: float) -> tuple[list[int | None], int]:  # noqa: ANN401
    """Choose how many of each kind each bin holds; bins come in the order of falling load."""
    shape = Shape(instance, time_limit)
    bins, kinds = range(len(shape.start)), range(len(shape.counts))
    if len(bins) <= shape.area_bound:
        return shape.places(shape.start), shape.area_bound
    model = cp_model.CpModel()
    used = [model.new_bool_var("") for _ in bins]
    held: list[list[cp_model.IntVar]] = []
    for kind in kinds:
        held.append([model.new_int_var(0, _most(shape, kind), "") for _ in bins])
        model.add(sum(held[kind]) == shape.counts[kind])
        if shape.seconds_left < LEAST_S:
            return shape.places(shape.start), shape.area_bound
    loads: list[list[Any]] = []
    for place in bins:
        loads.append(_loads(shape, held, place))
        if shape.seconds_left < LEAST_S:
            return shape.places(shape.start), shape.area_bound
        for load, capacity in zip(loads[place], shape.capacities, strict=True):
            model.add(load <= capacity * used[place])
        if place:
            model.add_implication(used[place], used[place - 1])
            model.add(loads[place - 1][0] >= loads[place][0])
        for kind in kinds:
            model.add_hint(held[kind][place], shape.start[place].get(kind, 0))
        model.add_hint(used[place], value=True)
    model.add(sum(used) >= shape.area_bound)
    model.minimize(sum(used))
    return _solved(model, shape, held)


def _most(shape: Shape, kind: int) -> int:
    most = shape.fitting(shape.demands[kind], shape.capacities)
    return shape.counts[kind] if most is None else min(shape.counts[kind], most)


def _loads(shape: Shape, held: list[list[cp_model.IntVar]], place: int) -> list[Any]:
    row = [kind[place] for kind in held]
    return [
        cp_model.LinearExpr.weighted_sum(row, [demand[resource] for demand in shape.demands])
        for resource in range(len(shape.capacities))
    ]


def _solved(model: cp_model.CpModel, shape: Shape, held: list[list[cp_model.IntVar]]) -> tuple[list[int | None], int]:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = WORKERS
    solver.parameters.max_time_in_seconds = max(shape.seconds_left, LEAST_S)
    status = solver.solve(model)
    bound = max(round(solver.best_objective_bound), shape.area_bound)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return shape.places(shape.start), shape.area_bound
    bins = [{kind: solver.value(row[place]) for kind, row in enumerate(held)} for place in range(len(shape.start))]
    return shape.places(bins), bound
