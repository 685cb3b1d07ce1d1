"""What the tests of plug-ins share: packages that are installed by their metadata, and the example."""

import itertools
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples/plugins"

Install: TypeAlias = Callable[[str, Mapping[str, Mapping[str, str]]], Path]
"""Installs a package: the code of its one module, called `MODULE` in the entry points, by group and name."""

_numbers = itertools.count()


def installer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Give a function that installs packages into `folder` for the time of a test."""

    def install(code: str, entries: Mapping[str, Mapping[str, str]]) -> Path:
        module = f"plugins_of_test_{next(_numbers)}"
        home = folder / module
        metadata = home / f"{module}-1.2.dist-info"
        metadata.mkdir(parents=True)
        (home / f"{module}.py").write_text(code)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
        groups = (
            f"[{group}]\n" + "".join(f"{name} = {value.replace('MODULE', module)}\n" for name, value in named.items())
            for group, named in entries.items()
        )
        (metadata / "entry_points.txt").write_text("\n".join(groups))
        monkeypatch.syspath_prepend(str(home))
        return home

    return install


def install_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the example on the path, with the metadata that its pyproject.toml gives it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = folder / f"ullage_example_plugins-{project['version']}.dist-info"
    metadata.mkdir()
    head = f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(head)
    groups = project["entry-points"].items()
    (metadata / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items()) for group, named in groups
        )
    )
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(folder))
    paths = (str(folder), str(EXAMPLE), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
