"""Compressed files: what is written and read, the scratch space, hostile files, the command, a real model."""

import gc
import json
import os
import signal
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minilm import embeddings, inputs, least_cosine, other_sentences

import ullage
from ullage import BudgetExceeded, Ledger, WeightStore
from ullage.cli.app import app
from ullage.errors import (
    ArgumentError,
    InputError,
    ModelFileError,
    ModelNotFoundError,
    UllageError,
    UnknownTensorError,
    UnreadableError,
    WaitTimeoutError,
)
from ullage.store import WriteProgress

NAMES = {
    "<f4": "F32",
    "<f2": "F16",
    "<f8": "F64",
    "<i8": "I64",
    "<i4": "I32",
    "|u1": "U8",
    "|b1": "BOOL",
    "<u2": "BF16",
}
RANDOM = np.random.default_rng(7)


def save(path: Path, **tensors: npt.NDArray[Any]) -> Path:
    """Write a safetensors file; of `uint16` arrays as BF16."""
    header, data = {}, b""
    for name, array in tensors.items():
        bytes_ = array.tobytes()
        dtype = NAMES[array.dtype.str]
        header[name.replace("__", ".")] = {
            "dtype": dtype,
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + len(bytes_)],
        }
        data += bytes_
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def weights(*shape: int) -> npt.NDArray[np.float32]:
    return (RANDOM.standard_normal(shape) * 0.05).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    layers = {f"layer__{number}__weight": weights(64, 64) for number in range(6)}
    return save(tmp_path / "model.safetensors", **layers, bias=weights(64), steps=np.arange(3))


@pytest.fixture
def small(model: Path, tmp_path: Path) -> Path:
    return ullage.write_compressed(model, tmp_path / "small.safetensors", "linear:8").path


def run(*words: object) -> Result:
    environment = {"COLUMNS": "100", "NO_COLOR": "1", "ULLAGE_DATA": ""}
    return CliRunner(env=environment).invoke(app, list(map(str, words)), prog_name="ullage")


def header_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    found: dict[str, Any] = json.loads(content[8 : 8 + length])
    return found


def test_a_store_is_a_mapping_of_read_only_arrays(model: Path, small: Path) -> None:
    with ullage.load(small) as store, ullage.load(model) as dense:
        assert len(store) == 8
        assert set(store) == set(dense) == {*(f"layer.{number}.weight" for number in range(6)), "bias", "steps"}
        assert "bias" in store
        assert "nothing" not in store
        assert 5 not in store  # type: ignore[comparison-overlap]
        weight = store["layer.3.weight"]
        assert weight.dtype == np.float32
        assert (weight.shape, weight.flags.writeable) == ((64, 64), False)
        assert np.abs(weight - dense["layer.3.weight"]).max() < 0.002
        assert np.array_equal(store["bias"], dense["bias"])
        assert store["steps"].tolist() == [0, 1, 2]
        assert store.get("nothing") is None
        assert dict(store.items()).keys() == set(store)
        assert store["bias"].ctypes.data % 4 == 0
        assert {tensor.scheme for tensor in store.tensors} == {None, "linear:8"}
        assert "8 tensors" in repr(store)
        assert store == store  # noqa: PLR0124 - equality is identity, and decodes nothing
        assert store != dense
        assert {store: 1}[store] == 1


def test_views_and_decoded_arrays_share_memory_with_their_like(small: Path) -> None:
    with ullage.load(small) as store:
        assert np.shares_memory(store["bias"], store["bias"])
        assert np.shares_memory(store["layer.0.weight"], store["layer.0.weight"])
        stats = store.stats()
        assert (stats.views, stats.misses, stats.hits) == (2, 1, 1)
        assert stats.decoded_bytes == stats.scratch_bytes == 4 * 64 * 64


def test_arrays_outlive_their_store(small: Path) -> None:
    store = ullage.load(small)
    weight, bias = store["layer.0.weight"], store["bias"]
    before = weight.copy(), bias.copy()
    store.close()
    assert store.closed
    for name in ("bias", "layer.0.weight", "layer.1.weight"):
        with pytest.raises(ArgumentError, match="closed"):
            store[name]
    with pytest.raises(ArgumentError, match="closed"):
        store.prefetch(["bias"])
    del store
    gc.collect()
    assert np.array_equal(weight, before[0])
    assert np.array_equal(bias, before[1])


