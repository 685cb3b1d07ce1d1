"""Kernels: every family of instructions gives the same bits, and those of NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ullage import _core
from ullage.errors import UllageError

ROWS, COLUMNS = 33, 131


def palette(bits: int) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Pieces of a weight of 33 by 131, one table; and the weight."""
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 1 << bits, ROWS * COLUMNS, dtype=np.uint8)
    table = rng.standard_normal(1 << bits).astype(np.float16)
    spread = np.unpackbits(codes[:, None], axis=1, count=bits, bitorder="little")
    return [np.packbits(spread, bitorder="little"), table.view(np.uint8)], table[codes].astype(np.float32)


def integers() -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Pieces of a weight of 33 by 131 with a scale for each row; and the weight."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (ROWS, COLUMNS), dtype=np.int8)
    scales = rng.uniform(0.1, 0.2, ROWS).astype(np.float16)
    weight = codes.astype(np.float32) * scales.astype(np.float32)[:, None]
    return [codes.view(np.uint8).reshape(-1), scales.view(np.uint8)], weight.reshape(-1)


def sparse() -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Pieces of a weight of 33 by 131, three quarters of it zero; and the weight."""
    rng = np.random.default_rng(0)
    count = ROWS * COLUMNS
    mask = rng.permutation(np.arange(count) < count - count * 3 // 4)
    values = rng.standard_normal(int(mask.sum())).astype(np.float16)
    weight = np.zeros(count, np.float32)
    weight[mask] = values
    return [values.view(np.uint8), np.packbits(mask, bitorder="little")], weight


CASES = {
    **{f"palettized:{bits}": palette(bits) for bits in (1, 2, 3, 4, 6, 8)},
    "linear:8": integers(),
    "sparse:0.75": sparse(),
}


@pytest.mark.parametrize("scheme", CASES)
@pytest.mark.parametrize("isa", _core.kernel_isas())
@pytest.mark.parametrize("threads", [1, 3])
def test_decoded_is_what_numpy_decodes(scheme: str, isa: str, threads: int) -> None:
    parts, weight = CASES[scheme]
    shape = [ROWS, COLUMNS]
    np.testing.assert_array_equal(_core.decode_matrix(parts, shape, scheme, "f32", threads, isa), weight)
    halves = _core.decode_matrix(parts, shape, scheme, "f16", threads, isa)
    np.testing.assert_array_equal(halves.view(np.float16), weight.astype(np.float16))
    streamed = _core.StoredMatrix(parts, shape, scheme).decode("bf16", threads=threads, isa=isa, is_streamed=True)
    bits = weight.view(np.uint32)
    np.testing.assert_array_equal(streamed, ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16))


@pytest.mark.parametrize("scheme", CASES)
@pytest.mark.parametrize("batch", [1, 5])
def test_products_are_those_of_the_decoded_weight(scheme: str, batch: int) -> None:
    parts, weight = CASES[scheme]
    x = np.random.default_rng(1).standard_normal((batch, COLUMNS)).astype(np.float32)
    results = [
        _core.multiply_matrix(parts, [ROWS, COLUMNS], scheme, x.reshape(-1), threads, isa, batch)
        for isa in _core.kernel_isas()
        for threads in (1, 2)
    ]
    exact = x.astype(np.float64) @ weight.reshape(ROWS, COLUMNS).T.astype(np.float64)
    np.testing.assert_allclose(results[0].reshape(batch, ROWS), exact, atol=1e-2, rtol=1e-4)
    for found in results[1:]:
        np.testing.assert_array_equal(found, results[0])


@pytest.mark.parametrize("batch", [1, 8, 16])
def test_products_of_rounded_vectors_are_those_of_their_integers(batch: int) -> None:
    parts, weight = CASES["linear:8"]
    x = np.random.default_rng(1).standard_normal((batch, COLUMNS)).astype(np.float32)
    matrix = _core.StoredMatrix(parts, [ROWS, COLUMNS], "linear:8")
    # One block of 131 columns: a row has one scale.
    steps = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    integers = np.rint(x * (np.float32(127) / np.abs(x).max(axis=1, keepdims=True)))
    exact = (integers * steps.astype(np.float64)) @ weight.reshape(ROWS, COLUMNS).T.astype(np.float64)
    results = [
        matrix.multiply(x.reshape(-1), batch=batch, threads=threads, isa=isa, activations="int8")
        for isa in _core.kernel_isas()
        for threads in (1, 2)
    ]
    np.testing.assert_allclose(results[0].reshape(batch, ROWS), exact, rtol=1e-5, atol=1e-4)
    for found in results[1:]:
        np.testing.assert_array_equal(found, results[0])
    assert len(matrix.times("f32", 4, x=x.reshape(-1), batch=batch, activations="int8")) == ROWS // 4


def test_what_does_not_fit_is_refused() -> None:
    parts, _ = CASES["palettized:4"]
    matrix = _core.StoredMatrix(parts, [ROWS, COLUMNS], "palettized:4")
    with pytest.raises(UllageError, match="dtype"):
        matrix.decode("f64")
    with pytest.raises(UllageError, match="isa"):
        matrix.decode(isa="sse9")
    with pytest.raises(UllageError, match="x:"):
        matrix.multiply(np.zeros(3, np.float32))
    with pytest.raises(UllageError, match="batch"):
        matrix.multiply(np.zeros(9 * COLUMNS, np.float32), batch=9)
    with pytest.raises(UllageError, match="batch"):
        _core.StoredMatrix(CASES["linear:8"][0], [ROWS, COLUMNS], "linear:8").multiply(
            np.zeros(17 * COLUMNS, np.float32), batch=17, activations="int8"
        )
    with pytest.raises(UllageError, match="activations"):
        matrix.multiply(np.zeros(COLUMNS, np.float32), activations="int9")
    with pytest.raises(UllageError, match="activations: palettized:4"):
        matrix.multiply(np.zeros(COLUMNS, np.float32), activations="int8")
    with pytest.raises(UllageError, match="chunk"):
        matrix.times("f32", 0)
    with pytest.raises(UllageError, match="indices"):
        _core.StoredMatrix([parts[0][1:], parts[1]], [ROWS, COLUMNS], "palettized:4")
    values, mask = CASES["sparse:0.75"][0]
    with pytest.raises(UllageError, match="mask"):
        _core.StoredMatrix([values, mask ^ 1], [ROWS, COLUMNS], "sparse:0.75")


def test_times_are_those_of_chunks() -> None:
    parts, _ = CASES["linear:8"]
    matrix = _core.StoredMatrix(parts, [ROWS, COLUMNS], "linear:8")
    x = np.ones(COLUMNS, np.float32)
    assert len(matrix.times("f16", 4, rounds=2)) == 2 * (ROWS // 4)
    assert len(matrix.times("f32", 4, x=x)) == ROWS // 4
    assert all(seconds >= 0 for seconds in _core.memory_times(1 << 16, 1 << 12, threads=2))
    assert len(_core.memory_times(1 << 16, 1 << 12, is_read=True)) == 16
