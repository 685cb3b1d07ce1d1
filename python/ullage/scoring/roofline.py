"""A roofline of few figures, and those that published latencies agree with best.

A pass takes a floor, which hangs on the build of the system, and for each layer the longest of three clocks:

    compute     operations / rate; depthwise ones have a rate of their own, and some operations on zeros are left out
    bus         (bytes of stored weights + bytes of activations) / bandwidth
    decoding    bytes of the weights as 16-bit numbers / rate, where they are stored in fewer

All but the share of zeros is linear in the inverse of a figure, so that few steps of Gauss and Newton, damped after
Levenberg and Marquardt, find the figures of least squared logarithmic error; the logarithm keeps each above nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Roofline", "Sample", "fit", "predict"]

Floats: TypeAlias = NDArray[np.float64]

STARTS = ((3e12, 30e9), (3e12, 120e9), (10e12, 60e9), (30e12, 30e9), (30e12, 120e9))
"""Operations and bytes in a second that searches set out from: any order of a phone's magnitude."""
STEPS = 60
LONGEST_STEP = 1.0
"""In the logarithm of a figure."""
ENOUGH = 1e-7
"""Of the squared error, below which a step gains nothing that a figure shows."""
LEAST_FLOOR_S = 1e-6
"""A floor is not told from none below a microsecond, the last digit of no published row."""


class Sample(NamedTuple):
    """A pass through a network, layer by layer, and what it took."""

    build: int
    """Which of the floors holds."""
    flops: Floats
    depthwise: Floats
    """1 for a depthwise layer, else 0."""
    bus_bytes: Floats
    decoded_bytes: Floats
    """Weights as 16-bit numbers where they are stored in fewer, else 0."""
    zeros: Floats
    """The share of weights that is known to be zero."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """The figures, in seconds, operations and bytes."""

    floors_s: tuple[float, ...]
    flops_per_s: float
    depthwise_flops_per_s: float
    bus_bytes_per_s: float
    decoded_bytes_per_s: float
    zeros_skipped: float
    """The share of the operations on zeros that is left out."""

    def as_dict(self) -> dict[str, Any]:
        """Give the figures ready for JSON."""
        return {
            "floors_s": list(self.floors_s),
            "flops_per_s": self.flops_per_s,
            "depthwise_flops_per_s": self.depthwise_flops_per_s,
            "bus_bytes_per_s": self.bus_bytes_per_s,
            "decoded_bytes_per_s": self.decoded_bytes_per_s,
            "zeros_skipped": self.zeros_skipped,
        }


def predict(roofline: Roofline, sample: Sample) -> float:
    """Give the seconds of a pass."""
    return float(roofline.floors_s[sample.build] + np.max(_clocks(roofline, sample), axis=0).sum())


def fit(samples: Sequence[Sample]) -> Roofline:
    """Give the figures that agree best with `samples`; the same samples always give the same figures."""
    passes = _Passes(samples)
    found = [passes.descend(passes.start(*start)) for start in STARTS]
    return _roofline(min(found, key=lambda pair: pair[0])[1])


def _roofline(point: Floats) -> Roofline:
    floors = tuple(float(floor) for floor in np.maximum(np.exp(point[:-5]), LEAST_FLOOR_S))
    flops, depthwise, bus, decoded = (float(rate) for rate in np.exp(-point[-5:-1]))
    return Roofline(floors, flops, depthwise, bus, decoded, float(1 / (1 + np.exp(-point[-1]))))


def _clocks(roofline: Roofline, sample: Sample) -> Floats:
    """Give four rows of seconds: plain compute, depthwise compute, bus, decoding."""
    worked = sample.flops * (1 - roofline.zeros_skipped * sample.zeros)
    return np.stack(
        [
            worked * (1 - sample.depthwise) / roofline.flops_per_s,
            worked * sample.depthwise / roofline.depthwise_flops_per_s,
            sample.bus_bytes / roofline.bus_bytes_per_s,
            sample.decoded_bytes / roofline.decoded_bytes_per_s,
        ]
    )


class _Passes:
    """All samples end to end, so that one look at a point is a few operations on arrays."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._builds = np.array([sample.build for sample in samples])
        self._seconds = np.array([sample.seconds for sample in samples])
        self._starts = np.cumsum([0, *(len(sample.flops) for sample in samples)])[:-1]
        flops, depthwise, bus, decoded, zeros = (
            np.concatenate([column[place] for column in samples]) for place in range(1, 6)
        )
        self._layers = Sample(0, flops, depthwise, bus, decoded, zeros, 0.0)

    def start(self, flops: float, bandwidth: float) -> Floats:
        """Give a point to set out from: the logarithms of the figures, and the odds of the share of zeros."""
        rates = np.log([flops, flops / 10, bandwidth, bandwidth])
        return np.concatenate([np.full(1 + self._builds.max(), np.log(1e-4)), -rates, [0.0]])

    def descend(self, point: Floats) -> tuple[float, Floats]:
        """Give the least error that is found downhill of `point`, and where."""
        errors, slopes = self._errors(point)
        cost, damping = float(errors @ errors), 1e-2
        for _ in range(STEPS):
            square = slopes.T @ slopes
            damped = square + damping * np.diag(np.diag(square) + 1e-6)
            step = np.clip(np.linalg.solve(damped, -slopes.T @ errors), -LONGEST_STEP, LONGEST_STEP)
            new_errors, new_slopes = self._errors(point + step)
            new_cost = float(new_errors @ new_errors)
            if new_cost < cost:
                is_done = cost - new_cost < ENOUGH * cost
                point, errors, slopes, cost, damping = point + step, new_errors, new_slopes, new_cost, damping / 3
                if is_done:
                    break
            else:
                damping *= 4
        return cost, point

    def _errors(self, point: Floats) -> tuple[Floats, Floats]:
        """Give the logarithmic errors, and what each turns by with each coordinate of `point`."""
        roofline = _roofline(point)
        clocks = _clocks(roofline, self._layers)
        longest, seconds = clocks.argmax(axis=0), clocks.max(axis=0)
        floors = np.array(roofline.floors_s)[self._builds]
        whole = floors + np.add.reduceat(seconds, self._starts)
        slopes = np.zeros((len(whole), len(point)))
        slopes[np.arange(len(whole)), self._builds] = floors / whole
        for clock in range(4):
            slopes[:, len(point) - 5 + clock] = np.add.reduceat(seconds * (longest == clock), self._starts) / whole
        skipped, zeros = roofline.zeros_skipped, self._layers.zeros
        lost = seconds * zeros / (1 - skipped * zeros) * (longest <= 1)
        slopes[:, -1] = -np.add.reduceat(lost, self._starts) * skipped * (1 - skipped) / whole
        return np.log(whole / self._seconds), slopes
