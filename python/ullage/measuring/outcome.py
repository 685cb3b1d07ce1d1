"""What a measurement found."""

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Measurement"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(Generic[Result]):
    """What a process held while something ran, in bytes of `metric`."""

    peak_bytes: int
    """The most it held: the greatest sample, and what the kernel's high-water mark shows beyond all samples."""
    resident_bytes: int
    """What it held afterwards, the result included."""
    baseline_bytes: int
    """What it held before."""
    samples: int
    """Readings taken, the first and the last included."""
    seconds: float
    """Wall time of the run."""
    metric: str
    """`pss`, or `rss` where the system counts no PSS."""
    result: Result
    """What the function returned."""
    sampled_peak_bytes: int
    """The greatest sample alone: a lower bound of the peak."""
    high_water_bytes: int | None
    """The kernel's mark less the pages shared with others: an upper bound of the peak; `None` where there is none."""
    interval_s: float
    """Seconds between samples on average: a spike shorter than that shows in `high_water_bytes` alone."""
    notes: tuple[str, ...]
    """What could not be read, and what was taken instead."""

    @property
    def growth_bytes(self) -> int:
        """By how much the process grew at its peak."""
        return max(self.peak_bytes - self.baseline_bytes, 0)
