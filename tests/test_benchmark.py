"""The harness: what it reads, what becomes of right and wrong strategies, and what the figures mean."""

import contextlib
import csv
import gzip
import io
import json
import math
import sqlite3
import tarfile
import threading
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ullage
from ullage.benchmark import (
    Answer,
    ArenaInstance,
    Journal,
    PackingInstance,
    Row,
    as_markdown,
    draw_profile,
    judge,
    own_names,
    performance_profile,
    read_instances,
    read_optima,
    run,
    strategies,
    summarise,
    write_csv,
    write_json,
    write_markdown,
)
from ullage.benchmark.answer import answer_of, checked
from ullage.benchmark.instance import of_dict
from ullage.benchmark.strategy import _digest
from ullage.errors import ArgumentError, InputError, ModelNotFoundError, ProblemError, ViolationError
from ullage.solving import Interrupted

WORLD = Path(__file__).with_name("benchmark_world.py")
BPP = "4\n10\n6\n5\n5\n4\n"
CSP = "2\n10\n6 1\n5 2\n"
VBP = "2\n10 10\n2\n6 1 3\n1 6 3\n"
BUFFERS = "id,lower,upper,size\na,0,3,4\nb,3,9,4\nc,0,9,4\n"
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,500,100,1,500\nb,500,100,1,500\nc,9000,100,0,0\n"
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn,1000,1000,1,T4\nm,1000,1000,1,T4\nk,16000,1000,0,\n"
TYPES = "id,vmTypeId,machineId,core,memory,hdd,ssd,nic\n0,0,0,0.5,0.25,,,\n1,1,0,0.25,0.5,,,\n2,1,1,1,1,,,\n"
REQUESTS = "vmId,tenantId,vmTypeId,priority,starttime,endtime\n0,0,0,0,-1,8\n1,0,1,0,1,\n2,0,1,0,9,\n3,0,0,0,1,2\n"

FOUR = PackingInstance("made", "four", (10,), (((6,), 1), ((5,), 2), ((4,), 1)), target=2)
WIDE = PackingInstance("made", "wide", (10, 10), (((6, 1), 3), ((1, 6), 3)), ("a", "b"), target=3)
BLOCK = ArenaInstance("made", "block", (4, 4, 4), (0, 3, 0), (3, 9, 9), (1, 1, 4), target=8)


def world(name: str) -> str:
    return f"{name}={WORLD}:{name}"


def one(strategy: str, instance: Any = FOUR, **limits: Any) -> Row:
    (row,) = run([instance], [strategy if strategy in names() else world(strategy)], **({"time_limit": 5} | limits))
    return row


def names() -> set[str]:
    return {name for found in own_names().values() for name in found}


def row(strategy: str, instance: str = "i", **fields: Any) -> Row:
    usual: dict[str, Any] = {"family": "f", "instance": instance, "kind": "packing", "items": 3, "digest": instance}
    usual |= {"strategy": strategy, "spec": f"m:{strategy}", "version": "", "time_limit": 1.0, "status": "feasible"}
    return Row(**(usual | {"objective": 4, "seconds": 1.0} | fields))


# What is read


