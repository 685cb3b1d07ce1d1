"""How much memory one act takes, read from the process itself."""

import threading
from dataclasses import dataclass

from ullage.errors import UllageError
from ullage.machine.usage import process

__all__ = ["Growth", "Move"]


@dataclass(frozen=True, slots=True)
class Move:
    """A move of memory under way."""

    begun: int
    held: int | None
    uses: int | None


class Growth:
    """Measures by how much the process grows during moves of memory that nothing else in a pool disturbs."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self._active = 0
        self._begun = 0

    def begin(self, uses: int | None) -> Move:
        """Note that a load or unload begins, after `uses` leases, none of which lives (or some, if `None`)."""
        with self._lock:
            self._active += 1
            self._begun += 1
            begun, is_alone = self._begun, self._active == 1 and uses is not None
        return Move(begun, _held() if is_alone else None, uses)

    def end(self, move: Move, uses: int | None) -> int | None:
        """Give by how much the process grew since `begin`, or `None` if something else moved or was in use."""
        with self._lock:
            self._active -= 1
            is_alone = self._begun == move.begun and uses == move.uses
        if move.held is None or not is_alone:
            return None
        held = _held()
        return None if held is None else max(held - move.held, 0)


def _held() -> int | None:
    """Give what the process holds, or `None` where it may not look: a load must not fail for that."""
    try:
        return process(full=True).uss
    except (UllageError, OSError):
        return None
