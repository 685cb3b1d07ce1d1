"""gguf-py, the reference decoder of GGML blocks in Python."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

Work = tuple[str, str, str, Callable[[], float]]


def works(weights: int, columns: int, parts: Callable[[str, int], list[Any]]) -> list[Work]:
    """Give name, scheme, what is written, and a call that gives seconds for a weight; nothing without gguf-py."""
    try:
        import gguf  # noqa: PLC0415 - a peer that may be missing
    except ImportError:
        return []
    rows = weights // columns

    def decode(name: str) -> float:
        (blocks,) = parts(f"gguf:{name}", rows)
        kind = gguf.GGMLQuantizationType[name.upper()]
        begin = time.perf_counter()
        gguf.dequantize(blocks, kind)
        return (time.perf_counter() - begin) / weights

    return [
        (f"gguf-py {name}", f"gguf:{name}", "f32", partial(decode, name)) for name in ("q4_0", "q8_0", "q4_k", "q6_k")
    ]
