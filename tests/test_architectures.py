"""Models known by their configuration: counts as published, found by any name, refused where nothing is known."""

import json
from pathlib import Path

import pytest

import ullage
from ullage import Model, catalog
from ullage.catalog.architecture_table import read_architectures
from ullage.errors import ArgumentError, CatalogError, ModelFileError, UnknownModelError

ROWS = catalog.architectures()

# Bytes of the published weights: `total_size` of the index, or the sizes of the files of a pipeline's parts.
PUBLISHED_BYTES = {
    "llama-3.1-8b": 16_060_522_496,
    "gemma-3-27b": 54_864_813_280,
    "gpt-oss-20b": 13_761_264_768,
    "gpt-oss-120b": 65_248_815_744,
    "qwen3-8b": 16_381_470_720,
    "mixtral-8x7b": 93_405_585_408,
    "phi-4": 29_319_014_400,
}

# Bytes that one more token takes in 16 bits, as runtimes allocate them; windows are full and take no more.
TOKEN_BYTES = {
    "llama-3.1-8b": 128 << 10,
    "qwen3-30b-a3b": 96 << 10,
    "deepseek-v3": 61 * 576 * 2,
    "kimi-k2": 61 * 576 * 2,
    "gemma-3-27b": 80 << 10,
    "gpt-oss-20b": 24 << 10,
    "qwen3-next-80b-a3b": 24 << 10,
    "lfm2-1.2b": 12 << 10,
    "mistral-7b-v0.1": 0,
    "mamba2-2.7b": 0,
}

ROW = """
[[architecture]]
key = "tiny"
name = "Tiny"
page = "nobody/tiny"
date = "2026-01-02"
parameters = 1
"""
CONFIG = """
[architecture.config]
model_type = "gpt2"
n_embd = 8
"""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_every_configuration_gives_the_parameters_of_its_row(row: catalog.ArchitectureRow) -> None:
    model = row.model()
    assert model.parameters == row.parameters
    assert model.tensor_bytes == model.file_bytes == sum(tensor.bytes for tensor in model.tensors)
    assert len({tensor.name for tensor in model.tensors}) == len(model.tensors)
    assert model.path is None


@pytest.mark.parametrize(("name", "size"), PUBLISHED_BYTES.items())
def test_weights_take_the_bytes_of_the_published_files(name: str, size: int) -> None:
    assert int(ullage.footprint(name, context=1).weights) == size


@pytest.mark.parametrize(("name", "size"), TOKEN_BYTES.items())
def test_a_token_takes_what_runtimes_allocate(name: str, size: int) -> None:
    fewer, more = (int(ullage.footprint(name, context=context).kv_cache) for context in (16_384, 32_768))
    assert more - fewer == 16_384 * size


def test_a_row_is_found_by_any_of_its_names() -> None:
    wanted = catalog.architecture("llama-3-1-8b")
    for name in ("llama-3.1-8b", "Llama 3.1 8B", "meta-llama/Llama-3.1-8B", "llama_3.1_8b_instruct"):
        assert catalog.architecture(name) is wanted
    assert wanted in catalog.architectures("llama 8b")
    assert len(catalog.architectures("")) == len(ROWS) >= 50
    with pytest.raises(UnknownModelError) as unknown:
        catalog.architecture("lama-3.1-8b")
    assert unknown.value.suggestions[0] == "llama-3-1-8b"


def test_published_figures_come_before_configurations() -> None:
    assert catalog.model("all-minilm-l6-v2").key == catalog.architecture("all-minilm-l6-v2").key
    assert ullage.footprint("all-minilm-l6-v2").total.origin == "measured"
    assert ullage.footprint("bge-small", context=512).weights.origin == "config"


def test_a_pipeline_sums_its_parts() -> None:
    row = catalog.architecture("sdxl")
    model = row.model()
    assert [part.name for part in row.components] == ["text_encoder", "text_encoder_2", "unet", "vae"]
    assert {tensor.name.split(".")[0] for tensor in model.tensors} == {part.name for part in row.components}
    parts = [Model.from_config(part.name, part.config) for part in row.components]
    assert model.tensor_bytes == sum(part.tensor_bytes for part in parts)
    assert int(ullage.footprint("sdxl").kv_cache) == 0


def test_a_configuration_alone_answers(tmp_path: Path) -> None:
    row = catalog.architecture("qwen3-0.6b")
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text(row.components[0].config, encoding="utf-8")
    for path in (folder, folder / "config.json"):
        model = ullage.open_model(path)
        assert (model.name, model.parameters, model.architecture) == ("small", row.parameters, "qwen3")
    footprint = ullage.footprint(folder, context=32768)
    # 28 layers, 8 heads of 128 for keys and for values, 2 bytes each.
    assert int(footprint.kv_cache) == 28 * 2 * 8 * 128 * 2 * 32768


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", None),
        ("[]", None),
        ('{"model_type": "unheard-of", "hidden_size": 8, "num_hidden_layers": 2}', "model_type"),
        ('{"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 9.5}', "vocab_size"),
        ('{"_class_name": "Magic"}', "_class_name"),
    ],
)
def test_what_cannot_be_told_is_refused(text: str, field: str | None) -> None:
    with pytest.raises(ModelFileError) as refused:
        Model.from_config("odd", text)
    assert refused.value.field == field
    with pytest.raises(ModelFileError):
        Model.from_components("odd", [("part", text)])


def test_a_model_of_no_parts_is_refused() -> None:
    with pytest.raises(ArgumentError):
        Model.from_components("none", [])


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (ROW, "architecture[0].config"),
        (ROW + CONFIG + '\n[[architecture.component]]\nname = "a"\n', "architecture[0].config"),
        (ROW + "\n[architecture.config]\n", "architecture[0].config"),
        (ROW.replace("parameters = 1", "parameters = -1") + CONFIG, "architecture[0].parameters"),
        (ROW + 'colour = "red"\n' + CONFIG, "architecture[0].colour"),
        (ROW + CONFIG + ROW + CONFIG, "architecture[1].key"),
        ("", "architecture"),
    ],
)
def test_a_faulty_file_names_row_and_key(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "architectures.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as refused:
        read_architectures(path)
    assert refused.value.field == field


def test_an_empty_text_stands_for_null(tmp_path: Path) -> None:
    path = tmp_path / "architectures.toml"
    path.write_text(ROW + CONFIG + 'n_inner = ""\n', encoding="utf-8")
    (row,) = read_architectures(path)
    assert json.loads(row.components[0].config) == {"model_type": "gpt2", "n_embd": 8, "n_inner": None}
