"""The demonstration: what it tells must be true, on a terminal, in a pipe and as JSON."""

import json
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ullage
from ullage.cli.demo import chapters, demo, minilm, service

UNIT = 1e-5


@pytest.fixture(scope="module")
def facts(minilm_dir: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "REQUESTS", 40)  # a third of what the demonstration shows, and enough to evict
        outcome = CliRunner().invoke(demo, ["--json", "--model", str(minilm_dir)], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    told: dict[str, Any] = json.loads(outcome.stdout)
    return told


def test_the_footprint_is_that_of_the_file(facts: dict[str, Any]) -> None:
    told = facts["footprint"]
    assert (told["tensors"], told["tensor_bytes"], told["file_bytes"]) == (104, 90_856_960, 90_868_376)
    assert told["dtypes"] == {"F32": 90_852_864, "I64": 4_096}
    assert sum(told["weights_by_part"].values()) == told["tensor_bytes"]
    assert [row["bytes"] for row in told["published"]] == [85_000_000, 100_000_000, 100_000_000]


def test_twelve_gigabytes_do_not_fit_and_something_makes_them_fit(facts: dict[str, Any]) -> None:
    told = facts["fit"]
    assert told["verdict"] == "no"
    assert told["short_by"] == told["required"]["best"] - told["available"]
    assert told["remedies"][0]["verdict"] == "yes"
    assert told["remedies"][0]["required"]["hi"] <= told["remedies"][0]["available"]


def test_the_twelve_models_are_all_placed_and_nothing_is_overfull(facts: dict[str, Any]) -> None:
    told = facts["pack"]
    assert told["total"] == 851_200_000_000
    assert told["status"] == "optimal"
    assert told["bins_used"] <= told["greedy_bins_used"]
    assert sorted(name for machine in told["machines"] for name in machine["models"]) == sorted(told["models"])
    for machine in told["machines"]:
        assert sum(told["models"][name] for name in machine["models"]) == machine["load"] <= machine["capacity"]


def test_the_pool_serves_without_overcommit(facts: dict[str, Any]) -> None:
    told = facts["pool"]
    assert told["sum_of_models"] > told["budget"]
    assert told["overcommits"] == 0
    assert told["booked_peak"] <= told["budget"]
    assert told["measured_peak"] <= told["budget"]
    assert told["booked_at_the_end"] == 0
    assert sum(told["ends"].values()) == told["requests"]
    assert told["ends"]["served"] > told["requests"] / 2
    assert told["loads"] > len(told["models"])
    assert told["evictions"] > 0
    refusals = {refusal["error"] for refusal in told["refusals"]}
    assert "BudgetExceeded" in refusals


def test_estimated_booked_and_measured_stand_side_by_side(facts: dict[str, Any]) -> None:
    for row in facts["pool"]["models"]:
        assert row["estimated"] <= row["booked"]
        if row["measured"] is not None and not row["real"]:
            assert row["measured"] == pytest.approx(row["estimated"], rel=0.05)


def test_the_embeddings_know_what_is_alike(facts: dict[str, Any]) -> None:
    alike, unlike = facts["pool"]["cosines"].values()
    assert alike > 0.5 > unlike


def test_embeddings_have_unit_length_and_do_not_depend_on_what_came_before(minilm_dir: Path) -> None:
    model = minilm.MiniLM(minilm_dir)
    first = model.embed(service.TEXTS[0])
    model.embed("something else entirely, and rather longer than the first")
    assert first.shape == (384,)
    assert float(np.linalg.norm(first)) == pytest.approx(1.0, abs=UNIT)
    assert np.array_equal(first, model.embed(service.TEXTS[0]))


def test_the_error_function_is_close() -> None:
    x = np.linspace(-6, 6, 1001, dtype=np.float32)
    exact = np.array([0.5 * v * (1 + erf(v / 2**0.5)) for v in x.tolist()])
    assert float(np.abs(minilm.gelu(x) - exact).max()) < UNIT


def test_told_into_a_pipe_it_is_plain_text(minilm_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REQUESTS", 12)
    outcome = CliRunner().invoke(demo, ["--model", str(minilm_dir)], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "\x1b" not in outcome.output
    for words in ("What does a model need?", "Does a 12 GB model fit", "Where do twelve models go?", "Overcommits: 0"):
        assert words in outcome.output


def test_too_little_memory_is_said_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch, minilm_dir: Path) -> None:
    monkeypatch.setattr("ullage.cli.demo.FREE_NEEDED", 1 << 60)
    outcome = CliRunner().invoke(demo, ["--model", str(minilm_dir)])
    assert isinstance(outcome.exception, ullage.BudgetExceeded)
    assert outcome.exception.requested == 1 << 60


def test_the_twelve_are_the_table(facts: dict[str, Any]) -> None:
    assert len(facts["pack"]["models"]) == 12
    assert facts["footprint"]["context"] == chapters.TOKENS


def test_a_missing_tokenizer_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, minilm_dir: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    outcome = CliRunner().invoke(demo, ["--model", str(minilm_dir)])
    assert isinstance(outcome.exception, ullage.UllageError)
    assert "ullage[demo]" in str(outcome.exception)
