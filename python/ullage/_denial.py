"""From the scheduler's word for a refusal to the exception that a waiting caller sees."""

from collections.abc import Mapping
from typing import Any

from ullage._core import Account, format_bytes
from ullage.errors import (
    BudgetExceeded,
    LeaseTimeoutError,
    LoadFailedError,
    MemoryPressureError,
    PoolClosedError,
    UllageError,
)

OUT_OF_USE = {
    "stuck": "is out of use: its unload failed",
    "no_place": "has no place left: the memory domains where it could stand are gone",
}


def denied(
    name: str, denial: dict[str, Any], accounts: Mapping[str, Account], failure: BaseException | None
) -> UllageError:
    """Give the exception for a `denial` of model `name`; `failure` is what its loader raised last, if it did."""
    retry_after = denial.get("retry_after")
    match denial["reason"]:
        case "too_large" | "pinned":
            return _over_budget(name, denial, accounts)
        case "timeout":
            waited = denial["waited_s"]
            message = f"{name} was not free within {waited:.3f} s"
            return LeaseTimeoutError(message, model=name, waited_s=waited, retry_after=retry_after)
        case "pressure":
            message = f"{name} is not loaded while the machine is short of memory; {_again(retry_after)}"
            return MemoryPressureError(message, model=name, retry_after=retry_after)
        case "closed":
            return PoolClosedError("the pool is closed")
        case "stuck" | "no_place" as why:
            return LoadFailedError(f"{name} {OUT_OF_USE[why]}", model=name, attempts=0, retry_after=None)
    attempts = denial.get("attempts", 1)
    times = f" after {attempts} attempts" if attempts > 1 else ""
    error = LoadFailedError(
        f"{name} could not be loaded{times}: {failure!r}", model=name, attempts=attempts, retry_after=retry_after
    )
    error.__cause__ = failure
    return error


def _again(retry_after: float | None) -> str:
    return "ask again" if retry_after is None else f"ask again in {retry_after:.1f} s"


def _over_budget(name: str, denial: dict[str, Any], accounts: Mapping[str, Account]) -> BudgetExceeded:
    blocked_by, nearest = denial.get("blocked_by", []), denial.get("nearest")
    account = accounts[nearest["domain"]] if nearest else next(iter(accounts.values()))
    needed, left = format_bytes(denial["requested"]), format_bytes(denial["available"])
    beside = f" beside {', '.join(blocked_by)}" if blocked_by else ""
    where = f" on {nearest['domain']}" if nearest and len(accounts) > 1 else ""
    would = ""
    if nearest and nearest["workspace"] is not None:
        would = f"; with a workspace of {format_bytes(nearest['workspace'])} it would fit"
    limit = format_bytes(denial["limit"])
    return BudgetExceeded(
        f"{name} needs {needed}{where}, {left} can be had{beside} under a limit of {limit}{would}",
        account=account.path,
        requested=denial["requested"],
        available=denial["available"],
        limit=denial["limit"],
        holders=account.holders(),
        blocked_by=blocked_by,
        nearest=nearest,
        retry_after=denial.get("retry_after"),
    )
