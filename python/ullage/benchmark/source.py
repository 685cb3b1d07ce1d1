"""Instances from files of public formats, told by name and content."""

import csv
import io
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from ullage import _core
from ullage.benchmark.files import File, files
from ullage.benchmark.instance import ArenaInstance, Instance, PackingInstance
from ullage.benchmark.optima import Optima, is_optima, parse_optima
from ullage.errors import ProblemError

__all__ = ["Found", "read_instances"]

Parts: TypeAlias = tuple[list[str], list[int], list[tuple[list[int], int]]]

SQLITE = b"SQLite format 3\x00"
OF_AZURE = {"types": ("vmTypeId", "machineId"), "requests": ("vmTypeId", "starttime")}
OF_OPENB = {"pods": ("cpu_milli", "num_gpu"), "nodes": ("cpu_milli", "gpu")}
MIDDLE_OF_TRACE = 7.0
MOST_ITEMS = 10_000_000


@dataclass
class Found:
    """What lay there."""

    instances: list[Instance] = field(default_factory=list)
    """The instances, each name once in its family."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Files in folders and archives that are no instances, each with the reason."""
    optima: Optima = field(default_factory=dict)
    """What tables of optima among the files say."""


def read_instances(
    paths: Iterable[str | Path], *, optima: Optima | None = None, at_days: float = MIDDLE_OF_TRACE
) -> Found:
    """Read instances from files, folders (all below) and archives (tar, zip; gzip of single files).

    The formats: BPPLIB text and `.bpp`, `.csp`, `.vbp`, CSV of buffers as MiniMalloc has it, lists of pods and nodes
    of OpenB side by side in one folder (an instance for each kind of node), and the Azure trace for packing as SQLite
    or as CSV of its two tables (an instance for each machine, of what is alive at `at_days`). A CSV that names
    `family`, `instance` and `opt` is a table of optima, like `optima`.

    Raises an `InputError` naming file and line for a file that was asked for and is no instance; what lies in a folder
    and is none is left out with its reason.
    """
    found = Found(optima=dict(optima or {}))
    tables: dict[str, dict[str, File]] = {}
    for path in paths:
        for file in files(Path(path)):
            _take(file, found, tables, at_days)
    for kinds in tables.values():
        _take_tables(kinds, found, at_days)
    named: dict[tuple[str, str], Instance] = {}
    for instance in found.instances:
        known = named.setdefault((instance.family, instance.name), instance)
        if known is not instance and known != instance:
            reason = "two instances of this name in one family"
            where = f"{instance.family}/{instance.name}"
            raise ProblemError(f"{where}: {reason}", field=where, reason=reason)
    found.instances = [_with_target(instance, found.optima) for instance in named.values()]
    return found


def _with_target(instance: Instance, optima: Optima) -> Instance:
    known = optima.get((instance.family, instance.name), instance.target)
    return replace(instance, target=known)


def _take(file: File, found: Found, tables: dict[str, dict[str, File]], at_days: float) -> None:
    if is_optima(file.content):
        found.optima |= parse_optima(file.content, file.where)
        return
    is_text = not file.content.startswith(SQLITE)
    header = {name.strip().strip('"') for name in _first_line(file.content).split(",")} if is_text else set()
    for kinds in (OF_AZURE, OF_OPENB):
        kind = next((kind for kind, names in kinds.items() if header >= set(names)), None)
        if kind is not None:
            among = tables.setdefault(str(PurePosixPath(file.where).parent), {})
            key = f"pods {file.name}" if kind == "pods" else kind
            if key not in among or len(among[key].content) < len(file.content):
                among[key] = file
            return
    try:
        found.instances += _read(file, header, at_days)
    except ProblemError as error:
        if file.is_asked_for:
            raise ProblemError(f"{file.where}: {error.field}: {error.reason}", **error.fields) from error
        found.left_out.append((file.where, f"{error.field}: {error.reason}"))


def _first_line(content: bytes) -> str:
    return content[:4096].decode("utf-8-sig", errors="replace").lstrip().partition("\n")[0]


