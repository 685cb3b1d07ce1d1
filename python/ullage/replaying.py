"""What a pool would have done: traces of requests, replayed under a policy on a virtual clock.

The core replays (`Trace`); this module reads files and arrays, and gives results names.
"""

import importlib
import importlib.util
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from ullage._core import Trace, parse_bytes, policy_names
from ullage._types import ByteCount
from ullage.errors import ArgumentError, PluginError, PluginWarning, ProblemError, UnreadableError
from ullage.plugins import discovery
from ullage.plugins.policy import BUILT_IN, FORETOLD, AnyPolicy, choose, label

__all__ = ["Delays", "ModelReplay", "Replay", "Trace", "compare", "policies", "read_trace", "replay"]

Models: TypeAlias = str | PathLike[str] | Mapping[str, Any] | Iterable[Sequence[Any]]
"""A file, a mapping of names to (bytes, load_s), columns by name, or rows of (model, bytes, load_s)."""
Requests: TypeAlias = str | PathLike[str] | Mapping[str, Any] | Iterable[Sequence[Any]]
"""A file, columns by name, or rows of (time_s, model[, duration_s])."""

LARGEST = 1 << 30
"""Bytes that a file may hold, unpacked."""
COLUMNS = {"models": ("model", "bytes", "load_s"), "requests": ("time_s", "model", "duration_s")}


@dataclass(frozen=True)
class Delays:
    """How long requests waited until they were granted, in seconds."""

    p50_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class ModelReplay:
    """One model's part in a replay."""

    model: str
    bytes: int
    requests: int
    cold_starts: int
    refused: int
    delays: Delays


@dataclass(frozen=True)
class Replay:
    """What came of a replay."""

    policy: str
    capacity: int
    serial: bool
    requests: int
    cold_starts: int
    load_seconds: float
    """Seconds of loading, each load as if it were alone."""
    evictions: int
    evicted_bytes: int
    loaded_bytes: int
    overcommits: int
    """Instants at which more was in use than the capacity."""
    refused: int
    peak_bytes: int
    """The most bytes booked at once."""
    delays: Delays
    models: tuple[ModelReplay, ...]
    wall_s: float
    """How long the replay itself took."""
    lower_bound_load_seconds: float | None = None
    """No policy loads less; `None` where it was not asked for, or requests overlap."""
    log: bytes | None = field(default=None, repr=False)
    """What happened, as CSV, if it was asked for: the same trace gives the same bytes."""

    def as_dict(self) -> dict[str, Any]:
        """Give everything but the log, with the keys of `ullage replay --json`."""
        shown = {name: value for name, value in vars(self).items() if name not in {"log", "delays", "models"}}
        rows = [{**vars(model), "delays": vars(model.delays)} for model in self.models]
        return {**shown, "delays": dict(vars(self.delays)), "models": rows}


def policies() -> list[str]:
    """Give the names of all policies that can be replayed: ours, then those of plug-ins."""
    return [*policy_names(), *FORETOLD, *discovery.names("policy")]


def read_trace(requests: Requests, models: Models, *, pins: Sequence[str] = ()) -> Trace:
    """Read who asked for which model when, and what each model takes.

    Files are CSV (also `.csv.gz`) or, where pyarrow is installed, Parquet, with the columns `time_s`, `model` and
    perhaps `duration_s`, and `model`, `bytes` and `load_s`. `pins` names models that stay once loaded. Raises
    `ProblemError` naming file, line and column, `UnreadableError`, and `UnknownModelError` for a pin.
    """
    if _is_text(requests) and _is_text(models):
        trace = Trace.parse(_content(Path(models)), _content(Path(requests)))  # type: ignore[arg-type]
    else:
        names, sizes, loads = _columns(models, "models")
        times, asked, durations = _columns(requests, "requests")
        numbers = {name: number for number, name in enumerate(names)}
        for index, name in enumerate(asked):
            if name not in numbers:
                raise _wrong(f"requests[{index}].model", f"{name!r} is not among the models")
        trace = Trace(names, sizes, loads, times, [numbers[name] for name in asked], durations)
    return trace.pinned(pins) if pins else trace


