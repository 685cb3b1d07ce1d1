"""The package as it was built: one version, typed, and loud when it is a debug build."""

import importlib
import importlib.metadata
import importlib.resources
import subprocess
import sysconfig
import tarfile
import tomllib
import warnings
from pathlib import Path

import pytest

import ullage
from ullage import _core
from ullage.errors import DebugBuildWarning

ROOT = Path(__file__).parents[1]


def test_the_tests_run_on_a_release_build() -> None:
    assert _core.DEBUG_BUILD is False


def test_a_debug_build_warns_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "DEBUG_BUILD", True)
    with pytest.warns(DebugBuildWarning, match="debug build"):
        importlib.reload(ullage)


def test_a_release_build_is_silent_at_import() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(ullage)


def test_the_version_is_written_once() -> None:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert "version" not in project
    assert ullage.__version__ == workspace["version"] == importlib.metadata.version("ullage")


def test_every_crate_that_ships_takes_the_version_of_the_workspace() -> None:
    manifests = [path for path in ROOT.glob("rust/*/Cargo.toml") if path.parent.name != "ullage-fuzz"]
    assert manifests
    for manifest in manifests:
        assert tomllib.loads(manifest.read_text())["package"]["version"] == {"workspace": True}, manifest


def test_types_are_shipped() -> None:
    package = importlib.resources.files("ullage")
    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()


def test_every_public_name_exists_and_is_listed_in_order() -> None:
    assert list(ullage.__all__) == sorted(set(ullage.__all__))
    for name in ullage.__all__:
        assert hasattr(ullage, name), name


def test_a_source_distribution_builds_from_its_own_lock(tmp_path: Path) -> None:
    maturin = Path(sysconfig.get_path("scripts"), "maturin")
    run([maturin, "sdist", "--out", tmp_path], cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    run(["cargo", "tree", "--locked", "--offline", "--package", "ullage-python", "--edges", "normal"], cwd=unpacked)
    assert list(unpacked.glob("python/ullage/catalog/*.toml"))
    assert (unpacked / "python/ullage/catalog/gpus.csv").is_file()


def run(command: list[str | Path], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
