"""Prints what kernels take beside what memory allows and beside peers: `make kernel-costs`.

Every figure is the fifth percentile of many short chunks that lie in memory, not in caches, in passes that go through
all kernels and roofs in turn. A fraction is of the time that filling the same output past the caches takes, or, for
products, of that of the product with dense halves. On a machine that others use, compare only figures of one run.
"""

# ruff: noqa: T201 - it prints; random weights guard nothing

import argparse
import json
import os
import platform
import time
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from peers import kernels_gguf, kernels_llamacpp, kernels_numpy, kernels_onnxruntime, kernels_torch

from ullage import _core

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 4096
CHUNK_ROWS = 64
PASSES = 3
BEYOND = 16
"""How many times the weights that are decoded beside a peer are multiplied beside one."""
DECODED = (
    ("palettized:4", "f16"),
    ("palettized:4", "f32"),
    ("palettized:4,group=16", "f16"),
    ("palettized:6", "f16"),
    ("palettized:8", "f16"),
    ("linear:8", "f32"),
    ("linear:8", "f16"),
    ("linear:8,affine,block=32", "f16"),
    ("linear:4,block=32", "f16"),
    ("sparse:0.5", "f16"),
    ("sparse:0.75", "f16"),
    ("gguf:q4_0", "f32"),
    ("gguf:q8_0", "f32"),
    ("gguf:q4_k", "f32"),
    ("gguf:q6_k", "f32"),
)
MULTIPLIED = (
    "dense:f16",
    "palettized:4",
    "palettized:8",
    "linear:8",
    "linear:4,block=32",
    "sparse:0.75",
    "gguf:q4_0",
    "gguf:q8_0",
    "gguf:q4_k",
    "gguf:q6_k",
)


ROUNDED = (
    "linear:8",
    "linear:8,block=32",
    "linear:4",
    "linear:4,block=32",
    "linear:4,affine,block=32",
    "gguf:q4_0",
    "gguf:q8_0",
    "gguf:q4_k",
    "gguf:q6_k",
)


@dataclass
class Row:
    """One kernel, or one peer: the least fifth percentile of its passes, in seconds for a weight."""

    name: str
    seconds: float = field(default=float("inf"))

    def take(self, times: list[float], weights: int) -> None:
        """Keep the better of what is known and of `times` for `weights` weights each."""
        self.seconds = min(self.seconds, float(np.quantile(times, 0.05)) / weights)


