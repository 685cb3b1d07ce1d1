"""Where and when owned arrays die, and that the books are exact whatever happens on the way."""

import concurrent.futures
import contextlib
import copy
import gc
import random
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import weakref
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy_world import Array, OtherHandler, current_capsule, installed, owned_bytes

from ullage import Account, Ledger

MIB = 1 << 20


@pytest.fixture
def account() -> Account:
    return Ledger("1GiB").account("host/arrays")


# Deaths.


def test_arrays_die_in_other_threads(account: Account) -> None:
    with account.track_numpy() as tracking:
        boxes = [[np.empty(1000) for _ in range(50)] for _ in range(4)]
    assert tracking.blocks == 200
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(list.clear, boxes))
    assert (account.used, tracking.blocks) == (0, 0)


def test_arrays_outlive_the_ledger(account: Account) -> None:
    other = OtherHandler()
    with installed(other.capsule()):
        own = Ledger()
        with own.account("a").track_numpy():
            array = np.arange(1000)
        del own
        gc.collect()
        with account.track_numpy():
            doubled = array * 2
    array.resize(2000, refcheck=False)
    assert (array[:1000] * 2 == doubled).all()
    assert sorted(other.blocks.values()) == [8064, 16064]
    del array, doubled
    assert (other.blocks, other.wrong, account.used) == ({}, [], 0)


def test_arrays_die_in_a_collection_of_cycles(account: Account) -> None:
    class Node:
        pass

    gc.disable()
    try:
        with account.track_numpy():
            node: Any = Node()
            node.array, node.self = np.empty(1000), node
        gone = weakref.ref(node)
        del node
        assert account.used == 8000
        gc.collect()
        assert (gone(), account.used) == (None, 0)
    finally:
        gc.enable()


def test_a_handler_is_gone_with_its_last_array() -> None:
    other = OtherHandler()
    ledger = Ledger()
    account = ledger.root
    capsule = other.capsule()
    before = sys.getrefcount(capsule)
    with installed(capsule):
        with account.track_numpy(), account.track_numpy():
            array = np.empty(10)
            view = array[1:]
        assert sys.getrefcount(capsule) > before
        del array
    assert sys.getrefcount(capsule) > before
    del view
    assert sys.getrefcount(capsule) == before
    assert [row.reservations for row in ledger.snapshot()] == [0]


def test_nothing_refers_to_a_handler_but_its_arrays(account: Account) -> None:
    def use() -> None:
        array = np.arange(1000)
        array.resize(2000, refcheck=False)
        copied = copy.deepcopy([array, array[5:], array.astype("f4"), np.sort(array)])
        np.concatenate(copied)
        with contextlib.suppress(MemoryError):
            np.empty(2**50)

    with account.track_numpy():
        use()
        capsule = current_capsule()
        before = sys.getrefcount(capsule)
        for _ in range(1000):
            use()
        assert sys.getrefcount(capsule) == before


def test_a_million_arrays_and_a_hundred_thousand_blocks_leave_no_memory_behind(account: Account) -> None:
    tracking = account.track_numpy()
    process = psutil.Process()

    def churn(arrays: int, blocks: int) -> None:
        with tracking:
            for _ in range(arrays):
                np.empty(300)
        for _ in range(blocks):
            with tracking:
                np.empty(3)

    churn(100_000, 10_000)
    before = process.memory_info().rss
    churn(1_000_000, 100_000)
    growth = process.memory_info().rss - before
    assert growth < 4 * MIB
    assert (tracking.bytes, tracking.blocks) == (0, 0)


ENDINGS = {
    "a global": "",
    "a cycle": "class Node: pass\nnode = Node(); node.me, node.array = node, array\ndel array",
    "another module": "import json; json.array = array; json.refused = refused; del array",
    "an attribute of a type": "class Node: array = array\nsys.node = Node",
    "inside the block": "t.__enter__(); more = np.ones(1000)",
    "an exit handler": "import atexit; atexit.register(lambda a: a.resize(5000, refcheck=False), array); del array",
    "a thread": "import threading; kept = [array]; del array; threading.Thread(target=kept.clear).start()",
    "an exit by exception": "sys.exit(0)",
    "a daemon": "import threading; d = threading.Thread(target=spin, args=(t,), daemon=True); d.start()",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_the_interpreter_ends_with_arrays_alive(ending: str) -> None:
    begin = """
        import sys
        import numpy as np
        import ullage

        def spin(tracking):
            with tracking:
                while True:
                    np.empty(5000).fill(1)

        t = ullage.Ledger("1MiB").account("a").track_numpy()
        with t:
            array = np.arange(1000)
            try:
                np.empty(2**40)
            except MemoryError as error:
                refused = error
    """
    code = textwrap.dedent(begin) + ending
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Beside tracemalloc.


def test_the_traces_of_tracemalloc_stay_balanced(account: Account) -> None:
    domain = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)

    def traced() -> int:
        traces = tracemalloc.take_snapshot().filter_traces([domain]).traces
        return sum(trace.size for trace in traces)

    gc.collect()
    with account.track_numpy():
        early = np.empty(100)
        tracemalloc.start()
        try:
            kept = [np.empty(10), np.zeros(10_000), np.arange(100)]
            kept[2].resize(200, refcheck=False)
            assert traced() == owned_bytes(kept)
            del early
            assert account.used == owned_bytes(kept)
            del kept
            assert (traced(), account.used) == (0, 0)
            late = np.empty(100)
        finally:
            tracemalloc.stop()
    assert account.used == late.nbytes