def replay(
    requests: Requests | Trace,
    models: Models | None = None,
    capacity: ByteCount | None = None,
    *,
    policy: AnyPolicy = "value",
    serial: bool = False,
    shared_bandwidth: bool = False,
    unload_lag: float = 0.0,
    estimate_error: float = 0.0,
    timeout: float | None = None,
    max_concurrency: int | None = None,
    workspace: ByteCount = 0,
    pins: Sequence[str] = (),
    bound: bool = True,
    log: bool = False,
) -> Replay:
    """Replay requests in `capacity` bytes under a policy, and say what came of it.

    With `serial`, requests come one after another: each takes an instant and a load takes no time. Otherwise the pool
    itself runs on a virtual clock: requests use their models for `duration_s`, loads take `load_s` (or share the
    bandwidth of one), memory comes back `unload_lag` seconds after an unload, estimates are wrong by up to the share
    `estimate_error`, requests wait at most `timeout` seconds, and each lease takes `workspace` bytes.

    `requests` and `models` are what `read_trace` takes, or `requests` is a `Trace`. `bound` asks for the lower bound of
    serial replays. `policy` is a name, or an `EvictionPolicy` of your own: an object, or the class for a fresh one.
    Raises what `read_trace` raises, `ArgumentError` for an unknown policy, `PluginError` for one that cannot be
    imported, and `PolicyError` for one of your own that fails.
    """
    if capacity is None:
        raise ArgumentError("capacity: is missing", name="capacity", reason="is missing")
    trace = _trace(requests, models, pins)
    limit = parse_bytes(capacity)
    chosen = choose(policy, BUILT_IN)
    if serial:
        came, events = trace.serial(limit, chosen, log)
    else:
        came, events = trace.live(
            limit,
            chosen,
            log,
            shared_bandwidth=shared_bandwidth,
            unload_lag_s=unload_lag,
            estimate_error=estimate_error,
            timeout_s=timeout,
            max_concurrency=max_concurrency,
            workspace=workspace,
        )
    least = trace.lower_bound(limit) if serial and bound else None
    return _named(came, policy=label(policy), capacity=limit, serial=serial, lower_bound_load_seconds=least, log=events)


def compare(
    requests: Requests | Trace,
    models: Models | None = None,
    capacity: ByteCount | None = None,
    *,
    policies: Sequence[AnyPolicy] | None = None,
    pins: Sequence[str] = (),
    progress: Callable[[float, str], object] | None = None,
    **conditions: Any,  # noqa: ANN401 - what `replay` takes
) -> list[Replay]:
    """Replay under several policies, all if none are named, the least seconds of loading first.

    All are ours and those of plug-ins; one of these that cannot be imported is left out with a `PluginWarning`.
    `progress` is called before each with the share of them that is done, and its name.
    """
    trace = _trace(requests, models, pins)
    given: Sequence[AnyPolicy] = _every_policy() if policies is None else policies
    if not given:
        raise ArgumentError("policies: none is named", name="policies", reason="none is named")
    rows: list[Replay] = []
    for one in given:
        if progress is not None:
            progress(len(rows) / len(given), one if isinstance(one, str) else type(one).__name__)
        rows.append(replay(trace, None, capacity, policy=one, **{**conditions, "bound": False}))
    first = rows[0]
    if first.serial and conditions.get("bound", True):
        least = trace.lower_bound(first.capacity)
        rows = [Replay(**{**vars(row), "lower_bound_load_seconds": least}) for row in rows]
    return sorted(rows, key=lambda row: row.load_seconds)


def _every_policy() -> list[AnyPolicy]:
    found: list[AnyPolicy] = [*policy_names(), *FORETOLD]
    for name in discovery.names("policy"):
        try:
            choose(name, BUILT_IN)
        except PluginError as error:
            warnings.warn(f"left out: {error}", PluginWarning, stacklevel=3)
        else:
            found.append(name)
    return found


def _trace(requests: Requests | Trace, models: Models | None, pins: Sequence[str]) -> Trace:
    if isinstance(requests, Trace):
        return requests.pinned(pins) if pins else requests
    if models is None:
        raise ArgumentError("models: is missing", name="models", reason="is missing")
    return read_trace(requests, models, pins=pins)


