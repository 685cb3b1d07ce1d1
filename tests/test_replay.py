"""Traces and replays: files, arrays, policies, the lower bound, the command."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ullage
from ullage.errors import ArgumentError, ProblemError, UnknownModelError, UnreadableError
from ullage.replaying import compare, policies, read_trace, replay

GB = 10**9
MODELS = {f"stage{number}": (8 * GB, 10.0) for number in range(5)}
"""Five models of which four fit."""
CYCLE = [(60.0 * number, f"stage{number % 5}", 20.0) for number in range(2000)]
"""Round and round: what was used longest ago comes next."""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Write the cycle as two CSV files."""
    requests, models = tmp_path / "requests.csv", tmp_path / "models.csv"
    requests.write_text("time_s,model,duration_s\n" + "".join(f"{t:.3f},{m},{d}\n" for t, m, d in CYCLE))
    models.write_text("model,bytes,load_s\n" + "".join(f"{n},{b},{s}\n" for n, (b, s) in MODELS.items()))
    return requests, models


def test_a_cycle_is_cold_under_simple_rules_and_mostly_warm_under_value() -> None:
    for policy in ("lru", "lfu", "gdsf", "rate"):
        came = replay(CYCLE, MODELS, "32GB", policy=policy, serial=True, bound=False)
        assert (came.cold_starts, came.load_seconds) == (2000, 20_000.0), policy
    best = replay(CYCLE, MODELS, "32GB", policy="clairvoyant", serial=True)
    assert best.load_seconds == 5030.0
    came = replay(CYCLE, MODELS, "32GB", serial=True)
    assert came.policy == "value"
    assert came.cold_starts <= 600
    assert came.lower_bound_load_seconds is not None
    assert 4500 < came.lower_bound_load_seconds <= best.load_seconds <= came.load_seconds
    assert (came.overcommits, came.refused, came.peak_bytes) == (0, 0, 32 * GB)


def test_files_arrays_and_columns_say_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    packed = tmp_path / "requests.csv.gz"
    packed.write_bytes(gzip.compress(files[0].read_bytes()))
    columns = {
        "time_s": np.array([row[0] for row in CYCLE]),
        "model": np.array([row[1] for row in CYCLE]),
        "duration_s": np.array([row[2] for row in CYCLE]),
    }
    rows = [(name, size, load_s) for name, (size, load_s) in MODELS.items()]
    sources: list[tuple[Any, Any]] = [
        files,
        (packed, files[1]),
        (columns, rows),
        (str(files[0]), MODELS),
        (CYCLE, MODELS),
    ]
    logs = {replay(*source, "32GB", log=True, bound=False).log for source in sources}
    assert len(logs) == 1


def test_a_replay_replays_bit_for_bit() -> None:
    for serial in (True, False):
        first, second = (replay(CYCLE, MODELS, "20GB", serial=serial, log=True, bound=False) for _ in range(2))
        assert first.log == second.log
        assert first.log is not None
        assert first.log.startswith(b"time_ns,event,number\n")
        shown = {name: value for name, value in first.as_dict().items() if name != "wall_s"}
        assert shown == {name: value for name, value in second.as_dict().items() if name != "wall_s"}