def test_an_unknown_name_is_a_key_error_that_helps(small: Path) -> None:
    with ullage.load(small) as store, pytest.raises(UnknownTensorError, match=r"did you mean layer\.") as caught:
        store["layer.7.weight"]
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, InputError)
    assert caught.value.name == "layer.7.weight"


@pytest.mark.parametrize(
    "scheme",
    [
        "dense:f16",
        "sparse:0.5",
        "palettized:4",
        "palettized:4,group=16",
        "palettized:6",
        "linear:8,affine",
        "linear:4,block=32",
        "linear:8,tensor",
    ],
)
def test_the_sizes_that_are_predicted_are_written(scheme: str, model: Path, tmp_path: Path) -> None:
    predicted = ullage.compress(model, scheme)
    written = ullage.write_compressed(model, tmp_path / "out", scheme, jobs=3)
    rows = [(row["name"], row["scheme"], row["bytes"], row["shape"]) for row in predicted.per_tensor]
    assert [(row.name, row.scheme, row.bytes, row.shape) for row in written.tensors] == rows
    assert written.tensor_bytes == predicted.bytes
    assert written.file_bytes == written.header_bytes + written.tensor_bytes == (tmp_path / "out").stat().st_size
    assert written.dense_bytes == predicted.dense_bytes


def test_any_reader_of_the_format_opens_it(small: Path) -> None:
    header = header_of(small)
    assert header["__metadata__"]["ullage.format"] == "1"
    described = json.loads(header["__metadata__"]["ullage.tensors"])
    assert described[0] == {
        "name": "layer.0.weight",
        "scheme": "linear:8",
        "dtype": "F32",
        "shape": [64, 64],
        "pieces": ["layer.0.weight.integers", "layer.0.weight.scales"],
    }
    assert header["layer.0.weight.integers"]["shape"] == [64 * 64]
    assert header["bias"]["dtype"] == "F32"
    names = {tensor.name for tensor in ullage.open_model(small).tensors}
    assert names == set(header) - {"__metadata__"}


