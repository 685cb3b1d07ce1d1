"""Benches measure release builds only."""

import pytest

from ullage import _core


def pytest_configure() -> None:
    """Stop before the first bench when the extension is a debug build."""
    if _core.DEBUG_BUILD:
        pytest.exit("ullage is a debug build; `make build` makes the one to measure", returncode=2)
