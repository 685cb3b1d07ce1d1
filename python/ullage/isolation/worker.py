"""A worker process as the pool sees it: started, asked, measured, ended, and known to be gone."""

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ullage._loops import wait
from ullage.errors import WorkerDiedError, WorkerError
from ullage.isolation import words
from ullage.isolation.channel import Channel, Message, pack
from ullage.isolation.high_water import HighWater
from ullage.isolation.spawner import spawn
from ullage.isolation.task import Task

__all__ = ["Worker"]

GROUP_S = 2.0
"""How long to wait for what a worker started to be gone after it; where nobody reaps orphans they stay for ever."""


class Worker:
    """One process with one model. Any number of threads and event loops may call it."""

    def __init__(
        self, model: str, task: Task, on_end: Callable[["Worker"], object], patience: float | None = None
    ) -> None:
        """Start the process; `load` is the next thing to do. `on_end` is called in a thread once it is gone.

        Raises `OSError` where it cannot be started, what a module raises that it is to have imported first, and
        `TimeoutError` where that takes more than `patience` seconds.
        """
        self.model = model
        self._task = task
        self._on_end = on_end
        self._owner = os.getpid()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Message]] = {}
        self._sender: ThreadPoolExecutor | None = None
        self._error: WorkerDiedError | None = None
        self.gone = threading.Event()
        self.is_ending = False
        """Whether its end is wanted."""
        self._kept: object = None
        self._is_over = self._has_loaded = False
        self._process, connection = spawn(task.preload, few_arenas=task.memory_limit is not None, patience=patience)
        self.pid = self._process.pid
        self.memory = HighWater(self.pid)
        self._channel = Channel(connection)
        self._receiver = threading.Thread(target=self._receive, name=f"ullage-receiver {model}", daemon=True)
        self._receiver.start()
        threading.Thread(target=self._wait, name=f"ullage-waiter {model}", daemon=True).start()

    # What is asked of it.

    def load(self, timeout: float | None) -> int | None:
        """Have the model loaded; gives what `measure` said. The process is gone when this raises.

        Raises what the loader raised, `TimeoutError` after `timeout` seconds, `WorkerDiedError`.
        """
        try:
            answer = self._ask(words.LOAD, (self._task, self._task.preparation()))
            try:
                message = answer.result(timeout)
            except TimeoutError:
                text = f"{self.model} was not loaded within {timeout} s; its worker, process {self.pid}, was killed"
                raise TimeoutError(text) from None
            size: int | None = self._open(message)[1]
        except BaseException:
            self.kill()
            self.gone.wait()
            raise
        self._has_loaded = True
        self.memory.begin()
        return size

    def call(self, kind: int, content: object) -> tuple[int, Any]:
        """Ask and wait; gives the kind of the answer and what it holds.

        Raises what the model raised, `WorkerDiedError`, and what pickling raises.
        """
        future = self._ask(kind, content)
        try:
            return self._open(future.result())
        except BaseException:
            if not future.done():  # a signal handler raised: nobody waits any more
                self._give_up(future)
            raise

    def apply(self, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - the function's own
        """Call `function`, one of a module, with the model and `arguments`, there. Raises what `call` raises."""
        return self.call(words.APPLY, (function, arguments))[1]

    async def acall(self, kind: int, content: object) -> tuple[int, Any]:
        """Ask and wait without blocking the event loop.

        Cancelled, it cancels a coroutine in the worker; a function there runs on, and its answer is dropped.
        """
        with self._lock:
            self._check()  # a sender of one that is gone would never be shut down
            if self._sender is None:
                self._sender = ThreadPoolExecutor(1, thread_name_prefix=f"ullage-sender {self.model}")
            sender = self._sender
        number = next(self._numbers)
        answer: Future[Message] = Future()
        try:
            try:
                sent = sender.submit(self._send, number, kind, content, answer)
            except RuntimeError:  # the sender was shut down
                self._check()
                raise
            await wait(sent)
            message = await wait(answer)
        except Exception:
            raise
        except BaseException:  # a cancellation, whichever loop's
            with contextlib.suppress(RuntimeError):
                sender.submit(self._give_up, answer, number)
            raise
        return self._open(message)

    def end(self, grace: float) -> BaseException | None:
        """End the process and return once it is gone; gives what the model's `unload` raised.

        It is asked, terminated after `grace` seconds, and killed after as many more.
        """
        self.is_ending = True
        deadline = time.monotonic() + grace
        failure = self._ask_to_end(grace)
        if not self.gone.wait(max(deadline - time.monotonic(), 0.0)):
            self._signal(signal.SIGTERM)
            if not self.gone.wait(grace):
                self.kill()
                self.gone.wait()
        return failure

    def _ask_to_end(self, patience: float) -> BaseException | None:
        """Tell the process to end; gives what went wrong with `unload` in it."""
        answer: Future[Message] = Future()
        try:
            with self._lock:
                self._check()
                number = next(self._numbers)
                self._waiting[number] = answer
            self._channel.try_send(number, words.UNLOAD, pack(None), patience)
            message = answer.result(patience)
        except TimeoutError:
            text = f"{self.model}: unload did not end within {patience} s; its worker, process {self.pid}, was ended"
            return TimeoutError(text)
        except (WorkerDiedError, OSError):
            return None  # it was faster
        try:
            self._open(message)
        except Exception as error:  # noqa: BLE001 - whatever an unloader raises: the process ends all the same
            return error
        return None

    def kill(self) -> None:
        """Kill the process and what it started, now; `gone` tells when that is done."""
        self.is_ending = True
        self._signal(signal.SIGKILL)

    def keep(self, what: object) -> None:
        """Hold `what` until the process is gone."""
        self._kept = what
        if self.gone.is_set():
            self._kept = None

    @property
    def error(self) -> WorkerDiedError | None:
        """How it ended, if it did."""
        return self._error

    # Asking.

    def _ask(self, kind: int, content: object) -> "Future[Message]":
        answer: Future[Message] = Future()
        self._send(next(self._numbers), kind, content, answer)
        return answer

    def _send(self, number: int, kind: int, content: object, answer: "Future[Message]") -> None:
        parts = pack(content)
        with self._lock:
            self._check()
            self._waiting[number] = answer
        try:
            self._channel.send(number, kind, parts)
        except OSError:
            # It is ending or gone; the answer will say how, when the process has been waited for.
            return

    def _check(self) -> None:
        if os.getpid() != self._owner:
            reason = "its worker belongs to the process that this one was forked from"
            raise WorkerError(f"{self.model}: {reason}", model=self.model, kind="", reason=reason)
        if self._error is not None:
            raise self._fresh_error(self._error)

    def _fresh_error(self, error: WorkerDiedError) -> WorkerDiedError:
        """Give an exception of one's own: raised in several threads, one would collect all their tracebacks."""
        return WorkerDiedError(str(error), **error.fields)

    def _give_up(self, answer: "Future[Message]", number: int | None = None) -> None:
        """Forget a call and tell the worker."""
        with self._lock:
            if number is None:
                number = next((key for key, value in self._waiting.items() if value is answer), None)
            if number is None or self._waiting.pop(number, None) is None:
                return
        with contextlib.suppress(OSError):
            self._channel.send(number, words.CANCEL, [])

    def _open(self, message: Message) -> tuple[int, Any]:
        content = message.open()
        if message.kind == words.RAISED:
            raise content.rebuild(self.model)
        return message.kind, content

    # The threads that wait for it.

    def _receive(self) -> None:
        try:
            while True:
                message = self._channel.receive()
                with self._lock:
                    answer = self._waiting.pop(message.number, None)
                if answer is not None and answer.set_running_or_notify_cancel():
                    answer.set_result(message)
                del message, answer
        except (EOFError, OSError):
            return  # it is gone or going; the other thread knows
        except BaseException:
            self._signal(signal.SIGKILL)  # an answer larger than memory, or none at all
            raise

    def _wait(self) -> None:
        self._process.await_end()
        self._killpg(signal.SIGKILL)  # what it started; its number is still taken, for it is not yet reaped
        self._is_over = True
        status = self._process.reap(may_keep=self._has_loaded)
        self._await_group()
        self._channel.shut()
        self._receiver.join()
        error = self._describe(status)
        with self._lock:
            self._error = error
            waiting, self._waiting = self._waiting, {}
            sender = self._sender
        self._channel.close()
        if sender is not None:
            sender.shutdown(wait=False)
        for answer in waiting.values():
            if answer.set_running_or_notify_cancel():
                answer.set_exception(self._fresh_error(error))
        self.gone.set()
        self._kept = None
        self._on_end(self)

    def _await_group(self) -> None:
        """Wait until nothing is left of what it started: that held memory, too."""
        deadline = time.monotonic() + GROUP_S
        with contextlib.suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < deadline:
                os.killpg(self.pid, 0)
                time.sleep(0.002)

    def _describe(self, code: int) -> WorkerDiedError:
        number = -code if code < 0 else None
        how = f"status {code}"
        if number is not None:
            with contextlib.suppress(ValueError):
                how = signal.Signals(number).name
        message = f"{self.model}: its worker, process {self.pid}, ended with {how}"
        return WorkerDiedError(
            message, model=self.model, pid=self.pid, signal=number, status=None if code < 0 else code
        )

    def _signal(self, number: int) -> None:
        if not self.gone.is_set():
            self._killpg(number)

    def _killpg(self, number: int) -> None:
        if not self._is_over:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
