"""Errors of the command line read aloud: one sentence that names what, where and why, whatever was given."""

import json
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ullage.cli.app import app
from ullage.cli.suggesting import meant

FILES = {
    "void": b"",
    "noise": bytes(range(256)) * 8,
    "text": b"hello world\n",
    "list.json": b"[1, 2]",
    "object.json": b'{"a": 1}',
    "cut.csv": b"id,lower,upper,size\na,0,3,4\nb,2",
    "buffers.csv": b"id,lower,upper,size\na,0,3,4\nb,2,5,4\n",
    "models.csv": b"model,bytes,load_s\nm0,8000000000,10\n",
    "requests.csv": b"time_s,model\n0,m0\n60,m0\n",
    "instance.txt": b"4\n10\n6\n5\n5\n4\n",
}
READERS = {
    "footprint": ["footprint", "FILE"],
    "fit": ["fit", "FILE", "--device", "8GB"],
    "compress": ["compress", "FILE", "--scheme", "linear:8"],
    "network": ["compress", "FILE", "--scheme", "linear:8", "--network", "x"],
    "inputs": ["compress", "m.safetensors", "--scheme", "linear:8", "--out", "new", "--inputs", "FILE"],
    "simulate": ["simulate", "FILE", "--scheme", "linear:8", "--device", "iphone-14-pro"],
    "optimize": ["optimize", "FILE", "--scheme", "linear:8", "--device", "iphone-14-pro"],
    "pack": ["pack", "FILE", "--capacity", "8GB"],
    "place": ["place", "FILE"],
    "split": ["split", "FILE", "--devices", "8GB"],
    "arena": ["arena", "FILE"],
    "requests": ["replay", "FILE", "--models", "models.csv", "--capacity", "80GB"],
    "models": ["replay", "requests.csv", "--models", "FILE", "--capacity", "80GB"],
    "report": ["report", "FILE", "--out", "page.html"],
    "top": ["top", "FILE", "--once"],
    "timeline": ["timeline", "FILE"],
    "truth": ["score", "footprint", "--truth", "FILE"],
    "data": ["score", "compression", "--data", "FILE"],
    "bench": ["bench", "pack", "FILE", "--strategies", "first_fit", "--time-limit", "0.1"],
    "optima": ["bench", "pack", "instance.txt", "--strategies", "first_fit", "--optima", "FILE"],
}
"""Every place of the command line where a file is read."""

GIVEN = ["absent", "folder", "void", "noise", "text", "list.json", "object.json", "cut.csv"]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    Path("folder").mkdir()
    header = json.dumps({"x.weight": {"dtype": "F32", "shape": [64, 64], "data_offsets": [0, 16384]}}).encode()
    Path("m.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16384))


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments, prog_name="ullage")


def sentence(*arguments: str) -> str:
    """Run what must be refused; give the one sentence that is said."""
    done = run(*arguments)
    assert done.exit_code == 2, (arguments, done.output, done.exception)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Errno" not in done.stderr
    assert "codec" not in done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_wrong_with_a_file_names_it_once(reader: str, given: str) -> None:
    said = sentence(*(given if word == "FILE" else word for word in READERS[reader]))
    if (reader, given) != ("bench", "folder"):  # a folder is what it takes; this one has nothing in it
        assert given in said
    assert f"{given}: {given}" not in said


@pytest.mark.parametrize(
    "reader", sorted(set(READERS) - {"footprint", "fit", "compress", "simulate", "optimize", "split"})
)
def test_an_empty_name_is_not_the_current_folder(reader: str) -> None:
    said = sentence(*("" if word == "FILE" else word for word in READERS[reader]))
    assert reader in {"data", "network"} or "an empty name is no file" in said


