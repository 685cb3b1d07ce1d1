"""Snapshots of PyTorch's CUDA allocator: what `torch.cuda.memory._dump_snapshot` and its C++ sibling pickle.

A snapshot has the state at the end, `segments` of `blocks`, and a bounded history of what led to it, `device_traces`.
The state is exact, so the history is completed backwards from it: a block whose allocation is lost was held from
before the first entry, as was what the history gives back without having taken it.

Bytes are those asked for, before the allocator rounds them up. They count from `alloc` to `free_completed`: between
`free_requested` and that, another stream still uses them. Reserved but unused memory of the allocator does not count.
"""

from bisect import bisect_right
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from ullage.errors import TraceFileError
from ullage.timeline import Timeline
from ullage.tracking import plain_pickle
from ullage.tracking.fault import fault, read_bytes
from ullage.tracking.recorder import MOST_BYTES, Recorder
from ullage.tracking.torch_frame import FrameNames

__all__ = ["BEFORE", "SOURCE", "import_torch_snapshot"]

SOURCE = "torch"
BEFORE = "(allocated before the trace)"
"""Label of bytes whose allocation is lost and that are no longer there at the end."""

ACTIVE = {"active_allocated", "active_awaiting_free", "active_pending_free"}
"""States of blocks in use; the last two are the documented and the real name of waiting for another stream."""
MOST_DEVICES = 1024
DEFAULT_POOL = (0, 0)

Malformed = (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError)
"""What reading an entry of the wrong shape raises."""


class _Held(NamedTuple):
    """An allocation that is alive."""

    identity: int
    size: int
    label: int


class _Block(NamedTuple):
    """A block in use at the end."""

    size: int | None
    """Bytes asked for; `None` where an old snapshot knows the rounded size alone."""
    rounded: int
    account: str
    label: str


def import_torch_snapshot(path: str | PathLike[str]) -> Timeline:
    """Read a snapshot of PyTorch's CUDA allocator.

    Accounts are `gpuN/default` and `gpuN/pool-A-B` for each private pool. A label is the innermost line of the
    program outside PyTorch, `file.py:12 function`, with the category or the user's metadata where there is one.
    Nothing in the file is run; a damaged or hostile one is a `TraceFileError`.
    """
    place = Path(path)
    data = read_bytes(place)
    snapshot = plain_pickle.load(data, place)
    if isinstance(snapshot, list):  # torch.cuda.memory_snapshot(), pickled by hand
        snapshot = {"segments": snapshot, "device_traces": []}
    if not isinstance(snapshot, dict) or not {"segments", "device_traces"} & snapshot.keys():
        raise fault(place, "is no snapshot: it has neither segments nor device_traces")
    return _Reader(place, snapshot, len(data)).read()


