"""What runs in a worker process: it loads a model, answers calls to it, and ends when told to or when left alone."""

import atexit
import contextlib
import ctypes
import os
import pickle
import queue
import select
import signal
import socket
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn

from ullage.isolation import words
from ullage.isolation.channel import Channel, Message, pack

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["die_with", "leave", "main"]

PR_SET_PDEATHSIG = 1
LOOK_S = 1.0
"""How often to look for a parent that is gone, where the system does not tell."""
CALLS = 1 << 20
"""Calls under way at once: no bound but memory, so that one call may wait for another."""


def main(descriptor: int, parent: int) -> None:
    """Serve the pool in process `parent` over the socket `descriptor`."""
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)  # what the model starts must not keep it open
    is_told = die_with(parent)
    servant = Servant(Channel(connection))
    receiver = servant.receive if is_told else lambda: servant.receive_watching(connection, parent)
    threading.Thread(target=receiver, name="ullage-receiver", daemon=True).start()
    servant.work()


def die_with(parent: int) -> bool:
    """Have the kernel end this process with its parent, whatever this one is doing then; tell whether it will."""
    is_told = False
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            is_told = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    if os.getppid() != parent:  # it was gone before that
        os._exit(1)
    return is_told


def leave(status: int) -> NoReturn:
    """End a process that was forked, as the interpreter would, but for taking itself apart piece by piece."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing ends its own
        atexit._run_exitfuncs()  # noqa: SLF001 - likewise
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # closed, or nobody reads it
                stream.flush()
        os._exit(status)


def _limit(most: int) -> None:
    """Bound the address space at `most` bytes beyond what is mapped now."""
    import resource  # noqa: PLC0415 - not on every system, and seldom wanted

    try:
        mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        mapped = 0
    bound = mapped + most
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _unpickle(text: bytes) -> "Callable[..., Any]":
    function: Callable[..., Any] = pickle.loads(text)  # noqa: S301 - from our own process
    return function


class Servant:
    """Loads in the main thread, receives in one of its own, and answers each call in another."""

    def __init__(self, channel: Channel) -> None:
        """Take over the connection."""
        self._channel = channel
        self._orders: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._calls = ThreadPoolExecutor(CALLS, thread_name_prefix="ullage-call")
        self._model: Any = None
        self._unload: Callable[[Any], Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_lock = threading.Lock()
        self._tasks: dict[int, Future[Any]] = {}

    # The main thread.

    def work(self) -> None:
        """Load as told, then wait for the word to end."""
        load = self._orders.get()
        try:
            self._reply(load.number, words.VALUE, self._load(load))
        except BaseException as failure:  # noqa: BLE001 - whatever a loader raises is told
            self._model = None
            self._fail(load.number, failure)
        del load
        order = self._orders.get()
        try:
            if self._unload is not None:
                self._finish(self._unload(self._model))
            self._model = None
            self._reply(order.number, words.VALUE, None)
        except BaseException as failure:  # noqa: BLE001 - this process ends all the same
            self._fail(order.number, failure)

    def _load(self, order: Message) -> int | None:
        """Make the model; gives what `measure` says of it."""
        task, preparation = order.open()
        if preparation is not None:
            from multiprocessing import spawn  # noqa: PLC0415 - seldom wanted

            spawn.prepare(preparation)
        load = _unpickle(task.load)
        unload, measure = (None if text is None else _unpickle(text) for text in (task.unload, task.measure))
        if task.memory_limit is not None:
            _limit(task.memory_limit)
        self._model = self._finish(load())
        self._unload = unload
        return None if measure is None else self._finish(measure(self._model))

    # The receiving thread.

    def receive(self) -> None:
        """Hand on what comes; without a parent there is nothing left to do here."""
        with contextlib.suppress(BaseException):
            while True:
                self._take(self._channel.receive())
        self._abandon()

    def receive_watching(self, connection: socket.socket, parent: int) -> None:
        """Receive, and look for the parent in between: a process that it forked may keep the connection open."""
        with contextlib.suppress(BaseException):
            while os.getppid() == parent:
                if select.select([connection], [], [], LOOK_S)[0]:
                    self._take(self._channel.receive())
        self._abandon()

    def _abandon(self) -> None:
        """End this process and what it started, at once."""
        with contextlib.suppress(OSError):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def _take(self, message: Message) -> None:
        if message.kind in {words.LOAD, words.UNLOAD}:
            self._orders.put(message)
        elif message.kind == words.CANCEL:
            task = self._tasks.get(message.number)
            if task is not None:
                task.cancel()
        else:
            self._calls.submit(self._answer, message)

    # The threads of calls.

    def _answer(self, message: Message) -> None:
        try:
            kind, outcome = self._do(message)
            if isinstance(outcome, CoroutineType):
                self._start(message.number, outcome)
            else:
                self._reply(message.number, kind, outcome)
        except BaseException as failure:  # noqa: BLE001 - whatever the model raises is told
            self._fail(message.number, failure)

    def _do(self, message: Message) -> tuple[int, Any]:
        if message.kind == words.GET:
            return self._get(message.open())
        if message.kind == words.SET:
            name, value = message.open()
            setattr(self._model, name, value)
            return words.VALUE, None
        if message.kind == words.APPLY:
            function, arguments = message.open()
            return words.VALUE, function(self._model, *arguments)
        name, arguments, named = message.open()
        function = self._model if name is None else getattr(self._model, name)
        return words.VALUE, function(*arguments, **named)

    def _get(self, name: str) -> tuple[int, Any]:
        value = getattr(self._model, name)
        if not callable(value):
            return words.VALUE, value
        is_own = callable(getattr(type(self._model), name, None)) and name not in getattr(self._model, "__dict__", {})
        return words.OWN_METHOD if is_own else words.METHOD, None

    def _start(self, number: int, coroutine: "CoroutineType[Any, Any, Any]") -> None:
        """Run a coroutine beside the others; its answer goes out when it ends."""
        import asyncio  # noqa: PLC0415 - many models need none of it

        with self._loop_lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="ullage-loop", daemon=True).start()
        task = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._calls.submit(self._finish_task, number, done))

    def _finish_task(self, number: int, task: "Future[Any]") -> None:
        self._tasks.pop(number, None)
        try:
            self._reply(number, words.VALUE, task.result())
        except BaseException as failure:  # noqa: BLE001 - whatever the model raises is told
            self._fail(number, failure)

    def _finish(self, outcome: Any) -> Any:  # noqa: ANN401 - whatever a function gives
        """Run a coroutine that a function of the main thread gave."""
        if not isinstance(outcome, CoroutineType):
            return outcome
        import asyncio  # noqa: PLC0415 - as above

        return asyncio.run(outcome)

    # Answers.

    def _reply(self, number: int, kind: int, content: object) -> None:
        try:
            parts = pack(content)
        except Exception as error:
            raise TypeError(f"{type(content).__name__} cannot be sent back: {error}") from error
        self._channel.send(number, kind, parts)

    def _fail(self, number: int, failure: BaseException) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            self._channel.send(number, words.RAISED, pack(words.raised(failure)))
