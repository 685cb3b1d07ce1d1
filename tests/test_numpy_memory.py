"""NumPy arrays that an account owns: what is charged, what is refused, and which handler stands where."""

import asyncio
import contextlib
import copy
import ctypes
import gc
import io
import mmap
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy_world import Array, OtherHandler, handler_name, in_thread, installed, owned_bytes

from ullage import Account, Ledger, NumpyTracking
from ullage.errors import BudgetExceeded

MIB = 1 << 20


@pytest.fixture
def account() -> Account:
    return Ledger("1GiB").account("host/arrays", "64MiB")


def text_file(folder: Path, count: int) -> Path:
    path = folder / "numbers.txt"
    path.write_text(" ".join(map(str, range(count))))
    return path


def saved(folder: Path) -> Path:
    path = folder / "saved.npy"
    np.save(path, np.arange(5000))
    return path


MAKERS: dict[str, Callable[[Path], Array]] = {
    "empty": lambda _: np.empty(16),
    "empty, larger than the cache": lambda _: np.empty(5000),
    "zeros": lambda _: np.zeros((100, 100)),
    "zeros, large": lambda _: np.zeros(MIB, "u1"),
    "full": lambda _: np.full((3, 5), 7.0),
    "arange": lambda _: np.arange(1000),
    "linspace": lambda _: np.linspace(0, 1, 77),
    "no elements": lambda _: np.empty(0),
    "no elements, many axes": lambda _: np.empty((3, 0, 5)),
    "no axes": lambda _: np.array(1.5),
    "list": lambda _: np.array([[1, 2], [3, 4]]),
    "objects": lambda _: np.array([object(), "text", None, [1]], dtype=object),
    "Fortran order": lambda _: np.empty((30, 40), order="F"),
    "structured": lambda _: np.zeros(50, [("a", "i4"), ("b", "f8", (3,))]),
    "text": lambda _: np.array(["a", "longer", "longest"]),
    "bytes": lambda _: np.array([b"a", b"bc"]),
    "variable text": lambda _: np.array(["a", "b" * 100], dtype=np.dtypes.StringDType()),
    "times": lambda _: np.arange("2020-01", "2021-01", dtype="M8[D]"),
    "concatenate": lambda _: np.concatenate([np.ones(10), np.zeros(20)]),
    "stack": lambda _: np.stack([np.ones(10), np.zeros(10)]),
    "copy": lambda _: np.arange(10).copy(),
    "astype": lambda _: np.arange(10).astype("f4"),
    "fancy indexing": lambda _: np.arange(100)[np.array([1, 5, 50])],
    "mask": lambda _: np.arange(100)[np.arange(100) > 50],
    "arithmetic": lambda _: np.arange(100) * 2.0 + np.ones(100),
    "matmul": lambda _: np.ones((20, 30)) @ np.ones((30, 40)),
    "sort": lambda _: np.sort(np.arange(5000)[::-1], kind="stable"),
    "argsort": lambda _: np.argsort(np.arange(5000)[::-1]),
    "resize": lambda _: np.resize(np.arange(10), 1000),
    "view": lambda _: np.arange(100)[10:20],
    "reshape": lambda _: np.arange(100).reshape(10, 10),
    "random": lambda _: np.random.default_rng(1).random(1000),
    "copy.deepcopy": lambda _: copy.deepcopy(np.arange(100)),
    "pickle, small": lambda _: pickle.loads(pickle.dumps(np.arange(10))),  # noqa: S301 - our own bytes
    "pickle, objects": lambda _: pickle.loads(pickle.dumps(np.array([1, "a", None], dtype=object))),  # noqa: S301
    "pickle, empty": lambda _: pickle.loads(pickle.dumps(np.empty((0, 3)))),  # noqa: S301
    "load": lambda folder: np.load(saved(folder)),
    "load from memory": lambda folder: np.load(io.BytesIO(saved(folder).read_bytes())),
    "text read from a file": lambda folder: np.fromfile(text_file(folder, 9000), sep=" "),
    "text read from text": lambda _: np.fromstring(" ".join(map(str, range(20_000))), sep=" "),
    "text of known length": lambda _: np.fromstring("1 2 3", sep=" ", count=3),
    "loadtxt": lambda folder: np.loadtxt(text_file(folder, 9000)),
    "fromiter": lambda _: np.fromiter((i * i for i in range(3000)), dtype="i8"),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_array_is_charged_what_it_holds_until_it_dies(
    account: Account, tmp_path: Path, make: Callable[[Path], Array]
) -> None:
    make(tmp_path)  # so that what NumPy makes once and keeps is made outside
    with account.track_numpy() as tracking:
        array = make(tmp_path)
    gc.collect()
    assert handler_name(array) in {"ullage", None}
    assert (tracking.bytes, tracking.blocks) == (owned_bytes([array]), 1)
    assert account.used == tracking.bytes > 0
    assert account.peak >= account.used
    del array
    assert (account.used, tracking.bytes, tracking.blocks, tracking.damaged) == (0, 0, 0, 0)


def from_mmap(folder: Path) -> Array:
    with saved(folder).open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype="u1")


