"""Compression: schemes as objects and texts, real Core ML files and GGUF blocks, the command, hostile input."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

import ullage
from ullage import Dense, Gguf, Linear, Lossless, Palettized, Sparse
from ullage.cli.app import app
from ullage.errors import ArgumentError, ByteOverflowError, CatalogError
from ullage.scoring import score_ratios, score_sizes

PACKAGES = Path(__file__).parent / "data" / "core_ml"
LAYERS: list[tuple[str, str, list[int]]] = [
    ("first", "Linear", [16, 64]),
    ("second", "Linear", [16, 16]),
    ("conv", "Conv2d", [8, 4, 3, 3]),
]
"""The layers of the packages in `tests/data/core_ml`."""


DIFFERENT = {GGMLQuantizationType.Q8_1: 36}
"""What the library states otherwise than `ggml-common.h`: sums are 16-bit there. No file holds this type."""


def file_of(folder: Path, **shapes: tuple[int, ...]) -> Path:
    """Write the header of a safetensors file of `F32` tensors; of the data there is a hole."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name.replace("__", ".")] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def run(*words: object) -> Result:
    environment = {"COLUMNS": "100", "NO_COLOR": "1", "ULLAGE_DATA": ""}
    return CliRunner(env=environment).invoke(app, list(map(str, words)), prog_name="ullage")


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        (Dense(), "dense:f16"),
        (Palettized(bits=4, group_size=16), "palettized:4,group=16"),
        (Palettized(6, group_size=32, vector=4), "palettized:6,group=32,vector=4"),
        (Palettized(4, per_channel_scale=True), "palettized:4,scale"),
        (Palettized(8, lut="int8"), "palettized:8,lut=int8"),
        (Linear(), "linear:8"),
        (Linear(4, "affine", block=32), "linear:4,affine,block=32"),
        (Linear(8, granularity="tensor"), "linear:8,tensor"),
        (Sparse(0.75), "sparse:0.75"),
        (Sparse(1e-6), "sparse:0.000001"),
        (Sparse("2:4"), "sparse:2:4"),
        (Sparse(0.5, Palettized(4)), "sparse:0.5+palettized:4"),
        (Gguf("Q4_K"), "gguf:q4_k"),
        (Lossless(), "lossless"),
        (Lossless(entropy=2.7), "lossless:entropy=2.7"),
        (Lossless(fixed=True), "lossless:fixed"),
    ],
)
def test_a_scheme_is_its_text(scheme: Any, text: str) -> None:
    assert str(scheme) == text
    assert ullage.compress(LAYERS, "dense:f16").scheme == "dense:f16"
    assert hash(scheme) == hash(scheme)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Palettized(0),
        lambda: Palettized(5),
        lambda: Palettized(17),
        lambda: Palettized(4, group_size=0),
        lambda: Palettized(4, group_size=-16),
        lambda: Palettized(4, group_size=2**64),
        lambda: Palettized(4, group_size=6, vector=4),
        lambda: Linear(3),
        lambda: Linear(8, block=0),
        lambda: Sparse(1.5),
        lambda: Sparse(-0.5),
        lambda: Sparse(math.nan),
        lambda: Sparse(math.inf),
        lambda: Sparse("4:2"),
        lambda: Sparse(0.5, Palettized(4, per_channel_scale=True)),
        lambda: Gguf("f32"),
        lambda: Gguf("q4_k,x"),
        lambda: Dense("f12"),
        lambda: Lossless(entropy=9.0),
    ],
)
def test_what_is_no_scheme_is_refused(make: Any) -> None:
    with pytest.raises(ArgumentError, match="palettized:4") as caught:
        make()
    assert caught.value.name == "scheme"


@pytest.mark.parametrize(
    ("package", "scheme"),
    [
        ("dense16", "dense:f16"),
        ("palettized4_16", "palettized:4"),
        ("palettized3_18", "palettized:3"),
        ("palettized4_group", "palettized:4,group=4"),
        ("linear8_16", "linear:8"),
        ("linear4_block", "linear:4,block=16"),
        ("sparse16", "sparse:0.75"),
        ("sparse_palettized", "sparse:0.75+palettized:4"),
        ("sparse_linear", "sparse:0.75+linear:8"),
        ("palettized_linear", "palettized:4,lut=int8"),
    ],
)
def test_packages_of_coremltools_are_met_to_the_byte(package: str, scheme: str) -> None:
    real = PACKAGES / f"{package}.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    target = "coreml:ios16" if package.endswith("16") else "coreml:ios18"
    found = ullage.compress(LAYERS, scheme, container=target, threshold=0)
    assert found.bytes == real.stat().st_size
    if package != "dense16":
        opened = ullage.compress(PACKAGES / "dense16.mlpackage", scheme, container=target, threshold=0)
        assert opened.bytes == found.bytes


