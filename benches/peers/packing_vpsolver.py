"""Packing by VPSolver's arc-flow model (F. Brandão and J. P. Pedroso, 2016), solved by HiGHS.

Only its programs are used: what it has in Python needs a package that no longer builds.
"""

import ast
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import highspy
from packing_model import Shape

THREADS = 2
MARK = "PYSOL="
"""Stands before the answer in what vbpsol says."""
FEASIBLE = 2
"""Of `primal_solution_status`."""


def solve(instance: Any, time_limit: float) -> tuple[list[int | None] | None, int | None]:  # noqa: ANN401
    """Make the graph, solve its flow and take the bins out of it; `None` where there was no flow in time."""
    shape = Shape(instance, time_limit)
    if not shape.items or not all(any(demand) for demand in shape.demands):
        raise NotImplementedError("VPSolver takes no items without size")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [f"{len(shape.capacities)}", " ".join(map(str, shape.capacities)), f"{len(shape.counts)}"]
        for demand, count in zip(shape.demands, shape.counts, strict=True):
            lines.append(" ".join(map(str, [*demand, count])))
        (folder / "a.vbp").write_text("\n".join([*lines, "BINARY{0};", "VTYPE{I};", ""]))
        if not (
            _made(shape, folder, "vbp2afg", "a.vbp", "a.afg") and _made(shape, folder, "afg2mps", "a.afg", "a.mps")
        ):
            return None, None
        highs = highspy.Highs()
        for option, value in {
            "output_flag": False,
            "threads": THREADS,
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 0.999,
        }.items():
            highs.setOptionValue(option, value)
        highs.readModel(str(folder / "a.mps"))
        highs.setOptionValue("time_limit", max(shape.seconds_left, 0.0))
        highs.run()
        info = highs.getInfo()
        bound = math.ceil(info.mip_dual_bound - 1e-6) if math.isfinite(info.mip_dual_bound) else None
        if info.primal_solution_status != FEASIBLE:
            return None, bound
        values = highs.getSolution().col_value
        text = "\n".join(
            f"{column} {round(value)}" for column, value in zip(highs.getLp().col_names_, values, strict=True)
        )
        (folder / "a.sol").write_text(text + "\n")
        said = subprocess.run(
            ["vbpsol", "a.afg", "a.sol", "0", "1"],  # noqa: S607 - beside this Python
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    listed = said[said.index(MARK) + len(MARK) :].partition("\n")[0]
    _, (patterns, *_) = ast.literal_eval(listed)
    bins: list[dict[int, int]] = []
    for times, pattern in patterns:
        held: dict[int, int] = {}
        for kind, _ in pattern:
            held[kind] = held.get(kind, 0) + 1
        bins += [held] * times
    return shape.places(bins), bound


def _made(shape: Shape, folder: Path, program: str, *files: str) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - the peer
            [program, *files], cwd=folder, capture_output=True, timeout=max(shape.seconds_left, 0.01), check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stdout[-200:]!r} {done.stderr[-200:]!r}")
    return True
