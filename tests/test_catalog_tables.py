"""The published tables, row by row against their documents; their revisions; the pool's rule worked out."""

import csv
import re
from pathlib import Path

import pytest

from ullage import catalog
from ullage.catalog.model_table import read_models
from ullage.errors import CatalogError

FOLDER = Path(catalog.__file__).parent

# footprint of the pool's rule, worked out by hand: overhead in percent, what the rule allows in MB, verdict.
STATED = {
    "stella-en-1-5b-v5": (16.7, 6_800, 7_500, "follows"),
    "bert-minilm-l6-v2": (10.0, 100, 200, "follows"),
    "gte-qwen2-1-5b": (14.8, 7_300, 8_000, "follows"),
    "jina-embeddings-v2-base-en": (45.5, 400, 400, "follows"),
    "nv-embed-v2": (15.3, 17_300, 18_900, "follows"),
    "phi-4-reasoning": (22.4, 9_400, 10_200, "too much"),
    "kimi-k2-instruct": (15.1, 683_100, 745_200, "follows"),
    "qwen3-coder-30b": (15.1, 20_500, 22_400, "follows"),
    "clip-vit-base": (15.7, 700, 800, "follows"),
    "llava-1-5-7b": (20.6, 15_600, 17_000, "follows"),
    "flux-schnell": (14.9, 26_600, 29_000, "follows"),
    "sd-3-5-large-turbo": (14.8, 24_600, 26_800, "follows"),
}
REAL = {
    "gte-qwen2-1-5b": (7.0, 7_900, 8_600, "too little"),
    "phi-4-reasoning": (14.9, 10_000, 10_900, "follows"),
    "flux-schnell": (-18.3, 37_300, 40_700, "too little"),
    "sd-3-5-large-turbo": (-8.2, 30_700, 33_500, "too little"),
}
META = {
    "meta-llama-3-2-1b-bf16": (2358, 3185),
    "meta-llama-3-2-1b-spinquant": (1083, 1921),
    "meta-llama-3-2-1b-qlora": (1127, 2255),
    "meta-llama-3-2-3b-bf16": (6129, 7419),
    "meta-llama-3-2-3b-spinquant": (2435, 3726),
    "meta-llama-3-2-3b-qlora": (2529, 4060),
}


@pytest.fixture(scope="module")
def documents() -> list[str]:
    """Give the documents that the tables were taken from, where they lie beside the public data."""
    folder = Path(__file__).parents[1].parent / "shared" / "seeds"
    found = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]
    if not found:
        pytest.skip("the documents of the published tables are not here")
    return found


