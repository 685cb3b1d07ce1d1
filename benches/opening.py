"""What the benchmarks of opening a file share."""

from pathlib import Path
from typing import Any

import ullage

Benchmark = Any  # the fixture of pytest-benchmark, which has no types


def group(benchmark: Benchmark, format_: str, file: Path) -> None:
    """Compare like with like."""
    benchmark.group = f"{format_} header of {file.stat().st_size >> 20} MiB of weights"


def every_tensor(file: Path) -> list[tuple[str, str, list[int]]]:
    """Make Python objects of every tensor too, with name, dtype and shape."""
    return [(tensor.name, tensor.dtype, tensor.shape) for tensor in ullage.open_model(file).tensors]
