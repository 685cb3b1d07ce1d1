"""The ledger through Python: what fits, what a refusal says, and that no thread ever sees a limit passed."""

import gc
import json
import math
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ledger_world import together

from ullage import Account, Ledger, Reservation
from ullage.errors import AccountPathError, ArgumentError, BudgetExceeded, Holder, QuantityError, ReleasedError

TOP = 2**64 - 1


def rows(ledger: Ledger) -> dict[str, tuple[int, int, int | None]]:
    """Give use, own use and limit of every account."""
    return {row.path: (row.used, row.own, row.limit) for row in ledger.snapshot()}


def check_sums(ledger: Ledger) -> None:
    """Check one snapshot: parents first, sums agree, nothing over a limit that was not lowered."""
    taken = ledger.snapshot()
    below: dict[str | None, int] = {}
    for row in taken:
        below[row.parent] = below.get(row.parent, 0) + row.used
    seen: set[str | None] = {None}
    for row in taken:
        assert row.parent in seen
        seen.add(row.path)
        assert row.used == row.own + below.get(row.path, 0)
        assert row.used <= row.peak
        assert row.over_by == max(0, row.used - (TOP if row.limit is None else row.limit))


# What fits and what does not.


def test_a_reservation_is_charged_all_the_way_up() -> None:
    ledger = Ledger("1GiB")
    resnet = ledger.account("gpu0/resnet", "600MiB")
    held = resnet.reserve("400MiB", label="weights")
    assert rows(ledger) == {
        "/": (400 << 20, 0, 1 << 30),
        "gpu0": (400 << 20, 0, None),
        "gpu0/resnet": (400 << 20, 400 << 20, 600 << 20),
    }
    assert (held.bytes, held.label, held.account, held.live) == (400 << 20, "weights", "gpu0/resnet", True)
    assert (resnet.available, ledger.available, ledger.account("gpu0").available) == (200 << 20, 624 << 20, 624 << 20)
    assert held.release()
    assert (ledger.used, ledger.peak, resnet.peak, held.bytes, held.live) == (0, 400 << 20, 400 << 20, 0, False)


def test_a_refusal_holds_every_number() -> None:
    ledger = Ledger(1000)
    ledger.account("gpu0", 500)
    a = ledger.account("gpu0/a")
    held = [a.reserve(size, label=f"part {size}") for size in (10, 20, 30, 40, 50, 60)]
    with pytest.raises(BudgetExceeded) as caught:
        a.reserve(291, label="activations")
    refusal = caught.value
    assert (refusal.account, refusal.requested, refusal.available, refusal.limit) == ("gpu0", 291, 290, 500)
    assert refusal.holders == [Holder("gpu0/a", f"part {size}", size) for size in (60, 50, 40, 30, 20)]
    assert all(holder.reservations == 1 and 0 < holder.age_s < 60 for holder in refusal.holders)
    assert isinstance(refusal, MemoryError)
    assert "291 B requested" in str(refusal)
    json.dumps(refusal.as_dict())
    assert (a.used, a.holders(2), a.holders(0)) == (210, refusal.holders[:2], [])
    refusals = {row.path: row.refusals for row in ledger.snapshot()}
    assert refusals == {"/": 0, "gpu0": 0, "gpu0/a": 1}
    assert a.reserve(290).live
    assert a.used == sum(part.bytes for part in held), "a reservation that nobody keeps is given back at once"


def test_the_first_full_account_on_the_way_up_refuses() -> None:
    ledger = Ledger(100)
    child = ledger.account("a/b", 50)
    assert _refused_by(child, 51) == "a/b"
    ledger.account("a").set_limit(40)
    assert _refused_by(child, 50) == "a"
    ledger.root.set_limit(10)
    assert _refused_by(child, 20) == "/"
    assert child.available == 10


def _refused_by(account: Account, size: int) -> str:
    with pytest.raises(BudgetExceeded) as caught:
        account.reserve(size)
    assert caught.value.available < size
    return caught.value.account


def test_a_ledger_without_limit_ends_at_two_to_the_64() -> None:
    ledger = Ledger()
    assert (ledger.limit, ledger.available, ledger.root.limit) == (None, None, None)
    all_there_is = ledger.root.reserve(TOP)
    with pytest.raises(BudgetExceeded) as caught:
        ledger.account("x").reserve(1)
    assert (caught.value.account, caught.value.available) == ("/", 0)
    assert ledger.account("x").reserve(0).live
    with pytest.raises(BudgetExceeded):
        ledger.account("x").reserve(TOP)
    all_there_is.release()
    assert ledger.peak == TOP


