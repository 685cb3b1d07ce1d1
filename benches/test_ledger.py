"""A reservation and its release from Python, four levels deep: ours, a ledger in C by hand, ledgers in Python."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest
from looping import ONE_THREAD, Benchmark, Loop, measure, measure_two
from peers import ledger_c
from peers.ledger_python import FlatLedger, tree_account

from ullage import Account, Ledger

PATH = "host/gpu0/resnet"
SIZE = 1 << 20


def quiet(kind: str = "exact") -> Account:
    """Give an account of a ledger that keeps neither time nor places."""
    return Ledger(1 << 40, timeline=0, origins="off").account(PATH, 1 << 40, kind=kind)


def usual() -> Account:
    """Give an account of a ledger as it comes: it keeps time, and now and then the place of a reservation."""
    return Ledger(1 << 40).account(PATH, 1 << 40)


def timed() -> Account:
    """Give an account of a ledger that keeps time and nothing more."""
    return Ledger(1 << 40, origins="off").account(PATH, 1 << 40)


def proven(account: Any) -> Any:  # noqa: ANN401 - of any ledger
    """Give an account that books and refuses: a bench of one that does not would prove nothing."""
    held = account.reserve(SIZE)
    assert account.used == SIZE
    with pytest.raises(MemoryError):
        account.reserve(1 << 41)
    assert account.used == SIZE
    held.release()
    assert account.used == 0
    return account


def released(account: Any) -> Loop:  # noqa: ANN401 - of any ledger
    """Let go of a handle by its method."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            account.reserve(SIZE).release()

    return loop


def in_block(account: Any) -> Loop:  # noqa: ANN401 - of any ledger
    """Let go of a handle at the end of a block."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            with account.reserve(SIZE):
                pass

    return loop


def dropped(account: Any) -> Loop:  # noqa: ANN401 - of any ledger
    """Let go of a handle by forgetting it."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            account.reserve(SIZE)

    return loop


def labelled(account: Account) -> Loop:
    """Say what the bytes are for."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            account.reserve(SIZE, "weights").release()

    return loop


def without_handle(account: Any) -> Loop:  # noqa: ANN401 - of the ledger in C
    """Remember the size oneself."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            account.charge(SIZE)
            account.discharge(SIZE)

    return loop


def calls(account: Any) -> Loop:  # noqa: ANN401 - of the ledger in C
    """Call methods that do nothing."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            account.nothing(SIZE)
            account.nothing(SIZE)

    return loop


def flat(ledger: FlatLedger) -> Loop:
    """Remember the size oneself."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            ledger.reserve("resnet", SIZE)
            ledger.release("resnet", SIZE)

    return loop


def empty() -> Loop:
    """Do nothing: what the loop itself takes."""

    def loop(count: int) -> None:
        for _ in repeat(None, count):
            pass

    return loop


WAYS: dict[str, Callable[[], Loop]] = {
    "the loop alone": empty,
    "two calls into C": lambda: calls(ledger_c.account()),
    "C, no handle": lambda: without_handle(proven(ledger_c.account())),
    "C": lambda: released(proven(ledger_c.account())),
    "C, dropped": lambda: dropped(proven(ledger_c.account())),
    "C, in a block": lambda: in_block(proven(ledger_c.account())),
    "ours": lambda: released(proven(quiet())),
    "ours, labelled": lambda: labelled(proven(quiet())),
    "ours, in a block": lambda: in_block(proven(quiet())),
    "ours, timeline": lambda: released(proven(timed())),
    "ours, as it comes": lambda: released(proven(usual())),
    "ours, credit": lambda: released(proven(quiet("credit"))),
    "Python, tree": lambda: released(proven(tree_account())),
    "Python, flat": lambda: flat(FlatLedger()),
}
SHARED: dict[str, Callable[[], Any]] = {
    "C": ledger_c.account,
    "ours": quiet,
    "ours, as it comes": usual,
    "ours, credit": lambda: quiet("credit"),
    "Python, tree": tree_account,
}


def made(make: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it makes
    """Make a peer, or skip the bench for the reason that it cannot be made."""
    try:
        return make()
    except ledger_c.NoCompilerError as reason:
        pytest.skip(str(reason))


@pytest.mark.benchmark(group="10,000 reservations and releases, 4 levels", timer=ONE_THREAD)
@pytest.mark.parametrize("way", WAYS)
def test_pair(benchmark: Benchmark, way: str) -> None:
    measure(benchmark, made(WAYS[way]))


@pytest.mark.benchmark(group="100,000 reservations and releases in two threads, 4 levels")
@pytest.mark.parametrize("way", SHARED)
def test_two_threads(benchmark: Benchmark, way: str) -> None:
    account = made(SHARED[way])
    measure_two(benchmark, (released(account), released(account)))
    assert account.used == 0


@pytest.mark.benchmark(group="100,000 reservations and releases in two threads, 4 levels")
def test_two_threads_flat(benchmark: Benchmark) -> None:
    ledger = FlatLedger()
    measure_two(benchmark, (flat(ledger), flat(ledger)))
    assert ledger.used == 0
