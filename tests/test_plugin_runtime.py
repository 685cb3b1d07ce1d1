"""Runtimes of one's own: the fields and checks of the built-in ones, and a name wherever these have one."""

import json
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest
from click.testing import CliRunner
from plugins_world import Install, installer

import ullage
from ullage import RuntimePolicy
from ullage._core import runtime_policies
from ullage.cli.app import app
from ullage.errors import ArgumentError, PluginError

KINDS = ("decoder", "encoder", "graph", "unknown")
WHOLE: dict[str, Any] = {
    "runtime": "whole-test",
    "source": "a test",
    "residency": "copied",
    "schemes": ["dense:f16"],
    "kv_dtypes": [],
    "kv_cache": {"latent": "latent", "cells": "context", "window": "context", "chunk": "context"},
    "state": {"convolution": [2, 2, 4], "recurrent": [2, 4, 4]},
    "weights": {"bytes": "weights + 7"},
    "terms": {"fixed": "11*kB"},
    "activations": dict.fromkeys(KINDS, "batch*fixed"),
    "overhead": {kind: {"lo": "0", "best": "fixed", "hi": "best*2"} for kind in KINDS},
}


@pytest.fixture
def install(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Install:
    return installer(tmp_path, monkeypatch)


def forms() -> Iterator[Any]:
    """Give the same runtime in every form that it may have."""
    yield WHOLE
    yield MappingProxyType(WHOLE)
    yield RuntimePolicy(**WHOLE)
    yield RuntimePolicy(**{**WHOLE, "kv_cache": MappingProxyType(WHOLE["kv_cache"]), "kv_dtypes": ()})


@pytest.mark.parametrize("runtime", list(forms()))
def test_one_that_leaves_nothing_out_is_computed_by_its_own_formulas(runtime: Any) -> None:
    found = ullage.footprint("1GB", runtime=runtime, batch=3)
    assert found.runtime == "whole-test@1"
    assert (found.weights.lo, found.weights.hi) == (1_000_000_007, 1_000_000_007)
    assert found.activations.best == 33_000
    assert (found.overhead.lo, found.overhead.best, found.overhead.hi) == (0, 11_000, 22_000)


def test_it_is_known_by_its_name_from_then_on_and_can_be_replaced() -> None:
    for megabytes in (3, 5):
        overhead = dict.fromkeys(KINDS, f"{megabytes}*MB")
        mine = RuntimePolicy(runtime="known-test", like="llama.cpp", source="a test", overhead=overhead)
        assert ullage.footprint("1GB", runtime=mine).overhead.best == megabytes * 1_000_000
        for name in ("known-test", "Known_Test@1"):
            assert ullage.footprint("1GB", runtime=name).overhead.best == megabytes * 1_000_000
    rows = [row for row in runtime_policies() if row["runtime"] == "known-test"]
    assert [(row["version"], row["source"], row["residency"]) for row in rows] == [("1", "a test", "mapped")]
    listed = json.loads(CliRunner().invoke(app, ["catalog", "runtimes", "--json"]).stdout)["runtimes"]
    assert "known-test" in {row["runtime"] for row in listed}
    with pytest.raises(ArgumentError, match=r"'known-tset' is not one of|known-tset"):
        ullage.footprint("1GB", runtime="known-tset")


def test_what_is_asked_of_a_device_takes_it_too() -> None:
    greedy = RuntimePolicy(
        runtime="greedy-test", like="numpy", source="a test", overhead=dict.fromkeys(KINDS, "900*GB")
    )
    assert not ullage.fit("1GB", "24GiB", runtime=greedy).fits
    assert ullage.fit("1GB", "24GiB", runtime="numpy").fits
    assert not ullage.fit("1GB", "24GiB", runtime="greedy-test").fits


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"runtime": ""}, 'runtime: "" is no name'),
        ({"runtime": "a/b"}, "is no name"),
        ({"runtime": "vllm"}, "the built-in vllm@"),
        ({"aliases": ["ollama"]}, "the built-in llama.cpp@"),
        ({"like": "nobody"}, '"nobody" is not one of'),
        ({"overhead": {"decodr": "0"}}, "overhead: "),
        ({"overhead": dict.fromkeys(KINDS, "1 +")}, "expected a number"),
        ({"overhead": dict.fromkeys(KINDS, "hiden")}, "hiden"),
        ({"overhead": dict.fromkeys(KINDS, "1+" * 9000 + "1")}, "shorter formula"),
        ({"state": {"convolution": [1], "recurrent": [1, 2, 3]}}, "state: "),
        ({"residency": "gone"}, "gone"),
        ({"kv_dtypes": ["f7"]}, "f7"),
        ({"schemes": ["palletized:4"]}, "palletized"),
        ({"source": None}, "expected a string"),
        ({"source": float("nan")}, "no plain data"),
        ({"source": {1, 2}}, "no plain data"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_what_makes_no_sense_is_said(*, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ullage.footprint("1GB", runtime={**WHOLE, **change})
    assert says in str(caught.value)


@pytest.mark.parametrize("missing", sorted(WHOLE.keys() - {"terms", "runtime"}))
def test_without_another_to_be_like_nothing_may_be_left_out(missing: str) -> None:
    left = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(ArgumentError, match=missing):
        ullage.footprint("1GB", runtime=left)


def test_a_plug_in_gives_it_as_data_or_by_a_function(install: Install) -> None:
    code = (
        "import ullage\n"
        "DATA = {'like': 'numpy', 'source': 'a test', 'overhead': {'unknown': '21*MB'}}\n"
        "def made():\n    return ullage.RuntimePolicy(runtime='made-test', like='numpy', source='a test')\n"
        "WRONG = {'like': 'numpy'}\n"
    )
    named = {"data-test": "MODULE:DATA", "made-test": "MODULE:made", "wrong-test": "MODULE:WRONG"}
    home = install(code, {"ullage.runtimes": named})
    assert ullage.footprint("1GB", runtime="data-test").overhead.best == 21_000_000
    assert ullage.footprint("1GB", runtime="made_test").runtime == "made-test@1"
    with pytest.raises(PluginError, match="missing field `source`") as caught:
        ullage.footprint("1GB", runtime="wrong-test")
    assert caught.value.distribution == home.name
