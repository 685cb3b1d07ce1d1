"""Stands in for NVIDIA's driver library, below the real `nvidia-ml-py`: no GPU is at hand.

The binding is the real one, with its structures, its sizes asked twice, its errors and its "not available"; what it
calls are the functions here, by the names and with the arguments of the C library. Figures are of the size that
`nvidia-smi` shows for such devices.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pynvml
import pytest

MIB = 2**20
SUCCESS, NOT_SUPPORTED, NOT_FOUND, INSUFFICIENT_SIZE, LOST, UNKNOWN = 0, 3, 6, 7, 15, 999
NOT_AVAILABLE = 2**64 - 1
"""What the driver writes for a number that it does not know."""


@dataclass
class Device:
    """A GPU or a partition; numbers in bytes."""

    name: str
    uuid: str
    total: int = 81559 * MIB
    reserved: int = 551 * MIB
    used: int = 0
    compute: list[tuple[int, int]] = field(default_factory=list)
    graphics: list[tuple[int, int]] = field(default_factory=list)
    partitions: dict[int, "Device"] = field(default_factory=dict)
    has_mig: bool = False
    numa_node: int | None = None
    refuses: dict[str, int] = field(default_factory=dict)
    """Error codes by function."""


class Driver:
    """The library: every function of it that is called has its name in C."""

    def __init__(self, devices: list[Device], *, version: str = "580.95.05") -> None:
        """Know `devices`, and the partitions of each."""
        self.devices = devices
        self.version = version
        self.open = 0
        self.lacks: set[str] = set()
        self.refuses: dict[str, int] = {}
        self._all = [one for device in devices for one in (device, *device.partitions.values())]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put this below the binding."""
        monkeypatch.setattr(pynvml, "nvmlLib", self)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Give a function by its name in C; what an older driver lacks is an `AttributeError`, as in ctypes."""
        if name.startswith("_") or name in self.lacks:
            raise AttributeError(name)
        function: Callable[..., int] = object.__getattribute__(self, f"_{name}")

        def call(*arguments: Any) -> int:
            handle = self._of(arguments[0]) if arguments else None
            refused = self.refuses.get(name) or (handle.refuses.get(name) if handle else None)
            return refused or function(*arguments)

        return call

    def _of(self, handle: object) -> Device | None:
        if not isinstance(handle, pynvml.c_nvmlDevice_t):
            return None
        address = ctypes.cast(handle, ctypes.c_void_p).value or 0
        return self._all[address - 1]

    def _hand(self, device: Device, into: Any) -> int:
        address = next(place for place, one in enumerate(self._all, 1) if one is device)
        source = ctypes.c_void_p(address)
        ctypes.memmove(into, ctypes.byref(source), ctypes.sizeof(source))
        return SUCCESS

    def _nvmlInitWithFlags(self, _flags: int) -> int:  # noqa: N802 - as in C, here and below
        self.open += 1
        return SUCCESS

    def _nvmlShutdown(self) -> int:  # noqa: N802
        self.open -= 1
        return SUCCESS

    def _nvmlSystemGetDriverVersion(self, text: Any, _size: object) -> int:  # noqa: N802
        text.value = self.version.encode()
        return SUCCESS

    def _nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.devices)  # noqa: SLF001 - what byref points to
        return SUCCESS

    def _nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        return self._hand(self.devices[index.value], handle)

    def _nvmlDeviceGetUUID(self, handle: object, text: Any, _size: object) -> int:  # noqa: N802
        text.value = self._known(handle).uuid.encode()
        return SUCCESS

    def _nvmlDeviceGetName(self, handle: object, text: Any, _size: object) -> int:  # noqa: N802
        text.value = self._known(handle).name.encode("latin-1")
        return SUCCESS

    def _nvmlDeviceGetMemoryInfo(self, handle: object, memory: Any) -> int:  # noqa: N802
        device, found = self._known(handle), memory._obj  # noqa: SLF001
        assert isinstance(found, pynvml.c_nvmlMemory_t)
        found.total, found.used = device.total, device.used + device.reserved
        found.free = device.total - found.used
        return SUCCESS

    def _nvmlDeviceGetMemoryInfo_v2(self, handle: object, memory: Any) -> int:  # noqa: N802
        device, found = self._known(handle), memory._obj  # noqa: SLF001
        assert found.version == pynvml.nvmlMemory_v2
        found.total, found.reserved, found.used = device.total, device.reserved, device.used
        found.free = device.total - device.reserved - device.used
        return SUCCESS

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle: object, count: Any, rows: Any) -> int:  # noqa: N802
        return _list(self._known(handle).compute, count, rows)

    def _nvmlDeviceGetComputeRunningProcesses_v2(self, handle: object, count: Any, rows: Any) -> int:  # noqa: N802
        return _list(self._known(handle).compute, count, rows)

    def _nvmlDeviceGetGraphicsRunningProcesses_v3(self, handle: object, count: Any, rows: Any) -> int:  # noqa: N802
        return _list(self._known(handle).graphics, count, rows)

    def _nvmlDeviceGetMPSComputeRunningProcesses_v3(self, _handle: object, count: Any, rows: Any) -> int:  # noqa: N802
        return _list([], count, rows)

    def _nvmlDeviceGetMigMode(self, handle: object, current: Any, pending: Any) -> int:  # noqa: N802
        device = self._known(handle)
        if not device.has_mig:
            return NOT_SUPPORTED
        current._obj.value = pending._obj.value = int(bool(device.partitions))  # noqa: SLF001
        return SUCCESS

    def _nvmlDeviceGetMaxMigDeviceCount(self, _handle: object, count: Any) -> int:  # noqa: N802
        count._obj.value = 7  # noqa: SLF001
        return SUCCESS

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: object, slot: Any, into: Any) -> int:  # noqa: N802
        part = self._known(handle).partitions.get(slot.value)
        return NOT_FOUND if part is None else self._hand(part, into)

    def _nvmlDeviceGetNumaNodeId(self, handle: object, node: Any) -> int:  # noqa: N802
        device = self._known(handle)
        if device.numa_node is None:
            return NOT_SUPPORTED
        node._obj.value = device.numa_node  # noqa: SLF001
        return SUCCESS

    def _known(self, handle: object) -> Device:
        device = self._of(handle)
        assert device is not None, "a handle that was never given out"
        return device


def _list(found: list[tuple[int, int]], count: Any, rows: Any) -> int:
    """Answer as the C library does: first how many there are, then as many as there is room for."""
    room, count._obj.value = count._obj.value, len(found)  # noqa: SLF001
    if room < len(found):
        return INSUFFICIENT_SIZE
    for row, (pid, used) in zip(rows or [], found, strict=False):
        row.pid, row.usedGpuMemory = pid, used
    return SUCCESS
