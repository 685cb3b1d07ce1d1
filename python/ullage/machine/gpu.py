"""Memory of NVIDIA GPUs, by NVML: the library behind `nvidia-smi`.

Needs the package `nvidia-ml-py` (the extra `nvidia`). NVML is opened and closed at each call, so that nothing of it
lives on into a fork. It has not been run on a GPU: the tests stand on its documented answers.
"""

import ctypes
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Gpu", "GpuProcess", "Gpus", "gpus"]

PROCESS_LISTS = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetMPSComputeRunningProcesses",
)
NOT_HERE = ("NVMLError_NotSupported", "NVMLError_FunctionNotFound", "NVMLError_NotFound")
"""What NVML says of a question that this device or driver has no answer to."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that has a context on a GPU."""

    pid: int
    """As the host numbers it: inside a container that is another number than the process's own."""
    used: int | None
    """Bytes; `None` where the driver does not know (Windows in WDDM mode, WSL)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, or one MIG partition of it. In bytes; `None` is what NVML would not say."""

    index: int
    """NVML's number, in the order of PCI addresses: not that of CUDA unless `CUDA_DEVICE_ORDER=PCI_BUS_ID`."""
    uuid: str | None
    name: str | None
    total: int | None
    reserved: int | None
    """Kept by driver and firmware; never to be had. `None` before driver 510, which counts it as used."""
    used: int | None
    """By all processes."""
    free: int | None
    processes: tuple[GpuProcess, ...] | None
    partitions: tuple["Gpu", ...] = ()
    """MIG devices. Where there are any, the memory is theirs."""
    is_unified: bool = False
    """Whether it has no memory of its own but shares the host's: NVML says "not supported" of its memory."""
    numa_node: int | None = None
    """The host's NUMA node that is this GPU's memory, where the host counts it as its own (Grace Hopper)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """What NVML says."""

    driver: str | None
    devices: tuple[Gpu, ...]
    notes: tuple[str, ...]
    """What could not be read, and why."""


def gpus(library: Any = None) -> Gpus:  # noqa: ANN401 - a module
    """Read every GPU. Whatever goes wrong is a note; `library` can stand in for the module `pynvml`."""
    notes: list[str] = []
    if library is None:
        try:
            library = importlib.import_module("pynvml")
        except ImportError:
            notes.append('GPUs cannot be seen without nvidia-ml-py: pip install "ullage[nvidia]"')
            return Gpus(driver=None, devices=(), notes=tuple(notes))
    nvml = _Nvml(library, notes)
    with nvml.open() as is_open:
        if not is_open:
            return Gpus(driver=None, devices=(), notes=tuple(notes))
        driver = _text(nvml.ask("the driver's version", "nvmlSystemGetDriverVersion"))
        count = nvml.ask("the number of GPUs", "nvmlDeviceGetCount")
        found = [_device(nvml, index) for index in range(count if isinstance(count, int) else 0)]
    devices = tuple(device for device in found if device is not None)
    return Gpus(driver=driver, devices=devices, notes=tuple(notes))


class _Nvml:
    """The library, with every failure turned into a note."""

    def __init__(self, library: Any, notes: list[str]) -> None:  # noqa: ANN401 - a module
        self._library = library
        self._notes = notes
        own = [getattr(library, name) for name in ("NVMLError", "NVMLLibraryMismatchError") if hasattr(library, name)]
        # Beside its own: a function that an older release lacks, one that answers what ctypes cannot take.
        self._errors = (*own, AttributeError, OSError, TypeError, ValueError, ctypes.ArgumentError)
        self._not_here = tuple(getattr(library, name) for name in NOT_HERE if hasattr(library, name))

    @contextmanager
    def open(self) -> Iterator[bool]:
        try:
            self._library.nvmlInit()
        except self._errors as error:
            self.note("NVML cannot be used", error)
            yield False
            return
        try:
            yield True
        finally:
            self.ask("the end", "nvmlShutdown")

    def ask(self, what: str, name: str, *arguments: object, is_optional: bool = False) -> Any:  # noqa: ANN401 - as answered
        """Call a function; `None` for a failure, noted unless it `is_optional` and the answer is a plain no."""
        try:
            return getattr(self._library, name)(*arguments)
        except self._errors as error:
            if not (is_optional and (isinstance(error, AttributeError) or self.is_not_here(error))):
                self.note(f"NVML: {what} cannot be read", error)
            return None

    def listed(self, what: str, name: str, handle: object) -> Any:  # noqa: ANN401 - as answered
        """Ask for a list by the newest function that the driver has; drivers before 510 have the second version."""
        mismatch = getattr(self._library, "NVMLLibraryMismatchError", ())
        try:
            return getattr(self._library, name)(handle)
        except mismatch:
            return self.ask(what, f"{name}_v2", handle, is_optional=True)
        except self._errors as error:
            if not self.is_not_here(error):
                self.note(f"NVML: {what} cannot be read", error)
            return None

    def memory(self, what: str, handle: object) -> tuple[Any, bool]:
        """Give memory in the second layout, else the first, else nothing; and whether NVML says there is none."""
        try:
            return self._library.nvmlDeviceGetMemoryInfo(handle, version=self._library.nvmlMemory_v2), False
        except self._errors:
            pass
        try:
            return self._library.nvmlDeviceGetMemoryInfo(handle), False
        except self._errors as error:
            self.note(f"NVML: the memory of {what} cannot be read", error)
            return None, self.is_not_here(error)

    def is_not_here(self, error: BaseException) -> bool:
        return isinstance(error, self._not_here)

    def note(self, text: str, error: BaseException | None = None) -> None:
        self._notes.append(text if error is None else f"{text} ({str(error) or type(error).__name__})")


def _device(nvml: _Nvml, index: int) -> Gpu | None:
    handle = nvml.ask(f"GPU {index}", "nvmlDeviceGetHandleByIndex", index)
    if handle is None:
        return None
    device, has_none = _described(nvml, handle, index, f"GPU {index}")
    partitions = _partitions(nvml, handle, index)
    if has_none and not partitions:
        nvml.note(f"GPU {index} has no memory of its own; it is taken to share the host's")
        device = replace(device, is_unified=True)
    node = nvml.ask("the NUMA node", "nvmlDeviceGetNumaNodeId", handle, is_optional=True)
    return replace(device, partitions=partitions, numa_node=_count(node))


def _described(nvml: _Nvml, handle: object, index: int, what: str) -> tuple[Gpu, bool]:
    memory, has_none = nvml.memory(what, handle)
    total, used = _count(getattr(memory, "total", None)), _count(getattr(memory, "used", None))
    reserved = _count(getattr(memory, "reserved", None))
    if total == 0:
        memory, has_none, total, used, reserved = None, True, None, None, None
    if memory is not None and reserved is None:
        nvml.note(f"NVML: {what} does not tell reserved from used memory; both count as used")
    device = Gpu(
        index=index,
        uuid=_text(nvml.ask(f"the UUID of {what}", "nvmlDeviceGetUUID", handle)),
        name=_text(nvml.ask(f"the name of {what}", "nvmlDeviceGetName", handle)),
        total=total,
        reserved=reserved,
        used=used,
        free=_count(getattr(memory, "free", None)),
        processes=_processes(nvml, handle, what),
    )
    return device, has_none


def _processes(nvml: _Nvml, handle: object, what: str) -> tuple[GpuProcess, ...] | None:
    """Give each process once: it stands in several lists if it computes and draws."""
    found: dict[int, int | None] = {}
    answers = [nvml.listed(f"the processes of {what}", name, handle) for name in PROCESS_LISTS]
    for row in [row for answer in answers for row in answer or ()]:
        pid, used = _count(getattr(row, "pid", None)), _count(getattr(row, "usedGpuMemory", None))
        if pid is not None:
            before = found.get(pid)
            found[pid] = used if before is None else max(before, used or 0)
    if all(answer is None for answer in answers):
        return None
    return tuple(GpuProcess(pid, used) for pid, used in sorted(found.items()))


def _partitions(nvml: _Nvml, handle: object, index: int) -> tuple[Gpu, ...]:
    mode = nvml.ask("the MIG mode", "nvmlDeviceGetMigMode", handle, is_optional=True)
    if not mode or mode[0] != 1:
        return ()
    most = nvml.ask(f"the partitions of GPU {index}", "nvmlDeviceGetMaxMigDeviceCount", handle)
    found = []
    for slot in range(_count(most) or 0):
        part = nvml.ask("a partition", "nvmlDeviceGetMigDeviceHandleByIndex", handle, slot, is_optional=True)
        if part is not None:
            found.append(_described(nvml, part, slot, f"partition {slot} of GPU {index}")[0])
    return tuple(found)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: object) -> str | None:
    """Read a text, which releases before 11.5 give as bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