def _named(came: dict[str, Any], **more: Any) -> Replay:  # noqa: ANN401 - fields of every type
    rows = tuple(ModelReplay(**{**row, "delays": Delays(**row["delays"])}) for row in came["models"])
    return Replay(**{**came, **more, "models": rows, "delays": Delays(**came["delays"])})


def _is_text(source: object) -> bool:
    return isinstance(source, str | PathLike) and Path(source).suffix.lower() != ".parquet"


def _content(path: Path) -> bytes:
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}", path=str(path)) from error
    if path.suffix.lower() != ".gz":
        return packed
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(packed, LARGEST + 1)
    except zlib.error as error:
        raise _wrong(str(path), f"not gzip: {error}") from error
    if len(content) > LARGEST:
        raise _wrong(str(path), "larger than 1.00 GiB unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise _wrong(str(path), "not one whole gzip stream")
    return content


def _columns(source: object, kind: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Give the three columns of models or of requests; a duration that is not given is zero."""
    names = COLUMNS[kind]
    if isinstance(source, str | PathLike):
        source = _table(Path(source), names)
    if isinstance(source, Mapping):
        if names[0] not in source and kind == "models":
            source = [(name, *facts) for name, facts in source.items()]
        else:
            return _by_name(source, names, kind)
    rows = [tuple(row) for row in source]  # type: ignore[attr-defined] # an iterable, by its type
    least = len(names) - (kind == "requests")
    for index, row in enumerate(rows):
        if not least <= len(row) <= len(names):
            raise _wrong(f"{kind}[{index}]", f"{len(row)} entries, expected {', '.join(names[:least])}")
    first, second = [row[0] for row in rows], [row[1] for row in rows]
    return first, second, [row[2] if len(row) > 2 else 0.0 for row in rows]  # noqa: PLR2004 - the third


def _by_name(columns: Mapping[str, Any], names: Sequence[str], kind: str) -> tuple[list[Any], list[Any], list[Any]]:
    found = []
    for name in names:
        if name in columns:
            column = columns[name]
            found.append(column.tolist() if hasattr(column, "tolist") else list(column))
        elif name == "duration_s":
            found.append([0.0] * len(found[0]))
        else:
            raise _wrong(f"{kind}.{name}", "is missing")
    if len({len(column) for column in found}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in zip(names, found, strict=True))
        raise _wrong(kind, f"columns of different lengths: {lengths}")
    return found[0], found[1], found[2]


def _table(path: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """Read the columns of a file of any kind, each a list."""
    if path.suffix.lower() != ".parquet":
        return _csv_table(path, names)
    if importlib.util.find_spec("pyarrow") is None:
        reason = f"{path.name} is Parquet, which needs pyarrow: pip install pyarrow"
        raise ArgumentError(f"trace: {reason}", name="trace", reason=reason)
    try:
        table = importlib.import_module("pyarrow.parquet").read_table(path)
    except OSError as error:
        raise UnreadableError(f"{path}: {error}", path=str(path)) from error
    except ValueError as error:  # pyarrow's, for a file that is not Parquet
        raise _wrong(str(path), str(error)) from error
    return {name: table.column(name).to_pylist() for name in names if name in table.column_names}


def _csv_table(path: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """Read a CSV file beside which the other source is none: by the core, with a table of its own."""
    import csv  # noqa: PLC0415 - rarely needed
    import io  # noqa: PLC0415 - rarely needed

    try:
        rows = list(csv.DictReader(io.StringIO(_content(path).decode("utf-8-sig"))))
        if not rows:
            return {name: [] for name in names}
        return {name: [_number(name, row[name]) for row in rows] for name in names if name in rows[0]}
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise _wrong(str(path), str(error)) from error


def _number(name: str, text: str) -> Any:  # noqa: ANN401 - by its column
    return text if name == "model" else int(text) if name == "bytes" else float(text)


def _wrong(place: str, reason: str) -> ProblemError:
    return ProblemError(f"{place}: {reason}", field=place, reason=reason)
