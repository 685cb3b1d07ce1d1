"""Plug-ins: found where they are installed, imported when asked for, and never in the way of what is built in."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from plugins_world import Install, install_example, installer

import ullage
from ullage.benchmark import PackingInstance, run
from ullage.cli.app import app
from ullage.errors import ArgumentError, PluginError, PluginWarning
from ullage.plugins import GROUPS, installed

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = {"a": (3, 1.0), "b": (3, 2.0), "c": (4, 3.0)}
REQUESTS = [(float(second), "abc"[second % 3], 0.5) for second in range(30)]
POLICY = """
class Newest:
    def worth(self, candidate, now):
        return -candidate.turn
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    return installer(tmp_path, monkeypatch)


def test_what_is_installed_is_listed_and_not_imported(install: Install) -> None:
    home = install("raise SystemExit('imported')", {group: {"mine": "MODULE:thing"} for group in GROUPS.values()})
    found = [plugin for plugin in installed() if plugin.distribution == home.name]
    assert [(plugin.kind, plugin.name, plugin.version) for plugin in found] == [
        (kind, "mine", "1.2") for kind in ("policy", "strategy", "scheme", "runtime")
    ]
    assert found[0].value == f"{home.name}:thing"
    assert found[0].group == "ullage.policies"
    assert installed("scheme") == [found[2]]
    with pytest.raises(ArgumentError, match="'polices' is none of policy, strategy, scheme, runtime"):
        installed("polices")  # type: ignore[arg-type] # that is the point


def test_one_that_cannot_be_imported_names_itself_and_harms_nobody(install: Install) -> None:
    home = install(
        "import a_module_that_nobody_has",
        {group: {"broken": "MODULE:thing"} for group in GROUPS.values()},
    )
    calls: list[Callable[[], object]] = [
        lambda: ullage.replay(REQUESTS, MODELS, "8B", policy="broken"),
        lambda: ullage.Pool(ullage.Ledger(limit=10), policy="broken"),
        lambda: ullage.footprint("12GB", runtime="broken"),
        lambda: ullage.compress("12GB", "broken"),
    ]
    for call, group in zip(calls, ("policies", "policies", "runtimes", "schemes"), strict=True):
        with pytest.raises(PluginError, match="cannot be imported: ModuleNotFoundError") as caught:
            call()
        assert (caught.value.group, caught.value.name) == (f"ullage.{group}", "broken")
        assert caught.value.distribution == home.name
        assert home.name in str(caught.value)
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert ullage.replay(REQUESTS, MODELS, "8B", policy="lru").requests == 30
    assert ullage.footprint("12GB", runtime="numpy").total.best > 0
    with pytest.warns(PluginWarning, match="left out: ullage.policies: broken"):
        rows = ullage.replaying.compare(REQUESTS, MODELS, "8B")
    assert {row.policy for row in rows} == set(ullage.replaying.policies()) - {"broken"}


@pytest.mark.parametrize(
    ("kind", "name"), [("policy", "lru"), ("policy", "clairvoyant"), ("strategy", "auto"), ("scheme", "linear")]
)
def test_a_built_in_name_stays_what_it_is(install: Install, kind: str, name: str) -> None:
    install("raise SystemExit('imported')", {GROUPS[kind]: {name: "MODULE:thing"}})  # type: ignore[index] # a kind
    (plugin,) = [plugin for plugin in installed() if plugin.name == name]
    with pytest.raises(PluginError, match=f"'{name}' is a built-in name"):
        plugin.check()
    before = ullage.replay(REQUESTS, MODELS, "8B", policy="lru", log=True).log
    assert before == ullage.replay(REQUESTS, MODELS, "8B", policy="lru", log=True).log
    assert ullage.replaying.policies().count("lru") == 1


def test_a_runtime_cannot_take_the_name_of_one_of_ours(install: Install) -> None:
    code = "RUNTIME = {'like': 'vllm', 'source': 'nobody'}"
    install(
        code, {"ullage.runtimes": {"numpy": "MODULE:RUNTIME", "NumPy ": "MODULE:RUNTIME", "ollama": "MODULE:RUNTIME"}}
    )
    for plugin in installed("runtime"):
        with pytest.raises(PluginError, match="built-in"):
            plugin.check()
    assert ullage.footprint("12GB", runtime="numpy").runtime == "numpy@2"


def test_two_packages_of_one_name_are_told_apart_by_refusing_both(install: Install) -> None:
    first = install(POLICY, {"ullage.policies": {"twice": "MODULE:Newest"}})
    second = install(POLICY, {"ullage.policies": {"twice": "MODULE:Newest"}})
    with pytest.raises(PluginError, match="has the same name") as caught:
        ullage.Pool(ullage.Ledger(limit=10), policy="twice")
    assert first.name in str(caught.value)
    assert second.name in str(caught.value)


def test_an_unknown_name_lists_what_there_is(install: Install) -> None:
    install(POLICY, {"ullage.policies": {"newest": "MODULE:Newest"}})
    with pytest.raises(ArgumentError, match=r"'newset' is not one of: .*lru.*newest"):
        ullage.replay(REQUESTS, MODELS, "8B", policy="newset")


