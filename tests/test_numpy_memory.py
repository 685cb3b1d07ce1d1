"""NumPy arrays that an account owns: what is charged, what is refused, and which handler stands where."""

import asyncio
import contextlib
import contextvars
import copy
import ctypes
import gc
import io
import mmap
import pickle
import re
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_name, get_handler_version
from numpy_world import GET_HANDLER, SET_HANDLER, OtherHandler, current_capsule, installed, owned_bytes

from ullage import Account, Ledger, NumpyTracking
from ullage.errors import BudgetExceeded, Holder, ProtocolError

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).parents[1]
HEADERS = Path(np.get_include(), "numpy")
MIB = 1 << 20


@pytest.fixture
def account() -> Account:
    return Ledger("1GiB").account("host/arrays", "64MiB")


def handler_name(array: Array | None = None) -> str | None:
    """Name the handler of `array`, or of this context."""
    return get_handler_name() if array is None else get_handler_name(array)


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
    assert account.used == 1
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


def in_thread(work: Callable[[], object]) -> BaseException | None:
    """Run `work` in a thread of its own; give what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is looked at by the caller
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


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
    expected = ("host/arrays", 2**53, 56 * MIB, 64 * MIB, [Holder("host/arrays", "features", 8 * MIB)])
    for each in (refusal, tracking.last_refusal):
        assert each is not None
        assert (each.account, each.requested, each.available, each.limit, each.holders) == expected
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


def test_a_limit_lowered_below_the_arrays_refuses_until_they_are_gone(account: Account) -> None:
    with account.track_numpy():
        array = np.empty(MIB)
        account.set_limit(MIB)
        with pytest.raises(MemoryError):
            np.empty(1)
        array.resize(100, refcheck=False)
        assert np.empty(1).nbytes == 8


# Blocks within blocks, in generators, tasks and threads.


def test_the_innermost_account_is_charged_once(account: Account) -> None:
    inner = Ledger().account("inner")
    with account.track_numpy():
        a = np.empty(100)
        with inner.track_numpy():
            b = np.empty(10)
        c = np.empty(1)
        assert (account.used, inner.used) == (a.nbytes + c.nbytes, b.nbytes)
        b.resize(20, refcheck=False)
    assert (account.used, inner.used) == (808, 160)
    assert handler_name() == "default_allocator"


def test_a_tracker_can_be_entered_again_and_within_itself(account: Account) -> None:
    tracking = account.track_numpy()
    keep = []
    with tracking:
        with tracking:
            keep.append(np.empty(1))
        assert handler_name() == "ullage"
        keep.append(np.empty(1))
    assert handler_name() == "default_allocator"
    with tracking as same:
        keep.append(np.empty(1))
    assert same is tracking
    keep.append(np.empty(1))
    assert (tracking.bytes, tracking.blocks) == (24, 3)


def test_two_trackers_of_one_account_have_books_of_their_own(account: Account) -> None:
    weights, batch = account.track_numpy("weights"), account.track_numpy("batch")
    with weights:
        a = np.empty(10)
    with batch:
        b = np.empty(20)
    assert (weights.bytes, batch.bytes, account.used) == (a.nbytes, b.nbytes, 240)
    assert account.holders() == [Holder(account.path, "batch", 160), Holder(account.path, "weights", 80)]
    assert (weights.account, weights.label) == ("host/arrays", "weights")
    assert repr(batch) == 'NumpyTracking(160 B in 1 blocks on "host/arrays", label="batch")'


def test_an_exception_leaves_the_block(account: Account) -> None:
    with pytest.raises(ZeroDivisionError), account.track_numpy():
        raise ZeroDivisionError
    assert handler_name() == "default_allocator"


def counting(tracking: NumpyTracking, keep: list[Array]) -> Generator[None, None, None]:
    with tracking:
        while True:
            keep.append(np.empty(1))
            yield


def test_generators_resumed_in_turns_leave_in_any_order() -> None:
    ledger = Ledger()
    trackers = [ledger.account(name).track_numpy() for name in "abc"]
    keep: list[Array] = []
    generators = [counting(tracking, keep) for tracking in trackers]
    for generator in generators:
        next(generator)
    assert [tracking.blocks for tracking in trackers] == [1, 1, 1]
    keep.append(np.empty(1))
    assert trackers[2].blocks == 2, "a block stays entered while its generator waits"
    generators[1].close()
    keep.append(np.empty(1))
    assert [tracking.blocks for tracking in trackers] == [1, 1, 3]
    generators[2].close()
    keep.append(np.empty(1))
    assert [tracking.blocks for tracking in trackers] == [2, 1, 3]
    generators[0].close()
    assert handler_name() == "default_allocator"
    keep.clear()
    assert ledger.used == 0


async def test_tasks_are_charged_to_their_own_accounts() -> None:
    ledger = Ledger()

    async def work(name: str, count: int) -> list[Array]:
        kept = []
        with ledger.account(name).track_numpy():
            for _ in range(count):
                kept.append(np.empty(10))
                await asyncio.sleep(0)
        kept.append(np.empty(10))
        return kept

    results = await asyncio.gather(work("a", 3), work("b", 5), work("c", 7))
    assert [ledger.account(name).used for name in "abc"] == [240, 400, 560]
    assert (len(results), handler_name()) == (3, "default_allocator")


async def test_a_task_begun_inside_stays_inside(account: Account) -> None:
    go = asyncio.Event()

    async def work() -> Array:
        await go.wait()
        return np.empty(10)

    with account.track_numpy():
        task = asyncio.create_task(work())
    go.set()
    array = await task
    assert account.used == array.nbytes


def test_a_new_thread_is_outside_unless_it_carries_the_context(account: Account) -> None:
    keep: list[Array] = []

    def work() -> None:
        keep.append(np.empty(10))

    with account.track_numpy():
        assert in_thread(work) is None
        assert account.used == 0
        inside = contextvars.copy_context()
        assert in_thread(lambda: inside.run(work)) is None
        assert account.used == 80


def test_one_tracker_serves_many_threads(account: Account) -> None:
    tracking = account.track_numpy()
    barrier = threading.Barrier(4)

    def work() -> None:
        with tracking:
            barrier.wait()
            array = np.empty(100)
            barrier.wait()
            assert tracking.blocks == 4
            barrier.wait()
        del array

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tracking.blocks, account.used, account.peak) == (0, 0, 3200)


def test_a_block_is_left_where_it_was_entered(account: Account) -> None:
    tracking = account.track_numpy()
    with pytest.raises(ProtocolError, match=r"host/arrays.*not entered"):
        tracking.__exit__(None, None, None)
    with tracking:
        assert isinstance(in_thread(lambda: tracking.__exit__(None, None, None)), ProtocolError)
        with pytest.raises(ProtocolError):
            contextvars.Context().run(tracking.__exit__, None, None, None)
        assert handler_name() == "ullage"
        contextvars.copy_context().run(tracking.__exit__, None, None, None)
        assert handler_name() == "ullage", "a copy of the context is left on its own"
    with pytest.raises(ProtocolError):
        tracking.__exit__(None, None, None)
    assert handler_name() == "default_allocator"


def test_blocks_within_blocks_end_somewhere(account: Account) -> None:
    tracking = account.track_numpy()
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(tracking)
        with pytest.raises(ProtocolError, match="1000"):
            stack.enter_context(tracking)
        array = np.empty(1)
    assert (handler_name(), tracking.blocks) == ("default_allocator", 1)
    del array
    assert tracking.blocks == 0


# On somebody else's handler.


def test_another_handler_below_keeps_its_blocks_and_its_alignment(account: Account) -> None:
    other = OtherHandler()
    keep = []
    with installed(other.capsule()):
        with account.track_numpy():
            keep = [np.empty(size, "u1") for size in (0, 1, 7, 63, 64, 65, 1000, MIB)]
            keep.append(np.zeros(5000, "u1"))
            assert not keep[-1].any()
            keep[3].resize(9999, refcheck=False)
        assert handler_name() == "other"
        outside = np.empty(10)
    assert {array.ctypes.data % OtherHandler.ALIGNMENT for array in keep} == {0}
    sizes = sorted(max(array.nbytes, 1) + 64 for array in keep)
    assert sorted(other.blocks.values()) == sorted([*sizes, outside.nbytes])
    assert account.used == owned_bytes(keep)
    del keep, outside
    assert (other.blocks, other.wrong, account.used) == ({}, [], 0)


def test_numpys_own_handler_below_keeps_its_alignment(account: Account) -> None:
    with account.track_numpy():
        keep = [np.empty(size, "u1") for size in range(1, 2000, 13)]
    assert {array.ctypes.data % 16 for array in keep} == {0}


def test_an_allocator_that_fails_loses_nothing(account: Account) -> None:
    other = OtherHandler()
    with installed(other.capsule()), account.track_numpy() as tracking:
        array = np.arange(100)
        other.fails = True
        for make in (np.empty, np.zeros):
            with pytest.raises(MemoryError):
                make(1000)
        for size in (1000, 10):
            with pytest.raises(MemoryError):
                array.resize(size, refcheck=False)
            assert (account.used, tracking.blocks, tracking.refusals) == (800, 1, 0)
        other.fails = False
        assert array.sum() == 4950
        array.resize(1000, refcheck=False)
    assert account.used == 8000
    del array
    assert (account.used, other.blocks, other.wrong) == (0, {}, [])


def test_a_handler_that_lacks_a_function_is_not_built_upon(account: Account) -> None:
    other = OtherHandler()
    other.handler.allocator.calloc = type(other.handler.allocator.calloc)()
    with installed(other.capsule()):
        with pytest.raises(ProtocolError, match="lacks a function"), account.track_numpy():
            pytest.fail("entered")
        assert handler_name() == "other"


def test_a_handler_set_inside_and_left_there_is_not_taken_away(account: Account) -> None:
    other = OtherHandler()
    tracking = account.track_numpy()
    with tracking:
        with installed(other.capsule()), pytest.raises(ProtocolError, match="another memory handler"):
            tracking.__exit__(None, None, None)
        with installed(other.capsule()), tracking:
            array = np.empty(10)
        assert handler_name() == "ullage"
    assert (account.used, list(other.blocks.values())) == (80, [144])
    del array
    assert (other.blocks, handler_name()) == ({}, "default_allocator")


def test_a_block_whose_stamp_was_overwritten_is_neither_freed_nor_given_back(account: Account) -> None:
    other = OtherHandler()
    with installed(other.capsule()), account.track_numpy() as tracking:
        array = np.empty(100, "u1")
        stamp = (ctypes.c_uint64 * 2).from_address(array.ctypes.data - 16)
        size, check = stamp
        assert size == 100
        for at in range(2):
            stamp[at] ^= 1
            with pytest.raises(MemoryError):
                array.resize(200, refcheck=False)
            stamp[:] = [size, check]
        assert tracking.damaged == 2
        stamp[1] ^= 1 << 63
        del array
    assert (tracking.damaged, tracking.blocks, account.used) == (3, 1, 100)
    assert (list(other.blocks.values()), other.wrong) == ([164], [])


def test_the_account_never_holds_less_than_lives(account: Account) -> None:
    other = OtherHandler()
    seen = []
    with installed(other.capsule()), account.track_numpy():
        array = np.empty(100)
        other.watch = lambda: seen.append(account.used)
        kept = np.empty(1000)
        kept.resize(2000, refcheck=False)
        kept.resize(500, refcheck=False)
        del kept, array
        other.watch = lambda: None
    sizes = [8800, 16_800, 16_800, 16_800, 16_800, 4800, 800]
    assert (seen, account.used) == (sizes, 0), "booked before a block is made, given back after it is gone"


# What NumPy's headers say.


def test_the_places_in_numpys_table_are_those_of_its_headers() -> None:
    source = (ROOT / "rust/ullage-python/src/numpy_memory/handler.rs").read_text()
    header = (HEADERS / "__multiarray_api.h").read_text().replace("\\\n", "")
    names = {
        "FEATURE_VERSION": "PyArray_GetNDArrayCFeatureVersion",
        "SET_HANDLER": "PyDataMem_SetHandler",
        "GET_HANDLER": "PyDataMem_GetHandler",
        "DEFAULT_HANDLER": "PyDataMem_DefaultHandler",
    }
    for ours, theirs in names.items():
        (place,) = re.findall(rf"const {ours}: usize = (\d+);", source)
        found = re.search(rf"#define {theirs}\s[^\n]*PyArray_API\[(\d+)\]", header)
        assert found, theirs
        assert found[1] == place
    assert f"SET_HANDLER: usize = {SET_HANDLER};" in source
    assert f"GET_HANDLER: usize = {GET_HANDLER};" in source


def test_the_handler_is_laid_out_as_in_numpys_headers() -> None:
    header = (HEADERS / "ndarraytypes.h").read_text()
    allocator, handler = (
        re.sub(r"/\*.*?\*/|\s+", " ", body, flags=re.DOTALL)
        for body in re.findall(r"typedef struct \{([^}]*)\} PyDataMem(?:Allocator|_Handler);", header)
    )
    assert re.findall(r"(\w+)(?:\) ?\([^)]*\))? ?;", allocator) == ["ctx", "malloc", "calloc", "realloc", "free"]
    assert re.findall(r"(\w+ \w+(?:\[\d+\])?);", handler) == [
        "char name[127]",
        "uint8_t version",
        "PyDataMemAllocator allocator",
    ]
    with Ledger().root.track_numpy():
        assert get_handler_version() == 1
        assert "mem_handler" in repr(current_capsule())
