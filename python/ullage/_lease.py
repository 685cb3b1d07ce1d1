"""Leases: a model for the time of a `with` or `async with` block."""

from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ullage._core import parse_bytes
from ullage._loops import wait
from ullage._types import ByteCount
from ullage.errors import ProtocolError

if TYPE_CHECKING:
    from ullage.pooling.driver import Driver
    from ullage.pooling.need import Need

__all__ = ["AsyncLease", "SyncLease"]


class _Lease:
    """What both kinds of lease share. Entered again, a lease is one more lease."""

    __slots__ = ("_driver", "_name", "_need", "_priority", "_requests", "_timeout")

    def __init__(
        self, driver: "Driver", name: str, timeout: float | None, priority: int = 0, need: "Need | None" = None
    ) -> None:
        """Made by `Pool.lease` and `Pool.lease_sync`."""
        self._driver = driver
        self._name = name
        self._timeout = timeout
        self._priority = priority
        self._need = need
        self._requests: list[int] = []

    @property
    def place(self) -> int:
        """The number of the place where the model stands, among those it was registered with: 0 for most models.

        Raises `ProtocolError` outside of the block.
        """
        if not self._requests:
            raise ProtocolError(
                "place: the lease has not begun", event="place", subject=self._name, reason="the lease has not begun"
            )
        return self._driver.leases[self._requests[-1]].place

    def report_peak(self, workspace: ByteCount) -> None:
        """Tell how much the lease really took beside the model, at most; the pool learns from it what to book."""
        need = self._need or self._driver.needs.plain(self._name)
        self._driver.needs.report(need, parse_bytes(workspace))

    def _ask(self) -> "tuple[int, Any]":
        driver, need = self._driver, self._need
        if need is None:
            if not driver.needs.has_learned:
                return driver.ask(self._name, self._timeout, self._priority)
            need = driver.needs.learned(self._name)
        return driver.ask(self._name, self._timeout, self._priority, None if need is None else need.booked)


class AsyncLease(_Lease):
    """A model borrowed for the time of an `async with` block."""

    __slots__ = ()

    async def __aenter__(self) -> Any:  # noqa: ANN401 - whatever the loader made
        """Wait for the model; gives the object that its loader made."""
        request, got = self._ask()
        if got.__class__ is Future:
            try:
                got = await wait(got)
            except BaseException:  # a cancellation, the end of the coroutine, or the refusal itself
                self._driver.cancel(request)
                del got  # it holds its exception, whose traceback holds this frame
                raise
        self._requests.append(request)
        return got.value

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back."""
        self._driver.release(self._requests.pop(), self._need)


class SyncLease(_Lease):
    """A model borrowed for the time of a `with` block."""

    __slots__ = ()

    def __enter__(self) -> Any:  # noqa: ANN401 - whatever the loader made
        """Wait for the model; gives the object that its loader made."""
        request, got = self._ask()
        if got.__class__ is Future:
            try:
                self._driver.check_thread("lease_sync", "lease")
                got = got.result()
            except BaseException:  # whatever a signal handler raised, or the refusal itself
                self._driver.cancel(request)
                del got  # as above
                raise
        self._requests.append(request)
        return got.value

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the model back."""
        self._driver.release(self._requests.pop(), self._need)
