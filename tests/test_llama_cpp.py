"""Caches and states equal what llama.cpp allocates, architecture by architecture."""

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter

import ullage

DATA = Path(__file__).parent / "data" / "llama_cpp"
MODELS: dict[str, dict[str, Any]] = json.loads((DATA / "models.json").read_text())


@cache
def allocations() -> dict[str, list[dict[str, str]]]:
    """Give the rows of each model."""
    rows: dict[str, list[dict[str, str]]] = {}
    with (DATA / "allocations.csv").open(encoding="utf-8") as opened:
        for row in csv.DictReader(opened):
            rows.setdefault(row["model"], []).append(row)
    return rows


def write(file: Path, model: dict[str, Any]) -> None:
    """Write the header of a GGUF without tensors."""
    writer = GGUFWriter(file, model["architecture"])
    for name, value in {**model["keys"], "vocab_size": model["vocabulary"]}.items():
        key = f"{model['architecture']}.{name}"
        match value:
            case bool():
                writer.add_bool(key, value)
            case int() if value < 0:
                writer.add_int32(key, value)
            case int():
                writer.add_uint32(key, value)
            case list():
                writer.add_array(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()


@pytest.mark.parametrize("name", MODELS)
def test_caches_and_states_are_met_to_the_byte(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.gguf"
    write(file, MODELS[name])
    model = ullage.open_model(file)
    assert allocations()[name]
    for row in allocations()[name]:
        needs = ullage.footprint(
            model,
            context=int(row["context"]),
            batch=int(row["sequences"]),
            kv_dtype=row["kv_dtype"],
            flash_attention=row["flash_attention"] == "on",
            runtime="llama.cpp",
            measured=False,
        )
        found = (needs.kv_cache.lo, needs.kv_cache.hi, needs.state.lo, needs.state.hi)
        kv, state = int(row["kv_bytes"]), int(row["state_bytes"])
        assert found == (kv, kv, state, state), row
