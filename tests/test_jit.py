"""Just-in-time decompression: what the simulation says, what the executor does, and the commands around them."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ullage
from ullage import Profile, UllageError
from ullage.cli.app import app

LAYERS = [(f"layer.{index}", [96, 256], "palettized:4") for index in range(4)]
POLICIES = ("load_time", "just_in_time", "just_in_time,prefetch=1", "just_in_time,tile=8KiB", "fused", "keep_hot")


def figure(value: float, unit: str = "bytes_per_second") -> dict[str, Any]:
    """Give a figure as profiles hold them."""
    return {"value": value, "unit": unit, "origin": "assumed"}


def profile(**more: Any) -> Profile:
    """Give a device of round rates."""
    fields = {
        "name": "round",
        "read": figure(1e9),
        "compute": {"f16": figure(1e12, "flops_per_second")},
        "decompression": {"palettized": figure(4e9)},
        "storage": figure(1e8),
    }
    return Profile.from_json(json.dumps(fields | more))


def test_a_pass_takes_what_the_roofline_says() -> None:
    """Of plain numbers, bytes over the bandwidth; the bound is named."""
    found = ullage.simulate([("l", [1000, 1000], "dense:f16")], profile(), policy="fused")
    assert found.latency_s == pytest.approx(2e6 / 1e9, rel=0.01)  # and a few activations
    assert found.layers[0]["bound"] == "weight-memory-bound"
    assert (found.resident_bytes, found.peak_bytes, found.basis) == (2_000_000, 2_000_000, "composed")


def test_policies_trade_memory_for_time() -> None:
    """Fused keeps what is stored alone, load time the dense numbers, a layer buffer one layer more."""
    of = {policy: ullage.simulate(LAYERS, profile(), policy=policy) for policy in POLICIES}
    dense, stored = 4 * 96 * 256 * 2, of["fused"].resident_bytes
    assert of["load_time"].resident_bytes == dense
    assert of["load_time"].peak_bytes == dense + stored
    assert of["keep_hot"].resident_bytes == dense + stored
    assert of["just_in_time"].peak_bytes == stored + dense // 4
    assert of["just_in_time,prefetch=1"].scratch_bytes == dense // 2
    assert of["fused"].latency_s < of["load_time"].latency_s
    assert ullage.simulate(LAYERS, profile(), prefetch=1, policy="just_in_time").layers == (
        of["just_in_time,prefetch=1"].layers
    )
    assert ullage.simulate(LAYERS, profile()).latency_s == of["fused"].latency_s


def test_first_output_counts_loading_and_storage() -> None:
    """Stored weights are read once before the first pass if asked for."""
    plain = ullage.simulate(LAYERS, profile(), policy="load_time")
    stored = ullage.simulate(LAYERS, profile(), policy="load_time", from_storage=True)
    assert plain.first_output_s == pytest.approx(plain.load_s + plain.latency_s)
    assert stored.load_s - plain.load_s == pytest.approx((plain.peak_bytes - plain.resident_bytes) / 1e8)


def test_timelines_are_arrays_in_the_order_of_events() -> None:
    """Every layer is computed once, after it was decoded."""
    found = ullage.simulate(LAYERS, profile(has_decompressor=True), policy="just_in_time", prefetch=1)
    timeline = found.timeline
    assert timeline.dtype.names == ("start_s", "end_s", "resource", "layer")
    computed = timeline[timeline["resource"] == found.RESOURCES.index("compute")]
    decoded = timeline[timeline["resource"] == found.RESOURCES.index("decompressor")]
    assert list(computed["layer"]) == [0, 1, 2, 3] == list(decoded["layer"])
    assert np.all(decoded["end_s"] <= computed["start_s"] + 1e-12)
    assert timeline["end_s"].max() == pytest.approx(found.latency_s)
    assert found.memory[-1][1] == found.resident_bytes
    assert max(bytes_ for _, bytes_ in found.memory) <= found.peak_bytes


def test_a_memory_limit_evicts_and_refuses() -> None:
    """What is kept hot shrinks to the limit; what cannot fit is refused with the number."""
    slow = profile(decompression={"palettized": figure(3e8)})
    hot = ullage.simulate(LAYERS, slow, policy="keep_hot")
    less = ullage.simulate(LAYERS, slow, policy="keep_hot", memory_limit=hot.peak_bytes - 1)
    assert less.peak_bytes < hot.peak_bytes
    assert {row["policy"].split(",")[0] for row in less.layers} == {"keep_hot", "just_in_time"}
    with pytest.raises(UllageError, match="memory_limit"):
        ullage.simulate(LAYERS, profile(), policy="fused", memory_limit=1000)


@pytest.mark.parametrize("policy", [*POLICIES, "stream", "stream,prefetch=1"])
def test_execution_books_what_is_simulated(policy: str) -> None:
    """The peak of the executor is the simulator's but for padding and indices; every layer took time."""
    done = ullage.execute(LAYERS, policy=policy, threads=2, seconds=0.0, passes=3)
    said = ullage.simulate(LAYERS, profile(), policy=policy, threads=2)
    assert abs(done.peak_bytes - said.peak_bytes) < 4096
    assert done.scratch_bytes == said.scratch_bytes
    assert done.passes is not None
    assert done.passes >= 3
    assert all(row["seconds"] > 0 for row in done.layers)
    assert len(done.timeline) >= len(LAYERS)


