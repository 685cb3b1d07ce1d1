"""Measurements kept in one small database of the user's, safe for any number of processes at once."""

import contextlib
import os
import re
import sqlite3
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from ullage._core import VERSION, Model
from ullage.errors import ArgumentError, StoreError, StoreWarning
from ullage.folders import cache_folder
from ullage.measuring.host_identity import device_key
from ullage.measuring.model_identity import fingerprint
from ullage.measuring.outcome import Measurement
from ullage.measuring.runtime_identity import ANY, runtime_key

__all__ = ["Key", "Measured", "Store", "Summary", "lookup"]

Answer = TypeVar("Answer")

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS measurement (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    runtime TEXT NOT NULL,
    device TEXT NOT NULL,
    context INTEGER NOT NULL,  -- 0: none was stated
    batch INTEGER NOT NULL,    -- 0: loaded and not run, whatever the context and cache would be
    kv_dtype TEXT NOT NULL,
    model TEXT NOT NULL,       -- the name it went by, for the reader
    metric TEXT NOT NULL,
    peak_bytes INTEGER NOT NULL,
    resident_bytes INTEGER NOT NULL,
    baseline_bytes INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    seconds REAL NOT NULL,
    taken_at TEXT NOT NULL,
    version TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS measurement_key
    ON measurement (fingerprint, runtime, device, context, batch, kv_dtype, metric);
"""
PATIENCE_S = 60
"""How long a writer waits for the others."""
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
MOST = 2**32
LONGEST = 200


class Key(NamedTuple):
    """What a measurement is found by."""

    fingerprint: str
    runtime: str
    device: str
    context: int
    """0 where none was stated."""
    batch: int
    """0 where the model was loaded and not run: then context and cache do not matter."""
    kv_dtype: str

    @classmethod
    def of(
        cls, model: str, *, runtime: str, device: str, context: int | None, batch: int | None, kv_dtype: str
    ) -> "Key":
        """Make a key, without `batch` that of a load alone; raises `ArgumentError` for a part out of its domain."""
        texts: dict[str, object] = {"runtime": runtime, "device": device, "kv_dtype": kv_dtype}
        for name, text in texts.items():
            if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
                raise _argument(name, f"expected a text of 1 to {LONGEST} characters, found {str(text)[:LONGEST]!r}")
        for name, number in (("context", context), ("batch", batch)):
            if number is None:
                continue
            if type(number) is not int or not 1 <= number <= MOST:
                raise _argument(name, f"{number!r} is not between 1 and 2^32")
        if batch is None:
            return cls(model, runtime_key(runtime), device, 0, 0, "")
        return cls(model, runtime_key(runtime), device, context or 0, batch, kv_dtype)


def _argument(name: str, reason: str) -> ArgumentError:
    return ArgumentError(f"{name}: {reason}", name=name, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """By how many bytes a process grew at its peak, over all runs that were measured."""

    lo: int
    """The least."""
    best: int
    """The median."""
    hi: int
    """The most."""
    count: int
    """Runs."""
    last: str
    """When the latest was taken: ISO, UTC."""
    metric: str
    """`pss` or `rss`; runs of one kind only, PSS if there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was measured under one key."""

    fingerprint: str
    model: str
    """The name it last went by."""
    runtime: str
    device: str
    context: int | None
    batch: int | None
    """`None` where it was loaded and not run."""
    kv_dtype: str
    measured: Measured

    def as_dict(self) -> dict[str, Any]:
        """Give the fields as a dictionary ready for JSON."""
        return asdict(self)


class Store:
    """A database of measurements. Each call opens and closes it, so a `Store` may cross threads and forks.

    It is an SQLite file with a write-ahead log: readers never wait, writers wait for one another. Every row is on disk
    when `record` returns (`synchronous=FULL`): one flush is nothing beside the run of a model that it saves. A damaged
    file is put aside under another name, with a `StoreWarning`, and a new one begun.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Keep measurements in the file `path`, by default `measured.sqlite3` in the user's cache folder."""
        self.path = cache_folder() / "measured.sqlite3" if path is None else Path(path)

    def record(self, key: Key, found: Measurement[Any], *, name: str) -> None:
        """Keep a measurement of the model that goes by `name`."""
        taken_at = datetime.now(UTC).isoformat(timespec="seconds")
        row = (
            *key,
            name,
            found.metric,
            found.peak_bytes,
            found.resident_bytes,
            found.baseline_bytes,
            found.samples,
            found.seconds,
            taken_at,
            VERSION,
        )
        marks = ", ".join("?" * len(row))
        columns = (
            "fingerprint, runtime, device, context, batch, kv_dtype, model, metric, "
            "peak_bytes, resident_bytes, baseline_bytes, samples, seconds, taken_at, version"
        )
        insert = f"INSERT INTO measurement ({columns}) VALUES ({marks})"  # noqa: S608 - both are our own text
        self._do(lambda base: base.execute(insert, row), writes=True)

    def lookup(
        self,
        model: Model | str,
        *,
        runtime: str | None = None,
        device: str | None = None,
        context: int | None = None,
        batch: int | None = 1,
        kv_dtype: str = "f16",
    ) -> Measured | None:
        """Give what was measured of a model, open or known by its fingerprint, under exactly these circumstances.

        `None` where nothing was, or where there is no store. Without `runtime`, in whichever; without `context`, the
        runs that stated none; with `batch=None`, the loads that ran nothing. Raises `ArgumentError` for a text that is
        no fingerprint.
        """
        named = model if isinstance(model, str) else fingerprint(model)
        if not FINGERPRINT.fullmatch(named):
            raise _argument("model", f"{named[:LONGEST]!r} is no fingerprint; open the model that it names")
        called = ANY if runtime is None else runtime
        key = Key.of(named, runtime=called, device=device_key(device), context=context, batch=batch, kv_dtype=kv_dtype)
        found = self.first([key])
        return found[1] if found else None

    def first(self, keys: Sequence[Key]) -> tuple[Key, Measured] | None:
        """Give the first of `keys` under which something was measured, and what; the runtime `*` is whichever."""
        if not self.path.exists():
            return None
        question = (
            "SELECT metric, max(peak_bytes - baseline_bytes, 0), taken_at FROM measurement WHERE fingerprint = ?1 "
            "AND (?2 = '*' OR runtime = ?2) AND device = ?3 AND context = ?4 AND batch = ?5 AND kv_dtype = ?6"
        )

        def ask(base: sqlite3.Connection) -> tuple[Key, Measured] | None:
            for key in keys:
                found = _measured(base.execute(question, key).fetchall())
                if found is not None:
                    return key, found
            return None

        return self._do(ask)

    def summaries(self) -> list[Summary]:
        """Give what was measured, by key; the latest first."""
        if not self.path.exists():
            return []
        question = (
            "SELECT fingerprint, runtime, device, context, batch, kv_dtype, model, metric, "
            "max(peak_bytes - baseline_bytes, 0), taken_at FROM measurement ORDER BY id"
        )
        rows: dict[Key, list[tuple[str, int, str]]] = {}
        names: dict[Key, str] = {}
        for *parts, name, metric, growth, taken_at in self._do(lambda base: base.execute(question).fetchall()):
            key = Key(*parts)
            names[key] = name
            rows.setdefault(key, []).append((metric, growth, taken_at))
        found = [
            Summary(
                **(key._asdict() | {"context": key.context or None, "batch": key.batch or None}),
                model=names[key],
                measured=measured,
            )
            for key, runs in rows.items()
            if (measured := _measured(runs)) is not None
        ]
        return sorted(found, key=lambda summary: summary.measured.last, reverse=True)

    def forget(self, model: Model | str | None) -> int:
        """Delete what was measured of a model: open, or named as it went by or by its fingerprint; `None` is all.

        Gives the number of runs deleted.
        """
        if not self.path.exists():
            return 0
        if model is None:
            return self._do(lambda base: base.execute("DELETE FROM measurement").rowcount, writes=True)
        named = model if isinstance(model, str) else fingerprint(model)
        delete = "DELETE FROM measurement WHERE fingerprint = ? OR model = ?"
        return self._do(lambda base: base.execute(delete, (named, named)).rowcount, writes=True)

    def _do(self, act: Callable[[sqlite3.Connection], Answer], *, writes: bool = False) -> Answer:
        """Act on the database in one transaction; a damaged one is put aside, and the act done on a new one."""
        try:
            with self._open(writes=writes) as base:
                return act(base)
        except StoreError:
            raise
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise self._failed(str(error)) from error
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        try:
            self._put_aside()
            with self._open(writes=writes) as base:
                return act(base)
        except StoreError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise self._failed(str(error)) from error

    @contextlib.contextmanager
    def _open(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._lock_path()):  # two at once would each find the other's half-made file busy
                self._create()
        with contextlib.closing(self._connect()) as base:
            self._prepare(base)
            # A transaction that reads first and writes then would not wait for others, but fail.
            base.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            with base:  # commits, or rolls back what failed
                yield base

    def _connect(self) -> sqlite3.Connection:
        base = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)
        base.execute("PRAGMA synchronous = FULL")
        return base

    def _create(self) -> None:
        with contextlib.closing(self._connect()) as base:
            base.execute("PRAGMA journal_mode = WAL")
            self._prepare(base)

    def _prepare(self, base: sqlite3.Connection) -> None:
        """Bring the tables to what this version knows; raises `StoreError` for those of a newer one."""
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise self._failed(f"a newer ullage wrote it (schema {version}; this one knows {SCHEMA_VERSION})")
        if version < SCHEMA_VERSION:
            base.execute("BEGIN IMMEDIATE")
            with base:
                for statement in SCHEMA.split(";"):
                    base.execute(statement)
                base.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _lock_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    def _put_aside(self) -> None:
        """Rename a damaged file, under a lock, so that of several processes that found it only one does."""
        with _locked(self._lock_path()):
            if not self._is_damaged():
                return
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
            for suffix in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")  # noqa: PTH105 - names, not paths
        text = f"{self.path} is damaged; it was put aside as {aside.name}, and a new store begun"
        warnings.warn(text, StoreWarning, stacklevel=4)

    def _is_damaged(self) -> bool:
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=PATIENCE_S)) as base:
                return bool(base.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
        except sqlite3.DatabaseError as error:
            return _is_damage(error)

    def _failed(self, reason: str) -> StoreError:
        return StoreError(f"{self.path}: {reason}", path=str(self.path), reason=reason)


def _measured(rows: list[tuple[str, int, str]]) -> Measured | None:
    """Sum up runs of one metric: PSS if there are any, because a mixture would mean nothing."""
    if not rows:
        return None
    metric = "pss" if any(row[0] == "pss" for row in rows) else rows[0][0]
    grown = [growth for kind, growth, _ in rows if kind == metric]
    return Measured(
        lo=min(grown),
        best=round(statistics.median(grown)),
        hi=max(grown),
        count=len(grown),
        last=max(taken_at for kind, _, taken_at in rows if kind == metric),
        metric=metric,
    )


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell a damaged file from a busy or unreadable one. The low byte of a code says which kind it is."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a+b") as file:
        _lock(file)
        yield  # closing the file lets the lock go


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - there alone

        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    else:
        import fcntl  # noqa: PLC0415 - there alone

        fcntl.flock(file.fileno(), fcntl.LOCK_EX)


def lookup(
    model: Model | str,
    *,
    runtime: str | None = None,
    device: str | None = None,
    context: int | None = None,
    batch: int | None = 1,
    kv_dtype: str = "f16",
) -> Measured | None:
    """Give what was measured of a model on this machine, or on `device`; see `Store.lookup`."""
    return Store().lookup(model, runtime=runtime, device=device, context=context, batch=batch, kv_dtype=kv_dtype)
