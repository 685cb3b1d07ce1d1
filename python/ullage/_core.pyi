"""The compiled half of `ullage`."""

from typing import Final

__all__ = ["DEBUG_BUILD", "VERSION", "format_bytes", "parse_bytes"]

VERSION: Final[str]
"""The package's version."""

DEBUG_BUILD: Final[bool]
"""Whether this is a debug build, whose timings mean nothing."""

def parse_bytes(value: float | str) -> int:
    """Read a byte count: an int, an integral float, or a text such as `"24GiB"` or `"1.5 GB"`.

    A fraction of a byte in a text is rounded up. Raises `QuantityError` for anything that is not a count of
    0 to 2^64 - 1 bytes.
    """

def format_bytes(value: float | str, *, binary: bool = False) -> str:
    """Show a byte count with two decimals: `"4.20 GB"`, or `"3.91 GiB"` with `binary=True`.

    Takes what `parse_bytes` takes and raises what it raises.
    """
