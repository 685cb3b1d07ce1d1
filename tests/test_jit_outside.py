"""The arithmetic of the bench that holds predicted memory against onnxruntime's, and onnxruntime itself."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "benches" / "jit_outside.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """Give the bench, which is no module of the package."""
    if not BENCH.exists():
        pytest.skip("the benches are not beside these tests")
    spec = importlib.util.spec_from_file_location("jit_outside", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_expanded_is_stored_and_dense_at_once(bench: ModuleType) -> None:
    """Int8 with a half for each row, and two bytes on top for each weight that is expanded: of all, or of one table."""
    tables, rows = 3, 64
    stored = tables * (rows * rows + 2 * rows)
    said = bench.predicted(tables, rows)
    assert said == {"load_time": stored + tables * rows * rows * 2, "just_in_time": stored + rows * rows * 2}


def test_growth_is_peak_over_what_was_there(bench: ModuleType) -> None:
    """The peak counts from resident memory before, what stays from shares before."""
    before = bench.fields("VmHWM:\t 900 kB\nVmRSS:\t 100 kB\nPss: 80 kB\nThreads:\t1\n")
    after = bench.fields("VmHWM:\t 400 kB\nVmRSS:\t 350 kB\nPss: 300 kB\n")
    assert bench.grown(before, after) == {"peak": 300 * 1024, "after": 220 * 1024}
    assert bench.error(102, 100) == pytest.approx(0.02)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_onnxruntime_takes_what_is_predicted(bench: ModuleType) -> None:
    """Within the target, expanded at load and just in time."""
    pytest.importorskip("onnxruntime")
    rows = bench.compare(24, 2048, 1)
    assert all(abs(row["error"]) <= bench.TARGET for row in rows), rows
    assert rows[0]["measured_peak"] > 2.5 * rows[1]["measured_peak"]  # load_time, and just_in_time
