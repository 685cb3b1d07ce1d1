"""A model of real size for a worker process."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np


class Large(MutableMapping[str, Any]):
    """A mapping of weights that can compute."""

    def __init__(self) -> None:
        """Make 100 MB of them."""
        random = np.random.default_rng(0)
        block = (random.standard_normal(2_500_000) * 0.02).astype(np.float32)
        self._arrays: dict[str, Any] = {f"w{number}": block * (1 + number / 8) for number in range(10)}

    def total(self) -> float:
        """Compute something of all weights."""
        return float(sum(float(array.sum()) for array in self._arrays.values()))

    def __getitem__(self, name: str) -> Any:
        """Give one."""
        return self._arrays[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Set one."""
        self._arrays[name] = value

    def __delitem__(self, name: str) -> None:
        """Remove one."""
        del self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """Count them."""
        return len(self._arrays)


def large() -> Large:
    """Load it."""
    return Large()
