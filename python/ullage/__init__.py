"""Memory accounting for machine-learning models."""

from ullage._core import VERSION as __version__
from ullage._core import format_bytes, parse_bytes

__all__ = ["__version__", "format_bytes", "parse_bytes"]
