"""Pickles of nothing but lists, dicts, texts, numbers, pairs of numbers and truth values.

The opcodes are looked at before anything is built: none that names or calls something, none for bytes, sets or the
text protocol, no tuple in a tuple, for hashing a deep one overflows the stack of the interpreter, and no memo index
that would make the machine reserve more than the file has entries. Runs of opcodes of fixed size are skipped by one
regular expression, so that this costs little.
"""

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, NoReturn

from ullage.tracking.fault import fault

__all__ = ["load"]

LONG1 = 0x8A
WHOLE = b"K.|M..|J.{4}|" + b"|".join(rb"\x8a%b.{%d}" % (re.escape(bytes([size])), size) for size in range(17))
FIXED = re.compile(
    rb"(?s:(?:%b)(?:%b)\x86|%b|[(\]}Neasu\x88\x89\x94]|[hq\x80].|j.{4}|[G\x95].{8}){1,4096}" % (WHOLE, WHOLE, WHOLE)
)
"""Marks, containers, numbers, pairs of whole numbers, memo entries by a byte or in order, and frames."""

TEXTS = {0x8C: 1, 0x58: 4, 0x8D: 8}
"""Opcodes of texts, by the bytes of their length: SHORT_BINUNICODE, BINUNICODE, BINUNICODE8."""
LONG_BINPUT, STOP = 0x72, 0x2E
NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
MEMO_BYTE = 256
"""Entries that an opcode of one byte can name; only later ones need LONG_BINPUT, in order."""


class _Plain(pickle.Unpickler):
    """A second fence behind the look at the opcodes."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for the object {pid!r}")


def load(data: bytes, path: Path) -> Any:  # noqa: ANN401 - whatever plain value it is
    """Give the value, or raise a `TraceFileError` that names the opcode refused."""
    _scan(data, path)
    try:
        return _Plain(io.BytesIO(data)).load()
    except Exception as error:  # the machine raises whatever an operation on a wrong type raises
        raise fault(path, f"is no sound pickle: {error!r}") from error


def _scan(data: bytes, path: Path) -> None:
    place, puts, size = 0, MEMO_BYTE, len(data)
    while place < size:
        run = FIXED.match(data, place)
        if run:
            place = run.end()
            continue
        code = data[place]
        if code == STOP:
            return
        if code == LONG_BINPUT:
            if int.from_bytes(data[place + 1 : place + 5], "little") > puts:
                raise fault(path, "its memo has more entries than were put into it", offset=place)
            puts, place = puts + 1, place + 5
        elif code in TEXTS:
            width = TEXTS[code]
            length = int.from_bytes(data[place + 1 : place + 1 + width], "little")
            if length > size - place:
                raise fault(path, f"a text of {length:,} bytes goes beyond its end", offset=place)
            place += 1 + width + length
        else:
            raise fault(path, _refusal(data, place), offset=place)
    raise fault(path, "ends in the middle", offset=size)


def _refusal(data: bytes, place: int) -> str:
    """Say what stands at `place`: an opcode cut off by the end, one that a snapshot has no use for, or no opcode."""
    code = data[place]
    if FIXED.match(data[place:] + bytes(20)) and code != LONG1:
        return "ends in the middle"
    name = NAMES.get(code)
    if name is None:
        return f"is no pickle: there is no opcode 0x{code:02x}"
    if name in {"GLOBAL", "INST"}:
        asked = data[place + 1 : place + 101].split(b"\n")[:2]
        return f"opcode {name} asks for {b'.'.join(asked).decode('ascii', 'backslashreplace')}"
    return f"opcode {name} has no place in a file of plain values"
