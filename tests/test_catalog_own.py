"""Rows of the user's own: added, found like published ones, replaced, removed, and never half written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ullage
from ullage import catalog
from ullage.catalog import own_rows
from ullage.cli.app import app
from ullage.errors import ArgumentError, CatalogError, InputError, UnknownDeviceError, UnknownModelError
from ullage.folders import cache_folder, data_folder


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments), prog_name="ullage")
    return done.exit_code, done.stdout, done.stderr


def test_an_own_model_is_found_like_a_published_one(own_folder: Path) -> None:
    row = catalog.add_model(
        "My Llama 3B",
        "3.1GB",
        source="dumpsys meminfo, three runs",
        platform="android",
        backend="xnnpack",
        device="oneplus-12",
        file="2.5GiB",
        aliases=("ml3",),
        registry_key="me/llama",
    )
    assert row.key == "my-llama-3b"
    assert row.is_own
    assert row.file is not None
    assert row.file.bytes == 5 * 2**29
    for name in ("my-llama-3b", "MY LLAMA 3B", "ml3", "me/llama"):
        assert catalog.model(name) == row
    assert catalog.models("my llama") == [row]
    assert catalog.models()[0] == row
    assert ullage.footprint("my-llama-3b").total.best == 3_100_000_000
    assert [path.name for path in (own_folder / "models").iterdir()] == ["my-llama-3b.toml"]


def test_an_own_device_takes_the_rule_of_its_class_unless_its_limit_is_stated() -> None:
    plain = catalog.add_device("Our Server", "64GiB", device_class="host", source="dmidecode")
    assert (plain.key, plain.table, plain.usable.origin, plain.entitled) == ("our-server", "own", "rule", None)
    assert 0 < plain.usable.lo < plain.usable.best < plain.memory_bytes
    phone = catalog.add_device(
        "iPhone 21",
        "16GiB",
        device_class="phone-ios",
        source="os_proc_available_memory",
        usable=("5GB", "6GB", "7GB"),
        bandwidth_gb_s=70.5,
    )
    assert (phone.usable.lo, phone.usable.best, phone.usable.hi) == (5 * 10**9, 6 * 10**9, 7 * 10**9)
    assert phone.usable.origin == "measured"
    assert phone.entitled is not None
    assert phone.bandwidth_gb_s == 70.5
    assert phone.entitled.best == phone.usable.best, "what is granted without the entitlement is with it too"
    assert ullage.fit("4GB", "iphone-21").available == 6 * 10**9
    assert [row.key for row in catalog.devices("iphone 21")] == ["iphone-21"]


@pytest.mark.parametrize("name", ["rtx-4090", "NVIDIA GeForce RTX 2080 Ti", "iPhone 15 Pro"])
def test_a_published_device_is_hidden_only_on_purpose_and_comes_back(name: str) -> None:
    published = catalog.device(name)
    with pytest.raises(ArgumentError, match="already"):
        catalog.add_device(name, "7GiB", device_class="gpu-consumer", source="mine")
    assert catalog.device(name) == published
    mine = catalog.add_device(name, "7GiB", device_class="gpu-consumer", source="mine", replace=True)
    assert catalog.device(name) == mine
    assert [row.table for row in catalog.devices(name) if row.key == mine.key] == ["own"]
    assert catalog.remove(name) == mine.key
    assert catalog.device(name) == published


def test_a_published_model_is_hidden_only_on_purpose_and_comes_back() -> None:
    published = catalog.model("llama3-2-1b")
    with pytest.raises(ArgumentError, match="already"):
        catalog.add_model("LLAMA3_2_1B", "1GB", source="mine")
    catalog.add_model("LLAMA3_2_1B", "1GB", source="mine", replace=True)
    assert catalog.model("llama3-2-1b").is_own
    catalog.remove("LLAMA3_2_1B")
    assert catalog.model("llama3-2-1b") is published


def test_a_row_of_a_class_and_a_memory_may_be_made_precise() -> None:
    guessed = catalog.device("mac-m4-pro-24gb")
    assert guessed.table == "class"
    mine = catalog.add_device("mac-m4-pro-24gb", "24GiB", device_class="mac", source="mine", usable=("17GB",) * 3)
    assert catalog.device("MacBook Pro M4 Pro 24 GB").table == "class", "it was added under another name"
    assert catalog.device("mac-m4-pro-24gb") == mine


def test_own_rows_of_one_name_are_refused_until_replaced() -> None:
    catalog.add_model("twice", "1GB", source="a")
    with pytest.raises(ArgumentError, match="already"):
        catalog.add_model("Twice", "2GB", source="b")
    assert catalog.model("twice").memory().best == 10**9
    catalog.add_model("twice", "2GB", source="b", replace=True)
    assert catalog.model("twice").memory().best == 2 * 10**9


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"name": "x", "memory": "0"}, CatalogError),
        ({"name": "x", "memory": "12 apples"}, InputError),
        ({"name": "***", "memory": "1GB"}, ArgumentError),
        ({"name": "x" * 150, "memory": "1GB"}, ArgumentError),
        ({"name": "x", "memory": "1GB", "source": " "}, CatalogError),
        ({"name": "x", "memory": "1GB", "device_class": "toaster"}, CatalogError),
        ({"name": "x", "memory": "1GB", "usable": ("2GB",) * 3}, CatalogError),
        ({"name": "x", "memory": "1GB", "usable": ("3", "2", "1")}, CatalogError),
        ({"name": "x", "memory": "1GB", "usable": ("1",)}, ArgumentError),
        ({"name": "x", "memory": "1GB", "entitled": ("1", "1", "1")}, ArgumentError),
        ({"name": "x", "memory": "1GB", "bandwidth_gb_s": float("nan")}, CatalogError),
    ],
)
def test_what_no_row_may_hold_is_refused_and_nothing_is_written(
    arguments: dict[str, object], refusal: type[Exception], own_folder: Path
) -> None:
    with pytest.raises(refusal):
        catalog.add_device(**({"device_class": "host", "source": "s"} | arguments))  # type: ignore[arg-type]
    assert not list(own_folder.rglob("*.*"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(text=st.text(min_size=1, max_size=40).filter(str.strip))
def test_any_text_survives_the_file(text: str) -> None:
    row = catalog.add_model("any", "1GB", source=text, note=text, replace=True)
    readable = "".join("\N{REPLACEMENT CHARACTER}" if 0xD800 <= ord(one) < 0xE000 else one for one in text)
    assert (row.document.citation, row.document.notes) == (readable, (readable,))


def test_a_damaged_file_is_named_and_can_be_removed(own_folder: Path) -> None:
    catalog.add_model("good", "1GB", source="s")
    (own_folder / "models" / "bad.toml").write_text("[[model")
    with pytest.raises(CatalogError, match=r"bad\.toml"):
        catalog.model("good")
    assert catalog.remove("bad") == "bad"
    assert catalog.model("good").key == "good"


def test_what_is_not_there_cannot_be_removed() -> None:
    for name in ("never-added", "rtx-4090", "../../etc/passwd"):
        with pytest.raises(InputError, match="no row"):
            catalog.remove(name)


def test_a_change_by_another_process_is_seen() -> None:
    with pytest.raises(UnknownModelError):
        catalog.model("from elsewhere")
    code = "from ullage import catalog\ncatalog.add_model('from elsewhere', '5GB', source='s')"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own interpreter and text
    assert catalog.model("from elsewhere").memory().best == 5 * 10**9


def test_of_many_who_add_one_name_one_succeeds(own_folder: Path) -> None:
    code = (
        "import sys\nfrom ullage import catalog, errors\n"
        "try: catalog.add_model('contested', f'{sys.argv[1]}GB', source='s')\n"
        "except errors.ArgumentError: sys.exit(3)\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(1, 5)]  # noqa: S603
    assert sorted(child.wait() for child in children) == [0, 3, 3, 3]
    assert [path.name for path in (own_folder / "models").iterdir()] == ["contested.toml"]
    assert catalog.model("contested").memory().best in {number * 10**9 for number in range(1, 5)}


def test_a_write_that_fails_leaves_the_old_row_whole(monkeypatch: pytest.MonkeyPatch, own_folder: Path) -> None:
    catalog.add_model("kept", "1GB", source="s")

    def fails(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        catalog.add_model("kept", "2GB", source="s", replace=True)
    assert catalog.model("kept").memory().best == 10**9
    assert [path.name for path in (own_folder / "models").iterdir()] == ["kept.toml"]


def test_the_folders_are_where_the_system_keeps_such_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert data_folder() == cache_folder() == Path(os.environ["ULLAGE_HOME"])
    monkeypatch.delenv("ULLAGE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for platform, variables, data, cache in (
        ("linux", {"XDG_DATA_HOME": "", "XDG_CACHE_HOME": ""}, ".local/share/ullage", ".cache/ullage"),
        ("linux", {"XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/c"}, "/d/ullage", "/c/ullage"),
        ("linux", {"XDG_DATA_HOME": "rel", "XDG_CACHE_HOME": "rel"}, ".local/share/ullage", ".cache/ullage"),
        ("darwin", {}, "Library/Application Support/ullage", "Library/Caches/ullage"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/ullage", "/local/ullage"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert (data_folder(), cache_folder()) == (tmp_path / data, tmp_path / cache), platform


def test_an_unchanged_folder_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.add_model("once", "1GB", source="s")
    catalog.model("once")
    monkeypatch.setattr(own_rows, "read_models", lambda _path: pytest.fail("read again"))
    assert catalog.model("once").key == "once"


# The command line


def test_rows_are_added_shown_and_removed_at_the_command_line() -> None:
    status, out, _ = run("catalog", "add", "model", "my net", "--memory", "900MiB", "--platform", "linux", "--json")
    assert status == 0
    assert json.loads(out) == {"kind": "model", "key": "my-net", "memory": json.loads(out)["memory"]}
    assert json.loads(out)["memory"]["best"] == 900 * 2**20
    status, out, _ = run("catalog", "models", "--search", "my net", "--json")
    assert [(row["key"], row["own"]) for row in json.loads(out)["models"]] == [("my-net", True)]
    assert run("catalog", "models")[1].splitlines()[1].split()[:2] == ["my-net", "own"]
    status, out, _ = run("catalog", "add", "device", "Box", "--memory", "64GiB", "--class", "host", "--usable", "50GB")
    assert (status, out) == (0, "added the device box: 68.72 GB (64.00 GiB), usable 50.00 GB (46.57 GiB)\n")
    assert "own" in run("catalog", "devices", "--search", "box")[1]
    assert json.loads(run("catalog", "show", "box", "--json")[1])["table"] == "own"
    assert run("catalog", "remove", "Box") == (0, "removed box\n", "")
    assert json.loads(run("catalog", "remove", "my net", "--json")[1]) == {"removed": "my-net"}
    with pytest.raises(UnknownDeviceError):
        catalog.device("box")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "device", "rtx-4090", "--memory", "1GB", "--class", "host"], "answers to 'rtx-4090' already"),
        (["add", "device", "x", "--memory", "1GB", "--class", "toaster"], "'toaster' is not one of"),
        (["add", "device", "x", "--memory", "1GB", "--class", "host", "--usable", "1,2"], "neither one size nor three"),
        (["add", "device", "x", "--memory", "1GB", "--class", "host", "--bandwidth", "nan"], "bandwidth"),
        (["add", "device", "x", "--memory", "lots", "--class", "host"], "lots"),
        (["add", "model", "x"], "missing option '--memory'"),
        (["add", "model", "x", "--memory", "1GB", "--device", "no such phone"], "no device is called"),
        (["remove", "never-added"], "you have no row 'never-added' of your own"),
        (["forget"], "name a model, or give --all"),
        (["forget", "x", "--all"], "name a model, or give --all"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], says: str) -> None:
    status, _, err = run("catalog", *arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err


def test_the_rule_is_shown_row_by_row() -> None:
    status, out, _ = run("catalog", "rule", "--json")
    assert status == 0
    rows = json.loads(out)["rows"]
    assert len(rows) == 12
    assert {row["key"] for row in rows if row["flag"]} == {
        "gte-qwen2-1-5b",
        "phi-4-reasoning",
        "flux-schnell",
        "sd-3-5-large-turbo",
    }
    assert "! phi-4-reasoning books too much by its own rule" in run("catalog", "models")[1]
    assert "4 of 12 rows" in run("catalog", "rule")[1]


def test_every_command_of_the_catalog_says_how_it_is_used() -> None:
    for words in ([], ["add"], ["add", "model"], ["add", "device"], ["remove"], ["measured"], ["forget"], ["rule"]):
        status, out, _ = run("catalog", *words, "--help")
        assert status == 0, words
        assert out.startswith("Usage: ullage catalog")
    assert "Examples:" in run("catalog", "add", "model", "--help")[1]
