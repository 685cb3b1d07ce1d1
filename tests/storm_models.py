"""The models of the storms: a module of their own, so that a worker imports nothing but what a model needs."""

import random
import time

import numpy as np
import numpy.typing as npt

MB = 1_000_000


class Model:
    """Real memory, and a way to see whether it is whole."""

    def __init__(self, megabytes: int, seed: int) -> None:
        """Fill the memory."""
        self.weights: npt.NDArray[np.uint8] | None = np.full(megabytes * MB, seed % 251, np.uint8)
        self.seed = seed

    def check(self, nap_s: float) -> int:
        """Use the model for some time; gives its seed as the weights say it."""
        first = self._look()
        time.sleep(nap_s)
        assert self._look() == first
        return first

    def _look(self) -> int:
        assert self.weights is not None, "taken down in use"
        return int(self.weights[:: len(self.weights) // 64].max())

    def clear(self) -> None:
        """Give the memory back."""
        self.weights = None


def load(megabytes: int, seed: int, failing: float) -> Model:
    """Make a model, or fail."""
    if random.random() < failing:  # noqa: S311 - whichever
        raise OSError("a bad disk")
    return Model(megabytes, seed)


def unload(model: Model) -> None:
    """Take a model down."""
    model.clear()
