"""Performance profiles (E. D. Dolan and J. J. Moré, Mathematical Programming 91, 2002)."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ullage.benchmark.summary import Judged
from ullage.errors import ArgumentError, UnreadableError

__all__ = ["FLOOR_S", "Profile", "check_drawable", "draw_profile", "performance_profile"]

FLOOR_S = 0.001
"""Shorter times count as this: below, a ratio tells of the clock."""
STYLES = ("-", "--", "-.", ":")
SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = 10
"""Of matplotlib's cycle, after which the next style begins."""


@dataclass(frozen=True)
class Profile:
    """What share of the instances each strategy solves within a factor of the fastest."""

    measure: Literal["solved", "proven"]
    """What counts: an answer as good as the best known, or one proven as well."""
    instances: int
    """Of how many instances shares are."""
    curves: dict[str, list[tuple[float, float]]]
    """By strategy: factor and share, both rising, a pair wherever the share rises."""


def performance_profile(judged: Iterable[Judged], measure: Literal["solved", "proven"] = "solved") -> Profile:
    """Compare times: of each instance the ratio to the fastest strategy that solves it, by strategy in rising order.

    Times below a millisecond count as one. An instance that nobody solves counts for nobody.
    """
    times: dict[tuple[str, str, str], dict[str, float]] = {}
    names: dict[str, None] = {}
    for one in judged:
        row = one.row
        names[row.strategy] = None
        found = times.setdefault((row.family, row.instance, row.digest), {})
        if row.seconds is not None and one.is_solved and (measure == "solved" or row.status == "proven"):
            found[row.strategy] = max(row.seconds, FLOOR_S)
    curves: dict[str, list[tuple[float, float]]] = {}
    for name in names:
        ratios = sorted(found[name] / min(found.values()) for found in times.values() if name in found)
        shares = {ratio: (place + 1) / len(times) for place, ratio in enumerate(ratios)}
        curves[name] = list(shares.items())
    return Profile(measure, len(times), curves)


def check_drawable(path: Path) -> None:
    """Raise `ArgumentError` where `draw_profile` would for this path."""
    if path.suffix.lower() not in SUFFIXES:
        raise _refused(f"{path.name} does not end in {', '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise _refused("drawing needs matplotlib: pip install 'ullage[report]'")


def draw_profile(profile: Profile, path: Path) -> None:
    """Draw to a PNG, SVG or PDF file, by the end of its name.

    Raises `ArgumentError` for another name, or where matplotlib (the extra `report`) is not installed.
    """
    check_drawable(path)
    from matplotlib import rc_context  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    last = max((curve[-1][0] for curve in profile.curves.values() if curve), default=1.0)
    end = max(last * 1.2, 2.0)
    order = sorted(profile.curves.items(), key=lambda named: -max((share for _, share in named[1]), default=0.0))
    for index, (name, curve) in enumerate(order):
        steps = [(1.0, 0.0), *curve, (end, curve[-1][1] if curve else 0.0)]
        best = curve[-1][1] if curve else 0.0
        axes.step(
            [factor for factor, _ in steps],
            [share for _, share in steps],
            STYLES[index // COLOURS % len(STYLES)],
            where="post",
            label=f"{name} ({best:.0%})",
            linewidth=1.8,
        )
    axes.set_xscale("log", base=10 if end > 1000 else 2)  # noqa: PLR2004 - decades where there are several
    axes.set_xlim(1.0, end)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("time, as a multiple of the fastest strategy's")
    axes.set_ylabel(f"share of {profile.instances:,} instances {profile.measure}")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    if profile.curves:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small")
    try:
        with rc_context({"svg.fonttype": "none"}):  # text that can be searched
            figure.savefig(path)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}", path=str(path)) from error


def _refused(reason: str) -> ArgumentError:
    return ArgumentError(f"profile: {reason}", name="profile", reason=reason)
