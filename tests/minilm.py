"""Sentence embeddings of the real all-MiniLM-L6-v2, its weights from wherever a test has them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ullage.cli.demo.minilm import MiniLM

SENTENCES = (
    "The cask was tapped on Tuesday, and a third of it is air by now.",
    "How much memory does a model of seven billion parameters need?",
    "Compression is a trade: bytes for time, and now and then for truth.",
    "Le chat dort sur le clavier.",
    "def reserve(self, size): return self.limit - self.used >= size",
    "short",
    "Prices rose by 3.2 % in the second quarter, less than expected after a dry spring and a late harvest.",
    "She asked whether the last train had left, and he said that it had never come.",
)


def embeddings(directory: Path, weights: Mapping[str, npt.NDArray[Any]] | None = None) -> npt.NDArray[np.float32]:
    """Give an embedding of unit length for each of `SENTENCES`, by the model's own weights unless others are given."""
    model = MiniLM(directory, weights)
    return np.stack([model.embed(sentence) for sentence in SENTENCES])


def least_cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Give the least cosine between the embeddings of a sentence."""
    return float((one.astype(np.float64) * other.astype(np.float64)).sum(axis=1).min())
