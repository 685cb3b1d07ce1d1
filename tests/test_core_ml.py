"""Reading Core ML packages: the bytes and shapes that coremltools finds in them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ullage
from ullage.errors import ModelFileError

DATA = Path(__file__).parent / "data" / "core_ml"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
PACKAGE = "palettized4_16.mlpackage"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_package_holds_what_coremltools_says(name: str) -> None:
    model, expected = ullage.open_model(DATA / name), EXPECTED[name]
    assert model.tensor_bytes == expected["bytes"]
    shapes = {tensor.name: tensor.shape for tensor in model.tensors}
    assert shapes == expected.get("dense", shapes)
    if "dense" in expected:
        assert model.parameters == EXPECTED["dense16.mlpackage"]["bytes"] // 2


def test_a_package_without_its_weights_is_refused(tmp_path: Path) -> None:
    package = tmp_path / PACKAGE
    shutil.copytree(DATA / PACKAGE, package)
    (package / WEIGHTS).unlink()
    with pytest.raises(ModelFileError, match=r"weight\.bin"):
        ullage.open_model(package)


@pytest.mark.parametrize("length", [0, 64, 100, 600, 1600])
def test_weights_cut_off_are_refused(tmp_path: Path, length: int) -> None:
    package = tmp_path / PACKAGE
    shutil.copytree(DATA / PACKAGE, package)
    content = (package / WEIGHTS).read_bytes()
    assert length < len(content)
    (package / WEIGHTS).write_bytes(content[:length])
    with pytest.raises(ModelFileError, match=f"{length} bytes"):
        ullage.open_model(package)


def test_a_manifest_cannot_lead_out_of_its_package(tmp_path: Path) -> None:
    package = tmp_path / PACKAGE
    shutil.copytree(DATA / PACKAGE, package)
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = "../../secret.mlmodel"
    (package / "Manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelFileError, match="leads out of the package"):
        ullage.open_model(package)
