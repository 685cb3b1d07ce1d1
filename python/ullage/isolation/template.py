"""What runs in a template: a process that has imported what workers need, and forks one whenever it is asked.

It has one thread, for a fork takes only the thread that calls it. It never reaps by itself: the number of a worker that
ended stays taken until the pool says that it needs it no more, so that whoever kills by number cannot meet a stranger.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from ullage.errors import ArgumentError
from ullage.isolation import child, task
from ullage.isolation.channel import pack
from ullage.isolation.words import FORK, LENGTH, raised

__all__ = ["serve"]

IN_EVERY_TASK = task
"""Imported here, so that no worker has to."""

M_ARENA_MAX = -8
"""Parameter of glibc's `mallopt`."""
MOST_FILES = 8


def serve(descriptor: int, parent: int, preload: list[str]) -> None:
    """Import modules, then fork for the pool in process `parent` whenever it asks over the socket `descriptor`.

    Returns never, here and in those that it forks.
    """
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    child.die_with(parent)
    try:
        for name in preload:
            importlib.import_module(name)
        if preload:
            _check_threads(preload)
    except BaseException as failure:  # noqa: BLE001 - whatever a module raises is told
        _reply(connection, bytes(pack(raised(failure))[0]))
        os._exit(1)
    gc.collect()
    gc.freeze()  # else the first collection of each worker would copy what it shares with this process
    _reply(connection, b"")
    while True:
        request, files = _receive(connection)
        if request[:1] == FORK:
            _reply(connection, str(_fork(connection, request, files)).encode())
        else:
            _reply(connection, str(_reap(int(request[1:]))).encode())


def _fork(connection: socket.socket, request: bytes, files: list[int]) -> int:
    """Give the number of a new worker, or less than 0 where there is none to be had."""
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        pid = -(error.errno or 1)
    if pid == 0:
        connection.close()
        _become_worker(json.loads(request[1:]), files, parent)
    for file in files:
        os.close(file)
    if pid > 0:
        with contextlib.suppress(OSError):  # it did so itself, or is gone
            os.setpgid(pid, pid)
    return pid


def _reap(pid: int) -> int:
    """Give how a worker ended: a signal below 0, or a status."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _check_threads(preload: list[str]) -> None:
    """Refuse modules that leave threads behind: whatever such a thread held would be held for ever in a worker.

    Some libraries, such as OpenBLAS, end theirs before a fork, so a fork is tried.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    count = len(list(Path("/proc/self/task").iterdir()))
    if count > 1:
        run = "1 thread runs" if count == 2 else f"{count - 1} threads run"  # noqa: PLR2004 - it and this one
        reason = f"{', '.join(preload)}: {run} once that is imported, which no fork survives"
        raise ArgumentError(f"preload: {reason}", name="preload", reason=reason)


def _become_worker(request: dict[str, Any], files: list[int], parent: int) -> NoReturn:
    """Take the place in the world that a process started by the pool itself would have, and serve."""
    status = 1
    try:
        os.setpgid(0, 0)
        descriptor, folder, *outputs = files
        os.fchdir(folder)
        os.close(folder)
        for target, file in zip(request["outputs"], outputs, strict=True):
            if file != target:
                os.dup2(file, target)
                os.close(file)
        if dict(os.environ) != request["environment"]:
            os.environ.clear()
            os.environ.update(request["environment"])
        if request["few_arenas"]:
            with contextlib.suppress(AttributeError, OSError):  # only glibc has arenas
                ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
        sys.path[:] = request["path"]
        importlib.invalidate_caches()  # of folders as they were
        _reseed()
        child.main(descriptor, parent)
        status = 0
    except BaseException:  # noqa: BLE001 - nobody is left to hear it but who reads the outputs
        sys.excepthook(*sys.exc_info())
    child.leave(status)


def _reseed() -> None:
    """Give NumPy's own generator another seed, as it has in a process of its own; Python's does so itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _reply(connection: socket.socket, content: bytes) -> None:
    try:
        connection.sendall(LENGTH.pack(len(content)) + content)
    except OSError:
        os._exit(0)  # nobody is left to fork for


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Give the next request, with the file descriptors that came along; ends this process once nobody asks any more."""
    head, files, _, _ = socket.recv_fds(connection, LENGTH.size, MOST_FILES)
    while 0 < len(head) < LENGTH.size:
        head += connection.recv(LENGTH.size - len(head))
    if not head:
        os._exit(0)
    left = LENGTH.unpack(head)[0]
    parts = []
    while left:
        part = connection.recv(left)
        if not part:
            os._exit(0)
        parts.append(part)
        left -= len(part)
    return b"".join(parts), files
