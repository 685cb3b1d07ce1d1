"""What was measured comes back: the next footprint says so, adds up, and is not broken by the store."""

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from measure_world import fake, key, write_onnx, write_safetensors

import ullage
from ullage import Footprint, Model, catalog
from ullage.cli.app import app
from ullage.errors import MeasureError, StoreWarning
from ullage.folders import cache_folder
from ullage.measuring import Store, fingerprint, host_key
from ullage.measuring.fresh import measure_fresh

MIB = 2**20
WEIGHTS = 4 * MIB
FIGURES = ("lo", "best", "hi")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_safetensors(tmp_path / "m.safetensors", {"w": ("F32", [MIB], bytes(WEIGHTS))})


def keep(model: Model, growth: int, **circumstances: Any) -> None:
    """Keep a run of this machine that nobody took."""
    found = {"device": host_key(), "runtime": "generic"} | circumstances
    Store().record(key(fingerprint(model), **found), fake(growth), name=model.name)


def assert_adds_up(found: Footprint) -> None:
    for figure in FIGURES:
        assert sum(getattr(part, figure) for part in found.parts.values()) == getattr(found.total, figure)
    for part in found.parts.values():
        assert part.lo <= part.best <= part.hi


def total(found: Footprint) -> tuple[int, int, int]:
    return found.total.lo, found.total.best, found.total.hi


# The footprint


def test_the_footprint_after_a_measurement_says_measured(path: Path) -> None:
    before = ullage.footprint(path)
    found = ullage.measure(bytearray, 9 * MIB, model=path)
    after = ullage.footprint(path)
    assert total(after) == (found.growth_bytes,) * 3
    assert (after.total.origin, after.overhead.origin) == ("measured", "measured")
    assert after.weights == before.weights, "what is exact stays"
    assert "1 run" in after.total.formula
    assert found.metric.upper() in after.total.formula
    assert_adds_up(after)
    assert total(ullage.footprint(path, measured=False)) == total(before)


@given(
    bounds=st.tuples(*[st.integers(0, 2**62)] * 3),
    model=st.sampled_from(["7GB", "400MB", "all-minilm-l6-v2"]),
    loaded_only=st.booleans(),
)
def test_whatever_was_measured_the_parts_add_up(bounds: tuple[int, int, int], model: str, *, loaded_only: bool) -> None:
    lo, best, hi = sorted(bounds)
    found = ullage.footprint(model).measured(lo, best, hi, how="measured", loaded_only=loaded_only)
    assert_adds_up(found)
    if not loaded_only:
        assert (total(found), found.total.origin) == ((lo, best, hi), "measured")


def test_weights_that_nobody_touched_go_down_and_say_so() -> None:
    found = ullage.footprint("1GB").measured(10, 20, 30, how="measured")
    assert (found.weights.lo, found.weights.best, found.weights.hi) == (10, 20, 30)
    assert "touched" in found.weights.formula


@pytest.mark.parametrize(
    ("asked", "counts"),
    [
        ({}, True),
        ({"context": 512}, True),
        ({"runtime": "generic"}, True),
        ({"runtime": "numpy"}, True),
        ({"runtime": "safetensors-numpy@2"}, True),
        ({"runtime": "vllm"}, False),
        ({"context": 8}, False),
        ({"batch": 2}, False),
        ({"kv_dtype": "q8_0"}, False),
        ({"micro_batch": 128}, False),
        ({"flash_attention": False}, False),
        ({"weights": "dense:f16"}, False),
        ({"measured": False}, False),
    ],
)
def test_only_the_same_circumstances_count(path: Path, asked: dict[str, Any], *, counts: bool) -> None:
    context = {"context": 512} if asked.get("context") == 512 else {}
    keep(ullage.open_model(path), 77 * MIB, runtime="numpy", **context)
    found = ullage.footprint(path, **asked)
    assert (found.total.origin == "measured", found.total.best == 77 * MIB) == (counts, counts)


def test_the_span_of_all_runtimes_is_narrowed_by_any_of_them(path: Path) -> None:
    model = ullage.open_model(path)
    for runtime, growth in [("numpy", 20 * MIB), ("python", 30 * MIB), ("transformers", 50 * MIB)]:
        keep(model, growth, runtime=runtime)
    assert total(ullage.footprint(path)) == (20 * MIB, 30 * MIB, 50 * MIB)
    assert total(ullage.footprint(path, runtime="transformers")) == (50 * MIB,) * 3


