"""Placing through the public face, checked by the package's validator and by a stranger's."""

import itertools
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ullage
from ullage.errors import (
    ArgumentError,
    ModelNotFoundError,
    ProblemError,
    QuantityError,
    UnknownDeviceError,
    UnknownModelError,
)

STRATEGIES = ["auto", "greedy", "local_search", "exact"]


def check(placement: ullage.Placement, models: dict[str, int], devices: dict[str, int]) -> None:
    """Check a placement of plain sizes on single devices, trusting nothing but the numbers given."""
    load: Counter[str] = Counter()
    for name, on in placement.assignment.items():
        for device in on:
            load[device] += models[name]
    for device, used in load.items():
        assert used <= devices[device]
    assert {device.name: device.load["memory"] for device in placement.devices} == {
        name: load[name] for name in devices
    }
    assert placement.unplaced == [name for name, on in placement.assignment.items() if not on]
    ullage.validate(placement)


sizes = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12), max_size=6)
capacities = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 15), min_size=1, max_size=3)


def fits(models: dict[str, int], devices: dict[str, int]) -> list[int]:
    """Give how many devices each possible placement uses."""
    found = []
    for on in itertools.product(devices, repeat=len(models)):
        load: Counter[str] = Counter()
        for size, device in zip(models.values(), on, strict=True):
            load[device] += size
        if all(load[device] <= devices[device] for device in load):
            found.append(len(set(on)))
    return found


@settings(deadline=None)
@given(sizes, capacities, st.sampled_from(STRATEGIES))
def test_placements_are_valid_and_the_exact_one_is_the_best(
    models: dict[str, int], devices: dict[str, int], strategy: str
) -> None:
    placement = ullage.place(models, devices, strategy=strategy)
    check(placement, models, devices)
    possible = fits(models, devices)
    if strategy in {"auto", "exact"}:
        assert placement.status == ("optimal" if possible else "infeasible")
    if placement.status == "optimal":
        assert placement.cost == placement.devices_used == min(possible)


def test_a_serving_engineer_writes_what_is_meant() -> None:
    placement = ullage.place(
        {"llama": "40GB", "bert": {"memory": "500MB", "bandwidth": 10}, "whisper": "3GB"},
        {"h100": {"device": ("80GB", 2), "bandwidth": 100, "cost": 4}, "mac": {"memory": "48GB", "bandwidth": 9}},
        pins={"llama": "h100"},
        together=[["llama", "bert"]],
        apart=[["llama", "whisper"]],
        reserve="1GiB",
    )
    assert placement.assignment == {"llama": ["h100:0"], "bert": ["h100:0"], "whisper": ["mac"]}
    assert (placement.status, placement.cost, placement.lower_bound, placement.gap) == ("optimal", 5, 5, 0)
    used = placement.devices[0]
    assert used.load == {"memory": 40_500_000_000, "bandwidth": 10}
    assert used.usable == {"memory": 80_000_000_000 - (1 << 30), "bandwidth": 100}
    assert json.loads(json.dumps(placement.as_dict()))["devices"][0]["models"] == ["llama", "bert"]


def test_footprints_and_catalog_names_are_models_and_devices() -> None:
    needs = ullage.footprint("llama-3.1-8b", runtime="llama.cpp", weights="gguf:q4_k", context=8192)
    placement = ullage.place({"chat": needs, "embed": "all-minilm-l6-v2"}, ["rtx-4090", "iphone-15-pro"])
    device = placement.devices[0]
    assert device.load["memory"] == needs.total.best + ullage.footprint("all-minilm-l6-v2").total.best
    assert device.usable["memory"] == ullage.device("rtx-4090").usable.best
    cautious = ullage.place({"chat": needs}, ["rtx-4090"], book="hi")
    assert cautious.devices[0].load["memory"] == needs.total.hi


def test_replicas_go_onto_different_devices() -> None:
    placement = ullage.place({"bert": "1GB"}, {"a": ("10GB", 3), "b": "10GB"}, replicas={"bert": 4})
    assert sorted(placement.assignment["bert"]) == ["a:0", "a:1", "a:2", "b"]


def test_costs_with_decimals_are_exact() -> None:
    placement = ullage.place({"m": 6, "n": 6}, {"big": 12, "small": (6, None)}, costs={"big": 2.5, "small": 1.24})
    assert (placement.cost, placement.lower_bound, placement.status) == (2.48, 2.48, "optimal")


def test_what_is_worth_most_is_kept() -> None:
    placement = ullage.place({"a": 6, "b": 5, "c": 5}, {"x": 10}, values={"a": 7.5, "b": 4, "c": 4}, keep="best_value")
    assert (placement.status, placement.unplaced, placement.value, placement.value_bound) == ("optimal", ["a"], 8, 8)