def test_a_with_block_gives_back_whatever_happens() -> None:
    ledger = Ledger(100)
    with ledger.root.reserve(60) as held:
        assert (held.bytes, ledger.used) == (60, 60)
    assert (held.live, ledger.used) == (False, 0)
    with pytest.raises(ZeroDivisionError), ledger.root.reserve(60):
        raise ZeroDivisionError
    assert ledger.used == 0
    with held:
        assert not held.live, "entering again books nothing"


def test_release_is_idempotent_and_never_hits_a_later_tenant() -> None:
    ledger = Ledger(100)
    first = ledger.root.reserve(60)
    assert [first.release(), first.release()] == [True, False]
    second = ledger.root.reserve(70)
    assert not first.release()
    del first
    gc.collect()
    assert (second.bytes, ledger.used) == (70, 70)


def test_collection_gives_back() -> None:
    ledger = Ledger(100)
    held: list[Any] = [ledger.root.reserve(60)]
    held.append(held)  # a cycle, which only the collector ends
    del held
    gc.collect()
    assert ledger.used == 0
    orphan = Ledger(100).account("a/b").reserve(10)
    assert (orphan.bytes, orphan.account) == (10, "a/b"), "a reservation keeps its ledger"


def test_resizing_is_one_step_or_none() -> None:
    ledger = Ledger(100)
    a = ledger.account("a")
    held = a.reserve(40)
    other = ledger.account("b").reserve(30)
    held.resize(70)
    assert (a.used, ledger.used, ledger.peak) == (70, 100, 100)
    with pytest.raises(BudgetExceeded) as caught:
        held.resize("71B")
    assert (caught.value.requested, caught.value.available, held.bytes) == (1, 0, 70)
    held.resize(0)
    assert (held.live, ledger.used, a.peak) == (True, 30, 70)
    held.release()
    with pytest.raises(ReleasedError) as released:
        held.resize(1)
    assert (released.value.account, released.value.label) == ("a", "")
    assert other.live


def test_limits_are_live() -> None:
    ledger = Ledger(100)
    a = ledger.account("a", 80)
    held = a.reserve(60)
    a.set_limit(50)
    row = ledger.snapshot()[1]
    assert (row.path, row.limit, row.over_by, a.available) == ("a", 50, 10, 0)
    assert _refused_by(a, 1) == "a"
    with pytest.raises(BudgetExceeded):
        held.resize(61)
    held.resize(55)
    held.resize(20)
    assert a.available == 30
    a.set_limit(None)
    assert (a.limit, a.available) == (None, 80)


def test_an_account_is_one_whoever_asks() -> None:
    ledger = Ledger(100)
    a = ledger.account("a", 50)
    assert ledger.account("a") == a == ledger.account("a", "50B")
    assert a != ledger.account("b")
    assert a != Ledger(100).account("a")
    assert ledger.account("/") == ledger.account("") == ledger.root
    with pytest.raises(ArgumentError, match="set_limit"):
        ledger.account("a", 60)
    with pytest.raises(ArgumentError, match="no limit"):
        ledger.account("b", 60)
    assert (a.limit, ledger.account("b").limit) == (50, None)
    assert [row.path for row in ledger.snapshot()] == ["/", "a", "b"]


def test_everything_has_a_face() -> None:
    ledger = Ledger(100)
    held = ledger.account("a").reserve(60, label="w")
    assert repr(ledger) == "Ledger(60 B used, peak 60 B, limit 100 B)"
    assert repr(ledger.account("a")) == 'Account("a": 60 B used, peak 60 B, no limit)'
    assert repr(held) == 'Reservation(60 B on "a", label="w")'
    held.release()
    assert "released" in repr(held)
    assert "peak 60 B" in repr(ledger.snapshot()[0])


# Bad input.


