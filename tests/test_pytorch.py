"""Reading what torch.save writes: as PyTorch says it is, without running any of it."""

import io
import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ullage
from ullage.errors import ModelFileError

DATA = Path(__file__).parent / "data" / "pytorch"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())

DTYPES = {
    "bfloat16": "BF16",
    "bool": "BOOL",
    "complex128": "C128",
    "complex64": "C64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "int8": "I8",
    "qint8": "I8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "uint8": "U8",
}


class Storage:
    """A storage, as the pickles of PyTorch refer to it."""

    def __init__(self, key: str, elements: int) -> None:
        """Remember the key and the number of elements."""
        self.key, self.elements = key, elements


class FloatStorage:
    """Stands for the class of that name in torch."""


def rebuild(*_: object) -> None:
    """Stand for torch._utils._rebuild_tensor_v2."""


class Tensor:
    """A tensor that pickles as one of PyTorch does."""

    def __init__(
        self, storage: Storage, offset: int, *shape: int, strides: Sequence[int] = (), marks: object = None
    ) -> None:
        """Lay the shape out densely from `offset` on, unless there are `strides`."""
        dense = [1]
        for size in reversed(shape[1:]):
            dense.insert(0, dense[0] * size)
        hooks: OrderedDict[str, object] = OrderedDict()
        arguments = (storage, offset, shape, tuple(strides or dense), False, hooks)
        self.arguments = arguments if marks is None else (*arguments, marks)

    def __reduce__(self) -> tuple[object, ...]:
        """Say how it would be built anew."""
        return rebuild, self.arguments


class Malice:
    """Would run a command if anybody built it anew."""

    def __reduce__(self) -> tuple[object, ...]:
        """Say how it would be built anew."""
        return __import__, ("ullage_was_fooled",)


class Pickler(pickle.Pickler):
    """Pickles objects as torch.save does, whatever the protocol."""

    def persistent_id(self, obj: object) -> object:
        """Refer to storages as PyTorch does."""
        if isinstance(obj, Storage):
            return ("storage", FloatStorage, obj.key, "cpu", obj.elements)
        return None


@pytest.fixture(autouse=True)
def _torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins where pickles look for the originals."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    vars(torch)["FloatStorage"] = FloatStorage
    vars(utils)["_rebuild_tensor_v2"] = rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    monkeypatch.setattr(FloatStorage, "__module__", "torch")
    monkeypatch.setattr(rebuild, "__module__", "torch._utils")
    monkeypatch.setattr(rebuild, "__qualname__", "_rebuild_tensor_v2")


def save(path: Path, value: object, storages: dict[str, bytes], protocol: int = 2, **options: Any) -> Path:
    """Write an archive as torch.save does."""
    buffer = io.BytesIO()
    Pickler(buffer, protocol).dump(value)
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_holds_what_pytorch_says(name: str) -> None:
    model, expected = ullage.open_model(DATA / name), EXPECTED[name]
    ours = {tensor.name: [tensor.dtype, tensor.shape] for tensor in model.tensors}
    assert ours == {key: [DTYPES[dtype], shape] for key, (dtype, shape) in expected["tensors"].items()}
    assert model.tensor_bytes == expected["bytes"]
    assert model.file_bytes == (DATA / name).stat().st_size


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_any_protocol_is_followed(tmp_path: Path, protocol: int) -> None:
    storage = Storage("0", 6)
    value = {
        "a": Tensor(storage, 0, 2, 3),
        "list": [Tensor(storage, 2, 4)],
        "n": [1, -1, 2**40, 2**80, 0.5, None, b"x"],
    }
    model = ullage.open_model(save(tmp_path / "m.pt", value, {"0": bytes(24)}, protocol))
    assert [(tensor.name, tensor.shape, tensor.bytes) for tensor in model.tensors] == [
        ("a", [2, 3], 24),
        ("list.0", [4], 0),
    ]
    assert model.parameters == 6


def test_nothing_is_run(tmp_path: Path) -> None:
    value = {"w": Tensor(Storage("0", 2), 0, 2), "evil": Malice()}
    model = ullage.open_model(save(tmp_path / "m.pt", value, {"0": bytes(8)}))
    assert model.parameters == 2


