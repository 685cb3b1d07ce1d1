"""A pool in a FastAPI application: `pip install 'ullage[fastapi]'`.

serving = Serving(make_pool, timeout=30)
app = FastAPI(lifespan=serving.lifespan)
serving.install(app, metrics="/metrics")

@app.post("/embed", responses=RESPONSES)
def embed(text: str, model: Annotated[MiniLM, serving.lease("minilm")]) -> list[float]:
    return model.embed(text).tolist()
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from ullage.errors import ArgumentError
from ullage.serving import starlette
from ullage.serving.extras import needed
from ullage.serving.problem import MEDIA_TYPE, SCHEMA

needed("fastapi", "fastapi")

from fastapi import APIRouter, Depends  # noqa: E402 - said in one sentence where it is missing
from starlette.requests import HTTPConnection  # noqa: E402

__all__ = ["RESPONSES", "Serving"]

Borrow: TypeAlias = Callable[[HTTPConnection], Awaitable[Any]]


def _described(text: str) -> dict[str, Any]:
    return {"description": text, "content": {MEDIA_TYPE: {"schema": SCHEMA}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    404: _described("There is no such model"),
    503: _described("The model cannot be had now; Retry-After says when to ask again")
    | {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}},
    507: _described("The model can never fit"),
}
"""What a route that leases may answer besides its own, for `responses=`."""


class Serving(starlette.Serving):
    """A pool for the time that an application runs, lent to its requests."""

    @cached_property
    def _borrowers(self) -> dict[tuple[str | None, str | None, float | None], Borrow]:
        """The dependencies made so far: FastAPI calls the same one once for a request."""
        return {}

    def lease(self, name: str | None = None, *, path: str | None = None, timeout: float | None = None) -> Any:  # noqa: ANN401 - FastAPI's own marker has no public type
        """Give a dependency that borrows a model for a request: `model: Annotated[T, serving.lease("minilm")]`.

        The model is called `name`, or as the path parameter `path` says. It is given back after the last byte of the
        response. Asked for twice by one request it is borrowed once, if by the same arguments.
        """
        if (name is None) == (path is None):
            raise ArgumentError("lease: one of name and path is needed", name="name", reason="no name")
        key = (name, path, timeout)
        borrow = self._borrowers.get(key)
        if borrow is None:

            async def borrow(connection: HTTPConnection) -> Any:  # noqa: ANN401 - whatever the loader made
                wanted = name if path is None else connection.path_params.get(path)
                if wanted is None:
                    reason = f"the route {connection.url.path!r} has no parameter {path!r}"
                    raise ArgumentError(f"lease: {reason}", name="path", reason=reason)
                return await self.take(connection, str(wanted), timeout=timeout)

            self._borrowers[key] = borrow
        return Depends(borrow)

    def router(self, prefix: str = "/ullage", *, dependencies: Sequence[Any] | None = None) -> APIRouter:
        """Give `status`, `plan` and `events` as a router, for an application that wants to guard them."""
        router = APIRouter(prefix=prefix, dependencies=dependencies, tags=["ullage"])
        for path, endpoint in (("/status", self._status), ("/plan", self._plan), ("/events", self._events)):
            router.add_api_route(path, endpoint, include_in_schema=False, response_model=None)
        return router
