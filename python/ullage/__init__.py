"""Memory accounting for machine-learning models."""

import warnings

from ullage import _core
from ullage._core import VERSION as __version__  # noqa: N811 - a constant there, a dunder here
from ullage._core import format_bytes, parse_bytes
from ullage.errors import DebugBuildWarning

__all__ = ["__version__", "format_bytes", "parse_bytes"]


def _warn_debug_build() -> None:
    """Say so when the extension is a debug build, so that nobody measures one."""
    if _core.DEBUG_BUILD:
        text = "ullage is a debug build, tens of times slower than a release; do not measure it"
        warnings.warn(text, DebugBuildWarning, stacklevel=3)


_warn_debug_build()