def random_parts(scheme: str, rows: int, seed: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Make pieces of a weight of `rows` by 4096 that look like such: random codes, small scales and tables."""
    rng = np.random.default_rng(seed)
    count = rows * COLUMNS

    def codes(size: int) -> npt.NDArray[np.uint8]:
        return rng.integers(0, 256, size, dtype=np.uint8)

    def halves(size: int) -> npt.NDArray[np.uint8]:
        return rng.uniform(0.01, 0.02, size).astype(np.float16).view(np.uint8)

    kind, _, options = scheme.partition(":")
    first, *others = options.split(",")
    if kind == "dense":
        return [np.resize(halves(1 << 20), 2 * count)]
    if kind == "palettized":
        group = next((int(word[6:]) for word in others if word.startswith("group=")), rows)
        return [codes(count * int(first) // 8), halves((1 << int(first)) * -(-rows // group))]
    if kind == "linear":
        block = next((int(word[6:]) for word in others if word.startswith("block=")), COLUMNS)
        scales = count // block
        zeros = [codes(scales * int(first) // 8)] if "affine" in others else []
        return [codes(count * int(first) // 8), halves(scales), *zeros]
    if kind == "sparse":
        kept = int(COLUMNS * (1 - float(first)))
        row = np.arange(COLUMNS) < kept
        bits = rng.permuted(np.tile(row, (256, 1)), axis=1)
        mask = np.packbits(bits, axis=1, bitorder="little")
        return [np.resize(halves(1 << 20), 2 * rows * kept), np.resize(mask, count // 8)]
    sizes = {"q4_0": (32, 18, (0,)), "q8_0": (32, 34, (0,)), "q4_k": (256, 144, (0, 2)), "q6_k": (256, 210, (208,))}
    elements, size, scales_at = sizes[first]
    blocks = codes(count // elements * size).reshape(-1, size)
    for place in scales_at:
        blocks[:, place : place + 2] = halves(len(blocks)).reshape(-1, 2)
    return [blocks.reshape(-1)]


def matrix(scheme: str, weights: int) -> _core.StoredMatrix:
    """Make a weight of so many elements in `scheme`."""
    rows = weights // COLUMNS
    return _core.StoredMatrix(random_parts(scheme, rows), [rows, COLUMNS], scheme)


def decoding(weights: int, threads: int, isa: str | None) -> list[dict[str, Any]]:
    """Time decoding, as a fraction of a fill of the same output."""
    chunk = CHUNK_ROWS * COLUMNS
    rows = {(scheme, dtype): Row(f"{scheme} -> {dtype}") for scheme, dtype in DECODED}
    fills = {"f16": Row("fill f16"), "f32": Row("fill f32")}
    for _ in range(PASSES):
        for scheme in dict.fromkeys(scheme for scheme, _ in DECODED):
            stored = matrix(scheme, weights)
            for dtype in (dtype for name, dtype in DECODED if name == scheme):
                width = 2 if dtype == "f16" else 4
                fills[dtype].take(_core.memory_times(weights * width, chunk * width, threads=threads), chunk)
                times = stored.times(dtype, CHUNK_ROWS, threads=threads, isa=isa)
                rows[scheme, dtype].take(times, chunk)
    found = []
    for (_, dtype), row in rows.items():
        width = 2 if dtype == "f16" else 4
        fill = fills[dtype].seconds
        found.append(
            {
                "kernel": row.name,
                "threads": threads,
                "gb_s": threads * width / row.seconds / 1e9,
                "fill_gb_s": threads * width / fill / 1e9,
                "fraction": fill / row.seconds,
            }
        )
    return found


def multiplying(
    weights: int, threads: int, isa: str | None, batch: int, activations: str | None = None
) -> list[dict[str, Any]]:
    """Time fused products, as a fraction of the time of that with dense halves, and of a read of what is stored."""
    schemes = MULTIPLIED if activations is None else ("dense:f16", *ROUNDED)
    rows = {scheme: Row(scheme) for scheme in schemes}
    x = np.random.default_rng(1).standard_normal(COLUMNS * batch).astype(np.float32)
    read = Row("read")
    stored_bytes = {}
    for _ in range(PASSES):
        for scheme in schemes:
            parts = random_parts(scheme, weights // COLUMNS)
            stored_bytes[scheme] = sum(part.nbytes for part in parts) / weights
            stored = _core.StoredMatrix(parts, [weights // COLUMNS, COLUMNS], scheme)
            del parts
            times = stored.times(
                "f32",
                CHUNK_ROWS,
                x=x if scheme != "dense:f16" else x[: COLUMNS * min(batch, 8)],
                batch=batch if scheme != "dense:f16" else min(batch, 8),
                threads=threads,
                isa=isa,
                activations=activations if scheme != "dense:f16" else None,
            )
            rows[scheme].take(times, CHUNK_ROWS * COLUMNS)
            chunk = 1 << 19
            read.take(_core.memory_times(1 << 28, chunk, is_read=True, threads=threads), chunk)
    dense = rows["dense:f16"].seconds
    return [
        {
            "kernel": f"{scheme} x {batch}{' rounded' if activations and scheme != 'dense:f16' else ''}",
            "threads": threads,
            "f16_gb_s": threads * 2 / row.seconds / 1e9,
            "reads_gb_s": threads * stored_bytes[scheme] / row.seconds / 1e9,
            "read_roof_gb_s": threads / read.seconds / 1e9,
            "of_read": row.seconds / (stored_bytes[scheme] * read.seconds),
            "of_dense": row.seconds / dense,
        }
        for scheme, row in rows.items()
    ]


def peers(weights: int) -> list[dict[str, Any]]:
    """Time what others take for the same, with one thread, and how much faster the kernels here are."""
    found: list[dict[str, Any]] = []
    works: list[tuple[str, str, str, Callable[[], float]]] = [
        *kernels_numpy.works(weights, COLUMNS, random_parts),
        *kernels_torch.works(weights, COLUMNS, random_parts),
        *kernels_gguf.works(weights, COLUMNS, random_parts),
        *kernels_llamacpp.works(weights, COLUMNS, random_parts),
        *kernels_onnxruntime.works(BEYOND * weights, COLUMNS),
    ]
    x = np.random.default_rng(1).standard_normal(COLUMNS).astype(np.float32)
    for name, scheme, dtype, work in works:
        # As much as the peer goes through, beyond the caches.
        stored = matrix(scheme, BEYOND * weights if dtype == "y" else weights)
        vector = x if dtype == "y" else None
        chunk = CHUNK_ROWS * COLUMNS
        ours, theirs = Row(scheme), Row(name)
        for _ in range(PASSES):
            ours.take(stored.times("f32" if dtype == "y" else dtype, CHUNK_ROWS, x=vector), chunk)
            theirs.take([work()], 1)
        found.append(
            {
                "peer": name,
                "kernel": f"{scheme} -> {dtype}",
                "peer_ps": theirs.seconds * 1e12,
                "ps_a_weight": ours.seconds * 1e12,
                "times_faster": theirs.seconds / ours.seconds,
            }
        )
    return found


def rounding(weights: int, threads: int, batch: int) -> list[dict[str, Any]]:
    """Time whole products with vectors that are rounded first, beside those of peers that do the same.

    Each call multiplies 4096 rows, all threads and the rounding of the vectors included, ours and theirs in turn.
    """
    found: list[dict[str, Any]] = []
    x = np.random.default_rng(1).standard_normal(COLUMNS * batch).astype(np.float32)
    rows = kernels_onnxruntime.ROWS
    works = [
        *kernels_llamacpp.products(weights, COLUMNS, random_parts, batch, threads),
        *kernels_onnxruntime.products(weights, COLUMNS, batch, threads),
    ]
    for name, scheme, work in works:
        held = [matrix(scheme, rows * COLUMNS) for _ in range(max(weights // COLUMNS // rows, 2))]
        ours, exact, theirs = Row(scheme), Row(scheme), Row(name)
        for _ in range(PASSES):
            for row, activations in ((ours, "int8"), (exact, None)):
                times = []
                for _, stored in product(range(8 if activations else 2), held):
                    begin = time.perf_counter()
                    stored.multiply(x, batch=batch, threads=threads, activations=activations)
                    times.append(time.perf_counter() - begin)
                row.take(times, rows * COLUMNS)
            theirs.take([work()], 1)
        found.append(
            {
                "peer": name,
                "kernel": f"{scheme} x {batch}",
                "threads": threads,
                "peer_ps": theirs.seconds * 1e12,
                "exact_ps": exact.seconds * 1e12,
                "rounded_ps": ours.seconds * 1e12,
                "peer_over_ours": theirs.seconds / ours.seconds,
            }
        )
    return found


def show(rows: list[dict[str, Any]]) -> None:
    """Print `rows` as a table."""
    if not rows:
        return
    names = {"kernel", "peer"}
    print("  ".join(f"{key:>34}" if key in names else f"{key:>14}" for key in rows[0]))
    for row in rows:
        cells = (
            f"{cell:>34}" if key in names else f"{cell:>14.2f}" if isinstance(cell, float) else f"{cell:>14}"
            for key, cell in row.items()
        )
        print("  ".join(cells))
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebiweights", type=int, default=64, help="weights to decode; twice as many are multiplied")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, min(2, os.cpu_count() or 1)])
    parser.add_argument("--isa", help="avx512, avx2, neon or portable; the best there is by default")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--rounded", action="store_true", help="only products of rounded vectors")
    options = parser.parse_args()
    weights = options.mebiweights << 20
    others = [] if options.rounded else options.threads
    report: dict[str, Any] = {
        "processor": platform.processor() or platform.machine(),
        "isa": options.isa or _core.kernel_isas()[-1],
        "load": os.getloadavg()[0],
        "decode": [row for count in others for row in decoding(weights, count, options.isa)],
        "multiply": [
            row
            for count in others
            for batch in ((1, 4) if count == 1 else (1,))
            for row in multiplying(2 * weights, count, options.isa, batch)
        ],
        "rounded": [
            row
            for count in options.threads
            for batch in (1, 8)
            for row in multiplying(2 * weights, count, options.isa, batch, "int8")
        ],
        "rounded_peers": [
            row
            for count in (() if options.no_peers else options.threads)
            for batch in (1, 8)
            for row in rounding(2 * weights, count, batch)
        ],
        "peers": [] if options.no_peers or options.rounded else peers(min(weights, 16 << 20)),
    }
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['isa']}, load {report['load']:.1f} before\n")
    for part in ("decode", "multiply", "rounded", "rounded_peers", "peers"):
        show(report[part])


if __name__ == "__main__":
    main()
