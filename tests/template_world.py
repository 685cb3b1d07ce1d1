"""Loaders that tell what their worker was born into."""

import atexit
import os
import random
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np


def load_nothing() -> str:
    """Load a model of no size."""
    return "nothing"


def load_facts() -> dict[str, Any]:
    """Tell what a process inherits."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "parent": os.getppid(),
        "group": os.getpgid(0) == os.getpid(),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": str(Path.cwd()),
        "umask": umask,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "open": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],  # noqa: PTH208 - the last one lists
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "child": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
        "pipe": signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "main": threading.current_thread() is threading.main_thread(),
        "groups": os.getgroups(),
        "random": random.random(),  # noqa: S311 - that it differs is what matters
        "numpy": float(np.random.random()),  # noqa: NPY002 - the generator of the module is what is asked about
        "imported": [name for name in ("numpy", "preload_slowly") if name in sys.modules],
    }


def load_loudly(path: str) -> str:
    """Say something, and more at the end."""
    print("loaded", flush=True)  # noqa: T201 - that is the point
    sys.stdout.write("left in the buffer\n")
    atexit.register(lambda: Path(path).write_text("at exit", encoding="ascii"))
    return "loud"
