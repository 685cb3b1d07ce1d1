"""Damaged and hostile traces: one typed error each, in little memory and time, and nothing in them is ever run."""

import gzip
import itertools
import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from allocator_world import Device, snapshot
from hostile_traces import misbehaving
from hostile_world import HUGE, Case, cut, flipped, lying

from ullage.errors import TraceFileError
from ullage.tracking import import_torch_snapshot

COUNTER = {"ph": "C", "name": "heap", "pid": 1, "ts": 5.5, "args": {"bytes": 77}}
MEMORY = {
    "ph": "i",
    "name": "[memory]",
    "pid": 1,
    "tid": 1,
    "ts": 7,
    "args": {"Bytes": 8, "Addr": 9, "Total Allocated": 8},
}


def tiny_snapshot() -> dict[str, Any]:
    device = Device(0)
    address = device.alloc(1000, 0)
    device.alloc(20, 1, (0, 1))
    device.ask_free(address)
    device.complete_free(address)
    whole = snapshot([device])
    return {"segments": whole["segments"][-1:], "device_traces": [device.entries[1:]]}


DUMP = {
    "ph": "v",
    "pid": 1,
    "ts": 3,
    "args": {"dumps": {"allocators": {"a/b": {"guid": "7", "attrs": {"size": {"units": "bytes", "value": "ff"}}}}}},
}
SEEDS = {
    "pickle 2": pickle.dumps(tiny_snapshot(), protocol=2),
    "pickle 4": pickle.dumps(tiny_snapshot(), protocol=4),
    "counters": json.dumps([COUNTER, COUNTER | {"ts": 6}]).encode(),
    "profile": json.dumps({"traceEvents": [MEMORY], "baseTimeNanoseconds": 5}).encode(),
    "dump": json.dumps([DUMP]).encode(),
    "gzip": gzip.compress(json.dumps([COUNTER]).encode(), mtime=0),
}


def two_bits(seed: Case) -> Iterator[Case]:
    """Turn a low and a high bit of every byte; all eight were tried once and take minutes."""
    return flipped(seed, (0, 6))


def some_lies(seed: Case) -> Iterator[Case]:
    """Put each huge number over every eleventh place, at another remainder for each."""
    return itertools.islice(lying(seed), 0, None, 11)


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("damage", [cut, two_bits, some_lies])
def test_damage_anywhere_in_a_small_file_is_borne(name: str, damage: Callable[[Case], Iterator[Case]]) -> None:
    seed = Case(name, {"trace": SEEDS[name]}, "trace")
    assert misbehaving((case.label, case.files["trace"]) for case in damage(seed)) == []


def huge(opcode: bytes, width: int) -> bytes:
    return b"\x80\x04" + opcode + b"\xff" * (width - 1) + b"\x7f" + b"."


NESTED = 200_000
BOMBS = {
    "lists in lists": b"\x80\x04" + b"]" * NESTED + b"a" * (NESTED - 1) + b".",
    "dicts in dicts": b"\x80\x04" + b"}K\x01" * NESTED + b"N" + b"s" * NESTED + b".",
    "tuples in tuples": b"\x80\x04N" + b"\x85" * NESTED + b".",
    "a deep tuple as a key": b"\x80\x04}N" + b"\x85" * NESTED + b"Ns.",
    "pairs in pairs": b"\x80\x04K\x01K\x01\x86" + b"K\x01\x86" * NESTED + b".",
    "pairs in pairs by the memo": b"\x80\x04K\x01K\x01\x86\x94" + b"K\x01h\0\x86\x94" * NESTED + b".",
    "a list in itself": b"\x80\x04]\x94h\0a.",
    "laughs": b"\x80\x04]\x94"
    + b"".join(b"](" + b"j" + struct.pack("<I", n) * 10 + b"e\x94" for n in range(30))
    + b".",
    "laughs in a trace": pickle.dumps({"device_traces": [[[]] * 9] * 9}),
    "a memo index of four billion": b"\x80\x02]r\xff\xff\xff\xff.",
    "a memo index of a hundred million": b"\x80\x02]r\0\xe1\xf5\x05.",
    "a text of many bytes": huge(b"\x8d", 8),
    "a text of two billion": huge(b"X", 4),
    "a byte array of many bytes": huge(b"\x96", 8),
    "bytes of many bytes": huge(b"\x8e", 8),
    "a frame of many bytes": huge(b"\x95", 8),
    "a number of two billion bytes": huge(b"\x8b", 4),
    "a number of 255 bytes": b"\x80\x04\x8a\xff" + b"\xff" * 255 + b".",
    "half a surrogate": b"\x80\x04\x8c\x03\xed\xa0\x80.",
    "marks": b"\x80\x04" + b"(" * NESTED + b".",
    "nothing": b"\x80\x04.",
    "an unhashable key": b"\x80\x04}]Ns.",
    "items of a list": b"\x80\x04](K\x01K\x01u.",
    "entries of a dict": b"\x80\x04}(K\x01e.",
    "a protocol of the future": b"\x80\xff}.",
    "closing brackets": b"]" * NESTED,
    "opening brackets": b"[" * NESTED,
    "opening braces": b'{"traceEvents":' * NESTED,
    "a number of a million digits": b'[{"ph":"C","ts":' + b"9" * 1_000_000,
    "an exponent": b'[{"ph":"C","name":"heap","ts":1e99999999,"args":{"bytes":1}}]',
    "not a number": b'[{"ph":"C","name":"heap","ts":1,"args":{"bytes":NaN}}]',
    "many empty members": gzip.compress(b"", mtime=0) * 20_000,
    "gzip of zeros": gzip.compress(bytes(200 << 20), mtime=0),
    "gzip in gzip": gzip.compress(gzip.compress(b"[]")),
}


