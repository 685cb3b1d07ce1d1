"""Limits of the Windows job object that this process is in: what a container is there.

They bound committed memory, which is more than what is resident. Of nested jobs, Windows answers for the innermost.
Not run on Windows so far: the layout is that of `winnt.h` on 64 bits and is tested against the same structure declared
a second time.
"""

import struct
import sys
from collections.abc import Callable

import psutil

from ullage.machine.cgroup import Level
from ullage.machine.probe import Probe

__all__ = ["job_limits"]

EXTENDED_LIMITS = 9
"""`JobObjectExtendedLimitInformation`."""
LAYOUT = struct.Struct("<qqI4xQQI4xQII 6Q QQQQ")
"""`JOBOBJECT_EXTENDED_LIMIT_INFORMATION`: times, flags, working sets, processes, affinity, classes; I/O; memory."""
FLAGS = 2
PROCESS_LIMIT, JOB_LIMIT = -4, -3
LIMITS_PROCESS, LIMITS_JOB = 0x100, 0x200
"""`JOB_OBJECT_LIMIT_PROCESS_MEMORY` and `JOB_OBJECT_LIMIT_JOB_MEMORY`: a limit counts only with its flag."""


def job_limits(
    probe: Probe, query: Callable[[], bytes] | None = None, committed: Callable[[], int] | None = None
) -> list[Level]:
    """Give the limits of the job around this process; none where there is no job, or no Windows.

    What other processes of the job have committed is not known: its use is at least that of this process.
    """
    if query is None and sys.platform != "win32":
        return []
    try:
        fields = LAYOUT.unpack((query or _query)())
        used = (committed or _committed)()
    except (OSError, AttributeError, struct.error, psutil.Error) as error:
        probe.note(f"the job object is unreadable ({error}); ignored")
        return []
    found = []
    if fields[FLAGS] & LIMITS_PROCESS:
        found.append(
            Level(source="job object ProcessMemoryLimit", limit=fields[PROCESS_LIMIT], used=used, reclaimable=0)
        )
    if fields[FLAGS] & LIMITS_JOB:
        probe.note("job object JobMemoryLimit: what other processes of the job have committed is not known")
        found.append(Level(source="job object JobMemoryLimit", limit=fields[JOB_LIMIT], used=used, reclaimable=0))
    return found


def _query() -> bytes:
    """Ask Windows for the limits of this process's own job; all zeros, so no limits, where it is in none."""
    import ctypes  # noqa: PLC0415 - Windows alone needs it

    kernel = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009 - typed on Windows alone
    ours, inside = ctypes.c_void_p(kernel.GetCurrentProcess()), ctypes.c_int()
    if not kernel.IsProcessInJob(ours, None, ctypes.byref(inside)):
        raise OSError("IsProcessInJob failed")
    answer = ctypes.create_string_buffer(LAYOUT.size)
    if inside.value and not kernel.QueryInformationJobObject(None, EXTENDED_LIMITS, answer, LAYOUT.size, None):
        raise OSError("QueryInformationJobObject failed")
    return answer.raw


def _committed() -> int:
    found = psutil.Process().memory_info()
    return int(getattr(found, "private", found.vms))
