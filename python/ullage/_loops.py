"""Whichever event loop runs: asyncio, or trio where a program runs that."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future


__all__ = ["Home", "Outcome", "home", "in_thread", "to_its_end", "wait"]

Outcome = TypeVar("Outcome")


async def wait(future: "Future[Outcome]") -> Outcome:
    """Wait for what a thread does without blocking the loop; a wait that is cancelled cancels `future`."""
    loop = _trio()
    return await asyncio.wrap_future(future) if loop is None else await _wait_in_trio(loop, future)


async def in_thread(function: Callable[..., Outcome], *arguments: Any) -> Outcome:  # noqa: ANN401 - the function's own
    """Run a function in a thread without blocking the loop; a wait that is cancelled leaves it to itself."""
    loop = _trio()
    if loop is None:
        return await asyncio.to_thread(function, *arguments)
    outcome: Outcome = await loop.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
    return outcome


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await what ends a block. Under trio that is not cut short by the cancellation that ended the block."""
    loop = _trio()
    if loop is None:
        await work
        return
    with loop.CancelScope(shield=True):
        await work


class Home(Protocol):
    """An event loop on which coroutines are run from threads."""

    @property
    def is_running(self) -> bool:
        """Whether it runs, somewhere."""

    @property
    def is_here(self) -> bool:
        """Whether it runs in this thread, right now."""

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - the coroutine's own
        """Run a coroutine there, from another thread; gives what it gives."""


def home() -> Home:
    """Give the loop that runs here. Raises `RuntimeError` where none does."""
    loop = _trio()
    return _AsyncioHome(asyncio.get_running_loop()) if loop is None else _TrioHome(loop)


class _AsyncioHome:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def is_running(self) -> bool:
        return self._loop.is_running()

    @property
    def is_here(self) -> bool:
        return asyncio._get_running_loop() is self._loop  # noqa: SLF001 - documented, for libraries

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - as above
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class _TrioHome:
    def __init__(self, loop: Any) -> None:  # noqa: ANN401 - the module
        self._trio = loop
        self._token = loop.lowlevel.current_trio_token()

    @property
    def is_running(self) -> bool:
        try:
            self._token.run_sync_soon(int)
        except self._trio.RunFinishedError:
            return False
        return True

    @property
    def is_here(self) -> bool:
        return _trio() is not None and self._trio.lowlevel.current_trio_token() is self._token

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - as above
        async def run() -> Any:  # noqa: ANN401 - as above
            return await coroutine

        return self._trio.from_thread.run(run, trio_token=self._token)


def _trio() -> Any:  # noqa: ANN401 - a module that need not be there
    """Give trio if it runs in this thread."""
    loop = sys.modules.get("trio")
    return loop if loop is not None and loop.lowlevel.in_trio_run() else None


async def _wait_in_trio(loop: Any, future: "Future[Outcome]") -> Outcome:  # noqa: ANN401 - the module
    token, done = loop.lowlevel.current_trio_token(), loop.Event()

    def wake(_: object) -> None:
        try:
            token.run_sync_soon(done.set)
        except loop.RunFinishedError:
            return  # whoever waited is gone

    future.add_done_callback(wake)
    try:
        await done.wait()
    except BaseException:
        future.cancel()
        raise
    return future.result()
