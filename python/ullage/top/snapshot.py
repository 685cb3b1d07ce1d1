"""What a pool said of itself at one instant, read from plain data: the answer of `/ullage/status`, or a line of a file.

The data has `accounts` and `models`, the rows of `Pool.status()`, and perhaps `events`, those of `Pool.events()`.
Fields that are not known here are passed over, and those that may be missing have a value that says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ullage import format_bytes
from ullage.report.fields import MOST, Fields

__all__ = ["Account", "Decision", "Model", "Snapshot"]

MOST_EVENTS = 10_000
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Account:
    """One memory and what is booked in it."""

    name: str
    booked: int
    peak: int | None
    limit: int | None
    """Its own, or what those above leave to it."""

    @classmethod
    def of(cls, row: Fields) -> Self:
        """Read a row. Raises `ProblemError`."""
        booked, limit = row.count("booked"), row.maybe_count("limit")
        available = row.maybe_count("available")
        if limit is None and available is not None:
            limit = booked + available
        return cls(row.text("account"), booked, row.maybe_count("peak"), limit)


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the pool."""

    name: str
    state: str
    leases: int
    waiting: int
    estimated: int
    booked: int
    measured: int | None
    loads: int
    evictions: int
    pinned: bool
    oldest_wait_s: float | None

    @classmethod
    def of(cls, row: Fields) -> Self:
        """Read a row. Raises `ProblemError`."""
        return cls(
            row.text("name"),
            row.text("state"),
            row.count("leases"),
            row.count("waiting"),
            row.count("estimated"),
            row.count("booked"),
            row.maybe_count("measured"),
            row.count("loads"),
            row.count("evictions"),
            row.content.get("pinned") is True,
            row.maybe_number("oldest_wait_s"),
        )

    @property
    def rank(self) -> tuple[bool, bool, int, str]:
        """Order: who is waited for, who is in use, then by size."""
        return (not self.waiting, not self.leases, -self.booked, self.name)


@dataclass(frozen=True, slots=True)
class Decision:
    """Something the pool decided or was told."""

    time_s: float
    event: str
    about: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, row: Fields) -> Self:
        """Read a row. Raises `ProblemError`."""
        rest = {key: value for key, value in row.content.items() if key not in {"time_s", "event"}}
        denial = rest.pop("denial", None)
        about = [(key, str(value)) for key, value in rest.items()]
        if denial is not None:
            about.append(("", _refused(denial)))
        return cls(row.number("time_s"), row.text("event"), tuple(about))


def _refused(denial: object) -> str:
    """Say in words why a request was refused, of what a pool says of it."""
    if not isinstance(denial, Mapping):
        return str(denial)
    words = [str(denial.get("reason", "")).replace("_", " ")]
    requested, available = denial.get("requested"), denial.get("available")
    if isinstance(requested, int) and isinstance(available, int) and min(requested, available) >= 0:
        words.append(f"needs {_bytes(requested)} of {_bytes(available)}")
    blocked_by = denial.get("blocked_by")
    if isinstance(blocked_by, list) and blocked_by:
        words.append("behind " + ", ".join(map(str, blocked_by[:MOST_NAMED])))
    return ", ".join(filter(None, words))


def _bytes(count: int) -> str:
    return format_bytes(count) if count <= MOST else "too much"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A pool at one instant."""

    accounts: tuple[Account, ...]
    models: tuple[Model, ...]
    decisions: tuple[Decision, ...] = ()
    """The latest, oldest first; empty where they are not known."""
    time_s: float | None = None
    """When, where the data says so."""

    @classmethod
    def of(cls, found: Fields) -> Self:
        """Read a snapshot. Raises `ProblemError` naming the field that is not as it should be."""
        events = tuple(Decision.of(row) for row in found.rows("events")) if "events" in found else ()
        return cls(
            tuple(Account.of(row) for row in found.rows("accounts")),
            tuple(Model.of(row) for row in found.rows("models")),
            events[-MOST_EVENTS:],
            found.maybe_number("time_s"),
        )

    @classmethod
    def of_data(
        cls,
        accounts: Iterable[Mapping[str, Any]],
        models: Iterable[Mapping[str, Any]],
        events: Iterable[Mapping[str, Any]] = (),
    ) -> Self:
        """Make one of what a pool in this process gives: `status()`, `events()` and its accounts."""
        content = {
            "accounts": [dict(row) for row in accounts],
            "models": [dict(row) for row in models],
            "events": [dict(row) for row in events],
        }
        return cls.of(Fields(content, "snapshot: "))

    def named(self, decisions: Sequence[Decision]) -> list[tuple[Decision, str]]:
        """Give decisions with the models that they are of, which some name only by the request."""
        models: dict[str, str] = {}
        found = []
        for decision in decisions:
            about = dict(decision.about)
            if "request" in about and "model" in about:
                models[about["request"]] = about["model"]
            found.append((decision, about.get("model") or models.get(about.get("request", ""), "")))
        return found
