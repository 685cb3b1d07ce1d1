"""The asynchronous side of waiting for memory."""

import asyncio
import math
import time
from typing import TYPE_CHECKING

from ullage.errors import ArgumentError, BudgetExceeded

if TYPE_CHECKING:
    from ullage import Account, Reservation


async def reserve_async(account: "Account", size: int, label: str, timeout: float | None) -> "Reservation":  # noqa: ASYNC109 - a place in a queue ends with the wait, which no outer timeout could tell from a cancellation
    """Book `size` bytes on `account`, waiting in its queue; see `Account.reserve_async`."""
    if timeout is not None and not timeout >= 0:
        raise ArgumentError(f"timeout: {timeout} is no number of seconds", name="timeout", reason="negative")
    try:
        return account.reserve(size, label)
    except BudgetExceeded:
        pending = account.queue(size, label)
    begun = time.monotonic()
    loop = asyncio.get_running_loop()
    granted = loop.create_future()
    pending.on_granted(lambda: _wake(loop, granted))
    try:
        seconds = None if timeout is None or math.isinf(timeout) else timeout
        async with asyncio.timeout(seconds):
            await granted
    except TimeoutError:
        pass
    except BaseException:
        pending.cancel()  # gives back what was granted meanwhile
        raise
    reservation = pending.take()
    if reservation is None:
        refused = pending.timed_out(time.monotonic() - begun)
        pending.cancel()
        raise refused
    return reservation


def _wake(loop: asyncio.AbstractEventLoop, granted: "asyncio.Future[None]") -> None:
    """Tell the loop of a grant, from whichever thread freed the memory."""
    try:
        loop.call_soon_threadsafe(_finish, granted)
    except RuntimeError:  # the loop is closed: whoever waited is gone, and its place with it
        return


def _finish(granted: "asyncio.Future[None]") -> None:
    if not granted.done():
        granted.set_result(None)
