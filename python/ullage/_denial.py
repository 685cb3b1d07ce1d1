"""From the scheduler's word for a refusal to the exception that a waiting caller sees."""

from typing import Any

from ullage._core import Account, format_bytes
from ullage.errors import BudgetExceeded, LeaseTimeoutError, LoadFailedError, PoolClosedError, UllageError


def denied(name: str, denial: dict[str, Any], account: Account, failure: BaseException | None) -> UllageError:
    """Give the exception for a `denial` of model `name`; `failure` is what its loader raised last, if it did."""
    match denial["reason"]:
        case "too_large" | "pinned":
            return _over_budget(name, denial, account)
        case "timeout":
            waited = denial["waited_s"]
            return LeaseTimeoutError(f"{name} was not free within {waited:.3f} s", model=name, waited_s=waited)
        case "closed":
            return PoolClosedError("the pool is closed")
        case "stuck":
            return LoadFailedError(f"{name} is out of use: its unload failed", model=name)
    error = LoadFailedError(f"{name} could not be loaded: {failure!r}", model=name)
    error.__cause__ = failure
    return error


def _over_budget(name: str, denial: dict[str, Any], account: Account) -> BudgetExceeded:
    blocked_by = denial.get("blocked_by", [])
    needed, left = format_bytes(denial["requested"]), format_bytes(denial["available"])
    beside = f" beside {', '.join(blocked_by)}" if blocked_by else ""
    return BudgetExceeded(
        f"{name} needs {needed}, {left} can be had{beside} under a limit of {format_bytes(denial['limit'])}",
        account=account.path,
        requested=denial["requested"],
        available=denial["available"],
        limit=denial["limit"],
        holders=account.holders(),
        blocked_by=blocked_by,
    )
