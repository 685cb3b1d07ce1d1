"""What a process really takes: spikes seen, numbers near the truth, and a store that loses nothing."""

import dataclasses
import functools
import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from measure_world import fake, key, write_onnx, write_safetensors

import ullage
from ullage import measuring
from ullage.cli.app import app
from ullage.errors import ArgumentError, MeasureError, StoreError, StoreWarning, UnknownModelError
from ullage.measuring import gauge, host_identity
from ullage.measuring.loaders import load_onnx, load_safetensors
from ullage.measuring.store import SCHEMA_VERSION, Store

MIB = 2**20
SLACK = 12 * MIB
"""What the interpreter itself may take or give meanwhile."""
needs_pss = pytest.mark.skipif(gauge.Gauge(children=False).metric != "pss", reason="this kernel counts no PSS")


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    """Let go of what an earlier test left behind."""
    gc.collect()
    yield
    gc.collect()


def hold(count: int) -> Any:
    """Take and keep memory."""
    return np.ones(count, dtype=np.uint8)


def hold_a_while(count: int) -> Any:
    """Take memory, and stay for some samples."""
    block = hold(count)
    time.sleep(0.1)
    return block


def take_and_drop(count: int) -> int:
    """Take memory, touch it and let it go."""
    block = np.ones(count, dtype=np.uint8)
    return int(block[-1])


# Measuring


@needs_pss
def test_what_is_kept_is_resident_and_what_is_let_go_is_not() -> None:
    kept = ullage.measure(hold, 96 * MIB)
    assert kept.metric == "pss"
    assert kept.resident_bytes - kept.baseline_bytes == pytest.approx(96 * MIB, abs=SLACK)
    assert kept.growth_bytes == pytest.approx(96 * MIB, abs=SLACK)
    assert kept.result.nbytes == 96 * MIB
    dropped = ullage.measure(take_and_drop, 96 * MIB)
    assert dropped.resident_bytes - dropped.baseline_bytes == pytest.approx(0, abs=SLACK)
    assert dropped.growth_bytes == pytest.approx(96 * MIB, abs=SLACK)
    assert dropped.result == 1


@needs_pss
def test_a_spike_between_two_samples_is_not_missed() -> None:
    found = ullage.measure(take_and_drop, 64 * MIB, interval_s=3600)
    if found.high_water_bytes is None:
        pytest.skip("the high-water mark may not be reset here")
    assert found.sampled_peak_bytes - found.baseline_bytes < 64 * MIB
    assert found.growth_bytes == pytest.approx(64 * MIB, abs=SLACK)
    assert found.notes == ()


@needs_pss
def test_an_earlier_peak_is_not_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    take_and_drop(128 * MIB)
    assert ullage.measure(take_and_drop, 8 * MIB).growth_bytes < 8 * MIB + SLACK
    take_and_drop(128 * MIB)
    monkeypatch.setattr(gauge.Gauge, "reset_high_water", lambda _self: False)
    without = ullage.measure(take_and_drop, 8 * MIB)
    assert without.growth_bytes < 8 * MIB + SLACK
    if without.high_water_bytes is None:
        assert any("high-water" in note for note in without.notes)


@needs_pss
def test_the_bounds_enclose_the_peak() -> None:
    found = ullage.measure(hold_a_while, 32 * MIB)
    assert found.baseline_bytes <= found.sampled_peak_bytes <= found.peak_bytes
    assert found.high_water_bytes is None or found.peak_bytes <= found.high_water_bytes
    assert found.samples >= 3
    assert 0 < found.interval_s <= found.seconds
    assert found.seconds >= 0.1
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.peak_bytes = 0  # type: ignore[misc]


