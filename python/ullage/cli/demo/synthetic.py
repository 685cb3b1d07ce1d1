"""Models that take as much memory as real ones, and do nothing with it."""

import mmap
from contextlib import closing

import numpy as np


class Synthetic:
    """So many bytes in memory, every page of them written."""

    def __init__(self, size: int) -> None:
        """Take `size` bytes."""
        self._weights = np.ones(size, dtype=np.uint8)

    def run(self, workspace: int) -> None:
        """Take `workspace` bytes for the time of a forward pass, and fill them from the weights.

        They are mapped, not allocated: an allocator may keep what was given back to it, and the process with it.
        """
        with closing(mmap.mmap(-1, workspace)) as scratch:
            view = np.frombuffer(scratch, dtype=np.uint8)
            view[:] = self._weights[-1]
            del view
