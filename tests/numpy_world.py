"""Memory handlers of other people, and the sums that a tracker is held against."""

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]
from numpy._core.multiarray import get_handler_name

SET_HANDLER = 304
GET_HANDLER = 305
NAME = b"mem_handler"

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]

_table = ctypes.cast(_api.PyCapsule_GetPointer(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))  # noqa: SLF001 - the only door to NumPy's C functions
_set = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(_table[SET_HANDLER] or 0)
_get = ctypes.PYFUNCTYPE(ctypes.py_object)(_table[GET_HANDLER] or 0)

Array = np.ndarray[Any, Any]

MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
CALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
REALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

_libc = ctypes.CDLL(None)
_libc.aligned_alloc.restype = ctypes.c_void_p
_libc.aligned_alloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
_libc.free.restype = None
_libc.free.argtypes = [ctypes.c_void_p]


class _Allocator(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("malloc", MALLOC),
        ("calloc", CALLOC),
        ("realloc", REALLOC),
        ("free", FREE),
    )


class _Handler(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", _Allocator))


class OtherHandler:
    """Somebody else's handler, aligned to 64 bytes: it knows its live blocks, and fails when told to."""

    ALIGNMENT = 64

    def __init__(self) -> None:
        """Make the handler; it must outlive its arrays."""
        self.blocks: dict[int, int] = {}
        self.wrong: list[str] = []
        self.made = 0
        self.fails = False
        self.keeps = False
        self.watch: Callable[[], object] = lambda: None
        functions = (MALLOC(self._malloc), CALLOC(self._calloc), REALLOC(self._realloc), FREE(self._free))
        self.handler = _Handler(b"other", 1, _Allocator(None, *functions))

    def capsule(self) -> Any:
        """Give the handler as NumPy takes it."""
        return _api.PyCapsule_New(ctypes.addressof(self.handler), NAME, None)

    def _malloc(self, _context: int | None, size: int) -> int | None:
        self.watch()
        if self.fails:
            return None
        whole = -(-size // self.ALIGNMENT) * self.ALIGNMENT
        address: int | None = _libc.aligned_alloc(self.ALIGNMENT, whole)
        assert address
        self.made += 1
        self.blocks[address] = size
        return address

    def _calloc(self, context: int | None, count: int, each: int) -> int | None:
        address = self._malloc(context, count * each)
        if address:
            ctypes.memset(address, 0, count * each)
        return address

    def _realloc(self, context: int | None, address: int, size: int) -> int | None:
        old = self.blocks.get(address)
        if old is None:
            self.wrong.append(f"realloc of {address:#x}")
            return None
        new = self._malloc(context, size)
        if new:
            ctypes.memmove(new, address, min(old, size))
            self._free(context, address, old)
        return new

    def _free(self, _context: int | None, address: int, size: int) -> None:
        self.watch()
        if self.blocks.pop(address, None) != size:
            self.wrong.append(f"free of {size} bytes at {address:#x}")
            return
        if not self.keeps:
            _libc.free(address)


def current_capsule() -> Any:
    """Give the handler of this context."""
    return _get()


class Calls:
    """The functions of the handler of this context, as C code would call them."""

    def __init__(self) -> None:
        """Find the functions; the capsule is kept alive for them."""
        self.capsule = current_capsule()
        address = _api.PyCapsule_GetPointer(self.capsule, NAME)
        self.allocator = _Handler.from_address(address).allocator

    def malloc(self, size: int) -> int | None:
        """Allocate `size` bytes."""
        return self._address(self.allocator.malloc(self.allocator.context, size))

    def calloc(self, count: int, each: int) -> int | None:
        """Allocate zeros."""
        return self._address(self.allocator.calloc(self.allocator.context, count, each))

    def realloc(self, block: int | None, size: int) -> int | None:
        """Change the size of a block."""
        return self._address(self.allocator.realloc(self.allocator.context, block, size))

    def free(self, block: int | None, size: int) -> None:
        """Free a block; NumPy's `size` may be wrong."""
        self.allocator.free(self.allocator.context, block, size)

    @staticmethod
    def _address(value: int | None) -> int | None:
        return value


@contextlib.contextmanager
def installed(capsule: Any) -> Iterator[None]:
    """Have NumPy use the handler in `capsule`."""
    former = _set(capsule)
    try:
        yield
    finally:
        _set(former)


def owner_of(array: Array) -> Array | None:
    """Give the array whose memory `array` shows, if that is an array's own."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if array.flags.owndata else None


def owned_bytes(arrays: Iterable[Array]) -> int:
    """Sum what NumPy asked for on behalf of `arrays`: one byte at least for each, and once for views of one."""
    owners = {id(owner): owner for owner in map(owner_of, arrays) if owner is not None}
    return sum(max(owner.nbytes, 1) for owner in owners.values())


def handler_name(array: Array | None = None) -> str | None:
    """Name the handler of `array`, or of this context."""
    return get_handler_name() if array is None else get_handler_name(array)


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
