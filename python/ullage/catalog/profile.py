"""What the catalog knows of how fast a device is, in the form that simulations of a pass read."""

import json
from functools import cache
from importlib.resources import as_file, files
from typing import Any

from ullage.catalog.device_table import Device
from ullage.catalog.toml_row import TomlRow, read_catalog
from ullage.errors import ArgumentError

__all__ = ["profile_fields", "profile_json"]

ORIGINS = frozenset({"published", "fitted", "assumed"})
UNITS = {
    "read": "bytes_per_second",
    "storage": "bytes_per_second",
    "compute": "flops_per_second",
    "depthwise": "flops_per_second",
    "decompression": "bytes_per_second",
    "dispatch": "seconds",
    "floor": "seconds",
    "zeros_skipped": "factor",
}
KINDS = ("gguf", "linear", "lossless", "palettized", "sparse")
"""Kinds of scheme that one rate of decompression stands for."""
GIGA = 10**9
TERA = 10**12


def profile_fields(device: Device) -> dict[str, Any]:
    """Give a device's figures with their units and origins: fitted ones where there are any, else its published peaks.

    Raises `ArgumentError` for a device of which no bandwidth is known: nothing can be said then.
    """
    known = _table().get(device.key)
    fields: dict[str, Any] = {
        "name": device.name,
        "note": "published peaks; real passes are slower",
        "threads": 1,
        "memory_limit": device.available().best,
        "compute": {},
        "decompression": {},
    }
    if device.bandwidth_gb_s is not None:
        fields["read"] = _figure("read", device.bandwidth_gb_s * GIGA, "published")
    if device.fp16_tflops is not None:
        fields["compute"]["f16"] = _figure("compute", device.fp16_tflops * TERA, "published")
    if known is not None:
        _overlay(fields, known)
    if "read" not in fields:
        reason = f"{device.key}: no bandwidth is known; calibrate it, or add one with `ullage catalog add-device`"
        raise ArgumentError(f"device: {reason}", name="device", reason=reason)
    return fields


def profile_json(device: Device) -> str:
    """Give the same as text."""
    return json.dumps(profile_fields(device))


def _overlay(fields: dict[str, Any], known: dict[str, Any]) -> None:
    fields["note"] = known["note"]
    for name, (value, origin) in known["figures"].items():
        figure = _figure(name, value, origin)
        if name == "compute":
            fields["compute"]["f16"] = figure
        elif name == "decompression":
            fields["decompression"] = dict.fromkeys(KINDS, figure)
        else:
            fields[name] = figure


def _figure(name: str, value: float, origin: str) -> dict[str, Any]:
    return {"value": value, "unit": UNITS[name], "origin": origin}


@cache
def _table() -> dict[str, dict[str, Any]]:
    with as_file(files("ullage.catalog") / "profiles.toml") as path:
        file = read_catalog(path)
    rows = file.rows("profile")
    file.finish()
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        keys, profile = row.texts("devices"), _profile(row)
        for key in keys:
            if key in found:
                row.fail("devices", f"{key!r} has a profile already")
            found[key] = profile
    return found


def _profile(row: TomlRow) -> dict[str, Any]:
    note = row.text("note")
    figures: dict[str, tuple[float, str]] = {}
    for name in UNITS:
        if row.has(name):
            figure = row.row(name)
            value = figure.number_or_none("value")
            if value is None:
                figure.fail("value", "missing")
            figures[name] = (value, figure.word("origin", ORIGINS))
            figure.text("source")
            figure.finish()
    row.finish()
    return {"note": note, "figures": figures}