class _Reader:
    """Reads one snapshot."""

    def __init__(self, path: Path, snapshot: dict[str, Any], size: int) -> None:
        self._path = path
        self._snapshot = snapshot
        self._recorder = Recorder()
        self._frames = FrameNames()
        self._lost = 0
        self._left = size  # an entry takes bytes, so that more entries than bytes are one entry many times over

    def read(self) -> Timeline:
        traces = self._listed("device_traces")
        if len(traces) > MOST_DEVICES:
            raise fault(self._path, f"has {len(traces):,} devices", field="device_traces")
        blocks, pools = self._blocks(), self._pools
        timed = self._timed(traces)
        for device in sorted({*range(len(traces)), *blocks}):
            trace = traces[device] if device < len(traces) else []
            self._device(device, trace, blocks.get(device, {}), pools.get(device, []), timed=timed)
        epoch = 0 if timed else None
        return self._recorder.timeline(self._path, SOURCE, epoch_unix_ns=epoch, dropped=self._lost)

    def _listed(self, name: str) -> list[Any]:
        value = self._snapshot.get(name, [])
        if not isinstance(value, list):
            raise fault(self._path, f"is {type(value).__name__}, not a list", field=name)
        return value

    def _counted(self, entries: Any, field: str) -> Iterator[tuple[int, Any]]:  # noqa: ANN401 - from the file
        """Go through a list that is no longer than the file can justify."""
        if not isinstance(entries, list):
            raise fault(self._path, f"is {type(entries).__name__}, not a list", field=field)
        self._left -= len(entries)
        if self._left < 0:
            raise fault(self._path, "has more entries than the file has bytes", field=field)
        return iter(enumerate(entries))

    @staticmethod
    def _timed(traces: list[Any]) -> bool:
        """Tell whether entries know their time, which snapshots before PyTorch 2.2 do not."""
        first = next((trace[0] for trace in traces if isinstance(trace, list) and trace), None)
        return isinstance(first, dict) and "time_us" in first

    def _blocks(self) -> dict[int, dict[int, _Block]]:
        """Give the blocks in use at the end, by device and address; note where private pools lie."""
        found: dict[int, dict[int, _Block]] = {}
        self._pools: dict[int, list[tuple[int, int, str]]] = {}
        for index, segment in self._counted(self._snapshot.get("segments", []), "segments"):
            field = f"segments[{index}]"
            try:
                device = _whole(segment.get("device", 0), MOST_DEVICES - 1)
                pool = _pool(segment.get("segment_pool_id", DEFAULT_POOL))
                address = int(segment["address"])
                if pool != "default":
                    self._pools.setdefault(device, []).append((address, address + int(segment["total_size"]), pool))
                here = found.setdefault(device, {})
                for _, block in self._counted(segment["blocks"], f"{field}.blocks"):
                    rounded = _whole(block["size"], MOST_BYTES)
                    if block["state"] in ACTIVE:
                        here[int(block.get("address", address))] = self._block(block, rounded, f"gpu{device}/{pool}")
                    address += rounded
            except TraceFileError:
                raise
            except Malformed as error:
                raise self._misshapen(field, error) from error
        for listed in self._pools.values():
            listed.sort()
        return found

    def _block(self, block: dict[str, Any], rounded: int, account: str) -> _Block:
        """Read a block in use, whose stack and size old snapshots keep in its history."""
        size, source = block.get("requested_size"), block
        if "frames" not in block and block.get("history"):
            source = block["history"][0]
            size = source.get("real_size", size)
        return _Block(None if size is None else _whole(size, rounded), rounded, account, self._label(source))

    def _device(
        self,
        device: int,
        trace: Any,  # noqa: ANN401 - from the file
        blocks: dict[int, _Block],
        pools: list[tuple[int, int, str]],
        *,
        timed: bool,
    ) -> None:
        live: dict[int, _Held] = {}
        field, index, now = f"device_traces[{device}]", -1, None
        try:
            for index, entry in self._counted(trace, field):
                time = int(entry["time_us"]) * 1000 if timed else index
                now = time if now is None else max(now, time)
                action = entry["action"]
                if action == "alloc":
                    self._alloc(now, device, entry, live, pools)
                elif action == "free_completed":
                    self._free(now, device, entry, live, pools)
        except TraceFileError:
            raise
        except Malformed as error:
            raise self._misshapen(f"{field}[{index}]", error) from error
        self._settle(now or 0, live, blocks)

    def _alloc(
        self, now: int, device: int, entry: dict[str, Any], live: dict[int, _Held], pools: list[tuple[int, int, str]]
    ) -> None:
        address, size = entry["addr"], _whole(entry["size"], MOST_BYTES)
        if address in live:  # recording was off when it was given back
            self._give_back(now, live.pop(address))
            self._lost += 1
        label = self._recorder.label(_account(device, entry, address, pools), self._label(entry))
        held = live[address] = _Held(self._recorder.identity(), size, label)
        self._recorder.event(now, size, held.identity, label)

    def _free(
        self, now: int, device: int, entry: dict[str, Any], live: dict[int, _Held], pools: list[tuple[int, int, str]]
    ) -> None:
        address = entry["addr"]
        held = live.pop(address, None)
        if held is None:
            size = _whole(entry["size"], MOST_BYTES)
            label = self._recorder.label(_account(device, entry, address, pools), BEFORE)
            held = _Held(self._recorder.identity(), size, label)
            self._recorder.held_before(label, size)
            self._lost += 1
        self._give_back(now, held)

    def _give_back(self, now: int, held: _Held) -> None:
        self._recorder.event(now, -held.size, held.identity, held.label)

    def _settle(self, now: int, live: dict[int, _Held], blocks: dict[int, _Block]) -> None:
        """Make what is alive after the last entry what the segments say, for they are the allocator's own state."""
        for address, block in blocks.items():
            held = live.pop(address, None)
            if held is None:
                size = block.rounded if block.size is None else block.size
                self._recorder.held_before(self._recorder.label(block.account, block.label), size)
                self._lost += 1
            elif block.size is not None and block.size != held.size:
                self._recorder.event(now, block.size - held.size, held.identity, held.label)
        if "segments" in self._snapshot:
            for held in live.values():
                self._give_back(now, held)

    def _label(self, entry: dict[str, Any]) -> str:
        name = self._frames.of(entry.get("frames"))
        note = entry.get("category") or entry.get("user_metadata")
        return f"{name} [{note}]" if isinstance(note, str) and note not in {"", "unknown"} else name

    def _misshapen(self, field: str, error: Exception) -> Exception:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is not of the known shape: {error}"
        return fault(self._path, what, field=field)


def _whole(value: Any, most: int) -> int:  # noqa: ANN401 - from the file
    """Check a count."""
    if type(value) is not int or not 0 <= value <= most:
        said = f"{value:,}" if type(value) is int else type(value).__name__
        raise ValueError(f"{said} is no whole number up to {most:,}")
    return value


def _pool(identity: Any) -> str:  # noqa: ANN401 - from the file
    """Name the pool of an identity such as (0, 1)."""
    first, second = identity
    if (first, second) == DEFAULT_POOL:
        return "default"
    return f"pool-{_whole(first, 1 << 63)}-{_whole(second, 1 << 63)}"


def _account(device: int, entry: dict[str, Any], address: int, pools: list[tuple[int, int, str]]) -> str:
    """Name the account of an entry: by its own pool, else by the segment that lies there at the end."""
    if "pool_id" in entry:
        return f"gpu{device}/{_pool(entry['pool_id'])}"
    place = bisect_right(pools, (address, MOST_BYTES << 4, "")) - 1 if pools else -1
    if place >= 0 and address < pools[place][1]:
        return f"gpu{device}/{pools[place][2]}"
    return f"gpu{device}/default"
