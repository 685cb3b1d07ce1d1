"""What a process inherits from the one that starts it, as far as Linux tells: a template must not outlive its own."""

import os
import sys

__all__ = ["CAN_FORK", "inherited"]


def _can_fork() -> bool:
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:  # an old kernel, or a container that may not
        return False
    return True


CAN_FORK = _can_fork()
"""Whether workers are forked from templates: elsewhere the end of a process that is no child cannot be seen."""
SELF = "/proc/thread-self/"
FILES = ("limits", "cgroup", "oom_score_adj")
LINES = (
    b"Umask:",
    b"Uid:",
    b"Gid:",
    b"Groups:",
    b"SigBlk:",
    b"SigIgn:",
    b"Cap",
    b"NoNewPrivs:",
    b"Seccomp:",
    b"Cpus_allowed:",
    b"Mems_allowed:",
)
AT_START = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG", "TZ")
"""Environment variables that are read once, when a process or its C library starts."""


def inherited(*, whole: bool) -> tuple[object, ...]:
    """Give what a process that this thread starts now would inherit, beside what each worker is told.

    With the `whole` environment, for modules read theirs when they are imported.
    """
    names = (name for name in os.environ if whole or name.startswith(AT_START))
    environment = {name: os.environ[name] for name in names}
    status = tuple(line for line in _read("status").splitlines() if line.startswith(LINES))
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    return (sys.executable, environment, status, nice, _link("root"), *(_read(name) for name in FILES))


def _read(name: str) -> bytes:
    try:
        with open(SELF + name, "rb") as file:  # noqa: PTH123 - asked before each start
            return file.read()
    except OSError:
        return b""


def _link(name: str) -> str:
    try:
        return os.readlink(SELF + name)  # noqa: PTH115 - likewise
    except OSError:
        return ""
