"""Models lent to requests of a real server: whole answers, typed refusals, and clients that go away."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Request
from fastapi.responses import StreamingResponse
from pool_world import PATIENCE_S, Thing, in_thread, row, state, until
from serving_world import Gate, get_request, pool_of, post_request, served, settle
from starlette.background import BackgroundTask

from ullage import Pool
from ullage.errors import ArgumentError, LeaseTimeoutError, ProtocolError
from ullage.serving.fastapi import RESPONSES, Serving


class World:
    """An application with a few models and routes for them."""

    def __init__(self, pool: Pool, **options: Any) -> None:
        """Serve `pool`."""
        self.pool = pool
        self.serving = Serving(pool, **{"timeout": PATIENCE_S, "grace": PATIENCE_S, **options})
        self.app = FastAPI(lifespan=self.serving.lifespan)
        self.serving.install(self.app)
        serving = self.serving
        lent = serving.lease(path="name")

        @self.app.get("/use/{name}", responses=RESPONSES)
        def use(model: Annotated[Any, lent], again: Annotated[Any, lent]) -> str:
            assert model is again
            return str(model.run() if isinstance(model, Gate) else model.name)

        @self.app.post("/json/{name}")
        def read_json(model: Annotated[Any, lent], size: Annotated[int, Body(embed=True)]) -> int:
            assert model is not None
            return size

        @self.app.post("/raw/{name}")
        async def read_raw(request: Request, model: Annotated[Any, lent]) -> int:
            assert model is not None
            return len(await request.body())

        @self.app.get("/hurried/{name}")
        def hurry(model: Annotated[Any, serving.lease(path="name", timeout=0.05)]) -> str:
            return str(model.name)

        @self.app.get("/broken/{name}")
        def fail(model: Annotated[Any, lent]) -> str:
            raise RuntimeError(f"{model.name} is no help")

    def leases(self, name: str) -> int:
        """Count the leases of a model."""
        return int(row(self.pool, name)["leases"])

    def waiting(self, name: str) -> int:
        """Count those who wait for a model."""
        return int(row(self.pool, name)["waiting"])


def test_a_request_borrows_a_model_and_gives_it_back() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)
    with served(world.app) as site:
        answer = site.get("/use/a")
        assert (answer.status_code, answer.json()) == (200, "thing")
        until(lambda: world.leases("a") == 0)
        assert (row(world.pool, "a")["loads"], len(world.pool.events())) == (1, 6)
    assert world.pool.account.used == 0


def test_what_a_sync_route_used_can_be_evicted_at_once() -> None:
    world = World(pool_of())
    for name in ("a", "b"):
        world.pool.register(name, load=Thing, footprint=60)
    with served(world.app) as site, site.client() as client:
        for name in "abab":
            assert client.get(f"/use/{name}").status_code == 200
    assert [row(world.pool, name)["loads"] for name in "ab"] == [2, 2]


def test_a_wait_in_vain_is_503_with_the_numbers() -> None:
    world = World(pool_of())
    world.pool.register("busy", load=Gate, footprint=60, workspace=10)
    world.pool.register("late", load=Thing, footprint=60)
    with served(world.app) as site:
        holder = in_thread(lambda: site.get("/use/busy"))
        until(lambda: world.leases("busy") == 1)
        answer = site.get("/hurried/late")
        with world.pool.lease_sync("busy") as gate:
            gate.opened.set()
        del gate
        assert holder.result(PATIENCE_S).json() == "through"
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    document = answer.json()
    assert document["type"] == "urn:ullage:problem:timeout"
    assert (document["status"], document["model"], document["requested"]) == (503, "late", 60)
    assert (document["available"], document["blocked_by"]) == (30, ["busy"])
    assert document["waited_s"] >= 0.05


def test_a_model_that_can_never_fit_is_507() -> None:
    world = World(pool_of())
    world.pool.register("huge", load=Thing, footprint=101)
    with served(world.app) as site:
        answer = site.get("/use/huge")
    assert answer.status_code == 507
    assert "retry-after" not in answer.headers
    document = answer.json()
    assert [document[key] for key in ("requested", "available", "limit", "blocked_by")] == [101, 100, 100, []]


def test_a_model_that_does_not_fit_beside_pins_is_503() -> None:
    world = World(pool_of())
    world.pool.register("pinned", load=Thing, footprint=60, pinned=True)
    world.pool.register("other", load=Thing, footprint=60)
    with served(world.app) as site:
        assert site.get("/use/pinned").status_code == 200
        answer = site.get("/use/other")
    assert (answer.status_code, answer.json()["blocked_by"]) == (503, ["pinned"])
    assert (answer.json()["type"], answer.json()["available"]) == ("urn:ullage:problem:blocked", 40)


def test_an_unknown_model_is_404() -> None:
    world = World(pool_of())
    with served(world.app) as site:
        answer = site.get("/use/nobody")
    assert (answer.status_code, answer.json()["model"]) == (404, "nobody")
    assert answer.json()["type"] == "urn:ullage:problem:unknown-model"


def test_a_load_that_fails_is_500_and_keeps_its_reason_to_itself() -> None:
    def load() -> Thing:
        raise OSError("/secret/path is gone")

    world = World(pool_of())
    world.pool.register("a", load=load, footprint=60)
    with served(world.app) as site:
        answer = site.get("/use/a")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:ullage:problem:load-failed")
    assert "secret" not in answer.text


def test_a_pool_that_drains_is_503() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)
    with served(world.app) as site:
        world.pool.drain(PATIENCE_S)
        answer = site.get("/use/a")
        counts = world.serving.observer.snapshot().refusals
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:ullage:problem:closed")
    assert "retry-after" in answer.headers
    assert counts == {("a", "draining"): 1}


def test_an_error_of_the_route_gives_the_model_back() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)
    with served(world.app) as site:
        assert site.get("/broken/a").status_code == 500
        until(lambda: world.leases("a") == 0)
        assert site.get("/use/a").status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [get_request("/use/a"), post_request("/json/a", b'{"size": 3}'), post_request("/raw/a", b"x" * 70_000)],
    ids=["get", "json", "raw"],
)
def test_a_client_that_goes_while_it_waits_leaves_at_once(request_bytes: bytes) -> None:
    world = World(pool_of())
    world.pool.register("a", load=Gate, footprint=60, max_concurrency=1)
    with served(world.app) as site:
        holder = in_thread(lambda: site.get("/use/a"))
        until(lambda: world.leases("a") == 1)
        connection = site.knock(request_bytes)
        until(lambda: world.waiting("a") == 1)
        connection.close()
        until(lambda: world.waiting("a") == 0)
        assert world.leases("a") == 1, "the place is free long before the model is"
        assert world.serving.observer.snapshot().abandoned == {"a": 1}
        gate = world.pool._driver.residents["a"].instances[0].value  # noqa: SLF001 - a lease would wait
        gate.opened.set()
        del gate
        assert holder.result(PATIENCE_S).status_code == 200
        until(lambda: world.leases("a") == 0)


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_a_body_that_came_while_its_request_waited_is_whole(size: int) -> None:
    world = World(pool_of())
    world.pool.register("a", load=Gate, footprint=60, max_concurrency=1)
    with served(world.app) as site:
        holder = in_thread(lambda: site.get("/use/a"))
        until(lambda: world.leases("a") == 1)
        waiter = in_thread(lambda: site.post("/raw/a", content=b"x" * size))
        until(lambda: world.waiting("a") == 1)
        settle()
        gate = world.pool._driver.residents["a"].instances[0].value  # noqa: SLF001 - a lease would wait
        gate.opened.set()
        del gate
        assert waiter.result(PATIENCE_S).json() == size
        assert holder.result(PATIENCE_S).status_code == 200


def streaming(world: World, is_done: asyncio.Event | None = None) -> None:
    """Add a route that answers piece by piece."""

    @world.app.get("/stream/{name}")
    async def stream(model: Annotated[Any, world.serving.lease(path="name")]) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield model.name.encode()
            while is_done is None or not is_done.is_set():
                yield b"." * 1000
                await asyncio.sleep(0.005)

        return StreamingResponse(pieces())


def test_a_stream_holds_its_model_until_the_last_byte() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)
    world.pool.register("b", load=Thing, footprint=60)
    is_done = asyncio.Event()
    streaming(world, is_done)
    with served(world.app) as site, site.client() as client, client.stream("GET", "/stream/a") as answer:
        pieces = answer.iter_raw()
        assert next(pieces).startswith(b"thing")
        assert (world.leases("a"), site.get("/hurried/b").status_code) == (1, 503)
        is_done.set()
        assert set(b"".join(pieces)) <= {ord(".")}
        until(lambda: world.leases("a") == 0)
        assert site.get("/use/b").status_code == 200


def test_a_client_that_leaves_a_stream_gives_its_model_back() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)
    streaming(world)
    with served(world.app) as site:
        connection = site.knock(get_request("/stream/a"))
        assert connection.recv(100)
        assert world.leases("a") == 1
        connection.close()
        until(lambda: world.leases("a") == 0)


def test_a_background_task_still_has_its_model() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)
    leases: list[int] = []

    @world.app.get("/later/{name}")
    def later(model: Annotated[Any, world.serving.lease(path="name")]) -> StreamingResponse:
        task = BackgroundTask(lambda: leases.append(world.leases(model.name and "a")))
        return StreamingResponse(iter([b"done"]), background=task)

    with served(world.app) as site:
        assert site.get("/later/a").text == "done"
        until(lambda: world.leases("a") == 0)
    assert leases == [1]


def test_a_full_queue_refuses_and_lets_hits_pass() -> None:
    world = World(pool_of(), max_waiting=1)
    world.pool.register("busy", load=Gate, footprint=40, max_concurrency=1)
    world.pool.register("warm", load=Thing, footprint=40)
    with served(world.app) as site:
        assert site.get("/use/warm").status_code == 200
        holder = in_thread(lambda: site.get("/use/busy"))
        until(lambda: world.leases("busy") == 1)
        waiter = in_thread(lambda: site.get("/use/busy"))
        until(lambda: world.waiting("busy") == 1)
        refused = site.get("/use/busy")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:ullage:problem:queue-full")
        assert "retry-after" in refused.headers
        assert site.get("/use/warm").status_code == 200
        gate = world.pool._driver.residents["busy"].instances[0].value  # noqa: SLF001 - a lease would wait
        gate.opened.set()
        del gate
        assert [done.result(PATIENCE_S).status_code for done in (holder, waiter)] == [200, 200]
        assert world.serving.observer.snapshot().refusals == {("busy", "queue_full"): 1}


def test_status_and_plan() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)
    with served(world.app) as site:
        site.get("/use/a")
        until(lambda: world.leases("a") == 0)
        status = site.get("/ullage/status").json()
        assert status["accounts"] == [
            {"account": "pool", "booked": 60, "peak": 60, "limit": None, "available": 40},
        ]
        (model,) = status["models"]
        assert (model["name"], model["state"], model["booked"], model["oldest_wait_s"]) == ("a", "ready", 60, None)
        assert status["grants"] == {"a": 1}
        assert site.get("/ullage/plan?model=a").json()["decision"] == "grant"
        assert site.get("/ullage/plan").status_code == 400
        assert site.get("/ullage/plan?model=x").status_code == 404


def test_refusals_are_part_of_the_schema() -> None:
    responses = World(pool_of()).app.openapi()["paths"]["/use/{name}"]["get"]["responses"]
    assert {"200", "404", "503", "507"} <= set(responses)
    assert "application/problem+json" in responses["507"]["content"]


def test_the_routes_can_be_guarded() -> None:
    serving = Serving(pool_of())
    app = FastAPI(lifespan=serving.lifespan)
    serving.install(app, prefix=None)
    asked: list[str] = []

    def guard(request: Request) -> None:
        asked.append(request.url.path)

    from fastapi import Depends  # noqa: PLC0415 - only here

    app.include_router(serving.router(dependencies=[Depends(guard)]))
    with served(app) as site:
        assert site.get("/ullage/status").status_code == 200
    assert asked == ["/ullage/status"]


def test_each_life_of_an_application_has_a_pool_of_its_own() -> None:
    made: list[Pool] = []

    def make() -> Pool:
        made.append(pool_of())
        made[-1].register("a", load=Thing, footprint=60)
        return made[-1]

    serving = Serving(make)
    app = FastAPI(lifespan=serving.lifespan)
    serving.install(app)
    for _ in range(2):
        with served(app) as site:
            assert site.get("/ullage/status").status_code == 200
    assert len(made) == 2
    assert [state(pool, "a") for pool in made] == ["cold", "cold"]


async def test_the_end_does_not_wait_for_ever_for_a_lease() -> None:
    pool = pool_of()
    pool.register("a", load=Thing, footprint=60)
    serving = Serving(pool, grace=0.05)
    lease = pool.lease("a")
    with pytest.raises(LeaseTimeoutError, match="still in use"):
        async with serving.lifespan():
            await lease.__aenter__()
    await lease.__aexit__(None, None, None)
    await pool.aclose(PATIENCE_S)


def test_outside_of_its_life_there_is_no_pool() -> None:
    serving = Serving(pool_of)
    with pytest.raises(ProtocolError, match=r"give it Serving\.lifespan"):
        _ = serving.pool


def test_a_lease_needs_one_name() -> None:
    serving = Serving(pool_of)
    with pytest.raises(ArgumentError, match="one of name and path"):
        serving.lease()
    with pytest.raises(ArgumentError, match="one of name and path"):
        serving.lease("a", path="b")


def test_a_route_without_the_parameter_says_so() -> None:
    world = World(pool_of())

    @world.app.get("/bare")
    def bare(model: Annotated[Any, world.serving.lease(path="name")]) -> str:
        return str(model)

    with served(world.app) as site:
        assert site.get("/bare").status_code == 500


def events_of(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Give id, kind and data of each event of a stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


def test_events_are_streamed_and_resumed() -> None:
    world = World(pool_of())
    world.pool.register("a", load=Thing, footprint=60)

    def read(query: str, most: int, **headers: str) -> list[tuple[str, str, dict[str, Any]]]:
        text = ""
        with site.client() as client, client.stream("GET", f"/ullage/events{query}", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for piece in answer.iter_text():
                text += piece
                found = events_of(text.rpartition("\n\n")[0])
                if len(found) >= most:
                    return found
        raise AssertionError("the stream ended")

    with served(world.app) as site:
        site.get("/use/a")
        until(lambda: world.leases("a") == 0)
        whole = read("", 6)
        assert [data for _, _, data in whole] == world.pool.events()
        assert [kind for _, kind, _ in whole] == ["request", "queue", "load", "loaded", "grant", "released"]
        assert len({name for name, _, _ in whole}) == 6
        for seen in range(5):
            rest = read("", 5 - seen, **{"Last-Event-ID": whole[seen][0]})
            assert rest == whole[seen + 1 :]
        assert read("?last=2", 2) == whole[4:]
        assert read("", 6, **{"Last-Event-ID": "nonsense-1-x"}) == whole

        def use_later() -> None:
            settle(0.3)
            site.get("/use/a")

        in_thread(use_later)
        later = read("?last=0", 3)
        assert [kind for _, kind, _ in later] == ["request", "grant", "released"]