def test_wrong_estimates_lags_and_overlaps_never_overcommit() -> None:
    crowd = [(float(number // 3), f"stage{number % 5}", 7.5) for number in range(600)]
    for policy in policies():
        came = replay(
            crowd,
            MODELS,
            "25GB",
            policy=policy,
            estimate_error=0.5,
            unload_lag=1.5,
            shared_bandwidth=True,
            workspace="64MB",
        )
        assert came.overcommits == 0, policy
        assert came.peak_bytes <= 25 * GB
        assert sum(model.requests for model in came.models) == came.requests == 600
        assert came.delays.p50_s <= came.delays.p99_s <= came.delays.max_s
        assert came.lower_bound_load_seconds is None


def test_a_request_that_may_not_wait_is_refused() -> None:
    came = replay([(0.0, "a", 5.0), (1.0, "b", 1.0)], {"a": (6, 1.0), "b": (6, 1.0)}, 10, timeout=2.0)
    assert (came.refused, came.cold_starts) == (1, 1)


def test_pins_stay() -> None:
    came = replay(CYCLE, MODELS, "17GB", serial=True, pins=["stage0"], bound=False)
    assert came.models[0].cold_starts == 1
    with pytest.raises(UnknownModelError):
        replay(CYCLE, MODELS, "17GB", pins=["nobody"])


def test_compare_orders_by_seconds_of_loading() -> None:
    rows = compare(CYCLE, MODELS, "32GB", serial=True)
    assert {row.policy for row in rows} == set(policies())
    assert [row.load_seconds for row in rows] == sorted(row.load_seconds for row in rows)
    assert len({row.lower_bound_load_seconds for row in rows}) == 1


@pytest.mark.parametrize(
    ("requests", "models", "message"),
    [
        ([(0.0, "x")], MODELS, r"requests\[0\].model: 'x' is not among the models"),
        ([(-1.0, "stage0")], MODELS, r"requests\[0\].time_s: -1 is not"),
        ([(float("nan"), "stage0")], MODELS, r"requests\[0\].time_s"),
        ([(0.0,)], MODELS, r"requests\[0\]: 1 entries"),
        ([], {"a": (1, -1.0)}, r"models\[0\].load_s: -1 is not"),
        ([], [("a", 1, 1.0), ("a", 1, 1.0)], r"models\[1\].model: \"a\" is the name of models\[0\] already"),
        ({"time_s": [0.0]}, MODELS, r"requests.model: is missing"),
        ({"time_s": [0.0], "model": []}, MODELS, r"columns of different lengths"),
    ],
)
def test_bad_traces_are_named(requests: Any, models: Any, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        read_trace(requests, models)


def test_bad_files_and_arguments_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    requests, models = files
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(requests.read_bytes())[:-9])
    with pytest.raises(ProblemError, match="not one whole gzip stream"):
        read_trace(broken, models)
    broken.write_bytes(b"time_s,model\n")
    with pytest.raises(ProblemError, match="not gzip"):
        read_trace(broken, models)
    with pytest.raises(UnreadableError):
        read_trace(tmp_path / "none.csv", models)
    requests.write_text("time_s,model\n1,stage0\n2,stageX\n")
    with pytest.raises(ProblemError, match='requests, line 3, column model: "stageX"'):
        read_trace(requests, models)
    with pytest.raises(ArgumentError, match="policy"):
        replay(CYCLE, MODELS, "32GB", policy="clever")
    with pytest.raises(ArgumentError, match="capacity"):
        replay(CYCLE, MODELS)
    with pytest.raises(ArgumentError, match="estimate_error"):
        replay(CYCLE, MODELS, "32GB", estimate_error=1.0)


def test_the_pool_takes_every_policy() -> None:
    for policy in policies():
        if policy in {"clairvoyant", "informed"}:
            continue
        with ullage.Pool(ullage.Ledger(10), policy=policy) as pool:
            pool.register("a", load=object, footprint=6)
            pool.register("b", load=object, footprint=6)
            for name in ("a", "b", "a"):
                with pool.lease_sync(name, timeout=10):
                    pass
            assert sum(row["loads"] for row in pool.status()) == 3, policy


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-c", "from ullage.cli import main; main()", "replay", *map(str, words)]
    return subprocess.run(  # noqa: S603 - this command, on files of the test
        command, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_prints_json_and_tables(files: tuple[Path, Path], tmp_path: Path) -> None:
    requests, models = files
    common = (requests, "--models", models, "--capacity", "32GB")
    done = run(*common, "--policy", "lru", "--serial", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    keys = ("requests", "cold_starts", "load_seconds", "evicted_bytes", "overcommits", "refused")
    assert [answer[key] for key in keys] == [2000, 2000, 20000.0, 1996 * 8 * GB, 0, 0]
    assert answer["peak_bytes"] == 32 * GB
    assert answer["wall_s"] > 0
    done = run(*common, "--serial", "--compare", "all")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in policies())
    done = run(*common, "--log", tmp_path / "log.csv")
    assert done.returncode == 0, done.stderr
    assert "half up to" in done.stdout
    assert (tmp_path / "log.csv").read_text().count(",grant,") == 2000
    assert run(*common, "--policy", "clever").returncode == 2
    assert run(tmp_path / "none.csv", "--models", models, "--capacity", "1GB").returncode == 2


def as_parquet(folder: Path) -> tuple[Path, Path]:
    """Write the cycle as two Parquet files, with a column more than is read."""
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    requests, models = folder / "requests.parquet", folder / "models.parquet"
    times, names, durations = zip(*CYCLE, strict=True)
    columns = {"user": list(range(len(CYCLE))), "model": names, "time_s": times, "duration_s": durations}
    parquet.write_table(pyarrow.table(columns), requests)
    sizes, loads = zip(*MODELS.values(), strict=True)
    parquet.write_table(pyarrow.table({"model": list(MODELS), "bytes": sizes, "load_s": loads}), models)
    return requests, models


def test_parquet_says_the_same_as_csv(files: tuple[Path, Path], tmp_path: Path) -> None:
    requests, models = as_parquet(tmp_path)
    logs = {
        replay(trace, table, "32GB", log=True, bound=False).log
        for trace in (files[0], requests, str(requests))
        for table in (files[1], models, MODELS)
    }
    assert len(logs) == 1


def test_parquet_that_is_none_or_lacks_a_column_is_named(tmp_path: Path) -> None:
    requests, models = as_parquet(tmp_path)
    with pytest.raises(ProblemError, match=r"models\.bytes: is missing"):
        read_trace(requests, requests)
    content = requests.read_bytes()
    for damaged in (b"", b"PAR1", content[:-20], b"time_s,model\n1,stage0\n"):
        requests.write_bytes(damaged)
        with pytest.raises(ProblemError, match=r"requests\.parquet"):
            read_trace(requests, models)
    with pytest.raises(UnreadableError):
        read_trace(tmp_path / "none.parquet", models)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ArgumentError, match="pip install pyarrow"):
        read_trace(tmp_path / "requests.parquet", MODELS)


def test_the_plot_is_a_picture_with_a_bar_for_each_policy(files: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    requests, models = files
    common = (requests, "--models", models, "--capacity", "32GB", "--serial")
    pictures = []
    for name, words in (("one.png", ()), ("all.png", ("--compare", "all"))):
        done = run(*common, *words, "--plot", tmp_path / name)
        assert done.returncode == 0, done.stderr
        pictures.append((tmp_path / name).read_bytes())
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    heights = [int.from_bytes(picture[20:24]) for picture in pictures]
    assert heights[0] < heights[1], "a bar more is a picture higher"
    drawn = run(*common, "--compare", "lru,value", "--plot", tmp_path / "two.svg")
    assert drawn.returncode == 0, drawn.stderr
    text = (tmp_path / "two.svg").read_text()
    for shown in ("lru", "value", "lower bound", "seconds of loading", "2,000 requests in 32.00 GB"):
        assert shown in text, shown
    failed = run(*common, "--plot", tmp_path / "none" / "x.png")
    assert failed.returncode == 2
    assert "x.png" in failed.stderr