def test_pages_shared_with_others_count_in_part(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.write_bytes(b"\1" * (48 * MIB))
    code = (
        "import mmap, sys\nfile = open(sys.argv[1], 'rb')\nview = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "sum(view[::4096])\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"

        def share() -> Any:
            view = np.memmap(path, dtype=np.uint8, mode="r")
            assert int(view[::4096].sum()) > 0
            return view

        found = ullage.measure(share)
        assert child.stdin is not None
        child.stdin.close()
    if found.metric != "pss":
        pytest.skip("this kernel counts no PSS")
    assert found.resident_bytes - found.baseline_bytes == pytest.approx(24 * MIB, abs=SLACK)
    assert found.growth_bytes == pytest.approx(24 * MIB, abs=SLACK)
    assert found.high_water_bytes is None or found.high_water_bytes - found.baseline_bytes > 24 * MIB + SLACK


@needs_pss
def test_children_count_where_that_is_asked_for() -> None:
    code = "import time\nblock = bytearray(64 << 20)\nprint('x', flush=True)\ntime.sleep(0.4)\n"

    def run() -> None:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)  # noqa: S603 - our own

    assert ullage.measure(run).growth_bytes < 40 * MIB
    assert ullage.measure(run, children=True).growth_bytes > 60 * MIB


def test_what_the_function_raises_passes_and_nothing_is_kept() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ullage.measure(fails, model="12GB")
    assert not Store().path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "ullage-measure"]
    assert ullage.measure(lambda: 7).result == 7, "the next one runs"


def test_two_measurements_at_once_are_refused() -> None:
    with pytest.raises(MeasureError, match="under way"):
        ullage.measure(lambda: ullage.measure(lambda: None))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"interval_s": 0}, "interval_s"),
        ({"interval_s": float("nan")}, "interval_s"),
        ({"interval_s": 1e300}, "interval_s"),
        ({"model": "12GB", "batch": 0}, "batch"),
        ({"model": "12GB", "batch": True}, "batch"),
        ({"model": "12GB", "context": -1}, "context"),
        ({"model": "12GB", "runtime": ""}, "runtime"),
        ({"model": "12GB", "kv_dtype": "x" * 300}, "kv_dtype"),
    ],
)
def test_arguments_out_of_their_domain_are_refused_before_anything_runs(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ullage.measure(lambda: pytest.fail("ran"), **arguments)
    assert caught.value.name == name


def test_a_name_is_no_fingerprint() -> None:
    for name in ("all-minilm-l6-v2", "F" * 64, ""):
        with pytest.raises(ArgumentError) as caught:
            measuring.lookup(name)
        assert caught.value.name == "model"


def test_what_cannot_be_called_or_found_is_refused() -> None:
    with pytest.raises(ArgumentError):
        ullage.measure(7)  # type: ignore[arg-type]
    with pytest.raises(UnknownModelError):
        ullage.measure(lambda: None, model="no such model")


def test_without_pss_the_resident_set_is_taken_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gauge, "PROC", tmp_path)
    found = ullage.measure(hold, 16 * MIB)
    assert found.metric == "rss"
    assert any("RSS" in note for note in found.notes)
    assert any("high-water" in note for note in found.notes)
    assert found.resident_bytes > 16 * MIB


# Fingerprints


def test_a_fingerprint_is_of_the_layout_wherever_the_file_lies(tmp_path: Path) -> None:
    tensors = {"a": ("F32", [2, 2], bytes(16)), "b": ("I8", [4], bytes(4))}
    first = write_safetensors(tmp_path / "first.safetensors", tensors)
    (tmp_path / "elsewhere").mkdir()
    moved = write_safetensors(tmp_path / "elsewhere" / "other.safetensors", dict(reversed(tensors.items())))
    trained = write_safetensors(tmp_path / "trained.safetensors", {**tensors, "b": ("I8", [4], b"abcd")})
    found = {ullage.fingerprint(ullage.open_model(path)) for path in (first, moved, trained)}
    assert len(found) == 1
    assert len(found.pop()) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"a": ("F32", [4, 1], bytes(16)), "b": ("I8", [4], bytes(4))},
        {"a": ("I32", [2, 2], bytes(16)), "b": ("I8", [4], bytes(4))},
        {"a": ("F32", [2, 2], bytes(16)), "c": ("I8", [4], bytes(4))},
        {"a": ("F32", [2, 2], bytes(16))},
    ],
)
def test_another_layout_is_another_fingerprint(tmp_path: Path, other: dict[str, Any]) -> None:
    base = write_safetensors(
        tmp_path / "base.safetensors", {"a": ("F32", [2, 2], bytes(16)), "b": ("I8", [4], bytes(4))}
    )
    changed = write_safetensors(tmp_path / "changed.safetensors", other)
    assert ullage.fingerprint(ullage.open_model(base)) != ullage.fingerprint(ullage.open_model(changed))


