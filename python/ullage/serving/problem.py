"""From what a pool refuses to what HTTP says of it: a status, `Retry-After`, and a problem document (RFC 9457).

The one place that knows which refusal is which. 503 is for what time can cure, 507 for a model that no wait brings in,
404 for a name that nobody registered, 500 for a loader that raised. Why it raised is for the log and not for clients.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ullage.errors import (
    BudgetExceeded,
    LeaseTimeoutError,
    LoadFailedError,
    PoolClosedError,
    QueueFullError,
    UllageError,
    UnknownModelError,
    WorkerDiedError,
)

__all__ = ["MEDIA_TYPE", "REFUSALS", "SCHEMA", "Problem", "problem_of"]

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:ullage:problem:"

REFUSALS: tuple[type[UllageError], ...] = (
    BudgetExceeded,
    LeaseTimeoutError,
    LoadFailedError,
    PoolClosedError,
    QueueFullError,
    UnknownModelError,
    WorkerDiedError,
)
"""What `problem_of` turns into a problem. Any other error is the program's own."""

TITLES = {
    "impossible": "The model can never fit",
    "blocked": "The model does not fit beside what stays",
    "timeout": "The model was not free in time",
    "queue-full": "Too many requests wait",
    "closed": "The server is shutting down",
    "load-failed": "The model could not be loaded",
    "worker-died": "The model's process ended",
    "unknown-model": "There is no such model",
}
KINDS: dict[type[UllageError], str] = {
    LeaseTimeoutError: "timeout",
    QueueFullError: "queue-full",
    PoolClosedError: "closed",
    WorkerDiedError: "worker-died",
    UnknownModelError: "unknown-model",
}
STATUS = {"impossible": 507, "load-failed": 500, "unknown-model": 404}
UNAVAILABLE = 503
"""The status of all others."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "model": {"type": "string"},
        "requested": {"type": ["integer", "null"], "description": "bytes that the model and its lease need"},
        "available": {"type": ["integer", "null"], "description": "bytes that could be had"},
        "limit": {"type": ["integer", "null"], "description": "the limit in bytes"},
        "blocked_by": {"type": "array", "items": {"type": "string"}, "description": "models that stand in the way"},
        "waited_s": {"type": "number"},
        "retry_after_s": {"type": "number"},
        "suggestions": {"type": "array", "items": {"type": "string"}},
    },
}
"""The document as a JSON schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A refusal as HTTP says it."""

    kind: str
    """The last part of its `type`."""
    status: int
    detail: str
    retry_after_s: float | None = None
    """After how many seconds another try makes sense; `None` where none does."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """What stands beside the standard members."""

    def document(self) -> dict[str, Any]:
        """Give the body."""
        standard = {"type": TYPE + self.kind, "title": TITLES[self.kind], "status": self.status, "detail": self.detail}
        waiting = {} if self.retry_after_s is None else {"retry_after_s": self.retry_after_s}
        return standard | self.numbers | waiting

    def headers(self) -> dict[str, str]:
        """Give the headers: whole seconds, rounded up, as `Retry-After` has no others."""
        if self.retry_after_s is None:
            return {}
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}


def problem_of(error: UllageError, plan: Mapping[str, Any] | None = None, retry_after_s: float = 1.0) -> Problem:
    """Give the problem for a refusal, one of `REFUSALS`.

    `plan` is what the pool plans for the model by now: it gives the numbers that the error itself does not have.
    `retry_after_s` is the guess where the error has none.
    """
    kind, detail = _kind(error), str(error)
    if kind == "load-failed":
        detail = f"{_model(error, plan)} could not be loaded"
    status = STATUS.get(kind, UNAVAILABLE)
    after = None
    if status == UNAVAILABLE:
        known = getattr(error, "retry_after", None)
        after = retry_after_s if known is None else float(known)
    return Problem(kind=kind, status=status, detail=detail, retry_after_s=after, numbers=_numbers(error, plan))


def _kind(error: UllageError) -> str:
    if isinstance(error, BudgetExceeded):
        return "impossible" if error.requested > error.limit else "blocked"
    return next((kind for refusal, kind in KINDS.items() if isinstance(error, refusal)), "load-failed")


def _model(error: UllageError, plan: Mapping[str, Any] | None) -> str | None:
    named = getattr(error, "model", None) or getattr(error, "name", None) or (plan or {}).get("model")
    return None if named is None else str(named)


def _numbers(error: UllageError, plan: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the fields of the error, and those of the plan where it has none."""
    numbers: dict[str, Any] = {}
    model = _model(error, plan)
    if model is not None:
        numbers["model"] = model
    for name in ("requested", "available", "limit", "blocked_by", "waited_s", "waiting", "nearest", "suggestions"):
        value = getattr(error, name, None)
        if value is not None:
            numbers[name] = value
    if isinstance(error, (LeaseTimeoutError, QueueFullError)) and plan is not None:
        numbers.setdefault("requested", plan.get("needed"))
        numbers.setdefault("available", plan.get("available"))
        numbers.setdefault("blocked_by", plan.get("blocked_by") or plan.get("drain") or [])
        if "behind" in plan:
            numbers["behind"] = plan["behind"]
    return numbers