@given(
    shape=st.lists(st.integers(0, 20), min_size=0, max_size=3),
    scheme=st.sampled_from(["linear:8", "palettized:3", "sparse:0.9", "dense:f16", "linear:4,block=7"]),
    dtype=st.sampled_from(["<f4", "<f2"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_any_tensor_comes_back_near_what_it_was(shape: list[int], scheme: str, dtype: str, tmp_path: Path) -> None:
    before = weights(*shape).astype(dtype)
    source = save(tmp_path / "any.safetensors", w=np.asarray(before))
    ullage.write_compressed(source, tmp_path / "any.small", scheme, force=True)
    with ullage.load(tmp_path / "any.small") as store:
        after = store["w"]
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        if store.tensors[0].scheme is None:
            assert np.array_equal(after, before)
        elif before.size:
            assert np.abs(after.astype("f8") - before.astype("f8")).max() <= np.abs(before).max()


def test_other_formats_of_numbers(tmp_path: Path) -> None:
    patterns = np.array([[0x3F80, 0xC000], [0x7F80, 0x0001]], dtype="<u2")  # 1, -2, infinity, a subnormal
    halves = np.array([[1.0, -2.0], [65504.0, 6e-8]], dtype="<f2")
    source = save(tmp_path / "m.safetensors", b=patterns, h=halves, i=np.arange(4, dtype="<i4"), t=np.array([True]))
    with ullage.load(source) as store:
        assert store["b"].dtype == np.float32
        assert store["b"].tolist() == [[1.0, -2.0], [float("inf"), float(np.float32(2.0**-133))]]
        assert np.array_equal(store.array("b", dtype="bf16"), patterns)
        assert np.array_equal(store.array("h", dtype="f32"), halves.astype(np.float32))
        assert np.array_equal(store["h"], halves)
        assert store["i"].dtype == np.int32
        assert store["t"].tolist() == [True]
        with pytest.raises(ArgumentError, match="I32"):
            store.array("i", dtype="f32")
        with pytest.raises(ArgumentError, match="none of f32"):
            store.array("h", dtype="f12")  # type: ignore[arg-type]


def test_the_scratch_space_is_bounded_and_says_who_holds_it(small: Path) -> None:
    with ullage.load(small, scratch=2 * 4 * 64 * 64) as store:
        held = [store["layer.0.weight"], store["layer.1.weight"]]
        with pytest.raises(BudgetExceeded, match=r"layer\.0\.weight") as caught:
            store["layer.2.weight"]
        assert (caught.value.requested, caught.value.available, caught.value.limit) == (16384, 0, 32768)
        assert [holder.label for holder in caught.value.holders] == ["layer.0.weight", "layer.1.weight"]
        with pytest.raises(WaitTimeoutError) as waited:
            store.array("layer.2.weight", wait=0.05)
        assert waited.value.waited_s >= 0.05
        held.pop()
        gc.collect()
        assert store["layer.2.weight"].shape == (64, 64)
        assert store.stats().scratch_peak == 32768
    with ullage.load(small, scratch=0) as store, pytest.raises(BudgetExceeded):
        store.array("layer.0.weight", wait=3600)


def test_whoever_waits_gets_what_is_let_go(small: Path) -> None:
    with ullage.load(small, scratch=16384, wait=60) as store:
        held = [store["layer.0.weight"]]
        threading.Timer(0.05, held.clear).start()
        assert store["layer.1.weight"].shape == (64, 64)


def test_the_ledger_knows_file_and_scratch(small: Path) -> None:
    ledger = Ledger("1MiB")
    account = ledger.account("store")
    store = ullage.load(small, account=account)
    size = small.stat().st_size
    assert account.used == size
    weight = store["layer.0.weight"]
    assert account.used == size + 16384
    store.clear()
    assert account.used == size + 16384
    del weight
    gc.collect()
    store.clear()
    assert account.used == size
    store.close()
    del store
    gc.collect()
    assert account.used == 0
    with pytest.raises(BudgetExceeded):
        ullage.load(small, account=ledger.account("tight", limit=size - 1))


def test_threads_decode_a_tensor_once(small: Path) -> None:
    with ullage.load(small) as store, ThreadPoolExecutor(8) as threads:
        barrier = threading.Barrier(8)

        def ask(_: int) -> list[float]:
            barrier.wait()
            return [float(store[name].sum()) for name in sorted(store)]

        first, *others = threads.map(ask, range(8))
        assert all(other == first for other in others)
        stats = store.stats()
        assert (stats.misses, stats.hits + stats.shared) == (6, 42)


def test_prefetched_tensors_are_there(small: Path) -> None:
    with ullage.load(small, threads=2) as store:
        store.prefetch(["layer.0.weight", "layer.1.weight", "bias"])
        until = time.monotonic() + 60
        while store.stats().misses < 2 or store.stats().held_bytes:
            assert time.monotonic() < until
            time.sleep(0.001)
        before = store.stats()
        assert store["layer.0.weight"].shape == store["layer.1.weight"].shape
        assert (store.stats().misses, store.stats().hits) == (2, before.hits + 2)
        with pytest.raises(UnknownTensorError):
            store.prefetch(["nothing"])


def test_what_does_not_fit_is_not_prefetched(small: Path) -> None:
    with ullage.load(small, scratch=0) as store:
        store.prefetch(list(store))
    assert store.stats().misses == 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"threads": 0}, "threads"), ({"wait": -1.0}, "wait"), ({"wait": float("nan")}, "wait")],
)
def test_arguments_out_of_their_domain(arguments: dict[str, Any], name: str, small: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        ullage.load(small, **arguments)["layer.0.weight"]
    assert caught.value.name == name


def test_nothing_is_overwritten_and_nothing_half_done_remains(model: Path, small: Path, tmp_path: Path) -> None:
    before, listing = model.read_bytes(), sorted(tmp_path.iterdir())
    for out, force in ((model, True), (small, False), (tmp_path, True), (tmp_path / "no" / "out", True)):
        with pytest.raises(UllageError):
            ullage.write_compressed(model, out, "linear:4", force=force)
    with pytest.raises(ArgumentError, match="compressed already"):
        ullage.write_compressed(small, tmp_path / "again", "linear:4")
    with pytest.raises(UnreadableError):
        ullage.write_compressed(model, tmp_path / "no" / "out", "linear:4")
    with pytest.raises(ArgumentError, match="jobs"):
        ullage.write_compressed(model, tmp_path / "out", "linear:4", jobs=0)
    assert sorted(tmp_path.iterdir()) == listing
    assert model.read_bytes() == before
    assert ullage.write_compressed(model, small, "linear:4,block=32", force=True).path == small


def test_a_listener_hears_every_tensor_and_may_end_the_work(model: Path, tmp_path: Path) -> None:
    heard: list[WriteProgress] = []
    ullage.write_compressed(model, tmp_path / "out", "linear:8", progress=heard.append)
    assert heard[-1].tensors == heard[-1].of_tensors == 8
    assert heard[-1].bytes == heard[-1].of_bytes == ullage.open_model(model).tensor_bytes

    def fail(_: WriteProgress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ullage.write_compressed(model, tmp_path / "other", "linear:8", progress=fail)
    left = {path.name for path in tmp_path.iterdir()}
    assert {name for name in left if name.startswith(".")} == set()


def test_ctrl_c_leaves_no_half_file(tmp_path: Path) -> None:
    layers = {f"layer__{number}__weight": weights(512, 512) for number in range(40)}
    source = save(tmp_path / "model.safetensors", **layers)
    listing = sorted(tmp_path.iterdir())

    def interrupt(found: WriteProgress) -> None:
        if found.tensors == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ullage.write_compressed(source, tmp_path / "out", "palettized:4,group=16", progress=interrupt)
    assert sorted(tmp_path.iterdir()) == listing


def test_a_tensor_that_cannot_be_encoded_is_named(tmp_path: Path) -> None:
    bad = weights(4, 4)
    bad[2, 1] = np.inf
    source = save(tmp_path / "m.safetensors", good=weights(8, 8), bad=bad)
    with pytest.raises(ModelFileError, match="element 9") as caught:
        ullage.write_compressed(source, tmp_path / "out", "linear:4")
    assert (caught.value.field, Path(caught.value.path)) == ("bad", source)
    assert not (tmp_path / "out").exists()
    ullage.write_compressed(source, tmp_path / "out", "linear:4", overrides={"bad": "dense:f32"})
    with ullage.load(tmp_path / "out") as store:
        assert np.array_equal(store["bad"], bad)


def test_shards_become_one_file(tmp_path: Path) -> None:
    one, two = weights(16, 16), weights(16, 16)
    save(tmp_path / "model-00001-of-00002.safetensors", one=one)
    save(tmp_path / "model-00002-of-00002.safetensors", two=two)
    index = {"weight_map": {"one": "model-00001-of-00002.safetensors", "two": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    ullage.write_compressed(tmp_path, tmp_path / "small", "linear:8")
    with ullage.load(tmp_path / "small") as store:
        assert np.abs(store["two"] - two).max() < 0.002
        assert np.abs(store["one"] - one).max() < 0.002


def test_a_gguf_file_is_a_source(tmp_path: Path) -> None:
    from gguf import GGUFWriter  # noqa: PLC0415 - this test alone writes it

    before = weights(8, 64)
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_tensor("blk.0.up.weight", before)
    writer.add_tensor("norm.weight", before[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ullage.write_compressed(path, tmp_path / "small", "linear:8")
    with ullage.load(tmp_path / "small") as store:
        assert np.abs(store["blk.0.up.weight"] - before).max() < 0.002
        assert np.array_equal(store["norm.weight"], before[0])


def test_hostile_files_are_one_typed_error(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        ullage.load(tmp_path / "nowhere")
    with pytest.raises(UllageError):
        ullage.load(tmp_path)
    content = small.read_bytes()
    path = tmp_path / "hostile"
    for end in [*range(64), *range(64, len(content), 997)]:
        path.write_bytes(content[:end])
        with pytest.raises(ModelFileError):
            ullage.load(path)
    text = json.dumps(header_of(small))
    for old, new, said in (
        ('"ullage.format": "1"', '"ullage.format": "9"', "version"),
        ("linear:8", "linear:9", "linear"),
        ("layer.0.weight.scales\\", "layer.9.weight.scales\\", "is missing"),
        ("[64,64]", "[64,65]", "integers"),
    ):
        assert old in text, text[:500]
        changed = text.replace(old, new, 1).encode()
        path.write_bytes(struct.pack("<Q", len(changed)) + changed + content[8 + struct.unpack("<Q", content[:8])[0] :])
        with pytest.raises(ModelFileError, match=said) as caught:
            ullage.load(path)
        assert Path(caught.value.path) == path


def test_a_file_that_is_cut_while_it_is_open_is_an_error(small: Path) -> None:
    with ullage.load(small) as store:
        os.truncate(small, 500)
        for name in store:
            with pytest.raises(ModelFileError, match="cut to 500 bytes"):
                store[name]


def test_the_command_writes(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    done = run("compress", model, "--scheme", "palettized:4,group=16", "--out", out, "--jobs", 2)
    assert done.exit_code == 0, done.output
    assert "The tensors that are farthest off" in done.stdout
    said = "".join(done.stdout.split())  # where lines break depends on the length of the folder's name
    assert f"writtento{out}:{out.stat().st_size / 1000:.2f}kB" in said
    done = run("compress", model, "--scheme", "linear:8", "--out", out, "--json")
    assert done.exit_code == 2
    assert "lies there already" in done.output
    done = run("compress", model, "--scheme", "linear:8", "--out", out, "--json", "--force")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["out"]["path"] == str(out)
    assert found["out"]["file_bytes"] == out.stat().st_size
    assert found["out"]["tensor_bytes"] == found["compressed_bytes"]
    assert min(row["snr_db"] for row in found["out"]["tensors"] if row["snr_db"] is not None) > 30
    assert isinstance(ullage.load(out), WeightStore)
    for words in (("--container", "coreml:ios18"), ("--network", "net")):
        done = run("compress", model, "--scheme", "linear:8", "--out", tmp_path / "x", *words)
        assert done.exit_code == 2
        assert words[0] in done.stderr


@pytest.mark.parametrize("scheme", ["lossless", "lossless:fixed", "lossless:lz4"])
def test_lossless_files_give_back_every_bit(scheme: str, tmp_path: Path) -> None:
    before = weights(200, 300)
    before[0, :3] = [np.inf, -0.0, 1e-42]
    before[1, 0] = np.uint32(0x7FC01234).view(np.float32)
    patterns = (before.view("<u4") >> 16).astype("<u2")
    source = save(tmp_path / "m.safetensors", f=before, b=patterns, h=before.astype("<f2"), v=before[0])
    written = ullage.write_compressed(source, tmp_path / "out", scheme, jobs=2)
    assert written.file_bytes == (tmp_path / "out").stat().st_size
    with ullage.load(tmp_path / "out", threads=2) as store:
        assert np.array_equal(store["f"].view("u4"), before.view("u4"))
        assert np.array_equal(store["v"].view("u4"), before[0].view("u4"))
        assert np.array_equal(store["h"].view("u2"), before.astype("<f2").view("u2"))
        assert np.array_equal(store.array("b", dtype="bf16"), patterns)
        assert np.array_equal(store["b"].view("u4"), patterns.astype("<u4") << 16)


def test_products_are_those_of_the_decoded_matrix(model: Path, tmp_path: Path) -> None:
    vectors = weights(11, 64)
    for scheme in ("palettized:4,group=16", "linear:8", "dense:f16", "sparse:0.5", "lossless"):
        ullage.write_compressed(model, tmp_path / "out", scheme, force=True)
        with ullage.load(tmp_path / "out") as store:
            matrix = store.array("layer.0.weight", dtype="f32")
            assert np.allclose(store.multiply("layer.0.weight", vectors), vectors @ matrix.T, atol=1e-5)
            assert np.allclose(store.multiply("layer.0.weight", vectors[0]), matrix @ vectors[0], atol=1e-5)
            assert store.multiply("layer.0.weight", vectors[:0]).shape == (0, 64)
            for wrong in (vectors[:, :63], vectors[0, :5], vectors[None], 1.0):
                with pytest.raises(ArgumentError, match="x: "):
                    store.multiply("layer.0.weight", wrong)


@pytest.mark.parametrize(
    "scheme",
    ["linear:8", "linear:4", "linear:8,affine,block=32", "linear:4,block=32", "gguf:q4_0", "gguf:q8_0"],
)
def test_products_of_rounded_vectors_are_as_near_as_rounding_allows(model: Path, tmp_path: Path, scheme: str) -> None:
    vectors = weights(40, 64)
    ullage.write_compressed(model, tmp_path / "out", scheme)
    with ullage.load(tmp_path / "out", threads=2) as store:
        matrix = store.array("layer.0.weight", dtype="f32").astype(np.float64)
        found = store.multiply("layer.0.weight", vectors, activations="int8")
        whole = "linear" in scheme and "block" not in scheme
        blocks = np.abs(vectors).reshape(len(vectors), -1, 64 if whole else 32)
        steps = np.repeat(blocks.max(axis=2) / 127, blocks.shape[2], axis=1)
        bound = steps @ np.abs(matrix.T) * 0.501
        assert np.all(np.abs(found - vectors @ matrix.T) <= bound + 1e-5)
        assert not np.array_equal(found, store.multiply("layer.0.weight", vectors)), "something is rounded"
        # Neither the batch nor its place in it changes a product.
        assert np.array_equal(store.multiply("layer.0.weight", vectors[33], activations="int8"), found[33])
        assert store.multiply("layer.0.weight", vectors[:0], activations="int8").shape == (0, 64)
        for wrong in (vectors[:, :63], vectors[0, :5], vectors[None], 1.0):
            with pytest.raises(ArgumentError, match="x: "):
                store.multiply("layer.0.weight", wrong, activations="int8")


def test_vectors_that_cannot_be_rounded_are_refused(model: Path, tmp_path: Path) -> None:
    ullage.write_compressed(model, tmp_path / "out", "linear:8")
    vectors = weights(22, 64)
    with ullage.load(tmp_path / "out") as store:
        for value, shown in ((np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")):
            vectors[20, 5] = value
            with pytest.raises(ArgumentError, match=f"x: number 5 of vector 20 is {shown}, not finite"):
                store.multiply("layer.0.weight", vectors, activations="int8")
        with pytest.raises(ArgumentError, match=r"activations: .*int4.* is not int8"):
            store.multiply("layer.0.weight", vectors, activations="int4")  # type: ignore[arg-type]
    for scheme in ("palettized:4", "sparse:0.5", "lossless", "dense:f16"):
        ullage.write_compressed(model, tmp_path / "out", scheme, force=True)
        with ullage.load(tmp_path / "out") as store:
            for x in (weights(64), weights(3, 64), weights(3, 64)[:0]):
                with pytest.raises(ArgumentError, match=r"activations: .* is not multiplied with rounded vectors"):
                    store.multiply("layer.0.weight", x, activations="int8")
    with ullage.load(tmp_path / "out") as store:
        store.close()
        with pytest.raises(ArgumentError, match="closed"):
            store.multiply("layer.0.weight", weights(64), activations="int8")


@pytest.fixture(scope="session")
def truth(minilm_dir: Path) -> npt.NDArray[np.float32]:
    return embeddings(minilm_dir)


@pytest.mark.parametrize(
    ("scheme", "least"),
    # Four bits leave a signal 20 dB above its error, however well the numbers of a table are chosen.
    [("linear:8", 0.999), ("palettized:8", 0.999), ("palettized:4,group=16", 0.93), ("linear:4,block=32", 0.93)],
)
def test_a_real_model_still_means_what_it_meant(
    scheme: str, least: float, minilm_dir: Path, truth: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    written = ullage.write_compressed(minilm_dir, tmp_path / "small.safetensors", scheme, jobs=2)
    assert written.tensor_bytes == ullage.compress(minilm_dir, scheme).bytes
    with ullage.load(written.path, scratch="64MiB") as store:
        assert least_cosine(truth, embeddings(minilm_dir, store)) > least
        assert store.stats().scratch_peak <= 64 << 20


def test_palettes_made_for_what_layers_are_given_keep_what_a_real_model_means(
    minilm_dir: Path, truth: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    documents = Path(__file__).parents[1] / "docs"
    rows = inputs(minilm_dir, other_sentences(documents)[:400])
    given = save(tmp_path / "inputs.safetensors", **{name.replace(".", "__"): array for name, array in rows.items()})
    written = ullage.write_compressed(minilm_dir, tmp_path / "out", "palettized:4,group=4", inputs=given, jobs=2)
    assert written.tensor_bytes == ullage.compress(minilm_dir, "palettized:4,group=4").bytes
    with ullage.load(written.path, scratch="64MiB") as store:
        found = embeddings(minilm_dir, store)
    assert least_cosine(truth, found) > 0.97
    assert (truth.astype(np.float64) * found).sum(axis=1).mean() > 0.98


def test_inputs_are_those_of_the_models_weights(model: Path, tmp_path: Path) -> None:
    def write(**tensors: npt.NDArray[Any]) -> None:
        given = save(tmp_path / "inputs.safetensors", **tensors)
        ullage.write_compressed(model, tmp_path / "out", "palettized:4", inputs=given, force=True)

    rows = weights(50, 64)
    write(layer__0__weight=rows, layer__1__weight=rows.astype("<f2"))
    with ullage.load(tmp_path / "out") as store, ullage.load(model) as dense:
        array = dense["layer.0.weight"]
        expected = ullage.encode(array, "palettized:4", inputs=rows).decode()
        assert np.array_equal(store["layer.0.weight"], expected)
        assert np.array_equal(store["layer.2.weight"], ullage.encode(dense["layer.2.weight"], "palettized:4").decode())
        plain = ullage.encode(array, "palettized:4").decode()
        assert np.linalg.norm(rows @ (expected - array).T) < 0.8 * np.linalg.norm(rows @ (plain - array).T)
    broken = rows.copy()
    broken[3, 4] = np.nan
    for name, wrong, said in (
        ("layer__9__weight", rows, "no such weight"),
        ("layer__0__weight", rows[:, :63], "no rows of inputs"),
        ("layer__0__weight", rows[0], "no rows of inputs"),
        ("bias", rows, "no rows of inputs"),
        ("layer__0__weight", rows.astype("<i8"), "floating-point"),
        ("layer__0__weight", broken, "number 196"),
        ("layer__0__weight", rows[:0], "no rows"),
    ):
        with pytest.raises(ModelFileError, match=said) as caught:
            write(**{name: wrong})
        assert Path(caught.value.path) == tmp_path / "inputs.safetensors"
    with pytest.raises(ArgumentError, match="inputs"):
        ullage.encode(weights(8, 64), "linear:8", inputs=rows)
    for wrong in (rows[0], rows[:, :5], np.zeros((4, 64), int)):
        with pytest.raises(ArgumentError, match="inputs"):
            ullage.encode(weights(8, 64), "palettized:4", inputs=wrong)
    assert run("compress", model, "--scheme", "palettized:4", "--inputs", "x").exit_code == 2


@pytest.mark.parametrize("scheme", ["lossless", "lossless:fixed"])
def test_a_real_model_comes_back_to_the_bit(
    scheme: str, minilm_dir: Path, truth: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    written = ullage.write_compressed(minilm_dir, tmp_path / "small.safetensors", scheme, jobs=2)
    assert written.file_bytes < 0.9 * (minilm_dir / "model.safetensors").stat().st_size
    with ullage.load(written.path, scratch="64MiB") as store, ullage.load(minilm_dir / "model.safetensors") as dense:
        assert set(store) == set(dense)
        for name in dense:
            assert np.array_equal(store[name], dense[name]), name
            assert store[name].dtype == dense[name].dtype
        assert np.array_equal(truth, embeddings(minilm_dir, store))
