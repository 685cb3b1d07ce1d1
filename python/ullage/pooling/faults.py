"""What becomes of the faults of an eviction policy: each is an event of the pool, and the first a warning."""

import _thread
import threading
import warnings
from typing import TYPE_CHECKING

from ullage.errors import PolicyError, PolicyWarning, ProtocolError

if TYPE_CHECKING:
    import weakref

    from ullage.pooling.driver import Driver

__all__ = ["Faults", "OwnersLock", "interrupt_soon"]

FAULT = ("policy", "model", "hook", "reason")
SOON_S = 0.1
PATIENCE_S = 30.0
"""How long a call waits for a policy to decide: one that waits for the caller would never end."""


def interrupt_soon() -> None:
    """Interrupt the main thread as Ctrl-C does, but not in the midst of the event that the pool is being told of."""
    timer = threading.Timer(SOON_S, _thread.interrupt_main)
    timer.daemon = True
    timer.start()


class Faults:
    """Takes the faults of one pool's policy. Called under the driver's lock, by the core."""

    def __init__(self) -> None:
        """Begin without a driver, which is made after the core's part."""
        self.driver: weakref.ref[Driver] | None = None
        self._has_warned = False

    def take(self, error: PolicyError) -> None:
        """Write a fault down, and warn of it if it is the first."""
        driver = None if self.driver is None else self.driver()
        if driver is not None:
            driver.write("policy_failed", FAULT, *(getattr(error, name) for name in FAULT))
        if not self._has_warned:
            self._has_warned = True
            text = f"{error}; the pool goes on without it, and further faults of the policy are among its events"
            _warn(text)
        if error.__cause__ is not None:
            # It holds the frames of whoever called, and with them models that were lent.
            error.__cause__.__traceback__ = None


def _warn(text: str) -> None:
    """Warn; where warnings are errors there is nobody to raise one to, and it is shown all the same."""
    try:
        warnings.warn(text, PolicyWarning, stacklevel=3)
    except PolicyWarning:
        # Raised on, it would be an exception that the interpreter cannot raise. Who collects those, as test runners do,
        # would keep the frames of whoever called, and with them models that were lent, whose memory never came back.
        warnings.showwarning(text, PolicyWarning, __file__, 0)


class OwnersLock:
    """A lock that refuses the thread that holds it, where a plain one would have it wait for ever.

    It takes the place of a plain one where a policy in Python, called with the lock held, might call the pool, or wait
    for another thread that does.
    """

    def __init__(self) -> None:
        """Begin open."""
        self._lock = threading.Lock()
        self._owner = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - as the lock's
        """Take the lock. Raises `ProtocolError` for the thread that has it."""
        me = threading.get_ident()
        if self._owner == me:
            reason = "a policy may not call the pool that it decides for"
            raise ProtocolError(f"call: {reason}", event="call", subject="pool", reason=reason)
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner = me
        return True

    def release(self) -> None:
        """Open the lock."""
        self._owner = 0
        self._lock.release()

    def __enter__(self) -> bool:
        """Take the lock."""
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        """Open the lock."""
        self.release()

    def enter(self) -> None:
        """Let a call of a program pass, now or soon. Raises `ProtocolError` if a policy holds the lock for too long.

        That is for the first thing that a call does: what it takes the lock for later may not be left undone.
        """
        if not self.acquire(timeout=PATIENCE_S):
            reason = f"the pool's policy has been deciding for {PATIENCE_S:g} s, or waits for whoever calls"
            raise ProtocolError(f"call: {reason}", event="call", subject="pool", reason=reason)
        self.release()

    @property
    def is_mine(self) -> bool:
        """Whether this thread has the lock."""
        return self._owner == threading.get_ident()

    def _is_owned(self) -> bool:
        """Tell a condition whether this thread has the lock."""
        return self.is_mine