def test_a_run_goes_under_the_runtime_that_the_footprint_assumes(tmp_path: Path, path: Path) -> None:
    onnx = write_onnx(tmp_path / "m.onnx", rows=16, columns=16)
    for file, runtime in [(path, "generic"), (onnx, "onnxruntime")]:
        ullage.measure(bytearray, 5 * MIB, model=file)
        assert ullage.footprint(file).total.origin == "measured"
        assert {row.runtime for row in Store().summaries() if row.model == file.stem} >= {runtime}
    ullage.measure(bytearray, 5 * MIB, model=onnx, runtime="ort", batch=7)
    assert ullage.footprint(onnx, batch=7).total.origin == "measured", "by any of its names"


def test_a_load_counts_for_every_workload_and_says_nothing_of_a_run(path: Path) -> None:
    llama = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 100,
        "max_position_embeddings": 4096,
    }
    Path(path.parent, "config.json").write_text(json.dumps(llama))
    before = ullage.footprint(path, context=1000, batch=3)
    keep(ullage.open_model(path), 11 * MIB, runtime="numpy", batch=None)
    found = ullage.footprint(path, context=1000, batch=3)
    assert found.kv_cache.best > 0
    assert (found.kv_cache, found.activations) == (before.kv_cache, before.activations)
    assert found.weights.best + found.overhead.best == 11 * MIB
    assert found.overhead.origin == "measured"
    assert found.total.origin == before.activations.origin, "as sure as its least sure part"
    assert "at load" in found.total.formula
    assert_adds_up(found)


