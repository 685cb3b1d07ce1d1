"""One request of an ASGI server: the models that it borrowed, and whether its client is still there.

Models are given back when the application is done with the request, which is after the last byte of a stream and after
background tasks. Only while a model has to be waited for does anybody listen to the client; what it sends meanwhile
is kept for the application.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ullage.errors import ProtocolError
from ullage.pool import AsyncLease

__all__ = ["ClientGoneError", "Visit", "Visits"]

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "ullage.visit"
"""Where the scope of a request keeps its visit."""

AHEAD_BYTES = 1 << 20
"""How much is read ahead. Of a client that sends more and then goes, it is noticed when that is read."""
MESSAGE_BYTES = 256
"""What a message counts for beside what it carries, so that empty ones have an end, too."""

FAREWELLS = {"http.disconnect", "websocket.disconnect"}


class ClientGoneError(Exception):
    """The client went away while its request waited for a model; nobody will see the answer."""


class Visits:
    """Middleware that makes a `Visit` of every request."""

    def __init__(self, app: App) -> None:
        """Stand before `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and give back what it borrowed."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        visit = scope[KEY] = Visit(receive)
        try:
            await self._app(scope, visit.receive, send)
        finally:
            await visit.end()


class Visit:
    """One request."""

    __slots__ = ("_ahead", "_leases", "_reader", "_receive", "_waiting", "wanted")

    wanted: str | None
    """The model asked for last."""

    def __init__(self, receive: Receive) -> None:
        """Read messages of the client with `receive`."""
        self.wanted = None
        self._receive = receive
        self._ahead: deque[Message] | None = None
        self._leases: list[AsyncLease] = []
        self._waiting: set[asyncio.Timeout] = set()
        self._reader: asyncio.Task[None] | None = None

    @staticmethod
    def of(scope: Scope) -> "Visit":
        """Give the visit of a request. Raises `ProtocolError` where the middleware is missing."""
        visit = scope.get(KEY)
        if not isinstance(visit, Visit):
            reason = "this application was not prepared: call Serving.install(app)"
            raise ProtocolError(f"a model cannot be lent: {reason}", event="take", subject="request", reason=reason)
        return visit

    async def take(self, lease: AsyncLease) -> Any:  # noqa: ANN401 - whatever the loader made
        """Enter a lease that ends with the request; gives the model.

        Raises what entering raises, and `ClientGoneError` as soon as the client goes while the model is waited for.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience:
                begin = loop.call_soon(self._listen, patience)  # not reached by a model that is there
                try:
                    model = await lease.__aenter__()
                    self._leases.append(lease)
                finally:
                    begin.cancel()
                    await self._listen_no_more(patience)
        except TimeoutError as late:
            if not patience.expired():
                raise
            raise ClientGoneError("the client went away") from late
        return model

    async def receive(self) -> Message:
        """Give the next message of the client, for the application."""
        if self._ahead:
            return self._ahead.popleft()
        return await self._receive()

    async def end(self) -> None:
        """Give back all that was borrowed, the last first."""
        while self._leases:
            lease = self._leases.pop()
            try:
                await lease.__aexit__(None, None, None)
            except BaseException:
                await self.end()
                raise

    def _listen(self, patience: asyncio.Timeout) -> None:
        self._waiting.add(patience)
        if self._reader is None:
            self._reader = asyncio.get_running_loop().create_task(self._read())

    async def _listen_no_more(self, patience: asyncio.Timeout) -> None:
        self._waiting.discard(patience)
        reader = self._reader
        if reader is not None and not self._waiting:
            self._reader = None
            reader.cancel()
            await asyncio.wait([reader])  # else two would read at once
            if not reader.cancelled():
                reader.exception()  # a server that cannot read says so to the application as well

    async def _read(self) -> None:
        """Read ahead until the client is gone."""
        if self._ahead is None:
            self._ahead = deque()
        length = sum(map(_size, self._ahead))
        while length <= AHEAD_BYTES:
            message = await self._receive()
            self._ahead.append(message)
            if message["type"] in FAREWELLS:
                break
            length += _size(message)
        else:
            return
        now = asyncio.get_running_loop().time()
        for patience in self._waiting:
            patience.reschedule(now)


def _size(message: Message) -> int:
    """Give about how many bytes a message takes: part of a body, or what came over a web socket."""
    return MESSAGE_BYTES + sum(len(message.get(part) or b"") for part in ("body", "bytes", "text"))