def test_nothing_is_looked_for_before_it_is_asked_for() -> None:
    code = (
        "import sys, ullage; from ullage import Pool, Ledger; Pool(Ledger(limit=9)); "
        "ullage.footprint('12GB', runtime='numpy'); ullage.replay([(0, 'a', 1)], {'a': (1, 1)}, 2, policy='lru'); "
        "assert 'importlib.metadata' not in sys.modules or 'ullage.plugins.discovery' not in sys.modules "
        "or not LOOKED; print('fine')"
    )
    watched = (
        "import importlib.metadata as m; LOOKED = []; was = m.entry_points; "
        "m.entry_points = lambda **k: LOOKED.append(k) or was(**k); "
    )
    words = [sys.executable, "-c", watched + code]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - this very interpreter
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_the_command_lists_them_and_says_which_are_broken(install: Install) -> None:
    assert CliRunner().invoke(app, ["plugins"]).exit_code == 0
    home = install(POLICY, {"ullage.policies": {"newest": "MODULE:Newest", "gone": "MODULE:Gone"}})
    done = CliRunner().invoke(app, ["plugins"])
    assert done.exit_code == 1
    assert "newest" in done.output
    assert "has no attribute 'Gone'" in " ".join(done.output.split())
    answer = json.loads(CliRunner().invoke(app, ["plugins", "--json"]).stdout)
    assert answer["groups"] == list(GROUPS.values())
    gone, newest = answer["plugins"]
    assert newest == {
        "kind": "policy",
        "group": "ullage.policies",
        "name": "newest",
        "value": f"{home.name}:Newest",
        "distribution": home.name,
        "version": "1.2",
        "usable": True,
        "fault": None,
    }
    assert not gone["usable"]


@pytest.mark.parametrize(
    ("group", "code", "says"),
    [
        ("ullage.policies", "thing = 3", "int has no method worth"),
        ("ullage.policies", "class thing:\n    def __init__(self): 1 / 0", "makes no policy: ZeroDivisionError"),
        ("ullage.policies", "class thing:\n    async def worth(self, c, now): return 1.0", "coroutine"),
        ("ullage.policies", "class thing:\n    on_load = 3\n    def worth(self, c, now): return 1.0", "on_load is no"),
        ("ullage.strategies", "thing = 3", "int, not a function"),
        ("ullage.schemes", "thing = 3", "int has no method compressed_bytes"),
        ("ullage.runtimes", "thing = 3", "int is neither a RuntimePolicy nor"),
        ("ullage.runtimes", "thing = {'like': 'numpy', 'source': 's', 'overhed': 1}", "unknown field `overhed`"),
        ("ullage.runtimes", "thing = {'like': 'numpy', 'source': 's', 'runtime': 'other'}", "calls itself 'other'"),
        ("ullage.runtimes", "thing = {'like': 'numpy', 'source': object()}", "no plain data"),
    ],
)
def test_what_is_not_what_it_should_be_is_said(install: Install, group: str, code: str, says: str) -> None:
    install(code, {group: {"mine": "MODULE:thing"}})
    (plugin,) = [plugin for plugin in installed() if plugin.name == "mine"]
    with pytest.raises(PluginError, match=says):
        plugin.check()


@pytest.fixture
def _example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_example(tmp_path, monkeypatch)


@pytest.mark.usefixtures("_example")
def test_all_four_are_found_and_sound() -> None:
    found = installed()
    assert [plugin.name for plugin in found] == ["hyperbolic", "tightest", "rows8", "numpy-mapped"]
    for plugin in found:
        plugin.check()


@pytest.mark.usefixtures("_example")
def test_the_policy_decides_in_replays_and_pools(tmp_path: Path) -> None:
    for serial in (True, False):
        row = ullage.replay(REQUESTS, MODELS, "8B", policy="hyperbolic", serial=serial)
        assert (row.policy, row.requests, row.overcommits) == ("hyperbolic", 30, 0)
    pool = ullage.Pool(ullage.Ledger(limit=8), policy="hyperbolic")
    for name, (size, _) in MODELS.items():
        pool.register(name, load=object, footprint=size)
    for _, name, _ in REQUESTS:
        with pool.lease_sync(name, timeout=20):
            pass
    assert not [row for row in pool.events() if row["event"] == "policy_failed"]
    pool.close()
    (tmp_path / "models.csv").write_text("model,bytes,load_s\na,3,1\nb,3,2\nc,4,3\n")
    (tmp_path / "requests.csv").write_text("time_s,model\n" + "".join(f"{at},{name}\n" for at, name, _ in REQUESTS))
    words = ["replay", str(tmp_path / "requests.csv"), "--models", str(tmp_path / "models.csv"), "--capacity", "8B"]
    answer = json.loads(CliRunner().invoke(app, [*words, "--policy", "hyperbolic", "--json"]).stdout)
    assert (answer["policy"], answer["overcommits"]) == ("hyperbolic", 0)
    every = json.loads(CliRunner().invoke(app, [*words, "--compare", "all", "--json"]).stdout)
    assert "hyperbolic" in {row["policy"] for row in every["policies"]}


@pytest.mark.usefixtures("_example")
def test_the_strategy_packs() -> None:
    instance = PackingInstance("made", "small", (100,), (((51,), 2), ((49,), 2)))
    (row,) = run([instance], ["tightest"])
    assert (row.status, row.objective) == ("feasible", 2)


@pytest.mark.usefixtures("_example")
def test_the_runtime_is_known_by_its_name() -> None:
    mine, numpy = (ullage.footprint("1GB", runtime=name) for name in ("numpy-mapped", "numpy"))
    assert mine.runtime == "numpy-mapped@1"
    assert mine.overhead.best == 16_000_000
    assert mine.weights.lo == 0
    assert mine.activations.hi == numpy.activations.hi
    answer = json.loads(CliRunner().invoke(app, ["footprint", "1GB", "--runtime", "numpy-mapped", "--json"]).stdout)
    assert answer["runtime"] == "numpy-mapped@1"
    assert answer["total"]["best"] == mine.total.best
