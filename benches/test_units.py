"""What it costs to cross into Rust and back for one byte count."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ullage import format_bytes, parse_bytes


@pytest.mark.parametrize("value", [1500, "1500", "24GiB"], ids=["int", "digits", "unit"])
def test_parse(benchmark: BenchmarkFixture, value: int | str) -> None:
    assert benchmark(parse_bytes, value) > 0


def test_format(benchmark: BenchmarkFixture) -> None:
    assert benchmark(format_bytes, 4_198_400_000) == "4.20 GB"
