"""The whole Python API of the ledger against a twin that keeps lists and adds them up."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ullage import Ledger, Reservation
from ullage.errors import ArgumentError, BudgetExceeded, HandleError, ReleasedError, WaitTimeoutError

PATHS = ("/", "a", "a/x", "a/credit", "b", "credit")
LEAVES = {"a/credit": 4, "credit": 16}
ENDLESS = 2**64 - 1
CACHE = "a/x"

paths = st.sampled_from(PATHS)
sizes = st.integers(0, 50)
which = st.integers(0, 1_000)


def above(path: str) -> list[str]:
    """Give a path and those above it, the root last."""
    parts = [] if path == "/" else path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)] + ["/"]


@dataclass
class Booking:
    """What is held, in the twin and in the ledger."""

    path: str
    size: int
    real: Any
    """A reservation, or a record of an array of handles."""

    @property
    def is_owned(self) -> bool:
        """Tell whether it is a reservation."""
        return isinstance(self.real, Reservation)


class Twin(RuleBasedStateMachine):
    """Everything a program may ask of a ledger."""

    def __init__(self) -> None:
        """Make both worlds empty."""
        super().__init__()
        self.ledger = Ledger(100)
        self.limits: dict[str, int | None] = {"/": 100, "a": 60, "a/credit": 30}
        self.accounts = {"/": self.ledger.root, "a": self.ledger.account("a", 60)}
        self.accounts["a/x"] = self.ledger.account("a/x")
        self.accounts["a/credit"] = self.ledger.account("a/credit", 30, kind="credit", quantum=4)
        self.accounts["b"] = self.ledger.account("b")
        self.accounts["credit"] = self.ledger.account("credit", kind="credit", quantum=16)
        self.held: list[Booking] = []
        self.dead: list[Reservation] = []
        self.batches: list[Any] = []
        self.scopes: list[tuple[str, Any, int]] = []
        self.cache: list[Booking] = []
        self.accounts[CACHE].on_pressure(self.evict)

    def evict(self, missing: int) -> None:
        """Free what is in the cache, the newest first."""
        assert missing > 0
        while missing > 0 and self.cache:
            entry = self.cache.pop()
            missing -= entry.size
            assert entry.real.release()

    def used(self, path: str) -> int:
        """Add up what is held below a path."""
        return sum(booking.size for booking in self.held + self.cache if path in above(booking.path))

    def room(self, path: str) -> int:
        """Give what fits under a path's own limit."""
        limit = self.limits.get(path)
        return max(0, limit - self.used(path)) if limit is not None else ENDLESS

    def fits(self, levels: list[str], size: int) -> bool:
        """Tell whether `size` fits on all levels, once the cache gave what the first full one lacks."""
        full = next((level for level in levels if size > self.room(level)), None)
        if full is None or full not in above(CACHE):
            return full is None
        missing, whole = size - self.room(full), self.cache
        self.cache = list(whole)
        while missing > 0 and self.cache:
            missing -= self.cache.pop().size
        is_enough = all(size <= self.room(level) for level in levels)
        self.cache = whole
        return is_enough

    def pick(self, number: int) -> Booking | None:
        """Give a booking that is a reservation."""
        owned = [booking for booking in self.held if booking.is_owned]
        return owned[number % len(owned)] if owned else None

    @rule(path=paths, size=sizes, label=st.sampled_from(["", "x", "y"]), wait=st.sampled_from([None, 0.0]))
    def reserve(self, path: str, size: int, label: str, wait: float | None) -> None:
        """Book, or be refused, also after a wait of no time."""
        fits = self.fits(above(path), size)
        try:
            real = self.accounts[path].reserve(size, label, wait=wait)
        except BudgetExceeded as refusal:
            assert not fits
            assert refusal.requested > refusal.available  # noqa: PT017 - most are not refused
            assert refusal.account in above(path)  # noqa: PT017 - most are not refused
            return
        assert fits
        self.held.append(Booking(path, size, real))

    @rule(path=paths, size=sizes, is_cancelled=st.booleans())
    def reserve_async(self, path: str, size: int, *, is_cancelled: bool) -> None:
        """Book in a task that may be cancelled."""
        fits = self.fits(above(path), size)

        async def ask() -> Reservation | None:
            task = asyncio.ensure_future(self.accounts[path].reserve_async(size, timeout=0.001))
            await asyncio.sleep(0)
            if is_cancelled:
                task.cancel()
            with contextlib.suppress(WaitTimeoutError, asyncio.CancelledError):
                return await task
            return None

        try:
            real = asyncio.run(ask())
        except BudgetExceeded:
            assert not fits
            return
        assert real is None or fits
        if real is not None:
            self.held.append(Booking(path, size, real))

    @rule(size=sizes)
    def put_into_cache(self, size: int) -> None:
        """Book what a callback may free."""
        if all(size <= self.room(level) for level in above(CACHE)):
            self.cache.append(Booking(CACHE, size, self.accounts[CACHE].reserve(size, "cache")))

    @precondition(lambda self: self.held)
    @rule(number=which, size=sizes)
    def resize(self, number: int, size: int) -> None:
        """Resize, or be refused and stay."""
        if (booking := self.pick(number)) is None:
            return
        fits = size <= booking.size or self.fits(above(booking.path), size - booking.size)
        try:
            booking.real.resize(size)
        except BudgetExceeded:
            assert not fits
            return
        assert fits
        booking.size = size

    @precondition(lambda self: self.held)
    @rule(number=which, size=sizes)
    def split(self, number: int, size: int) -> None:
        """Split, or ask for more than there is."""
        if (booking := self.pick(number)) is None:
            return
        if size > booking.size:
            with pytest.raises(ArgumentError):
                booking.real.split(size)
            return
        self.held.append(Booking(booking.path, size, booking.real.split(size)))
        booking.size -= size

    @precondition(lambda self: self.held)
    @rule(number=which, other=which)
    def merge(self, number: int, other: int) -> None:
        """Merge two of one account."""
        one, two = self.pick(number), self.pick(other)
        if one is None or two is None:
            return
        if one is two or one.path != two.path:
            with pytest.raises(ArgumentError):
                one.real.merge(two.real)
            return
        one.real.merge(two.real)
        one.size += two.size
        self.held.remove(two)
        self.dead.append(two.real)

    @precondition(lambda self: self.held)
    @rule(number=which, path=paths)
    def transfer(self, number: int, path: str) -> None:
        """Move to another account, booked once on what both share."""
        if (booking := self.pick(number)) is None:
            return
        fits = self.fits([level for level in above(path) if level not in above(booking.path)], booking.size)
        try:
            booking.real.transfer(self.accounts[path])
        except BudgetExceeded:
            assert not fits
            return
        assert fits
        booking.path = path

    @rule(pairs=st.lists(st.tuples(paths, st.integers(0, 20)), max_size=5), is_mask=st.booleans())
    def batch(self, pairs: list[tuple[str, int]], *, is_mask: bool) -> None:
        """Book many together, with nothing left to be freed meanwhile."""
        self.evict(ENDLESS)
        names = [path for path, _ in pairs]
        numbers = np.array([size for _, size in pairs], dtype=np.int64)
        if is_mask:
            batch = self.ledger.reserve_many(names, numbers, "y", mode="mask")
            mask = batch.mask.tolist()
        else:
            sums = {level: sum(size for path, size in pairs if level in above(path)) for level in PATHS}
            fits = all(size <= self.room(level) for level, size in sums.items())
            try:
                batch = self.ledger.reserve_many(names, numbers, "y")
            except BudgetExceeded:
                assert not fits
                return
            assert fits
            mask = [True] * len(pairs)
        handles = iter(batch.handles)
        for (path, size), is_booked in zip(pairs, mask, strict=True):
            assert is_booked == all(size <= self.room(level) for level in above(path))
            if is_booked:
                self.held.append(Booking(path, size, next(handles)))
        self.batches.append(batch)

    @precondition(lambda self: self.held)
    @rule(number=which)
    def release(self, number: int) -> None:
        """Give back, once."""
        booking = self.held.pop(number % len(self.held))
        if booking.is_owned:
            assert booking.real.release()
            self.dead.append(booking.real)
            return
        handle = np.array([booking.real])
        self.ledger.release_many(handle)
        with pytest.raises(HandleError):
            self.ledger.release_many(handle)

    @rule(path=paths, limit=st.none() | st.integers(0, 120))
    def set_limit(self, path: str, limit: int | None) -> None:
        """Move a limit, below the use if need be."""
        self.accounts[path].set_limit(limit)
        self.limits[path] = limit

    @rule(path=paths)
    def open_scope(self, path: str) -> None:
        """Begin a region."""
        scope = self.accounts[path].scope().__enter__()
        self.scopes.append((path, scope, self.accounts[path].charged))

    @precondition(lambda self: self.scopes)
    @rule(number=which)
    def close_scope(self, number: int) -> None:
        """End any region, in any order."""
        path, scope, start = self.scopes.pop(number % len(self.scopes))
        scope.__exit__()
        assert (scope.start, scope.end) == (start, self.accounts[path].charged)
        assert scope.net == scope.end - start

    @invariant()
    def agree(self) -> None:
        """Compare everything."""
        rows = {row.path: row for row in self.ledger.snapshot()}
        assert set(rows) == set(PATHS)
        for path, row in rows.items():
            used = self.used(path)
            own = [booking for booking in self.held + self.cache if booking.path == path]
            assert (row.used, row.own) == (used, sum(booking.size for booking in own)), path
            assert (row.reservations, row.leaked, row.limit) == (len(own), 0, self.limits.get(path)), path
            assert row.used <= row.charged <= max(used, row.limit if row.limit is not None else ENDLESS)
            assert row.used <= row.peak
            assert self.accounts[path].used == used
            rooms = [self.room(level) for level in above(path) if self.limits.get(level) is not None]
            assert self.accounts[path].available == (min(rooms) if rooms else None)
        for path, scope, start in self.scopes:
            assert scope.start == start
            assert scope.highest >= max(start, rows[path].charged)
        for booking in self.held:
            if booking.is_owned:
                assert (booking.real.bytes, booking.real.account) == (booking.size, booking.path)
        for dead in self.dead:
            assert (dead.live, dead.bytes, dead.release()) == (False, 0, False)
        self.check_history(rows)

    def check_history(self, rows: dict[str, Any]) -> None:
        """Replay the timeline up to what is charged now."""
        timeline = self.ledger.timeline()
        deltas = np.bincount(timeline.events["account"], weights=timeline.events["delta"], minlength=len(PATHS))
        for path, row in rows.items():
            below = [number for number, name in enumerate(timeline.accounts) if path in above(name)]
            assert int(deltas[below].sum()) == row.charged, path

    def teardown(self) -> None:
        """Give everything back: nothing may remain."""
        for dead in self.dead[:3]:
            with pytest.raises(ReleasedError):
                dead.resize(1)
        self.evict(ENDLESS)
        for batch in self.batches:
            batch.release()
        for booking in self.held:
            if booking.is_owned:
                booking.real.release()
        assert {(row.used, row.reservations) for row in self.ledger.snapshot()} == {(0, 0)}


Twin.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTwin = Twin.TestCase
