"""Compression schemes in Python: sized, written, read back, and checked at every step."""
# ruff: noqa: D102 - the schemes of tests need no words

import json
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins_world import Install, install_example, installer
from safetensors.numpy import load_file, save_file

import ullage
from ullage.cli.app import app
from ullage.errors import ArgumentError, BudgetExceeded, ModelFileError, PluginError, SchemeError, UllageError

DRAWN = np.random.default_rng(5)
TENSORS: dict[str, Any] = {
    "layer.weight": DRAWN.standard_normal((24, 40)).astype(np.float32),
    "half.weight": DRAWN.standard_normal((16, 32)).astype(np.float16),
    "wide.weight": DRAWN.standard_normal((8, 8)),
    "conv.weight": DRAWN.standard_normal((6, 5, 3)).astype(np.float32),
    "bias": DRAWN.standard_normal(24).astype(np.float32),
    "steps": np.arange(7),
}


class Bytes8:
    """Eight bits a number between the least and the largest, as one piece."""

    name = "bytes8"

    def compressed_bytes(self, shape: tuple[int, ...], _dtype: Any) -> int | None:
        return math.prod(shape) + 8 if len(shape) > 1 else None

    def encode(self, array: Any) -> Any:
        low, high = float(array.min()), float(array.max())
        step = (high - low) / 255 or 1.0
        head = np.array([low, step], np.float32).tobytes()
        return head + np.rint((array.astype(np.float64) - low) / step).astype(np.uint8).tobytes()

    def decode(self, parts: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        low, step = np.frombuffer(parts[:8], np.float32)
        return (np.frombuffer(parts[8:], np.uint8) * step + low).astype(dtype).reshape(shape)


def but(**methods: Any) -> Bytes8:
    """Give a scheme of which some methods are others."""
    scheme = Bytes8()
    for name, method in methods.items():
        setattr(scheme, name, method)
    return scheme


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    return path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    return installer(tmp_path, monkeypatch)


def test_sizes_are_what_the_scheme_says(model: Path) -> None:
    found = ullage.compress(model, Bytes8(), overrides={"half.*": "linear:8", "conv.*": ullage.Dense("f32")})
    rows = {row["name"]: (row["scheme"], row["bytes"]) for row in found.per_tensor}
    plain = {row["name"]: (row["scheme"], row["bytes"]) for row in ullage.compress(model, "linear:8").per_tensor}
    assert rows == {
        "layer.weight": ("bytes8", 24 * 40 + 8),
        "half.weight": plain["half.weight"],
        "wide.weight": ("bytes8", 72),
        "conv.weight": (None, 360),
        "bias": (None, 96),
        "steps": (None, 56),
    }
    assert rows["half.weight"][0] is not None
    assert (found.scheme, found.container) == ("bytes8", "raw")
    assert found.bytes == sum(size for _, size in rows.values())
    assert found.dense_bytes == sum(array.nbytes for array in TENSORS.values())
    assert "bytes8" in repr(found)


def test_what_it_writes_is_read_back_and_measured(model: Path, tmp_path: Path) -> None:
    sizes = ullage.compress(model, Bytes8(), overrides={"half.*": "linear:8"})
    seen: list[Any] = []
    out = tmp_path / "small.safetensors"
    written = ullage.write_compressed(model, out, Bytes8(), overrides={"half.*": "linear:8"}, progress=seen.append)
    assert written.tensor_bytes == sizes.bytes
    assert written.file_bytes == out.stat().st_size == written.header_bytes + written.tensor_bytes
    assert [(row.name, row.scheme, row.bytes) for row in written.tensors] == [
        (row["name"], row["scheme"], row["bytes"]) for row in sizes.per_tensor
    ]
    assert seen[-1].tensors == seen[-1].of_tensors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "small.safetensors"]
    assert set(load_file(out)) >= {"bias", "layer.weight.bytes8", "steps"}  # any reader opens it
    with ullage.load(out, schemes=[Bytes8()]) as store:
        assert set(store) == set(TENSORS)
        for row in written.tensors:
            array, before = store[row.name], TENSORS[row.name]
            assert (array.shape, array.dtype) == (before.shape, before.dtype)
            assert not array.flags.writeable
            off = np.abs(array.astype(np.float64) - before).max()
            if row.scheme is None:
                assert np.array_equal(array, before)
            elif row.scheme == "bytes8":
                assert row.max_error == pytest.approx(off, rel=1e-4)
                assert row.snr_db is not None
                assert row.snr_db > 30
        assert store["layer.weight"] is store["layer.weight"]
        product = store.multiply("layer.weight", np.ones(40, np.float32))
        assert product == pytest.approx(store["layer.weight"].sum(axis=1), rel=1e-5)
        halves, brain = store.array("layer.weight", dtype="f16"), store.array("layer.weight", dtype="bf16")
        assert [halves.dtype, brain.dtype] == [np.dtype("f2"), np.dtype("u2")]
        store.prefetch(list(TENSORS))
    with pytest.raises(ArgumentError, match="closed"):
        store["layer.weight"]


