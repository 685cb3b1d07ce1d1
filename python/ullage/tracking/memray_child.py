"""Run as a program, this reads a memray capture and writes its events to stdout, as arrays and one JSON object."""

import bisect
import importlib
import io
import json
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from memray import AllocationRecord

__all__ = ["REFUSED", "Mappings"]

REFUSED = 3
"""Exit status after a reason on stdout."""

NO_STACK = "(no Python stack)"
HEAP, MAPPED = "host/heap", "host/mmap"


class Mappings:
    """Address ranges that do not overlap, given back whole, in part, or several at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._begins: list[int] = []
        self._ranges: list[tuple[int, int, int]] = []
        """End, identity and label of the range that begins there."""

    def add(self, begin: int, end: int, identity: int, label: int) -> None:
        """Add a range where there is none; an empty one is nothing."""
        if begin == end:
            return
        place = bisect.bisect_right(self._begins, begin)
        self._begins.insert(place, begin)
        self._ranges.insert(place, (end, identity, label))

    def remove(self, begin: int, end: int) -> list[tuple[int, int, int]]:
        """Take a range of addresses away; give how many bytes that was of which reservation and label."""
        gone, kept = [], []
        place = max(bisect.bisect_right(self._begins, begin) - 1, 0)
        while place < len(self._begins) and self._begins[place] < end:
            low, (high, identity, label) = self._begins[place], self._ranges[place]
            if high <= begin:
                place += 1
                continue
            del self._begins[place], self._ranges[place]
            gone.append((min(high, end) - max(low, begin), identity, label))
            kept += [
                (first, last, identity, label) for first, last in ((low, min(high, begin)), (max(low, end), high))
                if first < last
            ]  # fmt: skip
        for part in kept:
            self.add(*part)
        return gone


class Reader:
    """Reads one capture."""

    def __init__(self, memray: Any) -> None:  # noqa: ANN401 - a module
        """Know the kinds of records."""
        kinds = memray.AllocatorType
        self._frees = {int(kinds.FREE), int(kinds.PYMALLOC_FREE)}
        self._mmap, self._munmap = int(kinds.MMAP), int(kinds.MUNMAP)
        self._by_stack: dict[tuple[str, int], int] = {}
        self._live: dict[int, tuple[int, int, int]] = {}
        self._mappings = Mappings()
        self._made = 0
        self.labels: dict[tuple[str, str], int] = {}
        self.delta, self.identity, self.label = array("q"), array("Q"), array("I")

    def take(self, record: "AllocationRecord") -> None:
        """Take one allocation or giving back."""
        allocator, address = record.allocator, record.address
        if allocator in self._frees:
            self._free(address)
        elif allocator == self._munmap:
            self._unmap(address, record.size)
        else:
            self._alloc(record, mapped=allocator == self._mmap)

    def _alloc(self, record: "AllocationRecord", *, mapped: bool) -> None:
        size, address, label = record.size, record.address, self._named(record, MAPPED if mapped else HEAP)
        self._made += 1
        if mapped:
            self._unmap(address, size)  # what was mapped there is replaced
            self._mappings.add(address, address + size, self._made, label)
        else:
            self._free(address)  # if memray missed that it was given back
            self._live[address] = (size, self._made, label)
        self._event(size, self._made, label)

    def _free(self, address: int) -> None:
        """Give back what lies at an address; what is older than the capture is not known and does not count."""
        known = self._live.pop(address, None)
        if known is not None:
            self._event(-known[0], known[1], known[2])

    def _unmap(self, address: int, size: int) -> None:
        for gone, identity, label in self._mappings.remove(address, address + size):
            self._event(-gone, identity, label)

    def _event(self, delta: int, identity: int, label: int) -> None:
        self.delta.append(delta)
        self.identity.append(identity)
        self.label.append(label)

    def _named(self, record: "AllocationRecord", account: str) -> int:
        key = (account, record.stack_id)
        found = self._by_stack.get(key)
        if found is None:
            stack = record.stack_trace(max_stacks=1)
            name = f"{Path(stack[0][1]).name}:{stack[0][2]} {stack[0][0]}" if stack else NO_STACK
            found = self._by_stack[key] = self.labels.setdefault((account, name), len(self.labels))
        return found


def _answer(path: str) -> bytes:
    """Give three arrays and a JSON object."""
    memray = importlib.import_module("memray")
    with memray.FileReader(path) as capture:
        if capture.metadata.file_format == memray.FileFormat.AGGREGATED_ALLOCATIONS:
            raise ValueError("it is aggregated and has no history; capture without --aggregate")
        reader = Reader(memray)
        for record in capture.get_allocation_records():
            reader.take(record)
        told = {
            "labels": list(reader.labels),
            "records": [(record.time, record.heap) for record in capture.get_memory_snapshots()],
            "start_ms": round(capture.metadata.start_time.timestamp() * 1000),
            "end_ms": round(capture.metadata.end_time.timestamp() * 1000),
        }
    answer = io.BytesIO()
    for column, kind in ((reader.delta, np.int64), (reader.identity, np.uint64), (reader.label, np.uint32)):
        np.save(answer, np.array(column, kind), allow_pickle=False)
    return answer.getvalue() + json.dumps(told).encode()


def _main(path: str) -> int:
    try:
        answer = _answer(path)
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes the native reader raise
        sys.stdout.buffer.write((str(error) or type(error).__name__).encode(errors="replace"))
        return REFUSED
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
