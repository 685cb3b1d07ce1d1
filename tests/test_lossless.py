"""Arrays come back from `lossless.compress` byte for byte, whatever they are."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ullage import Lossless, _core, lossless
from ullage.errors import ArgumentError

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES = [
    *"?bBhHiIlLqQefdgFD",
    *(">f2", ">f4", ">i8", "<f4", "S5", "U3", "M8[s]", "m8[ns]", "V7"),
    np.dtype([("a", "f4"), ("b", "i2")]),
]
FORMS = ["portable", "avx2", "avx512", "neon"]


def weights(count: int, seed: int = 3) -> Array:
    values: Array = np.random.default_rng(seed).standard_normal(count, np.float32) * np.float32(0.02)
    return values


def brain(values: Array) -> Array:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def assert_same(found: Array, expected: Array) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tobytes() == expected.tobytes()


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 9), max_size=4),
    raw=st.binary(min_size=0, max_size=4096),
    scheme=st.sampled_from([None, "lossless:lz4"]),
)
def test_any_array_comes_back(dtype: Any, shape: list[int], raw: bytes, scheme: str | None) -> None:
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    array = np.frombuffer((raw + b"\x5a" * size)[:size], kind).reshape(shape) if size else np.zeros(shape, kind)
    packed = lossless.compress(array, scheme)
    assert (packed.original_nbytes, packed.dtype, packed.shape) == (array.nbytes, array.dtype, array.shape)
    assert_same(packed.decompress(), array)
    if scheme is None:
        assert packed.nbytes <= array.nbytes


@pytest.mark.parametrize("scheme", ["lossless", "lossless:fixed", "lossless:lz4", Lossless(fixed=True), None])
@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 300_001])
def test_floats_come_back_in_every_scheme(scheme: Lossless | str | None, count: int) -> None:
    values = weights(count)
    for array, dtype in ((values, None), (values.astype(np.float16), None), (brain(values), "bf16")):
        packed = lossless.compress(array, scheme, dtype=dtype, threads=3)
        assert_same(packed.decompress(threads=3), array)
        assert_same(packed.decompress(np.empty_like(array)), array)


def test_what_no_weight_should_be_comes_back() -> None:
    words = np.arange(1 << 16, dtype=np.uint16)
    patterns: list[Array] = [words, words.view(np.float16), (words.astype(np.uint32) << 16 | 0x1234).view(np.float32)]
    for array in patterns:
        for scheme in ("lossless", "lossless:fixed", "lossless:lz4"):
            dtype = "bf16" if array.dtype == np.uint16 else None
            assert_same(lossless.compress(array, scheme, dtype=dtype).decompress(), array)


def test_exponents_take_about_their_entropy() -> None:
    array = brain(weights(1 << 20))
    packed = lossless.compress(array, dtype="bf16")
    _, counts = np.unique(array >> 7 & 0xFF, return_counts=True)
    shares = counts / counts.sum()
    bound = array.size * (8 - float((shares * np.log2(shares)).sum())) / 8
    assert packed.scheme == "lossless"
    assert bound < packed.nbytes < bound * 1.01
    assert packed.ratio == pytest.approx(array.nbytes / packed.nbytes)
    assert f"{packed.nbytes} of {array.nbytes} bytes" in repr(packed)


def test_what_does_not_become_smaller_is_stored() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 1 << 16, np.uint8)
    packed = lossless.compress(noise)
    assert (packed.scheme, packed.nbytes) == ("stored", noise.nbytes)
    assert_same(packed.rows(5, 70), noise[5:70])
    assert lossless.compress(np.zeros(1 << 16)).nbytes < 100


@pytest.mark.parametrize("scheme", ["lossless", "lossless:fixed", "lossless:lz4"])
def test_rows_are_those_of_the_array(scheme: str) -> None:
    array = weights(700 * 131).reshape(700, 131)
    packed = lossless.compress(array, scheme)
    for start, stop in ((0, 0), (0, 1), (33, 34), (250, 700), (699, 700), (700, 700)):
        assert_same(packed.rows(start, stop), array[start:stop])
    for start, stop in ((-1, 3), (3, 2), (0, 701)):
        with pytest.raises(ArgumentError, match="rows"):
            packed.rows(start, stop)
    with pytest.raises(ArgumentError, match="rows"):
        lossless.compress(np.float32(3.0)).rows(0, 1)


def test_any_layout_is_taken_in_c_order() -> None:
    array = weights(60).reshape(3, 4, 5)
    for view in (
        array.T,
        array[::2, ::-1],
        np.asfortranarray(array),
        array[0, 0, 0],
        np.broadcast_to(array[0], (6, 4, 5)),
    ):
        assert_same(lossless.compress(view).decompress(), np.asarray(view))
    read_only = array.copy()
    read_only.flags.writeable = False
    assert_same(lossless.compress(read_only).decompress(), array)


def test_every_form_gives_the_same_bytes_at_every_alignment() -> None:
    array = brain(weights(3 * 4096 + 77))
    for scheme in ("lossless", "lossless:fixed"):
        packed = _core.pack_bytes(array.view(np.uint8), "BF16", scheme=scheme)
        for isa in FORMS:
            for offset in (0, 1, 16, 63):
                room = np.zeros(array.nbytes + 64, np.uint8)
                packed.unpack_into(room[offset : offset + array.nbytes], isa=isa)
                assert room[offset : offset + array.nbytes].tobytes() == array.tobytes()
                assert not room[offset + array.nbytes :].any()


def test_bad_arguments_are_refused_by_name() -> None:
    array = weights(100)
    packed = lossless.compress(array)
    refused: list[tuple[str, Any]] = [
        ("array", lambda: lossless.compress(np.array([object()]))),
        ("dtype", lambda: lossless.compress(array, dtype="bf16")),
        ("dtype", lambda: lossless.compress(array, dtype="f8")),
        ("dtype", lambda: lossless.compress(np.arange(3), "lossless")),
        ("scheme", lambda: lossless.compress(array, "linear:8")),
        ("scheme", lambda: lossless.compress(array, "lossless:zip")),
        ("threads", lambda: lossless.compress(array, threads=0)),
        ("threads", lambda: packed.decompress(threads=-1)),
        ("out", lambda: packed.decompress(np.empty(99, np.float32))),
        ("out", lambda: packed.decompress(np.empty(100))),
        ("out", lambda: packed.decompress(np.empty(200, np.float32)[::2])),
    ]
    for name, call in refused:
        with pytest.raises(ArgumentError) as caught:
            call()
        assert caught.value.name == name


def test_threads_may_share_one() -> None:
    array = weights(1 << 18)
    packed = lossless.compress(array, "lossless")
    found: list[Array] = []
    workers = [threading.Thread(target=lambda: found.append(packed.decompress(threads=2))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 4
    for own in found:
        assert_same(own, array)
