"""Adding rows of one's own to the catalog, and taking them out again."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from ullage._core import parse_bytes
from ullage._types import ByteCount
from ullage.catalog import own_rows
from ullage.catalog.device_lookup import device, device_rules, published_device
from ullage.catalog.device_table import Device, read_device_file
from ullage.catalog.model_lookup import model, published_model
from ullage.catalog.model_table import ModelRow, read_models
from ullage.errors import ArgumentError, CatalogError, InputError

__all__ = ["add_device", "add_model", "remove"]

BOUNDS = 3


def add_model(
    name: str,
    memory: ByteCount,
    *,
    source: str,
    task: str = "other",
    library: str = "own",
    library_version: str = "unstated",
    metric: str = "peak memory of the process",
    platform: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    quantization: str | None = None,
    registry_key: str | None = None,
    file: ByteCount | None = None,
    aliases: tuple[str, ...] = (),
    note: str | None = None,
    date: str | None = None,
    replace: bool = False,
) -> ModelRow:
    """Register a model with the memory that was measured for it; it is found from then on like a published one.

    `source` says in words who measured it and how. Raises `ArgumentError` where the name is taken and `replace` is
    not set (a published row is then hidden, not changed), and `CatalogError` for what no row may hold.
    """
    key = own_rows.key_of(name)
    _refuse_taken(key, name, None if replace else _model_named(name, key), "model")
    figure = _figure(memory) | {"platform": platform, "backend": backend, "precision": precision, "device": device}
    tables = {
        "document": {
            "key": "own",
            "title": "Added by the user",
            "citation": source,
            "date": date or datetime.now(UTC).date().isoformat(),
            "library": library,
            "library_version": library_version,
            "origin": "measured",
            "metric": metric,
            "notes": [note] if note else [],
        },
        "model": [
            {
                "key": key,
                "name": name,
                "aliases": list(aliases) or None,
                "task": task,
                "quantization": quantization,
                "registry_key": registry_key,
                "figures": [figure],
                "file": None if file is None else _figure(file),
            }
        ],
    }
    own_rows.save("models", key, tables, read_models, replace=replace)
    return model(key)


def add_device(
    name: str,
    memory: ByteCount,
    *,
    device_class: str,
    source: str,
    usable: tuple[ByteCount, ByteCount, ByteCount] | None = None,
    entitled: tuple[ByteCount, ByteCount, ByteCount] | None = None,
    bandwidth_gb_s: float | None = None,
    aliases: tuple[str, ...] = (),
    replace: bool = False,
) -> Device:
    """Register a device; `usable` and `entitled` are at least, most likely and at most, else by the rule of its class.

    Of an iOS device with `usable` alone, the entitlement is taken to change nothing.

    Raises `ArgumentError` where the name is taken and `replace` is not set (a published row is then hidden, not
    changed), and `CatalogError` for what no row may hold.
    """
    key = own_rows.key_of(name)
    _refuse_taken(key, name, None if replace else _device_named(name, key), "device")
    rules = device_rules()
    has_entitlement = (device_class, "entitled") in rules
    if entitled is not None and not has_entitlement:
        reason = f"a device of class {device_class} knows no entitlement"
        raise ArgumentError(f"entitled: {reason}", name="entitled", reason=reason)
    row = {
        "key": key,
        "name": name,
        "aliases": list(aliases) or None,
        "class": device_class,
        "memory_bytes": parse_bytes(memory),
        "usable": _range(usable, device_class),
        "entitled": _range(entitled or usable, device_class) if has_entitlement else None,
        "bandwidth_gb_s": bandwidth_gb_s,
        "source": source,
        "confidence": "own",
    }

    def check(path: Path) -> None:
        read_device_file(path, rules=rules, table="own")

    own_rows.save("devices", key, {"device": [row]}, check, replace=replace)
    return device(key)


def remove(name: str) -> str:
    """Take a row of the user's own out of the catalog, damaged or not; gives its key.

    Raises `InputError` where the user has no such row.
    """
    key = own_rows.key_of(name)
    keys = dict.fromkeys((key, *_known_keys(name)))
    removed = [found for found in keys for kind in ("models", "devices") if own_rows.delete(kind, found)]
    if not removed:
        raise InputError(f"you have no row {name!r} of your own", name=name, suggestions=[])
    return removed[0]


def _known_keys(name: str) -> list[str]:
    keys: list[str] = []
    for read in (own_rows.model_index, lambda: own_rows.device_index(device_rules())):
        try:
            found = read().get(name)
        except CatalogError:  # a damaged file must not keep the user from removing it
            continue
        if found is not None:
            keys.append(found.key)
    return keys


def _model_named(name: str, key: str) -> str | None:
    own = own_rows.model_index()
    found = own.get(name) or own.get(key) or published_model(name) or published_model(key)
    return found.key if found else None


def _device_named(name: str, key: str) -> str | None:
    own = own_rows.device_index(device_rules())
    found = own.get(name) or own.get(key) or published_device(name) or published_device(key)
    return found.key if found and found.table != "class" else None


def _refuse_taken(key: str, name: str, holder: str | None, noun: str) -> None:
    if holder is not None:
        reason = f"the {noun} {holder!r} answers to {name!r} already; replace it, or choose another name than {key!r}"
        raise ArgumentError(f"name: {reason}", name="name", reason=reason)


def _figure(memory: ByteCount) -> dict[str, object]:
    """Give a size as it was written where its unit is one of a table, else in MB that are exact to the byte."""
    count = parse_bytes(memory)
    megabytes = Decimal(count) / 10**6
    return {"published": format(megabytes, "f"), "unit": "MB", "unit_read_as": "MB", "bytes": count}


def _range(bounds: tuple[ByteCount, ByteCount, ByteCount] | None, device_class: str) -> dict[str, object]:
    if bounds is None:
        return {"origin": "rule", "basis": f"class rule of {device_class}"}
    if len(bounds) != BOUNDS:
        reason = "expected three bounds: at least, most likely, at most"
        raise ArgumentError(f"usable: {reason}", name="usable", reason=reason)
    lo, best, hi = map(parse_bytes, bounds)
    return {"lo": lo, "best": best, "hi": hi, "origin": "measured", "basis": "as the user stated it"}