OUTSIDE = np.arange(100)
BORROWED: dict[str, Callable[[Path], Array]] = {
    "frombuffer": lambda _: np.frombuffer(bytearray(1000), dtype="u1"),
    "mmap": from_mmap,
    "memmap": lambda folder: np.load(saved(folder), mmap_mode="r"),
    "ctypes": lambda _: np.ctypeslib.as_array((ctypes.c_double * 100)()),
    "pickle, large": lambda _: pickle.loads(pickle.dumps(np.arange(1000), protocol=2)),  # noqa: S301 - it keeps the bytes
    "memory of an array outside": lambda _: OUTSIDE[5:].reshape(5, 19),
}


@pytest.mark.parametrize("make", BORROWED.values(), ids=BORROWED)
def test_memory_that_numpy_did_not_allocate_is_not_charged(
    account: Account, tmp_path: Path, make: Callable[[Path], Array]
) -> None:
    with account.track_numpy():
        array = make(tmp_path)
    gc.collect()
    assert owned_bytes([array]) in {0, OUTSIDE.nbytes}
    assert account.used == 0


def test_a_block_without_elements_is_freed_with_the_size_it_was_made_with(account: Account, tmp_path: Path) -> None:
    other = OtherHandler()
    (tmp_path / "empty.txt").write_text("")
    with installed(other.capsule()), account.track_numpy():
        array = np.fromfile(tmp_path / "empty.txt", sep=" ")
    assert (array.nbytes, account.used) == (0, 8), "NumPy keeps room for one element"
    del array
    assert (account.used, other.blocks, other.wrong) == (0, {}, [])


def test_zeros_stay_pages_that_nobody_has_touched() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    with Ledger().root.track_numpy() as tracking:
        zeros = np.zeros(1 << 30, "u1")
    assert (tracking.bytes, int(zeros[-1])) == (1 << 30, 0)
    assert process.memory_info().rss - before < 16 * MIB


# Growing and shrinking in place.


def test_an_array_resized_in_place_is_charged_its_new_size(account: Account) -> None:
    with account.track_numpy() as tracking:
        array = np.arange(1000)
    array.resize(100_000, refcheck=False)
    assert (account.used, tracking.blocks) == (800_000, 1)
    assert array[:1000].tolist() == list(range(1000))
    array.resize(10, refcheck=False)
    assert (account.used, account.peak) == (80, 800_000)
    array.resize(0, refcheck=False)
    assert account.used in {1, 8}, "NumPy 2.0 keeps room for one element"
    del array
    assert account.used == 0


def test_a_refused_growth_keeps_the_array_as_it_is(account: Account) -> None:
    account.set_limit(10_000)
    with account.track_numpy() as tracking:
        array = np.arange(1000)
        with pytest.raises(MemoryError):
            array.resize(1251, refcheck=False)
        assert (tracking.bytes, array.sum()) == (8000, 499_500)
        array.resize(1250, refcheck=False)
    assert tracking.last_refusal is not None
    assert (tracking.last_refusal.requested, tracking.last_refusal.available) == (2008, 2000)


# Refusals.


def test_a_refusal_is_a_memory_error_caused_by_its_numbers(account: Account) -> None:
    tracking = account.track_numpy(label="features")
    assert tracking.last_refusal is None
    keep = []
    with tracking:
        keep.append(np.empty(MIB))
    with pytest.raises(MemoryError) as caught, tracking:
        np.empty(2**50)
    refusal = caught.value.__cause__
    assert isinstance(refusal, BudgetExceeded)
    expected = ("host/arrays", 2**53, 56 * MIB, 64 * MIB)
    for each in (refusal, tracking.last_refusal):
        assert each is not None
        assert (each.account, each.requested, each.available, each.limit) == expected
        assert [(holder.label, holder.bytes) for holder in each.holders] == [("features", 8 * MIB)]
    assert (tracking.refusals, tracking.bytes) == (1, 8 * MIB)


def test_refusals_are_counted_on_the_account() -> None:
    ledger = Ledger(100)
    account = ledger.account("a")
    with account.track_numpy() as tracking:
        for _ in range(3):
            with pytest.raises(MemoryError):
                np.empty(1000)
    assert tracking.refusals == 3
    assert {row.path: row.refusals for row in ledger.snapshot()} == {"/": 0, "a": 3}