def test_nothing_is_looked_up_where_nothing_was_measured(path: Path) -> None:
    code = (
        "import sys, ullage\n"
        "ullage.fit(ullage.footprint(sys.argv[1]), '1GB')\n"
        "print([name for name in sys.modules if name.startswith(('sqlite3', 'ullage.measuring'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"
    assert not cache_folder().joinpath("measured.sqlite3").exists()


@pytest.mark.parametrize("kind", ["damaged", "folder"])
def test_a_broken_store_is_a_warning_and_the_estimate_stands(path: Path, kind: str) -> None:
    before = total(ullage.footprint(path))
    store = cache_folder() / "measured.sqlite3"
    if kind == "folder":
        store.mkdir()
    else:
        store.write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.warns(StoreWarning):
        assert total(ullage.footprint(path)) == before


def test_looking_up_a_model_of_very_many_tensors_is_quick(tmp_path: Path) -> None:
    model = ullage.open_model(
        write_safetensors(tmp_path / "m.safetensors", {f"layers.{i}.weight": ("I8", [1], b"x") for i in range(50_000)})
    )
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        fingerprint(model)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < (2.0 if ullage._core.DEBUG_BUILD else 0.1)  # noqa: SLF001 - no other place says so


# The verdict


def test_the_verdict_goes_by_what_was_measured_and_remedies_follow() -> None:
    needs = ullage.footprint("6GB")
    residue = 2_000_000_000
    seen = needs.measured(*(needs.total.best + residue,) * 3, how="measured")
    verdict, plain = ullage.fit(seen, "5GB"), ullage.fit(needs, "5GB")
    assert (verdict.required, verdict.short_by) == (seen.total, plain.short_by + residue)
    shared = {tuple(remedy.changes): remedy for remedy in plain.remedies}
    common = [remedy for remedy in verdict.remedies if tuple(remedy.changes) in shared]
    assert common
    for remedy in common:
        assert remedy.required.best == shared[tuple(remedy.changes)].required.best + residue
        assert remedy.saves == shared[tuple(remedy.changes)].saves
    for remedy in verdict.remedies:
        assert remedy.required.hi <= seen.total.hi
        assert remedy.required.lo <= remedy.required.best <= remedy.required.hi
    assert ullage.fit(seen, seen.total.hi).verdict == "yes"
    assert ullage.fit(seen, seen.total.hi - 1).verdict == "no"


def test_what_was_measured_here_says_nothing_of_another_device() -> None:
    model = Model.of_size("1GB", "1GB")
    keep(model, 5_000_000_000)
    assert ullage.fit("1GB", "100GB").required.best == 5_000_000_000
    assert ullage.fit("1GB", "100GB", measured=False).required.best < 2_000_000_000
    assert ullage.fit("1GB", "iphone-15-pro-max").required.best < 2_000_000_000
    phone = catalog.device("iphone-15-pro-max").key
    keep(model, 1_500_000_000, device=phone)
    assert ullage.fit("1GB", "iphone-15-pro-max").required.best == 1_500_000_000
    assert ullage.fit("1GB", "iphone-15-pro-max", measured=False).required.origin != "measured"


# The command line


def command(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["footprint", *arguments], prog_name="ullage")
    return done.exit_code, done.stdout, done.stderr


def test_a_safetensors_file_is_measured_in_a_fresh_process(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    size = 64 * MIB
    path = write_safetensors(tmp_path / "m.safetensors", {"w": ("F32", [size // 4], b"\1" * size)})
    held = bytearray(128 * MIB)  # of the parent, which does not count
    status, out, _ = command(str(path), "--measure", "--json")
    del held
    assert status == 0
    found = json.loads(out)
    seen = found["measured"]
    assert (seen["runtime"], seen["covers"], seen["runs"]) == ("numpy", "load", 1)
    assert size <= seen["resident_bytes"] < size + 60 * MIB
    assert size <= seen["bytes"] < 2 * size + 60 * MIB
    assert seen["error_bytes"] == seen["estimated"]["best"] - seen["bytes"]
    assert seen["error"] == pytest.approx(seen["error_bytes"] / seen["bytes"])
    assert seen["inside"] == (seen["estimated"]["lo"] <= seen["bytes"] <= seen["estimated"]["hi"])
    if sys.platform == "linux":
        assert seen["inside"]
    parts = json.loads(command(str(path), "--json")[1])["parts"]
    assert parts["weights"]["best"] + parts["overhead"]["best"] == seen["bytes"]
    assert "measured" in {parts["weights"]["origin"], parts["overhead"]["origin"]}
    status, out, _ = command(str(path), "--measure")
    assert "nothing was run" in out
    assert "2 runs are kept" in out
    assert "measured" not in command(str(path), "--estimated")[1]


def test_an_onnx_file_is_run_in_a_fresh_process(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = write_onnx(tmp_path / "m.onnx", rows=4096, columns=2048)
    status, out, _ = command(str(path), "--batch", "3", "--measure", "--json")
    assert status == 0
    found = json.loads(out)
    seen = found["measured"]
    assert (seen["runtime"], seen["covers"]) == ("onnxruntime", "run")
    assert seen["bytes"] >= 4096 * 2048 * 4
    if sys.platform == "linux":
        assert seen["inside"]
    assert (found["total"]["best"], found["total"]["origin"]) == (seen["bytes"], "measured")
    again = json.loads(command(str(path), "--batch", "3", "--json")[1])
    assert (again["total"]["best"], again["total"]["origin"]) == (seen["bytes"], "measured")
    status, out, _ = command(str(path), "--batch", "3", "--measure")
    assert "error" in out
    assert "estimated less measured" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["7GB"], "a name or a size; to be measured it must be a file"),
        (["{path}", "--weights", "gguf:q4_k"], "does not go with --weights"),
        (["{path}", "--runtime", "vllm"], "in numpy, not in vllm"),
        (["absent.safetensors"], "absent.safetensors"),
    ],
)
def test_what_cannot_be_measured_is_said(path: Path, arguments: list[str], says: str) -> None:
    status, out, err = command(*(word.format(path=path) for word in arguments), "--measure")
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_missing_package_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "blocked" / "safetensors").mkdir(parents=True)
    (tmp_path / "blocked" / "safetensors" / "__init__.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "blocked"))
    status, _, err = command(str(path), "--measure")
    assert status == 2
    assert "pip install 'ullage[measure]'" in err


def test_a_model_that_its_runtime_refuses_is_one_typed_error(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = write_onnx(tmp_path / "m.onnx", rows=16, columns=16)
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"MatMux"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MeasureError, match="onnxruntime could not load or run it"):
            measure_fresh(ullage.footprint(path))
    assert Store().summaries() == []


def test_a_process_that_is_killed_is_one_typed_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.CompletedProcess[bytes]([], -9, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(MeasureError, match="signal 9, perhaps for want of memory"):
        measure_fresh(ullage.footprint(path))
