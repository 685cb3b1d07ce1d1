"""An allocator that behaves as PyTorch's does, and writes down its state and history in the published form."""

from collections.abc import Callable
from typing import Any, NamedTuple

Entry = dict[str, Any]

ROUNDED = 512
INSIDE = {"filename": "/env/site-packages/torch/nn/modules/linear.py", "line": 134, "name": "forward"}
BELOW = {"filename": "??", "line": 0, "name": "c10::cuda::CUDACachingAllocator::malloc"}
PLACES = ("/app/model.py", "/app/train.py", "/app/data.py")


class Held(NamedTuple):
    """An allocation that is alive."""

    size: int
    place: int
    pool: tuple[int, int]


class Device:
    """One device; `held` has what is in use, `totals` how much was after each entry."""

    def __init__(self, number: int) -> None:
        """Begin with nothing in use."""
        self.number = number
        self.entries: list[Entry] = []
        self.totals: list[int] = []
        self.held: dict[int, Held] = {}
        self.waiting: dict[int, Held] = {}
        self.unused: list[tuple[int, int]] = []
        self.clock = 1_700_000_000_000_000
        self._next = 0x7F00_0000_0000 + number * (1 << 40)

    def total(self) -> int:
        """Give the bytes in use, and those that wait for another stream."""
        return sum(held.size for held in (*self.held.values(), *self.waiting.values()))

    def alloc(self, size: int, place: int, pool: tuple[int, int] = (0, 0)) -> int:
        """Take a block that was given back, if one is large enough, else a new one."""
        need = -(-size // ROUNDED) * ROUNDED or ROUNDED
        fitting = [block for block in self.unused if block[1] == need]
        if fitting:
            self.unused.remove(fitting[0])
            address = fitting[0][0]
        else:
            address, self._next = self._next, self._next + need + ROUNDED
        self.held[address] = Held(size, place, pool)
        self._note("alloc", address, self.held[address], frames=frames(place))
        return address

    def ask_free(self, address: int) -> None:
        """Give a block back, which another stream still uses."""
        self.waiting[address] = self.held.pop(address)
        self._note("free_requested", address, self.waiting[address], frames=frames(2))

    def complete_free(self, address: int) -> None:
        """Have the other stream be done with it."""
        held = self.waiting.pop(address)
        self.unused.append((address, -(-held.size // ROUNDED) * ROUNDED or ROUNDED))
        self._note("free_completed", address, held, frames=frames(2))

    def other(self, action: str) -> None:
        """Note something that changes nothing in use."""
        self._note(action, 0, Held(1 << 21, 0, (0, 0)), frames=[])

    def _note(self, action: str, address: int, held: Held, **more: Any) -> None:
        self.clock += 7
        where = {"device_free": 1 << 30} if action == "oom" else {"addr": address}
        entry = {"action": action, **where, "size": held.size, "stream": 0, "time_us": self.clock, **more}
        self.entries.append(entry | {"pool_id": held.pool})
        self.totals.append(self.total())

    def segments(self) -> list[Entry]:
        """One segment for each pool, its blocks in order of address with the gaps between them."""
        found = []
        for pool in sorted({held.pool for held in (*self.held.values(), *self.waiting.values())} | {(0, 0)}):
            blocks = [(address, held, "active_allocated") for address, held in self.held.items()]
            blocks += [(address, held, "active_pending_free") for address, held in self.waiting.items()]
            for address, held, state in sorted(block for block in blocks if block[1].pool == pool):
                found.append(self._segment(address, held, state))
        return found

    def _segment(self, address: int, held: Held, state: str) -> Entry:
        size = -(-held.size // ROUNDED) * ROUNDED or ROUNDED
        used = {"address": address, "size": size, "requested_size": held.size, "state": state}
        gap = {"address": address + size, "size": ROUNDED, "requested_size": 0, "state": "inactive", "frames": []}
        return {
            "device": self.number,
            "address": address,
            "total_size": size + ROUNDED,
            "allocated_size": size if state == "active_allocated" else 0,
            "active_size": size,
            "requested_size": held.size,
            "stream": 0,
            "segment_type": "small",
            "segment_pool_id": held.pool,
            "is_expandable": False,
            "frames": [],
            "blocks": [used | {"frames": frames(held.place)}, gap],
        }


def frames(place: int) -> list[Entry]:
    """Give the stack of an allocation, the innermost frame first."""
    return [BELOW, INSIDE, {"filename": PLACES[place], "line": 10 + place, "name": "step"}]


def label(place: int) -> str:
    return f"{PLACES[place].rpartition('/')[2]}:{10 + place} step"


def snapshot(devices: list[Device], kept: int | None = None) -> dict[str, Any]:
    """Give the snapshot of a process whose ring of entries keeps the last `kept` a device."""
    return {
        "segments": [segment for device in devices for segment in device.segments()],
        "device_traces": [device.entries if kept is None else device.entries[-kept:] for device in devices],
        "allocator_settings": {"PYTORCH_CUDA_ALLOC_CONF": "", "max_split_size": -1, "expandable_segments": False,
            "garbage_collection_threshold": 0.0, "roundup_power2_divisions": {"1": 0}},
        "external_annotations": [{"device": 0, "time_us": 1_700_000_000_000_001, "stage": "START", "name": "step"}],
    }  # fmt: skip


def each(whole: dict[str, Any], change: Callable[[Entry], None]) -> dict[str, Any]:
    """Give `whole` with every entry of the history changed."""
    traces = [[dict(entry) for entry in trace] for trace in whole["device_traces"]]
    for trace in traces:
        for entry in trace:
            change(entry)
    return whole | {"device_traces": traces}
