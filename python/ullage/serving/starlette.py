"""A pool in a Starlette application: `pip install 'ullage[fastapi]'`, or Starlette alone.

serving = Serving(make_pool, timeout=30)
app = Starlette(routes=[...], lifespan=serving.lifespan)
serving.install(app)

async def embed(request):
    model = await serving.take(request, "minilm")  # given back after the last byte of the response
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ullage.errors import LeaseTimeoutError, PoolClosedError, ProtocolError, QueueFullError, UllageError
from ullage.pool import Pool
from ullage.serving.extras import needed
from ullage.serving.problem import MEDIA_TYPE, REFUSALS, problem_of
from ullage.serving.snapshot import Observer
from ullage.serving.stream import Feed
from ullage.serving.visit import ClientGoneError, Visit, Visits

needed("starlette", "fastapi")

from starlette.requests import HTTPConnection, Request  # noqa: E402 - said in one sentence where it is missing
from starlette.responses import JSONResponse, Response, StreamingResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402
from starlette.websockets import WebSocket, WebSocketState  # noqa: E402

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["Serving"]

T = TypeVar("T")
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

NGINX_CLIENT_GONE = 499
TRY_AGAIN_LATER = 1013
"""The close code of a web socket (RFC 6455 registry) whose model was refused once it was open."""
DENIAL = "websocket.http.response"
"""What a server can that answers the opening of a web socket as a request; others say 403."""
MOST_REASON = 120
"""Bytes of a close frame's reason; 123 are allowed."""
HISTORY = 100
"""How many past events a stream begins with unless it says."""
NO_STORE = {"Cache-Control": "no-store"}


