"""`ullage split`: what it prints and refuses."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ullage.cli.app import app


def run(*arguments: object, width: str = "100") -> Result:
    words = ["split", *map(str, arguments)]
    return CliRunner(env={"COLUMNS": width, "NO_COLOR": "1"}).invoke(app, words, prog_name="ullage")


def answer(*arguments: object, status: int = 0) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == status, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_table_says_where_layers_go_and_how_fast() -> None:
    done = run("llama-3.1-8b", "--devices", "rtx-3060-12gb,rtx-4060-8gb", "--link", "12GB+20us")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Optimal: 34 pieces on 2 devices; ")
    assert "rtx-3060-12gb" in done.stdout
    assert "llama.cpp: --n-gpu-layers 33 --tensor-split " in done.stdout
    assert "vLLM: VLLM_PP_LAYER_PARTITION=" in done.stdout


def test_json_has_the_promised_keys() -> None:
    found = answer("llama-3.1-8b", "--devices", "a=24GiB,b=24GiB", "--objective", "balance")
    promised = {
        "status",
        "objective",
        "value",
        "lower_bound",
        "gap",
        "latency_s",
        "bottleneck_s",
        "places",
        "assignment",
    }
    assert promised <= found.keys()
    assert found["status"] == "optimal"
    assert set(found["tools"]) == {"device_map", "llama_cpp", "vllm"}
    assert sum(len(place["pieces"]) for place in found["places"]) == 34


def test_tiers_and_groups_are_asked_for_by_options() -> None:
    tiers = ("--devices", "gpu=9GiB@400GB,host=64GiB@50GB,disk=1TB@5GB")
    here = answer("llama-3.1-8b", *tiers, "--tiers", "in-place", "--contiguous")
    assert (here["kind"], here["status"]) == ("tiers", "optimal")
    there = answer("llama-3.1-8b", *tiers, "--tiers", "fetch", "--link", "25GB", "--buffers", "2")
    assert there["buffer"] > 0
    rack = ("--devices", "gpu=76GiB@3350GB x16", "--per-node", "8", "--tensor-parallel", "auto")
    wide = answer("llama-3-1-405b", *rack, "--link", "450GB+3us", "--between", "50GB+10us")
    assert (wide["kind"], wide["tensor_parallel"]) == ("rack", 8)
    text = run("llama-3-1-405b", *rack, "--link", "450GB+3us", "--between", "50GB+10us").stdout
    assert "Groups of each size" in text


@pytest.mark.parametrize("width", ["24", "60", "100", "200"])
def test_any_width_will_do(width: str) -> None:
    assert run("llama-3.1-8b", "--devices", "a=24GiB,b=24GiB", width=width).exit_code == 0


def test_no_is_an_exit_status_with_a_reason() -> None:
    found = answer("llama-3.1-8b", "--devices", "8GiB", status=1)
    assert found["status"] == "infeasible"
    assert "are needed" in found["reason"]
    assert "Reason: " in run("llama-3.1-8b", "--devices", "8GiB").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("llama-3.1-8b",),
        ("llama-3.1-8b", "--devices", "no-such-gpu"),
        ("llama-3.1-8b", "--devices", "24GiB", "--links", "1GB", "--link", "1GB"),
        ("llama-3.1-8b", "--devices", "24GiB", "--tensor-parallel", "many"),
        ("llama-3.1-8b", "--devices", "24GiB@1TB", "--link", "fast"),
        ("12GB", "--devices", "24GiB"),
    ],
)
def test_bad_usage_is_one_sentence(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
