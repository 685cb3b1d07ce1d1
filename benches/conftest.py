"""Benches measure release builds only."""

import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the refusal below says it better
    from ullage import _core


def pytest_configure() -> None:
    """Stop before the first bench when the extension is a debug build."""
    if _core.DEBUG_BUILD:
        pytest.exit("ullage is a debug build; `make build` makes the one to measure", returncode=2)
