"""Weights in a scheme: round trips, sizes, and the bytes of gguf-py."""

import contextlib
import pickle

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ullage
from ullage import Dense, Encoded, Gguf, Linear, Palettized, Sparse, encode, encoded
from ullage._core import scheme_bytes
from ullage.errors import ArgumentError, DamagedDataError, UllageError

SCHEMES = [
    "dense:f16",
    "dense:bf16",
    "dense:f64",
    "dense:f8_e4m3",
    "linear:8",
    "linear:4,affine,block=3",
    "palettized:3,group=2",
    "palettized:2,vector=2",
    "palettized:4,scale,lut=int8",
    "sparse:0.5",
    "sparse:2:4",
    "sparse:0.5+palettized:4",
    "sparse:1:2+linear:8,affine",
    "gguf:q8_0",
    "gguf:q4_k",
]

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Draw normal numbers, the same for equal seeds."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(shape=shapes, scheme=st.sampled_from(SCHEMES), seed=st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_what_is_stored_is_read_back(shape: list[int], scheme: str, seed: int) -> None:
    weights = noise(*shape, seed=seed)
    size = scheme_bytes(scheme, shape)
    if size is None:
        with pytest.raises(ArgumentError):
            encode(weights, scheme)
        return
    found = encode(weights, scheme)
    assert found.bytes == size == sum(part.nbytes for part in found.parts.values())
    assert found.shape == tuple(shape)
    decoded = found.decode()
    assert decoded.shape == weights.shape
    assert decoded.dtype == np.float32
    again = encoded({name: part.tobytes() for name, part in found.parts.items()}, shape, found.scheme)
    assert again == found
    assert again.decode().tobytes() == decoded.tobytes()
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - made here
    off = np.abs(weights.astype(np.float64) - decoded)
    assert found.distortion(weights).max == pytest.approx(off.max(), rel=1e-9, abs=1e-12)