def test_formats_are_read_from_folders_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "easy"
    folder.mkdir()
    for name, text in {"a.txt": BPP, "b.csp": CSP, "c.vbp": VBP, "d.8.csv": BUFFERS}.items():
        (folder / name).write_text(text)
    (folder / "e.bpp.gz").write_bytes(gzip.compress(BPP.encode()))
    (folder / "README.md").write_text("no instance")
    (folder / "optimal.csv").write_text("opt,family,instance\n2,easy,a\n3,packed,x\n2,zipped,y\n")
    with tarfile.open(tmp_path / "bpplib.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("packed/x.txt")
        member.size = len(BPP)
        archive.addfile(member, io.BytesIO(BPP.encode()))
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as zipped:
        zipped.writestr("y.txt", BPP)
    found = read_instances([tmp_path])
    by_name = {(instance.family, instance.name): instance for instance in found.instances}
    assert set(by_name) == {("easy", name) for name in ("a", "b", "c", "d.8", "e")} | {("packed", "x"), ("zipped", "y")}
    assert [by_name[key].target for key in (("easy", "a"), ("packed", "x"), ("zipped", "y"))] == [2, 3, 2]
    first, vector, arena = (by_name["easy", name] for name in ("b", "c", "d.8"))
    assert isinstance(first, PackingInstance)
    assert (first.sizes, first.capacity, first.count) == ([6, 5, 5], 10, 3)
    assert isinstance(vector, PackingInstance)
    assert vector.items == [(6, 1)] * 3 + [(1, 6)] * 3
    assert isinstance(arena, ArenaInstance)
    assert (arena.sizes, arena.starts, arena.ends, arena.target) == ((4, 4, 4), (0, 3, 0), (3, 9, 9), 8)
    assert [Path(name).name for name, _ in found.left_out] == ["README.md"]
    assert by_name["easy", "a"].digest == by_name["packed", "x"].digest != first.digest


def test_traces_are_read_side_by_side(tmp_path: Path) -> None:
    for name, text in {"openb_pod_list.csv": PODS, "openb_node_list.csv": NODES}.items():
        (tmp_path / name).write_text(text)
    small, large = read_instances([tmp_path]).instances
    assert isinstance(small, PackingInstance)
    assert isinstance(large, PackingInstance)
    assert (small.name, small.capacities, small.kinds) == (
        "openb_pod_list@1000-1000-1",
        (1000, 1000, 1000),
        (((500, 100, 500), 2),),
    )
    assert (large.capacities, large.kinds) == ((16000, 1000, 0), (((9000, 100, 0), 1),))
    (row,) = run([small], [world("first_fit")])
    assert (row.status, row.objective) == ("feasible", 1)


def test_the_azure_trace_is_the_same_as_sqlite_and_as_csv(tmp_path: Path) -> None:
    texts, database = tmp_path / "texts", tmp_path / "trace.sqlite"
    texts.mkdir()
    with closing(sqlite3.connect(database)) as connection:
        for table, text in {"vmType": TYPES, "vm": REQUESTS}.items():
            (texts / f"{table}.csv").write_text(text)
            header, *lines = csv.reader(text.splitlines())
            connection.execute(f"CREATE TABLE {table} ({', '.join(header)})")
            values = [[float(cell) if "." in cell else int(cell) if cell else None for cell in line] for line in lines]
            marks = ", ".join("?" * len(header))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608 - the test's own
        connection.commit()
    from_csv = read_instances([texts]).instances
    from_sqlite = read_instances([database]).instances
    assert [(i.kinds, i.capacities) for i in from_csv if isinstance(i, PackingInstance)] == [
        (i.kinds, i.capacities) for i in from_sqlite if isinstance(i, PackingInstance)
    ]
    first, second = from_csv
    assert isinstance(first, PackingInstance)
    assert first.kinds == (((500_000, 250_000, 0, 0, 0), 1), ((250_000, 500_000, 0, 0, 0), 1))
    assert isinstance(second, PackingInstance)
    assert second.count == 1
    assert read_instances([texts], at_days=1.5).instances[0].count == 3


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "4\n10\n6\n", "file: ends after 1 of 4 items"),
        ("a.csp", "1\n10\n6\n", "line 3"),
        ("a.vbp", "1\n10\n1\n11 1\n", "needs 11 of resource '0', a bin has 10"),
        ("a.csv", "name,size\na,1\n", "no capacity"),
        ("a.csv", "x,y\n", "line 1"),
        ("a.csp", "1\n10\n1 99999999\n", "more than 10,000,000 items"),
        ("a.txt", b"\xff", "UTF-8"),
        ("a.txt.gz", b"no gzip", "unpacked"),
        ("a.txt.gz", gzip.compress(b"4\n10\n6\n" * 99, mtime=0)[:30], "unpacked"),
        ("a.tar.gz", b"no tar", "unpacked"),
        ("a.zip", b"PK\x03\x04 no zip", "unpacked"),
        ("a.sqlite", b"SQLite format 3\x00 and no more", "trace"),
        ("optimal.csv", "family,instance,opt\na,b,x\n", "line 2"),
        ("optimal.csv", "family,instance,opt\na,b,1\na,b,2\n", "line 3"),
    ],
)
def test_what_is_no_instance_is_refused_by_name(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as caught:
        read_instances([path])
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_archives_cut_at_any_place_are_read_or_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for index in range(3):
            member = tarfile.TarInfo(f"packed/x{index}.txt")
            member.size = len(BPP)
            archive.addfile(member, io.BytesIO(BPP.encode()))
    path = tmp_path / "a.tar.gz"
    content = whole.getvalue()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with contextlib.suppress(ProblemError):
            assert len(read_instances([path]).instances) <= 3
    path.write_bytes(content)
    assert len(read_instances([path]).instances) == 3


def test_other_faults_of_input_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        read_instances([tmp_path / "nowhere"])
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        read_optima(tmp_path / "nowhere")
    for folder, text in {"1": BPP, "2": CSP}.items():
        (tmp_path / folder / "same").mkdir(parents=True)
        (tmp_path / folder / "same" / "a.txt").write_text(text)
    with pytest.raises(ProblemError, match="two instances of this name"):
        read_instances([tmp_path])
    (tmp_path / "1" / "openb_pod_list.csv").write_text(PODS)
    assert "list of nodes" in read_instances([tmp_path / "1"]).left_out[0][1]


@pytest.mark.parametrize("instance", [FOUR, WIDE, BLOCK])
def test_instances_survive_json(instance: Any) -> None:
    from dataclasses import asdict  # noqa: PLC0415 - here alone

    assert of_dict(json.loads(json.dumps(asdict(instance)))) == instance


# What strategies say


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=7),
    st.lists(st.integers(0, 3), min_size=7, max_size=7),
)
def test_the_validator_agrees_with_the_definition(demands: list[tuple[int, int]], places: list[int]) -> None:
    instance = PackingInstance("f", "i", (12, 9), tuple((demand, 1) for demand in demands), ("a", "b"))
    places = places[: len(demands)]
    fits = all(
        sum(demand[r] for demand, place in zip(demands, places, strict=True) if place == used) <= instance.capacities[r]
        for used in set(places)
        for r in (0, 1)
    )
    if fits:
        assert checked(instance, places) == len(set(places))
    else:
        with pytest.raises(ViolationError):
            checked(instance, places)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5), st.integers(0, 5), st.integers(0, 12)), max_size=6))