def test_the_account_is_charged_for_what_it_decodes(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.safetensors"
    size = ullage.write_compressed(model, out, Bytes8()).file_bytes
    ledger = ullage.Ledger(limit=size + 4000)
    account = ledger.account("weights")
    with ullage.load(out, schemes=[Bytes8()], account=account, scratch=1000) as store:
        before = account.used
        array = store["layer.weight"]
        assert account.used == before + array.nbytes
        with pytest.raises(BudgetExceeded):
            store["conv.weight"]
        part = array[1:]
        del array
        assert account.used > before  # a part keeps all of it in memory
        del part
        assert account.used == before


def test_a_file_whose_scheme_is_not_installed_gives_the_rest(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.safetensors"
    ullage.write_compressed(model, out, Bytes8())
    with ullage.load(out) as store:
        assert np.array_equal(store["bias"], TENSORS["bias"])
        with pytest.raises(PluginError, match="no scheme 'bytes8' is installed") as caught:
            store["layer.weight"]
    assert (caught.value.group, caught.value.name) == ("ullage.schemes", "bytes8")


@pytest.mark.parametrize(
    ("scheme", "method", "reason"),
    [
        (but(compressed_bytes=lambda *_: "many"), "compressed_bytes", "gave 'many', which is no number of bytes"),
        (but(compressed_bytes=lambda *_: -1), "compressed_bytes", "gave -1"),
        (but(compressed_bytes=lambda *_: True), "compressed_bytes", "gave True"),
        (but(compressed_bytes=lambda *_: 1 // 0), "compressed_bytes", "raised ZeroDivisionError"),
        (but(compressed_bytes=lambda *_: 9), "encode", "bytes, and compressed_bytes said 9"),
        (but(encode=lambda _: 3), "encode", "gave int, which has no contiguous bytes"),
        (but(encode=lambda _: {3: b"x"}), "encode", "calls a piece 3"),
        (but(encode=lambda _: {"../x": b"x"}), "encode", "calls a piece '../x'"),
        (but(encode=lambda array: array.fill(0)), "encode", "raised ValueError"),
        (but(decode=lambda *_: None), "decode", "gave NoneType, which is no NumPy array"),
        (
            but(decode=lambda _, shape, dtype: np.zeros(shape[:-1], dtype)),
            "decode",
            "of shape [8], not float64 of [8, 8]",
        ),
        (but(decode=lambda _, shape, __: np.zeros(shape, np.int8)), "decode", "gave int8 of shape"),
        (but(decode=lambda _, shape, dtype: np.full(shape, np.nan, dtype)), "decode", "is not finite"),
        (but(decode=lambda *_: 1 // 0), "decode", "raised ZeroDivisionError"),
    ],
)
def test_what_it_does_wrong_is_said_and_leaves_nothing(
    *, model: Path, tmp_path: Path, scheme: Any, method: str, reason: str
) -> None:
    out = tmp_path / "small.safetensors"
    with pytest.raises(SchemeError) as caught:
        ullage.write_compressed(model, out, scheme)
    assert (caught.value.scheme, caught.value.method) == ("bytes8", method)
    assert reason in caught.value.reason
    assert caught.value.tensor in TENSORS
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda model: ullage.compress(model, SimpleNamespace()), "no method compressed_bytes"),
        (lambda model: ullage.compress(model, but(name="lossless")), "'lossless', which is a built-in name"),
        (lambda model: ullage.compress(model, but(name="a b")), "is no name"),
        (lambda model: ullage.compress(model, "bytes9"), "bytes9"),
        (lambda model: ullage.compress(model, Bytes8(), container="coreml:ios18"), "Core ML"),
        (lambda model: ullage.compress(model, Bytes8(), overrides={"nobody*": "linear:8"}), "nobody"),
        (lambda _: ullage.compress([("a", "Linear", [4, 4])], Bytes8()), "not for layers alone"),
        (lambda model: ullage.write_compressed(model, model, Bytes8(), force=True), "of the model"),
    ],
)
def test_what_cannot_be_is_refused(*, model: Path, call: Callable[[Path], Any], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        call(model)


def test_a_file_in_the_way_stays_unless_forced(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "there.safetensors"
    out.write_bytes(b"here")
    with pytest.raises(ArgumentError, match="lies there already"):
        ullage.write_compressed(model, out, Bytes8())
    assert out.read_bytes() == b"here"
    ullage.write_compressed(model, out, Bytes8(), force=True)
    assert set(ullage.load(out)) == set(TENSORS)


def test_a_number_that_is_not_finite_is_the_models_fault(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"layer.weight": np.full((16, 16), np.inf, np.float32)}, path)
    with pytest.raises(ModelFileError, match="not finite") as caught:
        ullage.write_compressed(path, tmp_path / "small.safetensors", Bytes8())
    assert caught.value.field == "layer.weight"
    assert [one.name for one in tmp_path.iterdir()] == ["model.safetensors"]


def test_names_that_collide_with_pieces_are_kept_apart(tmp_path: Path) -> None:
    path, out = tmp_path / "model.safetensors", tmp_path / "small.safetensors"
    weight = DRAWN.standard_normal((9, 9)).astype(np.float32)
    save_file({"w": weight, "w.bytes8": np.arange(3), "w.bytes8.0": np.arange(4)}, path)
    ullage.write_compressed(path, out, Bytes8())
    with ullage.load(out, schemes=[Bytes8()]) as store:
        assert set(store) == {"w", "w.bytes8", "w.bytes8.0"}
        assert np.array_equal(store["w.bytes8"], np.arange(3))
        assert np.abs(store["w"] - weight).max() < 0.05


def test_bf16_is_given_as_32_bits(tmp_path: Path) -> None:
    path, out = tmp_path / "model.safetensors", tmp_path / "small.safetensors"
    upper = DRAWN.standard_normal((8, 8)).astype(np.float32).view(np.uint32) >> 16
    values = upper.astype(np.uint16)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [8, 8], "data_offsets": [0, 128]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())
    given_dtypes: list[Any] = []

    def size(shape: tuple[int, ...], dtype: Any) -> int:
        given_dtypes.append(dtype)
        return math.prod(shape) + 8

    scheme = but(compressed_bytes=size)
    ullage.write_compressed(path, out, scheme)
    with ullage.load(out, schemes=[scheme]) as store:
        assert store["w"].dtype == np.float32
        assert store.tensors[0].dtype == "BF16"
        assert np.abs(store["w"] - (upper << 16).view(np.float32)).max() < 0.05
    assert set(given_dtypes) == {np.dtype("f4")}


def _small(folder: Path) -> bytes:
    path, out = folder / "model.safetensors", folder / "small.safetensors"
    save_file({"w": np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 8), "b": np.arange(3)}, path)
    ullage.write_compressed(path, out, Bytes8())
    return out.read_bytes()


def _read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with ullage.load(path, schemes=[Bytes8()]) as store:
        for name in store:
            assert store[name].shape == store[name].shape


def test_a_file_cut_short_anywhere_is_an_error_of_ours(tmp_path: Path) -> None:
    whole = _small(tmp_path)
    for length in range(len(whole)):
        with pytest.raises(UllageError):
            _read(tmp_path / "cut.safetensors", whole[:length])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_flipped_bits_give_a_value_or_an_error_of_ours(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    content = bytearray(_small(folder))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(UllageError):
        _read(folder / "flipped.safetensors", bytes(content))


@pytest.mark.parametrize(
    "row",
    [
        3,
        {},
        {"name": 3},
        {"dtype": "I8"},
        {"shape": [-1, 3]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [True]},
        {"shape": [2] * 40},
        {"shape": [6, 9]},
        {"pieces": []},
        {"pieces": [["", "nobody"]]},
        {"pieces": [["", "w.bytes8"], ["x", "w.bytes8"]]},
        {"pieces": [["", "b"]]},
        {"tied": [3]},
        {"tied": ["b"]},
        {"name": "b"},
        {"more": 1},
    ],
)
def test_a_list_that_contradicts_the_file_is_named(*, tmp_path: Path, row: Any) -> None:
    whole = _small(tmp_path)
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    rows = json.loads(header["__metadata__"]["ullage.plugins"])
    rows = [rows[0] | row if row else row] if isinstance(row, dict) else row
    header["__metadata__"]["ullage.plugins"] = json.dumps(rows)
    text = json.dumps(header).encode()
    with pytest.raises(ModelFileError):
        _read(tmp_path / "other.safetensors", len(text).to_bytes(8, "little") + text + whole[8 + length :])


def test_an_installed_scheme_goes_through_every_door(
    *, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    install_example(home, monkeypatch)
    out = tmp_path / "small.safetensors"
    words = ["compress", str(model), "--scheme", "rows8", "--layer", "half.*=linear:8", "--out", str(out), "--json"]
    answer = json.loads(CliRunner().invoke(app, words).stdout)
    schemes = {row["name"]: row["scheme"] for row in answer["per_tensor"]}
    assert schemes["layer.weight"] == "rows8"
    assert schemes["bias"] is None
    assert answer["scheme"] == "rows8"
    assert answer["out"]["tensor_bytes"] == answer["compressed_bytes"]
    table = CliRunner().invoke(app, ["compress", str(model), "--scheme", "rows8"]).output
    assert "rows8 in raw" in table
    with ullage.load(out) as store:
        assert np.abs(store["layer.weight"] - TENSORS["layer.weight"]).max() < 0.02
    # And in the pool, a model that has to make room waits in that file.
    weights = {name: store_array.copy() for name, store_array in TENSORS.items()}
    pool = ullage.Pool(ullage.Ledger(limit=38_000))
    tier = partial(ullage.load, out, scratch=8000)
    pool.register("small", load=lambda: weights, footprint=20_000, tier=tier, tier_bytes=16_000)
    pool.register("large", load=dict, footprint=20_000)
    for name in ("small", "large", "small"):
        with pool.lease_sync(name, timeout=20) as lent:
            if name == "small":
                assert np.abs(lent["layer.weight"] - TENSORS["layer.weight"]).max() < 0.02
    assert {"compress", "promote"} <= {row["event"] for row in pool.events()}
    pool.close()


def test_an_installed_scheme_that_calls_itself_otherwise_is_refused(*, model: Path, install: Install) -> None:
    install(
        "class Other:\n    name = 'other'\n    compressed_bytes = encode = decode = lambda *_: None\n",
        {"ullage.schemes": {"mine": "MODULE:Other"}},
    )
    with pytest.raises(PluginError, match="calls itself 'other', and its entry point 'mine'"):
        ullage.compress(model, "mine")