def test_bombs_do_not_go_off() -> None:
    assert misbehaving(BOMBS.items()) == []


def test_bombs_at_every_place_of_a_snapshot_do_not_go_off() -> None:
    seed = SEEDS["pickle 2"]
    cases = (
        (f"{name} at {place}", seed[:place] + opcode + number + seed[place:])
        for name, opcode in (("LONG_BINPUT", b"r"), ("BINUNICODE", b"X"), ("LONG1", b"\x8a"), ("LONG_BINGET", b"j"))
        for number in HUGE[:2]
        for place in range(0, len(seed), 5)
    )
    assert misbehaving(cases) == []


class Runs:
    """Pickles to a call of `os.system`."""

    def __init__(self, path: Path) -> None:
        """Name the file that the call would make."""
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Give the call."""
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_a_pickle_would_call_is_named_and_not_called(tmp_path: Path, protocol: int) -> None:
    path, made = tmp_path / "evil.pickle", tmp_path / "made"
    path.write_bytes(pickle.dumps({"segments": [], "device_traces": [[Runs(made)]]}, protocol=protocol))
    with pytest.raises(TraceFileError) as caught:
        import_torch_snapshot(path)
    assert not made.exists()
    assert "GLOBAL" in caught.value.reason
    assert ("system" in caught.value.reason) == (protocol < 4)
    assert caught.value.offset is not None
    assert path.read_bytes()[caught.value.offset :][:1] in {b"c", b"\x93"}


@pytest.mark.parametrize(
    ("opcodes", "name"),
    [
        (b"cos\nsystem\n", "GLOBAL asks for os.system"),
        (b"(ios\nsystem\n", "INST asks for os.system"),
        (b"\x8c\x02os\x8c\x06system\x93", "STACK_GLOBAL"),
        (b"]]R", "REDUCE"),
        (b"]]b", "BUILD"),
        (b"(]]o", "OBJ"),
        (b"])\x81", "EMPTY_TUPLE"),
        (b"]]\x81", "NEWOBJ"),
        (b"]]]\x92", "NEWOBJ_EX"),
        (b"\x82\x01", "EXT1"),
        (b"Pname\n", "PERSID"),
        (b"]Q", "BINPERSID"),
        (b"\x97", "NEXT_BUFFER"),
        (b"\x8f", "EMPTY_SET"),
        (b"C\x01a", "SHORT_BINBYTES"),
        (b"]2", "DUP"),
        (b"I5\n", "INT"),
        (b"S'a'\n", "STRING"),
        (b"\xfe", "no opcode 0xfe"),
    ],
)
def test_an_opcode_that_a_snapshot_has_no_use_for_is_named(tmp_path: Path, opcodes: bytes, name: str) -> None:
    path = tmp_path / "odd.pickle"
    path.write_bytes(b"\x80\x04" + opcodes + b".")
    with pytest.raises(TraceFileError) as caught:
        import_torch_snapshot(path)
    assert name in caught.value.reason
    assert caught.value.offset is not None


def test_a_file_of_another_kind_is_refused() -> None:
    cases = {"empty": b"", "zip": b"PK\x03\x04" + bytes(40), "elf": b"\x7fELF" + bytes(40), "text": b"hello"}
    assert misbehaving(cases.items()) == []
