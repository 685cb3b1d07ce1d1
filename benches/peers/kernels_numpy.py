"""The same decoders in NumPy, the fastest forms that are known of it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

type Work = tuple[str, str, str, Callable[[], float]]


def works(weights: int, columns: int, parts: Callable[[str, int], list[Any]]) -> list[Work]:
    """Name, scheme, what is written, and a call that gives seconds for a weight."""
    rows = weights // columns

    def palette() -> float:
        indices, table = parts("palettized:4", rows)
        entries = table.view(np.float16)
        byte = np.arange(256)
        pairs = np.stack([entries[byte & 15], entries[byte >> 4]], axis=1).copy().view(np.uint32).reshape(-1)
        out = np.empty(indices.size, np.uint32)
        begin = time.perf_counter()
        np.take(pairs, indices, out=out, mode="clip")
        return (time.perf_counter() - begin) / weights

    def integers() -> float:
        codes, scales = parts("linear:8", rows)
        levels, wide = codes.view(np.int8).reshape(rows, columns), scales.view(np.float16).astype(np.float32)
        out = np.empty((rows, columns), np.float32)
        begin = time.perf_counter()
        np.multiply(levels, wide[:, None], out=out)
        return (time.perf_counter() - begin) / weights

    def sparse() -> float:
        values, mask = parts("sparse:0.75", rows)
        out = np.zeros(weights, np.float16)
        begin = time.perf_counter()
        out[np.unpackbits(mask, bitorder="little").view(bool)] = values.view(np.float16)
        return (time.perf_counter() - begin) / weights

    return [
        ("NumPy, byte pairs by take", "palettized:4", "f16", palette),
        ("NumPy, multiply", "linear:8", "f32", integers),
        ("NumPy, unpackbits and mask", "sparse:0.75", "f16", sparse),
    ]