class Serving:
    """A pool for the time that an application runs, lent to its requests."""

    def __init__(
        self,
        pool: Pool | Callable[[], Pool],
        *,
        timeout: float | None = 30.0,
        max_waiting: int | None = 512,
        grace: float | None = 30.0,
    ) -> None:
        """Serve models of `pool`, or of the one that it makes: a function gives each worker process a pool of its own.

        A request waits at most `timeout` seconds for its model. While `max_waiting` requests wait, another is refused
        unless its model is there. At the end the pool has `grace` seconds for leases to end, and as many to unload.
        """
        self._make = pool
        self._timeout = timeout
        self._max_waiting = max_waiting
        self._grace = grace
        self._entering = 0
        self._running: Pool | None = None
        self._observer: Observer | None = None
        self._feed: Feed | None = None

    @property
    def pool(self) -> Pool:
        """The pool. Raises `ProtocolError` outside of the application's life."""
        return self._started(self._running)

    @property
    def observer(self) -> Observer:
        """What counts. Raises `ProtocolError` outside of the application's life."""
        return self._started(self._observer)

    @asynccontextmanager
    async def lifespan(self, _app: Any = None) -> AsyncIterator[None]:  # noqa: ANN401 - any application
        """Run the pool; drain and close it at the end. Raises `LeaseTimeoutError` if it cannot be closed in time."""
        pool = self._make if isinstance(self._make, Pool) else self._make()
        await pool.__aenter__()  # its coroutine loaders run on this event loop; it is closed within a time, below
        try:
            with Observer(pool) as observer:
                self._running, self._observer, self._feed = pool, observer, Feed(pool.events)
                try:
                    yield
                finally:
                    self._started(self._feed).close()
                    self._running = self._feed = self._observer = None
        finally:
            await self._end(pool)

    async def take(self, connection: HTTPConnection, name: str, *, timeout: float | None = None) -> Any:  # noqa: ANN401, ASYNC109 - whatever the loader made; a place in a queue
        """Lend a model to a request until its response is complete, background tasks included.

        `timeout` is for this one. Raises what entering a lease raises, and `QueueFullError`; `install` makes all of
        them responses. If the client goes while it waits, its place is free at once.
        """
        pool = self.pool
        visit = Visit.of(connection.scope)
        visit.wanted = name
        if self._max_waiting is not None and self._entering >= self._max_waiting:
            self._refuse_unless_there(pool, name)
        self._entering += 1
        try:
            return await visit.take(pool.lease(name, timeout=self._timeout if timeout is None else timeout))
        except PoolClosedError:
            self.observer.count_refusal(name, "draining")
            raise
        finally:
            self._entering -= 1

    def install(self, app: "Starlette", *, prefix: str | None = "/ullage", metrics: str | None = None) -> None:
        """Prepare an application: middleware, answers for refusals, and routes.

        Below `prefix` (none for `None`, and for an application that adds `routes()` itself): `status`, `plan?model=`
        and `events`. At `metrics`, such as `/metrics`, a scrape for Prometheus, which needs the extra `metrics`.
        """
        answer: Any = self._answer  # of requests and of web sockets, for which Starlette has two types
        answer_nobody: Any = _answer_nobody
        app.add_middleware(Visits)
        for kind in REFUSALS:
            app.add_exception_handler(kind, answer)
        app.add_exception_handler(ClientGoneError, answer_nobody)
        if prefix is not None:
            app.router.routes.extend(self.routes(prefix))
        if metrics is not None:
            app.router.routes.append(Route(metrics, self._scraper(), name="ullage-metrics", include_in_schema=False))

    def routes(self, prefix: str = "/ullage") -> list[Route]:
        """Give the routes, for an application that wants to guard or mount them."""
        found: Mapping[str, Endpoint] = {"status": self._status, "plan": self._plan, "events": self._events}
        return [Route(f"{prefix}/{name}", endpoint, name=f"ullage-{name}") for name, endpoint in found.items()]

    async def _end(self, pool: Pool) -> None:
        try:
            await pool.adrain(self._grace)
        except LeaseTimeoutError:
            pass  # closing says it again if it is still so
        finally:
            await pool.aclose(self._grace)

    def _refuse_unless_there(self, pool: Pool, name: str) -> None:
        if pool.plan(name)["decision"] == "grant":
            return
        self.observer.count_refusal(name, "queue_full")
        waiting = self._entering
        raise QueueFullError(f"{waiting} requests wait already", model=name, waiting=waiting)

    async def _answer(self, connection: HTTPConnection, error: Exception) -> Response | None:
        """Make a response of a refusal."""
        if not isinstance(error, UllageError):
            raise error
        model = Visit.of(connection.scope).wanted
        observer = self._observer
        plan = None if observer is None or model is None else observer.plan(model)
        after_s = 1.0 if observer is None else observer.retry_after_s(plan)
        problem = problem_of(error, plan, after_s)
        headers = NO_STORE | problem.headers()
        response = JSONResponse(problem.document(), problem.status, headers, media_type=MEDIA_TYPE)
        if not isinstance(connection, WebSocket):
            return response
        if _can_be_denied(connection):
            await connection.send_denial_response(response)
        else:
            await connection.close(TRY_AGAIN_LATER, _cut(problem.detail))
        return None

    async def _status(self, _request: Request) -> Response:
        return JSONResponse(self.observer.snapshot().as_dict(), headers=NO_STORE)

    async def _plan(self, request: Request) -> Response:
        model = request.query_params.get("model")
        if model is None:
            wrong = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "which model? ?model=NAME"}
            return JSONResponse(wrong, 400, media_type=MEDIA_TYPE)
        return JSONResponse(self.pool.plan(model), headers=NO_STORE)

    async def _events(self, request: Request) -> Response:
        feed = self._started(self._feed)
        last = request.query_params.get("last", "")
        count = int(last) if last.isdecimal() and len(last) < 10 else HISTORY  # noqa: PLR2004 - no number is so long
        cursor = feed.cursor(request.headers.get("last-event-id"), count)
        headers = NO_STORE | {"X-Accel-Buffering": "no"}
        return StreamingResponse(feed.stream(cursor), headers=headers, media_type="text/event-stream")

    def _scraper(self) -> Endpoint:
        prometheus = needed("ullage.serving.metrics", "metrics")

        async def scrape(request: Request) -> Response:
            body, content_type = prometheus.scrape(self.observer, request.headers.get("accept", ""))
            return Response(body, headers=NO_STORE | {"Content-Type": content_type})

        return scrape

    @staticmethod
    def _started(part: T | None) -> T:
        if part is None:
            reason = "the application is not running: give it Serving.lifespan"
            raise ProtocolError(f"there is no pool: {reason}", event="take", subject="pool", reason=reason)
        return part


def _can_be_denied(socket: WebSocket) -> bool:
    """Say whether a web socket is not accepted yet, and the server can answer it as a request instead."""
    return socket.application_state is WebSocketState.CONNECTING and DENIAL in socket.scope.get("extensions", {})


def _cut(reason: str) -> str:
    """Give as much of a reason as a close frame holds."""
    return reason.encode()[:MOST_REASON].decode(errors="ignore")


async def _answer_nobody(connection: HTTPConnection, _error: Exception) -> Response | None:
    return None if isinstance(connection, WebSocket) else Response(status_code=NGINX_CLIENT_GONE)
