"""A number of bytes between two bounds, with its origin."""

from dataclasses import dataclass

__all__ = ["Range"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bytes: at least `lo`, most likely `best`, at most `hi`; `lo <= best <= hi` always holds."""

    lo: int
    best: int
    hi: int
    origin: str
    """Of a device one of its table's `ORIGINS`; of a model `measured` or `formula`."""
    basis: str
    """Where the bounds come from, in words."""
