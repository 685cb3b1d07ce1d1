"""Fleet files: models, devices and rules in TOML or JSON, as `ullage place` reads them."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from ullage._placing import memory_of
from ullage.errors import ModelNotFoundError as FileMissingError
from ullage.errors import ProblemError, UnreadableError, not_utf8

__all__ = ["MOST_BYTES", "read_fleet"]

MOST_BYTES = 16 << 20
"""The largest fleet file that is read."""

WORKLOAD = {"context", "batch", "kv_dtype", "micro_batch", "flash_attention", "runtime", "weights", "measured"}
"""Keys of a model that are arguments of `footprint`."""
TABLES = {"models", "devices", "rules", "reserve", "keep"}
RULES = {"pins", "together", "apart", "replicas", "values", "costs"}


def read_fleet(path: str | os.PathLike[str], *, book: str = "best") -> dict[str, Any]:
    """Read a fleet file: the arguments of `place` that it stands for, `models` and `devices` among them.

    The file has the tables `models` and `devices`, with values as `place` takes them, and may have `rules` (with
    `pins`, `together`, `apart`, `replicas`, `values`, `costs`), `reserve` and `keep`. A model may have the arguments of
    `footprint` beside `model`, such as `runtime` and `weights`. A name that ends in `.json` is JSON, any other TOML.
    Raises `ModelNotFoundError` or `UnreadableError` for a file that cannot be read, `ProblemError` naming the key at
    fault for one that makes no sense.
    """
    fleet = _parsed(Path(path))
    _known("", fleet, TABLES)
    for table in ("models", "devices"):
        if not isinstance(fleet.get(table), dict):
            raise _wrong(table, f"there is no table [{table}]; a fleet has [models] and [devices]")
    rules = fleet.get("rules", {})
    if not isinstance(rules, dict):
        raise _wrong("rules", "expected a table")
    _known("rules.", rules, RULES)
    arguments = {key: fleet[key] for key in ("reserve", "keep") if key in fleet}
    _check_shapes(rules)
    models = {name: _model(name, needs, book) for name, needs in fleet["models"].items()}
    devices = {name: tuple(has) if isinstance(has, list) else has for name, has in fleet["devices"].items()}
    return {"models": models, "devices": devices, **rules, **arguments}


def _wrong(field: str, reason: str) -> ProblemError:
    return ProblemError(f"{field}: {reason}", field=field, reason=reason)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise FileMissingError(f"{path}: no such file", path=str(path), errno=error.errno) from None
    except (OSError, ValueError) as error:
        errno = getattr(error, "errno", None)
        said = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(f"{path}: {said}", path=str(path), errno=errno) from None
    if len(content) > MOST_BYTES:
        raise _wrong(str(path), f"larger than the {MOST_BYTES} bytes that a fleet file may have")
    try:
        text = content.decode()
        fleet = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise _wrong(str(path), not_utf8(error)) from None
    except (ValueError, RecursionError) as error:
        raise _wrong(str(path), f"{error}") from None
    if not isinstance(fleet, dict):
        raise _wrong(str(path), "expected a table with models and devices")
    return fleet


def _known(prefix: str, table: dict[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise _wrong(f"{prefix}{key}", f"is none of {', '.join(sorted(known))}")


def _check_shapes(rules: dict[str, Any]) -> None:
    for key in ("pins", "replicas", "values", "costs"):
        if not isinstance(rules.get(key, {}), dict):
            raise _wrong(f"rules.{key}", "expected a table")
    for key in ("together", "apart"):
        groups = rules.get(key, [])
        if not isinstance(groups, list) or not all(isinstance(group, list) for group in groups):
            raise _wrong(f"rules.{key}", "expected a list of lists of names")


def _model(name: str, needs: Any, book: str) -> Any:  # noqa: ANN401 - as the file has it
    if not isinstance(needs, dict):
        return needs
    workload = {key: value for key, value in needs.items() if key in WORKLOAD}
    rest = {key: value for key, value in needs.items() if key not in WORKLOAD}
    if "memory" in rest:
        if workload:
            raise _wrong(f"models.{name}", f"{', '.join(workload)} would have no effect beside memory")
        return rest
    return {"memory": memory_of(rest.pop("model", name), book, **workload), **rest}