def test_offsets_are_checked_by_the_definition(buffers: list[tuple[int, int, int, int]]) -> None:
    sizes, starts = tuple(b[2] for b in buffers), tuple(b[0] for b in buffers)
    ends, offsets = tuple(b[0] + b[1] for b in buffers), [b[3] for b in buffers]
    instance = ArenaInstance("f", "i", sizes, starts, ends, (1,) * len(buffers))
    clash = any(
        max(starts[i], starts[j]) < min(ends[i], ends[j])
        and max(offsets[i], offsets[j]) < min(offsets[i] + sizes[i], offsets[j] + sizes[j])
        for i in range(len(buffers))
        for j in range(i)
    )
    if clash:
        with pytest.raises(ViolationError):
            checked(instance, offsets)
    else:
        tops = [offset + size for offset, size in zip(offsets, sizes, strict=True) if size]
        assert checked(instance, offsets) == max(tops, default=0)


def test_answers_come_in_several_forms() -> None:
    places = [0, 1, None]
    for said in (places, tuple(places), Answer(places), (places, None), iter(places)):
        assert answer_of(said) == Answer(places, None)
    assert answer_of((np.array([0, 1, -1]), np.int64(2))) == Answer(places, 2)
    assert answer_of(None) == answer_of((None, None)) == Answer(None, None)
    assert answer_of((None, 3)) == Answer(None, 3)
    for nonsense in ("hello", {1: 2}, 5, [1.5], ([1], "two")):
        with pytest.raises(TypeError):
            answer_of(nonsense)


def test_our_own_strategies_are_those_of_the_solvers() -> None:
    assert "auto" in own_names()["packing"]
    assert "auto" in own_names()["arena"]
    with pytest.raises(ArgumentError, match=own_names()["packing"][-1]):
        ullage.pack([1], 1, "nonsense")


