"""Sentence embeddings of the real all-MiniLM-L6-v2, its weights from wherever a test has them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ullage.cli.demo.minilm import Array, MiniLM

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


MOST_ROWS = 512


def embeddings(directory: Path, weights: Mapping[str, npt.NDArray[Any]] | None = None) -> npt.NDArray[np.float32]:
    """Give an embedding of unit length for each of `SENTENCES`, by the model's own weights unless others are given."""
    model = MiniLM(directory, weights)
    return np.stack([model.embed(sentence) for sentence in SENTENCES])


def least_cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Give the least cosine between the embeddings of a sentence."""
    return float((one.astype(np.float64) * other.astype(np.float64)).sum(axis=1).min())


def other_sentences(folder: Path) -> list[str]:
    """Give the sentences of the documents in `folder`, none of which is among `SENTENCES`."""
    texts = [re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL) for path in sorted(folder.glob("*.md"))]
    found = [" ".join(part.split()) for text in texts for part in re.split(r"(?<=[.!?])\s+|\n\n", text)]
    return [sentence for sentence in found if 20 < len(sentence) < 240 and "|" not in sentence]


class _Listener(MiniLM):
    """The model, adding up the products of what its layers are given."""

    sums: dict[str, npt.NDArray[np.float64]]
    heard: dict[str, list[Array]]

    def _linear(self, hidden: Array, name: str) -> Array:
        self.heard.setdefault(name, []).append(hidden)
        if sum(map(len, self.heard[name])) >= MOST_ROWS:  # each product is as large as the layer, however few the rows
            self.add(name)
        return super()._linear(hidden, name)

    def add(self, name: str) -> None:
        """Add up what was heard of a layer."""
        rows = np.concatenate(self.heard.pop(name))
        self.sums[name] = self.sums.get(name, 0) + (rows.T @ rows).astype(np.float64)


def inputs(directory: Path, sentences: Iterable[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Give for each weight rows whose products add up as those of what its layer is given for `sentences` do."""
    model = _Listener(directory)
    model.sums, model.heard = {}, {}
    for sentence in sentences:
        model.embed(sentence)
    for name in list(model.heard):
        model.add(name)
    rows = {}
    for name, sums in model.sums.items():
        ridge = 1e-6 * np.trace(sums) / len(sums) * np.eye(len(sums))
        rows[f"{name}.weight"] = np.linalg.cholesky(sums + ridge).T.astype(np.float32)
    return rows
