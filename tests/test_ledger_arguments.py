"""Bad input to every call of the ledger: one typed error, and nothing booked."""

import array
import gc
import math
import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ullage import Ledger
from ullage.errors import (
    AccountPathError,
    ArgumentError,
    BudgetExceeded,
    HandleError,
    QuantityError,
    ReleasedError,
    UllageError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = 2**64 - 1


def handles(ledger: Ledger, count: int = 3) -> tuple[Any, Any]:
    """Give a batch and its handles."""
    batch = ledger.root.reserve_many([1] * count)
    return batch, batch.handles


BAD_SIZES: list[Any] = [
    np.ones((2, 2), dtype=np.int64),
    np.ones((2, 2), dtype=np.int16),
    np.array(3, dtype=np.int64),
    np.array([1, -1]),
    np.array([1, -1], dtype=np.int32),
    np.array([1.5]),
    np.array([math.nan]),
    np.array([True]),
    np.array(["1 GB", "x"]),
    np.array([1j]),
    np.array([None]),
    [1, -1],
    [1, None],
    [2**64],
    [[1], [2]],
    "12",
    b"12",
    {"a": 1},
]


@pytest.mark.parametrize("sizes", BAD_SIZES, ids=repr)
def test_sizes_that_are_none_book_nothing(sizes: Any) -> None:
    ledger = Ledger(100)
    calls: list[Callable[[], object]] = [
        lambda: ledger.root.reserve_many(sizes),
        lambda: ledger.reserve_many("/", sizes),
        lambda: ledger.reserve_many("/", sizes, mode="mask"),
    ]
    for call in calls:
        with pytest.raises(ArgumentError) as caught:
            call()
        assert caught.value.name == "sizes"
    assert (ledger.used, ledger.snapshot()[0].made) == (0, 0)


GOOD_SIZES: list[Any] = [
    np.arange(3, dtype=np.uint8),
    np.arange(3, dtype=">i8"),
    np.arange(6, dtype=np.int64)[::2][:3] // 2,
    np.arange(3, dtype=np.float64),
    range(3),
    ["0", "1B", "2 B"],
    (value for value in (0, 1, 2)),
    np.array(["0 B", "1 B", "2 B"]),
    memoryview(array.array("Q", range(3))),
]


@pytest.mark.parametrize("sizes", GOOD_SIZES, ids=lambda sizes: type(sizes).__name__)
def test_every_way_to_write_sizes_is_read(sizes: Any) -> None:
    ledger = Ledger(100)
    batch = ledger.root.reserve_many(sizes)
    assert (len(batch), batch.bytes, batch.mask.tolist()) == (3, 3, [True] * 3)


def test_sizes_with_gaps_are_read_as_they_are_seen() -> None:
    ledger = Ledger(100)
    every_third = np.arange(12, dtype=np.int64)[::3]
    assert ledger.root.reserve_many(every_third).bytes == 18
    assert ledger.reserve_many(np.zeros(8, dtype=np.int64)[::2], every_third).bytes == 18


@pytest.mark.parametrize(
    "accounts",
    [
        [0, 1],
        np.array([0, 7]),
        np.array([-1, 0]),
        np.array([2**40, 0]),
        np.array([[0, 0]]),
        np.array([0]),
        np.array([0.0, 1.0]),
        ["a"],
        ["a", None],
        None,
        7,
        Ledger().root,
        [Ledger().root, Ledger().root],
    ],
    ids=repr,
)
@pytest.mark.parametrize("mode", ["all", "mask"])
def test_accounts_that_are_none_book_nothing(accounts: Any, mode: Any) -> None:
    ledger = Ledger(100)
    ledger.account("a")
    with pytest.raises((ArgumentError, TypeError)):
        ledger.reserve_many(accounts, [1, 2], mode=mode)
    assert ledger.used == 0


def test_sums_beyond_all_numbers_are_refused() -> None:
    ledger = Ledger()
    for accounts in ("a", ["a", "b"], ["a", "a"]):
        with pytest.raises(BudgetExceeded) as caught:
            ledger.reserve_many(accounts, [TOP, TOP])
        assert caught.value.requested > caught.value.available
    batch = ledger.reserve_many(["a", "b"], [TOP, TOP], mode="mask")
    assert batch.mask.tolist() == [True, False]
    batch.release()
    assert ledger.used == 0


def test_handles_of_other_kinds_release_nothing() -> None:
    ledger = Ledger(100)
    batch, good = handles(ledger)
    swapped = good.astype([("ledger", ">u8"), ("slot", "<u4"), ("generation", "<u4")])
    renamed = good.view([("a", "<u8"), ("b", "<u4"), ("c", "<u4")])
    others: list[Any] = [good["slot"], good.tobytes(), [1, 2], None, "x", np.zeros(3), swapped, renamed, object()]
    for bad in others:
        with pytest.raises(ArgumentError) as caught:
            ledger.release_many(bad)
        assert caught.value.name == "handles"
    assert batch.live == 3
    assert not good.flags.writeable
    ledger.release_many(good[::2])
    assert batch.live == 1
    ledger.release_many(np.empty(0, dtype=good.dtype))
    ledger.release_many(good[1:2].reshape(1, 1))
    assert (batch.live, ledger.used) == (0, 0)


def test_forged_and_stale_handles_are_named_and_release_nothing() -> None:
    ledger = Ledger(100)
    batch, good = handles(ledger)
    other, foreign = handles(Ledger(100), 1)
    later = good.copy()
    later["generation"] += 1
    beyond = good.copy()
    beyond["slot"] = 2**32 - 1
    nobody = good.copy()
    nobody["ledger"] = 0
    cases = [(foreign, "another ledger"), (later, "never given"), (beyond, "never given"), (nobody, "another ledger")]
    for bad, reason in cases:
        with pytest.raises(HandleError) as caught:
            ledger.release_many(np.concatenate([good, bad]))
        assert (caught.value.index, reason in caught.value.reason) == (3, True)
    with pytest.raises(HandleError) as caught:
        ledger.release_many(np.concatenate([good, good[1:2]]))
    assert caught.value.index == 3
    assert (batch.live, other.live, ledger.used) == (3, 1, 3)
    ledger.release_many(good)
    again = ledger.root.reserve_many([5, 5, 5])
    with pytest.raises(HandleError, match="released already"):
        ledger.release_many(good)
    assert again.live == 3


def test_arguments_outside_their_domain_are_named() -> None:
    ledger = Ledger(100)
    cases: list[tuple[str, Callable[[], object]]] = [
        ("mode", lambda: ledger.reserve_many("/", [1], mode="some")),  # type: ignore[arg-type]
        ("order", lambda: ledger.root.reservations(order="newest")),  # type: ignore[arg-type]
        ("origins", lambda: Ledger(origins="many")),  # type: ignore[arg-type]
        ("timeline", lambda: Ledger(timeline=2**40)),
        ("kind", lambda: ledger.account("k", kind="loose")),  # type: ignore[arg-type]
        ("quantum", lambda: ledger.account("k", quantum=5)),
        ("quantum", lambda: ledger.account("k", kind="credit", quantum=0)),
        ("quantum", lambda: ledger.account("k", kind="credit", quantum=2**30 + 1)),
        ("kind", lambda: ledger.account("/", kind="credit")),
    ]
    for name, call in cases:
        with pytest.raises(ArgumentError) as caught:
            call()
        assert caught.value.name == name
    ledger.account("credit", kind="credit")
    with pytest.raises(ArgumentError):
        ledger.account("credit/below")
    assert [row.path for row in ledger.snapshot()] == ["/", "credit"]
    for call in (lambda: Ledger(timeline=-1), lambda: Ledger(frames=-1), lambda: ledger.holders(-1)):
        with pytest.raises(OverflowError):
            call()


def test_what_belongs_to_another_ledger_or_is_gone_is_refused() -> None:
    ledger, other = Ledger(100), Ledger(100)
    held, foreign = ledger.root.reserve(10), other.root.reserve(10)
    with pytest.raises(HandleError):
        held.merge(foreign)
    with pytest.raises(HandleError):
        held.transfer(other.root)
    with pytest.raises(ArgumentError):
        held.merge(held)
    with pytest.raises(ArgumentError):
        held.merge(ledger.account("a").reserve(1))
    with pytest.raises(ArgumentError):
        held.split(11)
    for size in (-1, math.nan, "x", None):
        with pytest.raises(QuantityError):
            held.split(size)  # type: ignore[arg-type]
    foreign.release()
    held.release()
    live = ledger.root.reserve(1)
    calls: list[Callable[[], object]] = [
        lambda: held.split(0),
        lambda: held.merge(live),
        lambda: live.merge(held),
        lambda: held.transfer(ledger.root),
        lambda: held.resize(0),
    ]
    for call in calls:
        with pytest.raises(ReleasedError):
            call()
    assert (ledger.used, live.bytes) == (1, 1)


def test_a_closed_ledger_says_what_is_left_and_goes_on() -> None:
    ledger = Ledger(100, origins="all")
    held = [ledger.account("a").reserve(size, label="left") for size in (1, 2, 3)]
    with pytest.warns(ResourceWarning, match="3 live reservations") as caught:
        left = ledger.close()
    assert "test_ledger_arguments.py" in str(caught[0].message)
    assert [row.bytes for row in left] == [3, 2, 1]
    for reservation in held:
        reservation.release()
    assert ledger.close() == []
    assert ledger.root.reserve(100).release()
    with Ledger(10) as short:
        short.root.reserve(5).release()


def test_refusals_survive_a_process_boundary_whole() -> None:
    ledger = Ledger(10)
    held = ledger.account("a").reserve(8, label="weights")
    failures: list[UllageError] = []
    for wait in (None, 0.0):
        with pytest.raises(BudgetExceeded) as caught:
            ledger.account("b").reserve(5, wait=wait)
        failures.append(caught.value)
    assert [type(failure) for failure in failures] == [BudgetExceeded, WaitTimeoutError]
    for failure in failures:
        copy = pickle.loads(pickle.dumps(failure))  # noqa: S301 - our own
        assert (type(copy), str(copy), copy.fields) == (type(failure), str(failure), failure.fields)
        assert copy.as_dict() == failure.as_dict()
        assert (copy.holders[0].reservations, copy.holders[0].age_s >= 0) == (1, True)
    assert held.live
    with pytest.raises(AccountPathError):
        ledger.account("a//b")


def test_labels_that_never_repeat_cost_no_memory() -> None:
    for timeline in (0, 1024):
        ledger = Ledger(timeline=timeline, origins="off")
        account = ledger.account("a")

        def churn(first: int, count: int, account: Any = account) -> None:
            for number in range(first, first + count):
                account.reserve(1, label=f"request {number}").release()

        churn(0, 50_000)
        labels = len(ledger.timeline().labels)
        churn(50_000, 100_000)
        assert len(ledger.timeline().labels) <= max(2 * labels, 20_000)
        assert labels < 20_000


def test_labels_of_any_text_come_back() -> None:
    ledger = Ledger(100)
    for label in ("", " ", "ä/日本", "x" * 10_000, "a\x00b", "\x1b[31m", "credit", "(waiting)"):
        held = ledger.account("a").reserve(1, label=label)
        assert (held.label, ledger.holders(1)[0].label) == (label, label)
        held.release()
    with pytest.raises(UnicodeEncodeError):
        ledger.root.reserve(1, label="\ud800")
    with pytest.raises(TypeError):
        ledger.root.reserve(1, label=7)  # type: ignore[arg-type]
    assert ledger.used == 0


def test_a_million_reservations_leave_no_python_memory() -> None:
    ledger = Ledger()
    account = ledger.account("a")
    account.reserve(1).release()
    gc.collect()
    tracemalloc.start()
    for _ in range(20_000):
        account.reserve(1, label="x").release()
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert current < 200_000
