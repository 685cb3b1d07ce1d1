"""Refusals as problem documents (RFC 9457), and what is said where an extra is missing."""

import json
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from ullage import Ledger
from ullage.errors import (
    BudgetExceeded,
    LeaseTimeoutError,
    LoadFailedError,
    PoolClosedError,
    QueueFullError,
    UllageError,
    UnknownModelError,
    WaitTimeoutError,
    WorkerDiedError,
)
from ullage.serving.extras import MissingExtraError, needed
from ullage.serving.problem import REFUSALS, SCHEMA, problem_of

PLAN = {"model": "a", "needed": 60, "available": 40, "ahead": 1, "decision": "wait", "behind": "memory", "drain": ["b"]}


def budget(requested: int, blocked_by: list[str]) -> BudgetExceeded:
    return BudgetExceeded(
        "no", account="p", requested=requested, available=40, limit=100, holders=[], blocked_by=blocked_by
    )


@pytest.mark.parametrize(
    ("error", "status", "kind", "numbers"),
    [
        (budget(101, []), 507, "impossible", {"requested": 101, "available": 40, "limit": 100, "blocked_by": []}),
        (budget(60, ["b"]), 503, "blocked", {"requested": 60, "blocked_by": ["b"]}),
        (
            LeaseTimeoutError("late", model="a", waited_s=0.5),
            503,
            "timeout",
            {"requested": 60, "available": 40, "blocked_by": ["b"], "behind": "memory", "waited_s": 0.5},
        ),
        (QueueFullError("full", model="a", waiting=9), 503, "queue-full", {"waiting": 9, "requested": 60}),
        (PoolClosedError("closed"), 503, "closed", {}),
        (WorkerDiedError("died", model="a", pid=7, signal=9, status=None), 503, "worker-died", {}),
        (LoadFailedError("a: OSError('/secret')", model="a"), 500, "load-failed", {}),
        (UnknownModelError("who", name="x", suggestions=["a"]), 404, "unknown-model", {"suggestions": ["a"]}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, UllageError) else "",
)
def test_every_refusal_is_a_problem(error: UllageError, status: int, kind: str, numbers: dict[str, object]) -> None:
    assert isinstance(error, REFUSALS)
    problem = problem_of(error, PLAN, 2.5)
    document = json.loads(json.dumps(problem.document()))
    Draft202012Validator(SCHEMA).validate(document)
    assert (problem.status, document["status"], document["type"]) == (status, status, f"urn:ullage:problem:{kind}")
    assert document.items() >= numbers.items()
    assert "secret" not in json.dumps(document)
    assert "holders" not in document
    expected = {"Retry-After": "3"} if status == 503 else {}
    assert problem.headers() == expected


def test_what_the_error_itself_says_goes_first() -> None:
    error = LeaseTimeoutError(
        "late", model="a", waited_s=0.5, requested=1, available=2, blocked_by=["c"], retry_after=0.2
    )
    problem = problem_of(error, PLAN, 30.0)
    document = problem.document()
    assert (document["requested"], document["available"], document["blocked_by"]) == (1, 2, ["c"])
    assert problem.headers() == {"Retry-After": "1"}


def test_a_refusal_of_a_ledger_is_a_problem_too() -> None:
    ledger = Ledger(100)
    with ledger.root.reserve(60):
        with pytest.raises(BudgetExceeded) as caught:
            ledger.root.reserve(50)
        assert problem_of(caught.value).status == 503
        with pytest.raises(WaitTimeoutError) as late:
            ledger.root.reserve(50, wait=0.001)
        assert problem_of(late.value).status == 503
    with pytest.raises(BudgetExceeded) as caught:
        ledger.root.reserve(101)
    assert problem_of(caught.value).status == 507


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("ullage.serving.fastapi", "fastapi", "fastapi"),
        ("ullage.serving.starlette", "starlette", "fastapi"),
        ("ullage.serving.metrics", "prometheus_client", "metrics"),
        ("ullage.serving.telemetry", "opentelemetry", "metrics"),
    ],
)
def test_a_missing_extra_is_one_sentence(module: str, package: str, extra: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None\nimport {module}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ullage.serving.extras.MissingExtraError: {package} is not installed: pip install 'ullage[{extra}]'"


def test_a_module_that_lacks_something_of_its_own_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "json.nothing", None)
    with pytest.raises(MissingExtraError, match=r"nosuchpackage is not installed"):
        needed("nosuchpackage", "fastapi")


def test_the_package_alone_imports_no_server() -> None:
    heavy = ("fastapi", "starlette", "prometheus_client", "opentelemetry", "pydantic", "asyncio")
    script = f"import sys, ullage; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert done.stdout.strip() == "[]"
