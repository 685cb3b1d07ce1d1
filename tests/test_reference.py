"""The reference names everything that is public, and nothing that is not there."""

import importlib
import re
from pathlib import Path

import pytest

import ullage

PAGES = sorted(Path(__file__).parents[1].glob("docs/reference/*.md"))
SHOWN = [
    name
    for page in PAGES
    for name in re.findall(r"^\.\. autoapi\w+:: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]
MODULES = {name for name in ullage.__all__ if not name.startswith("_") and type(getattr(ullage, name)) is type(ullage)}


def resolve(name: str) -> object:
    """Give what a dotted name of the reference stands for."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", sorted(set(ullage.__all__) - MODULES - {"__version__"}))
def test_every_public_name_is_in_the_reference(name: str) -> None:
    public = getattr(ullage, name)
    assert any(shown.rpartition(".")[2] == name and resolve(shown) is public for shown in SHOWN)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_public_name_of_a_public_module_is_in_the_reference(module: str) -> None:
    home = getattr(ullage, module)
    shown = [resolve(name) for name in SHOWN]
    missing = [name for name in home.__all__ if not any(getattr(home, name) is found for found in shown)]
    assert missing == []


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of what extras import
def test_what_the_reference_shows_is_there_once(name: str) -> None:
    if name.startswith("ullage.serving.ray."):
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'ullage[ray]'")
    assert resolve(name) is not None
    assert SHOWN.count(name) == 1