def test_an_offset_leads_to_the_data(tmp_path: Path) -> None:
    numbers = struct.pack("<6f", *range(6))
    path = save(tmp_path / "m.pt", {"w": Tensor(Storage("0", 6), 3, 3)}, {"0": numbers})
    (tensor,) = ullage.open_model(path).tensors
    assert path.read_bytes()[tensor.offset : tensor.offset + 4] == struct.pack("<f", 3)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    value = {"w": Tensor(Storage("0", 64), 0, 64)}
    path = save(tmp_path / "m.pt", value, {"0": bytes(256)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="compressed"):
        ullage.open_model(path)


@pytest.mark.parametrize(
    ("elements", "shape", "reason"),
    [(6, (7,), "ends at byte 28"), (7, (6,), "of which the file holds 24"), (6, (2**62, 4), "overflows")],
)
def test_a_tensor_cannot_be_larger_than_its_storage(
    tmp_path: Path, elements: int, shape: tuple[int, ...], reason: str
) -> None:
    path = save(tmp_path / "m.pt", {"w": Tensor(Storage("0", elements), 0, *shape)}, {"0": bytes(24)})
    with pytest.raises(ModelFileError, match=reason):
        ullage.open_model(path)


@pytest.mark.parametrize("name", ["tied.pt", "legacy.pt"])
@pytest.mark.parametrize("scheme", ["linear:8", "dense:f32", "lossless"])
def test_a_checkpoint_is_compressed(name: str, scheme: str, tmp_path: Path) -> None:
    written = ullage.write_compressed(DATA / name, tmp_path / "small", scheme)
    sizes = {tensor.name: tensor.bytes for tensor in written.tensors}
    assert sizes["lm_head.weight"] == 0
    assert written.file_bytes == (tmp_path / "small").stat().st_size == written.header_bytes + written.tensor_bytes
    with ullage.load(tmp_path / "small") as store:
        assert set(store) == set(EXPECTED[name]["tensors"])
        assert {key: [len(store[key].shape), *store[key].shape] for key in store} == {
            key: [len(shape), *shape] for key, (_, shape) in EXPECTED[name]["tensors"].items()
        }
        most = 0.05 if scheme == "linear:8" else 0.0
        assert np.abs(store["layers.0.k"] - np.arange(6).reshape(2, 3)).max() <= most
        assert np.abs(store["layers.0.v"] - np.arange(6, 12).reshape(2, 3)).max() <= most
        assert store["layers.0.row"].tolist() == [2, 3]
        assert store["layers.1.part"].tolist() == [0, 0, 0]
        assert store["repeated"].tolist() == [1] * 5
        assert np.abs(store["embed.weight"]).max() > 0.5
        assert np.array_equal(store["lm_head.weight"], store["embed.weight"])
        assert np.shares_memory(store["lm_head.weight"], store["embed.weight"])


def test_views_are_written_in_the_order_of_their_shape(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).standard_normal(96 * 64).astype("<f4")
    whole, gone = Storage("0", numbers.size), Storage("1", 8)
    value = {
        "turned": Tensor(whole, 0, 64, 96, strides=(1, 64)),
        "plain": Tensor(whole, 0, 96, 64),
        "again": Tensor(whole, 0, 96, 64),
        "half": Tensor(whole, 48 * 64, 48, 64),
        "column": Tensor(whole, 5, 96, strides=(64,)),
        "wide": Tensor(gone, 0, 2000, 2000, strides=(0, 0)),
    }
    path = save(tmp_path / "m.pt", value, {"0": numbers.tobytes(), "1": bytes(32)})
    with pytest.raises(ModelFileError, match=r"wide.*repeats"):
        ullage.write_compressed(path, tmp_path / "small", "linear:8")
    del value["wide"]
    value["none"] = Tensor(gone, 3, 0, 5)
    save(path, value, {"0": numbers.tobytes(), "1": bytes(32)})
    matrix = numbers.reshape(96, 64)
    expected = {"turned": matrix.T, "plain": matrix, "again": matrix, "half": matrix[48:], "column": matrix[:, 5]}
    for scheme, most in (("lossless", 0.0), ("dense:f32", 0.0), ("linear:8", 0.02), ("palettized:8,group=16", 0.05)):
        written = ullage.write_compressed(path, tmp_path / "small", scheme, force=True)
        assert [tensor.bytes for tensor in written.tensors if tensor.name == "again"] == [0]
        with ullage.load(tmp_path / "small") as store:
            for name, numbers_of in expected.items():
                assert np.abs(store[name] - numbers_of).max() <= most, (scheme, name)
            assert store["none"].shape == (0, 5)


def test_what_is_not_read_as_numbers_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"qint8.*scales"):
        ullage.write_compressed(DATA / "dtypes.pt", tmp_path / "small", "linear:8")
    turned = Tensor(Storage("0", 64), 0, 8, 8, marks={"neg": True})
    path = save(tmp_path / "m.pt", {"w": turned}, {"0": bytes(256)})
    with pytest.raises(ModelFileError, match=r"\(w\).*negative"):
        ullage.write_compressed(path, tmp_path / "small", "linear:8")
    save(path, {"w": Tensor(Storage("0", 64), 0, 8, 8)}, {"0": bytes(256)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", b"big")
    with pytest.raises(ModelFileError, match=r"\(w\).*big-endian"):
        ullage.write_compressed(path, tmp_path / "small", "linear:8")
    twice = [Tensor(Storage("0", 64), 0, 8, 8), Tensor(Storage("1", 64), 0, 8, 8)]
    save(tmp_path / "twice.pt", {"a.b": twice[0], "a": {"b": twice[1]}}, {"0": bytes(256), "1": bytes(256)})
    with pytest.raises(ModelFileError, match=r"\(a\.b\).*two"):
        ullage.write_compressed(tmp_path / "twice.pt", tmp_path / "small", "linear:8")
    assert not (tmp_path / "small").exists()