def test_a_model_without_tensors_is_known_by_name_and_size() -> None:
    prints = {ullage.fingerprint(ullage.Model.of_size(name, size)) for name in ("a", "b") for size in (1, 2)}
    assert len(prints) == 4


# The store


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "m.safetensors", {"w": ("F32", [1024], bytes(4096))})
    model = ullage.open_model(path)
    assert measuring.lookup(model) is None
    assert not Store().path.exists(), "looking writes nothing"
    first = ullage.measure(take_and_drop, 4 * MIB, model=path, context=512, batch=2)
    second = ullage.measure(take_and_drop, 6 * MIB, model=model, context=512, batch=2)
    found = measuring.lookup(model, context=512, batch=2)
    assert found is not None
    growths = sorted([first.growth_bytes, second.growth_bytes])
    assert (found.lo, found.hi, found.count, found.metric) == (*growths, 2, first.metric)
    assert growths[0] <= found.best <= growths[1]
    assert found.last.endswith("+00:00")
    assert measuring.lookup(ullage.fingerprint(model), context=512, batch=2) == found


@pytest.mark.parametrize(
    "other",
    [
        {"context": 8},
        {"context": None},
        {"batch": 2},
        {"kv_dtype": "q8_0"},
        {"runtime": "onnx"},
        {"device": "rtx-4090"},
    ],
)
def test_another_circumstance_is_another_key(other: dict[str, Any]) -> None:
    store = Store()
    store.record(key(context=7), fake(5), name="m")
    same: dict[str, Any] = {"runtime": "r", "device": "d", "context": 7}
    assert store.lookup("f" * 64, **same) is not None
    assert store.lookup("f" * 64, **(same | other)) is None


def test_the_best_of_many_runs_is_the_median() -> None:
    store = Store()
    for grown in (1, 100, 3):
        store.record(key(), fake(grown), name="m")
    found = store.lookup("f" * 64, runtime="r", device="d")
    assert found is not None
    assert (found.lo, found.best, found.hi, found.count) == (1, 3, 100, 3)


def test_resident_sets_do_not_mix_with_proportional_ones() -> None:
    store = Store()
    store.record(key(), fake(500, metric="rss"), name="m")
    only = store.lookup("f" * 64, runtime="r", device="d")
    assert only is not None
    assert (only.metric, only.best) == ("rss", 500)
    store.record(key(), fake(5), name="m")
    found = store.lookup("f" * 64, runtime="r", device="d")
    assert found is not None
    assert (found.metric, found.best, found.count) == ("pss", 5, 1)


def test_a_device_is_known_by_any_of_its_names() -> None:
    store = Store()
    store.record(key(device=host_identity.device_key("RTX 4090")), fake(5), name="m")
    assert store.lookup("f" * 64, runtime="r", device="NVIDIA GeForce RTX 4090") is not None
    assert host_identity.device_key("my own box") == "my own box"
    assert host_identity.device_key(None) == measuring.host_key()


def test_this_machine_has_one_key_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measuring.host_key()
    assert found == measuring.host_key()
    assert len(found) == len("host-") + 16
    monkeypatch.setattr(host_identity, "MACHINE_IDS", ())
    monkeypatch.setattr(uuid, "getnode", lambda: 0x0023_4567_89AB)
    by_card = measuring.host_key()
    monkeypatch.setattr(uuid, "getnode", lambda: 0x0023_4567_89AB | 1 << 40)
    drawn = measuring.host_key()
    assert drawn == measuring.host_key(), "it is drawn once"
    assert len({found, by_card, drawn}) == 3