def test_strategies_are_found_by_name_module_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def solve(instance, seconds): return [7] * instance.count\n")
    monkeypatch.chdir(tmp_path)
    found = strategies(["auto", " x=mine:solve", "mine.py:solve"])
    assert [(one.name, one.spec) for one in found[:2]] == [("auto", "ullage:auto"), ("x", "mine:solve")]
    assert (found[2].name, found[2].spec) == ("mine:solve", f"{tmp_path / 'mine.py'}:solve")
    assert [row.status for row in run([FOUR], found)] == ["proven", "invalid", "invalid"]


def test_installed_strategies_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packers.py").write_text("def one_each(instance, seconds): return list(range(instance.count))\n")
    installed = tmp_path / "packers-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: packers\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[ullage.strategies]\nhalf_empty = packers:one_each\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (row,) = run([FOUR], ["half_empty"])
    assert (row.spec, row.status, row.objective) == ("entry:half_empty", "feasible", 4)
    with pytest.raises(ArgumentError, match="half_empty"):
        strategies(["half_full"])


@pytest.mark.parametrize(
    ("given_names", "says"),
    [
        (["nonsense"], "first_fit_decreasing"),
        (["auto", "auto"], "twice"),
        (["nowhere.py:solve"], "no such file"),
        (["module:"], "no function"),
        (["a b:solve"], "neither"),
    ],
)
def test_strategies_that_nobody_has_are_refused(given_names: list[str], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        strategies(given_names)


# What becomes of them


def test_right_answers_are_counted_by_the_validator() -> None:
    found = {
        (row.instance, row.strategy): row
        for row in run([FOUR, WIDE, BLOCK], ["auto", world("first_fit"), world("stacked")])
    }
    auto = found["four", "auto"]
    assert (auto.status, auto.objective, auto.lower_bound, auto.target) == ("proven", 2, 2, 2)
    assert auto.seconds is not None
    assert auto.cpu_s is not None
    assert auto.peak_bytes is None or auto.peak_bytes > 1 << 20
    assert (found["wide", "first_fit"].status, found["wide", "first_fit"].objective) == ("feasible", 3)
    assert (found["block", "auto"].status, found["block", "auto"].objective) == ("proven", 8)
    assert (found["block", "stacked"].status, found["block", "stacked"].objective) == ("feasible", 12)
    assert (found["wide", "auto"].status, found["wide", "auto"].objective) == ("proven", 3)
    assert found["four", "stacked"].status == "unsupported"


@pytest.mark.parametrize(
    ("strategy", "status", "says"),
    [
        ("all_in_one", "invalid", "bin 0 holds 20"),
        ("gives_up", "timeout", "found no answer"),
        ("one_short", "invalid", "3 items are assigned, the instance has 4"),
        ("one_missing", "invalid", "item 0 has no bin"),
        ("contradicts_itself", "invalid", "at least 5 are needed and takes 4"),
        ("halves", "error", "not a whole number"),
        ("says_hello", "error", "not str"),
        ("raises", "error", "RuntimeError: no idea"),
        ("leaves", "error", "status 3: last words"),
        ("crashes", "error", "SIGSEGV"),
        ("NOT_CALLABLE", "error", "not a function"),
        ("missing", "error", "has no 'missing'"),
    ],
)
def test_wrong_strategies_are_rows_and_not_the_end(strategy: str, status: str, says: str) -> None:
    row = one(strategy)
    assert row.status == status
    assert row.objective is None or status == "invalid"
    assert says in row.fault


def test_what_a_strategy_prints_is_not_its_answer() -> None:
    assert (one("prints").status, one("prints").objective) == ("feasible", 4)


def test_a_strategy_that_hangs_is_killed_with_its_children() -> None:
    row = one("hangs", time_limit=0.2, grace=0.3)
    assert (row.status, row.objective) == ("timeout", None)
    assert row.seconds is not None
    assert row.seconds >= 0.5
    ours = f"# of {psutil.Process().pid}"
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if ours in " ".join(process.info["cmdline"] or [])
    ]


