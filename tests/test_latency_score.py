"""Published latencies: rows complete, layers as published, figures that a fit finds, and honest errors."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

import ullage
from ullage import catalog
from ullage.catalog.profile import profile_fields
from ullage.cli.app import app
from ullage.scoring import LatencySummary, latency_rows, score_latencies
from ullage.scoring.latency import PLAIN, LatencyRow
from ullage.scoring.ranks import kendall, spearman
from ullage.scoring.roofline import Roofline, Sample, fit, predict


@pytest.fixture(scope="module")
def found() -> LatencySummary:
    return score_latencies()


def test_all_rows_of_both_tables_are_there() -> None:
    rows = latency_rows()
    assert len({(row.table, row.model, row.what) for row in rows}) == len(rows) == 50
    ratios = [
        row.latency_ms / plain.latency_ms
        for row in rows
        for plain in rows
        if plain.is_plain and not row.is_plain and (plain.table, plain.model) == (row.table, row.model)
    ]
    assert len(ratios) == 28
    assert min(ratios) == pytest.approx(0.54, abs=0.005)


@pytest.mark.parametrize(
    ("model", "million"),
    [("mobilenet_v2", 300.8), ("mobilenet_v3_small", 56.5), ("resnet50", 4089.2)],
)
def test_networks_have_the_operations_that_they_are_known_for(model: str, million: float) -> None:
    layers = LatencyRow("", "", model, "", PLAIN, "", 16, 1.0).layers()
    assert sum(layer.flops for layer in layers) / 2e6 == pytest.approx(million, abs=0.05)


def test_bytes_of_layers_follow_scheme_and_patterns() -> None:
    rows = {(row.table, row.model, row.what): row for row in latency_rows()}
    sparse = rows["overview", "mobilenet_v2", "50 % sparse"].layers()
    assert sparse[-1].scheme == PLAIN
    assert sparse[-1].bytes == sparse[-1].dense_bytes
    big = max(sparse[:-1], key=lambda layer: layer.dense_bytes)
    assert big.bytes < 0.57 * big.dense_bytes
    assert big.zeros == 0.5
    whole = rows["overview", "resnet50", "8-bit weights"].layers()
    half = rows["overview", "resnet50", "8-bit weights and activations"].layers()
    assert [layer.activation_bytes for layer in half] == [layer.activation_bytes // 2 for layer in whole]


def sample(roofline: Roofline, seed: int, build: int = 0) -> Sample:
    """Make up a network and say what it takes by `roofline`."""
    random = np.random.default_rng(seed)
    count = 24
    compressed = seed % 2
    dense = 10 ** random.uniform(4, 6.5, count)
    made = Sample(
        build=build,
        flops=10 ** random.uniform(6, 9, count),
        depthwise=(random.uniform(size=count) < 0.3).astype(np.float64),
        bus_bytes=dense * (0.3 if compressed else 1.0) + 10 ** random.uniform(4, 6, count),
        decoded_bytes=dense * compressed,
        zeros=np.full(count, 0.5 * (seed % 4 == 3)),
        seconds=1.0,
    )
    return made._replace(seconds=predict(roofline, made))


def test_a_fit_finds_the_figures_that_made_the_rows() -> None:
    truth = Roofline((2e-4, 1e-4), 8e12, 1e12, 60e9, 40e9, 0.4)
    held_back = [sample(truth, seed, seed % 3 % 2) for seed in range(100, 120)]
    again = fit([sample(truth, seed, seed % 3 % 2) for seed in range(40)])
    for one in held_back:
        assert predict(again, one) == pytest.approx(one.seconds, rel=0.02)
    assert again.bus_bytes_per_s == pytest.approx(60e9, rel=0.1)
    assert again.flops_per_s == pytest.approx(8e12, rel=0.1)


def test_a_pass_is_its_floor_and_the_longest_clocks() -> None:
    roofline = Roofline((1.0,), 10.0, 1.0, 4.0, 2.0, 0.5)
    one = np.ones(1)
    made = Sample(0, 30 * one, 0 * one, 8 * one, 2 * one, 0 * one, 1.0)
    assert predict(roofline, made) == 1 + 3
    assert predict(roofline, made._replace(depthwise=one)) == 1 + 30
    assert predict(roofline, made._replace(zeros=one)) == 1 + 2
    assert predict(roofline, made._replace(bus_bytes=40 * one)) == 1 + 10
    assert predict(roofline, made._replace(decoded_bytes=80 * one)) == 1 + 40


def test_half_of_the_rows_says_what_the_other_half_is(found: LatencySummary) -> None:
    parts = [row.part for row in found.rows]
    assert {part: parts.count(part) for part in set(parts)} == {"train": 23, "test": 23, "apart": 4}
    assert found.mape("train") < 0.06
    assert found.mape("test") < 0.09
    assert found.mape() > found.mape("test")
    rank, tau = found.order(part="test")
    assert rank is not None
    assert rank > 0.9
    assert tau is not None
    assert tau > 0.75
    assert found.ratio_error() < 0.08


def test_the_catalog_has_what_the_fit_finds(found: LatencySummary) -> None:
    fields = profile_fields(catalog.device("iphone-14-pro"))
    roofline = found.roofline
    assert fields["read"]["value"] == pytest.approx(roofline.bus_bytes_per_s, rel=0.01)
    assert fields["compute"]["f16"]["value"] == pytest.approx(roofline.flops_per_s, rel=0.01)
    assert fields["depthwise"]["value"] == pytest.approx(roofline.depthwise_flops_per_s, rel=0.01)
    assert fields["decompression"]["palettized"]["value"] == pytest.approx(roofline.decoded_bytes_per_s, rel=0.01)
    assert fields["zeros_skipped"]["value"] == pytest.approx(roofline.zeros_skipped, abs=0.02)
    assert {fields[name]["origin"] for name in ("read", "depthwise", "zeros_skipped")} == {"fitted"}


@pytest.mark.parametrize("scheme", ["dense:f16", "palettized:4", "sparse:0.75", "linear:8"])
def test_the_simulator_uses_the_very_formula(scheme: str) -> None:
    shapes = {"a": [4096, 1024], "b": [64, 64], "c": [512, 8192]}
    rows: list[tuple[str, str, list[int]]] = [(name, "Linear", shape) for name, shape in shapes.items()]
    stored = ullage.compress(rows, scheme, container="coreml:ios18")
    simulated = ullage.optimize(stored, "iphone-14-pro", policies=["fused"])
    layers = {row["name"]: row for row in simulated.layers}
    fields = profile_fields(catalog.device("iphone-14-pro"))
    roofline = Roofline(
        (fields["floor"]["value"],),
        fields["compute"]["f16"]["value"],
        fields["depthwise"]["value"],
        fields["read"]["value"],
        fields["decompression"]["palettized"]["value"],
        fields["zeros_skipped"]["value"],
    )
    dense = np.array([2.0 * math.prod(shape) for shape in shapes.values()])
    compressed = np.array([layers[name]["scheme"] != PLAIN for name in shapes])
    passed = Sample(
        build=0,
        flops=dense,
        depthwise=np.zeros(3),
        bus_bytes=np.array([layers[name]["bytes"] + 2.0 * sum(shape) for name, shape in shapes.items()]),
        decoded_bytes=dense * compressed,
        zeros=np.array([0.75 * layers[name]["scheme"].startswith("sparse") for name in shapes]),
        seconds=1.0,
    )
    assert simulated.latency_s == pytest.approx(predict(roofline, passed), rel=1e-6)


def test_the_same_figures_come_out_every_time(found: LatencySummary) -> None:
    assert score_latencies().roofline == found.roofline


@pytest.mark.parametrize(
    ("first", "second", "rho", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0, 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0, -1.0),
        # By hand: ranks 4.5 2.5 1 4.5 2.5 against 2.5 4 5 2.5 1; and an example of SciPy.
        ([12, 2, 1, 12, 2], [1, 4, 7, 1, 0], -0.5407380704358752, -0.4714045207910316),
        ([1, 2, 3, 4, 5], [5, 6, 7, 8, 7], 0.8207826816681233, 0.7378647873726218),
    ],
)
def test_ranks_agree_with_known_values(first: list[float], second: list[float], rho: float, tau: float) -> None:
    assert spearman(first, second) == pytest.approx(rho)
    assert kendall(first, second) == pytest.approx(tau)
    assert spearman(first, [1.0] * len(first)) is None
    assert kendall(first, [1.0] * len(first)) is None


def test_the_command_prints_every_row_and_what_it_cannot_know() -> None:
    runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})
    plain = runner.invoke(app, ["score", "latency"], prog_name="ullage")
    assert plain.exit_code == 0
    assert plain.output.count("palettization") >= 1
    assert plain.output.count("resnet50") >= 14
    assert "cannot see" in plain.output
    as_json = json.loads(runner.invoke(app, ["score", "latency", "--json"], prog_name="ullage").output)
    assert len(as_json["rows"]) == 50
    assert math.isfinite(as_json["mape"]["test"])
    assert as_json["order_of_latencies"]["spearman"] > 0.9
    assert all(row["predicted_ratio"] > 0 for row in as_json["rows"])