def test_every_real_size_is_met(data_dir: Path) -> None:
    rows = score_sizes(data_dir)
    assert len(rows) > 100
    assert [row.label for row in rows if not row.is_met] == []
    assert [row.label for row in rows if row.predicted != row.bytes and not row.is_pruned] == []


def test_published_ratios_follow_from_the_shapes() -> None:
    standard = [row for row in score_ratios() if row.is_standard]
    assert len(standard) == 20
    assert sum(row.is_met for row in standard) >= 17
    assert max(abs(row.plain / row.published - 1) for row in standard) < 0.06
    assert all(row.note for row in score_ratios() if not row.is_met)


@pytest.mark.parametrize(
    "type_", [type_ for type_, (elements, _) in GGML_QUANT_SIZES.items() if elements > 1], ids=lambda type_: type_.name
)
def test_gguf_blocks_are_those_of_the_format_s_own_library(type_: GGMLQuantizationType, tmp_path: Path) -> None:
    elements, size = GGML_QUANT_SIZES[type_]
    size = DIFFERENT.get(type_, size)
    found = ullage.compress(file_of(tmp_path, w=(6, 3 * 256)), Gguf(type_.name))
    assert found.bytes == 6 * 3 * 256 // elements * size


def test_a_row_that_blocks_do_not_divide_becomes_q8_0_or_stays(tmp_path: Path) -> None:
    found = ullage.compress(file_of(tmp_path, a=(4, 96), b=(4, 30), c=(96,)), "gguf:q4_k")
    assert [row["bytes"] for row in found.per_tensor] == [4 * 3 * 34, 4 * 30 * 4, 96 * 4]
    assert [row["scheme"] for row in found.per_tensor] == ["gguf:q4_k", None, None]


def test_layers_may_have_schemes_of_their_own(tmp_path: Path) -> None:
    path = file_of(tmp_path, blocks__0__up=(64, 64), blocks__1__up=(64, 64), head=(64, 64))
    found = ullage.compress(path, Palettized(4), overrides={"blocks.?.up": Linear(8), "head": "dense:f16"})
    assert [row["bytes"] for row in found.per_tensor] == [64 * 66, 64 * 66, 2 * 64 * 64]
    assert found.dense_bytes == 3 * 4 * 64 * 64
    assert found.ratio == pytest.approx(found.dense_bytes / found.bytes)
    assert sum(row["bytes"] for row in found.per_tensor) == found.bytes


def test_a_checkpoint_folds_into_the_package_of_its_layers(tmp_path: Path) -> None:
    norm = {f"bn__{part}": (40,) for part in ("weight", "bias", "running_mean", "running_var")}
    path = file_of(tmp_path, conv__weight=(40, 16, 3, 3), **norm, fc__weight=(10, 40), fc__bias=(10,))
    layers = [("conv", "Conv2d", [40, 16, 3, 3]), ("fc", "Linear", [10, 40])]
    for scheme in ("dense:f16", "palettized:4", "linear:8", "sparse:0.5"):
        for kept in (False, True):
            found = ullage.compress(path, scheme, container="coreml:ios16", keep_batch_norm=kept)
            expected = ullage.compress(layers, scheme, container="coreml:ios16", keep_batch_norm=kept)
            assert found.bytes == expected.bytes


def test_json_has_the_promised_keys(tmp_path: Path) -> None:
    path = file_of(tmp_path, w=(128, 64), b=(128,))
    done = run("compress", path, "--scheme", "palettized:4,group=16", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["dense_bytes"], found["compressed_bytes"]) == (4 * 128 * 65, 128 * 32 + 8 * 32 + 4 * 128)
    assert found["ratio"] == pytest.approx(found["dense_bytes"] / found["compressed_bytes"])
    row = {"name": "w", "shape": [128, 64], "scheme": "palettized:4,group=16", "bytes": 128 * 32 + 8 * 32}
    assert row.items() <= next(row for row in found["per_tensor"] if row["name"] == "w").items()


