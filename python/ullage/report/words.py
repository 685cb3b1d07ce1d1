"""Numbers as a reader wants them."""

from ullage import format_bytes
from ullage.report.parts import Unit

__all__ = ["both", "seconds", "shown"]

UNITS = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))


def seconds(value: float) -> str:
    """Show a time in the unit that leaves few digits: `1.85 ms`."""
    for factor, unit in UNITS:
        if abs(value) * factor >= 1:
            scaled = value * factor
            return f"{scaled:,.0f} {unit}" if abs(scaled) >= 1000 else f"{scaled:.3g} {unit}"  # noqa: PLR2004 - digits
    return f"{value:.3g} s"


def both(count: int) -> str:
    """Show bytes in both kinds of unit."""
    decimal, binary = format_bytes(count), format_bytes(count, binary=True)
    return decimal if decimal == binary else f"{decimal} ({binary})"


def shown(value: float, unit: Unit) -> str:
    """Show a number by its unit."""
    if unit == "bytes":
        return ("-" if value < 0 else "") + format_bytes(round(abs(value)))
    if unit == "seconds":
        return seconds(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.3g}"  # noqa: PLR2004 - digits
