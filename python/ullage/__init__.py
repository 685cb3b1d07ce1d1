"""Memory accounting for machine-learning models."""

from ullage._core import VERSION as __version__
from ullage._core import (
    Plan,
    PlannedBin,
    format_bytes,
    pack,
    parse_bytes,
    read_packing_instance,
    validate,
)

__all__ = [
    "Plan",
    "PlannedBin",
    "__version__",
    "format_bytes",
    "pack",
    "parse_bytes",
    "read_packing_instance",
    "validate",
]
