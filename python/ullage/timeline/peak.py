"""The instant at which most was held, and by whom."""

from dataclasses import dataclass
from typing import Any

from ullage.errors import Holder

__all__ = ["Peak"]


@dataclass(frozen=True, slots=True)
class Peak:
    """The first instant at which an account held the most."""

    time_ns: int
    """When: nanoseconds, on the clock of the timeline."""
    booked: int
    """Bytes held then."""
    holders: list[Holder]
    """Who held them, largest first; their bytes add up to `booked`."""
    exact: bool
    """Whether the history is whole: where events before the first are lost, an earlier peak may have been higher."""
    position: int
    """How many events had happened."""

    def as_dict(self) -> dict[str, Any]:
        """Give all of it, ready for JSON."""
        return {
            "time_ns": self.time_ns,
            "booked": self.booked,
            "exact": self.exact,
            "position": self.position,
            "holders": [holder._asdict() for holder in self.holders],
        }
