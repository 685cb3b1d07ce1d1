"""The heart: the one thread that waits on behalf of a pool.

It runs while there is anything to wait for: it lets deadlines pass, notices memory that others gave back, and reports a
model as unloaded when its object is really gone. It knows the driver by a weak reference only, so that a pool that is
not closed can still be collected.
"""

import contextlib
import queue
import threading
import time
import weakref
from typing import TYPE_CHECKING

from ullage.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ullage.pooling.driver import Driver

__all__ = ["HEARTBEAT_S", "Heart"]

HEARTBEAT_S = 0.05
"""How often the heart looks for memory that somebody outside the pool gave back."""


class Heart:
    """The thread, and what wakes it."""

    def __init__(self, driver: "Driver") -> None:
        """Know whom to beat for; the thread starts with the first beat."""
        self._driver = weakref.ref(driver)
        # Filled from finalizers, which may run in any thread at any moment: `put` is the one call safe there.
        self._calls: queue.SimpleQueue[Callable[[Driver], None] | bool | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def beat(self) -> None:
        """See that the heart beats, now that there is something to wait for. Called under the driver's lock."""
        if self._thread is not None:
            self._calls.put(False)  # noqa: FBT003 - no argument but a message: look again how long to rest
        elif not self._is_stopped:
            arguments = (self._driver, self._calls)
            self._thread = threading.Thread(target=_run, args=arguments, name="ullage-pool-heart", daemon=True)
            self._thread.start()

    def call_when_gone(self, value: object, call: "Callable[[Driver], None]") -> None:
        """Call once `value` is gone and its memory given back. Called under the driver's lock."""
        if self._thread is None:
            self.beat()
        weakref.finalize(value, self._calls.put, call).atexit = False

    def stop(self) -> None:
        """End the thread, and wait for that unless this is it."""
        self._is_stopped = True
        thread, self._thread = self._thread, None
        self._calls.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def let_go(self) -> None:
        """Have the thread end without waiting for it."""
        self._calls.put(None)


def _run(ref: "weakref.ref[Driver]", calls: "queue.SimpleQueue[Callable[[Driver], None] | bool | None]") -> None:
    """Beat until told to stop, or until the driver is no more."""
    while (driver := ref()) is not None:
        pause_s = driver.pause()
        del driver  # nothing may hold it while this thread sleeps
        try:
            call = calls.get(timeout=pause_s)
        except queue.Empty:
            if (driver := ref()) is not None:
                driver.tick()
                del driver
            continue
        if call is None:
            return
        if callable(call):
            time.sleep(HEARTBEAT_S)  # a finalizer runs before its object's memory is given back
            if (driver := ref()) is not None:
                with contextlib.suppress(ProtocolError):  # the scheduler knows already
                    call(driver)
                del driver
        del call