def test_a_refused_array_is_never_allocated(account: Account) -> None:
    other = OtherHandler()
    with installed(other.capsule()), account.track_numpy():
        for make in (np.empty, np.zeros):
            with pytest.raises(MemoryError):
                make(64 * MIB + 1, "u1")
        assert other.made == 0
        assert np.empty(64 * MIB, "u1").nbytes == account.limit
        assert other.made == 1


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**63 - 16])
def test_sizes_beyond_the_machine_leave_nothing_behind(size: int) -> None:
    ledger = Ledger()
    with ledger.root.track_numpy() as tracking:
        for make in (np.empty, np.zeros):
            with pytest.raises(MemoryError) as caught:
                make(size, "u1")
            assert caught.value.__cause__ is None
    assert (ledger.used, tracking.blocks, tracking.refusals) == (0, 0, 0)


def test_a_refusal_in_the_middle_of_an_expression_leaves_the_books_exact(account: Account) -> None:
    with account.track_numpy():
        x = np.ones(2 * MIB)
        for needed in range(16, 64, 8):
            account.set_limit(needed * MIB + 100)
            with contextlib.suppress(MemoryError):
                np.sort(np.concatenate([x[::2] * 2.0 + x[1::2], np.sqrt(x[:MIB]) @ np.ones((MIB, 1))]))
            assert account.used == 16 * MIB
    assert account.peak <= 64 * MIB


def refused_quietly() -> None:
    with contextlib.suppress(MemoryError):
        np.empty(2**50)


def cause_of(tracking: NumpyTracking, work: Callable[[], object]) -> BaseException | None:
    """Give the cause of what `work` raises out of a block."""
    with pytest.raises((MemoryError, ValueError)) as caught, tracking:
        work()
    return caught.value.__cause__


def test_only_the_error_of_a_refused_array_gets_a_cause(account: Account) -> None:
    tracking = account.track_numpy()
    other = OtherHandler()
    own = ZeroDivisionError()

    def another_error() -> None:
        refused_quietly()
        np.empty(-1)

    def caused_already() -> None:
        try:
            np.empty(2**50)
        except MemoryError as error:
            raise error from own

    def another_failure() -> None:
        refused_quietly()
        other.fails = True
        np.empty(10)

    def raise_memory_error() -> None:
        raise MemoryError

    def refused_elsewhere() -> None:
        assert in_thread(lambda: cause_of(tracking, lambda: np.empty(2**50))) is None
        raise MemoryError

    with tracking:
        refused_quietly()
    assert cause_of(tracking, raise_memory_error) is None, "the refusal was that of another block"
    assert cause_of(tracking, another_error) is None
    assert cause_of(tracking, caused_already) is own
    with installed(other.capsule()):
        assert cause_of(tracking, another_failure) is None, "the allocator failed, not the account"
    assert cause_of(tracking, refused_elsewhere) is None, "it was another thread's"
    assert isinstance(cause_of(tracking, lambda: np.empty(2**50)), BudgetExceeded)


def test_a_credit_account_owns_arrays_too() -> None:
    ledger = Ledger(100_000)
    account = ledger.account("a", kind="credit")
    with account.track_numpy() as tracking:
        array = np.arange(1000)
        array.resize(5000, refcheck=False)
        assert (tracking.bytes, account.used) == (40_000, 40_000)
        account.set_limit(40_000)
        for count in (4999, 2000, 10):
            array.resize(count, refcheck=False)
            assert (tracking.bytes, account.used) == (8 * count, 8 * count), "shrinking is never refused"
        with pytest.raises(MemoryError):
            np.empty(5000)
    del array
    assert (tracking.bytes, tracking.blocks, account.used, ledger.used) == (0, 0, 0, ledger.used)


async def test_an_array_that_dies_while_an_exception_is_underway_wakes_who_waits() -> None:
    ledger = Ledger(1000)
    with ledger.root.track_numpy():
        kept = [np.empty(100)]
    waiting = asyncio.create_task(ledger.root.reserve_async(900, timeout=10))
    await asyncio.sleep(0.01)

    def fail(array: Array) -> None:
        raise ZeroDivisionError(array.size)

    with pytest.raises(ZeroDivisionError):
        fail(kept.pop())
    gc.collect()
    assert (await waiting).bytes == 900


def test_a_limit_lowered_below_the_arrays_refuses_until_they_are_gone(account: Account) -> None:
    with account.track_numpy():
        array = np.empty(MIB)
        account.set_limit(MIB)
        with pytest.raises(MemoryError):
            np.empty(1)
        array.resize(100, refcheck=False)
        assert np.empty(1).nbytes == 8