def cells(line: str) -> list[str]:
    """Split a row of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_row_and_column_of_the_phone_document_is_in_the_table(documents: list[str]) -> None:
    (document,) = (text for text in documents if "title: Memory Usage" in text)
    rows = {row.name: row for row in catalog.models() if row.document.key == "react-native-executorch-memory"}
    columns: list[str] = []
    seen = set()
    for line in document.splitlines():
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        found = cells(line)
        if found[0] == "Model":
            columns = found[1:]
            continue
        row = rows[found[0]]
        seen.add(found[0])
        printed = []
        for figure in row.figures:
            backend = {"xnnpack": "XNNPACK", "core-ml": "Core ML"}[figure.backend or ""]
            system = {"android": "Android", "ios": "iOS"}[figure.platform or ""]
            printed.append((f"{system} ({backend}) [{figure.unit}]", figure.published))
        assert printed == list(zip(columns, found[1:], strict=True)), found[0]
    assert seen == set(rows)
    assert len(seen) == 25


def test_every_row_and_column_of_the_pool_document_is_in_the_table(documents: list[str]) -> None:
    (document,) = (text for text in documents if "# Model Memory Specifications" in text)
    rows = {row.name: row for row in catalog.models() if row.document.key == "paraphym-model-pool"}
    seen = set()
    for line in document.splitlines():
        if not line.startswith("|") or "Registry Key" in line or set(line) <= set("|-: "):
            continue
        name, registry_key, memory, quantization, _source = cells(line)
        row = rows[name]
        seen.add(name)
        (figure,) = row.figures
        assert (row.registry_key, figure.published, figure.unit) == (registry_key, memory, "MB")
        assert row.quantization == quantization
    assert seen == set(rows)
    assert len(seen) == 12
    audit = catalog.audit_pool()
    total = re.search(r"\*\*([\d,]+) MB\*\*", document)
    assert total is not None
    assert audit.stated_total_bytes == int(total[1].replace(",", "")) * 10**6 == audit.total_bytes
    subtotals = [int(text.replace(",", "")) * 10**6 for text in re.findall(r"\*\*Subtotal\*\*: ([\d,]+) MB", document)]
    assert sorted(audit.subtotal_bytes.values()) == sorted(subtotals)


def test_the_rule_of_the_pool_is_worked_out_row_by_row() -> None:
    rows = catalog.audit_pool().rows
    assert [row.key for row in rows] == list(STATED)
    for row in rows:
        for check, expected in ((row.stated, STATED[row.key]), (row.real, REAL.get(row.key, STATED[row.key]))):
            overhead, least, most, verdict = expected
            assert check.overhead_percent == pytest.approx(overhead, abs=0.05), row.key
            assert (check.least_bytes, check.most_bytes) == (least * 10**6, most * 10**6), row.key
            assert check.verdict == verdict, row.key
    assert sum(row.stated.verdict == "follows" for row in rows) == 11
    assert sum(row.real.verdict == "follows" for row in rows) == 9


def test_rows_that_break_the_rule_are_flagged() -> None:
    flags = {row.key: row.flag for row in catalog.audit_pool().rows if row.flag}
    assert flags == {
        "phi-4-reasoning": "books too much by its own rule",
        "gte-qwen2-1-5b": "books too little for its real weights",
        "flux-schnell": "books too little for its real weights",
        "sd-3-5-large-turbo": "books too little for its real weights",
    }


def test_fifteen_percent_to_the_nearest_step_reproduces_eight_rows() -> None:
    usual = [
        row for row in catalog.audit_pool().rows if row.booked_bytes in {row.stated.usual_bytes, row.real.usual_bytes}
    ]
    assert len(usual) == 8


@pytest.mark.parametrize(("key", "printed"), META.items())
def test_the_table_of_meta_is_whole(key: str, printed: tuple[int, int]) -> None:
    row = catalog.model(key)
    (figure,) = row.figures
    assert row.file is not None
    assert (row.file.published, figure.published) == tuple(map(str, printed))
    assert (row.file.bytes, figure.bytes) == tuple(mib * 2**20 for mib in printed)
    assert (figure.device, figure.platform, figure.backend) == ("oneplus-12", "android", "xnnpack")


def test_the_phone_table_agrees_with_that_of_meta() -> None:
    for key in META:
        row = catalog.model(key)
        published = catalog.model(row.aliases[0])
        assert published is not row
        ratio = published.memory("android").best / row.memory().best
        assert ratio == pytest.approx(1, abs=0.035), key
        assert published.file is not None
        assert row.file is not None
        assert published.file.bytes == pytest.approx(row.file.bytes, rel=0.005), key


def test_a_model_is_known_in_every_revision_by_what_makes_its_figures_differ() -> None:
    found = catalog.figures("LLAMA3_2_1B_SPINQUANT", os="ios")
    assert [(key.library_version, key.device, figure.published) for key, figure in found.items()] == [
        ("0.5.0 in development", None, "2"),
        ("0.6 to 0.9", "iphone-17-pro", "2.4"),
    ]
    style = catalog.figures("STYLE_TRANSFER_CANDY", os="android")
    assert [figure.published for figure in style.values()] == ["950", "1200"]
    assert {key.precision for key in catalog.figures("style-transfer-candy", backend="core-ml")} == {"fp16"}
    assert catalog.figures("whisper-tiny", library_version="none such") == {}
    assert {row.document.library for row in catalog.revisions("llama3-2-1b")} == {
        "react-native-executorch",
        "executorch",
    }


def test_no_two_figures_have_the_same_key() -> None:
    keys = [(row.key, row.key_of(figure)) for row in catalog.models() for figure in row.figures]
    assert len(set(keys)) == len(keys)


def test_devices_of_figures_are_in_the_catalog() -> None:
    named = {figure.device for row in catalog.models() for figure in row.figures if figure.device}
    assert named == {"iphone-17-pro", "oneplus-12"}
    assert all(catalog.device(name).key == name for name in named)


def test_every_row_has_a_source_and_a_date() -> None:
    for row in catalog.models():
        assert row.document.citation
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", row.document.date), row.key


def test_every_published_figure_of_the_public_data_is_here(data_dir: Path) -> None:
    with (data_dir / "footprint_truth.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "measured"]
    checked = 0
    for row in rows:
        name = row["model"].replace(" (512)", "")
        published, unit = row["published_as"].split()
        if row["component"] == "file (.pte)":
            files = [other.file for other in catalog.revisions(name) if other.file]
            assert (published, unit, int(row["value_bytes"])) in [(one.published, one.unit, one.bytes) for one in files]
        else:
            figures = [figure for other in catalog.revisions(name) for figure in other.figures]
            assert any((float(figure.published), figure.unit) == (float(published), unit) for figure in figures), row[
                "id"
            ]
        checked += 1
    assert checked > 30


def test_two_figures_of_one_key_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    good = (FOLDER / "phone_memory.toml").read_text(encoding="utf-8")
    path.write_text(good.replace('platform = "ios"', 'platform = "android"'), encoding="utf-8")
    with pytest.raises(CatalogError, match="the same platform") as caught:
        read_models(path)
    assert re.fullmatch(r"model\[\d+\]\.figures", caught.value.field)


def test_a_file_whose_bytes_are_not_its_figure_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    good = (FOLDER / "meta_llama_3_2.toml").read_text(encoding="utf-8")
    assert "2_472_542_208" in good
    path.write_text(good.replace("2_472_542_208", "2_358_000_000"), encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        read_models(path)
    assert caught.value.field == "model[0].file.bytes"
