"""What a shared ledger needs of Python: waiting in an event loop, and closing at exit."""

import atexit
import contextlib
import weakref

from ullage._core import SharedLedger, SharedReservation, SharedWaiter
from ullage.errors import UllageError

_open: weakref.WeakSet[SharedLedger] = weakref.WeakSet()


async def granted(waiter: SharedWaiter, timeout: float | None) -> SharedReservation:  # noqa: ASYNC109 - the public argument
    """Wait until `waiter` is served; after `timeout` seconds ask for the last time."""
    import asyncio  # noqa: PLC0415 - who shares a ledger need not run a loop

    clock = asyncio.get_running_loop().time
    begun = clock()
    end = float("inf") if timeout is None else begun + timeout
    try:
        while (reservation := waiter.poll()) is None:
            left = end - clock()
            if left <= 0:
                return waiter.give_up(clock() - begun)
            await asyncio.sleep(min(waiter.pause_s(), left))
        return reservation
    finally:
        waiter.leave()


def close_at_exit(ledger: SharedLedger) -> None:
    """Give the bookings of `ledger` back when the interpreter ends, unless that was done before."""
    _open.add(ledger)


@atexit.register
def _close_all() -> None:
    for ledger in list(_open):
        with contextlib.suppress(UllageError):  # what a stuck lock leaves is taken away once this process has ended
            ledger.close()
