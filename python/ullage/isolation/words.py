"""The kinds of message between a pool and its workers, and exceptions on their way from one to the other."""

import pickle
import struct
import traceback
from typing import NamedTuple

from ullage.errors import WorkerError

__all__ = [
    "APPLY",
    "CALL",
    "CANCEL",
    "FORK",
    "GET",
    "LENGTH",
    "LOAD",
    "METHOD",
    "OWN_METHOD",
    "RAISED",
    "REAP",
    "SET",
    "UNLOAD",
    "VALUE",
    "Raised",
    "raised",
]

LOAD, CALL, GET, SET, CANCEL, UNLOAD = range(6)
"""What a worker is told: load, call the model or a method of it, read an attribute, set one, give a call up, end."""
VALUE, METHOD, OWN_METHOD, RAISED = range(6, 10)
"""What it answers: a value, that an attribute can be called, that it can be for ever, an exception."""


APPLY = 10
"""A worker is told to call a function with its model."""
FORK, REAP = b"F", b"R"
"""What a template is asked: `FORK` is followed by JSON and comes with file descriptors, `REAP` by a number."""
LENGTH = struct.Struct("<I")
"""Before each message to a template or from one."""


class Raised(NamedTuple):
    """An exception ready to travel."""

    pickled: bytes | None
    """Itself, where it survives that."""
    kind: str
    text: str
    trace: str

    def rebuild(self, model: str) -> Exception:
        """Give the exception as it was, or a `WorkerError` where it cannot travel or would end more than the call.

        The worker's traceback is a note of it.
        """
        failure: object = None
        if self.pickled is not None:
            try:
                failure = pickle.loads(self.pickled)  # noqa: S301 - from our own process
            except Exception as error:  # noqa: BLE001 - a class that is not here, or an odd constructor
                failure = error
        if not isinstance(failure, Exception) or self.pickled is None:
            message = f"{model}: its worker raised {self.kind}: {self.text}"
            failure = WorkerError(message, model=model, kind=self.kind, reason=self.text)
        failure.add_note(f"In the worker process of {model}:\n{self.trace}")
        return failure


def raised(failure: BaseException) -> Raised:
    """Make an exception ready to travel."""
    pickled = None
    if isinstance(failure, Exception):
        try:
            pickled = pickle.dumps(failure)
            pickle.loads(pickled)  # noqa: S301 - just made
        except Exception:  # noqa: BLE001 - anything: it then travels as text
            pickled = None
    try:
        text = str(failure)
    except Exception as error:  # noqa: BLE001 - a `__str__` of anybody's
        text = f"(its text cannot be made: {type(error).__name__})"
    return Raised(pickled, type(failure).__qualname__, text, "".join(traceback.format_exception(failure)).rstrip())
