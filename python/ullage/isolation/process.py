"""A worker's process as it was started: its end is seen, and then it is reaped."""

import contextlib
import os
import select
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

__all__ = ["Direct", "Forked", "Started"]


class Started(Protocol):
    """What is known of a process that leads a group of its own."""

    pid: int

    def await_end(self) -> None:
        """Return once it has ended; its number stays taken where the system can do that."""

    def reap(self, *, may_keep: bool) -> int:
        """Give its number back and how it ended: a signal below 0, or a status.

        Without `may_keep` nothing that was only made for it stays.
        """


class Direct:
    """A child of this process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Take over the process."""
        self._process = process
        self.pid = process.pid

    def await_end(self) -> None:
        """Return once it has ended."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
                return
        self._process.wait()

    def reap(self, *, may_keep: bool) -> int:  # noqa: ARG002 - there is nothing to keep
        """Reap it."""
        return self._process.wait()


class Forked:
    """A child of a template."""

    def __init__(self, pid: int, reap: "Callable[[bool], int]") -> None:
        """Watch process `pid`, which `reap` has reaped. Raises `OSError` where no files are to be had."""
        self.pid = pid
        self._reap = reap
        self._watch = os.pidfd_open(pid)

    def await_end(self) -> None:
        """Return once it has ended, whoever its parent is by then."""
        poll = select.poll()
        poll.register(self._watch, select.POLLIN)
        poll.poll()

    def reap(self, *, may_keep: bool) -> int:
        """Have the template reap it."""
        os.close(self._watch)
        return self._reap(may_keep)
