"""Starts worker processes: forked from a template that has imported what they need, or by themselves.

A template is started by one thread that lives as long as this process: Linux can end a child when its parent ends, and
means by the parent the thread that made it. That thread alone keeps the books of templates, so they need no lock.
"""

import errno
import json
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from ullage.isolation.heritage import CAN_FORK, inherited
from ullage.isolation.process import Direct, Forked, Started
from ullage.isolation.words import FORK, LENGTH, REAP, Raised

__all__ = ["Keeper", "Template", "spawn"]

PATH = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
"""The search path comes first: this package may be on it only because the program said so."""
BOOT = PATH + "from ullage.isolation.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
BOOT_TEMPLATE = (
    PATH
    + "from ullage.isolation.template import serve; serve(int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))"
)
FORK_S = 60.0
"""How long a template may take to fork or reap before it is held for stuck."""
TRIES = 3
"""Templates that may die before a worker is forked, until that is said."""


class Template:
    """A process that forks workers. Made, counted and ended by the spawner's thread; asked by any."""

    def __init__(self, preload: tuple[str, ...], inherited: object) -> None:
        """Start it. Raises `OSError` where there are no processes or files left to be had."""
        self.inherited = inherited
        self._preload = preload
        self.users = 0
        """Workers that live, or are about to. Of the spawner's thread."""
        self.is_dead = False
        self._lock = threading.Lock()
        self._is_ready = False
        self._refusal: Raised | None = None
        self._socket, theirs = socket.socketpair()
        try:
            self._process = _start(BOOT_TEMPLATE, theirs, os.environ.copy(), json.dumps(preload))
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def fork(self, connection: socket.socket, *, few_arenas: bool, patience: float | None) -> int:
        """Give the number of a new worker that has our peer of `connection`.

        Raises what a module raised that it was to import, `TimeoutError` if that took more than `patience` seconds,
        `OSError` where no process is to be had, `EOFError` if the template is gone.
        """
        environment = os.environ | ({"MALLOC_ARENA_MAX": "1"} if few_arenas else {})
        outputs = [file for file in (1, 2) if _is_open(file)]
        request = {"path": _path(), "environment": environment, "few_arenas": few_arenas, "outputs": outputs}
        folder = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            with self._lock:
                self._await_ready(patience if self._preload else FORK_S)
                files = [connection.fileno(), folder, *outputs]
                pid = int(self._ask(FORK + json.dumps(request).encode(), files))
        finally:
            os.close(folder)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def reap(self, pid: int) -> int:
        """Give how a worker ended; one whose template is gone was killed with it."""
        try:
            with self._lock:
                return int(self._ask(REAP + str(pid).encode(), []))
        except (EOFError, OSError):
            return -signal.SIGKILL

    def end(self) -> None:
        """End it; there is nothing in it to lose."""
        self.is_dead = True
        self._process.kill()
        self._process.wait()
        with self._lock:
            self._socket.close()

    def _await_ready(self, patience: float | None) -> None:
        if not self._is_ready:
            try:
                self._socket.settimeout(patience)
                refusal = self._receive()
            except TimeoutError:
                self._give_up()
                text = f"preload: {', '.join(self._preload) or 'a worker'} was not imported within {patience} s"
                raise TimeoutError(text) from None
            self._is_ready = True
            self._refusal = pickle.loads(refusal) if refusal else None  # noqa: S301 - from our own process
        if self._refusal is not None:
            self.is_dead = True
            raise self._refusal.rebuild("preload")

    def _ask(self, request: bytes, files: list[int]) -> bytes:
        if self.is_dead:
            raise EOFError("the template is gone")
        try:
            self._socket.settimeout(FORK_S)
            content = memoryview(LENGTH.pack(len(request)) + request)
            sent = socket.send_fds(self._socket, [content], files)
            self._socket.sendall(content[sent:])
            return self._receive()
        except (OSError, EOFError) as error:
            self._give_up()
            raise EOFError("the template is gone") from error

    def _receive(self) -> bytes:
        length = LENGTH.unpack(self._read(LENGTH.size))[0]
        return self._read(length)

    def _read(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                self.is_dead = True
                raise EOFError("the template is gone")
            parts += part
        return parts

    def _give_up(self) -> None:
        """Have done with a template whose answers nobody can tell apart any more; its workers go with it."""
        self.is_dead = True
        self._process.kill()


class _Spawner:
    """The thread, and what it is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Filled from finalizers, which may run in any thread at any moment: `put` is the one call safe there.
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any] | None]] = queue.SimpleQueue()
        self._owner = 0
        self._templates: dict[tuple[str, ...], Template] = {}
        self._keepers: set[object] = set()
        self._not_ours: list[object] = []
        """Templates of the process that this one was forked from: to collect them would be to look for their ends."""

    def ask(self, work: Callable[[], Any]) -> "Future[Any]":
        """Have something done in the thread."""
        future: Future[Any] = Future()
        with self._lock:
            if not self.is_ours:  # first use, or a fork took everything but the threads
                self._asked = queue.SimpleQueue()
                self._not_ours.append(self._templates)
                self._templates, self._keepers = {}, set()
                threading.Thread(target=_run, args=(self._asked,), name="ullage-spawner", daemon=True).start()
                self._owner = os.getpid()
            self._asked.put((work, future))
        return future

    @property
    def is_ours(self) -> bool:
        """Whether the thread was started by this process."""
        return self._owner == os.getpid()

    def take_back(self, template: Template, *, may_keep: bool) -> None:
        """Count one worker less: before this returns, unless the template may be kept."""
        done = self.ask(lambda: self.give_back(template, may_keep=may_keep))
        if not may_keep:
            done.result()

    def tell(self, work: Callable[[], Any]) -> None:
        """Have something done if the thread runs, without waiting; safe in finalizers."""
        if self.is_ours:
            self._asked.put((work, None))

    # In the thread.

    def borrow(self, preload: tuple[str, ...]) -> Template:
        """Give a template for one worker more, as one started now would be."""
        now = inherited(whole=bool(preload))
        found = self._templates.get(preload)
        if found is None or found.is_dead or found.inherited != now:
            if found is not None and not found.users:
                found.end()
            found = self._templates[preload] = Template(preload, now)
        found.users += 1
        return found

    def give_back(self, template: Template, *, may_keep: bool) -> None:
        """Count one worker less; ends a template that nobody needs any more."""
        template.users -= 1
        is_wanted = may_keep and self._keepers and template in self._templates.values() and not template.is_dead
        if not template.users and not is_wanted:
            self._end(template)

    def keep(self, keeper: object) -> None:
        """Keep templates for as long as `keeper` is there."""
        self._keepers.add(keeper)

    def let_go(self, keeper: object) -> None:
        """Keep templates no longer for `keeper`: with the last one they end, as soon as they are out of use."""
        self._keepers.discard(keeper)
        if not self._keepers:
            for template in [one for one in self._templates.values() if not one.users]:
                self._end(template)

    def _end(self, template: Template) -> None:
        for preload, other in list(self._templates.items()):
            if other is template:
                del self._templates[preload]
        template.end()


def _run(asked: "queue.SimpleQueue[tuple[Callable[[], Any], Future[Any] | None]]") -> None:
    while True:
        work, future = asked.get()
        try:
            outcome = work()
        except BaseException as failure:  # noqa: BLE001 - handed to whoever asked
            if future is not None:
                future.set_exception(failure)
        else:
            if future is not None:
                future.set_result(outcome)
            del outcome
        del work, future


_SPAWNER = _Spawner()


class Keeper:
    """Keeps templates for as long as a pool may need them."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._name: object = None
        self._lock = threading.Lock()

    def keep(self) -> None:
        """Keep what is there, and what comes."""
        with self._lock:
            if self._name is None and CAN_FORK:
                self._name = name = object()
                _SPAWNER.ask(lambda: _SPAWNER.keep(name)).result()

    def let_go(self, *, wait: bool) -> None:
        """Keep them no longer: with the last keeper they end. Safe in finalizers without `wait`."""
        name, self._name = self._name, None
        if name is None or not _SPAWNER.is_ours:
            return
        if wait:
            _SPAWNER.ask(lambda: _SPAWNER.let_go(name)).result()
        else:
            _SPAWNER.tell(lambda: _SPAWNER.let_go(name))


def spawn(preload: tuple[str, ...], *, few_arenas: bool, patience: float | None) -> tuple[Started, socket.socket]:
    """Start a worker process in a group of its own; gives it and our end of the connection to it.

    `preload` names modules that it is to have imported. `few_arenas` keeps the C library from reserving address space
    thread by thread, which would count against a limit on it. Raises `OSError` where there are no processes or files
    left to be had, and what `Template.fork` raises.
    """
    ours, theirs = socket.socketpair()
    try:
        if CAN_FORK:
            return _fork(preload, theirs, few_arenas=few_arenas, patience=patience), ours
        environment = os.environ | ({"MALLOC_ARENA_MAX": "1"} if few_arenas else {})
        return _SPAWNER.ask(lambda: Direct(_start(BOOT, theirs, environment))).result(), ours
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()


def _fork(preload: tuple[str, ...], theirs: socket.socket, *, few_arenas: bool, patience: float | None) -> Forked:
    for _ in range(TRIES):
        template: Template = _SPAWNER.ask(lambda: _SPAWNER.borrow(preload)).result()
        try:
            pid = template.fork(theirs, few_arenas=few_arenas, patience=patience)
        except EOFError:
            _SPAWNER.take_back(template, may_keep=True)
            continue
        except BaseException:
            _SPAWNER.take_back(template, may_keep=False)
            raise
        try:
            return Forked(pid, partial(_reap, template, pid))
        except BaseException:
            os.kill(pid, signal.SIGKILL)  # not reaped yet: nobody else has its number
            _reap(template, pid, False)  # noqa: FBT003 - as there
            raise
    raise OSError(errno.ECHILD, f"{TRIES} processes that were to fork a worker were killed")


def _reap(template: Template, pid: int, may_keep: bool) -> int:  # noqa: FBT001 - not for callers
    try:
        return template.reap(pid)
    finally:
        _SPAWNER.take_back(template, may_keep=may_keep)


def _start(code: str, theirs: socket.socket, environment: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
    """Start an interpreter that inherits one end of a connection. Called in the spawner's thread."""
    path = json.dumps(_path())
    return subprocess.Popen(  # noqa: S603 - this interpreter, this package
        [sys.executable, "-c", code, path, str(theirs.fileno()), str(os.getpid()), *more],
        stdin=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
        env=environment,
        process_group=0,
    )


def _path() -> list[str]:
    """Give the search path as the interpreter reads it, which passes over what is no text."""
    entries: list[object] = list(sys.path)
    return [entry for entry in entries if isinstance(entry, str)]


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True