def _read(file: File, header: set[str], at_days: float) -> Sequence[Instance]:
    if file.content.startswith(SQLITE):
        return _sqlite(file, at_days)
    stem = re.sub(r"\.(txt|bpp|csp|vbp|csv)$", "", file.name, flags=re.IGNORECASE)
    if header >= {"lower", "upper", "size"}:
        _, sizes, starts, ends, alignments, _ = _core.parse_arena_csv(file.content)
        stated = stem.rpartition(".")[2]
        return [
            ArenaInstance(
                file.family,
                stem,
                sizes=tuple(sizes.tolist()),
                starts=tuple(starts.tolist()),
                ends=tuple(ends.tolist()),
                alignments=tuple(alignments.tolist()),
                target=int(stated) if stated.isdecimal() else None,
            )
        ]
    return [_packing(file.family, stem, _core.parse_packing_instance(file.content, file.name))]


def _packing(family: str, name: str, parts: Parts) -> PackingInstance:
    resources, capacities, items = parts
    kinds = tuple((tuple(demand), count) for demand, count in items if count)
    if not capacities:
        raise _wrong("file", "states no capacity")
    if sum(count for _, count in kinds) > MOST_ITEMS:
        raise _wrong("file", f"more than {MOST_ITEMS:,} items")
    for index, (demand, _) in enumerate(kinds):
        for resource, need, has in zip(resources, demand, capacities, strict=True):
            if need > has:
                raise _wrong(f"item {index}", f"needs {need} of resource {resource!r}, a bin has {has}")
    return PackingInstance(family, name, tuple(capacities), kinds, tuple(resources))


def _take_tables(kinds: dict[str, File], found: Found, at_days: float) -> None:
    """Read tables that belong together, side by side; one without the other is left out."""
    nodes, types, requests = (kinds.get(key) for key in ("nodes", "types", "requests"))
    pods = [kinds[key] for key in sorted(kinds) if key.startswith("pods ")]
    for one in pods:
        if nodes is not None:
            _take_pair(one, nodes, found, _core.parse_openb_trace)
        else:
            found.left_out.append((one.where, "needs a list of nodes beside it"))
    if nodes is not None and not pods:
        found.left_out.append((nodes.where, "needs a list of pods beside it"))
    if types is not None and requests is not None:
        _take_pair(types, requests, found, lambda first, second: _core.parse_azure_trace(first, second, at_days))
    else:
        alone = [file for file in (types, requests) if file is not None]
        found.left_out += [(file.where, "needs the other table of the trace beside it") for file in alone]


def _take_pair(
    first: File, second: File, found: Found, parse: Callable[[bytes, bytes], list[tuple[str, Parts]]]
) -> None:
    try:
        read = parse(first.content, second.content)
    except ProblemError as error:
        raise ProblemError(f"{first.where}: {error.field}: {error.reason}", **error.fields) from error
    found.instances += _on_machines(first.family, first.name.rpartition(".")[0], read)


def _on_machines(family: str, stem: str, read: list[tuple[str, Parts]]) -> list[Instance]:
    """Give the instances that have items; dimensions in which a machine has nothing are kept, and need nothing."""
    return [_packing(family, f"{stem}@{name}", parts) for name, parts in read if parts[2]]


def _sqlite(file: File, at_days: float) -> Sequence[Instance]:
    """Read the Azure trace as it is published: the tables `vm` and `vmType`."""
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(file.content)
            columns = "SELECT vmTypeId, starttime, endtime FROM vm"
            alive = f"{columns} WHERE starttime <= ? AND (endtime IS NULL OR endtime > ?)"
            requests = _as_csv(database.execute(alive, (at_days, at_days)))
            types = _as_csv(database.execute("SELECT * FROM vmType"))
    except sqlite3.Error as error:
        raise _wrong("file", f"not the Azure trace for packing: {error}") from error
    return _on_machines(file.family, file.name.rpartition(".")[0], _core.parse_azure_trace(types, requests, at_days))


def _as_csv(rows: sqlite3.Cursor) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(column[0] for column in rows.description)
    writer.writerows(rows)
    return text.getvalue().encode()


def _wrong(where: str, reason: str) -> ProblemError:
    return ProblemError(f"{where}: {reason}", field=where, reason=reason)
