"""Where this package keeps what belongs to the user: rows of the user's own, and measurements."""

import os
import sys
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]


def data_folder() -> Path:
    r"""Give the folder of what the user entered; it need not exist.

    `ULLAGE_HOME` where that is set; else `$XDG_DATA_HOME/ullage` (by default `~/.local/share/ullage`),
    `~/Library/Application Support/ullage` on macOS and `%LOCALAPPDATA%\ullage` on Windows.
    """
    return _home() or _folder("XDG_DATA_HOME", ".local/share", "Library/Application Support") / "ullage"


def cache_folder() -> Path:
    r"""Give the folder of what was measured and can be measured again; it need not exist.

    `ULLAGE_HOME` where that is set; else `$XDG_CACHE_HOME/ullage` (by default `~/.cache/ullage`),
    `~/Library/Caches/ullage` on macOS and `%LOCALAPPDATA%\ullage` on Windows.
    """
    return _home() or _folder("XDG_CACHE_HOME", ".cache", "Library/Caches") / "ullage"


def _home() -> Path | None:
    named = os.environ.get("ULLAGE_HOME")
    return Path(named) if named else None


def _folder(variable: str, elsewhere: str, on_macos: str) -> Path:
    if sys.platform == "win32":
        named, default = os.environ.get("LOCALAPPDATA", ""), "AppData/Local"
    elif sys.platform == "darwin":
        named, default = "", on_macos
    else:
        named, default = os.environ.get(variable, ""), elsewhere
    # A relative path in these variables is to be ignored, says the XDG specification.
    return Path(named) if os.path.isabs(named) else Path.home() / default  # noqa: PTH117 - "" is no path yet