def test_execution_grows_the_process_by_its_peak() -> None:
    """What the operating system counts is what was booked."""
    layers = [(f"l{index}", [2048, 2048], "linear:8") for index in range(24)]
    done = ullage.execute(layers, policy="load_time", seconds=0.0, passes=1)
    if done.process_peak_bytes is None:
        pytest.skip("this system does not say how much a process took at most")
    assert done.process_peak_bytes == pytest.approx(done.peak_bytes, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"model": [("l", [4, 4], "nonsense:4")]}, "scheme"),
        ({"model": [("l", [0, 4], "linear:8")]}, "no elements"),
        ({"model": [("l", [1 << 63, 1 << 63], "linear:8")]}, "layer"),
        ({"model": [("l", ["x"], "linear:8")]}, "shape"),
        ({"model": ["row"]}, "shape"),
        ({"model": 5}, "no compressed model"),
        ({"model": LAYERS, "scheme": "linear:8"}, "already"),
        ({"model": LAYERS, "policy": "lazily"}, "policy"),
        ({"model": LAYERS, "policy": ["fused", "fused"]}, "policies"),
        ({"model": LAYERS, "policy": "just_in_time,tile=0"}, "tile"),
        ({"model": LAYERS, "threads": 0}, "threads"),
        ({"model": LAYERS, "batch": 10**30}, "batch"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], word: str) -> None:
    """One error that says what and why."""
    with pytest.raises(UllageError, match=word):
        ullage.simulate(device=profile(), **{"policy": "fused"} | arguments)


@pytest.mark.parametrize("text", ["", "[]", '{"read": 3}', '{"threads": -1}', '{"read": {"value": NaN}}'])
def test_bad_profiles_are_refused(text: str) -> None:
    """A profile that is none is an error of the argument."""
    with pytest.raises(UllageError, match="profile"):
        Profile.from_json(text)


def test_profiles_survive_files_and_pickles(tmp_path: Path) -> None:
    """A profile is data: JSON, a file named as a device, a pickle."""
    path = tmp_path / "device.json"
    path.write_text(profile().to_json(), encoding="utf-8")
    assert pickle.loads(pickle.dumps(profile())) == profile()  # noqa: S301 - our own
    assert ullage.simulate(LAYERS, str(path), policy="fused").latency_s == (
        ullage.simulate(LAYERS, profile(), policy="fused").latency_s
    )


def test_devices_of_the_catalog_are_rooflines() -> None:
    """Published rates alone: the answer says that it is composed."""
    found = ullage.simulate(LAYERS, ullage.device("h100-sxm-80gb"), policy="fused")
    assert found.basis in {"composed", "partial"}


def test_calibration_is_kept_and_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A small calibration has timings of every policy, is kept, and is this machine from then on."""
    monkeypatch.setenv("ULLAGE_HOME", str(tmp_path))
    with pytest.raises(UllageError, match="ullage calibrate"):
        ullage.simulate(LAYERS, "this-machine")
    monkeypatch.setattr("ullage._jit._memory", lambda: 64 << 20)
    told: list[float] = []
    found = ullage.calibrate(
        schemes=["linear:8"], threads=[1], seconds=0.0, storage=False, progress=lambda done, _: told.append(done)
    )
    assert told
    assert all(0 <= done <= 1 for done in told)
    data = found.as_dict()
    operations = {row["operation"] for row in data["timings"] if row["scheme"].startswith("linear:8")}
    assert {"fused", "tile", "decode", "scratch", "load"} <= operations
    assert data["read"]["origin"] == "measured"
    assert data["read"]["spread"]["q1"] <= data["read"]["spread"]["q3"]
    layers = [("l", [512, 512], "linear:8")]
    said = ullage.simulate(layers, "this-machine", policy="fused", threads=1)
    assert said.basis == "timed"

    def stop(_done: float, _what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ullage.calibrate(schemes=["linear:8"], threads=[1], seconds=0.0, storage=False, progress=stop)


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    """`ullage simulate --json` has the keys that others rely on."""
    path = tmp_path / "device.json"
    path.write_text(profile().to_json(), encoding="utf-8")
    words = ["simulate", "llama-3.2-1b", "--scheme", "palettized:4", "--device", str(path), "--policy", "fused"]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert {"latency_s", "peak_bytes", "resident_bytes", "bytes_moved", "layers"} <= found.keys()
    assert {"name", "bound", "seconds"} <= found["layers"][0].keys()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "weight-memory-bound" in done.stdout
    assert CliRunner().invoke(app, ["simulate", "llama-3.2-1b"]).exit_code == 2
