"""Where snapshots come from: a server that answers `/ullage/status`, a cluster on Ray, or a file of JSON lines."""

import json
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from ullage.errors import ArgumentError, ProblemError, UnreadableError
from ullage.report.fields import parse
from ullage.top.snapshot import Snapshot

if TYPE_CHECKING:
    from ullage.serving.ray.watching import Running

__all__ = ["File", "Server", "Source", "opened"]

LARGEST = 64 << 20
"""Bytes of one answer or line."""
TIMEOUT_S = 5.0
EVENTS_WAIT_S = 0.3
"""How long a stream of events may be silent before what came of it is taken."""
MOST_LAST = 100
CLUSTER = "ray:"

Source: TypeAlias = Callable[[], Snapshot | None]
"""Gives the next snapshot, or `None` where there is no more."""


def opened(where: str) -> "Server | File | Running":
    """Open a URL, a cluster (`ray:`, `ray:NAME`, `ray:NAME@ADDRESS`) or a file.

    Raises `ArgumentError` for a URL that is none of HTTP, `UnreadableError` for a file or cluster that is not there.
    """
    if where.startswith(CLUSTER) and "://" not in where:
        from ullage.serving.ray.watching import Running  # noqa: PLC0415 - Ray is not for everybody, nor quick

        return Running(where)
    scheme = urlsplit(where).scheme.lower() if "://" in where else ""
    if scheme in {"http", "https"}:
        return Server(where)
    if scheme:
        reason = f"{scheme}:// is neither http:// nor https://, and no file"
        raise ArgumentError(f"source: {reason}", name="source", reason=reason)
    return File(Path(where))


class Server:
    """A server with the routes of `ullage.serving`: `status`, and `events` where it has it."""

    is_live = True

    def __init__(self, url: str) -> None:
        """Take the URL of the server, of its routes, such as `http://host/ullage`, or of the status itself."""
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        path = path.removesuffix("/status")
        self._base = f"{parts.scheme}://{parts.netloc}{path or '/ullage'}"
        self._has_events = True

    def __call__(self) -> Snapshot | None:
        """Ask. Raises `UnreadableError` where nobody answers, `ProblemError` where the answer is no status."""
        url = f"{self._base}/status"
        try:
            with urllib.request.urlopen(_asking(url), timeout=TIMEOUT_S) as answer:  # noqa: S310 - http or https
                content = answer.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(error, urllib.error.HTTPError):
                reason = f"the server answers {error.code} {error.reason}"
            elif isinstance(reason, OSError) and reason.strerror:
                reason = reason.strerror  # without its number
            raise UnreadableError(f"{url}: {reason}", path=url) from error
        if len(content) > LARGEST:
            raise ProblemError(f"{url}: more than 64 MiB", field=url, reason="more than 64 MiB")
        found = parse(content, url)
        if "events" not in found and self._has_events:
            found.content["events"] = self._events()
        return Snapshot.of(found)

    def _events(self) -> list[dict[str, Any]]:
        """Give the latest of the stream of events, or none where there is no such stream."""
        rows: deque[dict[str, Any]] = deque(maxlen=MOST_LAST)
        url = f"{self._base}/events?last={MOST_LAST}"
        ends = time.monotonic() + EVENTS_WAIT_S
        try:
            with urllib.request.urlopen(_asking(url), timeout=EVENTS_WAIT_S) as answer:  # noqa: S310 - as above
                while time.monotonic() < ends and (line := answer.readline(1 << 20)):
                    if line.startswith(b"data:"):
                        row = json.loads(line[5:])
                        if isinstance(row, dict) and "time_s" in row and "event" in row:
                            rows.append(row)
        except urllib.error.HTTPError:
            self._has_events = False  # it has no such route; do not ask again
        except (OSError, ValueError, RecursionError):
            pass  # the stream goes on without us; what came of it is what there is
        return list(rows)


class File:
    """A file of snapshots, one JSON object a line: each is given once, and then what is added."""

    is_live = False

    def __init__(self, path: Path) -> None:
        """Open the file. Raises `UnreadableError`."""
        self._path = path
        try:
            self._lines = self._read(path.open("rb"))
        except OSError as error:
            raise UnreadableError(f"{path}: {error.strerror}", path=str(path)) from error

    def __call__(self) -> Snapshot | None:
        """Give the next snapshot. Raises `ProblemError` naming line and field."""
        return next(self._lines, None)

    def _read(self, file: Any) -> Iterator[Snapshot]:  # noqa: ANN401 - of bytes
        with file:
            number = 0
            while line := file.readline(LARGEST + 1):
                number += 1
                place = f"{self._path}: line {number}"
                if len(line) > LARGEST:
                    raise ProblemError(f"{place}: more than 64 MiB", field=place, reason="more than 64 MiB")
                if line.strip():
                    yield Snapshot.of(parse(line, place))


def _asking(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"Accept": "application/json, text/event-stream"})  # noqa: S310 - as above
