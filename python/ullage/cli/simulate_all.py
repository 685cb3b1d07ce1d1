"""`ullage simulate --policy all`: every policy side by side, a timeline of the one to choose, and why."""

from pathlib import Path
from typing import Any

import ullage
from ullage import Simulation
from ullage._jit import Layers
from ullage._profiles import ProfileOf, profile_of
from ullage.cli.show import Page, print_json
from ullage.cli.simulate_drawing import advice, draw_policies, draw_timeline
from ullage.cli.working import waiting
from ullage.errors import ArgumentError
from ullage.report import write_pass_trace

__all__ = ["POLICIES", "as_dict", "simulate_all", "write_trace"]

POLICIES = (
    "load_time",
    "just_in_time",
    "just_in_time,prefetch=1",
    "just_in_time,tile=256KiB",
    "fused",
    "keep_hot",
    "stream,prefetch=1",
)
"""Those that differ in what is resident."""


class Pass:
    """A simulation with the names of layers and resources in its timeline, as a trace has them."""

    def __init__(self, found: Simulation) -> None:
        names = [row["name"] for row in found.layers]
        self.timeline: list[dict[str, Any]] = [
            {
                "layer": names[int(event["layer"])],
                "resource": Simulation.RESOURCES[int(event["resource"])],
                "start_s": float(event["start_s"]),
                "end_s": float(event["end_s"]),
            }
            for event in found.timeline
        ]
        self.memory = found.memory


def simulate_all(
    model: Layers,
    device: ProfileOf,
    *,
    trace: Path | None = None,
    as_json: bool = False,
    **options: Any,  # noqa: ANN401 - those of `ullage.simulate`
) -> int:
    """Simulate every policy and show them; exit status 1 where a limit of memory leaves none."""
    profile = profile_of(device)
    found: dict[str, Simulation] = {}
    beyond: dict[str, str] = {}
    with waiting("simulating every policy"):
        for policy in POLICIES:
            try:
                found[policy] = ullage.simulate(model, profile, policy=policy, **options)
            except ArgumentError as error:
                if error.name not in {"profile", "memory_limit"}:
                    raise
                beyond[policy] = error.reason  # such as a device without a rate of storage
    best = min(found, key=lambda policy: (found[policy].latency_s, found[policy].peak_bytes), default=None)
    rows = [
        {"policy": policy, "latency_s": one.latency_s, "peak_bytes": one.peak_bytes} for policy, one in found.items()
    ]
    if trace is not None and best is not None:
        write_trace(found[best], trace, f"{best} on {profile.name}")
    if as_json:
        policies = {policy: as_dict(one) for policy, one in found.items()}
        print_json({"device": profile.name, "policies": policies, "refused": beyond, "choose": best})
    else:
        page = Page()
        page.line(f"Every policy on {profile.name}", "bold")
        page.line()
        draw_policies(page, rows)
        for policy, reason in beyond.items():
            page.line(f"{policy}: {reason}")
        page.line()
        page.line(advice(rows))
        if best is not None:
            page.title(f"A pass under {best}")
            draw_timeline(page, Pass(found[best]).timeline, found[best].latency_s)
    return 0 if best is not None else 1


def as_dict(found: Simulation) -> dict[str, Any]:
    """Give the figures, what was busy when, and the bytes in use over a pass, ready for JSON."""
    return found.as_dict() | {"timeline": Pass(found).timeline, "memory": [list(pair) for pair in found.memory]}


def write_trace(found: Simulation, path: Path, name: str) -> None:
    """Write a simulation for Perfetto and chrome://tracing."""
    write_pass_trace(Pass(found), path, name)