def test_a_strategy_that_swells_is_killed() -> None:
    row = one("swells", memory_limit=300 << 20)
    assert row.status == "memory"
    assert row.peak_bytes is not None
    assert row.peak_bytes > 300 << 20


@pytest.mark.parametrize(
    "limits", [{"time_limit": -1}, {"grace": math.nan}, {"jobs": 0}, {"memory_limit": 0}, {"resume": True}]
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(limits))):
        run([FOUR], ["auto"], **limits)


# What is kept


def test_work_is_resumed_where_it_ended(tmp_path: Path) -> None:
    journal = tmp_path / "kept" / "run.jsonl"
    told: list[tuple[str, int, int]] = []

    def tell(row: Row, done: int, total: int) -> None:
        told.append((row.strategy, done, total))

    first = run([FOUR], ["auto"], journal=journal, told=tell)
    assert told == [("auto", 1, 1)]
    with pytest.raises(ArgumentError, match="is there already"):
        run([FOUR], ["auto"], journal=journal)
    with journal.open("ab") as file:
        file.write(b'{"family": "cut sho')
    both = run([FOUR], ["auto", world("one_each")], journal=journal, resume=True, told=tell)
    assert both[0] == first[0]
    assert told[1:] == [("one_each", 2, 2)]
    assert [row.strategy for row in Journal(journal).rows()] == ["auto", "one_each"]
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [set(line) == {"run"} for line in lines] == [True, False, True, False]
    assert lines[0]["run"]["ullage"] == ullage.__version__
    changed = replace(FOUR, kinds=(*FOUR.kinds, ((1,), 1)))
    assert len(run([changed], ["auto"], journal=journal, resume=True, told=tell)) == 1
    assert len(run([FOUR], ["auto"], time_limit=9, journal=journal, resume=True, told=tell)) == 1
    assert len(told) == 4
    journal.write_text("{}\n")
    with pytest.raises(ProblemError, match="line 1"):
        run([FOUR], ["auto"], journal=journal, resume=True)


def test_a_strategy_that_was_changed_runs_again(tmp_path: Path) -> None:
    journal, path = tmp_path / "run.jsonl", tmp_path / "mine.py"
    found = []
    for step in ("instance.count - i", "i"):
        path.write_text(f"def solve(instance, seconds): return [{step} for i in range(instance.count)]\n")
        _digest.cache_clear()
        found += [row.version for row in run([FOUR], [f"{path}:solve"], journal=journal, resume=True)]
    assert len(set(found)) == len(list(Journal(journal).rows())) == 2