@pytest.mark.parametrize(
    "path",
    ["/a", "a/", "a//b", "//", " /\n", "a\x00b", "x" * 256, "/".join("a" * 33), "a/\x1b[31m"],
)
def test_bad_paths_are_refused_and_make_nothing(path: str) -> None:
    ledger = Ledger(100)
    with pytest.raises(AccountPathError) as caught:
        ledger.account(path)
    assert caught.value.path
    assert caught.value.reason
    assert len(str(caught.value)) < 400
    assert len(ledger.snapshot()) == 1


@pytest.mark.parametrize("path", ["a", "ä/日本", "x" * 255, "/".join("a" * 32), ".", "..", "a b"])
def test_good_paths_are_taken_as_they_are(path: str) -> None:
    assert Ledger(100).account(path).path == path


BAD_SIZES: list[Any] = [
    -1,
    -1.0,
    math.nan,
    math.inf,
    0.5,
    True,
    False,
    2**64,
    -(2**70),
    1e300,
    None,
    "",
    "8G",
    "-1",
    b"5",
    [],
    1j,
]


@pytest.mark.parametrize("size", BAD_SIZES)
def test_bad_sizes_are_refused_everywhere_and_change_nothing(size: Any) -> None:
    ledger = Ledger(100)
    held = ledger.root.reserve(10)
    with pytest.raises(QuantityError) as caught:
        ledger.root.reserve(size)
    assert caught.value.reason
    with pytest.raises(QuantityError):
        held.resize(size)
    if size is not None:
        with pytest.raises(QuantityError):
            ledger.root.set_limit(size)
        with pytest.raises(QuantityError):
            ledger.account("a", size)
        with pytest.raises(QuantityError):
            Ledger(size)
    assert (ledger.used, ledger.limit, held.bytes, len(ledger.snapshot())) == (10, 100, 10, 1)


@pytest.mark.parametrize("size", [7, 7.0, "7", "7 B", np.int64(7), np.uint8(7), np.float64(7), np.array(7)])
def test_every_way_to_write_a_size_is_read(size: Any) -> None:
    ledger = Ledger(100)
    with ledger.root.reserve(size):
        assert ledger.used == 7


# A naive twin.


class Twin(RuleBasedStateMachine):
    """The ledger against dictionaries that do the same sums the slow way."""

    PATHS = ("/", "a", "a/x", "a/y", "b", "b/x/deep")

    def __init__(self) -> None:
        """Make both empty."""
        super().__init__()
        self.ledger = Ledger(100)
        self.limits: dict[str, int | None] = {"/": 100}
        self.known = {"/"}
        self.peaks: dict[str, int] = {}
        self.held: list[tuple[Reservation, str, int]] = []

    def above(self, path: str) -> list[str]:
        """Give a path and those above it, the root last."""
        parts = [] if path == "/" else path.split("/")
        return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)] + ["/"]

    def used(self, path: str) -> int:
        """Add up what is held below a path."""
        return sum(size for _, account, size in self.held if path in self.above(account))

    def first_full(self, path: str, growth: int) -> tuple[str, int] | None:
        """Give the first account on the way up that lacks room, and the room it has."""
        for level in self.above(path):
            limit = self.limits.get(level)
            room = TOP if limit is None else max(0, limit - self.used(level))
            if growth > room:
                return level, room
        return None

    @rule(path=st.sampled_from(PATHS), size=st.integers(0, 60))
    def reserve(self, path: str, size: int) -> None:
        """Book, or be refused by the same account with the same numbers."""
        self.known.update(self.above(path))
        full = self.first_full(path, size)
        account = self.ledger.account(path)
        if full is None:
            self.held.append((account.reserve(size, label=path), path, size))
            return
        with pytest.raises(BudgetExceeded) as caught:
            account.reserve(size)
        assert (caught.value.account, caught.value.available) == full
        assert caught.value.limit == self.limits[full[0]]

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 100), size=st.integers(0, 60))
    def resize(self, which: int, size: int) -> None:
        """Resize, or be refused and stay."""
        index = which % len(self.held)
        held, path, before = self.held[index]
        full = self.first_full(path, size - before) if size >= before else None
        if full is None:
            held.resize(size)
            self.held[index] = (held, path, size)
            return
        with pytest.raises(BudgetExceeded) as caught:
            held.resize(size)
        assert (caught.value.account, caught.value.available) == full

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 100), by=st.sampled_from(["release", "drop"]))
    def give_back(self, which: int, by: str) -> None:
        """Release, or let the last reference go."""
        held, _, _ = self.held.pop(which % len(self.held))
        if by == "release":
            assert held.release()
            return
        del held
        gc.collect()  # an earlier refusal's traceback may name it too

    @rule(path=st.sampled_from(PATHS), limit=st.none() | st.integers(0, 120))
    def set_limit(self, path: str, limit: int | None) -> None:
        """Move a limit, below the use if need be."""
        self.known.update(self.above(path))
        self.ledger.account(path).set_limit(limit)
        self.limits[path] = limit

    @invariant()
    def agree(self) -> None:
        """Compare everything."""
        check_sums(self.ledger)
        taken = {row.path: row for row in self.ledger.snapshot()}
        assert set(taken) == self.known
        for path, row in taken.items():
            used = self.used(path)
            self.peaks[path] = max(self.peaks.get(path, 0), used)
            own = [size for _, account, size in self.held if account == path]
            assert (row.used, row.own, row.reservations) == (used, sum(own), len(own))
            assert (row.peak, row.limit) == (self.peaks[path], self.limits.get(path))
            sizes = [held.bytes for held in self.ledger.account(path).reservations(3)]
            assert sizes == sorted((size for _, at, size in self.held if path in self.above(at)), reverse=True)[:3]
            sums: dict[str, list[int]] = {}
            for _, at, size in self.held:
                if path in self.above(at):
                    sums.setdefault(at, []).append(size)
            holders = sorted((*holder, holder.reservations) for holder in self.ledger.account(path).holders(99))
            assert holders == sorted((at, at, sum(sizes), len(sizes)) for at, sizes in sums.items())