@given(shape=shapes, scheme=st.sampled_from(SCHEMES), data=st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_pieces_are_told(shape: list[int], scheme: str, data: st.DataObject) -> None:
    if scheme_bytes(scheme, shape) is None:
        return
    found = encode(noise(*shape), scheme)
    parts = {name: bytearray(part.tobytes()) for name, part in found.parts.items()}
    name = data.draw(st.sampled_from(sorted(parts)))
    part = parts[name]
    with pytest.raises(DamagedDataError):
        encoded({**parts, name: part + b"\0"}, shape, scheme)
    with pytest.raises(DamagedDataError):
        encoded({other: bytes(part) for other, part in parts.items() if other != name}, shape, scheme)
    if part:
        with pytest.raises(DamagedDataError):
            encoded({**parts, name: part[: data.draw(st.integers(0, len(part) - 1))]}, shape, scheme)
        part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
        with contextlib.suppress(DamagedDataError):
            encoded(parts, shape, scheme).decode()


def test_damage_is_named() -> None:
    with pytest.raises(DamagedDataError) as caught:
        encoded({"values": bytes(4), "mask": b"\x01"}, [4, 1], "sparse:0.5").decode()
    assert caught.value.piece == "mask"
    assert isinstance(caught.value, ValueError)
    with pytest.raises(DamagedDataError) as caught:
        encoded({"blocks": bytes(33)}, [32], "gguf:q8_0")
    assert caught.value.piece == "blocks"


def test_sizes_are_those_of_compress() -> None:
    shape = [96, 64]
    for scheme in (Palettized(4, group_size=16), Linear(4, block=32), Sparse(0.75), Sparse("2:4", Linear(8))):
        size = ullage.compress([("w", "Linear", shape)], scheme).per_tensor[0]["bytes"]
        assert encode(noise(*shape), scheme).bytes == size


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_formats_in(dtype: npt.DTypeLike) -> None:
    weights = noise(8, 32).astype(np.float16)
    expected = encode(weights.astype(np.float32), "linear:8")
    assert encode(weights.astype(dtype), "linear:8") == expected
    assert encode(np.asfortranarray(weights.astype(dtype)), "linear:8") == expected


def test_brain_numbers() -> None:
    brain = np.array([[0x3F80, 0xBF80], [0x4049, 0x0001]], np.uint16)
    found = encode(brain, "dense:bf16", dtype="bf16")
    assert found.parts["values"].tobytes() == brain.tobytes()
    assert found.decode(dtype="bf16").tolist() == brain.tolist()
    assert found.distortion(brain, dtype="bf16").max == 0


def test_small_numbers_are_those_of_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = np.random.default_rng(1).integers(0, 1 << 32, 100_000, np.uint32)
    weights = np.concatenate([bits.view(np.float32), noise(100_000) * 100])
    weights = weights[np.isfinite(weights)]
    for scheme, name in (("f8_e4m3", "float8_e4m3fn"), ("f8_e5m2", "float8_e5m2"), ("bf16", "bfloat16")):
        with np.errstate(over="ignore", invalid="ignore"):
            expected = weights.astype(getattr(ml_dtypes, name))
        found = encode(weights, Dense(scheme))
        assert found.parts["values"].tobytes() == expected.tobytes(), scheme
        assert np.array_equal(found.decode(), expected.astype(np.float32), equal_nan=True)


def test_out() -> None:
    found = encode(noise(4, 6), "dense:f16")
    out = np.empty((4, 6), np.float32)
    assert found.decode(out) is out
    flat = np.empty(24, np.float16)
    assert found.decode(flat, dtype="f16").tolist() == out.ravel().tolist()
    strided = np.empty((6, 4), np.float32).T
    assert np.array_equal(found.decode(strided), out)
    for wrong in (np.empty(23, np.float32), np.empty(24, np.float64), np.frombuffer(bytes(96), np.float32)):
        with pytest.raises(ArgumentError, match="out"):
            found.decode(wrong)
    with pytest.raises(ArgumentError, match="dtype"):
        found.decode(dtype="f12")  # type: ignore[arg-type]


def test_parts_are_read_only_and_outlive_their_owner() -> None:
    parts = encode(np.ones((2, 2), np.float32), "dense:f16").parts
    assert not parts["values"].flags.writeable
    assert parts["values"].tobytes() == b"\x00\x3c" * 4


def test_what_cannot_be_encoded() -> None:
    weights = noise(2, 6)
    for array, scheme, name in (
        (np.zeros((2, 2), np.int32), "linear:8", "array"),
        (weights, "linear:5", "scheme"),
        (weights, "gguf:q4_k", "scheme"),
        (noise(1, 256), Gguf("iq2_xs"), "scheme"),
        (np.full((2, 2), np.nan), "linear:8", "weights"),
        (np.full((2, 2), 1e300), "linear:8", "weights"),
    ):
        with pytest.raises(ArgumentError) as caught:
            encode(array, scheme)
        assert caught.value.name == name
    for options in ({"seed": -1}, {"quantile": 0.5}, {"quantile": float("nan")}, {"dtype": "f16"}):
        with pytest.raises(ArgumentError):
            encode(weights, "linear:8", **options)
    with pytest.raises(UllageError):
        Encoded.from_parts({"values": 3}, [1], "dense:f16")


def test_seeds_and_quantiles() -> None:
    weights = noise(64, 64)
    vectors = Palettized(4, vector=2)
    assert encode(weights, vectors, seed=7) == encode(weights, vectors, seed=7)
    weights[0, 0] = 1000
    tensor = Linear(8, granularity="tensor")
    clipped, whole = encode(weights, tensor, quantile=0.999), encode(weights, tensor)
    assert np.median(abs(clipped.decode() - weights)) < np.median(abs(whole.decode() - weights)) / 10


def random_blocks(name: str, count: int) -> tuple[npt.NDArray[np.uint8], int]:
    """Blocks of a GGML type with random bytes, and the elements of one."""
    constants = pytest.importorskip("gguf").constants
    elements, size = constants.GGML_QUANT_SIZES[constants.GGMLQuantizationType[name]]
    return np.random.default_rng(2).integers(0, 256, count * size, np.uint8), elements


DECODED = [
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "TQ1_0",
    "TQ2_0",
    "MXFP4",
    "NVFP4",
    "IQ1_S",
    "IQ1_M",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ2_S",
    "IQ3_XXS",
    "IQ3_S",
    "IQ4_NL",
    "IQ4_XS",
]


@pytest.mark.parametrize("name", DECODED)
def test_blocks_are_decoded_as_by_gguf_py(name: str) -> None:
    gguf = pytest.importorskip("gguf")
    blocks, elements = random_blocks(name, 500)
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name])
    found = encoded({"blocks": blocks}, [500 * elements], Gguf(name.lower())).decode()
    assert np.array_equal(found, expected, equal_nan=True)
    numbers = ~np.isnan(expected)
    assert np.array_equal(found[numbers].view(np.uint32), expected[numbers].view(np.uint32))


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4", "BF16"])
@pytest.mark.parametrize("kind", ["normal", "wide", "tiny", "few", "zero", "powers"])
def test_blocks_are_encoded_as_by_gguf_py(name: str, kind: str) -> None:
    gguf = pytest.importorskip("gguf")
    random = np.random.default_rng(3)
    weights = {
        "normal": random.normal(size=(64, 512)),
        "wide": random.normal(size=(64, 512)) * np.exp(random.normal(size=(64, 512)) * 2),
        "tiny": random.normal(size=(64, 512)) * 1e-7,
        "few": random.integers(-3, 4, (64, 512)) / 2,
        "zero": np.zeros((64, 512)),
        "powers": np.ldexp(random.choice([1.0, -1.0, 1.5, 1 - 2**-24], (64, 512)), random.integers(-12, 9, (64, 512))),
    }[kind].astype(np.float32)
    with np.errstate(all="ignore"):
        expected = gguf.quants.quantize(weights, gguf.GGMLQuantizationType[name])
    scheme = Dense("bf16") if name == "BF16" else Gguf(name.lower())
    found = next(iter(encode(weights, scheme).parts.values()))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("name", "least"),
    [("q2_k", 10), ("q3_k", 15), ("q4_k", 21), ("q5_k", 27), ("q6_k", 33), ("iq4_nl", 20), ("iq4_xs", 20)],
)
def test_found_scales_lose_little(name: str, least: float) -> None:
    weights = noise(64, 1024)
    found = encode(weights, Gguf(name))
    assert found.distortion(weights).snr_db > least
    gguf = pytest.importorskip("gguf")
    blocks = found.parts["blocks"]
    theirs = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name.upper()])
    assert np.array_equal(found.decode().ravel(), theirs)