@pytest.mark.parametrize("path", ["absent/new", "folder", ""])
@pytest.mark.parametrize(
    "command",
    [
        ["arena", "buffers.csv", "--output"],
        ["compress", "m.safetensors", "--scheme", "linear:8", "--out"],
        ["calibrate", "--out"],
        ["simulate", "m.safetensors", "--scheme", "linear:8", "--device", "iphone-14-pro", "--trace"],
        ["optimize", "m.safetensors", "--scheme", "linear:8", "--device", "iphone-14-pro", "--trace"],
        ["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB", "--log"],
        ["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB", "--plot"],
        ["report", "buffers.csv", "--out"],
        ["timeline", "object.json", "--lifetimes"],
        ["timeline", "object.json", "--chrome"],
        *(["bench", "pack", "instance.txt", option] for option in ("--journal", "--csv", "--output", "--profile")),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(command: list[str], path: str) -> None:
    said = sentence(*command, path)
    assert command[-1] in said
    assert (path or "empty name") in said


OPTIMIZE = ["optimize", "m.safetensors", "--device", "iphone-14-pro"]
REPLAY = ["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB"]

SIZES = [
    ["pack", "--models", "7GB", "--capacity"],
    ["place", "--models", "a=6GB", "--devices", "x=10GB", "--reserve"],
    ["split", "llama-3.2-1b", "--devices", "8GB", "--reserve"],
    ["arena", "buffers.csv", "--capacity"],
    ["replay", "requests.csv", "--models", "models.csv", "--capacity"],
    ["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB", "--workspace"],
    ["simulate", "m.safetensors", "--scheme", "linear:8", "--device", "iphone-14-pro", "--memory-limit"],
    ["optimize", "m.safetensors", "--scheme", "linear:8", "--device", "iphone-14-pro", "--memory-limit"],
    ["bench", "pack", "instance.txt", "--memory-limit"],
    ["catalog", "add", "device", "Mine", "--class", "host", "--memory"],
]


@pytest.mark.parametrize("size", ["nan", "inf", "-1GB", "5 apples", "8GBB", "", "9" * 40 + "GB"])
@pytest.mark.parametrize("command", SIZES)
def test_a_size_that_is_none_names_its_option(command: list[str], size: str) -> None:
    said = sentence(*command, size)
    assert said.startswith(f"error: {command[-1]}: ")
    assert "is not a byte count" in said


NUMBERS = [
    ["pack", "--models", "7GB", "--capacity", "8GB", "--time-limit"],
    ["place", "--models", "a=6GB", "--devices", "x=10GB", "--time-limit"],
    ["arena", "buffers.csv", "--time-limit"],
    ["optimize", "m.safetensors", "--scheme", "linear:8", "--device", "iphone-14-pro", "--time-limit"],
    ["split", "llama-3.2-1b", "--devices", "8GB", "--time-limit"],
    ["bench", "pack", "instance.txt", "--time-limit"],
    ["bench", "pack", "instance.txt", "--grace"],
    ["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB", "--unload-lag"],
    ["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB", "--estimate-error"],
    ["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB", "--timeout"],
    ["calibrate", "--seconds"],
    ["simulate", "--verify", "--seconds"],
    ["top", "object.json", "--interval"],
    ["machine", "--watch"],
]


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "1e400", "x", ""])
@pytest.mark.parametrize("command", NUMBERS)
def test_a_number_that_is_none_names_its_option(command: list[str], number: str) -> None:
    said = sentence(*command, number)
    assert f"'{command[-1]}'" in said
    assert "valid float" not in said
    assert "<=" not in said