def test_infeasible_says_what_is_to_blame() -> None:
    placement = ullage.place(
        {"small": "1GB", "llama-70b": "140GB", "other": "2GB"},
        {"node-0": "300GB", "node-1": "80GB"},
        replicas={"llama-70b": 2},
    )
    assert placement.status == "infeasible"
    assert placement.conflict == {
        "minimal": True,
        "demands": [
            {"kind": "item", "items": ["llama-70b"]},
            {"kind": "replicas", "items": ["llama-70b"]},
            {"kind": "capacity", "resource": "memory"},
        ],
    }
    assert placement.reason == (
        '"llama-70b" needs 140.00 GB of memory on each of 2 different devices, and only "node-0" holds that'
    )
    assert placement.gap is None


def test_a_repack_moves_little_and_says_in_which_order() -> None:
    before = ullage.place({"a": 5, "b": 5, "c": 5}, {"x": 10, "y": 10})
    used = Counter(on[0] for on in before.assignment.values())
    paired = next(name for name, on in before.assignment.items() if used[on[0]] == 2)
    after = ullage.repack(before, add={"d": 5}, remove=[paired])
    ullage.validate(after)
    assert (after.status, after.moved_bytes, after.migrations) == ("optimal", 0, 0)
    assert [(step["action"], step["model"]) for step in after.steps] == [("load", "d")]

    gap = ullage.repack(after, remove=[next(name for name in after.assignment if name != "d")])
    split = ullage.repack(before, remove=[paired])
    tight = ullage.repack(split, add={"e": 6})
    for repacked in (gap, split, tight):
        ullage.validate(repacked)
    assert (tight.status, tight.moved_bytes, tight.migrations) == ("optimal", 5, 1)
    assert [step["action"] for step in tight.steps] == ["move", "load"]
    refused = ullage.repack(split, add={"e": 6}, max_migrations=0)
    assert (refused.status, refused.migrations) == ("infeasible", 0)
    assert refused.conflict is not None
    assert {"kind": "migrations", "most": 0} in refused.conflict["demands"]
    assert refused.reason is not None
    assert "at most 0 may move" in refused.reason


