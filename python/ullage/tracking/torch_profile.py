"""The `[memory]` events of PyTorch's profiler."""

from typing import Any, NamedTuple

from ullage.tracking.recorder import MOST_BYTES, Recorder

__all__ = ["BEFORE", "OUTSIDE", "Allocations"]

BEFORE = "(allocated before the trace)"
"""Label of bytes that were there before the first event."""
OUTSIDE = "(outside any operation)"
"""Label of bytes that were asked for while no recorded operation ran."""

DEVICES = {0: "cpu", 1: "gpu", 6: "gpu", 12: "xpu", 13: "mps", 20: "privateuse"}
"""PyTorch's device types; 1 is CUDA and 6 is HIP."""
SINGLE = {"cpu", "mps"}

Thread = tuple[Any, Any]


class _Change(NamedTuple):
    time_ns: int
    device: tuple[int, int]
    address: int
    size: int
    total: int | None
    thread: Thread


class _Span(NamedTuple):
    begin: int
    end: int
    name: str


class Allocations:
    """Allocations by device, each under the innermost operation that ran on its thread."""

    def __init__(self, recorder: Recorder) -> None:
        """Record into `recorder`."""
        self._recorder = recorder
        self._changes: list[_Change] = []
        self._spans: dict[Thread, list[_Span]] = {}
        self._lost = 0

    def __bool__(self) -> bool:
        """Tell whether there is any allocation."""
        return bool(self._changes)

    def take(self, event: dict[str, Any], time_ns: int) -> None:
        """Note a `[memory]` event."""
        args = event["args"]
        size, total = _whole(args["Bytes"]), args.get("Total Allocated")
        device = (_whole(args.get("Device Type", 0)), _whole(args.get("Device Id", -1)))
        thread = (event.get("pid"), event.get("tid"))
        hash(thread)
        total = None if total is None else _whole(total)
        self._changes.append(_Change(time_ns, device, _address(args["Addr"]), size, total, thread))

    def running(self, event: dict[str, Any], begin_ns: int, duration_ns: int) -> None:
        """Note that an operation or a function ran."""
        thread, name = (event.get("pid"), event.get("tid")), event.get("name")
        if isinstance(name, str) and duration_ns >= 0 and event.get("cat") != "Trace":
            self._spans.setdefault(thread, []).append(_Span(begin_ns, begin_ns + duration_ns, name))

    def record(self) -> int:
        """Record all, in order of time; give the number of allocations that are older than the trace."""
        for spans in self._spans.values():
            spans.sort(key=lambda span: (span.begin, -span.end))
        stacks = {thread: _Stack(spans) for thread, spans in self._spans.items()}
        live: dict[tuple[tuple[int, int], int], tuple[int, int, int]] = {}
        first: dict[tuple[int, int], tuple[_Change, int]] = {}
        for change in sorted(self._changes, key=lambda change: change.time_ns):
            stack = stacks.get(change.thread)
            name = OUTSIDE if stack is None else stack.at(change.time_ns)
            first.setdefault(change.device, (change, 0))
            if change.size > 0:
                self._alloc(change, name, live)
            elif change.size < 0:
                older = self._free(change, live)
                first[change.device] = (first[change.device][0], first[change.device][1] + older)
        for device, (change, older) in first.items():
            self._rest(device, change, older)
        return self._lost

    def _alloc(self, change: _Change, name: str, live: dict[Any, tuple[int, int, int]]) -> None:
        key = (change.device, change.address)
        if key in live:  # its giving back was not recorded
            size, identity, label = live.pop(key)
            self._recorder.event(change.time_ns, -size, identity, label)
            self._lost += 1
        label = self._recorder.label(_account(change.device), name)
        identity = self._recorder.identity()
        live[key] = (change.size, identity, label)
        self._recorder.event(change.time_ns, change.size, identity, label)

    def _free(self, change: _Change, live: dict[Any, tuple[int, int, int]]) -> int:
        """Record a giving back; give the bytes that must have been there before the trace."""
        known = live.pop((change.device, change.address), None)
        if known is not None:
            size, identity, label = known
            self._recorder.event(change.time_ns, -size, identity, label)
            return 0
        label = self._recorder.label(_account(change.device), BEFORE)
        self._recorder.held_before(label, -change.size)
        self._recorder.event(change.time_ns, change.size, self._recorder.identity(), label)
        self._lost += 1
        return -change.size

    def _rest(self, device: tuple[int, int], change: _Change, older: int) -> None:
        """Add what the first event's running total says was there besides what is given back later."""
        if change.total is not None and change.total - change.size > older:
            label = self._recorder.label(_account(device), BEFORE)
            self._recorder.held_before(label, change.total - change.size - older)
            self._lost += 1


class _Stack:
    """What runs on a thread as time goes on."""

    def __init__(self, spans: list[_Span]) -> None:
        self._spans = spans
        self._next = 0
        self._open: list[_Span] = []

    def at(self, time_ns: int) -> str:
        """Name the innermost span at a time no earlier than the one asked for before."""
        while self._next < len(self._spans) and self._spans[self._next].begin <= time_ns:
            self._close(self._spans[self._next].begin)
            self._open.append(self._spans[self._next])
            self._next += 1
        self._close(time_ns)
        return self._open[-1].name if self._open else OUTSIDE

    def _close(self, time_ns: int) -> None:
        while self._open and self._open[-1].end < time_ns:
            self._open.pop()


def _account(device: tuple[int, int]) -> str:
    kind, index = device
    name = DEVICES.get(kind, f"device{kind}-")
    return name if name in SINGLE else f"{name}{max(index, 0)}"


def _address(value: Any) -> int:  # noqa: ANN401 - from the file
    """Read an address, which some versions write in hexadecimal text."""
    return int(value, 0) if isinstance(value, str) else _whole(value, 1 << 64)


def _whole(value: Any, most: int = MOST_BYTES) -> int:  # noqa: ANN401 - from the file
    if type(value) is not int or not -most <= value <= most:
        raise ValueError(f"{type(value).__name__} that is no whole number within its bounds")
    return value