@pytest.mark.parametrize(
    ("arguments", "meant_was"),
    [
        (["fitt", "7GB"], "fit"),
        (["score", "footprnt"], "footprint"),
        (["fit", "7GB", "--devise", "8GB"], "--device"),
        (["footprint", "all-minilm-l6-v3"], "all-minilm-l6-v2"),
        (["footprint", "7GB", "--runtime", "lama.cpp"], "llama.cpp"),
        (["footprint", "7GB", "--kv-dtype", "q8-0"], "q8_0"),
        (["fit", "7GB", "--device", "iphone-15-prp"], "iphone-15-pro"),
        (["compress", "m.safetensors", "--scheme", "palletized:4"], "palettized"),
        (["simulate", "m.safetensors", "--scheme", "linear:8", "--device", "h100x"], "h100"),
        (
            ["simulate", "m.safetensors", "--scheme", "linear:8", "--device", "iphone-14-pro", "--policy", "load-time"],
            "load_time",
        ),
        (["pack", "--models", "7GB", "--capacity", "8GB", "--strategy", "bestfit"], "best_fit"),
        (["place", "--models", "a=6GB", "--devices", "x=10GB", "--strategy", "exakt"], "exact"),
        (["place", "--models", "a=6GB", "--devices", "x=10GB", "--keep", "best-value"], "best_value"),
        (["arena", "buffers.csv", "--strategy", "greedy_size"], "greedy_by_size"),
        (["replay", "requests.csv", "--models", "models.csv", "--capacity", "80GB", "--policy", "LRU"], "lru"),
        (["bench", "pack", "instance.txt", "--strategies", "first_fitt"], "first_fit"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(arguments: list[str], meant_was: str) -> None:
    said = sentence(*arguments)
    assert "did you mean" in said
    assert meant_was in said.partition("did you mean")[2]


@pytest.mark.parametrize(
    ("message", "suffix"),
    [
        ('keep: "qqqq" is none of all, best_value', ""),
        ('scheme: "linear:3" is none of dense:f16, linear:8 or lossless: bits are 4, 8', ""),
        ('scheme: "lineer:8" is none of dense:f16, linear:8 or lossless: it is of no kind', "; did you mean linear?"),
        ("no device is called 'x'; did you mean y?", ""),
    ],
)
def test_only_a_near_name_is_suggested(message: str, suffix: str) -> None:
    assert meant(message) == message + suffix


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["place", "--models", "a=6GB", "--devices", "x="], "'x=' lacks what is behind its ="),
        (["place", "--models", "=6GB", "--devices", "x=10GB"], "'=6GB' lacks what is before its ="),
        (["place", "--models", "", "--devices", "x=10GB"], "an entry between two commas is empty"),
        (["pack", "--models", "1GB", "--devices", "a="], "'a=' lacks what is behind its ="),
        (["pack", "--models", "1GB x1e9", "--capacity", "8GB"], "x1e9 is no number of copies, such as x2"),
        (["pack", "--models", "1GB x999999999", "--capacity", "8GB"], "more than 1,000,000 copies in all"),
        (["pack", "m.safetensors", "--capacity", "8GB"], "models go behind --models"),
        ([*OPTIMIZE, "--scheme", "linear:8", "--latency-limit", "5 apples"], "'5 apples' is no time, such as 5ms"),
        ([*OPTIMIZE, "--schemes", ","], "names nothing"),
        (["simulate", "--verify", "--device", "object.json"], "object.json: it has no rate of reading memory"),
        (["simulate", "--verify", "--device", "absent.json"], "absent.json: no such file"),
        ([*REPLAY, "--pin", "m9"], "--pin: models.csv has no model 'm9'"),
        ([*REPLAY, "--plot", "x.foo"], "x.foo ends in none of .png"),
        (["bench", "pack", "instance.txt", "--strategies", ","], "names no strategy"),
        (["catalog", "add", "device", "Mine", "--memory", "8GB"], "one of gpu-consumer, gpu-datacenter"),
        (["score", "compression", "--data", "folder"], "folder has no coreml_truth.csv"),
    ],
)
def test_what_is_said_helps(arguments: list[str], says: str) -> None:
    assert says in sentence(*arguments)


def test_schemes_with_options_stand_in_a_list_with_commas() -> None:
    schemes = "dense:f16,linear:8,symmetric,block=32,palettized:4,group=16"
    done = run("optimize", "m.safetensors", "--device", "iphone-14-pro", "--schemes", schemes, "--json")
    assert done.exit_code == 0, done.output
    given = run(
        "optimize", "m.safetensors", "--device", "iphone-14-pro", "--schemes", schemes.replace(",", " "), "--json"
    )
    assert json.loads(given.stdout)["layers"] == json.loads(done.stdout)["layers"]


def test_a_failure_in_json_keeps_its_fields() -> None:
    done = run("pack", "--models", "7GB", "--capacity", "nan", "--json")
    found = json.loads(done.stdout)
    assert (found["error"], found["input"]) == ("QuantityError", "nan")
    assert found["message"].startswith("--capacity: ")
    found = json.loads(run("arena", "cut.csv", "--json").stdout)
    assert (found["error"], found["field"]) == ("ProblemError", "line 3")
    assert found["message"].startswith("cut.csv: line 3")