def test_fragmentation_says_what_cannot_be_used() -> None:
    placement = ullage.place({"a": 7, "b": 7}, {"x": 10, "y": 10})
    assert placement.fragmentation["memory"] == {
        "free": 6,
        "largest_free": 3,
        "external": 0.5,
        "stranded": 6,
        "stranded_share": 1.0,
    }


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"models": {"a": {"memory": 1, "bandwidth": 2}}}, ProblemError, "says nothing of bandwidth, which 'a' needs"),
        ({"models": {"a": {"bandwidth": 2}}}, ProblemError, "says nothing of memory"),
        ({"models": {"a": -1}}, ProblemError, r"models\[\"a\"\].*negative"),
        ({"models": {"a": "12 apples"}}, QuantityError, "12 apples"),
        ({"models": "a"}, ProblemError, "list of names"),
        ({"models": ["no-such-model"]}, UnknownModelError, "no-such-model"),
        ({"devices": {}}, ProblemError, "no device"),
        ({"devices": ["no-such-device"]}, UnknownDeviceError, "no-such-device"),
        ({"devices": {"x": (1, 0)}}, ProblemError, "count"),
        ({"devices": {"x": (1, 2, 3)}}, ProblemError, "pair"),
        ({"devices": {"x": {"memory": 5, "cost": -1}}}, ProblemError, "costs"),
        ({"costs": {"x": float("nan")}}, ProblemError, "costs"),
        ({"costs": {"z": 1}}, ProblemError, "no device 'z'"),
        ({"values": {"a": 0}}, ProblemError, "not positive"),
        ({"values": {"z": 1}}, ProblemError, "no model 'z'"),
        ({"replicas": {"a": 0}}, ProblemError, "replicas"),
        ({"pins": {"a": "z"}}, ProblemError, "no device"),
        ({"pins": {"z": "x"}}, ProblemError, "no model"),
        ({"pins": {"a": []}}, ProblemError, "no place to go"),
        ({"together": [["a", "z"]]}, ProblemError, "no model"),
        ({"apart": [["a", "a"]]}, ProblemError, "twice"),
        ({"reserve": 11}, ProblemError, "reserve"),
        ({"reserve": {"z": 1}}, ProblemError, "no device 'z'"),
        ({"strategy": "luck"}, ArgumentError, "luck"),
        ({"keep": "some"}, ArgumentError, "some"),
        ({"time_limit": -1.0}, ArgumentError, "time_limit"),
    ],
)
def test_bad_input_is_one_error_that_names_it(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ullage.place(**{"models": {"a": 1}, "devices": {"x": 10}, **arguments})


def test_unequal_replicas_do_not_stay_together() -> None:
    with pytest.raises(ProblemError, match="equally many"):
        ullage.place({"a": 1, "b": 1}, {"x": (9, 3)}, replicas={"a": 2}, together=[["a", "b"]])


def test_the_same_seed_gives_the_same_placement() -> None:
    models = {f"m{index}": 3 + index * 7 % 11 for index in range(120)}
    found = [ullage.place(models, {"x": (20, 40), "y": (33, 20)}, seed=5, time_limit=None, strategy="local_search")]
    found.append(ullage.place(models, {"x": (20, 40), "y": (33, 20)}, seed=5, time_limit=None, strategy="local_search"))
    assert found[0].assignment == found[1].assignment
    ullage.validate(found[0])


def test_progress_is_told_and_what_it_raises_ends_the_work() -> None:
    models = {f"m{index}": {"memory": 11 + index * 7 % 13, "slots": 5 + index * 5 % 11} for index in range(60)}
    devices = {"x": {"memory": 50, "slots": 30, "count": None}}
    told: list[ullage.Progress] = []
    ullage.place(models, devices, time_limit=1.0, progress=told.append)
    assert told
    assert all(progress.best is None or progress.best >= progress.lower_bound for progress in told)

    def stop(_: ullage.Progress) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        ullage.place(models, devices, time_limit=None, progress=stop)


def test_ctrl_c_leaves_the_best_so_far() -> None:
    models = {f"m{index}": {"memory": 11 + index * 7 % 13, "slots": 5 + index * 5 % 11} for index in range(60)}
    devices = {"x": {"memory": 50, "slots": 30, "count": None}}
    with pytest.raises(ullage.Interrupted) as caught:
        ullage.place(models, devices, time_limit=None, progress=lambda _: signal.raise_signal(signal.SIGINT))
    best: ullage.Placement = caught.value.best
    ullage.validate(best)
    assert best.status in {"feasible", "optimal"}


FLEET = """
reserve = "1GB"

[models]
embed = "100MB"
chat = { memory = "9GB", value = 5, replicas = 2, on = ["gpu"] }

[devices]
gpu = { device = "10GB", count = 2, cost = 3 }
mac = "8GB"

[rules]
apart = [["embed", "chat"]]
"""


def run(*arguments: str, status: int = 0) -> dict[str, Any]:
    """Run `ullage place --json` in a process of its own."""
    command = [sys.executable, "-m", "ullage.cli", "place", "--json", *arguments]
    command[1:3] = ["-c", "from ullage.cli import main; main()"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - ours
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_fleet_file_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET)
    found = run(str(path))
    assert found["assignment"] == {"embed": ["mac"], "chat": ["gpu:0", "gpu:1"]}
    assert (found["status"], found["cost"]) == ("optimal", 7)
    as_json = tmp_path / "fleet.json"
    as_json.write_text(json.dumps({"models": {"a": 3}, "devices": {"x": [2, 5]}}))
    assert run(str(as_json), status=1)["status"] == "infeasible"


def test_options_say_the_same() -> None:
    found = run(
        "--models", "embed=100MB,chat=9GB x2", "--devices", "gpu=10GB x2,mac=8GB", "--pin", "chat=gpu",
        "--apart", "embed,chat", "--cost", "gpu=3", "--reserve", "1GB",
    )  # fmt: skip
    assert found["assignment"] == {"embed": ["mac"], "chat": ["gpu:0", "gpu:1"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "models"),
        ("models = 3", "models"),
        ("x = 1\n[models]\n[devices]", "x"),
        ("[models]\n[devices]\n[rules]\nfoo = 1", "rules.foo"),
        ("[models]\n[devices]\n[rules]\napart = [3]", "rules.apart"),
        ("[models]\na = { memory = 1, runtime = 'vllm' }\n[devices]\nx = 2", "no effect"),
        ("\x00", "fleet.toml"),
    ],
)
def test_a_fleet_file_without_sense_is_one_error(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    with pytest.raises(ProblemError, match=words):
        ullage.read_fleet(path)


def test_a_fleet_file_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        ullage.read_fleet(tmp_path / "none.toml")


def test_damaged_fleet_files_are_errors_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    content = FLEET.encode()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        try:
            fleet = ullage.read_fleet(path)
            ullage.place(**fleet)
        except ullage.UllageError:
            continue
