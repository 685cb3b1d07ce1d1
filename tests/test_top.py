"""`ullage top`: what one frame says, from a file, a server and a pool, and what is refused."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI
from pool_world import PATIENCE_S, in_thread, until
from rich.console import Console
from serving_world import Gate, served

import ullage
from ullage.cli.app import app
from ullage.errors import ProblemError, UnreadableError
from ullage.serving.fastapi import Serving
from ullage.top import Snapshot
from ullage.top.frame import frame
from ullage.top.source import Server, opened


def model(name: str, state: str = "ready", **more: Any) -> dict[str, Any]:
    row = {"name": name, "state": state, "pinned": False, "leases": 0, "waiting": 0, "estimated": 4 * 10**9}
    row |= {"booked": 5 * 10**9, "measured": None, "loads": 1, "evictions": 0}
    return row | more


def status(booked: int = 60 * 10**9) -> dict[str, Any]:
    accounts = [{"account": "gpu0/pool", "booked": booked, "peak": 70 * 10**9, "limit": 80 * 10**9, "available": 0}]
    models = [
        model("llama", measured=6 * 10**9, pinned=True, leases=2),
        model("sdxl", "loading", waiting=3, oldest_wait_s=2.25, evictions=7),
    ]
    return {"accounts": accounts, "models": models, "refusals": [], "pressure": None}


EVENTS = [
    {"time_s": 0.1, "event": "request", "model": "sdxl", "request": 1},
    {"time_s": 0.1, "event": "queue", "request": 1, "behind": "load"},
    {"time_s": 0.2, "event": "load", "model": "sdxl"},
    {"time_s": 9.5, "event": "refuse", "request": 2, "denial": {"reason": "timeout"}},
]


def run(*words: object, width: int = 100) -> Result:
    environment = {"COLUMNS": str(width), "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, ["top", *map(str, words)], prog_name="ullage")


def lines(path: Path, *snapshots: object) -> Path:
    path.write_text("".join(json.dumps(snapshot) + "\n" for snapshot in snapshots), encoding="utf-8")
    return path


def test_once_prints_the_last_frame_of_a_file(tmp_path: Path) -> None:
    done = run(lines(tmp_path / "a.jsonl", status(10**9), status() | {"events": EVENTS}), "--once")
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    assert "60.00 GB 80.00 GB 75% 70.00 GB" in text
    assert "2 models, 1 ready, 2 leases, 3 waiting, the longest for 2.2 s" in text
    assert "llama (pinned) ready 2 0 4.00 GB 5.00 GB 6.00 GB 1 0" in text
    assert "sdxl loading 0 3 4.00 GB 5.00 GB - 1 7" in text
    assert "0.10 s queue sdxl behind load" in text
    assert "9.50 s refuse timeout" in text
    assert text.index("sdxl loading") < text.index("llama")  # who is waited for comes first


@pytest.mark.parametrize("width", [24, 40, 71, 72, 100, 200])
def test_frames_are_never_wider_or_higher_than_the_terminal(width: int) -> None:
    names = [model(f"model-{number}-with-a-long-name-\x1b[31m", waiting=number % 3) for number in range(200)]
    snapshot = Snapshot.of_data(status()["accounts"], names, EVENTS * 30)
    for height in (12, 24, 50):
        console = Console(width=width, record=True, color_system=None, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
        with console.capture() as captured:
            console.print(frame(snapshot, width, height))
        console.file.close()
        text = captured.get().rstrip("\n").split("\n")
        assert max(map(len, text)) <= width
        if width >= 72:
            assert len(text) <= height
        assert "\x1b" not in captured.get()


def test_decisions_keep_their_time_and_say_refusals_in_words() -> None:
    denial = {"reason": "too_large", "requested": 30 * 10**9, "available": 20 * 10**9, "blocked_by": ["a", "b"] * 9}
    refusals = [{"time_s": 12.5, "event": "refuse", "model": "x", "denial": denial}]
    snapshot = Snapshot.of_data(status()["accounts"], [model("long" * 9, state="compressing")], refusals)
    for width in (60, 72, 80, 95, 96, 200):
        console = Console(width=width, color_system=None)
        with console.capture() as captured:
            console.print(frame(snapshot, width))
        text = captured.get()
        assert "12.50 s  refuse  x too large, needs" in text
        assert "compressing" in text
        assert "{" not in text
        assert max(map(len, text.split("\n"))) <= width
    odd = [{"time_s": 1, "event": "refuse", "denial": what} for what in (3, {"requested": -1, "available": 2**70})]
    assert [decision.about for decision in Snapshot.of_data([], [], odd).decisions] == [(("", "3"),), (("", ""),)]


def test_a_file_is_played_to_its_end(tmp_path: Path) -> None:
    done = run(lines(tmp_path / "a.jsonl", *(status(count * 10**9) for count in (1, 2, 3))), "--interval", "0.05")
    assert done.exit_code == 0, done.output
    assert "3.00 GB" in done.stdout


def test_a_pool_is_seen_as_it_is() -> None:
    ledger = ullage.Ledger(limit="20GB")
    with ullage.Pool(ledger) as pool:
        pool.register("a", load=object, footprint="5GB")
        with pool.lease_sync("a"):
            account = pool.account
            row = {"account": account.path, "booked": account.used, "peak": account.peak, "limit": account.limit}
            seen = Snapshot.of_data([row], pool.status(), pool.events())
        assert seen.accounts[0].booked == 5 * 10**9
        assert (seen.models[0].name, seen.models[0].leases, seen.models[0].state) == ("a", 1, "ready")
        assert [decision.event for decision in seen.decisions][-1] == "grant"
        assert {name for decision, name in seen.named(seen.decisions) if decision.event == "grant"} == {"a"}


class Routes(http.server.BaseHTTPRequestHandler):
    """A server with the routes of a serving pool."""

    def do_GET(self) -> None:
        """Answer what a pool would."""
        routes = {"/ullage/status": json.dumps(status()), "/other/status": json.dumps(status()), "/odd/status": "[]"}
        path = self.path.partition("?")[0]
        if path == "/ullage/events":
            content = "retry: 1000\n\n" + "".join(f"id: 1\ndata: {json.dumps(row)}\n\n" for row in EVENTS)
        elif path in routes:
            content = routes[path]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Routes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["", "/", "/ullage", "/ullage/", "/ullage/status"])
def test_a_server_is_asked_for_status_and_events(server: str, path: str) -> None:
    done = run(server + path, "--once")
    assert done.exit_code == 0, done.output
    assert "sdxl" in done.stdout
    assert "behind load" in done.stdout


def test_a_server_without_events_is_shown_without_decisions(server: str) -> None:
    snapshots = opened(f"{server}/other/status")
    for _ in range(2):
        snapshot = snapshots()
        assert snapshot is not None
        assert snapshot.decisions == ()


def test_who_does_not_answer_is_named(server: str) -> None:
    assert "404" in run(f"{server}/nothing", "--once").stderr
    assert "must be one JSON object" in run(f"{server}/odd", "--once").stderr
    assert "refused" in run("http://127.0.0.1:9", "--once").stderr
    assert "neither http" in run("ftp://somewhere", "--once").stderr


def test_a_real_server_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ullage.Pool(ullage.Ledger("20GB"))
    for name, size in (("busy", "12GB"), ("late", "12GB"), ("idle", "3GB"), ("huge", "30GB")):
        pool.register(name, load=Gate if name == "busy" else object, footprint=size, pinned=name == "idle")
    serving = Serving(pool, timeout=PATIENCE_S)
    application = FastAPI(lifespan=serving.lifespan)
    serving.install(application)

    @application.get("/use/{name}")
    def use(name: str, model: Annotated[Any, serving.lease(path="name")]) -> str:
        return str(model.run() if isinstance(model, Gate) else name)

    with served(application) as site:
        assert [site.get(f"/use/{name}").status_code for name in ("idle", "huge")] == [200, 507]
        holder = in_thread(lambda: site.get("/use/busy"))
        until(lambda: any(row["leases"] for row in pool.status()))
        waiter = in_thread(lambda: site.get("/use/late"))
        until(lambda: any(row["waiting"] for row in pool.status()))
        for width in (60, 72, 100, 140, 200):
            done = run(site.url, "--once", width=width)
            assert done.exit_code == 0, done.output
            text = done.stdout.split("\n")
            assert max(map(len, text)) <= width
            assert "12.00 GB" in done.stdout
            assert "15.00 GB 20.00 GB 75%" in " ".join(done.stdout.split()), "what the ledger leaves is the limit"
            assert "1 lease, 1 waiting, the longest for" in " ".join(done.stdout.split())
            rows = [line.split()[0] for line in text if line.split()[:1] in (["late"], ["busy"], ["idle"], ["huge"])]
            assert rows[:2] == ["late", "busy"], "who is waited for comes first"
            assert "refuse" in done.stdout
        pool._driver.residents["busy"].instances[0].value.opened.set()  # noqa: SLF001 - a lease would wait
        assert [done.result(PATIENCE_S).status_code for done in (holder, waiter)] == [200, 200]

        looks = 0

        def sleep(_seconds: float) -> None:
            nonlocal looks
            looks += 1
            if looks > 3:
                raise KeyboardInterrupt

        monkeypatch.setattr("ullage.cli.top.time.sleep", sleep)
        done = run(site.url)
        assert (done.exit_code, looks) == (130, 4), "it looks until Ctrl-C"
    gone = run(site.url, "--once")
    assert (gone.exit_code, gone.stderr.count("\n")) == (2, 1)
    assert "refused" in gone.stderr


def test_a_server_that_goes_and_comes_back_is_asked_again(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def ask(_self: Server) -> Snapshot:
        looks.append("asked")
        if len(looks) in {2, 3}:
            raise UnreadableError(f"{server}: connection refused", path=server)
        if len(looks) == 5:
            raise KeyboardInterrupt
        return Snapshot.of_data(status()["accounts"], status()["models"])

    frames: list[str] = []

    class Screen:
        """What stands in for a terminal's."""

        def __init__(self, *, console: Console, **_how: Any) -> None:
            self._console = console

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_exception: object) -> None:
            pass

        def update(self, drawn: Any, *, refresh: bool) -> None:
            assert refresh
            with self._console.capture() as captured:
                self._console.print(drawn)
            frames.append(captured.get())

    monkeypatch.setattr(Server, "__call__", ask)
    monkeypatch.setattr("ullage.cli.top.Live", Screen)
    done = run(server, "--interval", "0.05")
    assert done.exit_code == 130
    assert ["connection refused" in frame for frame in frames] == [False, True, True, False]
    assert all("sdxl" in frame for frame in frames), "what was known last stays"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"models": []}, "accounts: is missing"),
        (status() | {"models": [{"name": "a"}]}, "models[0].state: is missing"),
        (status() | {"models": [model("a", booked=-1)]}, "models[0].booked: must be a whole number"),
        (status() | {"models": [model("a", leases=True)]}, "models[0].leases: must be a whole number"),
        (status() | {"events": [3]}, "events[0]: must be an object"),
        (status() | {"events": [{"time_s": "x", "event": "a"}]}, "events[0].time_s: must be a number"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(tmp_path: Path, content: object, said: str) -> None:
    done = run(lines(tmp_path / "a.jsonl", status(), content), "--once")
    assert done.exit_code == 2
    assert f"line 2: {said}" in done.stderr


def test_a_file_without_a_snapshot_or_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n", encoding="utf-8")
    assert "has no snapshot" in run(path, "--once").stderr
    whole = json.dumps(status()).encode()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ProblemError):
            opened(str(path))()
