"""What the tests of servers share: a real one on a socket, and clients of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx2
import uvicorn
from pool_world import PATIENCE_S, until

from ullage import Ledger, Pool


class Gate:
    """A model whose use ends when the test says so."""

    def __init__(self) -> None:
        """Make one that is shut."""
        self.entered = threading.Event()
        self.opened = threading.Event()

    def run(self) -> str:
        """Wait until it is opened."""
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)
        return "through"


class Site:
    """A server that runs."""

    def __init__(self, port: int) -> None:
        """Speak to the server on a port of this machine."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def client(self) -> httpx2.Client:
        """Give a client."""
        return httpx2.Client(base_url=self.url, timeout=PATIENCE_S)

    def get(self, path: str) -> httpx2.Response:
        """Ask once."""
        with self.client() as client:
            return client.get(path)

    def post(self, path: str, **how: Any) -> httpx2.Response:
        """Ask once."""
        with self.client() as client:
            return client.post(path, **how)

    def knock(self, request: bytes) -> socket.socket:
        """Send bytes and give the connection, which the caller closes when it likes."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        connection.sendall(request)
        return connection


@contextmanager
def served(app: Any, ws: Literal["none", "auto"] = "none") -> Iterator[Site]:
    """Serve an application in a thread; with `auto`, web sockets too."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on", ws=ws)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started, "the server did not start"
        yield Site(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server did not end"


def pool_of(limit: int = 100) -> Pool:
    """Make a pool of so many bytes."""
    return Pool(Ledger(limit))


def get_request(path: str) -> bytes:
    """Give the bytes of a request."""
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


def post_request(path: str, body: bytes) -> bytes:
    """Give the bytes of a request with a body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def settle(seconds: float = 0.05) -> None:
    """Give what should not happen the time to happen."""
    time.sleep(seconds)
