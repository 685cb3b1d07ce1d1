"""Memory handlers of other people, and the sums that a tracker is held against."""

import contextlib
import ctypes
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

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
        _libc.free(address)


def current_capsule() -> Any:
    """Give the handler of this context."""
    return _get()


@contextlib.contextmanager
def installed(capsule: Any) -> Iterator[None]:
    """Have NumPy use the handler in `capsule`."""
    former = _set(capsule)
    try:
        yield
    finally:
        _set(former)


def owner_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Give the array whose memory `array` shows, if that is an array's own."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if array.flags.owndata else None


def owned_bytes(arrays: Iterable[np.ndarray[Any, Any]]) -> int:
    """Sum what NumPy asked for on behalf of `arrays`: one byte at least for each, and once for views of one."""
    owners = {id(owner): owner for owner in map(owner_of, arrays) if owner is not None}
    return sum(max(owner.nbytes, 1) for owner in owners.values())
