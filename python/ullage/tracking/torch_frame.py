"""From the stack of an allocation in PyTorch to the line of the program that asked for it."""

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["NO_STACK", "FrameNames"]

NO_STACK = "(no stack)"

INSIDE = re.compile(r"(^|[\\/])(torch|functorch|torchgen|triton)[\\/]")
"""Files of PyTorch itself."""
PROFILED = re.compile(r"(?P<file>.+)\((?P<line>\d{1,9})\): (?P<name>.+)", re.DOTALL)
"""How the profiler names a Python function; its snapshots have that alone and `none` for a file."""
SEPARATOR = re.compile(r"[\\/]")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


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
        file, line, name = _parts(frame)
        if not file.endswith((".py", ">")):
            continue
        if not INSIDE.search(file) and not file.startswith("<frozen"):
            return _named(file, line, name)
        python = python or _named(file, line, name)
    return python or _named(*_parts(frames[0]))


def _parts(frame: dict[str, Any]) -> tuple[str, int, str]:
    file, line, name = frame["filename"], int(frame["line"]), frame["name"]
    profiled = PROFILED.fullmatch(name) if file == "none" else None
    return (profiled["file"], int(profiled["line"]), profiled["name"]) if profiled else (file, line, name)


def _named(file: str, line: int, name: str) -> str:
    name = ADDRESS.sub("", name)
    return name if file == "none" else f"{SEPARATOR.split(file)[-1]}:{line} {name}"
