"""Starts worker processes, all from one thread that lives as long as this process.

Linux can end a child when its parent ends, and means by the parent the thread that made it. So that thread must not be
one that comes and goes.
"""

import json
import os
import queue
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future

__all__ = ["spawn"]

BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from ullage.isolation.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
"""The search path comes first: this package may be on it only because the program said so."""


class _Spawner:
    """The thread, and what it is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: queue.SimpleQueue[tuple[list[str], int, dict[str, str], Future[subprocess.Popen[bytes]]]]
        self._asked = queue.SimpleQueue()
        self._owner = 0

    def ask(self, command: list[str], inherited: int, environment: dict[str, str]) -> "Future[subprocess.Popen[bytes]]":
        """Ask for a process that inherits one file descriptor."""
        future: Future[subprocess.Popen[bytes]] = Future()
        with self._lock:
            if self._owner != os.getpid():  # first use, or a fork took everything but the threads
                self._asked = queue.SimpleQueue()
                threading.Thread(target=self._run, args=(self._asked,), name="ullage-spawner", daemon=True).start()
                self._owner = os.getpid()
            self._asked.put((command, inherited, environment, future))
        return future

    def _run(
        self, asked: "queue.SimpleQueue[tuple[list[str], int, dict[str, str], Future[subprocess.Popen[bytes]]]]"
    ) -> None:
        while True:
            command, inherited, environment, future = asked.get()
            try:
                process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(inherited,),
                    env=environment,
                    process_group=0,
                )
            except BaseException as failure:  # noqa: BLE001 - handed to whoever asked
                future.set_exception(failure)
            else:
                future.set_result(process)
                del process
            del future


_SPAWNER = _Spawner()


def spawn(*, few_arenas: bool) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker process in a group of its own; gives it and our end of the connection to it.

    `few_arenas` keeps the C library from reserving address space thread by thread, which would count against a limit
    on it. Raises `OSError` where there are no processes or files left to be had.
    """
    ours, theirs = socket.socketpair()
    try:
        command = [sys.executable, "-c", BOOT, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
        environment = os.environ | ({"MALLOC_ARENA_MAX": "1"} if few_arenas else {})
        return _SPAWNER.ask(command, theirs.fileno(), environment).result(), ours
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