# Many at once.


def test_eight_threads_share_one_limit() -> None:
    ledger = Ledger(4 * MIB)
    trackers = [ledger.account(f"worker/{name}").track_numpy() for name in "abcd"]
    shelf: list[Array] = []
    refused = [0] * 8
    over: list[int] = []

    def work(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - a test's chance
        for _ in range(1500):
            with contextlib.suppress(MemoryError), trackers[chance.randrange(4)]:
                array = np.zeros(chance.choice([3, 100, 5000, 60_000]))
                if chance.random() < 0.5:
                    array.resize(chance.choice([1, 200, 20_000]), refcheck=False)
                if chance.random() < 0.3:
                    array = np.fromstring("1 " * 5000, sep=" ") + 1.0
                shelf.append(array)
            used = ledger.used
            if used > 4 * MIB:
                over.append(used)
            if len(shelf) > 30:
                with contextlib.suppress(IndexError):
                    shelf.pop(chance.randrange(20))
        refused[number] = 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert (over, refused) == ([], [1] * 8)
    assert ledger.used == sum(tracking.bytes for tracking in trackers) == owned_bytes(shelf)
    assert sum(tracking.blocks for tracking in trackers) == len(shelf)
    assert sum(tracking.refusals for tracking in trackers) > 0
    assert ledger.peak <= 4 * MIB
    shelf.clear()
    assert (ledger.used, [tracking.damaged for tracking in trackers]) == (0, [0] * 4)


class Arrays(RuleBasedStateMachine):
    """Arrays made, resized, copied, viewed and dropped in two accounts, against the sum of those that live."""

    def __init__(self) -> None:
        """Begin with two empty accounts under one limit."""
        super().__init__()
        self.ledger = Ledger(100_000)
        self.trackers = [self.ledger.account(path).track_numpy() for path in ("a", "a/b")]
        self.arrays: list[list[Array]] = [[], []]

    def fits(self, growth: int) -> bool:
        """Tell whether `growth` more bytes fit."""
        return sum(owned_bytes(arrays) for arrays in self.arrays) + growth <= 100_000

    def any_array(self, which: int, at: int) -> Array:
        """Give one of the arrays that tracker `which` owns."""
        arrays = self.arrays[which]
        return arrays[at % len(arrays)]

    @rule(which=st.integers(0, 1), count=st.integers(0, 5000), kind=st.sampled_from(["f8", "u1", "O", "U3", "M8[s]"]))
    def make(self, which: int, count: int, kind: str) -> None:
        """Make an array."""
        expected = self.fits(max(1, count * np.dtype(kind).itemsize))
        try:
            with self.trackers[which]:
                self.arrays[which].append(np.zeros(count, kind))
        except MemoryError:
            assert not expected
        else:
            assert expected

    @precondition(lambda self: self.arrays[0])
    @rule(at=st.integers(0, 1000), count=st.integers(1, 5000))
    def resize(self, at: int, count: int) -> None:
        """Resize an array in place, outside every block."""
        array = owner_of_view(self.any_array(0, at))
        growth = count * array.itemsize - max(1, array.nbytes)
        if any(other is not array and owner_of_view(other) is array for other in self.arrays[0]):
            return  # the views would show freed memory
        expected = growth <= 0 or self.fits(growth)
        try:
            array.resize(count, refcheck=False)
        except MemoryError:
            assert not expected
        else:
            assert expected

    @precondition(lambda self: self.arrays[0])
    @rule(at=st.integers(0, 1000), step=st.integers(1, 3))
    def view(self, at: int, step: int) -> None:
        """Look at an array: no charge, and the array lives as long as the view."""
        with self.trackers[1]:
            self.arrays[0].append(self.any_array(0, at)[::step])

    @precondition(lambda self: self.arrays[0])
    @rule(at=st.integers(0, 1000))
    def duplicate(self, at: int) -> None:
        """Copy an array of one account into the other."""
        source = self.any_array(0, at)
        expected = self.fits(max(1, source.nbytes))
        try:
            with self.trackers[0], self.trackers[1]:
                self.arrays[1].append(source.copy())
        except MemoryError:
            assert not expected
        else:
            assert expected

    @precondition(lambda self: self.arrays[0] or self.arrays[1])
    @rule(which=st.integers(0, 1), at=st.integers(0, 1000))
    def drop(self, which: int, at: int) -> None:
        """Drop an array, or one of the looks at it."""
        arrays = self.arrays[which]
        if arrays:
            del arrays[at % len(arrays)]

    @invariant()
    def books_are_exact(self) -> None:
        """Each tracker holds what its live arrays hold, and the ledger their sum."""
        sums = [owned_bytes(arrays) for arrays in self.arrays]
        assert [tracking.bytes for tracking in self.trackers] == sums
        assert self.ledger.used == sum(sums) <= 100_000

    def teardown(self) -> None:
        """Drop everything."""
        self.arrays.clear()
        assert [tracking.bytes for tracking in self.trackers] == [0, 0]


def owner_of_view(array: Array) -> Array:
    """Give the array whose memory `array` shows."""
    return array if array.base is None else array.base


TestArrays = Arrays.TestCase
TestArrays.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
