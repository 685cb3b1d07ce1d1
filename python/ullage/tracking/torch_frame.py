"""From the stack of an allocation in PyTorch to the line of the program that asked for it."""

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["NO_STACK", "FrameNames"]

NO_STACK = "(no stack)"

INSIDE = re.compile(r"(^|[\\/])(torch|functorch|torchgen|triton)[\\/]")
"""Files of PyTorch itself."""


class FrameNames:
    """Names of stacks; PyTorch stores one list for all allocations from the same place, so each is looked at once."""

    def __init__(self) -> None:
        """Begin with no stack known."""
        self._known: dict[int, str] = {}

    def of(self, frames: Sequence[dict[str, Any]] | None) -> str:
        """Give `file:line function` of the innermost Python frame outside PyTorch, else of the innermost that there is.

        The list must stay alive as long as this object, for it is known by its identity.
        """
        if not frames:
            return NO_STACK
        found = self._known.get(id(frames))
        if found is None:
            found = self._known[id(frames)] = _useful(frames)
        return found


def _useful(frames: Sequence[dict[str, Any]]) -> str:
    """Choose a frame; innermost frames come first."""
    python = None
    for frame in frames:
        file = frame["filename"]
        if not file.endswith((".py", ">")):
            continue
        if not INSIDE.search(file) and not file.startswith("<frozen"):
            return _named(frame)
        python = python or frame
    return _named(python or frames[0])


def _named(frame: dict[str, Any]) -> str:
    file = re.split(r"[\\/]", frame["filename"])[-1]
    return f"{file}:{int(frame['line'])} {frame['name']}"