Twin.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTwin = Twin.TestCase


# Threads.


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_no_snapshot_ever_shows_a_limit_passed() -> None:
    ledger = Ledger(1000)
    leaves = [ledger.account(f"pool{number % 2}/leaf{number}", 300) for number in range(6)]
    ledger.account("pool0").set_limit(600)
    working = [True] * 6

    def work(number: int) -> None:
        rolls = np.random.default_rng(number).integers(1, 200, 5_000).tolist()
        held: list[Reservation] = []
        for roll in rolls:
            try:
                if held and roll % 3 == 0:
                    held[roll % len(held)].resize(roll)
                else:
                    held.append(leaves[(number + roll) % 6].reserve(roll, label=str(number)))
            except BudgetExceeded as refusal:
                assert refusal.requested > refusal.available  # noqa: PT017 - most requests are not refused
            if len(held) > 3:
                held.pop(roll % len(held)).release()
        for reservation in held:
            reservation.release()
        working[number] = False

    def watch() -> None:
        while any(working):
            check_sums(ledger)
            assert all(row.over_by == 0 for row in ledger.snapshot())

    together(*(lambda number=number: work(number) for number in range(6)), watch)
    check_sums(ledger)
    assert {row.used for row in ledger.snapshot()} == {0}
    assert {row.reservations for row in ledger.snapshot()} == {0}
    assert all(0 < row.peak <= (row.limit or 1000) for row in ledger.snapshot())


@pytest.mark.usefixtures("restless")
def test_who_never_fits_never_gets_in_the_way_of_who_always_does() -> None:
    """An account that adds first and rolls back later refuses the small one while the large one is on its way up."""
    ledger = Ledger(100)
    large, small = ledger.account("shared/large"), ledger.account("shared/small")
    ledger.account("shared").set_limit(90)
    done = threading.Event()

    def ask_too_much() -> None:
        while not done.is_set():
            with pytest.raises(BudgetExceeded):
                large.reserve(95)

    def ask_little() -> None:
        try:
            for _ in range(5_000):
                assert small.reserve(90).release()
        finally:
            done.set()

    together(ask_too_much, ask_little)
    assert {row.path: row.refusals for row in ledger.snapshot()}["shared/small"] == 0
    assert (ledger.used, ledger.peak) == (0, 90)


@pytest.mark.usefixtures("restless")
def test_a_reservation_released_by_many_is_released_once() -> None:
    ledger = Ledger(10_000)
    held = [ledger.root.reserve(1) for _ in range(2_000)]
    wins: list[int] = []
    together(*(lambda: wins.append(sum(reservation.release() for reservation in held)) for _ in range(4)))
    assert (sum(wins), ledger.used) == (2_000, 0)