def test_ctrl_c_leaves_what_is_there(tmp_path: Path) -> None:
    def interrupt(_row: Row, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    journal = tmp_path / "run.jsonl"
    with pytest.raises(Interrupted) as caught:
        run([FOUR, WIDE], [world("one_each"), world("hangs")], journal=journal, told=interrupt)
    assert [row.strategy for row in caught.value.best] == ["one_each"]
    assert len(list(Journal(journal).rows())) == 1
    assert not [thread for thread in threading.enumerate() if "ullage-bench" in thread.name]


def test_several_at_once_give_the_same(tmp_path: Path) -> None:
    instances = [replace(FOUR, name=str(index)) for index in range(4)]
    rows = run(instances, ["auto", world("one_each")], jobs=2, journal=tmp_path / "run.jsonl")
    assert sorted((row.instance, row.strategy, row.objective) for row in rows) == [
        (str(index), strategy, objective)
        for index in range(4)
        for strategy, objective in (("auto", 2), ("one_each", 4))
    ]


# What the figures mean


def test_a_lower_bound_that_another_answer_disproves_is_no_proof() -> None:
    rows = run([replace(FOUR, target=None)], ["auto", world("boasts")])
    assert {row.strategy: row.status for row in rows} == {"auto": "proven", "boasts": "proven"}
    boast = next(one for one in judge(rows) if one.row.strategy == "boasts")
    assert (boast.row.status, boast.is_solved, boast.reference) == ("invalid", False, 2)
    assert boast.row.fault == "claims that at least 4 are needed; 2 do"


def test_gaps_are_to_the_best_that_is_known() -> None:
    rows = [
        row("a", objective=5, target=4),
        row("b", objective=4, target=4, status="proven"),
        row("a", "j", objective=8),
        row("b", "j", objective=10),
        row("a", "k", objective=3, target=4),
        row("b", "k", objective=None, status="timeout", seconds=7.0, fault="slow"),
    ]
    judged = {(one.row.instance, one.row.strategy): one for one in judge(rows)}
    assert {key: one.gap for key, one in judged.items()} == {
        ("i", "a"): 0.25,
        ("i", "b"): 0.0,
        ("j", "a"): 0.0,
        ("j", "b"): 0.25,
        ("k", "a"): 0.0,
        ("k", "b"): None,
    }
    (first, second) = summarise(judge(rows))
    assert (first.solved, first.proven, first.failed, first.mean_gap) == (2, 0, 0, 0.25 / 3)
    assert (second.solved, second.proven, second.failed, second.invalid) == (1, 1, 1, 0)
    assert (second.mean_s, second.median_s, second.max_s) == (3.0, 1.0, 7.0)


def test_families_are_summed_up() -> None:
    rows = [row("a", family="f"), row("a", "j", family="g"), row("b", family="f", status="unsupported")]
    assert [(line.family, line.strategy, line.instances) for line in summarise(judge(rows))] == [
        ("f", "a", 1),
        ("g", "a", 1),
        ("all", "a", 2),
    ]


def test_profiles_follow_the_definition() -> None:
    rows = [
        row("fast", "1", seconds=1.0),
        row("slow", "1", seconds=4.0),
        row("fast", "2", seconds=6.0),
        row("slow", "2", seconds=3.0),
        row("fast", "3", objective=5, seconds=0.1),
        row("slow", "3", objective=4, seconds=9.0),
        row("fast", "4", seconds=1e-6),
        row("slow", "4", seconds=1e-9),
        row("fast", "5", status="timeout", objective=None),
        row("slow", "5", status="timeout", objective=None),
    ]
    profile = performance_profile(judge(rows))
    assert profile.curves == {"fast": [(1.0, 0.4), (2.0, 0.6)], "slow": [(1.0, 0.6), (4.0, 0.8)]}
    assert profile.instances == 5
    assert performance_profile(judge(rows), "proven").curves == {"fast": [], "slow": []}


def test_profiles_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    rows = [
        row(name, str(index), seconds=1.0 + index * place) for place, name in enumerate("abc") for index in range(5)
    ]
    profile = performance_profile(judge([*rows, row("never", "0", status="error", objective=None)]))
    for name, begins in {"p.png": b"\x89PNG", "p.SVG": b"<?xml", "p.pdf": b"%PDF"}.items():
        draw_profile(profile, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert ">never (0%)<" in (tmp_path / "p.SVG").read_text()
    draw_profile(performance_profile([]), tmp_path / "empty.png")
    with pytest.raises(ArgumentError, match="does not end in"):
        draw_profile(profile, tmp_path / "p.docx")
    with pytest.raises(InputError, match="nowhere"):
        draw_profile(profile, tmp_path / "nowhere" / "p.png")


def test_results_are_written(tmp_path: Path) -> None:
    judged = judge([row("a|b"), row("c", status="error", objective=None, seconds=None, fault='no, "idea"')])
    lines = summarise(judged)
    write_csv(tmp_path / "a.csv", judged)
    write_json(tmp_path / "a.json", judged, lines, performance_profile(judged))
    write_markdown(tmp_path / "a.md", lines)
    with (tmp_path / "a.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [(line["strategy"], line["status"], line["solved"], line["fault"]) for line in read] == [
        ("a|b", "feasible", "1", ""),
        ("c", "error", "0", 'no, "idea"'),
    ]
    assert json.loads((tmp_path / "a.json").read_text())["summary"][0]["solved"] == 1
    table = (tmp_path / "a.md").read_text().splitlines()
    assert table[0].count("|") == table[1].count("|") == 11
    assert table[2] == r"|f|a\|b|1|1|0|0|1.000|1.000|1.000|0.00%|"
    assert as_markdown(lines).splitlines() == table
    with pytest.raises(InputError, match="nowhere"):
        write_csv(tmp_path / "nowhere" / "a.csv", judged)
