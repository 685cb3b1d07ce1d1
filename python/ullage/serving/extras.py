"""What a missing extra is answered with."""

import importlib
from types import ModuleType

from ullage.errors import UllageError

__all__ = ["MissingExtraError", "needed"]


class MissingExtraError(UllageError, ImportError):
    """A part of the package that needs another one, which is not installed."""

    extra: str
    """The extra that installs it."""


def needed(module: str, extra: str) -> ModuleType:
    """Import `module`, which the extra called `extra` installs. Raises `MissingExtraError` where it is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        package = module.partition(".")[0]
        if missing.name is None or missing.name.partition(".")[0] != package:
            raise  # it is there, and lacks something of its own
        text = f"{package} is not installed: pip install 'ullage[{extra}]'"
        raise MissingExtraError(text, extra=extra) from None
