"""Leases: a model for the time of a `with` or `async with` block."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ullage.pool import Pool

__all__ = ["AsyncLease", "SyncLease"]


class _Lease:
    """What both kinds of lease share. Entered again, a lease is one more lease."""

    __slots__ = ("_name", "_pool", "_requests", "_timeout")

    def __init__(self, pool: "Pool", name: str, timeout: float | None) -> None:
        """Made by `Pool.lease` and `Pool.lease_sync`."""
        self._pool = pool
        self._name = name
        self._timeout = timeout
        self._requests: list[int] = []


class AsyncLease(_Lease):
    """A model borrowed for the time of an `async with` block."""

    __slots__ = ()

    async def __aenter__(self) -> Any:  # noqa: ANN401 - whatever the loader made
        """Wait for the model; gives the object that its loader made."""
        pool = self._pool
        request, future = pool._ask(self._name, self._timeout)
        if future is not None:
            try:
                await asyncio.wrap_future(future)
            except BaseException:  # a cancellation, the end of the coroutine, or the refusal itself
                pool._cancel(request)
                raise
            finally:
                del future  # it holds its exception, whose traceback holds this frame
        self._requests.append(request)
        return pool._residents[self._name].value

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back."""
        self._pool._release(self._requests.pop())


class SyncLease(_Lease):
    """A model borrowed for the time of a `with` block."""

    __slots__ = ()

    def __enter__(self) -> Any:  # noqa: ANN401 - whatever the loader made
        """Wait for the model; gives the object that its loader made."""
        pool = self._pool
        request, future = pool._ask(self._name, self._timeout)
        if future is not None:
            try:
                pool._check_thread("lease_sync", "lease")
                future.result()
            except BaseException:  # whatever a signal handler raised, or the refusal itself
                pool._cancel(request)
                raise
            finally:
                del future  # it holds its exception, whose traceback holds this frame
        self._requests.append(request)
        return pool._residents[self._name].value

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back."""
        self._pool._release(self._requests.pop())
