"""The example server, every route of it, asked by real clients; and web sockets, lent a model and refused one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from pool_world import PATIENCE_S, Thing, until
from prometheus_client.parser import text_string_to_metric_families
from serving_world import Site, get_request, pool_of, served

from ullage.serving import example
from ullage.serving.example import REAL, SYNTHETIC
from ullage.serving.fastapi import Serving

pytest.importorskip("tokenizers")

BUDGET = 700_000_000
"""Holds the real model and one or two of the others."""
SMALL, LARGE, OTHER = "ssdlite-320-mobilenet-v3-large", "all-mpnet-base-v2", "jina-embeddings-v2-base-en"
TOO_LARGE = "llava-1-5-7b"


@pytest.fixture
def site(minilm_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Give the example as it runs."""
    with running(minilm_dir, monkeypatch) as site:
        yield site


@contextmanager
def running(directory: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> Iterator[Site]:
    """Run the example with settings of its environment."""
    for name, value in {"MODEL": str(directory), "BUDGET": str(BUDGET), "TIMEOUT": "30", **more}.items():
        monkeypatch.setenv(f"ULLAGE_{name}", value)
    with served(example.app(), ws="auto") as site:
        yield site


def model_of(site: Site, name: str) -> dict[str, Any]:
    """Give what the server says of a model."""
    found = next(row for row in site.get("/ullage/status").json()["models"] if row["name"] == name)
    return dict(found)


def test_the_real_model_embeds_and_says_what_is_alike(site: Site) -> None:
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Quarterly revenue grew by nine percent."]
    answer = site.post("/embed", json={"texts": texts})
    assert answer.status_code == 200
    first, second, third = answer.json()
    assert len(first) == 384
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-5)

    def alike(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert alike(first, second) > 0.5 > alike(first, third)
    row = model_of(site, REAL)
    assert (row["state"], row["loads"], row["leases"], row["pinned"]) == ("ready", 1, 0, True)


@pytest.mark.parametrize("body", [{"texts": []}, {"texts": ["x"] * 65}, {}, {"texts": "x"}], ids=str)
def test_a_wrong_body_is_no_matter_of_the_pool(site: Site, body: object) -> None:
    assert site.post("/embed", json=body).status_code == 422
    until(lambda: model_of(site, REAL)["leases"] == 0)


def test_models_take_turns_under_the_budget(site: Site) -> None:
    for name in (LARGE, OTHER, LARGE, SMALL):
        answer = site.post(f"/models/{name}/run")
        assert (answer.status_code, answer.json()) == (200, {"model": name})
    status = site.get("/ullage/status").json()
    assert sum(row["evictions"] for row in status["models"]) >= 1
    (account,) = status["accounts"]
    assert account["peak"] <= BUDGET


def test_what_cannot_be_is_said_by_its_type(site: Site) -> None:
    too_large = site.post(f"/models/{TOO_LARGE}/run")
    assert (too_large.status_code, too_large.json()["type"]) == (507, "urn:ullage:problem:impossible")
    unknown = site.post("/models/whisper-tinny/run")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:ullage:problem:unknown-model")
    assert unknown.json()["model"] == "whisper-tinny"


def test_a_stream_comes_piece_by_piece(site: Site) -> None:
    lines = site.get(f"/models/{SMALL}/stream").text.splitlines()
    assert lines == [f"{SMALL} {number}" for number in range(example.PIECES)]
    until(lambda: model_of(site, SMALL)["leases"] == 0)


def test_who_leaves_a_stream_or_a_queue_leaves_nothing_behind(
    minilm_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "PIECES", 1_000_000)
    with running(minilm_dir, monkeypatch) as site:
        streaming = site.knock(get_request(f"/models/{LARGE}/stream"))
        assert streaming.recv(1000).startswith(b"HTTP/1.1 200")
        until(lambda: model_of(site, LARGE)["leases"] == 1)
        waiting = site.knock(get_request(f"/models/{OTHER}/stream"))  # both do not fit at once
        until(lambda: model_of(site, OTHER)["waiting"] == 1)
        waiting.close()
        until(lambda: model_of(site, OTHER)["waiting"] == 0)
        assert model_of(site, LARGE)["leases"] == 1
        streaming.close()
        until(lambda: model_of(site, LARGE)["leases"] == 0)
        assert site.post(f"/models/{OTHER}/run").status_code == 200
        assert site.get("/ullage/status").json()["abandoned"] == {OTHER: 1}


def test_the_routes_that_look_in(site: Site) -> None:
    site.post(f"/models/{SMALL}/run")
    assert site.get(f"/ullage/plan?model={SMALL}").json()["decision"] == "grant"
    scrape = site.get("/metrics").text
    names = {family.name for family in text_string_to_metric_families(scrape)}
    assert {"ullage_account_booked_bytes", "ullage_cold_starts"} <= names
    schema = site.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/embed", "/models/{name}/run", "/models/{name}/stream"}
    with site.client() as client, client.stream("GET", "/ullage/events") as stream:
        assert any(line == "event: grant" for line in stream.iter_lines())


def test_every_model_of_the_example_is_in_the_catalog_and_one_can_never_be_had(site: Site) -> None:
    rows = {row["name"]: row for row in site.get("/ullage/status").json()["models"]}
    assert set(rows) == {REAL, *SYNTHETIC}
    assert rows[TOO_LARGE]["estimated"] > BUDGET


def asgi(app: Any) -> Any:
    """Give a client of an application in this process, which speaks web sockets."""
    testclient = pytest.importorskip("starlette.testclient")
    return testclient.TestClient(app)


class Sockets:
    """An application with a web socket, and another that borrows after it was opened."""

    def __init__(self) -> None:
        """Serve a pool of 100 bytes."""
        self.pool = pool_of()
        self.pool.register("small", load=Thing, footprint=60)
        self.pool.register("other", load=Thing, footprint=60)
        self.pool.register("huge", load=Thing, footprint=101)
        self.serving = Serving(self.pool, timeout=0.1, grace=PATIENCE_S)
        self.app = FastAPI(lifespan=self.serving.lifespan)
        self.serving.install(self.app)
        self.app.add_api_websocket_route("/talk/{name}", self.talk())
        self.app.add_api_websocket_route("/late/{name}", self.late)

    def talk(self) -> Any:
        """Give a route that is lent its model before it is opened."""
        lent = self.serving.lease(path="name")

        async def talk(socket: WebSocket, model: Any = lent) -> None:
            await socket.accept()
            await socket.send_text(f"{model.name}: {await socket.receive_text()}")
            await socket.close()

        return talk

    async def late(self, socket: WebSocket) -> None:
        """Open, and borrow then."""
        await socket.accept()
        model = await self.serving.take(socket, str(socket.path_params["name"]))
        await socket.send_text(model.name)
        await socket.close()

    def leases(self) -> int:
        """Count the leases."""
        return sum(int(row["leases"]) for row in self.pool.status())


def test_a_web_socket_keeps_its_model_while_it_is_open() -> None:
    world = Sockets()
    with asgi(world.app) as client:
        with client.websocket_connect("/talk/small") as socket:
            until(lambda: world.leases() == 1)
            socket.send_text("hello")
            assert socket.receive_text() == "thing: hello"
        until(lambda: world.leases() == 0)


def test_a_web_socket_that_is_refused_is_answered_as_a_request_is() -> None:
    denial: Any = pytest.importorskip("starlette.testclient").WebSocketDenialResponse
    world = Sockets()
    with asgi(world.app) as client, client.websocket_connect("/talk/small") as first:
        with pytest.raises(denial) as refused, client.websocket_connect("/talk/other"):
            raise AssertionError("it was opened")
        response: Any = refused.value
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert int(response.headers["retry-after"]) >= 1
        with pytest.raises(denial) as refused, client.websocket_connect("/talk/huge"):
            raise AssertionError("it was opened")
        response = refused.value
        assert (response.status_code, response.json()["requested"]) == (507, 101)
        assert world.leases() == 1
        first.send_text("bye")
        assert first.receive_text() == "thing: bye"


def test_a_web_socket_that_is_open_is_closed_with_try_again_later() -> None:
    websockets = pytest.importorskip("starlette.websockets")
    world = Sockets()
    with asgi(world.app) as client, client.websocket_connect("/late/huge") as socket:
        with pytest.raises(websockets.WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 1013
        assert "101 B" in closed.value.reason


async def test_a_server_that_cannot_deny_closes_a_web_socket() -> None:
    world = Sockets()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "websocket", "path": "/talk/huge", "headers": [], "query_string": b"", "subprotocols": []}
    async with world.serving.lifespan():
        await world.app({**scope, "scheme": "ws", "extensions": {}}, receive, send)
    (closed,) = sent
    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)
    assert len(closed["reason"].encode()) <= 123


def test_real_web_sockets_of_the_example(minilm_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exceptions = pytest.importorskip("websockets.exceptions", reason="the package websockets is not installed")
    connect = pytest.importorskip("websockets.sync.client").connect
    with running(minilm_dir, monkeypatch, TIMEOUT="5") as site:
        url = f"ws://127.0.0.1:{site.port}/models"
        with connect(f"{url}/{LARGE}/talk") as socket:
            socket.send("something")
            assert socket.recv(PATIENCE_S) == f"{LARGE} heard something"
            for name, status in ((OTHER, 503), (TOO_LARGE, 507), ("nobody", 404)):
                with pytest.raises(exceptions.InvalidStatus) as refused, connect(f"{url}/{name}/talk"):
                    raise AssertionError("it was opened")
                assert refused.value.response.status_code == status
                assert json.loads(refused.value.response.body or b"")["status"] == status
        until(lambda: model_of(site, LARGE)["leases"] == 0)
        with connect(f"{url}/{OTHER}/talk") as socket:
            socket.send("again")
            assert socket.recv(PATIENCE_S) == f"{OTHER} heard again"
