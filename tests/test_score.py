"""Scoring: rows read, models found, errors computed, and misses said to be such."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ullage.cli.app import app
from ullage.errors import CatalogError
from ullage.scoring import score_footprint

COLUMNS = [
    *("id", "kind", "model", "arch", "weight_format", "params", "ctx_tokens", "n_seq", "kv_dtype", "runtime", "device"),
    *("component", "value_bytes", "published_as", "n_layers", "n_kv_layers", "n_kv_heads", "head_dim_k", "head_dim_v"),
    *("mla_latent", "n_swa_layers", "swa_window", "n_vocab", "n_embd", "n_ubatch", "flash_attn", "note"),
]

LLAMA: dict[str, Any] = {"model": "llama31-8b-q4k", "runtime": "llama.cpp", "device": "CPU", "ctx_tokens": 8192}
PHONE: dict[str, Any] = {"model": "LLAMA3_2_1B", "runtime": "ExecuTorch XNNPACK", "note": "file 2.47 GB"}


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    """Write a truth file of `rows`, numbered."""
    file = folder / "truth.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, COLUMNS, restval="")
        writer.writeheader()
        for number, row in enumerate(rows):
            writer.writerow({"id": f"R{number}", **row})
    return file


def scored(folder: Path, *rows: dict[str, Any], models: Path | None = None) -> dict[str, Any]:
    """Score `rows` and give the classes by key."""
    return {found.key: found for found in score_footprint(write(folder, *rows), models)}


def test_allocations_of_llama_cpp_are_met_to_the_byte(tmp_path: Path) -> None:
    found = scored(
        tmp_path,
        {
            **LLAMA,
            "component": "weights (model buffer)",
            "weight_format": "Q4_K (output Q6_K)",
            "value_bytes": 4653375488,
        },
        {**LLAMA, "component": "KV cache", "value_bytes": 1073741824},
        {**LLAMA, "component": "KV cache", "kv_dtype": "q8_0", "value_bytes": 1073741824 * 34 // 64},
        {**LLAMA, "component": "compute buffer", "value_bytes": 279447552},
        {**LLAMA, "component": "memory delta ctx 16384 -> 8192", "value_bytes": 1073741824},
        {**LLAMA, "model": "deepseek-v3-q4k", "ctx_tokens": 131072, "component": "KV cache", "value_bytes": 8784 << 20},
    )
    for key in ("weights", "kv", "compute"):
        assert found[key].worst == pytest.approx(0, abs=1e-5), key
        assert not any(row.miss for row in found[key].rows)
    assert found["kv"].exact == (4, 4)
    assert found["weights"].exact == (1, 1)


def test_a_row_without_a_catalog_name_is_computed_from_its_columns(tmp_path: Path) -> None:
    columns = {"n_kv_layers": 10, "n_kv_heads": 4, "head_dim_k": 64, "head_dim_v": 64, "ctx_tokens": 4096}
    plain = {**columns, "model": "nobody", "runtime": "llama.cpp", "component": "KV cache"}
    found = scored(
        tmp_path,
        {**plain, "value_bytes": 10 * 2 * 4 * 64 * 4096 * 2},
        {**plain, "n_swa_layers": 6, "swa_window": 512, "value_bytes": (4 * 4096 + 6 * 1024) * 2 * 4 * 64 * 2},
    )
    assert [row.error for row in found["kv"].rows] == [0, 0]


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    found = scored(
        tmp_path,
        {"model": "nobody", "runtime": "llama.cpp", "component": "weights", "value_bytes": 10},
        {**LLAMA, "component": "weights", "weight_format": "IQ9_X GGUF", "value_bytes": 10},
        {**LLAMA, "component": "KV cache", "value_bytes": 1073741824 * 2},
    )
    missing, form = (row.miss for row in found["weights"].rows)
    assert "not predicted: no file" in missing
    assert "IQ9_X GGUF" in form
    (row,) = found["kv"].rows
    assert row.miss == "differs though form and runtime are known"
    assert row.error == -0.5
    assert found["kv"].worst == -0.5


def test_totals_are_scored_beside_the_file_times_one_point_two(tmp_path: Path) -> None:
    found = scored(
        tmp_path,
        {**PHONE, "component": "process memory", "device": "OnePlus 12 (Android)", "value_bytes": 3_340_000_000},
        {**PHONE, "component": "process memory", "device": "OnePlus 12 (Android)", "value_bytes": 9_000_000_000},
    )["total"]
    assert abs(found.rows[0].error) < 0.02
    assert found.rows[0].baseline_error == pytest.approx(1.2 * 2.47 / 3.34 - 1)
    assert found.under == 1
    assert [row.miss for row in found.rows] == ["", "more than the most predicted"]
    assert found.baseline is not None
    assert found.baseline[2] == 1


def test_verdicts_are_right_open_or_false(tmp_path: Path) -> None:
    verdict = {**PHONE, "component": "fits?"}
    found = scored(
        tmp_path,
        {**verdict, "device": "iPhone 16 Pro (8 GB)", "published_as": "runs"},
        {**verdict, "device": "iPhone 16 Pro (8 GB)", "published_as": "Insufficient RAM"},
        {
            **verdict,
            "model": "LLAMA3_2_3B",
            "note": "file 6.43 GB",
            "device": "iPhone SE 3 (4 GB)",
            "published_as": "runs",
        },
    )["verdict"]
    assert found.verdicts == {"right": 1, "depends": 0, "false fits": 1, "false does not fit": 1}
    assert [row.miss for row in found.rows] == ["", "false 'fits'", "false 'does not fit'"]


def test_a_folder_of_models_comes_first(tmp_path: Path, minilm_dir: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "minilm").symlink_to(minilm_dir)
    row = {"model": "minilm", "component": "weights", "value_bytes": 90_856_960, "weight_format": "as stored"}
    found = scored(tmp_path, row, models=tmp_path / "mine")["weights"]
    assert found.rows[0].prediction.basis == "file minilm"
    assert found.exact == (1, 1)


@pytest.mark.parametrize(
    ("content", "place"),
    [("", "no column id"), ("id,kind\n1,2\n", "no column model"), (b"\xff\xfe\x00", "not readable as CSV")],
)
def test_a_file_that_is_no_truth_file_is_refused(tmp_path: Path, content: str | bytes, place: str) -> None:
    file = tmp_path / "truth.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CatalogError, match=place):
        score_footprint(file)
    with pytest.raises(CatalogError, match="line 2, value_bytes"):
        score_footprint(write(tmp_path, {**LLAMA, "component": "KV cache", "value_bytes": "-3"}))


def test_the_command_shows_what_was_scored(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {**LLAMA, "component": "KV cache", "value_bytes": 1073741824},
        {**PHONE, "component": "fits?", "device": "iPhone 16 Pro (8 GB)", "published_as": "runs"},
        {**LLAMA, "component": "KV cache", "value_bytes": 5},
    )
    table = CliRunner().invoke(app, ["score", "footprint", "--truth", str(file)])
    assert table.exit_code == 0
    for text in ("KV cache", "1/2", "1 right", "R2 llama31-8b-q4k"):
        assert text in table.output
    assert "R0" not in table.output
    whole = CliRunner().invoke(app, ["score", "footprint", "--truth", str(file), "--all"])
    assert "R0" in whole.output
    shape = json.loads(CliRunner().invoke(app, ["score", "footprint", "--truth", str(file), "--json"]).output)
    assert [row["class"] for row in shape["classes"]] == ["kv", "verdict"]
    assert shape["rows"][0]["predicted"]["best"] == 1073741824
    absent = CliRunner().invoke(app, ["score", "footprint", "--truth", str(tmp_path / "absent.csv")])
    assert absent.exit_code == 2


def test_the_public_rows_meet_their_targets(data_dir: Path) -> None:
    """Weights, caches and state exact; compute buffers inside; totals and verdicts on the safe side."""
    found = {score.key: score for score in score_footprint(data_dir / "footprint_truth.csv")}
    for key in ("weights", "kv"):
        met, known = found[key].exact
        assert (met, known > 15) == (known, True)
    total, verdict = found["total"], found["verdict"]
    assert total.median is not None
    assert total.median <= 0.08
    assert total.under <= 0.05 * len(total.rows)
    assert verdict.verdicts["false fits"] == 0
    assert verdict.verdicts["false does not fit"] <= 0.1 * len(verdict.rows)
