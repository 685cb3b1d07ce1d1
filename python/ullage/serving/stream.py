"""A pool's events as a stream of server-sent events.

Each has an id that says where it stands in the log, so that a browser that reconnects (`Last-Event-ID`) goes on where
it stopped, and learns by an event called `gap` if the log had lost some meanwhile.
"""

import asyncio
import json
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from ullage.serving.log import START, Cursor, since

__all__ = ["Feed"]

POLL_S = 0.25
KEEPALIVE_S = 15.0
STREAM_S = 300.0
"""How long one stream lasts. Servers end only when their streams have, and clients come back by themselves."""
RETRY_MS = 1000


class Feed:
    """Any number of streams of one log."""

    def __init__(self, read: Callable[[], list[dict[str, Any]]]) -> None:
        """Read the log with `read`, `Pool.events`."""
        self._read = read
        self._epoch = os.urandom(4).hex()
        self._rows: list[dict[str, Any]] = []
        self._read_at = -math.inf
        self._over = asyncio.Event()

    def close(self) -> None:
        """End every stream."""
        self._over.set()

    def cursor(self, event_id: str | None, last: int) -> Cursor:
        """Give where the stream of a client begins: after the event it saw last, or `last` events before the end."""
        epoch, _, place = (event_id or "").partition(":")
        when, _, seen = place.partition(":")
        if epoch == self._epoch:
            try:
                return Cursor(float.fromhex(when), int(seen))
            except (ValueError, OverflowError):
                pass  # no id of ours
        rows = self._look()
        if last >= len(rows):
            return START
        return since(rows[: len(rows) - last], START).cursor

    async def stream(self, cursor: Cursor) -> AsyncIterator[bytes]:
        """Give what comes after `cursor` as it comes."""
        yield f"retry: {RETRY_MS}\n\n".encode()
        ends_at = time.monotonic() + STREAM_S
        said_at = time.monotonic()
        while time.monotonic() < ends_at and not self._over.is_set():
            fresh = since(self._look(), cursor)
            text = self._text(fresh.rows, cursor, has_gap=fresh.has_gap)
            cursor = fresh.cursor
            if not text and time.monotonic() - said_at >= KEEPALIVE_S:
                text = ": still here\n\n"
            if text:
                said_at = time.monotonic()
                yield text.encode()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._over.wait()
            except TimeoutError:
                continue

    def _look(self) -> list[dict[str, Any]]:
        """Read the log, once for all streams that ask at about the same time."""
        now = time.monotonic()
        if now - self._read_at > POLL_S / 2:
            self._rows, self._read_at = self._read(), now
        return self._rows

    def _text(self, rows: list[dict[str, Any]], cursor: Cursor, *, has_gap: bool) -> str:
        parts = ["event: gap\ndata: {}\n\n"] if has_gap else []
        for row in rows:
            when = row["time_s"]
            cursor = Cursor(when, cursor.seen + 1 if when == cursor.time_s else 1)
            name = f"{self._epoch}:{float(when).hex()}:{cursor.seen}"
            data = json.dumps(row, default=str, allow_nan=False)
            parts.append(f"id: {name}\nevent: {row['event']}\ndata: {data}\n\n")
        return "".join(parts)
