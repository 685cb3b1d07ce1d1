"""The command line: exit statuses, JSON shapes, what is said of bad input, and what reaches a pipe or a terminal."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

import ullage
from ullage.cli.app import COMMANDS, app

ULLAGE = str(Path(sysconfig.get_path("scripts"), "ullage"))
ESCAPE = "\x1b"
INTERVAL = {"lo", "best", "hi", "origin", "formula"}
WIDTHS = ["1", "40", "80", "200"]

Run = subprocess.CompletedProcess[str]


def run(*arguments: str, width: str = "80") -> Result:
    return CliRunner(env={"COLUMNS": width}).invoke(app, arguments, prog_name="ullage")


def answer(*arguments: str, status: int = 0) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == status, done.output
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def process(*arguments: str, **environment: str) -> Run:
    return subprocess.run(  # noqa: S603 - ours
        [ULLAGE, *arguments], capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment
    )


def shell(command: str) -> Run:
    line = ["/bin/bash", "-c", command]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours


def assert_refused(done: Result, says: str) -> None:
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def assert_interval(found: dict[str, Any]) -> None:
    assert set(found) >= INTERVAL
    assert all(type(found[key]) is int for key in ("lo", "best", "hi"))
    assert found["lo"] <= found["best"] <= found["hi"]


@pytest.fixture
def bpplib(tmp_path: Path) -> Path:
    path = tmp_path / "four.txt"
    path.write_text("4\n10\n6\n5\n5\n4\n")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "models.csv"
    path.write_text("name,size\nminilm,90MB\nllama,16 GB\n")
    return path


# The frame


def test_help_lists_every_command_as_the_command_describes_itself() -> None:
    done = run("--help")
    assert done.exit_code == 0
    listed = [name for name in COMMANDS if name != "demo"]
    for name in listed:
        assert re.search(rf"^  {name} +{re.escape(COMMANDS[name])}$", done.stdout, re.MULTILINE)
        assert run(name, "--help").stdout.split("\n\n")[1].strip().startswith(COMMANDS[name])


def test_help_loads_no_command() -> None:
    program = (
        "import sys; from ullage.cli.app import app\n"
        "try: app.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'rich' or name.startswith('ullage.catalog')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_option_has_help() -> None:
    context = app.make_context("ullage", ["--version"], resilient_parsing=True)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        assert command is not None
        for option in command.params:
            assert option.param_type_name == "argument" or getattr(option, "help", None), (name, option.name)


def test_the_version_is_the_package_s() -> None:
    assert run("--version").stdout == f"ullage {ullage.__version__}\n"


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_the_command_line_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None\nfrom ullage.cli import main\nmain()\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "The command line needs click and rich: pip install 'ullage[cli]'\n"


def test_a_bare_call_shows_the_help_and_is_bad_usage() -> None:
    done = run()
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ullage")


# footprint


def test_the_footprint_of_a_real_model(minilm_dir: Path) -> None:
    found = answer("footprint", str(minilm_dir), "--context", "128", "--batch", "2")
    assert found["architecture"] == "bert"
    assert found["parameters"] == 22_713_216
    assert found["tensor_bytes"] == 90_856_960
    assert (found["tensors"], found["dtypes"]) == (104, {"F32": 90_852_864, "I64": 4_096})
    assert found["file_bytes"] == 90_868_376
    assert (found["context"], found["batch"], found["kv_dtype"]) == (128, 2, "f16")
    assert set(found["parts"]) == {"weights", "kv_cache", "state", "activations", "overhead"}
    for part in (*found["parts"].values(), found["total"]):
        assert_interval(part)
    assert found["total"]["best"] == sum(part["best"] for part in found["parts"].values())


def test_the_footprint_reads_well(minilm_dir: Path) -> None:
    text = run("footprint", str(minilm_dir)).stdout
    assert "bert, 22,713,216 parameters in 104 tensors" in text
    assert "tensors 90,856,960 bytes (I64 4,096 + F32 90,852,864)" in text
    assert "files 90,868,376 bytes" in text
    assert re.search(r"^weights +90\.86 MB +90\.86 MB \(86\.65 MiB\) +90\.86 MB +█+ +header$", text, re.MULTILINE)
    assert re.search(r"^embeddings\.word_embeddings +46\.88 MB \(44\.71 MiB\) +█+$", text, re.MULTILINE)


def test_of_a_size_no_parameter_count_is_claimed() -> None:
    done = run("footprint", "7GB")
    assert done.exit_code == 0
    assert "parameters" not in done.stdout
    assert "rests on one figure, 7.00 GB (6.52 GiB)" in done.stdout


def test_of_a_published_total_the_figure_is_shown_and_nothing_else_is_claimed() -> None:
    assert "rests on one figure, 100.00 MB" in run("footprint", "all-minilm-l6-v2").stdout
    found = answer("footprint", "all-minilm-l6-v2")
    assert (found["parameters"], found["tensors"], found["tensor_bytes"]) == (None, 0, 0)
    assert found["parts"]["weights"]["origin"] == "measured"
    assert answer("footprint", "kimi-k2-instruct")["parts"]["weights"]["origin"] == "formula"


# fit


def test_no_is_said_with_the_numbers_and_the_remedies() -> None:
    found = answer("fit", "12GB", "--device", "iphone-15-pro", status=1)
    assert found["verdict"] == "no"
    assert_interval(found["required"])
    assert type(found["available"]) is int
    assert found["short_by"] == found["required"]["best"] - found["available"]
    assert found["remedies"]
    for remedy in found["remedies"]:
        assert set(remedy) >= {"changes", "required", "verdict", "saves"}
        assert_interval(remedy["required"])
        assert type(remedy["saves"]) is int
    done = run("fit", "12GB", "--device", "iphone-15-pro")
    assert done.exit_code == 1
    assert done.stdout.startswith("No: 13.20 GB needed, 3.00 GB available on iphone-15-pro: 10.20 GB short.\n")
    assert "was measured" in done.stdout


def test_yes_is_status_0(minilm_dir: Path) -> None:
    assert answer("fit", str(minilm_dir), "--device", "iphone-15-pro")["verdict"] == "yes"
    done = run("fit", str(minilm_dir), "--device", "iphone-15-pro")
    assert done.exit_code == 0
    assert done.stdout.startswith("Yes: ")
    assert "to spare" in done.stdout


def test_depends_is_status_1() -> None:
    assert answer("fit", "7GB", "--device", "8GB", status=1)["verdict"] == "depends"
    done = run("fit", "7GB", "--device", "8GB")
    assert done.exit_code == 1
    assert done.stdout.startswith("It depends: 7.70 GB needed, 8.00 GB available on 8GB, most likely 300.00 MB to")


def test_an_assumed_limit_is_called_assumed() -> None:
    done = run("fit", "1GB", "--device", "iphone-12", width="200")
    assert "is assumed, not known" in done.stdout


def test_a_bare_number_that_is_in_a_device_s_name_is_questioned() -> None:
    done = run("fit", "1GB", "--device", "4090")
    assert done.exit_code == 1
    assert done.stderr.startswith("note: 4090 was read as bytes; devices with that in their name: rtx-4090, rtx-4090-d")


# pack


def test_an_instance_file_is_packed(bpplib: Path) -> None:
    found = answer("pack", str(bpplib), "--strategy", "exact", "--time-limit", "10")
    assert set(found) >= {"status", "bins_used", "lower_bound", "gap", "seconds", "assignment"}
    assert (found["status"], found["bins_used"], found["lower_bound"], found["gap"]) == ("optimal", 2, 2, 0)
    assert len(found["assignment"]) == 4
    assert all(type(place) is int for place in found["assignment"])
    assert isinstance(found["seconds"], float)
    text = run("pack", str(bpplib)).stdout
    assert text.startswith("Optimal: 4 items in 2 bins; fewer are impossible")
    assert re.search(r"^bin:0 +█+ +10  10 +2$", text, re.MULTILINE), "an instance without units is shown without"


def test_a_table_is_packed_into_a_capacity(table: Path) -> None:
    assert answer("pack", str(table), "--capacity", "24GB")["bins_used"] == 1
    found = answer("pack", str(table), "--capacity", "12GB", status=1)
    assert (found["status"], found["unplaced"]) == ("infeasible", ["llama"])
    done = run("pack", str(table), "--capacity", "12GB", width="200")
    assert done.exit_code == 1
    assert done.stdout.startswith("Infeasible: not everything fits; 1 of 2 items without a place")
    assert 'Reason: "llama" of 16000000000 bytes is larger than the largest bin' in done.stdout


def test_models_are_packed_on_devices(minilm_dir: Path) -> None:
    models = f"{minilm_dir} x2, 7GB,all-minilm-l6-v2"
    found = answer("pack", "--models", models, "--devices", "rtx-4090 x2, host=1TiB")
    assert found["assignment"] == [found["assignment"][0]] * 4
    assert (found["status"], found["bins_used"]) == ("optimal", 1)
    capacities = {place["name"]: place["capacity"] for place in found["bins"]}
    assert capacities["host"] == 2**40
    text = run("pack", "--models", models, "--devices", "rtx-4090 x2, host=1TiB", width="300").stdout
    assert f"{minilm_dir}:2" in text
    assert "What each holds" in text


def test_as_many_devices_as_needed() -> None:
    found = answer("pack", "--models", "13GB x9", "--devices", "rtx-4090 x*")
    assert (found["bins_used"], found["lower_bound"]) == (9, 9)


def test_what_is_booked_can_be_the_most() -> None:
    likely, most = (
        answer("pack", "--models", "7GB", "--capacity", "1TB", "--book", book)["bins"][0]["load"]
        for book in ("best", "hi")
    )
    total = ullage.footprint("7GB").total
    assert (likely, most) == (total.best, total.hi)


def test_nothing_fits_anywhere() -> None:
    done = run("pack", "--models", "9GB", "--capacity", "8GB")
    assert done.exit_code == 1
    assert "Without a place\n9GB\n" in done.stdout


def test_many_bins_are_cut_short_and_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("\n".join(["80", "10", *["9"] * 80]) + "\n")
    assert "and 30 more; --json gives all" in run("pack", str(path)).stdout


# machine and catalog


def test_the_machine_is_shown() -> None:
    found = answer("machine")
    for key in ("host_total", "host_available", "limit", "used", "available", "reclaimable_cache", "swap"):
        assert type(found[key]) is int, key
    assert found["limit"] <= found["host_total"]
    assert isinstance(found["limit_source"], str)
    assert isinstance(found["notes"], list)
    assert type(found["process"]["rss"]) is int
    text = run("machine").stdout
    assert found["limit_source"] in text.replace("\n", " ")
    assert re.search(r"^host +█", text, re.MULTILINE)
    assert re.search(r"^this process +█", text, re.MULTILINE)


def test_the_catalog_is_searched() -> None:
    found = answer("catalog", "models", "--search", "llama 1b")["models"]
    assert {row["key"] for row in found} >= {"llama3-2-1b"}
    assert all(type(row["memory"]["best"]) is int for row in found)
    phones = answer("catalog", "devices", "--search", "iphone")["devices"]
    assert phones
    assert all(type(row["usable"]["best"]) is int for row in phones)
    assert re.search(r"^iphone-15-pro +8\.59 GB +3\.00 GB", run("catalog", "devices").stdout, re.MULTILINE)
    assert "no models" in run("catalog", "models", "--search", "nothing at all").stdout


def test_a_row_is_shown_with_its_source() -> None:
    device = answer("catalog", "show", "RTX 4090")
    assert (device["kind"], device["key"]) == ("device", "rtx-4090")
    model = answer("catalog", "show", "sentence-transformers/all-MiniLM-L6-v2")
    assert model["kind"] == "model"
    assert model["document"]["citation"]
    text = run("catalog", "show", "iphone-15-pro").stdout
    assert re.search(r"^source +introlab", text, re.MULTILINE)
    assert "Source\ntitle" in run("catalog", "show", "llama3-2-1b").stdout


def test_the_pool_table_is_audited() -> None:
    found = answer("catalog", "audit")
    assert found["total_bytes"] == found["stated_total_bytes"] == 851_200_000_000
    assert [breach["model"] for breach in found["breaches"]] == ["phi-4-reasoning"]
    assert "phi-4-reasoning books 10.40 GB; the rule gives 9.40 GB to 10.20 GB." in run("catalog", "audit").stdout


# Bad input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["footprint", "absent.safetensors"], "absent.safetensors"),
        (["footprint", "12 apples"], "unknown unit"),
        (["footprint", "NaN"], '"NaN" is not a byte count'),
        (["footprint", ""], "no file and no model of the catalog is called ''"),
        (["footprint", "x" * 5000], "a name of 5000 characters"),
        (["footprint", "-5GB"], "'-5'"),
        (["footprint", "--", "-5GB"], "cannot be negative"),
        (["footprint", "all-minilm-l6-v3"], "did you mean"),
        (["footprint", "7GB", "--context", "0"], "0 is not between 1 and 2^32"),
        (["footprint", "7GB", "--context", "-1"], "-1 is not between 1 and 2^32"),
        (["footprint", "7GB", "--batch", "9" * 30], "is not between 1 and 2^32"),
        (["footprint", "7GB", "--kv-dtype", "q9"], "kv_dtype"),
        (["footprint"], "missing argument 'MODEL' (see 'ullage footprint --help')"),
        (["fit", "7GB"], "missing option '--device'"),
        (["fit", "7GB", "--device", "iphone-15-prp"], "did you mean iphone-15-pro,"),
        (["fit", "7GB", "--device", "12 apples"], "unknown unit"),
        (["fit", "7GB", "--device", "-3GB"], "cannot be negative"),
        (["fit", "7GB", "--device", "nan"], '"nan" is not a byte count'),
        (["pack"], "give either FILE or --models"),
        (["pack", "--models", "7GB"], "give --devices or --capacity"),
        (["pack", "absent.csv", "--capacity", "8GB"], "absent.csv"),
        (["pack", "--models", "7GB,,8GB", "--capacity", "8GB"], "empty"),
        (["pack", "--models", "7GB x0", "--capacity", "8GB"], "no copies"),
        (["pack", "--models", "7GB x*", "--capacity", "8GB"], "x* is for devices"),
        (["pack", "--models", "7GB", "--devices", "a=1GB,a=2GB"], "twice"),
        (["pack", "--models", "7GB", "--devices", "a=1GQ"], "unknown unit"),
        (["pack", "--models", "7GB", "--devices", "h1000"], "h1000"),
        (["pack", "--models", "7GB", "--capacity", "8GB", "--devices", "8GB"], "either"),
        (["pack", "--models", "7GB", "--capacity", "nan"], "not a byte count"),
        (["pack", "--models", "7GB", "--capacity", "8GB", "--time-limit", "nan"], "--time-limit"),
        (["pack", "--models", "7GB", "--capacity", "8GB", "--strategy", "luck"], "strategy"),
        (["catalog", "show", "iphne"], "no model or device is called 'iphne'; did you mean"),
        (["nothing"], "no such command 'nothing'"),
        (["fit", "--nothing"], "no such option"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(run(*arguments), says)


def hostile_files(folder: Path, model: Path) -> dict[str, tuple[Path, str]]:
    """Write damaged files; give each with what must be said of it."""
    whole = model.read_bytes()[: 2**20]
    files = {
        "short": whole[:5],
        "cut": whole,
        "huge": struct.pack("<Q", 2**63) + b"{}",
        "list": struct.pack("<Q", 2) + b"[]",
        "noise": bytes(range(256)) * 8,
    }
    for name, content in files.items():
        (folder / f"{name}.safetensors").write_bytes(content)
    (folder / "empty").mkdir()
    paths = {name: (folder / f"{name}.safetensors", f"{name}.safetensors") for name in files}
    return paths | {"no weights": (folder / "empty", "a directory without weights")}


def test_hostile_files_are_refused(minilm_dir: Path, tmp_path: Path) -> None:
    for path, says in hostile_files(tmp_path, minilm_dir / "model.safetensors").values():
        assert_refused(run("footprint", str(path)), says)
        assert_refused(run("fit", str(path), "--device", "rtx-4090"), says)
        assert_refused(run("pack", "--models", str(path), "--capacity", "8GB"), says)


def test_a_bad_instance_is_refused(bpplib: Path) -> None:
    bpplib.write_text("4\n10\n6\nfive\n5\n4\n")
    assert_refused(run("pack", str(bpplib)), "line 4")


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    header = json.dumps({"[red]\x1b[2J\nx.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "sly.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    done = run("footprint", str(path))
    assert done.exit_code == 0
    assert ESCAPE not in done.stdout
    assert r"[red]\x1b[2J\nx" in done.stdout
    assert_refused(run("footprint", f"{ESCAPE}[2J\n"), r"\x1b[2J\n")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["fit", "7GB", "--device", "iphone-15-prp"], "UnknownDeviceError"),
        (["footprint", "12 apples"], "QuantityError"),
        (["pack"], "UsageError"),
    ],
)
def test_with_json_a_failure_is_json_too(arguments: list[str], kind: str) -> None:
    done = run(*arguments, "--json")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    found = json.loads(done.stdout)
    assert found["error"] == kind
    assert found["message"]
    if kind == "UnknownDeviceError":
        assert found["name"] == "iphone-15-prp"
        assert "iphone-15-pro" in found["suggestions"]


# Terminals, pipes and signals


@pytest.mark.parametrize("width", WIDTHS)
def test_any_width_will_do(width: str, minilm_dir: Path, bpplib: Path) -> None:
    for arguments in (
        ["footprint", str(minilm_dir)],
        ["fit", "7GB", "--device", "iphone-15-pro"],
        ["pack", str(bpplib)],
        ["pack", "--models", "7GB x3,80GB", "--devices", "rtx-4090 x2"],
        ["machine"],
        ["catalog", "models"],
        ["catalog", "devices"],
        ["catalog", "show", "llama3-2-1b"],
        ["catalog", "show", "iphone-15-pro"],
        ["catalog", "audit"],
        ["catalog", "rule"],
        ["catalog", "measured"],
        ["catalog", "show", "phi-4-reasoning"],
        ["catalog", "show", "rtx-2080-ti"],
        ["catalog", "devices", "--search", "4090"],
    ):
        done = run(*arguments, width=width)
        assert done.exit_code in {0, 1}, done.output
        assert done.stderr == ""
        longest = max(map(len, done.stdout.splitlines()))
        assert longest <= max(int(width), 40), (arguments, longest)
        assert not re.search(r" $", done.stdout, re.MULTILINE), "no blanks at the end of a line"


def test_a_pipe_gets_no_colours(minilm_dir: Path) -> None:
    done = process("footprint", str(minilm_dir))
    assert done.returncode == 0
    assert ESCAPE not in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("script") is None, reason="needs script(1) for a terminal")
def test_a_terminal_gets_colours_unless_it_wants_none() -> None:
    command = f"script -qec '{ULLAGE} fit 1GB --device 8GB' /dev/null"
    assert f"{ESCAPE}[32m" in shell(f"env -u NO_COLOR TERM=xterm {command}").stdout
    assert f"{ESCAPE}[32m" not in shell(f"NO_COLOR=1 TERM=xterm {command}").stdout


def test_a_terminal_without_blocks_gets_plain_marks() -> None:
    done = process("fit", "7GB", "--device", "8GB", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "# least  + most likely  - most" in done.stdout
    assert done.stderr == ""


def test_a_closed_pipe_ends_quietly() -> None:
    done = shell(f"{ULLAGE} catalog devices | head -n 1; exit ${{PIPESTATUS[1]}}")
    assert done.returncode == 0
    assert done.stdout.startswith("name")
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence() -> None:
    done = shell(f"{ULLAGE} catalog devices > /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_an_interrupted_search_ends_with_130(tmp_path: Path) -> None:
    path = tmp_path / "hard.txt"
    sizes = [102 + 2 * ((index * 7919) % 100) for index in range(2000)]
    # No bin can be full, which no bound sees.
    capacity = next(size for size in (-(-sum(sizes) // bins) for bins in range(400, 500)) if size % 2)
    path.write_text("\n".join(map(str, [len(sizes), capacity, *sizes])) + "\n")
    command = [ULLAGE, "pack", str(path), "--strategy", "local_search", "--time-limit", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:  # noqa: S603
        while psutil.Process(child.pid).cpu_times().user < 1:  # by then it has started and is searching
            assert child.poll() is None, "the search was over before it could be interrupted"
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=30)
    assert child.returncode == 130
    assert stderr == "interrupted; this is the best so far\n"
    assert stdout.startswith("Feasible: 2,000 items in ")


def test_a_catalog_model_is_described_and_not_taken_for_a_file() -> None:
    shown = run("footprint", "llama-3.1-8b")
    assert "8,030,261,248 parameters" in shown.stdout
    assert "No weights were read: they follow from the configuration." in shown.stdout
    assert "rests on one figure" not in shown.stdout
    page = json.loads(run("catalog", "show", "sdxl", "--json").stdout)
    assert page["kind"] == "architecture"
    assert "unet" in page["components"]
    assert (
        "Computed from their configuration: stable-diffusion-xl" in run("catalog", "models", "--search", "sdxl").stdout
    )


def test_weights_in_another_form_count_for_every_kind_of_model() -> None:
    whole, four = (
        json.loads(run("footprint", "llama-3.1-8b", *more, "--json").stdout)
        for more in ((), ("--weights", "gguf:q4_k"))
    )
    assert whole["parts"]["weights"]["best"] == 16_060_522_496
    assert four["parts"]["weights"]["best"] == four["tensor_bytes"] == 4_517_404_672
    refused = run("footprint", "efficientnet-v2-s", "--weights", "gguf:q4_k")
    assert (refused.exit_code, "no weights of efficientnet-v2-s are known" in refused.stderr) == (2, True)
    assert "none of dense:f16, gguf:q4_k" in run("footprint", "7GB", "--weights", "4bit").stderr


def test_what_has_no_effect_is_said() -> None:
    assert "no KV cache and no state is counted" in run("fit", "7GB", "--device", "8GB", "--context", "1000000").stdout
    assert "change nothing of" in run("fit", "efficientnet-v2-s", "--device", "8GB", "--context", "1000000").stdout


def test_a_context_may_be_written_with_k() -> None:
    assert answer("footprint", "llama-3.1-8b", "--context", "32k")["context"] == 32_768
    refused = run("footprint", "7GB", "--context", "many")
    assert refused.exit_code == 2
    assert "such as 8192 or 8k" in refused.stderr


def test_a_published_phone_total_speaks_of_phones_alone() -> None:
    published = answer("footprint", "llama-3.2-1b")
    assert (published["parameters"], published["total"]["origin"]) == (None, "measured")
    for more in (("--runtime", "vllm"), ("--context", "8k"), ("--weights", "q4_k")):
        assert answer("footprint", "llama-3.2-1b", *more)["parameters"] == 1_235_814_400
    on = {
        name: json.loads(run("fit", "llama-3.2-1b", "-d", name, "--json").stdout)
        for name in ("rtx-4090", "iphone-16-pro")
    }
    assert on["iphone-16-pro"]["required"]["origin"] == "measured"
    assert on["rtx-4090"]["required"]["origin"] != "measured"