def test_measurements_are_summed_up_and_forgotten() -> None:
    store = Store()
    assert store.summaries() == []
    assert store.forget("m") == 0
    for name, grown in (("m", 1), ("m", 3), ("n", 5)):
        store.record(key(ullage.fingerprint(ullage.Model.of_size(name, 1)), context=9), fake(grown), name=name)
    assert {(row.model, row.measured.count, row.context) for row in store.summaries()} == {("m", 2, 9), ("n", 1, 9)}
    assert store.forget("m") == 2
    assert store.forget("m") == 0
    assert store.forget(None) == 1
    assert store.summaries() == []


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from measure_world import fake, key
from ullage.measuring import Store
store, number, rows = Store(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
for index in range(rows):
    store.record(key(), fake(number * 1000 + index), name="m")
    print(index, flush=True)
"""


def writer(path: Path, number: int, rows: int) -> subprocess.Popen[bytes]:
    """Start a process that writes rows, and says so after each."""
    command = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(path), str(number), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own interpreter and text


def test_of_many_writers_at_once_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite3"
    children = [writer(path, number, 50) for number in range(8)]
    for child in children:
        out, _ = child.communicate()
        assert (child.returncode, out.count(b"\n")) == (0, 50)
    with sqlite3.connect(path) as base:
        found = [row for (row,) in base.execute("SELECT peak_bytes - baseline_bytes FROM measurement")]
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    base.close()
    assert sorted(found) == sorted(number * 1000 + index for number in range(8) for index in range(50))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_writer_killed_in_mid_write_loses_nothing_that_it_had_acknowledged(tmp_path: Path, after: int) -> None:
    path = tmp_path / "m.sqlite3"
    child = writer(path, 1, 100_000)
    with child:
        assert child.stdout is not None
        for _ in range(after):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = after + child.stdout.read().count(b"\n")
    store = Store(path)
    found = store.lookup("f" * 64, runtime="r", device="d")
    assert found is not None
    assert found.count in {acknowledged, acknowledged + 1}
    store.record(key(), fake(1), name="m")
    with sqlite3.connect(path) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    base.close()


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be looked at" * 20, "tail"])
def test_a_damaged_store_is_put_aside_and_said(tmp_path: Path, damage: bytes | str) -> None:
    path = tmp_path / "m.sqlite3"
    store = Store(path)
    for index in range(200):
        store.record(key(), fake(index), name="m" * 100)
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        whole = bytearray(path.read_bytes())
        whole[4096:] = b"\xa5" * (len(whole) - 4096)
        path.write_bytes(whole)
    if not damage:  # an empty file is an empty database
        assert store.lookup("f" * 64, runtime="r", device="d") is None
        return
    with pytest.warns(StoreWarning, match="put aside"):
        assert store.lookup("f" * 64, runtime="r", device="d") is None
    (aside,) = (
        name for name in tmp_path.iterdir() if ".damaged-" in name.name and not name.name.endswith(("-wal", "-shm"))
    )
    assert aside.read_bytes() == path_content(damage, aside)
    store.record(key(), fake(1), name="m")
    assert len(store.summaries()) == 1


def path_content(damage: bytes | str, aside: Path) -> bytes:
    """Give what the file put aside must hold: all that was in it."""
    return damage if isinstance(damage, bytes) else aside.read_bytes()[:4096] + b"\xa5" * (aside.stat().st_size - 4096)


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite3"
    Store(path).record(key(), fake(1), name="m")
    with sqlite3.connect(path) as base:
        base.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    base.close()
    with pytest.raises(StoreError, match="newer") as caught:
        Store(path).summaries()
    assert caught.value.path == str(path)
    assert str(caught.value).count(str(path)) == 1
    assert [name.name for name in tmp_path.iterdir() if "damaged" in name.name] == []


def test_a_damaged_store_that_cannot_be_put_aside_is_one_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.sqlite3"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 20)

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(StoreError, match="Permission denied"):
        Store(path).summaries()


def test_a_store_that_cannot_be_opened_is_one_typed_error(tmp_path: Path) -> None:
    (tmp_path / "m.sqlite3").mkdir()
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "m.sqlite3").record(key(), fake(1), name="m")
    assert caught.value.reason
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Store(tmp_path / "file" / "m.sqlite3").record(key(), fake(1), name="m")


# Loaders


@needs_pss
def test_loading_safetensors_takes_what_its_tensors_weigh(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    weights = np.arange(6 * MIB, dtype=np.float32)
    path = write_safetensors(
        tmp_path / "m.safetensors",
        {"w": ("F32", [6, MIB], weights.tobytes()), "half": ("BF16", [8 * MIB], b"\1\2" * (8 * MIB))},
    )
    del weights
    found = ullage.measure(load_safetensors, path, model=path)
    assert sorted(found.result) == ["half", "w"]
    assert sum(array.nbytes for array in found.result.values()) == 40 * MIB
    assert float(found.result["w"][5, 0]) == 5 * MIB
    assert found.resident_bytes - found.baseline_bytes == pytest.approx(40 * MIB, abs=SLACK)
    known = measuring.lookup(ullage.open_model(path))
    assert known is not None
    assert known.best == found.growth_bytes >= 40 * MIB - SLACK


def test_loading_a_directory_loads_every_shard(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for number, name in enumerate(names):
        write_safetensors(tmp_path / name, {f"t{number}": ("I8", [3], bytes([number] * 3))})
    index = {"metadata": {"total_size": 6}, "weight_map": {f"t{number}": name for number, name in enumerate(names)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    found = load_safetensors(tmp_path)
    assert {name: array.tolist() for name, array in found.items()} == {"t0": [0] * 3, "t1": [1] * 3}


def test_running_an_onnx_model_takes_at_least_its_weights(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = write_onnx(tmp_path / "m.onnx", rows=4096, columns=1024)
    load = functools.partial(load_onnx, path, batch=3)
    found = ullage.measure(load, batch=3, runtime="onnxruntime", model="16MiB")
    _, outputs = found.result
    assert [output.shape for output in outputs] == [(3, 1024)]
    assert 16 * MIB - SLACK < found.growth_bytes < 200 * MIB
    model = ullage.Model.of_size("16MiB", 16 * MIB)
    assert measuring.lookup(model, runtime="onnxruntime") is None, "another batch"
    known = measuring.lookup(model, runtime="onnxruntime", batch=3)
    assert known is not None
    assert known.best == found.growth_bytes


def test_a_loader_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MeasureError, match=r"ullage\[measure\]"):
        load_onnx(tmp_path / "m.onnx")


# The command line


def test_measurements_are_listed_and_forgotten_at_the_command_line() -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["catalog", *arguments], prog_name="ullage")
        return done.exit_code, done.stdout

    assert run("measured") == (0, "nothing was measured yet\n")
    assert json.loads(run("measured", "--json")[1]) == {"measured": []}
    Store().record(key(context=512), fake(5 * MIB), name="my-model")
    assert "my-model" in run("measured")[1]
    (row,) = json.loads(run("measured", "--json")[1])["measured"]
    assert set(row) == {"fingerprint", "model", "runtime", "device", "context", "batch", "kv_dtype", "measured"}
    assert row["measured"]["best"] == 5 * MIB
    assert set(row["measured"]) == {"lo", "best", "hi", "count", "last", "metric"}
    assert run("forget", "my-model") == (0, "forgot 1 measurement\n")
    assert run("forget", "my-model", "--json") == (1, '{"forgotten": 0}\n')
    assert run("forget", "--all") == (1, "there was nothing to forget\n")


def test_the_store_is_not_loaded_with_the_package() -> None:
    code = (
        "import sys, ullage\nprint([name for name in sys.modules if name.startswith(('sqlite3', 'ullage.measuring'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"
