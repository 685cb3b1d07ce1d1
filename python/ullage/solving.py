"""What long solves say while they work, and what is left of one that was stopped."""

from typing import Generic, NamedTuple, TypeVar

__all__ = ["Interrupted", "Progress"]

Answer = TypeVar("Answer")


class Progress(NamedTuple):
    """How far a solver is; what the argument `progress` of a solver is called with."""

    best: int | None
    """What the best complete answer costs: bins, or bytes of height; `None` while there is none."""
    lower_bound: int
    """No answer costs less."""
    elapsed_s: float
    """Seconds since the start."""

    @property
    def gap(self) -> int | None:
        """What the best answer costs above the bound; `None` while there is none."""
        return None if self.best is None else self.best - self.lower_bound


class Interrupted(KeyboardInterrupt, Generic[Answer]):
    """Ctrl-C ended a solve. Like its base it is no `Exception`, so that no broad handler swallows it."""

    best: Answer
    """The best answer so far, a valid one like any other: a `Plan`, a `Layout`."""

    def __init__(self, *, best: Answer) -> None:
        """Hold the best answer so far."""
        super().__init__("interrupted; the best answer so far is in .best")
        self.best = best
