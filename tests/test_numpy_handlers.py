"""The memory handler itself: on other handlers, as C code calls it, and against NumPy's headers."""

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_version
from numpy_world import (
    GET_HANDLER,
    SET_HANDLER,
    Calls,
    OtherHandler,
    current_capsule,
    handler_name,
    installed,
    owned_bytes,
)

from ullage import Account, Ledger
from ullage.errors import ProtocolError

ROOT = Path(__file__).parents[1]
HEADERS = Path(np.get_include(), "numpy")
MIB = 1 << 20


@pytest.fixture
def account() -> Account:
    return Ledger("1GiB").account("host/arrays", "64MiB")


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


# What NumPy itself never asks for.


def test_sizes_that_wrap_are_no_block() -> None:
    ledger = Ledger()
    with ledger.root.track_numpy() as tracking:
        calls = Calls()
        sizes = (2**64 - 1, 2**64 - 16, 2**64 - 15)
        assert [calls.malloc(size) for size in sizes] == [None] * 3
        assert (tracking.bytes, tracking.blocks, tracking.refusals) == (0, 0, 0)
        block = calls.malloc(100)
        assert [calls.realloc(block, size) for size in sizes] == [None] * 3
        assert calls.calloc(2**33, 2**33) is None
        assert calls.calloc(2**32 - 1, 2**32 + 1) is None
        assert (tracking.bytes, tracking.blocks) == (100, 1)
        calls.free(block, 100)
    assert (ledger.used, tracking.damaged) == (0, 0)


def test_no_block_can_be_resized_and_freed_as_in_c(account: Account) -> None:
    other = OtherHandler()
    with installed(other.capsule()), account.track_numpy() as tracking:
        calls = Calls()
        block = calls.realloc(None, 100)
        empty = calls.malloc(0)
        assert (tracking.bytes, tracking.blocks) == (100, 2)
        calls.free(None, 0)
        calls.free(block, 7)
        calls.free(empty, 7)
    assert (account.used, tracking.blocks, other.blocks, other.wrong) == (0, 0, {}, [])


def test_a_second_free_of_a_block_does_nothing_but_count(account: Account) -> None:
    other = OtherHandler()
    other.keeps = True  # so that the bytes of a freed block can still be read
    with installed(other.capsule()), account.track_numpy() as tracking:
        calls = Calls()
        block = calls.malloc(100)
        for _ in range(3):
            calls.free(block, 100)
        assert calls.realloc(block, 200) is None
    assert (account.used, tracking.blocks, tracking.damaged, other.wrong) == (0, 0, 3, [])


def test_a_block_that_another_handler_made_is_left_alone(account: Account) -> None:
    other = OtherHandler()
    with installed(other.capsule()), account.track_numpy() as tracking:
        calls = Calls()
        foreign = ctypes.create_string_buffer(100)
        calls.free(ctypes.addressof(foreign) + 50, 10)
        block = calls.malloc(100)
        calls.free((block or 0) + 8, 92)
    assert (tracking.bytes, tracking.damaged, other.wrong) == (100, 2, [])


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


OLD = """
import ctypes, sys, types
import numpy as np
import ullage

tracking = ullage.Ledger().root.track_numpy()
new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
version = ctypes.CFUNCTYPE(ctypes.c_uint)(lambda: 0x0E)
table = (ctypes.c_void_p * 400)()
table[211] = ctypes.cast(version, ctypes.c_void_p).value
module = types.ModuleType("numpy._core._multiarray_umath")
{content}
sys.modules[module.__name__] = module
try:
    tracking.__enter__()
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("module._ARRAY_API = new_capsule(ctypes.addressof(table), None, None)", "no memory handlers"),
        ("module._ARRAY_API = new_capsule(ctypes.addressof(table), b'other', None)", "name"),
        ("module._ARRAY_API = None", "PyCapsule"),
        ("", "_ARRAY_API"),
    ],
)
def test_a_numpy_without_handlers_is_told(content: str, reason: str) -> None:
    code = OLD.format(content=content)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("NumPy's C API: ")
    assert reason in done.stdout