def test_the_command_shows_sizes(tmp_path: Path) -> None:
    path = file_of(tmp_path, w=(128, 64), v=(128, 64))
    done = run(
        "compress", path, "--scheme", "linear:8", "--container", "coreml:ios18", "--layer", "v=palettized:4,group=16"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("linear:8 in coreml:ios18: ")
    assert "palettized:4,group=16  v" in done.stdout


def test_a_network_of_a_file_of_layers(tmp_path: Path) -> None:
    path = tmp_path / "layers.json"
    path.write_text(json.dumps({"net": LAYERS}))
    words = ("--container", "coreml:ios16", "--threshold", "0", "--json")
    done = run("compress", path, "--network", "net", "--scheme", "palettized:4", *words)
    assert json.loads(done.stdout)["compressed_bytes"] == 1696
    for content, network in (
        ("{", "net"),
        ("[]", "net"),
        ('{"net": 1}', "net"),
        ('{"net": [[1]]}', "net"),
        ("{}", "x"),
    ):
        path.write_text(content)
        done = run("compress", path, "--network", network, "--scheme", "palettized:4", *words)
        assert done.exit_code == 2, done.output
        assert "error" in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scheme", "palettized:5"), "bits are 1, 2, 3, 4, 6, 8"),
        (("--scheme", "palettized:4", "--container", "zip"), "coreml:ios16"),
        (("--scheme", "palettized:4,group=8", "--container", "coreml:ios16"), "iOS 18"),
        (("--scheme", "gguf:q4_k", "--container", "coreml:ios18"), "no such format"),
        (("--scheme", "palettized:4", "--layer", "w"), "PATTERN=SCHEME"),
        (("--scheme", "palettized:4", "--layer", "w=x"), "none of dense:f16"),
        (("--scheme", "palettized:4", "--layer", "v*=linear:8"), "no weight has a name such as"),
        (("--scheme", "+".join(["sparse:0.5"] * 10_000)), "two schemes"),
    ],
)
def test_bad_usage_is_one_sentence(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run("compress", file_of(tmp_path, w=(128, 64)), *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_hostile_shapes_are_refused_or_sized() -> None:
    with pytest.raises(ByteOverflowError):
        ullage.compress([("w", "Linear", [2**63, 2**63])], "palettized:4")
    with pytest.raises(ByteOverflowError):
        ullage.compress([("w", "Linear", [2**63 - 1, 2])], "dense:f16")
    for shape in ([], [3], [-1, 2], [2**64, 1], ["x", 1], 5):
        with pytest.raises(ArgumentError):
            ullage.compress([("w", "Linear", shape)], "palettized:4")  # type: ignore[list-item]
    for scheme in ("dense:f16", "palettized:4,group=16", "linear:4,block=32", "sparse:2:4", "sparse:1"):
        found = ullage.compress([("w", "Linear", [0, 5]), ("c", "Conv2d", [4, 0, 3, 3])], scheme)
        assert (found.bytes, found.ratio) == (0, None)
    with pytest.raises(ArgumentError, match="layers alone"):
        ullage.compress(LAYERS, "palettized:4", container="raw")
    with pytest.raises(ArgumentError, match="no tensors"):
        ullage.compress("12GB", "palettized:4", container="coreml:ios18")
    with pytest.raises(ArgumentError, match="no package"):
        ullage.compress("12GB", "palettized:4").package_bytes()


def test_a_bare_size_is_sized_without_a_container() -> None:
    found = ullage.compress("12GB", "gguf:q4_k")
    assert found.bytes == math.ceil(6_000_000_000 / 256) * 144


def test_score_compression_prints_what_it_computes(tmp_path: Path) -> None:
    done = run("score", "compression")
    assert done.exit_code == 0, done.output
    assert "of 20 to two digits" in done.stdout
    assert "skipped" in done.stdout
    found = json.loads(run("score", "compression", "--json").stdout)
    assert (len(found["ratios"]), found["sizes"]) == (28, None)
    (tmp_path / "coreml_layers.json").write_text(json.dumps({"net": LAYERS}))
    rows = "model,target,scheme,weight_bin_bytes\nnet,iOS16,pal4_thr0,1696\nnet,iOS16,fp16,3640\nother,iOS16,fp16,1\n"
    (tmp_path / "coreml_truth.csv").write_text(rows)
    found = json.loads(run("score", "compression", "--json", "--data", tmp_path).stdout)
    assert [(row["predicted"], row["met"]) for row in found["sizes"]] == [(1696, True), (3648, False)]
    assert "1 of 2 to the byte" in run("score", "compression", "--data", tmp_path).stdout


@pytest.mark.parametrize("row", ["net,iOS16,fp16,x", "net,iOS99,fp16,1", "net,iOS16,magic,1", "net,iOS16"])
def test_a_damaged_truth_file_names_the_line(row: str, tmp_path: Path) -> None:
    (tmp_path / "coreml_layers.json").write_text(json.dumps({"net": LAYERS}))
    (tmp_path / "coreml_truth.csv").write_text(f"model,target,scheme,weight_bin_bytes\n{row}\n")
    with pytest.raises(CatalogError, match="line 2"):
        score_sizes(tmp_path)
