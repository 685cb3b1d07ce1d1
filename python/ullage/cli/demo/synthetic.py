"""Models that take as much memory as real ones, and do nothing with it."""

import numpy as np


class Synthetic:
    """So many bytes in memory, every page of them written."""

    def __init__(self, size: int) -> None:
        """Take `size` bytes."""
        self._weights = np.ones(size, dtype=np.uint8)

    def run(self, workspace: int) -> int:
        """Take `workspace` bytes for the time of a forward pass and read a part of the weights; gives their sum."""
        scratch = np.ones(workspace, dtype=np.uint8)
        step = max(len(self._weights) // len(scratch), 1)
        return int(np.add(scratch[: len(self._weights) // step], self._weights[:: step][: len(scratch)]).sum())
