"""A policy, and a scheme, for every layer: better than any single one, within limits, and the same every time."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ullage
from ullage import Compression, Linear, Palettized, Profile, Sparse, catalog
from ullage._optimize import optimum_as_dict
from ullage.catalog.profile import profile_fields
from ullage.cli.app import app
from ullage.cli.simulate_all import POLICIES
from ullage.cli.simulate_drawing import advice
from ullage.errors import ArgumentError, UnknownDeviceError
from ullage.report import pass_trace
from ullage.schemes import Scheme

LAYERS: list[tuple[str, str, list[int]]] = [
    (f"{place}.{name}", "Linear", shape)
    for place in range(4)
    for name, shape in (("up", [2048, 1024]), ("down", [1024, 2048]), ("gate", [512, 1024]))
]
MIXED: dict[str, Scheme | str] = {"*.up": Sparse(0.75), "*.gate": Linear(8)}


def slow_sparse() -> Profile:
    """Give a device that decodes sparse weights slowly, so that no policy is best for every layer."""
    fields = profile_fields(catalog.device("iphone-14-pro"))
    fields["decompression"]["sparse"] = fields["decompression"]["sparse"] | {"value": 5e9}
    fields["zeros_skipped"]["value"] = 0.0
    return Profile.from_json(json.dumps(fields))


@pytest.fixture(scope="module")
def mixed() -> Compression:
    return ullage.compress(LAYERS, Palettized(4), container="coreml:ios18", overrides=MIXED)


def run(*words: object) -> Result:
    environment = {"COLUMNS": "100", "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, list(map(str, words)), prog_name="ullage")


def test_a_mix_beats_every_single_policy_under_a_limit(mixed: Compression) -> None:
    device = slow_sparse()
    free = ullage.optimize(mixed, device)
    assert free.peak_bytes is not None
    limit = int(free.peak_bytes * 0.75)
    best = ullage.optimize(mixed, device, memory_limit=limit)
    assert best.status in {"optimal", "feasible"}
    assert best.latency_s is not None
    assert best.peak_bytes is not None
    assert best.peak_bytes <= limit
    allowed = [row for row in best.uniform if row["allowed"]]
    assert allowed
    assert all(best.latency_s < row["latency_s"] for row in allowed)
    assert len({row["policy"] for row in best.layers}) > 1
    assert best.lower_bound <= best.latency_s
    assert sum(row["seconds"] for row in best.layers) == pytest.approx(best.latency_s, rel=1e-3)


def test_less_memory_never_makes_it_faster(mixed: Compression) -> None:
    device = slow_sparse()
    last = 0.0
    for limit in ("64MB", "24MB", "16MB", "12MB"):
        found = ullage.optimize(mixed, device, memory_limit=limit)
        if found.latency_s is None:
            assert found.status == "infeasible"
            assert found.reason
            break
        assert found.latency_s >= last * (1 - 1e-9)
        last = found.latency_s
    assert last > 0


def test_the_least_memory_under_a_limit_of_latency(mixed: Compression) -> None:
    device = slow_sparse()
    fastest = ullage.optimize(mixed, device).latency_s
    assert fastest is not None
    tight = ullage.optimize(mixed, device, latency_limit=fastest * 1.05)
    loose = ullage.optimize(mixed, device, latency_limit=fastest * 4)
    assert tight.objective == loose.objective == "memory"
    assert tight.peak_bytes is not None
    assert loose.peak_bytes is not None
    assert loose.peak_bytes <= tight.peak_bytes
    assert tight.latency_s is not None
    assert tight.latency_s <= fastest * 1.05
    impossible = ullage.optimize(mixed, device, latency_limit=1e-9)
    assert (impossible.status, impossible.latency_s, impossible.layers) == ("infeasible", None, [])


def test_schemes_are_chosen_by_their_noise() -> None:
    schemes: list[Scheme | str] = ["dense:f16", Linear(8), Palettized(4), "palettized:2"]
    last = None
    for ratio in (None, 15.0, 30.0, 60.0):
        found = ullage.optimize(LAYERS, "iphone-14-pro", schemes=schemes, min_snr_db=ratio, objective="memory")
        assert found.peak_bytes is not None
        assert found.snr_db is not None
        assert ratio is None or found.snr_db >= ratio
        assert last is None or found.peak_bytes >= last
        last = found.peak_bytes
    between = ullage.optimize(LAYERS, "iphone-14-pro", schemes=schemes, min_snr_db=25.0, objective="memory")
    assert len({row["scheme"] for row in between.layers}) > 1


def test_the_same_question_has_the_same_answer(mixed: Compression) -> None:
    first, second = (
        optimum_as_dict(ullage.optimize(mixed, slow_sparse(), memory_limit="20MB", time_limit=None)) for _ in range(2)
    )
    for found in (first, second):
        found.pop("seconds")
    assert first == second
    assert json.loads(json.dumps(first)) == first


def test_the_front_is_one(mixed: Compression) -> None:
    front = ullage.optimize(mixed, slow_sparse()).front
    assert len(front) > 1
    sizes = [row["peak_bytes"] for row in front]
    times = [row["latency_s"] for row in front]
    assert sizes == sorted(sizes)
    assert times == sorted(times, reverse=True)
    assert all(sum(row["policies"].values()) == len(LAYERS) for row in front)


def test_progress_is_told_and_what_it_raises_comes_out(mixed: Compression) -> None:
    heard: list[Any] = []
    ullage.optimize(mixed, slow_sparse(), memory_limit="20MB", progress=heard.append)
    assert heard
    assert heard[-1].best >= heard[-1].lower_bound

    def stop(_: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ullage.optimize(mixed, slow_sparse(), memory_limit="20MB", progress=stop)


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"device": "no-such-phone"}, UnknownDeviceError, "no-such-phone"),
        ({"device": "pixel-7"}, ArgumentError, "bandwidth"),
        ({"policies": ["sometimes"]}, ArgumentError, "sometimes"),
        ({"policies": ["stream,prefetch=9"]}, ArgumentError, "ahead"),
        ({"schemes": ["gold:1"]}, ArgumentError, "gold"),
        ({"objective": "beauty"}, ArgumentError, "beauty"),
        ({"latency_limit": -1.0}, ArgumentError, "latency_limit"),
        ({"latency_limit": float("nan")}, ArgumentError, "latency_limit"),
        ({"min_snr_db": float("inf")}, ArgumentError, "min_snr_db"),
        ({"memory_limit": "many"}, ValueError, "many"),
        ({"threads": 0}, ArgumentError, "threads"),
        ({"time_limit": -1.0}, ArgumentError, "time_limit"),
    ],
)
def test_what_makes_no_sense_is_refused(
    mixed: Compression, changes: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        ullage.optimize(mixed, **({"device": "iphone-14-pro"} | changes))


def test_a_model_without_schemes_is_refused() -> None:
    with pytest.raises(ArgumentError, match="schemes"):
        ullage.optimize(LAYERS, "iphone-14-pro")


def test_devices_with_a_bandwidth_have_a_profile() -> None:
    fields = profile_fields(catalog.device("h100-sxm-80gb"))
    assert fields["read"] == {"value": 3350e9, "unit": "bytes_per_second", "origin": "published"}
    assert fields["compute"]["f16"]["value"] == 989e12
    assert fields["memory_limit"] == catalog.device("h100-sxm-80gb").available().best
    phone = profile_fields(catalog.device("iphone-13-pro"))
    assert phone["read"]["origin"] == "published"
    assert phone["storage"]["origin"] == "assumed"


def test_a_trace_has_every_event_and_byte(mixed: Compression) -> None:
    found = ullage.optimize(mixed, slow_sparse(), policies=["just_in_time,prefetch=1"])
    trace = pass_trace(found, "a pass")
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(slices) == len(found.timeline) >= len(LAYERS)
    assert found.latency_s is not None
    assert max(event["ts"] + event["dur"] for event in slices) <= found.latency_s * 1e6 * (1 + 1e-9)
    counters = [event["args"]["in use"] for event in trace["traceEvents"] if event["ph"] == "C"]
    assert max(counters) <= (found.peak_bytes or 0)
    assert {event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"} == {
        event["cat"] for event in slices
    }


def test_advice_names_the_fastest_and_the_smallest() -> None:
    rows = [
        {"policy": "fused", "latency_s": 0.002, "peak_bytes": 1_000_000, "allowed": True},
        {"policy": "load_time", "latency_s": 0.001, "peak_bytes": 4_000_000, "allowed": True},
        {"policy": "stream", "latency_s": 0.0001, "peak_bytes": 1, "allowed": False},
    ]
    words = advice(rows, {"latency_s": 0.0005, "peak_bytes": 2_000_000})
    assert "Choose load_time" in words
    assert "fused needs the least" in words
    assert "2.00 times" in words
    assert "50.0% less" in words
    assert "No single policy" in advice(rows[2:])


def test_the_command_draws_and_writes_a_trace(tmp_path: Path) -> None:
    model = "all-minilm-l6-v2"
    done = run("optimize", model, "-d", "iphone-14-pro", "--scheme", "palettized:4", "--trace", tmp_path / "pass.json")
    assert done.exit_code == 0, done.output
    for part in ("One policy for all layers", "Choose ", "What was chosen", "A pass", "fused"):
        assert part in done.output
    assert json.loads((tmp_path / "pass.json").read_text())["traceEvents"]
    told = json.loads(
        run(
            "optimize", model, "-d", "iphone-14-pro", "--schemes", "linear:8,palettized:4", "--min-snr", "25", "--json"
        ).output
    )
    assert told["status"] in {"optimal", "feasible"}
    assert told["snr_db"] >= 25
    assert {row["scheme"] for row in told["layers"]} <= {"linear:8", "palettized:4", "dense:f16"}


def test_simulating_all_policies_shows_them_and_says_what_to_choose(tmp_path: Path) -> None:
    words = ["simulate", "all-minilm-l6-v2", "--device", "iphone-14-pro", "--scheme", "palettized:4", "--policy", "all"]
    done = run(*words, "--trace", tmp_path / "pass.json")
    assert done.exit_code == 0, done.output
    for part in (*POLICIES, "Choose ", "A pass under", "compute"):
        assert part in done.output
    assert json.loads((tmp_path / "pass.json").read_text())["traceEvents"]
    told = json.loads(run(*words, "--json").output)
    assert set(told["policies"]) == set(POLICIES)
    best = min(told["policies"].values(), key=lambda one: (one["latency_s"], one["peak_bytes"]))
    assert told["policies"][told["choose"]] == best
    no_storage = run(*["rtx-4090" if word == "iphone-14-pro" else word for word in words])
    assert no_storage.exit_code == 0
    assert "no rate of reading storage" in no_storage.output


def test_the_command_says_no_and_refuses() -> None:
    model = "all-minilm-l6-v2"
    none = run("optimize", model, "-d", "iphone-14-pro", "--scheme", "linear:8", "--memory-limit", "1kB")
    assert none.exit_code == 1
    assert "Infeasible" in none.output
    assert run("optimize", model, "-d", "iphone-14-pro").exit_code == 2
    late = run("optimize", model, "-d", "iphone-14-pro", "--scheme", "linear:8", "--latency-limit", "soon")
    assert late.exit_code == 2
    quick = run("optimize", model, "-d", "iphone-14-pro", "--scheme", "linear:8", "--latency-limit", "50ms")
    assert quick.exit_code == 0
