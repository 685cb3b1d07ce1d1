"""The same decoders in PyTorch and bitsandbytes on one thread, where they are installed; `make` installs neither.

PyTorch's wheel for Linux brings gigabytes for graphics processors along. `pip install torch bitsandbytes` in the
environment of the benchmarks adds their rows.
"""

import importlib
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

Work = tuple[str, str, str, Callable[[], float]]


def works(weights: int, columns: int, parts: Callable[[str, int], list[Any]]) -> list[Work]:
    """Give name, scheme, what is written, and a call that gives seconds for a weight."""
    if not find_spec("torch"):
        return []
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    rows = weights // columns

    def timed(call: Callable[[], object]) -> float:
        call()
        begin = time.perf_counter()
        call()
        return (time.perf_counter() - begin) / weights

    def palette() -> float:
        indices, table = (torch.from_numpy(part) for part in parts("palettized:4", rows))
        byte = torch.arange(256)
        entries = table.view(torch.float16)
        pairs = torch.stack([entries[byte & 15], entries[byte >> 4]], 1).view(torch.int32).reshape(-1)
        places, out = torch.empty(indices.numel(), dtype=torch.int32), torch.empty(indices.numel(), dtype=torch.int32)

        def decode() -> None:
            places.copy_(indices)
            torch.index_select(pairs, 0, places, out=out)

        return timed(decode)

    def integers(dtype: str) -> float:
        codes, scales = parts("linear:8", rows)
        wide = getattr(torch, dtype)
        levels = torch.from_numpy(codes).view(torch.int8).reshape(rows, columns)
        factors = torch.from_numpy(scales).view(torch.float16).to(wide)[:, None]
        out = torch.empty((rows, columns), dtype=wide)
        return timed(lambda: torch.mul(levels, factors, out=out))

    def sparse() -> float:
        values, mask = parts("sparse:0.75", rows)
        kept = torch.from_numpy(values).view(torch.float16)
        out = torch.zeros(weights, dtype=torch.float16)
        bits = torch.tensor([1 << bit for bit in range(8)], dtype=torch.uint8)
        packed = torch.from_numpy(mask)

        def decode() -> None:
            is_kept = torch.bitwise_and(packed[:, None], bits).bool().reshape(-1)
            out.zero_().masked_scatter_(is_kept, kept)

        return timed(decode)

    found: list[Work] = [
        ("PyTorch, byte pairs by index_select", "palettized:4", "f16", palette),
        ("PyTorch, multiply", "linear:8", "f32", lambda: integers("float32")),
        ("PyTorch, multiply", "linear:8", "f16", lambda: integers("float16")),
        ("PyTorch, mask and masked_scatter", "sparse:0.75", "f16", sparse),
    ]
    if find_spec("bitsandbytes"):
        found += _bitsandbytes(torch, weights, timed)
    return found


def _bitsandbytes(torch: Any, weights: int, timed: Callable[[Callable[[], object]], float]) -> list[Work]:  # noqa: ANN401
    """Give its blocks of 64 with a table of 16 entries or of 256, beside what here comes closest."""
    functional = importlib.import_module("bitsandbytes.functional")
    values = torch.from_numpy(np.random.default_rng(0).standard_normal(weights, np.float32))

    def four(dtype: str) -> float:
        codes, state = functional.quantize_4bit(values.to(getattr(torch, dtype)), blocksize=64, quant_type="nf4")
        return timed(lambda: functional.dequantize_4bit(codes, state))

    def eight() -> float:
        codes, state = functional.quantize_blockwise(values, blocksize=64)
        return timed(lambda: functional.dequantize_blockwise(codes, state))

    return [
        ("bitsandbytes, NF4 in blocks of 64", "linear:4,block=32", "f16", lambda: four("float16")),
        ("bitsandbytes, NF4 in blocks of 64", "palettized:4,group=16", "f32", lambda: four("float32")),
        ("bitsandbytes, 8 bits in blocks of 64", "palettized:8", "f32", eight),
    ]
