"""What came of one strategy on one instance, and the file in which that is kept."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ullage.benchmark.instance import Instance
from ullage.benchmark.strategy import Strategy
from ullage.errors import ProblemError, UnreadableError

__all__ = ["ANSWERED", "FAILED", "Journal", "Key", "Row", "Status", "key_of", "row_of"]

Status: TypeAlias = Literal["proven", "feasible", "invalid", "timeout", "memory", "error", "unsupported"]
ANSWERED = ("proven", "feasible")
"""With a valid answer."""
FAILED = ("invalid", "timeout", "memory", "error")
"""Without one."""

Key: TypeAlias = tuple[str, str, str, str, str, float]


@dataclass(frozen=True)
class Row:
    """What came of one strategy on one instance."""

    family: str
    """Of the instance."""
    instance: str
    """Its name."""
    kind: str
    """`packing` or `arena`."""
    items: int
    """How many items or buffers it has."""
    digest: str
    """Of its numbers."""
    strategy: str
    """The name of the strategy."""
    spec: str
    """Where the strategy was found."""
    time_limit: float
    """Seconds that it was told to take."""
    status: Status
    """`proven`: valid, and as few as its own lower bound; `feasible`: valid. `invalid`: an answer that breaks a fact.

    `timeout`: no answer in its time, said by itself or ended by the harness; `memory`, `error`: ended without one;
    `unsupported`: it does not solve this kind of instance.
    """
    objective: int | None = None
    """Bins, or height; as counted by the validator."""
    lower_bound: int | None = None
    """What the strategy claims to be least."""
    target: int | None = None
    """What is known to do."""
    seconds: float | None = None
    """What it took, without imports."""
    cpu_s: float | None = None
    """Seconds of processor, of all its threads and ended children."""
    peak_bytes: int | None = None
    """The most its process had resident, the interpreter included."""
    fault: str = ""
    """What was wrong."""


def row_of(strategy: Strategy, instance: Instance, time_limit: float, **found: Any) -> Row:  # noqa: ANN401 - its fields
    """Make a row."""
    known = {name: value for name, value in found.items() if name in Row.__dataclass_fields__}
    return Row(
        family=instance.family,
        instance=instance.name,
        kind=instance.kind,
        items=instance.count,
        digest=instance.digest,
        strategy=strategy.name,
        spec=strategy.spec,
        time_limit=time_limit,
        target=instance.target,
        **known,
    )


def key_of(row: Row) -> Key:
    """Give what a row is told by when work is resumed."""
    return row.family, row.instance, row.digest, row.strategy, row.spec, row.time_limit


class Journal:
    """Rows in a file of JSON lines, each on the disk before the next is worked on."""

    def __init__(self, path: Path) -> None:
        """Take the file, which need not be there."""
        self.path = path

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the file; a last line that was cut short is none.

        Raises `UnreadableError` for a file that cannot be read, `ProblemError` naming the line of what is no row.
        """
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise UnreadableError(f"{self.path}: {error.strerror}", path=str(self.path)) from error
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            row = self._row(line, number)
            if row is not None:
                yield row

    def _row(self, line: bytes, number: int) -> Row | None:
        place = f"line {number}"
        try:
            found = json.loads(line)
            if "run" in found:
                return None
            return Row(**{field.name: found[field.name] for field in fields(Row)})
        except (ValueError, KeyError, TypeError) as error:
            reason = "no row of a benchmark"
            raise ProblemError(f"{self.path}: {place}: {reason}", field=place, reason=reason) from error

    def begin(self, header: dict[str, Any]) -> None:
        """Drop a last line that was cut short, and write what is known of this run."""
        try:
            if self.path.exists():
                content = self.path.read_bytes()
                whole = content.rfind(b"\n") + 1
                if whole < len(content):
                    os.truncate(self.path, whole)
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write({"run": header})
        except OSError as error:
            raise UnreadableError(f"{self.path}: {error.strerror}", path=str(self.path)) from error

    def add(self, row: Row) -> None:
        """Append a row."""
        self._write(asdict(row))

    def _write(self, value: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(value).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
